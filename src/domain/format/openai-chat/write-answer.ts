import type { ChatAnswer, Choice, Finish } from "../chat-answer.js";
import { writeJson } from "../json.js";
import type { JsonObject } from "../json.js";
import type { Reasons } from "../reasons.js";
import { ID_PREFIX } from "./members.js";
import { writeUsage } from "./usage.js";

/** A chat completion. `created` is 0 when the provider told no time: the format wants a number. */
export function writeOpenaiAnswer(answer: ChatAnswer, reasons: Reasons): JsonObject {
  return {
    id: `${ID_PREFIX}${answer.id ?? ""}`,
    object: "chat.completion",
    created: answer.createdAt ?? 0,
    model: answer.model ?? "",
    choices: answer.choices.map((choice, index) => writeChoice(choice, index, reasons)),
    usage: writeUsage(answer.usage),
  };
}

function writeChoice(choice: Choice, index: number, reasons: Reasons): JsonObject {
  const { finish, calls } = choice;
  const refusal = finish.kind === "refused" ? finish.explanation : null;
  const written = calls.map((call) => ({
    id: call.id,
    type: "function",
    function: { name: call.name, arguments: writeJson(call.arguments) },
  }));
  return {
    index,
    message: {
      role: "assistant",
      content: choice.text === "" ? null : choice.text,
      refusal,
      tool_calls: written.length === 0 ? undefined : written,
    },
    logprobs: null,
    finish_reason: writeFinish(finish, reasons),
  };
}

/** A refusal that is explained shows in the message and ends with `stop`, one that is not ends with `content_filter`. */
function writeFinish(finish: Finish, reasons: Reasons): string {
  switch (finish.kind) {
    case "stop":
    case "length":
    case "tool_calls":
      return finish.kind;
    case "refused":
      return finish.explanation === null ? "content_filter" : "stop";
    case "other":
      reasons.missing(`word for an answer that ended with ${finish.word}`);
      return "stop";
  }
}
