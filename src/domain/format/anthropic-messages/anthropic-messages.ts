import type { ChatFormat } from "../chat-format.js";
import { readAnthropicAnswer } from "./read-answer.js";
import { readAnthropicRequest } from "./read-request.js";
import { writeAnthropicAnswer } from "./write-answer.js";
import { writeAnthropicRequest } from "./write-request.js";

export const ANTHROPIC_MESSAGES: ChatFormat = {
  word: "anthropic",
  readRequest: readAnthropicRequest,
  writeRequest: writeAnthropicRequest,
  readAnswer: readAnthropicAnswer,
  writeAnswer: writeAnthropicAnswer,
};
