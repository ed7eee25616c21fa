import type { Provider } from "../../../ports/provider.js";
import { createDirectProvider } from "../direct-call.js";
import type { ProviderSettings, WireFormat } from "../direct-call.js";
import { COMPATIBLE_ERRORS, fromOpenaiError, OPENAI_ERRORS } from "./from-error.js";
import { fromOpenaiResponse } from "./from-response.js";
import { openaiRateLimits } from "./rate-headers.js";
import { toCompatibleRequest, toOpenaiRequest } from "./to-request.js";

const OPENAI: WireFormat = {
  label: "openai",
  defaultBaseUrl: "https://api.openai.com/v1",
  path: "/chat/completions",
  requestIdHeader: "x-request-id",
  headers: (apiKey) => {
    const all = ["content-type", "application/json", "accept", "application/json"];
    return apiKey === null ? all : [...all, "authorization", `Bearer ${apiKey}`];
  },
  toRequest: toOpenaiRequest,
  fromResponse: fromOpenaiResponse,
  fromError: fromOpenaiError,
  errors: OPENAI_ERRORS,
  rateLimits: openaiRateLimits,
};

/** The same wire at a server of one's own: another address, another name of the output cap, poorer errors. */
const COMPATIBLE: WireFormat = {
  ...OPENAI,
  label: "openai-compatible",
  defaultBaseUrl: null,
  toRequest: toCompatibleRequest,
  errors: COMPATIBLE_ERRORS,
};

/** Direct calls of `openai.chat` jobs to OpenAI. Not idempotent at the provider, which offers no look-up of a lost answer either. */
export function createOpenaiProvider(settings: ProviderSettings): Provider {
  return createDirectProvider(settings, OPENAI);
}

/** Direct calls of `openai.chat` jobs to vLLM, llama.cpp, Ollama and others that speak like OpenAI. Needs a `baseUrl`. */
export function createCompatibleProvider(settings: ProviderSettings): Provider {
  return createDirectProvider(settings, COMPATIBLE);
}
