import type { IntakeJob, Outgoing, RefusedRecord } from "./outgoing.js";
import { ERROR_CODES, type ErrorCode } from "../failure.js";
import type { IncomingRecord, Refusal } from "../job/job.js";
import { resultId } from "../job/ids.js";
import type { Stage } from "../stage.js";
import type { GatewayEvent } from "../event/event.js";
import { renderEvent } from "./render-event.js";
import { cloudEvent, errorOf, iso, type RenderSettings } from "./rendering.js";
import type { ResultDocument } from "./result-document.js";
import { resultValue } from "./value.js";

export interface DeadLetterInput {
  readonly no: number;
  readonly day: number;
  readonly source: { readonly topic: string; readonly partition: number; readonly offset: number };
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headersText: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly stage: Stage;
  readonly attempts: number;
  readonly replayCount: number;
}

/** Value and headers of a dead letter on its topic; a little below Kafka's own default limit of a message, 1,048,588 bytes. */
const DEAD_LETTER_BYTES_MAX = 1_000_000;

/** On a dead letter that goes without its value: how long the value is. */
export const OMITTED_BYTES_HEADER = "llm-value-omitted-bytes";

/**
 * The original bytes with error headers. What no broker would take goes without value and original headers, and says how long the value
 * is: a record that can't be published would hold up all others of its topic. The ledger's row keeps the bytes.
 */
export function deadLetterOutgoing(settings: RenderSettings, input: DeadLetterInput): Outgoing {
  const valueBytes = input.value?.length ?? 0;
  const fits = valueBytes + input.headersText.length <= DEAD_LETTER_BYTES_MAX;
  const original = fits ? (JSON.parse(input.headersText) as [string, string][]) : []; // written by keptHeaders
  const omitted: [string, string][] = fits ? [] : [[OMITTED_BYTES_HEADER, String(valueBytes)]];
  return {
    kind: "dead_letter",
    no: input.no,
    day: input.day,
    topic: `${input.source.topic}.dlq`,
    partition: null,
    key: input.key,
    headers: [
      ...original.map(([name, value]): [string, Buffer] => [name, Buffer.from(value, "base64")]),
      ["__dlq.errors.topic", input.source.topic],
      ["__dlq.errors.partition", String(input.source.partition)],
      ["__dlq.errors.offset", String(input.source.offset)],
      ["__dlq.errors.group", settings.group],
      ["__dlq.errors.message", input.message],
      ["llm-error-code", input.code],
      ["llm-error-class", ERROR_CODES[input.code].class],
      ["llm-error-stage", input.stage],
      ["llm-attempt", String(input.attempts)],
      ["llm-replay-count", String(input.replayCount)],
      ...omitted,
    ],
    value: fits ? input.value : null,
  };
}

export function renderConflict(settings: RenderSettings, item: IntakeJob, day: number): RefusedRecord {
  const { job } = item;
  const refusal: Refusal = {
    code: "ID_CONFLICT",
    message:
      "this job id was used before with another format or body; the first job stands. Send the new request under a new id",
    tenant: job.tenant,
    jobId: job.jobId,
    identity: null,
  };
  const refused = renderRefused(settings, {
    no: item.no,
    day,
    record: {
      ...job.record,
      key: job.reply.key === null ? null : Buffer.from(job.reply.key, "base64"),
      value: item.record.value,
    },
    headersText: item.record.headersText,
    refusal,
    nowMs: job.submittedAtMs,
  });
  return { ...refused, outgoing: [...refused.outgoing, conflictEvent(settings, item, day)] };
}

function conflictEvent(settings: RenderSettings, { no, job }: IntakeJob, day: number): Outgoing {
  const { topic, partition, offset } = job.record;
  const place = `${topic} ${String(partition)}:${String(offset)}`;
  const event: GatewayEvent = {
    kind: "job.id_conflict",
    message: `the record at ${place} has a known job id and another format or body; it was dead-lettered, the first job stands`,
    tenant: job.tenant,
    jobId: job.jobId,
    generation: null,
    provider: null,
    account: null,
    details: { topic, partition: String(partition), offset: String(offset) },
    atMs: job.submittedAtMs,
  };
  return renderEvent(settings, event, no, day);
}

