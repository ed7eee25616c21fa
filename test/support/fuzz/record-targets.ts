import avro from "avsc";
import fc from "fast-check";
import { readFileSync } from "node:fs";
import { createAvroDecoder } from "../../../src/adapters/registry/avro-decoder.js";
import { toRecord } from "../../../src/adapters/kafka/incoming-record.js";
import { WIRE as ANTHROPIC } from "../../../src/adapters/providers/anthropic/anthropic-provider.js";
import { WIRE as GEMINI } from "../../../src/adapters/providers/gemini/gemini-provider.js";
import { WIRE as OPENAI } from "../../../src/adapters/providers/openai/openai-provider.js";
import { createAdmission } from "../../../src/domain/job/admit.js";
import type { Admission, AdmittedJob, IncomingRecord } from "../../../src/domain/job/job.js";
import { translateRequest } from "../../../src/domain/format/translate.js";
import { keptHeaders, renderRefused } from "../../../src/domain/result/render-refused.js";
import { renderEnvelope } from "../../../src/domain/result/envelope.js";
import { spokenFormat } from "../../../src/domain/route/format-family.js";
import type { RequestFormat } from "../../../src/domain/job/job.js";
import { BODY, NOW_MS, SENT_AT_MS, settings } from "../../unit/job-admission-fixture.js";
import { mustBeShort, mustHold, type FuzzTarget } from "./fuzz-target.js";
import { mutatedBytes } from "./mutated-bytes.js";

const WIRES = [OPENAI, ANTHROPIC, GEMINI];
const RENDER = { environment: "test", cluster: "main", group: "g", costsTopic: "costs", eventsTopic: "events" };
const golden = (path: string): string =>
  readFileSync(new URL(`../../golden/formats/requests/${path}.json`, import.meta.url), "utf8");

const BODIES = ["files", "json-schema", "text", "tools"].flatMap((kind) =>
  ["openai.chat", "anthropic.messages", "gemini.generate"].map((format) => ({
    format,
    body: { model: "cheap", ...(JSON.parse(golden(`${kind}/${format}`)) as object) }, // a request, as its name says
  })),
);

const FULL = {
  jobId: "order-17",
  tenant: "acme",
  body: BODY,
  mode: "auto",
  deadline: "2026-12-01T13:00:00Z",
  priority: 5,
  tier: "standard",
  replyTo: "etl.answers",
  labels: { department: "risk", application: "kyc" },
  require: { capabilities: ["vision"], maxCostUsd: "0.02" },
  dedupe: true,
  sample: "3",
  cache: { read: true, write: true, maxAgeMs: 1000 },
  expect: { jsonSchema: true },
  onDoubt: "retry",
  explain: true,
};

const JSON_SEEDS = [
  ...[FULL, { jobId: "a", body: BODY }, BODY, [], "text"].map((value) => Buffer.from(JSON.stringify(value))),
  ...BODIES.map(({ format, body }) => Buffer.from(JSON.stringify({ jobId: "b", format, body }))),
  Buffer.from(JSON.stringify({ jobId: "e", format: "openai.embeddings", body: { model: "m", input: ["a", "b"] } })),
];

const NAMES = [
  "llm-job-id",
  "llm-format",
  "llm-action",
  "llm-mode",
  "llm-deadline",
  "llm-priority",
  "llm-tenant",
  "kafka_correlationId",
  "kafka_replyTopic",
  "kafka_replyPartition",
  "traceparent",
  "ce_id",
  "__proto__",
  "constructor",
  "content-type",
  "x",
];
const headerValue = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .constantFrom(
        "a",
        "cancel",
        "openai.chat",
        "anthropic.messages",
        "direct",
        "2026-12-01T13:00:00Z",
        "9",
        "etl.answers",
        "1e3",
        "",
      )
      .map((text) => Buffer.from(text)),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes)) },
);
const headers = fc.array(
  fc.tuple(fc.constantFrom(...NAMES), fc.oneof(headerValue, fc.array(headerValue, { maxLength: 3 }))),
  { maxLength: 5 },
);

function recordOf(value: Buffer | null, pairs: readonly (readonly [string, Buffer | Buffer[]])[]): IncomingRecord {
  const named = Object.create(null) as Record<string, Buffer | Buffer[]>; // as our reading of headers collects them
  for (const [name, bytes] of pairs) named[name] = bytes;
  const message = {
    key: Buffer.from("k"),
    value,
    headers: named,
    timestamp: String(SENT_AT_MS),
    offset: "17",
    attributes: 0,
  };
  return toRecord("llm.jobs.v1", 3, message);
}

const admission = createAdmission(settings());

