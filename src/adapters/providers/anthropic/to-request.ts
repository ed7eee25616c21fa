import type { ProviderCall } from "../../../ports/provider.js";
import { editedBody } from "../edited-body.js";

const DROPPED: ReadonlySet<string> = new Set(["stream"]);
const CAPS = ["max_tokens"] as const;

/** The body of `POST /v1/messages`; null when the caller's body is no JSON object. `max_tokens` is required there, so it is always set. */
export function toAnthropicRequest(call: ProviderCall): string | null {
  return editedBody(call.bodyText, {
    model: call.model,
    dropped: DROPPED,
    capNames: CAPS,
    capDefault: call.maxOutputTokensDefault,
  });
}
