import type { ProviderCall } from "../../../ports/provider.js";
import { editedBody } from "../edited-body.js";

/** The answer comes whole, whatever the caller asked; OpenAI refuses `stream_options` without `stream`. */
const DROPPED: ReadonlySet<string> = new Set(["stream", "stream_options"]);

/** Reasoning models refuse the older name; servers of one's own often know only that one. Either counts as the caller's cap. */
const OPENAI_CAPS = ["max_completion_tokens", "max_tokens"] as const;
const COMPATIBLE_CAPS = ["max_tokens", "max_completion_tokens"] as const;

/** The body of `POST /chat/completions`; null when the caller's body is no JSON object. */
export function toOpenaiRequest(call: ProviderCall): string | null {
  return editedBody(call.bodyText, edit(call, OPENAI_CAPS));
}

export function toCompatibleRequest(call: ProviderCall): string | null {
  return editedBody(call.bodyText, edit(call, COMPATIBLE_CAPS));
}

function edit(call: ProviderCall, capNames: readonly [string, string]) {
  return { model: call.model, dropped: DROPPED, capNames, capDefault: call.maxOutputTokensDefault };
}