/** What intake makes of an admission, and what the adapters make of a job. */
function follow(record: IncomingRecord, admitted: Admission): string {
  switch (admitted.kind) {
    case "job":
      followJob(admitted.job);
      return "a job";
    case "refused": {
      const { refusal } = admitted;
      mustBeShort(refusal.message);
      const rendered = renderRefused(RENDER, {
        no: 1,
        day: 1,
        record,
        headersText: keptHeaders(record.headers),
        refusal,
        nowMs: NOW_MS,
      });
      for (const { kind, value } of rendered.outgoing) if (kind === "result") JSON.parse(value?.toString("utf8") ?? "");
      return refusal.code;
    }
    case "cancel":
      return admitted.kind;
  }
}

function followJob(job: AdmittedJob): void {
  mustHold(job.tenant === "acme", `a job of the tenant ${job.tenant}`);
  mustHold(Number.isSafeInteger(job.deadlineMs), `the deadline ${String(job.deadlineMs)}`);
  mustHold(Buffer.byteLength(job.jobId) >= 1 && Buffer.byteLength(job.jobId) <= 256, "an id of another length");
  JSON.parse(renderEnvelope(job));
  for (const wire of WIRES) {
    const spoken = spokenFormat(job.format, Object.keys(wire.calls) as RequestFormat[]); // the keys' type
    if (spoken === null) continue;
    const told =
      spoken === job.format
        ? ({ kind: "carried", bodyText: job.bodyText } as const)
        : translateRequest(job.format, spoken, job.bodyText);
    if (told.kind === "not_carried") continue;
    const request = wire.calls[spoken]?.toRequest({
      format: spoken,
      model: "m",
      bodyText: told.bodyText,
      maxOutputTokensDefault: 64,
    });
    if (request !== null && request !== undefined) JSON.parse(request.bodyText);
  }
}

export const JSON_RECORDS: FuzzTarget<readonly [Buffer | null, readonly (readonly [string, Buffer | Buffer[]])[]]> = {
  name: "json record",
  inputs: fc.tuple(fc.option(mutatedBytes(JSON_SEEDS), { freq: 50, nil: null }), headers),
  read: ([value, pairs]) => {
    const record = recordOf(value, pairs);
    return follow(record, admission.admit(record, NOW_MS));
  },
};

const OURS = JSON.parse(readFileSync(new URL("../../../schemas/job.avsc", import.meta.url), "utf8")) as avro.Schema; // the published one
const WRITER = avro.Type.forSchema(OURS);
/** A producer's own schemas: one with less, one that is not ours at all. */
const LESS = avro.Type.forSchema({
  type: "record",
  name: "Job",
  fields: [
    { name: "jobId", type: "string" },
    { name: "tenant", type: ["null", "string"], default: null },
    { name: "bodyJson", type: "string" },
  ],
});
const STRANGE = avro.Type.forSchema({ type: "array", items: "bytes" });
const TYPES = new Map([
  [1, WRITER],
  [2, LESS],
  [3, STRANGE],
]);

function framed(id: number, bytes: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeInt32BE(id, 1);
  return Buffer.concat([head, bytes]);
}

function avroSeeds(): readonly Buffer[] {
  const value = (bodyJson: string): unknown => ({ jobId: "a", tenant: "acme", bodyJson });
  const bodies = [JSON.stringify(BODY), ...BODIES.map(({ body }) => JSON.stringify(body))];
  return [
    ...bodies.map((body) => framed(2, LESS.toBuffer(value(body)))),
    ...bodies.map((body) => framed(1, LESS.toBuffer(value(body)))), // as if written by the other schema
    framed(3, STRANGE.toBuffer([Buffer.from("x")])),
    framed(4, Buffer.from("unknown")),
    framed(5, Buffer.from("none of Avro")),
  ];
}

const decoder = createAvroDecoder(
  { valueBytesMax: 64 * 1024, negativeCacheMs: 1_000 },
  (id) => {
    const type = TYPES.get(id);
    if (type !== undefined) return Promise.resolve({ kind: "schema", type });
    if (id === 5) return Promise.resolve({ kind: "not_avro" });
    return Promise.resolve({ kind: "unknown" });
  },
  { nowMs: () => NOW_MS, monotonicMs: () => 0, sleep: () => Promise.resolve() },
);

export const AVRO_RECORDS: FuzzTarget<readonly [Buffer, readonly (readonly [string, Buffer | Buffer[]])[]]> = {
  name: "avro record",
  inputs: fc.tuple(mutatedBytes(avroSeeds()), headers),
  read: async ([value, pairs]) => {
    const decoded = await decoder.decode(Buffer.concat([Buffer.from([0]), value.subarray(1)]));
    const record = recordOf(value, pairs);
    if (decoded.kind === "decoded") return follow(record, admission.admitAvro(record, decoded.document, NOW_MS));
    if (decoded.kind === "refused") mustBeShort(decoded.message);
    return decoded.kind === "refused" ? decoded.code : decoded.kind;
  },
};
