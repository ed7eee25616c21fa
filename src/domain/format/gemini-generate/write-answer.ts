import type { ChatAnswer, Choice, Finish } from "../chat-answer.js";
import type { JsonObject } from "../json.js";
import { writeUsage } from "./usage.js";

/** A GenerateContentResponse. An explained refusal stands in `finishMessage`. */
export function writeGeminiAnswer(answer: ChatAnswer): JsonObject {
  return {
    candidates: answer.choices.map(writeCandidate),
    usageMetadata: writeUsage(answer.usage),
    modelVersion: answer.model ?? undefined,
    responseId: answer.id ?? undefined,
  };
}

function writeCandidate(choice: Choice, index: number): JsonObject {
  const text = choice.text === "" ? [] : [{ text: choice.text }];
  const calls = choice.calls.map((call) => ({
    functionCall: { id: call.id, name: call.name, args: call.arguments },
  }));
  return { content: { role: "model", parts: [...text, ...calls] }, ...writeFinish(choice.finish), index };
}

function writeFinish(finish: Finish): JsonObject {
  switch (finish.kind) {
    case "stop":
    case "tool_calls":
      return { finishReason: "STOP" };
    case "length":
      return { finishReason: "MAX_TOKENS" };
    case "refused":
      return { finishReason: "SAFETY", finishMessage: finish.explanation ?? undefined };
    case "other":
      return { finishReason: "OTHER", finishMessage: finish.word };
  }
}
