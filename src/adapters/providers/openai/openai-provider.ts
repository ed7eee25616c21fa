import type { Provider } from "../../../ports/provider.js";
import { createDirectProvider } from "../direct-call.js";
import type { ProviderSettings } from "../direct-call.js";
import { openaiLikeWire } from "../openai-like/wire.js";

export const WIRE = openaiLikeWire({
  label: "openai",
  defaultBaseUrl: "https://api.openai.com/v1",
  // Reasoning models refuse the older name, older models take both: callers need not know which model an alias stands for.
  cap: { names: ["max_completion_tokens", "max_tokens"], renamed: true },
});

/** Direct calls to OpenAI. Not idempotent at the provider, which offers no look-up of a lost answer either. */
export function createDirect(settings: ProviderSettings): Provider {
  return createDirectProvider(settings, WIRE);
}
