import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { isOpenaiLine, jobOfOpenaiLine, type LineDefaults } from "./from-openai-line.js";

/** A line of a file of jobs: what of it a command needs. The text goes to the topic as it is. */
export interface JobLineText {
  readonly number: number;
  /** The job: the line itself, or what was made of an OpenAI batch line. */
  readonly text: string;
  readonly isOpenai: boolean;
  readonly tenant: string | null;
  readonly replyTo: string | null;
  /** Null: it has none of its own. */
  readonly jobId: string | null;
}

export type ReadLine =
  | { readonly kind: "job"; readonly job: JobLineText }
  | { readonly kind: "bad"; readonly number: number; readonly message: string };

/** Reads a file line by line, so its size does not matter. Empty lines are left out. @throws what opening the file throws. */
export async function* readJobLines(file: string, defaults: LineDefaults): AsyncGenerator<ReadLine> {
  const lines = createInterface({ input: createReadStream(file, "utf8"), crlfDelay: Number.POSITIVE_INFINITY });
  let number = 0;
  for await (const line of lines) {
    number += 1;
    const text = number === 1 ? line.replace(/^\uFEFF/, "") : line;
    if (text.trim() !== "") yield readJobLine(text, number, defaults);
  }
}

/** @param defaults for an OpenAI batch line; a job says all of it itself. */
export function readJobLine(text: string, number: number, defaults: LineDefaults): ReadLine {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { kind: "bad", number, message: `expected JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return { kind: "bad", number, message: "expected a job, which is a JSON object" };
  const line = value as Readonly<Record<string, unknown>>; // an object that JSON.parse made
  const textMember = (name: string): string | null => (typeof line[name] === "string" ? line[name] : null);
  if (!isOpenaiLine(line)) {
    const [tenant, replyTo, jobId] = [textMember("tenant"), textMember("replyTo"), textMember("jobId")];
    return { kind: "job", job: { number, text, isOpenai: false, tenant, replyTo, jobId } };
  }
  const made = jobOfOpenaiLine(text, line, defaults);
  if (made.kind === "bad") return { kind: "bad", number, message: made.message };
  const { tenant } = defaults;
  return {
    kind: "job",
    job: { number, text: made.text, isOpenai: true, tenant, replyTo: null, jobId: textMember("custom_id") },
  };
}
