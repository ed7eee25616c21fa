import type { EmbeddingFormat } from "../embedding.js";
import { readGeminiEmbeddingAnswer, writeGeminiEmbeddingAnswer } from "./answer.js";
import { readGeminiEmbeddingRequest } from "./read-request.js";
import { writeGeminiEmbeddingRequest } from "./write-request.js";

export const GEMINI_EMBED: EmbeddingFormat = {
  word: "gemini",
  readRequest: readGeminiEmbeddingRequest,
  writeRequest: writeGeminiEmbeddingRequest,
  readAnswer: readGeminiEmbeddingAnswer,
  writeAnswer: writeGeminiEmbeddingAnswer,
};
