import type { AssistantPart, TextPart, ToolCall, ToolResult, Turn, UserPart } from "../chat-request.js";
import { joinTurns } from "../conversation.js";
import { isJsonList } from "../json.js";
import { readEach, readMembers } from "../members.js";
import type { Members } from "../members.js";

interface Conversation {
  readonly system: readonly string[];
  readonly turns: readonly Turn[];
}

/** A piece of a message: system text, or a turn of one part. */
type Piece = { readonly role: "system"; readonly text: string } | Turn;

export function readConversation(members: Members): Conversation {
  const system = readContent(members, "system", readText).map((part) => part.text);
  const pieces = readEach(members.list("messages"), "messages", members.reasons, readMessage).flat();
  const later = pieces.flatMap((piece) => (piece.role === "system" ? [piece.text] : []));
  return { system: [...system, ...later], turns: joinTurns(pieces.filter((piece) => piece.role !== "system")) };
}

function readMessage(message: Members): readonly Piece[] | null {
  const role = message.word("role");
  switch (role) {
    case "system":
      return readContent(message, "content", readText).map((part) => ({ role, text: part.text }));
    case "assistant":
      return [{ role, parts: readContent(message, "content", readAssistantBlock) }];
    case "user":
      return readUser(message);
    default:
      message.reasons.missing(`messages of role ${role}`);
      return null;
  }
}

/** Results of tools stand in a user's message, before what the user says. */
function readUser(message: Members): readonly Turn[] {
  const blocks = readContent(message, "content", readUserBlock);
  if (blocks.length === 0) return [{ role: "user", parts: [] }];
  return blocks.map((block) =>
    "kind" in block ? { role: "user", parts: [block] } : { role: "tools", results: [block] },
  );
}

/** Content is a text or a list of blocks; an empty text says nothing. */
function readContent<T>(
  members: Members,
  name: string,
  readBlock: (block: Members) => T | null,
): readonly (T | TextPart)[] {
  const content = members.take(name);
  if (content === undefined) return [];
  if (typeof content === "string") return textParts(content);
  if (isJsonList(content))
    return readEach(content, members.where(name), members.reasons, (block) => {
      block.ignore(["cache_control"]);
      return readBlock(block);
    });
  members.reasons.add(`${members.where(name)} is neither text nor a list`);
  return [];
}

function readText(block: Members): TextPart | null {
  const type = block.word("type");
  return type === "text" ? textBlock(block) : unknownBlock(block, type);
}

function readAssistantBlock(block: Members): AssistantPart | null {
  const type = block.word("type");
  if (type === "text") return textBlock(block);
  return type === "tool_use" ? readCall(block) : unknownBlock(block, type);
}

function readCall(block: Members): ToolCall {
  readDirectCaller(block);
  return {
    kind: "call",
    id: block.text("id") ?? "",
    name: block.text("name") ?? "",
    arguments: block.object("input") ?? {},
  };
}

/** Who called a tool is only worth telling when it was not the model itself. */
function readDirectCaller(block: Members): void {
  const caller = block.take("caller");
  if (caller === undefined) return;
  readMembers(caller, block.where("caller"), block.reasons, (inner) => {
    inner.ignoreWhen("type", ["direct"]);
  });
}

function readUserBlock(block: Members): UserPart | ToolResult | null {
  const type = block.word("type");
  switch (type) {
    case "text":
      return textBlock(block);
    case "image":
    case "document":
      return readMembers(block.take("source"), block.where("source"), block.reasons, (source) =>
        readSource(source, type),
      );
    case "tool_result":
      return readResult(block);
    default:
      return unknownBlock(block, type);
  }
}

function readSource(source: Members, of: "image" | "document"): UserPart | null {
  const type = source.word("type");
  const url = source.text("url");
  if (type === "url" && url !== null && of === "image") return { kind: "image_url", url };
  const base64 = source.text("data");
  const mediaType = source.text("media_type");
  if (type === "base64" && base64 !== null && mediaType !== null) return { kind: "data", mediaType, base64 };
  source.reasons.missing(`${of} whose source is ${type}`);
  return null;
}

function readResult(block: Members): ToolResult {
  return {
    id: block.text("tool_use_id") ?? "",
    name: null,
    text: readContent(block, "content", readText)
      .map((part) => part.text)
      .join(""),
    failed: block.flag("is_error") ?? false,
  };
}

function textBlock(block: Members): TextPart | null {
  return textParts(block.text("text"))[0] ?? null;
}

function unknownBlock(block: Members, type: string): null {
  block.reasons.missing(`${block.where("type")} ${type}`);
  return null;
}

function textParts(text: string | null): readonly TextPart[] {
  return text === null || text === "" ? [] : [{ kind: "text", text }];
}
