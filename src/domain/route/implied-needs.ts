import type { RequestFormat } from "../job/job.js";
import { topLevelMembers, type TopLevelMember } from "./top-level-members.js";

/** What a request's content asks of a model, whether the job says so or not. */
export interface ImpliedNeeds {
  /** In the words of the price table, such as `vision`. */
  readonly capabilities: readonly string[];
  /** Pictures in the prompt. */
  readonly images: number;
}

const NOTHING: ImpliedNeeds = { capabilities: [], images: 0 };

/** How one format shows its needs. Bodies are not parsed for it, unless they hold a word that may mean a picture. */
interface Traces {
  /** Members that hold tools, and the word in one that counts; null: any list that is not empty. */
  readonly tools: ReadonlyMap<string, RegExp | null>;
  /** Members that hold the form of the answer, and the words that ask for a schema. */
  readonly schema: ReadonlyMap<string, RegExp>;
  /** Without a match in the text there is no picture. A quote inside a text is escaped, so that prompts seldom match. */
  readonly image: RegExp;
  readonly isImage: (part: Json) => boolean;
}

type Json = Readonly<Record<string, unknown>>;

const GEMINI_TOOLS = /"function_?declarations"/i;
const GEMINI_SCHEMA = /"response(?:_?json)?_?schema"/i;

const TRACES: Readonly<Partial<Record<RequestFormat, Traces>>> = {
  "openai.chat": {
    tools: new Map([
      ["tools", null],
      ["functions", null],
    ]),
    schema: new Map([["response_format", /"json_schema"/]]),
    image: /"image_url"/,
    isImage: (part) => part["type"] === "image_url",
  },
  "anthropic.messages": {
    tools: new Map([["tools", null]]),
    schema: new Map([
      ["output_config", /"json_schema"/],
      ["output_format", /"json_schema"/],
    ]),
    image: /"image"/,
    isImage: (part) => part["type"] === "image",
  },
  "gemini.generate": {
    tools: new Map([["tools", GEMINI_TOOLS]]),
    schema: new Map([
      ["generationConfig", GEMINI_SCHEMA],
      ["generation_config", GEMINI_SCHEMA],
    ]),
    image: /"image\//,
    isImage: (part) => [part["inlineData"], part["inline_data"], part["fileData"], part["file_data"]].some(isImageData),
  },
};

/** What the body implies. `members` are those of `bodyText`. */
export function impliedNeeds(
  format: RequestFormat,
  bodyText: string,
  members: readonly TopLevelMember[],
): ImpliedNeeds {
  const traces = TRACES[format];
  if (traces === undefined) return NOTHING;
  const capabilities: string[] = [];
  for (const member of members) {
    const { name } = member;
    if (traces.tools.has(name) && asksForTools(valueOf(bodyText, member), traces.tools.get(name) ?? null))
      capabilities.push("tools");
    else if (traces.schema.get(name)?.test(valueOf(bodyText, member)) === true) capabilities.push("json_schema");
  }
  const images = traces.image.test(bodyText) ? imagesIn(bodyText, traces.isImage) : 0;
  if (images > 0) capabilities.push("vision");
  return capabilities.length === 0 ? NOTHING : { capabilities, images };
}

function valueOf(bodyText: string, { valueStart, end }: TopLevelMember): string {
  return bodyText.slice(valueStart, end);
}

function asksForTools(value: string, word: RegExp | null): boolean {
  return word === null ? /^\[\s*[^\s\]]/.test(value) : word.test(value);
}

/** Parts may stand at any depth of a turn: a tool's result may be a picture. */
function imagesIn(bodyText: string, isImage: (part: Json) => boolean): number {
  let count = 0;
  const look = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(look);
    else if (isObject(value)) {
      if (isImage(value)) count += 1;
      else Object.values(value).forEach(look);
    }
  };
  const turns = topLevelMembers(bodyText)?.filter(({ name }) => TURNS.has(name)) ?? [];
  for (const turn of turns) look(parsed(valueOf(bodyText, turn)));
  return count;
}

/** Pictures elsewhere (in a tool's schema, say) are words about pictures. */
const TURNS: ReadonlySet<string> = new Set([
  "messages",
  "contents",
  "system",
  "systemInstruction",
  "system_instruction",
]);

function isImageData(value: unknown): boolean {
  if (!isObject(value)) return false;
  const type = value["mimeType"] ?? value["mime_type"];
  return typeof type === "string" && /^image\//i.test(type);
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The text was validated when the job was accepted; null for what is none all the same. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}
