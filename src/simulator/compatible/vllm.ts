/** vLLM's server: errors with numbers for codes, more fields in its answers, no queue that ever refuses. */
import type { ChatAnswer } from "../engine/chat-call.js";
import type { Refusal } from "../engine/refusal.js";
import { toolCallsOf } from "../openai/chat-json.js";
import type { Flavour } from "./flavour.js";
import { usageOf } from "./flavour.js";

const TYPES: Readonly<Record<number, string>> = {
  400: "BadRequestError",
  401: "AuthenticationError",
  404: "NotFoundError",
  500: "InternalServerError",
  503: "ServiceUnavailableError",
};

function refuse(status: number, message: string, param: string | null = null): Refusal {
  return { status, type: TYPES[status] ?? "BadRequestError", code: null, param, message };
}

function choiceOf(answer: ChatAnswer, index: number): Record<string, unknown> {
  const isCall = answer.toolCalls.length > 0;
  return {
    index,
    message: {
      role: "assistant",
      content: isCall ? null : answer.text,
      refusal: null,
      annotations: null,
      audio: null,
      function_call: null,
      tool_calls: toolCallsOf(answer),
      reasoning_content: null,
    },
    logprobs: null,
    finish_reason: isCall ? "tool_calls" : answer.finish === "length" ? "length" : "stop",
    stop_reason: answer.stopSequence,
    token_ids: null,
  };
}

export const vllm: Flavour = {
  name: "vllm",
  takesKeys: true,
  ignoredFields: [
    "store",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "verbosity",
  ],
  anyModel: false,
  tooLong: (tokens, tokensMax) =>
    refuse(
      400,
      `This model's maximum context length is ${String(tokensMax)} tokens. However, your request has ${String(tokens)} input tokens. Please reduce the length of the input messages.`,
    ),
  refuses: () => null,
  unknownModel: (model) => refuse(404, `The model \`${model}\` does not exist.`, "model"),
  wrongKey: refuse(401, "Unauthorized"),
  busy: refuse(503, "The engine is not ready."),
  errorBody: (refusal) => ({
    error: {
      message: refusal.message,
      type: TYPES[refusal.status] ?? refusal.type,
      param: refusal.param,
      code: refusal.status,
    },
  }),
  answerJson: (answer) =>
    JSON.stringify({
      id: `chatcmpl-${answer.requestId.slice(4)}`,
      object: "chat.completion",
      created: answer.createdSeconds,
      model: answer.model.version,
      choices: Array.from({ length: answer.choices }, (_, index) => choiceOf(answer, index)),
      service_tier: null,
      system_fingerprint: null,
      usage: { ...usageOf(answer), prompt_tokens_details: null },
      prompt_logprobs: null,
      prompt_token_ids: null,
      kv_transfer_params: null,
    }),
};
