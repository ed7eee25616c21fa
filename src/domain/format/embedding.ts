import type { Json, JsonObject } from "./json.js";
import type { Reasons } from "./reasons.js";

/** What a request for embeddings means, whatever its format. */
export interface EmbeddingRequest {
  /** As the caller named it; null when the body names none. */
  readonly model: string | null;
  readonly inputs: readonly string[];
  /** The caller gave one input and not a list of one: two formats, two forms of answer. */
  readonly isSingle: boolean;
  readonly dimensions: number | null;
  /** Numbers as 32-bit floats in base64 instead of JSON. */
  readonly inBase64: boolean;
  readonly endUser: string | null;
}

export interface EmbeddingAnswer {
  readonly model: string | null;
  /** In the order of the inputs; numbers as the provider wrote them. */
  readonly embeddings: readonly (readonly Json[])[];
  readonly inputTokens: number | null;
}

/** One format of embeddings, as `ChatFormat` is one of chats. */
export interface EmbeddingFormat {
  readonly word: string;
  readonly readRequest: (body: Json, reasons: Reasons) => EmbeddingRequest | null;
  readonly writeRequest: (request: EmbeddingRequest, reasons: Reasons) => JsonObject;
  readonly readAnswer: (answer: JsonObject, reasons: Reasons) => EmbeddingAnswer | null;
  /** @param asked the job's own request, in this format: the answer has the form that it asked for. */
  readonly writeAnswer: (answer: EmbeddingAnswer, asked: EmbeddingRequest) => JsonObject;
}
