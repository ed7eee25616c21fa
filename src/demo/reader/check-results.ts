import type { Finding } from "./finding.js";
import type { PublishedJob } from "./published-list.js";
import { parseResult } from "./result-record.js";
import type { ResultRecord } from "./result-record.js";
import { base64OrNull, headerText, placeOf } from "./topic-record.js";
import type { TopicRecord } from "./topic-record.js";

/** What the result topics say about the published jobs. */
export interface ResultsReport {
  readonly findings: readonly Finding[];
  /** The result of each answered job, by `jobKey`: the first one where there are several. */
  readonly answered: ReadonlyMap<string, ResultRecord>;
  readonly lost: number;
  readonly duplicates: number;
  /** Second copies with equal key, value and `ce_id`: allowed, since delivery is at least once. */
  readonly repeats: number;
  readonly failed: number;
  /** Of these, those whose deadline passed. */
  readonly expired: number;
  readonly served: ReadonlyMap<string, number>;
}

/** What is asked of the answers of a run. */
export interface AnswerRules {
  /** Error codes that a failed result may have in this run; any other failure is an objection. */
  readonly failureCodesAllowed: ReadonlySet<string>;
  /** Whether jobs that may not wait for a batch may miss their time. */
  readonly directMayExpire: boolean;
  /** Whether answers carry the digest of their prompt; real providers put none in, so that there has to be a text and no more. */
  readonly digests: boolean;
}

/** A job's identity as one map key: tenant and id, separated so that no two pairs meet. */
export function jobKey(tenant: string, jobId: string): string {
  return JSON.stringify([tenant, jobId]);
}

/**
 * Compares the records of the result topics with what was published: one result a job, the right answer in it, key and
 * correlation bytes returned.
 */
export function checkResults(
  published: readonly PublishedJob[],
  records: readonly TopicRecord[],
  rules: AnswerRules,
): ResultsReport {
  const findings: Finding[] = [];
  const jobs = new Map(published.map((job) => [jobKey(job.tenant, job.jobId), job]));
  const prompts = new Map(published.map((job) => [job.promptDigest, job.jobId]));
  const results = readable(records, jobs, findings);
  const { answered, duplicates, repeats } = onePerJob(results, findings);
  const served = new Map<string, number>();
  let failed = 0;
  let expired = 0;
  for (const [key, job] of jobs) {
    const result = answered.get(key);
    if (result === undefined) {
      findings.push({
        kind: "lost_result",
        jobId: job.jobId,
        detail: `tenant ${job.tenant}: no result in any result topic`,
      });
      continue;
    }
    findings.push(...checkEnvelope(job, result), ...checkOutcome(job, result, prompts, rules));
    if (result.status !== "succeeded") failed += 1;
    if (result.status === "expired") expired += 1;
    if (result.served !== null) served.set(result.served, (served.get(result.served) ?? 0) + 1);
  }
  findings.push(...sharedResultIds(answered));
  return { findings, answered, lost: jobs.size - answered.size, duplicates, repeats, failed, expired, served };
}

function readable(
  records: readonly TopicRecord[],
  jobs: ReadonlyMap<string, PublishedJob>,
  findings: Finding[],
): readonly ResultRecord[] {
  return records.flatMap((record) => {
    const result = parseResult(record);
    if (result === null) {
      findings.push({ kind: "unreadable_result", jobId: headerText(record, "llm-job-id"), detail: placeOf(record) });
      return [];
    }
    if (!jobs.has(jobKey(result.tenant, result.jobId))) {
      findings.push({
        kind: "unknown_job",
        jobId: result.jobId,
        detail: `${placeOf(record)}: this job was never published`,
      });
      return [];
    }
    if (result.generation < 0) {
      const detail = `${placeOf(record)}: refused at admission, ${result.errorCode ?? "no code"}`;
      findings.push({ kind: "refused_job", jobId: result.jobId, detail });
      return [];
    }
    return [result];
  });
}

function onePerJob(
  results: readonly ResultRecord[],
  findings: Finding[],
): { readonly answered: Map<string, ResultRecord>; readonly duplicates: number; readonly repeats: number } {
  const answered = new Map<string, ResultRecord>();
  const byGeneration = new Map<string, ResultRecord>();
  let duplicates = 0;
  let repeats = 0;
  for (const result of results) {
    const key = jobKey(result.tenant, result.jobId);
    const generationKey = JSON.stringify([key, result.generation]);
    const first = byGeneration.get(generationKey);
    if (first === undefined) {
      byGeneration.set(generationKey, result);
      if (answered.has(key)) {
        const detail = `${placeOf(result.record)}: a result of generation ${String(result.generation)} though nothing was replayed`;
        findings.push({ kind: "second_generation", jobId: result.jobId, detail });
      } else answered.set(key, result);
    } else if (sameRecord(first.record, result.record)) {
      repeats += 1;
    } else {
      duplicates += 1;
      const detail = `${placeOf(result.record)} differs from ${placeOf(first.record)}`;
      findings.push({ kind: "duplicate_result", jobId: result.jobId, detail });
    }
  }
  return { answered, duplicates, repeats };
}

