import type { ChatFormat } from "../chat-format.js";
import { readGeminiAnswer } from "./read-answer.js";
import { readGeminiRequest } from "./read-request.js";
import { writeGeminiAnswer } from "./write-answer.js";
import { writeGeminiRequest } from "./write-request.js";

export const GEMINI_GENERATE: ChatFormat = {
  word: "gemini",
  readRequest: readGeminiRequest,
  writeRequest: writeGeminiRequest,
  readAnswer: readGeminiAnswer,
  writeAnswer: writeGeminiAnswer,
};
