import type { Provider } from "../../../ports/provider.js";
import { createDirectProvider } from "../direct-call.js";
import type { ProviderSettings } from "../direct-call.js";
import { openaiLikeWire } from "../openai-like/wire.js";
import { GROQ_ERRORS } from "./errors.js";
import { groqRateLimits } from "./rate-headers.js";

export const WIRE = openaiLikeWire({
  label: "groq",
  defaultBaseUrl: "https://api.groq.com/openai/v1",
  // It takes both names and calls the older one deprecated.
  cap: { names: ["max_completion_tokens", "max_tokens"], renamed: true },
  errors: GROQ_ERRORS,
  rateLimits: groqRateLimits,
});

/** Direct calls to Groq. Not idempotent at the provider, which offers no look-up of a lost answer either. */
export function createDirect(settings: ProviderSettings): Provider {
  return createDirectProvider(settings, WIRE);
}
