import type { CostRow, EndingJob, JobEnd, LateCost, Outgoing, RenderedEnd, Renderer } from "./outgoing.js";
import type { AnswerFacts, AttemptSummary } from "../execution/execution.js";
import { ERROR_CODES } from "../failure.js";
import { NO_USAGE } from "../cost/usage.js";
import { attemptId, resultId } from "../job/ids.js";
import { batchId } from "../batch/batch.js";
import {
  adjustmentId,
  chargeId,
  modeFields,
  servedCost,
  subjectFields,
  usageFields,
  type CostRecord,
} from "./cost-record.js";
import { parseEnvelope, type Envelope } from "./envelope.js";
import { renderEvent } from "./render-event.js";
import { deadLetterOutgoing, renderConflict } from "./render-refused.js";
import { renderShortened, renderUndeliverable } from "./render-undeliverable.js";
import { cloudEvent, contentTypeHeader, errorOf, iso, type RenderSettings } from "./rendering.js";
import type { ResultAttempt, ResultDecision, ResultDocument } from "./result-document.js";
import { costValue, resultValue } from "./value.js";

/**
 * Renders what leaves: results, cost records, dead letters. Pure, and called once a record: what was rendered is stored, so a repeat
 * after a kill has the same bytes.
 */
export function createRenderer(settings: RenderSettings): Renderer {
  return {
    end: (job, end) => renderEnd(settings, job, end),
    lateCost: (input) => renderLateCost(settings, input),
    repeat: (original, envelope, no, day) => renderRepeat(original, parseEnvelope(envelope), no, day),
    conflict: (item, day) => renderConflict(settings, item, day),
    event: (event, no, day) => renderEvent(settings, event, no, day),
    undeliverable: (input) => renderUndeliverable(settings, input),
    shortened: renderShortened,
  };
}

function renderEnd(settings: RenderSettings, job: EndingJob, end: JobEnd): RenderedEnd {
  const envelope = parseEnvelope(job.envelope);
  const id = resultId(job.tenant, job.jobId, job.generation);
  const cost = costOf(job, end, envelope, id);
  const result = renderResult(settings, job, end, envelope, id, cost);
  const facts = end.failure === null ? null : ERROR_CODES[end.failure.code];
  const outgoing = [result];
  if (cost !== null) outgoing.push(costOutgoing(settings, cost.record, cost.row.no, cost.row.day));
  return {
    outgoing,
    cost: cost?.row ?? null,
    deadLetter:
      end.failure === null || facts === null || !facts.deadLetter || job.record === null
        ? null
        : {
            code: end.failure.code,
            message: end.failure.message,
            outgoing: deadLetterOutgoing(settings, {
              no: job.key.no,
              day: job.key.day,
              source: envelope.source,
              key: envelope.reply.key === null ? null : Buffer.from(envelope.reply.key, "base64"),
              value: job.record.value,
              headersText: job.record.headersText,
              code: end.failure.code,
              message: end.failure.message,
              stage: end.stage,
              attempts: end.history.length,
              replayCount: job.generation,
            }),
          },
  };
}

interface RenderedCost {
  readonly record: CostRecord;
  readonly row: CostRow;
}

/** One charge per billed attempt, one of zero per job served without its own call; a job that failed for free has none. */
function costOf(job: EndingJob, end: JobEnd, envelope: Envelope, id: string): RenderedCost | null {
  if (end.answer === null) return null;
  const served = job.status === "succeeded";
  if (end.served !== "call" && !served) return null;
  const billing = end.served === "call" ? "charged" : end.served === "coalesced" ? "shared" : "cached";
  // The list price stands on the record that served the job.
  const facts = served ? end.answer.facts : { ...end.answer.facts, listNanoUsd: "0" };
  const record = servedCost({
    billing,
    subject: {
      tenant: job.tenant,
      labels: envelope.labels,
      jobId: job.jobId,
      generation: job.generation,
      resultId: id,
      execution: job.execution,
    },
    jobNo: job.key.no,
    facts,
    atMs: end.endedAtMs,
  });
  const own = billing === "charged";
  return {
    record,
    row: {
      no: own ? facts.attempt.no : job.key.no,
      day: own && job.execution !== null ? job.execution.day : job.key.day,
      kind: "charge",
      billing: record.billing,
      tenant: job.tenant,
      job: job.key,
      attemptNo: own ? facts.attempt.no : null,
      account: facts.account,
      model: facts.model,
      nanoUsd: record.nanoUsd === null ? null : BigInt(record.nanoUsd),
      maxNanoUsd: BigInt(record.maxNanoUsd),
      listNanoUsd: BigInt(record.listNanoUsd),
    },
  };
}

