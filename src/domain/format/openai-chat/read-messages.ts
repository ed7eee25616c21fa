import type { AssistantPart, TextPart, Turn, UserPart } from "../chat-request.js";
import { joinTurns } from "../conversation.js";
import { readDataUrl } from "../data-url.js";
import { isJsonList } from "../json.js";
import { readEach, readMembers } from "../members.js";
import type { Members } from "../members.js";
import type { Reasons } from "../reasons.js";
import type { Json } from "../json.js";
import { AUDIO_TYPES } from "./members.js";
import { readToolCalls } from "./read-tools.js";

interface Conversation {
  readonly system: readonly string[];
  readonly turns: readonly Turn[];
}

type Message = { readonly role: "system"; readonly texts: readonly string[] } | Turn;

/** System and developer messages stand for the same: which of them a model takes depends on its age. */
export function readMessages(messages: readonly Json[], reasons: Reasons): Conversation {
  const read = readEach(messages, "messages", reasons, readMessage);
  const system = read.flatMap((message) => (message.role === "system" ? message.texts : []));
  return { system, turns: joinTurns(read.filter((message) => message.role !== "system")) };
}

function readMessage(members: Members): Message | null {
  const role = members.word("role");
  switch (role) {
    case "system":
    case "developer":
      return { role: "system", texts: readTexts(members).map((part) => part.text) };
    case "user":
      return { role, parts: readParts(members, readUserPart) };
    case "assistant":
      return { role, parts: readAssistant(members) };
    case "tool":
      return readToolMessage(members);
    default:
      members.reasons.missing(`messages of role ${role}`);
      return null;
  }
}

function readToolMessage(members: Members): Turn {
  const id = members.text("tool_call_id") ?? "";
  const text = readTexts(members)
    .map((part) => part.text)
    .join("");
  return { role: "tools", results: [{ id, name: null, text, failed: false }] };
}

function readAssistant(members: Members): readonly AssistantPart[] {
  const texts = readParts(members, readAssistantPart);
  const refusal = textParts(members.text("refusal"));
  return [...texts, ...refusal, ...readToolCalls(members)];
}

/** Content is a text or a list of parts; an empty text says nothing. */
function readParts<T>(members: Members, readPart: (part: Members) => T | null): readonly (T | TextPart)[] {
  const content = members.take("content");
  if (content === undefined) return [];
  if (typeof content === "string") return textParts(content);
  if (isJsonList(content)) return readEach(content, members.where("content"), members.reasons, readPart);
  members.reasons.add(`${members.where("content")} is neither text nor a list`);
  return [];
}

function readTexts(members: Members): readonly TextPart[] {
  return readParts(members, readTextPart);
}

function readTextPart(part: Members): TextPart | null {
  const type = part.word("type");
  if (type !== "text") return unknownPart(part, type);
  part.ignore(["prompt_cache_breakpoint"]);
  return textParts(part.text("text"))[0] ?? null;
}

/** What the assistant refused before is something it said. */
function readAssistantPart(part: Members): TextPart | null {
  const type = part.word("type");
  if (type !== "text" && type !== "refusal") return unknownPart(part, type);
  part.ignore(["prompt_cache_breakpoint"]);
  return textParts(part.text(type))[0] ?? null;
}

function readUserPart(part: Members): UserPart | null {
  part.ignore(["prompt_cache_breakpoint"]);
  const type = part.word("type");
  switch (type) {
    case "text":
      return textParts(part.text("text"))[0] ?? null;
    case "image_url":
      return readMembers(part.take("image_url"), part.where("image_url"), part.reasons, readImage);
    case "file":
      return readMembers(part.take("file"), part.where("file"), part.reasons, readFile);
    case "input_audio":
      return readMembers(part.take("input_audio"), part.where("input_audio"), part.reasons, readAudio);
    default:
      return unknownPart(part, type);
  }
}

function readImage(image: Members): UserPart | null {
  image.ignoreWhen("detail", ["auto"]);
  const url = image.text("url") ?? "";
  if (/^https?:/i.test(url)) return { kind: "image_url", url };
  return readDataUrl(url) ?? unreadable(image, "url");
}

/** The file's name is a label, required but without meaning to the others. */
function readFile(file: Members): UserPart | null {
  file.ignore(["filename"]);
  const data = file.text("file_data");
  if (data === null) return null; // a file_id is a reason of its own
  return readDataUrl(data) ?? unreadable(file, "file_data");
}

function readAudio(audio: Members): UserPart | null {
  const format = audio.text("format");
  const base64 = audio.text("data");
  if (base64 === null || (format !== "wav" && format !== "mp3")) return unreadable(audio, "format");
  return { kind: "data", mediaType: AUDIO_TYPES[format], base64 };
}

function unreadable(members: Members, name: string): null {
  members.reasons.add(`${members.where(name)} is neither a web address nor data in base64`);
  return null;
}

function unknownPart(part: Members, type: string): null {
  part.reasons.missing(`${part.where("type")} ${type}`);
  return null;
}

function textParts(text: string | null): readonly TextPart[] {
  return text === null || text === "" ? [] : [{ kind: "text", text }];
}
