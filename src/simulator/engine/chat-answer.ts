/**
 * The answer to a chat call, fixed by the request and the seed.
 *
 * Rules a checker can redo:
 * - `prompt digest` = first 32 hex characters of sha256 over the prompt's texts (system prompt, then each message's texts in
 *   order) joined by "\n"; `body digest` = the same over the request body's bytes as received.
 * - The answer's words are `digest=<prompt digest>`, `body=<body digest>`, then words of a fixed list; with JSON asked for, it is
 *   one object `{"digest":"…","body":"…","text":"…"}` of as many tokens as `text` would have had with both.
 * - Tools are called when the request forces it (the tool it names, else the first), or when the text of the last message, being the
 *   user's, says `call NAME` of a tool, each named tool once and in the order of the text; arguments satisfy the tool's schema.
 * - By a JSON schema the text is the compact JSON of a value that satisfies it (schema-value.ts).
 * - A JSON value by a schema counts ceil(UTF-8 bytes / 4) tokens, a tool call that of its arguments + 1; above the call's maximum
 *   the value is cut and a tool call left out, both with finish "length".
 * - Otherwise its length is 5 + ((bytes 1 and 2 of the prompt digest as a number + seed) mod 56) tokens, cut at the call's own maximum.
 * - Half of the input, rounded down, counts as cached when byte 0 of the prompt digest is below 64 and the model has a cached price.
 */
import { hash } from "node:crypto";
import type { ChatAnswer, ChatCall, FinishReason, ToolCall, ToolUse } from "./chat-call.js";
import type { AnswerContext } from "./direct-operation.js";
import { valueFor } from "./schema-value.js";
import { tokensOfText } from "./token-count.js";

export type Digests = { readonly prompt: string; readonly body: string };

export const DIGEST_HEX_CHARACTERS = 32;
const LENGTH_MIN = 5;
const LENGTH_SPREAD = 56;
const CACHED_BELOW = 64;
const REASONING_SPREAD = 64;
const CODE_OF_0 = 48;
const CODE_OF_9 = 57;
const CODE_OF_A = 97;
const WORDS =
  "a quiet story about people who meet late and learn slowly what the long road between two towns can mean".split(" ");

export function digestOf(bytes: string | Uint8Array): string {
  return hash("sha256", bytes, "hex").slice(0, DIGEST_HEX_CHARACTERS);
}

/** The number in `bytes` bytes of a digest from byte `start`. */
export function digestNumber(digest: string, start: number, bytes: number): number {
  let number = 0;
  for (let at = start * 2; at < (start + bytes) * 2; at += 1) {
    const code = digest.charCodeAt(at);
    number = number * 16 + (code <= CODE_OF_9 ? code - CODE_OF_0 : code - CODE_OF_A + 10);
  }
  return number;
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

/** What the model says, before usage: text or tool calls, its tokens, and why it ends. */
type Said = {
  readonly text: string;
  readonly toolCalls: readonly ToolCall[];
  readonly tokens: number;
  readonly finish: FinishReason;
  readonly stopSequence: string | null;
};

/** The names of the tools to call, in order. */
function calledTools({ tools, choice, parallel, lastUserText }: ToolUse): readonly string[] {
  if (typeof choice === "object") return [choice.name];
  if (choice === "none") return [];
  const asked = [...lastUserText.matchAll(/\bcall ([A-Za-z0-9_.:-]+)/g)].map((match) =>
    (match[1] ?? "").replace(/[.:]+$/, ""),
  );
  const named = [...new Set(asked)].filter((name) => tools.some((tool) => tool.name === name));
  if (named.length === 0 && choice === "forced") return tools.slice(0, 1).map((tool) => tool.name);
  return parallel ? named : named.slice(0, 1);
}

function saidByTools(call: ChatCall, digests: Digests): Said | null {
  const use = call.toolUse ?? null;
  const names = use === null ? [] : calledTools(use);
  if (use === null || names.length === 0) return null;
  const toolCalls = names.map((name, index) => {
    const parameters = use.tools.find((tool) => tool.name === name)?.parameters ?? null;
    const value = parameters === null ? {} : (valueFor(parameters, digests.prompt) ?? {});
    return {
      id: `${digests.prompt.slice(0, 20)}${String(index).padStart(4, "0")}`,
      name,
      argumentsJson: JSON.stringify(value),
    };
  });
  const tokens = toolCalls.reduce((sum, one) => sum + 1 + tokensOfText(Buffer.byteLength(one.argumentsJson)), 0);
  if (tokens > call.outputTokensMax)
    return { text: "", toolCalls: [], tokens: call.outputTokensMax, finish: "length", stopSequence: null };
  return { text: "", toolCalls, tokens, finish: "tool_calls", stopSequence: null };
}

function saidBySchema(call: ChatCall, digests: Digests): Said | null {
  const schema = call.jsonSchema ?? null;
  if (schema === null) return null;
  const text = JSON.stringify(valueFor(schema, digests.prompt) ?? null);
  const tokens = tokensOfText(Buffer.byteLength(text));
  if (tokens <= call.outputTokensMax) return { text, toolCalls: [], tokens, finish: "stop", stopSequence: null };
  const cut = text.slice(0, call.outputTokensMax * 4);
  return { text: cut, toolCalls: [], tokens: call.outputTokensMax, finish: "length", stopSequence: null };
}

function saidInWords(call: ChatCall, digests: Digests, seed: number): Said {
  const wanted = LENGTH_MIN + ((digestNumber(digests.prompt, 1, 2) + seed) % LENGTH_SPREAD);
  const length = Math.min(wanted, call.outputTokensMax);
  const whole = written(call, digests, length);
  const stopped = call.stopSequences.length === 0 ? null : cutAtStop(whole, call.stopSequences);
  if (stopped === null)
    return {
      text: whole,
      toolCalls: [],
      tokens: length,
      finish: length < wanted ? "length" : "stop",
      stopSequence: null,
    };
  const tokens = Math.max(1, stopped.text.split(" ").length);
  return { text: stopped.text, toolCalls: [], tokens, finish: "stop_sequence", stopSequence: stopped.sequence };
}

/** Composes the answer. Reasoning comes on top of what is said, within the call's maximum. */
export function composeAnswer(call: ChatCall, digests: Digests, context: AnswerContext): ChatAnswer {
  const said = saidByTools(call, digests) ?? saidBySchema(call, digests) ?? saidInWords(call, digests, context.seed);
  const thought = call.thinks ? digestNumber(digests.prompt, 4, 1) % REASONING_SPREAD : 0;
  const reasoningTokens = Math.min(thought, call.outputTokensMax - said.tokens);
  return {
    requestId: context.requestId,
    createdSeconds: Math.floor(context.nowMs / 1000),
    mode: context.mode,
    model: call.model,
    text: said.text,
    toolCalls: said.toolCalls,
    choices: call.choices,
    finish: said.finish,
    stopSequence: said.stopSequence,
    usage: {
      inputTokens: call.inputTokens,
      cachedInputTokens: call.cacheUse?.readTokens ?? cachedTokens(call, digests.prompt),
      cacheWriteTokens: (call.cacheUse?.writeTokens ?? 0) + (call.cacheUse?.write1hTokens ?? 0),
      cacheWrite1hTokens: call.cacheUse?.write1hTokens ?? 0,
      outputTokens: (said.tokens + reasoningTokens) * call.choices,
    },
    reasoningTokens: reasoningTokens * call.choices,
    showsThoughts: call.showsThoughts ?? false,
  };
}
