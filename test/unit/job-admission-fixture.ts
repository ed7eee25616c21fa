import { compileJobShapeCheck } from "../../src/adapters/registry/job-schema.js";
import type { AdmissionSettings } from "../../src/domain/job/admission-settings.js";
import {
  DEFAULT_ADMISSION_LIMITS,
  DEFAULT_COPIED_HEADER_LIMITS,
  DEFAULT_ROUTING_TERMS,
} from "../../src/domain/job/admission-settings.js";
import type { AdmittedJob, Admission, IncomingRecord, RecordHeader, Refusal } from "../../src/domain/job/job.js";

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
/** 2026-12-01T12:00:00Z */
export const SENT_AT_MS = 1_796_126_400_000;
export const NOW_MS = SENT_AT_MS + 1_500;

const checkShape = compileJobShapeCheck();

export function settings(changes: Partial<AdmissionSettings> = {}): AdmissionSettings {
  return {
    cluster: "main",
    tenantFrom: "topic",
    topicTenants: new Map([["llm.jobs.v1", "acme"]]),
    tenants: new Map([
      ["acme", { tier: "standard", replyTopics: ["etl.answers", "{tenant}.answers"] }],
      ["other", { tier: "free", replyTopics: [] }],
    ]),
    limits: DEFAULT_ADMISSION_LIMITS,
    copiedHeaders: DEFAULT_COPIED_HEADER_LIMITS,
    lifetime: { defaultTtlMs: DAY_MS, defaultTtlBatchMs: 2 * DAY_MS, maxTtlMs: 7 * DAY_MS },
    reuse: { dedupe: true, cache: true, cacheMaxAgeMs: null },
    resultsTopic: "llm.results.v1",
    configRevision: "r1",
    routing: DEFAULT_ROUTING_TERMS,
    checkShape,
    ...changes,
  };
}

export const BODY = { model: "cheap", messages: [{ role: "user", content: "Say hello" }] };

export function header(name: string, value: string | Buffer): RecordHeader {
  return { name, value: Buffer.from(value) };
}

/** A record on the jobs topic; a value that is no text or bytes is written as JSON. */
export function record(
  value: unknown,
  headers: readonly RecordHeader[] = [],
  changes: Partial<IncomingRecord> = {},
): IncomingRecord {
  return {
    topic: "llm.jobs.v1",
    partition: 3,
    offset: 17,
    timestampMs: SENT_AT_MS,
    key: Buffer.from("k"),
    value: bytesOf(value),
    headers,
    ...changes,
  };
}

function bytesOf(value: unknown): Buffer | null {
  if (value === null || Buffer.isBuffer(value)) return value;
  return Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
}

export function jobIn(admission: Admission): AdmittedJob {
  if (admission.kind !== "job") throw new Error(`expected a job, got ${JSON.stringify(admission)}`);
  return admission.job;
}

export function refusalIn(admission: Admission): Refusal {
  if (admission.kind !== "refused") throw new Error(`expected a refusal, got ${admission.kind}`);
  return admission.refusal;
}
