import { openBatchProvider } from "../../src/adapters/providers/registry.js";
import type { BatchSettings } from "../../src/adapters/providers/batch-http.js";
import type { BatchProvider, CallLimits, SendLimits } from "../../src/ports/batch-provider.js";

export const LIMITS: CallLimits = { timeoutMs: 10_000 };
export const SEND: SendLimits = { timeoutMs: 10_000, sendWithinMs: 5_000, maySend: () => true };
export const NEVER = new AbortController().signal;

/** The batch side of an account at a server of a test. */
export async function batchAccount(
  kind: "openai" | "anthropic" | "gemini",
  baseUrl: string,
  more: Partial<BatchSettings> = {},
): Promise<BatchProvider> {
  const provider = await openBatchProvider(kind, {
    account: "main",
    baseUrl,
    apiKey: () => "sk-test",
    connectionsMax: 4,
    connectTimeoutMs: 2_000,
    idleTimeoutMs: 5_000,
    answerBytesMax: 1_000_000,
    resultLineBytesMax: 1_000_000,
    nowMs: () => 0,
    ...more,
  });
  if (provider === null) throw new Error(`${kind} has no batches`);
  return provider;
}

/** Lines as an upload or an inline create takes them. */
export function linesOf(texts: readonly string[]): { lines: AsyncIterable<Uint8Array>; linesBytes: number } {
  async function* each(): AsyncGenerator<Uint8Array> {
    for (const text of texts) yield await Promise.resolve(Buffer.from(text));
  }
  return { lines: each(), linesBytes: texts.reduce((sum, text) => sum + Buffer.byteLength(text) + 1, 0) };
}
