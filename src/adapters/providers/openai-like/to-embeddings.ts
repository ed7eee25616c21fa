import { editedBody } from "../edited-body.js";
import type { CallBody } from "../wire-format.js";

const DROPPED: ReadonlySet<string> = new Set(["stream"]);

/** The body of `POST /embeddings`: the caller's with the model put in. Null when the caller's body is no JSON object. */
export function toEmbeddings(call: CallBody): string | null {
  return editedBody(call.bodyText, { model: call.model, dropped: DROPPED, cap: null });
}