export interface RefusedInput {
  readonly no: number;
  readonly day: number;
  readonly record: Pick<IncomingRecord, "topic" | "partition" | "offset" | "key" | "value">;
  readonly headersText: string;
  readonly refusal: Refusal;
  readonly nowMs: number;
}

/** Headers of a record as they are kept: JSON text `[[name, base64], …]`. */
export function keptHeaders(headers: IncomingRecord["headers"]): string {
  return headers.length === 0
    ? "[]"
    : JSON.stringify(headers.map(({ name, value }) => [name, value.toString("base64")]));
}

/** The dead letter of a record that becomes no job and, where its sender's identity is proven, a failed result of generation -1. */
export function renderRefused(settings: RenderSettings, input: RefusedInput): RefusedRecord {
  const { refusal, record } = input;
  const outgoing: Outgoing[] = [
    deadLetterOutgoing(settings, {
      no: input.no,
      day: input.day,
      source: record,
      key: record.key,
      value: record.value,
      headersText: input.headersText,
      code: refusal.code,
      message: refusal.message,
      stage: "intake",
      attempts: 0,
      replayCount: 0,
    }),
  ];
  if (refusal.identity !== null && ERROR_CODES[refusal.code].result)
    outgoing.push(refusedResult(settings, input, refusal.identity));
  return {
    no: input.no,
    topic: record.topic,
    partition: record.partition,
    offset: record.offset,
    tenant: refusal.tenant,
    jobId: refusal.jobId,
    code: refusal.code,
    message: refusal.message,
    record: { value: record.value, headersText: input.headersText },
    outgoing,
  };
}

function refusedResult(
  settings: RenderSettings,
  input: RefusedInput,
  identity: NonNullable<Refusal["identity"]>,
): Outgoing {
  const { record, refusal } = input;
  const id = resultId(identity.tenant, identity.jobId, -1, {
    cluster: settings.cluster,
    topic: record.topic,
    partition: record.partition,
    offset: record.offset,
  });
  const error = errorOf({ code: refusal.code, message: refusal.message, provider: null, retryAtMs: null });
  const document: ResultDocument = {
    v: 1,
    resultId: id,
    jobId: identity.jobId,
    tenant: identity.tenant,
    generation: -1,
    status: "failed",
    format: identity.format,
    body: null,
    finishReason: null,
    // Whatever the code: a replay takes a job, and the record became none.
    error: { ...error, replayable: false },
    attempts: [],
    cost: { nanoUsd: "0", maxNanoUsd: "0", listNanoUsd: "0", priceVersion: null, billing: null, costId: null },
    times: {
      submittedAt: iso(identity.submittedAtMs),
      acceptedAt: null,
      startedAt: null,
      finishedAt: iso(input.nowMs),
      deadline: null,
    },
    labels: identity.labels,
  };
  return {
    kind: "result",
    no: input.no,
    day: input.day,
    topic: identity.reply.topic,
    partition: identity.reply.partition,
    key: identity.reply.key === null ? null : Buffer.from(identity.reply.key, "base64"),
    headers: [
      ["llm-job-id", identity.jobId],
      ["llm-status", "failed"],
      ["llm-provider", ""],
      ["llm-cost-nano-usd", "0"],
      ["llm-served", "call"],
      ...cloudEvent(settings, id, "sluice.result.v1", input.nowMs, identity.jobId),
      ...identity.reply.headers.map(([name, value]): [string, Buffer] => [name, Buffer.from(value, "base64")]),
    ],
    value: resultValue(settings, identity.reply.topic, document, null),
  };
}
