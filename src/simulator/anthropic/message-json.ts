/** A message as Anthropic answers it, and its usage. Source: providers.md 4.2 and the types of the official SDK 1.13, read 2026-11-24. */
import type { ChatAnswer, ChatCall, FinishReason } from "../engine/chat-call.js";
import type { UsageLie } from "../engine/direct-operation.js";
import { parsedObject } from "../engine/field-checks.js";
import { quoted } from "../engine/quoted.js";

const STOP_REASONS = {
  stop: "end_turn",
  length: "max_tokens",
  stop_sequence: "stop_sequence",
  tool_calls: "tool_use",
  refusal: "refusal",
} as const satisfies Record<FinishReason, string>;

/** Thinking that is not shown leaves a block without a word. */
function thinkingJson(answer: ChatAnswer): string {
  const tokens = String(answer.reasoningTokens);
  const thinking = answer.showsThoughts ? `Thinking it over, ${tokens} tokens long.` : "";
  const signature = Buffer.from(`thought of ${answer.requestId}`).toString("base64");
  return `{"type":"thinking","thinking":"${thinking}","signature":"${signature}"}`;
}

function contentJson(answer: ChatAnswer): string {
  if (answer.finish === "refusal") return "[]";
  const text = answer.text === "" ? "" : `{"type":"text","text":${quoted(answer.text)}}`;
  if (answer.reasoningTokens === 0 && answer.toolCalls.length === 0) return `[${text}]`;
  const blocks: string[] = [];
  if (answer.reasoningTokens > 0) blocks.push(thinkingJson(answer));
  if (text !== "") blocks.push(text);
  for (const { id, name, argumentsJson } of answer.toolCalls) {
    const head = `"type":"tool_use","id":"toolu_${id}","name":${JSON.stringify(name)}`;
    blocks.push(`{${head},"input":${argumentsJson},"caller":{"type":"direct"}}`);
  }
  return `[${blocks.join(",")}]`;
}

export function answerJson(answer: ChatAnswer): string {
  const details =
    answer.finish === "refusal"
      ? `"stop_details":{"type":"refusal","category":null,"explanation":${quoted(answer.text)}},`
      : "";
  const sequence = answer.stopSequence === null ? "null" : quoted(answer.stopSequence);
  return (
    `{"id":"msg_${answer.requestId.slice(4)}","type":"message","role":"assistant","model":${quoted(answer.model.version)},` +
    `"content":${contentJson(answer)},"stop_reason":"${answer.stopped?.word ?? STOP_REASONS[answer.finish]}","stop_sequence":${sequence},` +
    `${details}"usage":${usageJson(answer)}}`
  );
}

/** Reasons that no rule of the engine leads to. Source: providers.md 4.2, read 2026-11-24. */
const RARE_REASONS = new Set(["pause_turn", "model_context_window_exceeded"]);

/** By the simulator's own rule an answer ends with one of them when the prompt's last text says `finish REASON`. */
export function adjusted(answer: ChatAnswer, { texts }: ChatCall): ChatAnswer {
  const last = texts.at(-1) ?? "";
  const word = last.includes("finish ") ? (/\bfinish ([a-z_]+)\b/.exec(last)?.[1] ?? "") : "";
  return RARE_REASONS.has(word) ? { ...answer, stopped: { where: "answer", word } } : answer;
}

/** `input_tokens` leaves out what went through the cache; thinking is part of `output_tokens`. */
function usageJson({ usage, reasoningTokens, mode }: ChatAnswer): string {
  const { inputTokens, cachedInputTokens, cacheWriteTokens, cacheWrite1hTokens = 0, outputTokens } = usage;
  const thought =
    reasoningTokens === 0 ? "" : `"output_tokens_details":{"thinking_tokens":${String(reasoningTokens)}},`;
  return (
    `{"input_tokens":${String(inputTokens - cachedInputTokens - cacheWriteTokens)},` +
    `"cache_creation_input_tokens":${String(cacheWriteTokens)},"cache_read_input_tokens":${String(cachedInputTokens)},` +
    `"cache_creation":{"ephemeral_5m_input_tokens":${String(cacheWriteTokens - cacheWrite1hTokens)},` +
    `"ephemeral_1h_input_tokens":${String(cacheWrite1hTokens)}},"output_tokens":${String(outputTokens)},${thought}` +
    `"service_tier":"${mode === "batch" ? "batch" : "standard"}"}`
  );
}

export function lyingUsage(answer: ChatAnswer, lie: UsageLie): unknown {
  const usage = parsedObject(usageJson(answer));
  switch (lie) {
    case "missing":
      return undefined;
    case "negative":
      return { ...usage, output_tokens: -answer.usage.outputTokens };
    case "huge":
      return { ...usage, input_tokens: 1e18 };
    case "not_a_number":
      return { ...usage, input_tokens: "NaN" };
    case "wrong_total":
      // There is no total here; the sum that can be wrong is that of the cache writes.
      return { ...usage, cache_creation: { ephemeral_5m_input_tokens: 17, ephemeral_1h_input_tokens: 0 } };
  }
}
