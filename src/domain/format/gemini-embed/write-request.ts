import type { EmbeddingRequest } from "../embedding.js";
import type { JsonObject } from "../json.js";
import type { Reasons } from "../reasons.js";

/**
 * Most inputs of a call. Source: the API's own error, "at most 100 requests can be in one batch", as reported in
 * langchain-ai/langchainjs issue 4491.
 */
const INPUTS_MAX = 100;

/** One input: the body of `:embedContent`; a list: that of `:batchEmbedContents`, in whose requests the adapter still sets the model. */
export function writeGeminiEmbeddingRequest(request: EmbeddingRequest, reasons: Reasons): JsonObject {
  if (request.endUser !== null) reasons.missing("name of the end user (user)");
  if (request.inputs.length > INPUTS_MAX) reasons.add(`gemini takes ${String(INPUTS_MAX)} inputs at most`);
  const requests = request.inputs.map((text) => ({
    content: { parts: [{ text }] },
    outputDimensionality: request.dimensions ?? undefined,
  }));
  const [first] = requests;
  return request.isSingle && first !== undefined ? first : { requests };
}