function renderResult(
  settings: RenderSettings,
  job: EndingJob,
  end: JobEnd,
  envelope: Envelope,
  id: string,
  cost: RenderedCost | null,
): Outgoing {
  const succeeded = job.status === "succeeded";
  const facts = succeeded ? (end.answer?.facts ?? null) : null;
  // An answer that serves nobody may have been billed all the same.
  const billed = facts ?? (cost === null ? null : (end.answer?.facts ?? null));
  const attempts = facts === null ? end.history : historyOf(end, facts.attempt);
  const document: ResultDocument = {
    v: 1,
    resultId: id,
    jobId: job.jobId,
    tenant: job.tenant,
    generation: job.generation,
    status: job.status,
    format: envelope.format,
    body: null,
    finishReason: facts?.finishReason ?? null,
    error: end.failure === null ? null : errorOf(end.failure),
    provider: facts?.provider ?? null,
    model: facts?.model ?? null,
    modelVersion: facts?.modelVersion ?? null,
    ...modeFields(billed?.attempt ?? attempts.at(-1) ?? { mode: "direct" }),
    served: end.served,
    requestHash: envelope.requestHash,
    executionId: job.execution === null ? null : attemptId(job.execution.day, job.execution.no),
    tier: envelope.tier,
    attempts: attempts.map((attempt) => attemptOf(attempt, job.execution?.day ?? job.key.day, billed, cost)),
    decision: facts === null ? null : decisionOf(facts, envelope.explain === true),
    usage: billed?.usage ?? NO_USAGE,
    cost: {
      nanoUsd: cost?.record.nanoUsd ?? (cost === null ? "0" : null),
      maxNanoUsd: cost?.record.maxNanoUsd ?? "0",
      listNanoUsd: cost?.record.listNanoUsd ?? "0",
      priceVersion: billed?.priceVersion ?? null,
      billing: cost?.record.billing ?? null,
      costId: cost?.record.costId ?? null,
    },
    times: {
      submittedAt: iso(envelope.submittedAtMs),
      acceptedAt: iso(job.acceptedAtMs),
      startedAt: attempts[0] === undefined ? null : iso(attempts[0].startedAtMs),
      finishedAt: iso(end.endedAtMs),
      deadline: iso(envelope.deadlineMs),
    },
    labels: envelope.labels,
  };
  const bodyText = succeeded && end.answer !== null ? end.answer.bodyText : null;
  return {
    kind: "result",
    no: job.key.no,
    day: job.key.day,
    topic: envelope.reply.topic,
    partition: envelope.reply.partition,
    key: envelope.reply.key === null ? null : Buffer.from(envelope.reply.key, "base64"),
    headers: [
      ["llm-job-id", job.jobId],
      ["llm-status", job.status],
      ["llm-provider", facts?.provider ?? ""],
      ["llm-cost-nano-usd", document.cost.nanoUsd ?? ""],
      ["llm-served", end.served],
      ...cloudEvent(settings, id, "sluice.result.v1", end.endedAtMs, job.jobId),
      ...copied(envelope),
    ],
    value: resultValue(settings, envelope.reply.topic, document, bodyText),
  };
}

function historyOf(end: JobEnd, attempt: AttemptSummary): readonly AttemptSummary[] {
  return end.history.some((earlier) => earlier.no === attempt.no) ? end.history : [...end.history, attempt];
}

function attemptOf(
  attempt: AttemptSummary,
  day: number,
  billed: { readonly attempt: AttemptSummary } | null,
  cost: RenderedCost | null,
): ResultAttempt {
  return {
    number: attempt.number,
    attemptId: attemptId(day, attempt.no),
    provider: attempt.provider,
    account: attempt.account,
    model: attempt.model,
    ...(attempt.batch === undefined ? { mode: attempt.mode } : modeFields(attempt)),
    outcome: attempt.outcome,
    providerRequestId: attempt.providerRequestId,
    startedAt: iso(attempt.startedAtMs),
    ms: attempt.ms,
    costId: chargeIdOf(attempt, billed, cost),
  };
}

