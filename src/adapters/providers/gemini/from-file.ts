import type { StoredFile } from "../../../ports/batch-provider.js";
import { countIn, timeIn } from "../batch-answers.js";
import { textIn } from "../json-object.js";
import type { JsonObject } from "../json-object.js";
import { resourceName } from "./from-operation.js";

/** A file; null when the object is none. Its name is the one we chose. Source: Gemini API files reference, 2026-08. */
export function fromGeminiFile(body: JsonObject): StoredFile | null {
  const fileId = resourceName(body["name"], "files");
  if (fileId === null) return null;
  return {
    fileId,
    name: fileId.slice("files/".length),
    bytes: countIn(body, "sizeBytes"),
    createdAtMs: timeIn(body, "createTime"),
    state: stateOf(textIn(body, "state")),
  };
}

function stateOf(word: string | null): StoredFile["state"] {
  if (word === "ACTIVE") return "ready";
  return word === "FAILED" ? "failed" : "processing";
}
