import type { CopiedHeaderLimits } from "./admission-settings.js";
import type { RecordHeader } from "./job.js";

/** The headers of a job's record that mean something to Sluice, and those that are copied to its result. */
export interface ReadHeaders {
  readonly jobId: string | null;
  /** A claim like the member `tenant`, for records whose value has no place for it. */
  readonly tenant: string | null;
  readonly action: string | null;
  /** Present: the value is the bare request body. */
  readonly format: string | null;
  readonly mode: string | null;
  readonly deadline: string | null;
  readonly priority: string | null;
  readonly chain: string | null;
  readonly replyTopic: string | null;
  readonly replyPartition: number | null;
  /** In order: name and value in base64. `kafka_correlationId` among them. */
  readonly copied: readonly (readonly [string, string])[];
  /** Headers beyond the limits of copying. */
  readonly droppedCount: number;
  readonly problem: HeaderProblem | null;
}

export interface HeaderProblem {
  readonly code: "BAD_UTF8" | "BAD_JOB";
  readonly message: string;
}

const CONTROL_NAMES: ReadonlySet<string> = new Set([
  "llm-job-id",
  "llm-tenant",
  "llm-action",
  "llm-format",
  "llm-mode",
  "llm-deadline",
  "llm-priority",
  "llm-chain",
]);
/** Spring Kafka's names of request and reply (its KafkaHeaders class). */
const CORRELATION_ID = "kafka_correlationId";
const REPLY_TOPIC = "kafka_replyTopic";
const REPLY_PARTITION = "kafka_replyPartition";
const REPLY_PARTITION_BYTES = 4;

const NOT_COPIED_NAMES: ReadonlySet<string> = new Set(["content-type", "spring_json_header_types"]);
const NOT_COPIED_PREFIXES = ["llm-", "ce_", "kafka_", "__", "retry_topic-"] as const;

const NO_HEADERS: ReadHeaders = {
  jobId: null,
  tenant: null,
  action: null,
  format: null,
  mode: null,
  deadline: null,
  priority: null,
  chain: null,
  replyTopic: null,
  replyPartition: null,
  copied: [],
  droppedCount: 0,
  problem: null,
};

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Reads the headers of one record. A header of ours that comes twice with different bytes is a problem, since either could be
 * meant; of Kafka's own names the last one counts, as in Spring.
 */
export function readHeaders(headers: readonly RecordHeader[], limits: CopiedHeaderLimits): ReadHeaders {
  if (headers.length === 0) return NO_HEADERS;
  const control = readControl(headers);
  const replyTopic = last(headers, REPLY_TOPIC);
  const text = (name: string): string | null => control.texts.get(name) ?? null;
  return {
    jobId: text("llm-job-id"),
    tenant: text("llm-tenant"),
    action: text("llm-action"),
    format: text("llm-format"),
    mode: text("llm-mode"),
    deadline: text("llm-deadline"),
    priority: text("llm-priority"),
    chain: text("llm-chain"),
    // Not UTF-8 names no topic that can exist: the allow-list refuses it like any other wrong name.
    replyTopic: replyTopic === null ? null : (decode(replyTopic) ?? ""),
    replyPartition: partitionIn(last(headers, REPLY_PARTITION)),
    ...copyHeaders(headers, limits),
    problem: control.problem,
  };
}

/** Bytes of all headers, names included. */
export function headerBytes(headers: readonly RecordHeader[]): number {
  let bytes = 0;
  for (const header of headers) bytes += bytesOf(header);
  return bytes;
}

function bytesOf(header: RecordHeader): number {
  return Buffer.byteLength(header.name) + header.value.length;
}

function readControl(headers: readonly RecordHeader[]): { texts: Map<string, string>; problem: HeaderProblem | null } {
  const texts = new Map<string, string>();
  for (const { name, value } of headers) {
    if (!CONTROL_NAMES.has(name)) continue;
    const text = decode(value);
    if (text === null)
      return { texts, problem: { code: "BAD_UTF8", message: `header ${name}: expected UTF-8 text, got other bytes` } };
    const before = texts.get(name);
    if (before !== undefined && before !== text) {
      return {
        texts,
        problem: { code: "BAD_JOB", message: `header ${name}: expected it once, got it twice with different values` },
      };
    }
    texts.set(name, text);
  }
  return { texts, problem: null };
}

function copyHeaders(
  headers: readonly RecordHeader[],
  limits: CopiedHeaderLimits,
): { copied: (readonly [string, string])[]; droppedCount: number } {
  const copied: (readonly [string, string])[] = [];
  const correlation = last(headers, CORRELATION_ID);
  let bytes = 0;
  let count = 0;
  let droppedCount = 0;
  for (const header of headers) {
    // Always copied, and not counted: without it nobody can tell which question the answer belongs to.
    if (header.name === CORRELATION_ID) {
      if (header.value === correlation) copied.push([header.name, header.value.toString("base64")]);
    } else if (isCopied(header.name)) {
      bytes += bytesOf(header);
      count += 1;
      if (count > limits.countMax || bytes > limits.bytesMax) droppedCount += 1;
      else copied.push([header.name, header.value.toString("base64")]);
    }
  }
  return { copied, droppedCount };
}

function isCopied(name: string): boolean {
  return !NOT_COPIED_NAMES.has(name) && !NOT_COPIED_PREFIXES.some((prefix) => name.startsWith(prefix));
}

function partitionIn(value: Buffer | null): number | null {
  if (value?.length !== REPLY_PARTITION_BYTES) return null;
  const partition = value.readInt32BE(0);
  return partition < 0 ? null : partition;
}

function last(headers: readonly RecordHeader[], name: string): Buffer | null {
  return headers.findLast((header) => header.name === name)?.value ?? null;
}

function decode(value: Buffer): string | null {
  try {
    return decoder.decode(value);
  } catch {
    return null;
  }
}
