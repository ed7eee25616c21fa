import type { Provider } from "../../../ports/provider.js";
import { createDirectProvider } from "../direct-call.js";
import type { ProviderSettings } from "../direct-call.js";
import { openaiLikeWire } from "../openai-like/wire.js";
import { COMPATIBLE_ERRORS } from "./errors.js";

export const WIRE = openaiLikeWire({
  label: "openai-compatible",
  defaultBaseUrl: null,
  // vLLM takes both names, Ollama and llama.cpp before 2026-02 ignore the newer one: the answer would have no end.
  cap: { names: ["max_tokens", "max_completion_tokens"], renamed: true },
  errors: COMPATIBLE_ERRORS,
});

/** Direct calls to vLLM, llama.cpp, Ollama and others that speak like OpenAI. Needs a `baseUrl`. */
export function createDirect(settings: ProviderSettings): Provider {
  return createDirectProvider(settings, WIRE);
}
