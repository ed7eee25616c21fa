import type { ProviderKind } from "../../domain/route/route.js";
import type { Provider } from "../../ports/provider.js";
import { createAnthropicProvider } from "./anthropic/anthropic-provider.js";
import type { ProviderSettings } from "./direct-call.js";
import { createCompatibleProvider, createOpenaiProvider } from "./openai/openai-provider.js";

/**
 * The adapter of one account, with sockets of its own. `close` cuts what is in the air.
 * @throws TypeError for an account that needs a `baseUrl` and has none, or one that is no URL (the config check refuses both before).
 */
export function createProvider(kind: ProviderKind, settings: ProviderSettings): Provider {
  switch (kind) {
    case "openai":
      return createOpenaiProvider(settings);
    case "openai-compatible":
      return createCompatibleProvider(settings);
    case "anthropic":
      return createAnthropicProvider(settings);
  }
}
