import { editedBody } from "../edited-body.js";
import type { CallBody } from "../wire-format.js";

const DROPPED: ReadonlySet<string> = new Set(["stream"]);
const CAPS = ["max_tokens"] as const;

/** The body of `POST /v1/messages`; null when the caller's body is no JSON object. `max_tokens` is required there, so it is always set. */
export function toAnthropicRequest(call: CallBody): string | null {
  return editedBody(call.bodyText, {
    model: call.model,
    dropped: DROPPED,
    cap: { names: CAPS, byDefault: call.maxOutputTokensDefault },
  });
}
