import type { ChatAnswer } from "./chat-answer.js";
import type { ChatRequest } from "./chat-request.js";
import type { Json, JsonObject } from "./json.js";
import type { Reasons } from "./reasons.js";

/**
 * One chat format: how its requests and answers are read into the canonical form and written from it. Nothing throws; what a reader or
 * a writer can't keep it names in `reasons`, and then nothing of what it returned is used.
 */
export interface ChatFormat {
  /** As reasons call it: "gemini has no logit_bias". */
  readonly word: string;
  readonly readRequest: (body: Json, reasons: Reasons) => ChatRequest | null;
  readonly writeRequest: (request: ChatRequest, reasons: Reasons) => JsonObject;
  readonly readAnswer: (answer: JsonObject, reasons: Reasons) => ChatAnswer | null;
  readonly writeAnswer: (answer: ChatAnswer, reasons: Reasons) => JsonObject;
}
