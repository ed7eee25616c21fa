import type { ChatFormat } from "../chat-format.js";
import { readOpenaiAnswer } from "./read-answer.js";
import { readOpenaiRequest } from "./read-request.js";
import { writeOpenaiAnswer } from "./write-answer.js";
import { writeOpenaiRequest } from "./write-request.js";

export const OPENAI_CHAT: ChatFormat = {
  word: "openai",
  readRequest: readOpenaiRequest,
  writeRequest: writeOpenaiRequest,
  readAnswer: readOpenaiAnswer,
  writeAnswer: writeOpenaiAnswer,
};
