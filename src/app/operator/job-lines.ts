import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";

/** A line of a file of jobs: what of it a command needs. The text goes to the topic as it is. */
export interface JobLineText {
  readonly number: number;
  readonly text: string;
  readonly tenant: string | null;
  readonly replyTo: string | null;
}

export type ReadLine =
  | { readonly kind: "job"; readonly job: JobLineText }
  | { readonly kind: "bad"; readonly number: number; readonly message: string };

/** Reads a file line by line, so its size does not matter. Empty lines are left out. @throws what opening the file throws. */
export async function* readJobLines(file: string): AsyncGenerator<ReadLine> {
  const lines = createInterface({ input: createReadStream(file, "utf8"), crlfDelay: Number.POSITIVE_INFINITY });
  let number = 0;
  for await (const line of lines) {
    number += 1;
    const text = number === 1 ? line.replace(/^\uFEFF/, "") : line;
    if (text.trim() !== "") yield readJobLine(text, number);
  }
}

export function readJobLine(text: string, number: number): ReadLine {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { kind: "bad", number, message: `expected JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return { kind: "bad", number, message: "expected a job, which is a JSON object" };
  const job = value as Readonly<Record<string, unknown>>; // an object that JSON.parse made
  const textMember = (name: string): string | null => (typeof job[name] === "string" ? job[name] : null);
  return { kind: "job", job: { number, text, tenant: textMember("tenant"), replyTo: textMember("replyTo") } };
}
