import type { RequestFormat } from "./job.js";

/**
 * `expect.jsonSchema`, as far as it is checked: a request that asks the provider for JSON must get JSON text. Whether that text keeps to
 * the schema is not looked at yet (issue 2). Only called for jobs that expect it, so parsing the bodies once more costs the others nothing.
 */

/** Types of a format that ask for JSON; `text` does not. */
const JSON_TYPES: ReadonlySet<unknown> = new Set(["json_schema", "json_object"]);

/** Whether the body asks for an answer in JSON, in the words of its format. */
export function asksForJson(format: RequestFormat, bodyText: string): boolean {
  const body = read(bodyText);
  const asked =
    format === "anthropic.messages" ? member(member(body, "output_config"), "format") : member(body, "response_format");
  return JSON_TYPES.has(member(asked, "type"));
}

/** Whether each text of the answer is JSON. An answer without text (tool calls) has none that is not. */
export function answersInJson(format: RequestFormat, answerText: string): boolean {
  const answer = read(answerText);
  const texts = format === "anthropic.messages" ? messageTexts(answer) : choiceTexts(answer);
  return texts.every((text) => read(text) !== undefined);
}

/** The text of each choice; one that was refused says so elsewhere and has none. */
function choiceTexts(answer: unknown): readonly string[] {
  return listIn(answer, "choices").flatMap((choice) => {
    const content = member(member(choice, "message"), "content");
    return typeof content === "string" ? [content] : [];
  });
}

/** The blocks of text make one answer together. */
function messageTexts(answer: unknown): readonly string[] {
  const texts = listIn(answer, "content").flatMap((block) => {
    const text = member(block, "text");
    return member(block, "type") === "text" && typeof text === "string" ? [text] : [];
  });
  return texts.length === 0 ? [] : [texts.join("")];
}

function listIn(parent: unknown, name: string): readonly unknown[] {
  const value = member(parent, name);
  return Array.isArray(value) ? value : [];
}

function member(parent: unknown, name: string): unknown {
  if (typeof parent !== "object" || parent === null || !Object.hasOwn(parent, name)) return undefined;
  return (parent as Readonly<Record<string, unknown>>)[name]; // checked above
}

/** Undefined, which no JSON text stands for, when it is none. */
function read(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
