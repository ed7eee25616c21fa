import { isJsonObject, parseJsonObject, textIn } from "../json-object.js";
import type { JsonObject } from "../json-object.js";
import type { ReadAnswer } from "../wire-format.js";
import { fromEmbeddingsUsage } from "./from-usage.js";

/** Reads what the ledger needs out of a list of embeddings; the body itself goes to the caller unchanged. */
export function fromEmbeddings(bodyText: string): ReadAnswer {
  const body = parseJsonObject(bodyText);
  if (body === null) return { kind: "unusable", because: "a body that is not a whole JSON object" };
  const data = body["data"];
  if (!Array.isArray(data))
    return { kind: "unusable", because: "error" in body ? "an error instead of an answer" : "no data" };
  const { usage, suspect } = fromEmbeddingsUsage(body);
  return {
    finishReason: "stop",
    modelVersion: textIn(body, "model"),
    usage,
    usageSuspect: suspect,
    empty: !data.some((item) => isJsonObject(item) && hasVector(item)),
  };
}

/** A list of numbers, or their bytes in base64. */
function hasVector({ embedding }: JsonObject): boolean {
  return (typeof embedding === "string" || Array.isArray(embedding)) && embedding.length > 0;
}
