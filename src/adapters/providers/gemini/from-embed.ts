import { NO_USAGE } from "../../../domain/cost/usage.js";
import { isJsonObject, objectIn, parseJsonObject } from "../json-object.js";
import { TokenReader } from "../token-reader.js";
import type { ReadAnswer } from "../wire-format.js";

/**
 * Reads what the ledger needs out of `{"embedding":{"values":[…]}}`, or `{"embeddings":[…]}` for several; the body itself goes to the
 * caller unchanged. Older models report no tokens, and then the cost is unknown; there is no output, so that its count is known to be 0.
 */
export function fromEmbed(bodyText: string): ReadAnswer {
  const body = parseJsonObject(bodyText);
  if (body === null) return { kind: "unusable", because: "a body that is not a whole JSON object" };
  const several = body["embeddings"];
  const vectors: readonly unknown[] = Array.isArray(several) ? several : [body["embedding"]];
  if (!Array.isArray(several) && !isJsonObject(body["embedding"]))
    return { kind: "unusable", because: "error" in body ? "an error instead of an answer" : "no embedding" };
  const tokens = new TokenReader();
  const inputTokens = tokens.read(objectIn(body, "usageMetadata")["promptTokenCount"]);
  return {
    finishReason: "stop",
    modelVersion: null,
    usage: { ...NO_USAGE, inputTokens, outputTokens: inputTokens === null ? null : 0 },
    usageSuspect: tokens.suspect,
    empty: !vectors.some(hasValues),
  };
}

function hasValues(vector: unknown): boolean {
  const values = isJsonObject(vector) ? vector["values"] : null;
  return Array.isArray(values) && values.length > 0;
}
