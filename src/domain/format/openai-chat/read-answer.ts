import type { AnswerCall, ChatAnswer, Choice, Finish } from "../chat-answer.js";
import { countIn, listIn, objectIn, objectsIn, textIn, withoutPrefix, wordIn } from "../fields.js";
import { isJsonObject } from "../json.js";
import type { JsonObject } from "../json.js";
import type { Reasons } from "../reasons.js";
import { ID_PREFIX } from "./members.js";
import { readArguments } from "./read-tools.js";
import { readUsage } from "./usage.js";

/** A chat completion. Null, with a reason, when it holds no choice. */
export function readOpenaiAnswer(answer: JsonObject, reasons: Reasons): ChatAnswer | null {
  const id = withoutPrefix(textIn(answer, "id"), ID_PREFIX);
  const choices = objectsIn(answer, "choices").map((choice, index) =>
    readChoice(choice, `${id ?? ""}_${String(index)}`, reasons),
  );
  if (choices.length === 0) reasons.add("the answer has no choices");
  if (choices.length === 0) return null;
  return {
    id,
    model: textIn(answer, "model"),
    createdAt: countIn(answer, "created"),
    choices,
    usage: readUsage(answer),
  };
}

function readChoice(choice: JsonObject, idStem: string, reasons: Reasons): Choice {
  const message = objectIn(choice, "message");
  if (isJsonObject(message["audio"])) reasons.missing("answers in sound");
  const calls = readCalls(message, idStem, reasons);
  return { text: messageText(message), calls, finish: readFinish(choice, message, calls.length > 0) };
}

/** The text; servers of one's own may answer with parts. */
function messageText(message: JsonObject): string {
  const content = message["content"];
  if (typeof content === "string") return content;
  return objectsIn(message, "content")
    .map((part) => textIn(part, "text") ?? "")
    .join("");
}

/** `function_call` is the older form of a single call, without an id. */
function readCalls(message: JsonObject, idStem: string, reasons: Reasons): readonly AnswerCall[] {
  const older = message["function_call"];
  const calls = isJsonObject(older)
    ? [{ function: older }, ...listIn(message, "tool_calls")]
    : listIn(message, "tool_calls");
  return calls.filter(isJsonObject).flatMap((call, index) => {
    const read = readCall(call, `call_${idStem}_${String(index)}`, reasons);
    return read === null ? [] : [read];
  });
}

function readCall(call: JsonObject, idWithout: string, reasons: Reasons): AnswerCall | null {
  const type = textIn(call, "type") ?? "function";
  if (type !== "function") reasons.missing(`tool calls of type ${type}`);
  const definition = objectIn(call, "function");
  const name = textIn(definition, "name") ?? "";
  const read = readArguments(definition["arguments"]);
  if (read === null) reasons.add(`the arguments of the call of ${name} are not a JSON object`);
  const id = textIn(call, "id") ?? "";
  return read === null ? null : { id: id === "" ? idWithout : id, name, arguments: read };
}

/** A call that was forced ends with `stop`; to others any answer with calls waits for their results. */
function readFinish(choice: JsonObject, message: JsonObject, hasCalls: boolean): Finish {
  const refusal = textIn(message, "refusal") ?? "";
  if (refusal !== "") return { kind: "refused", explanation: refusal };
  const word = wordIn(choice, "finish_reason");
  switch (word) {
    case "stop":
    case "tool_calls":
    case "function_call":
      return { kind: hasCalls ? "tool_calls" : "stop" };
    case "length":
      return { kind: "length" };
    case "content_filter":
      return { kind: "refused", explanation: null };
    default:
      return { kind: "other", word };
  }
}
