import type { Provider } from "../../../ports/provider.js";
import { createDirectProvider } from "../direct-call.js";
import type { ProviderSettings } from "../direct-call.js";
import { openaiLikeWire } from "../openai-like/wire.js";
import { COMPATIBLE_ERRORS } from "./errors.js";

const WIRE = openaiLikeWire({
  label: "openai-compatible",
  defaultBaseUrl: null,
  // Such servers often know only the older name.
  cap: { names: ["max_tokens", "max_completion_tokens"], renamed: true },
  errors: COMPATIBLE_ERRORS,
});

/** Direct calls to vLLM, llama.cpp, Ollama and others that speak like OpenAI. Needs a `baseUrl`. */
export function createDirect(settings: ProviderSettings): Provider {
  return createDirectProvider(settings, WIRE);
}
