/** Chat answers as OpenAI writes them. Put together by hand: this is on every call's way. */
import type { ChatAnswer } from "../engine/chat-call.js";
import type { UsageLie } from "../engine/direct-operation.js";
import { parsedObject } from "../engine/field-checks.js";
import type { JsonObject } from "../engine/field-checks.js";
import { quoted } from "../engine/quoted.js";

function choiceJson(answer: ChatAnswer, index: number): string {
  const text = quoted(answer.text);
  const said =
    answer.finish === "refusal"
      ? `"content":null,"refusal":${text}`
      : answer.toolCalls.length > 0
        ? `"content":null,"refusal":null,"tool_calls":${JSON.stringify(toolCallsOf(answer))}`
        : `"content":${text},"refusal":null`;
  const reason = answer.finish === "length" || answer.finish === "tool_calls" ? answer.finish : "stop";
  return `{"index":${String(index)},"message":{"role":"assistant",${said},"annotations":[]},"logprobs":null,"finish_reason":"${reason}"}`;
}

/** An answer's tool calls. */
export function toolCallsOf(answer: ChatAnswer): readonly JsonObject[] {
  return answer.toolCalls.map(({ id, name, argumentsJson }) => ({
    id: `call_${id}`,
    type: "function",
    function: { name, arguments: argumentsJson },
  }));
}

export function answerJson(answer: ChatAnswer): string {
  let choices = choiceJson(answer, 0);
  for (let index = 1; index < answer.choices; index += 1) choices += `,${choiceJson(answer, index)}`;
  return (
    `{"id":"chatcmpl-${answer.requestId.slice(4)}","object":"chat.completion","created":${String(answer.createdSeconds)},` +
    `"model":${quoted(answer.model.version)},"choices":[${choices}],"usage":${usageJson(answer)},` +
    `"service_tier":"default","system_fingerprint":null}`
  );
}

function usageJson(answer: ChatAnswer): string {
  const { inputTokens, cachedInputTokens, outputTokens } = answer.usage;
  return (
    `{"prompt_tokens":${String(inputTokens)},"completion_tokens":${String(outputTokens)},"total_tokens":${String(inputTokens + outputTokens)},` +
    `"prompt_tokens_details":{"cached_tokens":${String(cachedInputTokens)},"audio_tokens":0},` +
    `"completion_tokens_details":{"reasoning_tokens":${String(answer.reasoningTokens)},"audio_tokens":0,` +
    `"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`
  );
}

export function lyingUsage(answer: ChatAnswer, lie: UsageLie): unknown {
  return lieAbout(parsedObject(usageJson(answer)), answer, lie);
}

/** The usage of an answer with a lie in it; undefined leaves it out. */
export function lieAbout(usage: JsonObject, answer: ChatAnswer, lie: UsageLie): unknown {
  switch (lie) {
    case "missing":
      return undefined;
    case "negative":
      return { ...usage, completion_tokens: -answer.usage.outputTokens };
    case "huge":
      return { ...usage, prompt_tokens: 1e18, total_tokens: 1e18 };
    case "not_a_number":
      return { ...usage, prompt_tokens: "NaN" };
    case "wrong_total":
      return { ...usage, total_tokens: answer.usage.inputTokens + answer.usage.outputTokens + 17 };
  }
}
