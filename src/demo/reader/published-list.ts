import { createHash } from "node:crypto";
import { asObject, parseObject, textField } from "./json-fields.js";

/** One published job, as the publisher wrote it down after the broker had acknowledged the record. */
export interface PublishedJob {
  readonly jobId: string;
  readonly tenant: string;
  readonly format: string;
  /** As the job asks for it: an alias. */
  readonly model: string;
  /** It may not wait for a batch. */
  readonly direct: boolean;
  /** See `promptDigest`. */
  readonly promptDigest: string;
  /** The record's key in base64, null without one. */
  readonly key: string | null;
  /** The record's `kafka_correlationId` in base64. */
  readonly correlation: string;
}

export interface PublishedList {
  readonly jobs: readonly PublishedJob[];
  /** SHA-256 in hex of each malformed record's bytes. */
  readonly malformedDigests: readonly string[];
}

/** The rule that the simulator states for the `digest=` in its answers: the first 32 hex digits of SHA-256 over the prompt's texts. */
export function promptDigest(texts: readonly string[]): string {
  return createHash("sha256").update(texts.join("\n"), "utf8").digest("hex").slice(0, 32);
}

export function bytesDigest(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** One line of the list file. */
export function publishedJobLine(job: PublishedJob): string {
  return JSON.stringify({ job });
}

export function malformedLine(bytes: Buffer): string {
  return JSON.stringify({ malformed: bytesDigest(bytes) });
}

/** @throws Error naming the line when the list holds anything but its two kinds of line: the list is ours, so this is a bug. */
export function parsePublishedList(text: string): PublishedList {
  const jobs: PublishedJob[] = [];
  const malformedDigests: string[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line === "") continue;
    const row = parseObject(line);
    const malformed = row === null ? null : textField(row, "malformed");
    if (malformed !== null) malformedDigests.push(malformed);
    else jobs.push(toPublishedJob(row?.["job"], index + 1));
  }
  return { jobs, malformedDigests };
}

function toPublishedJob(value: unknown, lineNumber: number): PublishedJob {
  const row = asObject(value);
  const text = (name: string): string => {
    const found = row === null ? null : textField(row, name);
    if (found === null) throw new Error(`the publisher's list, line ${String(lineNumber)}: expected text in ${name}`);
    return found;
  };
  return {
    jobId: text("jobId"),
    tenant: text("tenant"),
    format: text("format"),
    model: text("model"),
    direct: row?.["direct"] === true,
    promptDigest: text("promptDigest"),
    key: row === null ? null : textField(row, "key"),
    correlation: text("correlation"),
  };
}
