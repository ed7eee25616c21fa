import type { AssistantPart, TextPart, ToolCall, ToolResult, Turn, UserPart } from "../chat-request.js";
import { joinTurns } from "../conversation.js";
import { writeJson } from "../json.js";
import type { JsonObject } from "../json.js";
import type { Members } from "../members.js";
import { linkCalls } from "./link-calls.js";
import { readInner, readList, SIGNATURE_OF_OTHERS } from "./members.js";

type Part = UserPart | AssistantPart | ToolResult;

export function readSystem(content: Members): readonly string[] {
  content.ignore(["role"]);
  const parts = readList(content, "parts", readPart);
  const texts = parts.filter(isText);
  if (texts.length < parts.length) content.reasons.missing("system instructions other than text");
  return texts.map((part) => part.text);
}

export function readContents(members: Members): readonly Turn[] {
  const turns = readList(members, "contents", readContent).flat();
  return joinTurns(linkCalls(turns, members.reasons));
}

/** Results of functions stand in contents of the user (older: of the function) beside what the user says. */
function readContent(content: Members): readonly Turn[] {
  const role = content.text("role") ?? "user";
  const parts = readList(content, "parts", readPart);
  if (role === "model") return [{ role: "assistant", parts: parts.filter(isSpoken(content)) }];
  if (role !== "user" && role !== "function") content.reasons.missing(`contents of role ${role}`);
  return parts.length === 0 ? [{ role: "user", parts: [] }] : parts.flatMap((part) => userTurn(part, content));
}

function userTurn(part: Part, content: Members): readonly Turn[] {
  if (!("kind" in part)) return [{ role: "tools", results: [part] }];
  if (part.kind !== "call") return [{ role: "user", parts: [part] }];
  content.reasons.missing("function calls by the user");
  return [];
}

function isSpoken(content: Members): (part: Part) => part is AssistantPart {
  return (part): part is AssistantPart => {
    const isOurs = "kind" in part && (part.kind === "text" || part.kind === "call");
    if (!isOurs) content.reasons.missing("words of the assistant other than text and function calls");
    return isOurs;
  };
}

function isText(part: Part): part is TextPart {
  return "kind" in part && part.kind === "text";
}

/** Exactly one of the kinds of a part is set; what else is in it is left over and so a reason. */
function readPart(part: Members): Part | null {
  part.ignoreWhen("thought", [false]);
  part.ignoreWhen("thoughtSignature", [SIGNATURE_OF_OTHERS]);
  return (
    readInner(part, "inlineData", readData) ??
    readInner(part, "functionCall", readCall) ??
    readInner(part, "functionResponse", readResponse) ??
    textPart(part.text("text"))
  );
}

/** Two names of one type are in use. */
const MEDIA_TYPES: ReadonlyMap<string, string> = new Map([["audio/mpeg", "audio/mp3"]]);

function readData(blob: Members): UserPart {
  const mediaType = (blob.text("mimeType") ?? "").toLowerCase();
  return { kind: "data", mediaType: MEDIA_TYPES.get(mediaType) ?? mediaType, base64: blob.text("data") ?? "" };
}

function readCall(call: Members): ToolCall {
  return {
    kind: "call",
    id: call.text("id") ?? "",
    name: call.text("name") ?? "",
    arguments: call.object("args") ?? {},
  };
}

function readResponse(response: Members): ToolResult {
  const name = response.text("name");
  return { id: response.text("id") ?? "", name, ...resultText(response.object("response") ?? {}) };
}

/** `output` and `error` are the API's own names for what a function gave back; any other object stands as it is. */
function resultText(response: JsonObject): { readonly text: string; readonly failed: boolean } {
  const { output, error } = response;
  const isAlone = Object.keys(response).length === 1;
  if (isAlone && typeof output === "string") return { text: output, failed: false };
  if (isAlone && typeof error === "string") return { text: error, failed: true };
  return { text: writeJson(response), failed: false };
}

function textPart(text: string | null): TextPart | null {
  return text === null || text === "" ? null : { kind: "text", text };
}
