/** llama.cpp's server: one model under any name, errors of its own shape, timings in its answers. */
import type { ChatAnswer } from "../engine/chat-call.js";
import type { Refusal } from "../engine/refusal.js";
import { toolCallsOf } from "../openai/chat-json.js";
import type { Flavour } from "./flavour.js";
import { usageOf } from "./flavour.js";

function refuse(status: number, type: string, message: string): Refusal {
  return { status, type, code: null, param: null, message };
}

/** Made up, and the same for the same tokens: a millisecond a prompt token, ten a token said. */
function timingsOf({ usage }: ChatAnswer): Record<string, number> {
  return {
    prompt_n: usage.inputTokens,
    prompt_ms: usage.inputTokens,
    prompt_per_token_ms: 1,
    prompt_per_second: 1000,
    predicted_n: usage.outputTokens,
    predicted_ms: usage.outputTokens * 10,
    predicted_per_token_ms: 10,
    predicted_per_second: 100,
  };
}

export const llamaCpp: Flavour = {
  name: "llama-cpp",
  takesKeys: true,
  ignoredFields: [
    ...["store", "service_tier", "metadata", "user", "safety_identifier", "verbosity", "prompt_cache_key"],
    // Builds before 2026-02 don't read it (ggml-org/llama.cpp#19831, read 2026-11-26).
    "max_completion_tokens",
  ],
  anyModel: true,
  tooLong: (tokens, tokensMax) => ({
    ...refuse(
      400,
      "exceed_context_size_error",
      `request (${String(tokens)} tokens) exceeds the available context size (${String(tokensMax)} tokens), try increasing it`,
    ),
    details: { n_prompt_tokens: tokens, n_ctx: tokensMax },
  }),
  refuses: (body) =>
    typeof body["n"] === "number" && body["n"] > 1
      ? refuse(400, "invalid_request_error", "Only one completion choice is allowed")
      : null,
  unknownModel: (model) => refuse(404, "not_found_error", `model '${model}' not found`),
  wrongKey: refuse(401, "authentication_error", "Invalid API Key"),
  busy: refuse(503, "unavailable_error", "Loading model"),
  errorBody: ({ status, message, type, details }) => ({
    error: { code: status, message, type, ...(typeof details === "object" ? details : {}) },
  }),
  answerJson: (answer) => {
    const calls = toolCallsOf(answer);
    const isCall = calls.length > 0;
    const said = isCall ? { content: null, tool_calls: calls } : { content: answer.text };
    const reason = isCall ? "tool_calls" : answer.finish === "length" ? "length" : "stop";
    return JSON.stringify({
      choices: [{ finish_reason: reason, index: 0, message: { role: "assistant", ...said } }],
      created: answer.createdSeconds,
      model: answer.model.version,
      system_fingerprint: "b6000-simulated",
      object: "chat.completion",
      usage: usageOf(answer),
      id: `chatcmpl-${answer.requestId.slice(4)}`,
      timings: timingsOf(answer),
    });
  },
};
