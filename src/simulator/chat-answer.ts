/**
 * The answer to a chat call, fixed by the request and the seed.
 *
 * Rules a checker can redo:
 * - `prompt digest` = first 32 hex characters of sha256 over the prompt's texts (system prompt, then each message's texts in
 *   order) joined by "\n"; `body digest` = the same over the request body's bytes as received.
 * - The answer's words are `digest=<prompt digest>`, `body=<body digest>`, then words of a fixed list; with JSON asked for, it is
 *   one object `{"digest":"…","body":"…","text":"…"}` of as many tokens as `text` would have had with both.
 * - Its length is 5 + ((bytes 1 and 2 of the prompt digest as a number + seed) mod 56) tokens, cut at the call's own maximum.
 * - Half of the input, rounded down, counts as cached when byte 0 of the prompt digest is below 64 and the model has a cached price.
 */
import { hash } from "node:crypto";
import type { ChatAnswer, ChatCall } from "./chat-call.js";

export type Digests = { readonly prompt: string; readonly body: string };

export const DIGEST_HEX_CHARACTERS = 32;
const LENGTH_MIN = 5;
const LENGTH_SPREAD = 56;
const CACHED_BELOW = 64;
const REASONING_SPREAD = 64;
const WORDS =
  "a quiet story about people who meet late and learn slowly what the long road between two towns can mean".split(" ");

export function digestOf(bytes: string | Uint8Array): string {
  return hash("sha256", bytes, "hex").slice(0, DIGEST_HEX_CHARACTERS);
}

/** The number in `bytes` bytes of a digest from byte `start`. */
export function digestNumber(digest: string, start: number, bytes: number): number {
  return Number.parseInt(digest.slice(start * 2, (start + bytes) * 2), 16);
}

/** Texts already put together, by first word and count: at most one for each pair. */
const FILLERS = new Map<number, string>();

/** `count` words of the list, beginning at the one that the digest's byte 3 names. */
function filler(digest: string, count: number): string {
  const start = digestNumber(digest, 3, 1) % WORDS.length;
  const key = start * (LENGTH_MIN + LENGTH_SPREAD) + count;
  const known = FILLERS.get(key);
  if (known !== undefined) return known;
  const words = Array.from({ length: count }, (_, index) => WORDS[(start + index * 7) % WORDS.length] ?? "");
  const joined = words.join(" ");
  FILLERS.set(key, joined);
  return joined;
}

/** Cuts before the first stop sequence; the text's words are counted anew. */
function cutAtStop(text: string, stopSequences: readonly string[]): { text: string; sequence: string } | null {
  let first: { at: number; sequence: string } | null = null;
  for (const sequence of stopSequences) {
    const at = text.indexOf(sequence);
    if (at >= 0 && (first === null || at < first.at)) first = { at, sequence };
  }
  return first === null ? null : { text: text.slice(0, first.at), sequence: first.sequence };
}

function cachedTokens(call: ChatCall, digest: string): number {
  const hasCache = call.model.prices.cachedInput !== null;
  return hasCache && digestNumber(digest, 0, 1) < CACHED_BELOW ? Math.floor(call.inputTokens / 2) : 0;
}

function written(call: ChatCall, digests: Digests, length: number): string {
  const text = length > 2 ? filler(digests.prompt, length - 2) : "";
  if (call.wantsJson) return JSON.stringify({ digest: digests.prompt, body: digests.body, text });
  const body = length > 1 ? ` body=${digests.body}` : "";
  return text === "" ? `digest=${digests.prompt}${body}` : `digest=${digests.prompt}${body} ${text}`;
}

/** Composes the answer. Reasoning comes on top of the text, within the call's maximum. */
export function composeAnswer(
  call: ChatCall,
  digests: Digests,
  seed: number,
  requestId: string,
  nowMs: number,
): ChatAnswer {
  const wanted = LENGTH_MIN + ((digestNumber(digests.prompt, 1, 2) + seed) % LENGTH_SPREAD);
  const length = Math.min(wanted, call.outputTokensMax);
  const whole = written(call, digests, length);
  const stopped = call.stopSequences.length === 0 ? null : cutAtStop(whole, call.stopSequences);
  const text = stopped === null ? whole : stopped.text;
  const textTokens = stopped === null ? length : Math.max(1, text.split(" ").length);
  const thought = call.thinks ? digestNumber(digests.prompt, 4, 1) % REASONING_SPREAD : 0;
  const reasoningTokens = Math.min(thought, call.outputTokensMax - textTokens);
  return {
    requestId,
    createdSeconds: Math.floor(nowMs / 1000),
    model: call.model,
    text,
    choices: call.choices,
    finish: stopped !== null ? "stop_sequence" : length < wanted ? "length" : "stop",
    stopSequence: stopped === null ? null : stopped.sequence,
    usage: {
      inputTokens: call.inputTokens,
      cachedInputTokens: cachedTokens(call, digests.prompt),
      cacheWriteTokens: 0,
      outputTokens: (textTokens + reasoningTokens) * call.choices,
    },
    reasoningTokens: reasoningTokens * call.choices,
  };
}
