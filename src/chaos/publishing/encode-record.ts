import { createHash } from "node:crypto";
import type { FilmJob } from "../../demo/film-jobs.js";
import { base64OrNull } from "../../demo/reader/topic-record.js";
import { bytesDigest, promptDigest } from "../../demo/reader/published-list.js";
import type { JobEncoder } from "../../demo/publisher.js";
import { RECORD_NUMBER_HEADER, type PublishedRecord } from "../evidence/evidence.js";
import { requestDigest } from "./chaos-jobs.js";
import { CONFLICT_CODE, REFUSED_CODE, type PlannedRecord } from "./record-plan.js";

/** A record as the client takes it, and what is written down about it. */
export interface EncodedRecord {
  readonly partition: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, Buffer | string>>;
  readonly timestampMs: number;
  /** `place` is null until the broker has acknowledged it. */
  readonly entry: PublishedRecord;
}

export interface RecordPlace {
  readonly number: number;
  readonly topic: string;
  readonly partitions: number;
  readonly nowMs: number;
}

/** Each record goes to the partition of its number, so that its offset is known from the broker's answer. */
export async function encodeRecord(
  planned: PlannedRecord,
  encode: JobEncoder,
  place: RecordPlace,
): Promise<EncodedRecord> {
  const { number, topic, nowMs } = place;
  const partition = number % place.partitions;
  const correlation = correlationOf(number);
  const headers = { [RECORD_NUMBER_HEADER]: String(number), kafka_correlationId: correlation };
  const key = keyOf(planned);
  const common = { number, topic, place: null, key: base64OrNull(key), sentAtMs: nowMs };
  const record = { partition, key, timestampMs: nowMs };
  switch (planned.kind) {
    case "malformed": {
      const { value } = planned;
      const entry = {
        ...common,
        ...NO_JOB,
        kind: planned.kind,
        tenant: "",
        jobId: null,
        valueDigest: bytesDigest(value),
      };
      return { ...record, value, headers, entry: { ...entry, correlation: correlation.toString("base64") } };
    }
    case "cancel": {
      const { jobId, tenant } = planned.job;
      const entry = {
        ...common,
        ...NO_JOB,
        kind: planned.kind,
        tenant,
        jobId,
        valueDigest: bytesDigest(Buffer.alloc(0)),
      };
      return {
        ...record,
        value: null,
        headers: {
          ...{ "llm-action": "cancel", "llm-job-id": jobId, "llm-tenant": tenant },
          [RECORD_NUMBER_HEADER]: String(number),
        },
        entry: { ...entry, correlation: null },
      };
    }
    case "job":
    case "duplicate":
    case "conflict":
    case "refused": {
      const value = await encode(planned.job);
      const entry = { ...common, ...jobFields(planned.job, nowMs), kind: planned.kind, code: CODES[planned.kind] };
      return {
        ...record,
        value,
        headers,
        entry: { ...entry, valueDigest: bytesDigest(value), correlation: correlation.toString("base64") },
      };
    }
  }
}

const CODES = { job: null, duplicate: null, conflict: CONFLICT_CODE, refused: REFUSED_CODE } as const;

const NO_JOB = {
  format: null,
  mode: null,
  requestKey: null,
  promptDigest: null,
  code: null,
  shared: true,
  deadlineMs: null,
} as const;

function jobFields(job: FilmJob, nowMs: number): Omit<PublishedRecord, "kind" | "code" | "valueDigest" | keyof Common> {
  const { tenant, jobId, format, terms } = job;
  return {
    tenant,
    jobId,
    format,
    mode: terms?.mode ?? null,
    requestKey: requestDigest(job),
    promptDigest: promptDigest(job.messageTexts),
    shared: true,
    deadlineMs: terms === null ? null : nowMs + terms.ttlMs,
  };
}

type Common = Pick<PublishedRecord, "number" | "topic" | "place" | "key" | "correlation" | "sentAtMs">;

function keyOf(planned: PlannedRecord): Buffer | null {
  return planned.kind === "malformed" ? Buffer.from(`broken-${String(planned.number)}`) : planned.job.key;
}

function correlationOf(number: number): Buffer {
  return createHash("sha256")
    .update(`correlation of record ${String(number)}`)
    .digest()
    .subarray(0, 16);
}
