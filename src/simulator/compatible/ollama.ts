/** Ollama: a prompt beyond the context is cut without a word, some fields are read over, any key will do. */
import type { Refusal } from "../engine/refusal.js";
import { toolCallsOf } from "../openai/chat-json.js";
import type { Flavour } from "./flavour.js";
import { usageOf } from "./flavour.js";

function refuse(status: number, type: string, message: string): Refusal {
  return { status, type, code: null, param: null, message };
}

export const ollama: Flavour = {
  name: "ollama",
  takesKeys: false,
  ignoredFields: [
    ...["n", "tool_choice", "logit_bias", "parallel_tool_calls", "store", "service_tier", "metadata", "user"],
    ...["logprobs", "top_logprobs", "safety_identifier", "verbosity", "prompt_cache_key", "prompt_cache_retention"],
    // Its cap is max_tokens; under the newer name it goes on without one (ollama/ollama#7125, read 2026-11-26).
    "max_completion_tokens",
  ],
  anyModel: false,
  tooLong: null,
  refuses: () => null,
  unknownModel: (model) => refuse(404, "api_error", `model "${model}" not found, try pulling it first`),
  wrongKey: refuse(401, "api_error", "unauthorized"),
  busy: refuse(503, "api_error", "server busy, please try again.  maximum pending requests exceeded"),
  errorBody: ({ message, type }) => ({ error: { message, type, param: null, code: null } }),
  answerJson: (answer) => {
    const calls = toolCallsOf(answer);
    const isCall = calls.length > 0;
    const said = isCall ? { content: "", tool_calls: calls } : { content: answer.text };
    const reason = isCall ? "tool_calls" : answer.finish === "length" ? "length" : "stop";
    return JSON.stringify({
      id: `chatcmpl-${answer.requestId.slice(4, 12)}`,
      object: "chat.completion",
      created: answer.createdSeconds,
      model: answer.model.version,
      system_fingerprint: "fp_ollama",
      choices: [{ index: 0, message: { role: "assistant", ...said }, finish_reason: reason }],
      usage: usageOf(answer),
    });
  },
};
