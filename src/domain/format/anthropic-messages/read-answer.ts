import type { AnswerCall, ChatAnswer, Finish } from "../chat-answer.js";
import { objectIn, objectsIn, textIn, withoutPrefix, wordIn } from "../fields.js";
import { isJsonList } from "../json.js";
import type { JsonObject } from "../json.js";
import type { Reasons } from "../reasons.js";
import { ID_PREFIX } from "./members.js";
import { readUsage } from "./usage.js";

/** A message. Null, with a reason, when it has no content. */
export function readAnthropicAnswer(answer: JsonObject, reasons: Reasons): ChatAnswer | null {
  if (!isJsonList(answer["content"])) {
    reasons.add("the answer has no content");
    return null;
  }
  const blocks = objectsIn(answer, "content");
  const calls = blocks.flatMap((block) => readBlock(block, reasons));
  return {
    id: withoutPrefix(textIn(answer, "id"), ID_PREFIX),
    model: textIn(answer, "model"),
    createdAt: null,
    choices: [{ text: contentText(answer), calls, finish: readFinish(answer, calls.length > 0) }],
    usage: readUsage(answer),
  };
}

/** Blocks of text are one answer; they are split where citations begin and end. */
function contentText(answer: JsonObject): string {
  return objectsIn(answer, "content")
    .map((block) => (block["type"] === "text" ? (textIn(block, "text") ?? "") : ""))
    .join("");
}

/** Thinking is no part of the answer; a block that is not known may be, so the answer is not carried without it. */
function readBlock(block: JsonObject, reasons: Reasons): readonly AnswerCall[] {
  const type = wordIn(block, "type");
  if (type === "tool_use")
    return [{ id: textIn(block, "id") ?? "", name: textIn(block, "name") ?? "", arguments: objectIn(block, "input") }];
  if (type !== "text" && type !== "thinking" && type !== "redacted_thinking")
    reasons.missing(`answers with a block of type ${type}`);
  return [];
}

function readFinish(answer: JsonObject, hasCalls: boolean): Finish {
  const word = wordIn(answer, "stop_reason");
  switch (word) {
    case "end_turn":
    case "stop_sequence":
    case "tool_use":
      return { kind: hasCalls ? "tool_calls" : "stop" };
    case "max_tokens":
    case "model_context_window_exceeded":
      return { kind: "length" };
    case "refusal":
      return { kind: "refused", explanation: textIn(objectIn(answer, "stop_details"), "explanation") };
    default:
      return { kind: "other", word }; // pause_turn, and words that are new
  }
}
