import type { EmbeddingAnswer, EmbeddingRequest } from "../embedding.js";
import { countIn, objectIn, objectsIn, textIn } from "../fields.js";
import { isJsonList } from "../json.js";
import type { Json, JsonObject } from "../json.js";
import type { Reasons } from "../reasons.js";
import { floatsFromBase64, floatsToBase64 } from "./floats.js";

/** A CreateEmbeddingResponse. Entries are placed by their index. */
export function readOpenaiEmbeddingAnswer(answer: JsonObject, reasons: Reasons): EmbeddingAnswer | null {
  const entries = objectsIn(answer, "data");
  if (entries.length === 0) reasons.add("the answer has no embeddings");
  const placed = entries.map((entry, place) => ({ entry, place: countIn(entry, "index") ?? place }));
  return {
    model: textIn(answer, "model"),
    embeddings: placed.sort((left, right) => left.place - right.place).map(({ entry }) => values(entry["embedding"])),
    inputTokens: countIn(objectIn(answer, "usage"), "prompt_tokens"),
  };
}

function values(embedding: Json | undefined): readonly Json[] {
  if (typeof embedding === "string") return floatsFromBase64(embedding);
  return isJsonList(embedding) ? embedding : [];
}

/** Usage is left out when the provider did not report it: the format has no way to say so. */
export function writeOpenaiEmbeddingAnswer(answer: EmbeddingAnswer, asked: EmbeddingRequest): JsonObject {
  const { inputTokens } = answer;
  return {
    object: "list",
    data: answer.embeddings.map((embedding, index) => ({
      object: "embedding",
      index,
      embedding: asked.inBase64 ? floatsToBase64(embedding) : embedding,
    })),
    model: answer.model ?? asked.model ?? "",
    usage: inputTokens === null ? undefined : { prompt_tokens: inputTokens, total_tokens: inputTokens },
  };
}
