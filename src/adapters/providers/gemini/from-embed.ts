import { NO_USAGE, type Usage } from "../../../domain/cost/usage.js";
import { isJsonObject, objectIn, parseJsonObject } from "../json-object.js";
import type { JsonObject } from "../json-object.js";
import { TokenReader } from "../token-reader.js";
import type { ReadAnswer } from "../wire-format.js";

/**
 * Reads what the ledger needs out of `{"embedding":{"values":[…]}}`, or `{"embeddings":[…]}` for several; the body itself goes to the
 * caller unchanged.
 */
export function fromEmbed(bodyText: string): ReadAnswer {
  const body = parseJsonObject(bodyText);
  if (body === null) return { kind: "unusable", because: "a body that is not a whole JSON object" };
  const several = body["embeddings"];
  const vectors: readonly unknown[] = Array.isArray(several) ? several : [body["embedding"]];
  if (!Array.isArray(several) && !isJsonObject(body["embedding"]))
    return { kind: "unusable", because: "error" in body ? "an error instead of an answer" : "no embedding" };
  const { usage, suspect } = embedUsage(body);
  return {
    finishReason: "stop",
    modelVersion: null,
    usage,
    usageSuspect: suspect,
    empty: !vectors.some(hasValues),
  };
}

/**
 * Newer models count the prompt in `usageMetadata`, a line of a batch in `tokenCount`, as text. Older ones say nothing, and then the cost is
 * unknown. There is no output, so that its count is known to be 0. Suspect: no count, two that differ, parts that are not the whole.
 * Source: EmbeddingUsageMetadata of the embeddings reference, SingleEmbedContentResponse of @google/genai 2.32.0, read 2026-11-26.
 */
function embedUsage(body: JsonObject): { readonly usage: Usage; readonly suspect: boolean } {
  const tokens = new TokenReader();
  const reported = objectIn(body, "usageMetadata");
  const ofPrompt = tokens.read(reported["promptTokenCount"]);
  const ofLine = tokens.read(numberOf(body["tokenCount"]));
  tokens.expectEqual(ofPrompt, ofLine);
  tokens.expectEqual(ofPrompt, sumOf(reported["promptTokenDetails"], tokens));
  const inputTokens = ofPrompt ?? ofLine;
  return {
    usage: { ...NO_USAGE, inputTokens, outputTokens: inputTokens === null ? null : 0 },
    suspect: tokens.suspect,
  };
}

/** Google writes numbers of 64 bits as text. */
function numberOf(value: unknown): unknown {
  return typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value;
}

/** Null: the parts are not named. A count of zero is left out of the JSON. */
function sumOf(details: unknown, tokens: TokenReader): number | null {
  if (!Array.isArray(details) || details.length === 0) return null;
  return details.reduce<number>(
    (sum, one: unknown) => sum + (isJsonObject(one) ? (tokens.read(one["tokenCount"]) ?? 0) : 0),
    0,
  );
}

function hasValues(vector: unknown): boolean {
  const values = isJsonObject(vector) ? vector["values"] : null;
  return Array.isArray(values) && values.length > 0;
}
