import { editedBody } from "../edited-body.js";
import type { CallBody } from "../wire-format.js";

/** The answer comes whole, whatever the caller asked; OpenAI refuses `stream_options` without `stream`. */
const DROPPED: ReadonlySet<string> = new Set(["stream", "stream_options"]);

/** How the output cap is called. Either name counts as the caller's. */
export interface CapNames {
  /** The first is the one that is sent when the caller set none. */
  readonly names: readonly ["max_completion_tokens", "max_tokens"] | readonly ["max_tokens", "max_completion_tokens"];
  /** The other name is refused there, or ignored in silence. */
  readonly renamed?: boolean;
}

/** The body of `POST /chat/completions`; null when the caller's body is no JSON object. */
export function toChat(call: CallBody, cap: CapNames): string | null {
  return editedBody(call.bodyText, {
    model: call.model,
    dropped: DROPPED,
    // Written out: a spread here costs more than all the rest.
    cap: { names: cap.names, renamed: cap.renamed === true, byDefault: call.maxOutputTokensDefault },
  });
}
