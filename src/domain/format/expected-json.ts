import type { RequestFormat } from "../job/job.js";
import type { Choice } from "./chat-answer.js";
import { isJsonObject, readJson, writeJson } from "./json.js";
import { CHAT_FORMATS } from "./formats.js";
import { Reasons } from "./reasons.js";

/** For `expect`: what a job asked its answer to look like, and the texts of the answer, in whatever format the job is. */

export type AskedOutput =
  | { readonly kind: "text" }
  /** Any JSON. */
  | { readonly kind: "json" }
  /** JSON that keeps to this JSON schema, read as JSON.parse does; Gemini's own schema form is already turned into one. */
  | { readonly kind: "json_schema"; readonly schema: Readonly<Record<string, unknown>> };

/** What the body asks its answer to be. Embeddings, and a body that can't be read, ask for nothing. Never throws. */
export function askedJsonSchema(format: RequestFormat, bodyText: string): AskedOutput {
  const read = readJson(bodyText);
  const request = read.kind === "read" ? CHAT_FORMATS[format]?.readRequest(read.value, new Reasons(format)) : null;
  const output = request?.output ?? null;
  if (output === null) return { kind: "text" };
  if (output.kind === "json") return output;
  const schema = JSON.parse(writeJson(output.schema)) as Readonly<Record<string, unknown>>; // an object was written
  return { kind: output.kind, schema };
}

/**
 * The text of each choice. One of tool calls alone, or that was refused, has none; one that says nothing at all has an empty one, which is no
 * JSON. Embeddings have none. Never throws.
 */
export function readAnswerTexts(format: RequestFormat, answerText: string): readonly string[] {
  const read = readJson(answerText);
  if (read.kind === "unreadable" || !isJsonObject(read.value)) return [];
  const answer = CHAT_FORMATS[format]?.readAnswer(read.value, new Reasons(format));
  return (answer?.choices ?? []).filter(hasText).map((choice) => choice.text);
}

function hasText(choice: Choice): boolean {
  return choice.text !== "" || (choice.calls.length === 0 && choice.finish.kind !== "refused");
}