/** @param explained with all that decided: the job asked for it. */
function decisionOf({ account, model, decision }: AnswerFacts, explained: boolean): ResultDecision {
  const routes = decision?.routes;
  const short = {
    chosen: `${account}/${model}`,
    because: decision?.because ?? "the first candidate that could serve it",
    rejectedCount: routes?.rejected.length ?? 0,
  };
  if (!explained || decision === undefined) return short;
  const { mode, numbers } = decision;
  if (routes === undefined) return { ...short, mode, numbers };
  const scores = routes.scored === undefined ? {} : { scores: routes.scored };
  return { ...short, mode, numbers, routeBecause: routes.because, ...scores, rejected: routes.rejected };
}

/** The charge's id is already there when this job carries it. */
function chargeIdOf(
  attempt: AttemptSummary,
  billed: { readonly attempt: AttemptSummary } | null,
  cost: RenderedCost | null,
): string | null {
  if (attempt.outcome !== "in_doubt" && billed?.attempt.no !== attempt.no) return null;
  return cost?.row.attemptNo === attempt.no ? cost.record.costId : chargeId(attempt.no);
}

function copied(envelope: Envelope): [string, Buffer][] {
  return envelope.reply.headers.map(([name, value]) => [name, Buffer.from(value, "base64")]);
}

function costOutgoing(settings: RenderSettings, record: CostRecord, no: number, day: number): Outgoing {
  return {
    kind: "cost",
    no,
    day,
    topic: settings.costsTopic,
    partition: null,
    key: Buffer.from(record.tenant, "utf8"),
    headers: [
      ["ce_specversion", "1.0"],
      ["ce_id", record.costId],
      ["ce_source", `/sluice/${settings.environment}`],
      ["ce_type", "sluice.cost.v1"],
      ["ce_time", record.at],
      contentTypeHeader(settings.encoders?.cost),
    ],
    value: costValue(settings, record),
  };
}

function renderLateCost(
  settings: RenderSettings,
  input: LateCost,
): { readonly outgoing: Outgoing; readonly cost: CostRow } {
  const { attempt, payer } = input;
  const adjustment = input.correctsNo !== null;
  const billing = input.nanoUsd === null && input.billing !== "in_doubt" ? "suspect" : input.billing;
  const envelope = payer === null ? null : parseEnvelope(payer.envelope);
  const record: CostRecord = {
    costId: adjustment ? adjustmentId(input.no) : chargeId(attempt.no),
    kind: adjustment ? "adjustment" : "charge",
    correctsCostId: input.correctsNo === null ? null : chargeId(input.correctsNo),
    purpose: "job",
    billing,
    ...subjectFields({
      tenant: input.tenant,
      labels: envelope?.labels ?? {},
      jobId: payer?.jobId ?? null,
      generation: payer?.generation ?? null,
      resultId: payer === null ? null : resultId(input.tenant, payer.jobId, payer.generation),
      execution: input.execution,
    }),
    attemptId: attemptId(input.execution.day, attempt.no),
    paidByCostId: null,
    provider: attempt.provider,
    account: attempt.account,
    model: attempt.model,
    modelVersion: input.modelVersion ?? null,
    ...(attempt.batchNo === undefined
      ? { mode: "direct", batchId: null }
      : { mode: "batch", batchId: batchId(attempt.batchNo) }),
    providerBatchId: input.providerBatchId ?? null,
    providerRequestId: null,
    ...usageFields(input.usage),
    priceVersion: input.priceVersion ?? "",
    nanoUsd: input.nanoUsd?.toString() ?? null,
    maxNanoUsd: attempt.maxNanoUsd.toString(),
    listNanoUsd: "0",
    at: iso(input.atMs),
  };
  return {
    outgoing: costOutgoing(settings, record, input.no, input.execution.day),
    cost: {
      no: input.no,
      day: input.execution.day,
      kind: record.kind,
      billing,
      tenant: input.tenant,
      job: null,
      attemptNo: attempt.no,
      account: attempt.account,
      model: attempt.model,
      nanoUsd: input.nanoUsd,
      maxNanoUsd: attempt.maxNanoUsd,
      listNanoUsd: 0n,
    },
  };
}

function renderRepeat(original: Outgoing, envelope: Envelope, no: number, day: number): Outgoing {
  const own = new Set(envelope.reply.headers.map(([name]) => name));
  const kept = original.headers.filter(([name]) => /^(llm-|ce_|content-type$)/.test(name) && !own.has(name));
  return {
    kind: "repeat",
    no,
    day,
    topic: envelope.reply.topic,
    partition: envelope.reply.partition,
    key: original.key,
    headers: [...kept, ["llm-duplicate", "true"], ...copied(envelope)],
    value: original.value,
  };
}
