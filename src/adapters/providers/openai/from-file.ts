import type { StoredFile } from "../../../ports/batch-provider.js";
import { countIn, idIn, secondsIn } from "../batch-answers.js";
import { textIn } from "../json-object.js";
import type { JsonObject } from "../json-object.js";

/** Its name must end so. */
export const FILE_ENDING = ".jsonl";

/** A file object; null when it is none. A file that is still looked at is refused at creation by some servers, so it is not ready. */
export function fromOpenaiFile(body: JsonObject): StoredFile | null {
  const fileId = idIn(body, "id");
  if (fileId === null) return null;
  const name = textIn(body, "filename") ?? "";
  return {
    fileId,
    name: name.endsWith(FILE_ENDING) ? name.slice(0, -FILE_ENDING.length) : name,
    bytes: countIn(body, "bytes"),
    createdAtMs: secondsIn(body, "created_at"),
    state: stateOf(textIn(body, "status")),
  };
}

/** The status is deprecated, so that an absent one is a good one. */
function stateOf(status: string | null): StoredFile["state"] {
  if (status === "error" || status === "deleted") return "failed";
  return status === "pending" || status === "running" ? "processing" : "ready";
}
