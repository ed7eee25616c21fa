import type { EmbeddingAnswer, EmbeddingRequest } from "../embedding.js";
import { countIn, listIn, objectIn, objectsIn } from "../fields.js";
import { isJsonObject } from "../json.js";
import type { JsonObject } from "../json.js";
import type { Reasons } from "../reasons.js";

/** `{embedding}` for one input, `{embeddings}` for a list. The API names no model, and tokens only of late. */
export function readGeminiEmbeddingAnswer(answer: JsonObject, reasons: Reasons): EmbeddingAnswer | null {
  const single = answer["embedding"];
  const entries = isJsonObject(single) ? [single] : objectsIn(answer, "embeddings");
  if (entries.length === 0) reasons.add("the answer has no embeddings");
  return {
    model: null,
    embeddings: entries.map((entry) => listIn(entry, "values")),
    inputTokens: countIn(objectIn(answer, "usageMetadata"), "promptTokenCount"),
  };
}

export function writeGeminiEmbeddingAnswer(answer: EmbeddingAnswer, asked: EmbeddingRequest): JsonObject {
  const entries = answer.embeddings.map((values) => ({ values }));
  const usageMetadata = answer.inputTokens === null ? undefined : { promptTokenCount: answer.inputTokens };
  return asked.isSingle ? { embedding: entries[0] ?? {}, usageMetadata } : { embeddings: entries, usageMetadata };
}
