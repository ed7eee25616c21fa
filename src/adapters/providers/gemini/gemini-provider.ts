import type { Provider } from "../../../ports/provider.js";
import { createDirectProvider } from "../direct-call.js";
import type { ProviderSettings } from "../direct-call.js";
import type { WireFormat } from "../wire-format.js";
import { fromEmbed } from "./from-embed.js";
import { fromGeminiError, GEMINI_ERRORS } from "./from-error.js";
import { fromGenerate } from "./from-generate.js";
import { toEmbed } from "./to-embed.js";
import { toGenerate } from "./to-generate.js";

export const WIRE: WireFormat = {
  label: "gemini",
  defaultBaseUrl: "https://generativelanguage.googleapis.com/v1beta",
  requestIdHeader: null,
  headers: (apiKey) => {
    const all = ["content-type", "application/json", "accept", "application/json"];
    return apiKey === null ? all : [...all, "x-goog-api-key", apiKey];
  },
  calls: {
    "gemini.generate": { toRequest: toGenerate, fromResponse: fromGenerate },
    "gemini.embed": { toRequest: toEmbed, fromResponse: fromEmbed },
  },
  fromError: fromGeminiError,
  errors: GEMINI_ERRORS,
  // It documents none; what it says of a limit stands in the body of a 429.
  rateLimits: () => [],
};

/** Direct calls to the Gemini API. Not idempotent at the provider, which offers no look-up of a lost answer either. */
export function createDirect(settings: ProviderSettings): Provider {
  return createDirectProvider(settings, WIRE);
}
