import type { Tool, ToolCall, ToolChoice } from "../chat-request.js";
import { isJsonObject, readJson } from "../json.js";
import type { Json, JsonObject } from "../json.js";
import { readEach, readMembers } from "../members.js";
import type { Members } from "../members.js";
import { argumentsSchema } from "../schema.js";

export function readTools(members: Members): readonly Tool[] {
  return readEach(members.list("tools"), "tools", members.reasons, (tool) => {
    const type = tool.word("type");
    if (type !== "function") {
      tool.reasons.missing(`tools of type ${type}`);
      return null;
    }
    return readMembers(tool.take("function"), tool.where("function"), tool.reasons, readFunction);
  });
}

function readFunction(definition: Members): Tool {
  return {
    name: definition.text("name") ?? "",
    description: definition.text("description"),
    schema: argumentsSchema(definition.object("parameters")),
    strict: definition.flag("strict") ?? false,
  };
}

export function readToolChoice(members: Members): ToolChoice | null {
  const choice = members.take("tool_choice");
  if (choice === undefined || choice === "auto") return null;
  if (choice === "none" || choice === "required") return { kind: choice };
  return readMembers(choice, "tool_choice", members.reasons, (inner) => {
    const type = inner.word("type");
    if (type === "function") return readNamed(inner);
    if (type === "allowed_tools") return readAllowed(inner);
    inner.reasons.missing(`tool_choice ${type}`);
    return null;
  });
}

function readNamed(choice: Members): ToolChoice | null {
  const name = readName(choice);
  return name === null ? null : { kind: "named", name };
}

function readName(members: Members): string | null {
  return readMembers(members.take("function"), members.where("function"), members.reasons, (inner) =>
    inner.text("name"),
  );
}

function readAllowed(choice: Members): ToolChoice | null {
  return readMembers(choice.take("allowed_tools"), choice.where("allowed_tools"), choice.reasons, (allowed) => {
    const required = allowed.text("mode") === "required";
    const names = readEach(allowed.list("tools"), allowed.where("tools"), allowed.reasons, (tool) => {
      tool.ignoreWhen("type", ["function"]);
      return readName(tool);
    });
    return { kind: "some", names, required };
  });
}

/** Tool calls of the assistant in the history of a conversation. */
export function readToolCalls(members: Members): readonly ToolCall[] {
  return readEach(members.list("tool_calls"), members.where("tool_calls"), members.reasons, (call) => {
    const type = call.text("type") ?? "function";
    if (type !== "function") {
      call.reasons.missing(`tool calls of type ${type}`);
      return null;
    }
    const id = call.text("id") ?? "";
    if (id === "") call.reasons.add("a tool call in the conversation has no id");
    return readMembers(call.take("function"), call.where("function"), call.reasons, (inner) => readCall(inner, id));
  });
}

function readCall(members: Members, id: string): ToolCall | null {
  const name = members.text("name") ?? "";
  const read = readArguments(members.take("arguments"));
  if (read === null) members.reasons.add(`the arguments of the call of ${name} are not a JSON object`);
  return read === null ? null : { kind: "call", id, name, arguments: read };
}

/** Arguments are JSON as text; a call without any may have an empty one, and some servers of one's own send the object itself. */
export function readArguments(value: Json | undefined): JsonObject | null {
  if (value === undefined || value === "") return {};
  if (typeof value !== "string") return isJsonObject(value) ? value : null;
  const read = readJson(value);
  return read.kind === "read" && isJsonObject(read.value) ? read.value : null;
}
