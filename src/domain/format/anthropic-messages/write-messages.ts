import type { AssistantPart, ToolResult, Turn, UserPart } from "../chat-request.js";
import { callsOf, fittedIds } from "../conversation.js";
import type { JsonObject } from "../json.js";
import type { Reasons } from "../reasons.js";
import { CALL_ID, DOCUMENT_TYPE, IMAGE_TYPES } from "./members.js";

/** Turns of tools and user that follow each other are one message, as the API wants a call's results at the head of the next one. */
export function writeMessages(turns: readonly Turn[], reasons: Reasons): readonly JsonObject[] {
  const ids = fittedIds(turns, (id) => CALL_ID.test(id));
  const calls = turns.flatMap(callsOf);
  if (new Set(calls.map((call) => call.id)).size < calls.length)
    reasons.add("anthropic takes no two tool calls with one id");
  const messages: { readonly role: string; readonly content: readonly JsonObject[] }[] = [];
  for (const turn of turns) {
    const role = turn.role === "assistant" ? turn.role : "user";
    const content = writeTurn(turn, ids, reasons);
    const before = messages.at(-1);
    if (before?.role === role && turn.role === "user")
      messages.splice(-1, 1, { role, content: [...before.content, ...content] });
    else messages.push({ role, content });
  }
  return messages.map(({ role, content }) => ({ role, content: shortest(content) }));
}

/** One text is written as such. */
function shortest(content: readonly JsonObject[]): readonly JsonObject[] | string {
  const [first] = content;
  return content.length === 1 && typeof first?.["text"] === "string" ? first["text"] : content;
}

function writeTurn(turn: Turn, ids: (id: string) => string, reasons: Reasons): readonly JsonObject[] {
  switch (turn.role) {
    case "user":
      return turn.parts.map((part) => writeUserPart(part, reasons));
    case "assistant":
      return turn.parts.map((part) => writeAssistantPart(part, ids, reasons));
    case "tools":
      return turn.results.map((result) => writeResult(result, ids));
  }
}

function writeUserPart(part: UserPart, reasons: Reasons): JsonObject {
  switch (part.kind) {
    case "text":
      return writeText(part.text, reasons);
    case "image_url":
      return { type: "image", source: { type: "url", url: part.url } };
    case "data":
      return writeData(part.mediaType, part.base64, reasons);
  }
}

function writeData(mediaType: string, data: string, reasons: Reasons): JsonObject {
  const source = { type: "base64", media_type: mediaType, data };
  if (mediaType === DOCUMENT_TYPE) return { type: "document", source };
  if (!IMAGE_TYPES.has(mediaType)) reasons.missing(`input of type ${mediaType}`);
  return { type: "image", source };
}

function writeAssistantPart(part: AssistantPart, ids: (id: string) => string, reasons: Reasons): JsonObject {
  if (part.kind === "text") return writeText(part.text, reasons);
  return { type: "tool_use", id: ids(part.id), name: part.name, input: part.arguments };
}

function writeText(text: string, reasons: Reasons): JsonObject {
  if (!/\S/.test(text)) reasons.add("anthropic takes no text of only white space");
  return { type: "text", text };
}

function writeResult(result: ToolResult, ids: (id: string) => string): JsonObject {
  return {
    type: "tool_result",
    tool_use_id: ids(result.id),
    content: result.text === "" ? undefined : result.text,
    is_error: result.failed ? true : undefined,
  };
}
