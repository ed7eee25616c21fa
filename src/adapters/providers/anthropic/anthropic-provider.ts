import type { Provider } from "../../../ports/provider.js";
import { createDirectProvider } from "../direct-call.js";
import type { ProviderSettings } from "../direct-call.js";
import { at, type WireFormat } from "../wire-format.js";
import { ANTHROPIC_ERRORS, fromAnthropicError } from "./from-error.js";
import { fromAnthropicResponse } from "./from-response.js";
import { anthropicRateLimits } from "./rate-headers.js";
import { toAnthropicRequest } from "./to-request.js";

/** The older of the two API versions: it takes sampling parameters, which callers still send. */
const API_VERSION = "2023-06-01";

export const WIRE: WireFormat = {
  label: "anthropic",
  defaultBaseUrl: "https://api.anthropic.com",
  requestIdHeader: "request-id",
  headers: (apiKey) => {
    const all = ["content-type", "application/json", "accept", "application/json", "anthropic-version", API_VERSION];
    return apiKey === null ? all : [...all, "x-api-key", apiKey];
  },
  calls: {
    "anthropic.messages": {
      toRequest: (call) => at("/v1/messages", toAnthropicRequest(call)),
      fromResponse: fromAnthropicResponse,
    },
  },
  fromError: fromAnthropicError,
  errors: ANTHROPIC_ERRORS,
  rateLimits: anthropicRateLimits,
};

/** Direct calls to Anthropic. Not idempotent at the provider, which offers no look-up of a lost answer either. */
export function createDirect(settings: ProviderSettings): Provider {
  return createDirectProvider(settings, WIRE);
}
