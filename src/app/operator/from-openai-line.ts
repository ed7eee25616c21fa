import { JOB_ID_BYTES_MAX } from "../../domain/job/identify.js";
import type { JobMode, RequestFormat } from "../../domain/job/job.js";
import { topLevelMembers } from "../../domain/route/top-level-members.js";

/** What an OpenAI batch line has no place for. Null: left out of the job. */
export interface LineDefaults {
  readonly tenant: string | null;
  readonly mode: JobMode | null;
  readonly ttlMs: number | null;
}

/**
 * The endpoints of OpenAI's batch API that a job can say.
 * Source: OpenAI's API reference, "The request input object" of batches, as its published OpenAPI document has it, read 2026-11-26.
 */
const FORMAT_OF_URL = {
  "/v1/chat/completions": "openai.chat",
  "/v1/embeddings": "openai.embeddings",
} as const satisfies Record<string, RequestFormat>;

const MEMBERS = ["custom_id", "method", "url", "body"] as const;

type Line = Readonly<Record<string, unknown>>;

/** No job has such a member. */
export function isOpenaiLine(line: Line): boolean {
  return "custom_id" in line || ("url" in line && "method" in line);
}

export type MadeJob =
  { readonly kind: "job"; readonly text: string } | { readonly kind: "bad"; readonly message: string };

/**
 * The job that an OpenAI batch line asks for; its body goes in as it was written, since parsing and writing it again could change numbers.
 * @param text the line, which JSON.parse made `line` of.
 */
export function jobOfOpenaiLine(text: string, line: Line, defaults: LineDefaults): MadeJob {
  const message = faultOf(line);
  if (message !== null) return { kind: "bad", message };
  const member = topLevelMembers(text)?.findLast(({ name }) => name === "body");
  if (member === undefined) return { kind: "bad", message: "body: expected the request, a JSON object, got none" };
  const { tenant, mode, ttlMs } = defaults;
  const head = JSON.stringify({
    jobId: line["custom_id"],
    format: FORMAT_OF_URL[line["url"] as keyof typeof FORMAT_OF_URL], // `faultOf` has looked
    ...(tenant === null ? {} : { tenant }),
    ...(mode === null ? {} : { mode }),
    ...(ttlMs === null ? {} : { ttlMs }),
  });
  return { kind: "job", text: `${head.slice(0, -1)},"body":${text.slice(member.valueStart, member.end)}}` };
}

function faultOf(line: Line): string | null {
  const { custom_id: id, method, url, body } = line;
  if (typeof id !== "string" || id === "" || Buffer.byteLength(id) > JOB_ID_BYTES_MAX)
    return `custom_id: expected a text of 1 to ${String(JOB_ID_BYTES_MAX)} bytes, got ${wordsFor(id)}`;
  if (method !== "POST") return `method: expected POST, got ${wordsFor(method)}`;
  if (typeof url !== "string" || !Object.hasOwn(FORMAT_OF_URL, url))
    return `url: expected ${Object.keys(FORMAT_OF_URL).join(" or ")}, got ${wordsFor(url)}`;
  if (typeof body !== "object" || body === null || Array.isArray(body))
    return `body: expected the request, a JSON object, got ${wordsFor(body)}`;
  const other = Object.keys(line).find((name) => !MEMBERS.some((known) => known === name));
  return other === undefined
    ? null
    : `${short(other)}: an OpenAI batch line has ${MEMBERS.join(", ")} and nothing else; leave it out, or write the line as a job`;
}

function wordsFor(value: unknown): string {
  if (value === undefined) return "none";
  if (typeof value === "string") return short(JSON.stringify(value));
  return value === null ? "null" : Array.isArray(value) ? "a list" : `a value of type ${typeof value}`;
}

const SHOWN_CHARACTERS = 60;

function short(text: string): string {
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
}