function sameRecord(one: TopicRecord, other: TopicRecord): boolean {
  return (
    base64OrNull(one.key) === base64OrNull(other.key) &&
    base64OrNull(one.value) === base64OrNull(other.value) &&
    headerText(one, "ce_id") === headerText(other, "ce_id")
  );
}

function checkEnvelope(job: PublishedJob, result: ResultRecord): readonly Finding[] {
  const findings: Finding[] = [];
  const ceId = headerText(result.record, "ce_id");
  const place = placeOf(result.record);
  if (ceId !== result.resultId) {
    findings.push({
      kind: "wrong_result_id",
      jobId: job.jobId,
      detail: `${place}: ce_id ${ceId ?? "missing"}, resultId ${result.resultId}`,
    });
  }
  if (base64OrNull(result.record.key) !== job.key) {
    findings.push({ kind: "wrong_key", jobId: job.jobId, detail: `${place}: the key is not the job record's key` });
  }
  if (base64OrNull(result.record.headers.get("kafka_correlationId")) !== job.correlation) {
    findings.push({
      kind: "wrong_correlation",
      jobId: job.jobId,
      detail: `${place}: the correlation bytes are not the job record's`,
    });
  }
  return findings;
}

function checkOutcome(
  job: PublishedJob,
  result: ResultRecord,
  prompts: ReadonlyMap<string, string>,
  { failureCodesAllowed, directMayExpire, digests }: AnswerRules,
): readonly Finding[] {
  switch (result.status) {
    case "succeeded":
      return [...checkMode(job, result), ...checkAnswer(job, result, digests ? prompts : null)];
    case "failed":
    case "expired":
    case "cancelled": {
      const code = result.errorCode ?? "no code";
      if (failureCodesAllowed.has(code)) return [];
      if (directMayExpire && job.direct && OUT_OF_TIME.has(code)) return [];
      return [
        { kind: "failed_result", jobId: job.jobId, detail: `${placeOf(result.record)}: ${result.status}, ${code}` },
      ];
    }
    default:
      return [{ kind: "unknown_status", jobId: job.jobId, detail: `${placeOf(result.record)}: ${result.status}` }];
  }
}

const OUT_OF_TIME: ReadonlySet<string> = new Set(["DEADLINE_EXCEEDED", "NO_ROUTE_IN_TIME"]);

/** A job that may not wait for a batch may be served by the answer of one that has ended, or by another job's, not by a line of its own. */
function checkMode(job: PublishedJob, { mode, served, batchId, record }: ResultRecord): readonly Finding[] {
  if (!job.direct || served !== "call" || mode === "direct") return [];
  const detail = `${placeOf(record)}: asked for a call of its own, served by ${batchId ?? mode ?? "no mode"}`;
  return [{ kind: "wrong_mode", jobId: job.jobId, detail }];
}

/** `prompts` null: answers carry no digest. */
function checkAnswer(
  job: PublishedJob,
  result: ResultRecord,
  prompts: ReadonlyMap<string, string> | null,
): readonly Finding[] {
  const place = placeOf(result.record);
  if (result.format !== job.format) {
    return [
      {
        kind: "wrong_format",
        jobId: job.jobId,
        detail: `${place}: asked in ${job.format}, answered in ${result.format ?? "none"}`,
      },
    ];
  }
  if (prompts === null) {
    if ((result.answerText ?? "").trim() !== "") return [];
    return [{ kind: "empty_answer", jobId: job.jobId, detail: `${place}: succeeded without a text` }];
  }
  const digest = /digest=([0-9a-f]{32})(?![0-9a-f])/.exec(result.answerText ?? "")?.[1];
  if (digest === undefined)
    return [{ kind: "no_digest", jobId: job.jobId, detail: `${place}: the answer carries no digest` }];
  if (digest === job.promptDigest) return [];
  const owner = prompts.get(digest);
  const whose = owner === undefined ? "belongs to no published prompt" : `belongs to the prompt of ${owner}`;
  return [{ kind: "swapped_answer", jobId: job.jobId, detail: `${place}: the answer ${whose}` }];
}

function sharedResultIds(answered: ReadonlyMap<string, ResultRecord>): readonly Finding[] {
  const owners = new Map<string, string>();
  const findings: Finding[] = [];
  for (const result of answered.values()) {
    const owner = owners.get(result.resultId);
    if (owner === undefined) owners.set(result.resultId, result.jobId);
    else
      findings.push({
        kind: "wrong_result_id",
        jobId: result.jobId,
        detail: `same resultId as the result of ${owner}`,
      });
  }
  return findings;
}
