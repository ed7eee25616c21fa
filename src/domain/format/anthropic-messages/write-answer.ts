import type { AnswerCall, ChatAnswer, Choice, Finish } from "../chat-answer.js";
import type { JsonObject } from "../json.js";
import type { Reasons } from "../reasons.js";
import { ID_PREFIX } from "./members.js";
import { writeUsage } from "./usage.js";

/** A message. Only one choice has a place in it. */
export function writeAnthropicAnswer(answer: ChatAnswer, reasons: Reasons): JsonObject {
  const [choice] = answer.choices;
  if (choice === undefined || answer.choices.length > 1) reasons.missing("place for several answers to one request");
  return {
    id: `${ID_PREFIX}${answer.id ?? ""}`,
    type: "message",
    role: "assistant",
    model: answer.model ?? "",
    content: choice === undefined ? [] : writeContent(choice),
    ...writeFinish(choice?.finish ?? { kind: "stop" }, reasons),
    usage: writeUsage(answer.usage),
  };
}

function writeContent(choice: Choice): readonly JsonObject[] {
  const text = choice.text === "" ? [] : [{ type: "text", text: choice.text }];
  return [...text, ...choice.calls.map(writeCall)];
}

function writeCall(call: AnswerCall): JsonObject {
  return { type: "tool_use", id: call.id, name: call.name, input: call.arguments };
}

function writeFinish(finish: Finish, reasons: Reasons): JsonObject {
  if (finish.kind !== "refused") return { stop_reason: stopReason(finish, reasons), stop_sequence: null };
  const stop_details = { type: "refusal", category: null, explanation: finish.explanation };
  return { stop_reason: "refusal", stop_sequence: null, stop_details };
}

function stopReason(finish: Exclude<Finish, { kind: "refused" }>, reasons: Reasons): string {
  switch (finish.kind) {
    case "stop":
      return "end_turn";
    case "length":
      return "max_tokens";
    case "tool_calls":
      return "tool_use";
    case "other":
      reasons.missing(`word for an answer that ended with ${finish.word}`);
      return "end_turn";
  }
}
