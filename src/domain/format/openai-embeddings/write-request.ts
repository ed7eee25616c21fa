import type { EmbeddingRequest } from "../embedding.js";
import type { JsonObject } from "../json.js";
import type { Reasons } from "../reasons.js";

/** Most inputs of a call. Source: OpenAI API specification, CreateEmbeddingRequest, 2026-08-21. */
const INPUTS_MAX = 2_048;

/** The body of `POST /embeddings`, without a model. Numbers are always asked for as such; the job's own form is made of them. */
export function writeOpenaiEmbeddingRequest(request: EmbeddingRequest, reasons: Reasons): JsonObject {
  const { inputs, isSingle } = request;
  if (inputs.length > INPUTS_MAX) reasons.add(`openai takes ${String(INPUTS_MAX)} inputs at most`);
  return {
    input: isSingle ? (inputs[0] ?? "") : inputs,
    dimensions: request.dimensions ?? undefined,
    user: request.endUser ?? undefined,
  };
}
