import type { EmbeddingFormat } from "../embedding.js";
import { readOpenaiEmbeddingAnswer, writeOpenaiEmbeddingAnswer } from "./answer.js";
import { readOpenaiEmbeddingRequest } from "./read-request.js";
import { writeOpenaiEmbeddingRequest } from "./write-request.js";

export const OPENAI_EMBEDDINGS: EmbeddingFormat = {
  word: "openai",
  readRequest: readOpenaiEmbeddingRequest,
  writeRequest: writeOpenaiEmbeddingRequest,
  readAnswer: readOpenaiEmbeddingAnswer,
  writeAnswer: writeOpenaiEmbeddingAnswer,
};
