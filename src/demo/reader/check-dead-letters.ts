import { jobKey } from "./check-results.js";
import type { Finding } from "./finding.js";
import { bytesDigest } from "./published-list.js";
import type { PublishedList } from "./published-list.js";
import type { ResultRecord } from "./result-record.js";
import { base64OrNull, headerText, placeOf } from "./topic-record.js";
import type { TopicRecord } from "./topic-record.js";

export interface DeadLettersReport {
  readonly findings: readonly Finding[];
  /** Distinct dead letters: one a record of the jobs topic, however often it was published. */
  readonly deadLetters: number;
}

/**
 * Each malformed record has exactly one dead letter with its original bytes; each job that did not succeed has exactly one;
 * nothing else has any. A dead letter published twice with equal bytes counts once.
 */
export function checkDeadLetters(
  published: PublishedList,
  records: readonly TopicRecord[],
  answered: ReadonlyMap<string, ResultRecord>,
): DeadLettersReport {
  const findings: Finding[] = [];
  const letters = distinctLetters(records, findings);
  const lettersOfMalformed = new Map<string, number>(published.malformedDigests.map((digest) => [digest, 0]));
  const jobsByCorrelation = new Map(published.jobs.map((job) => [job.correlation, job]));
  const lettersOfJobs = new Map<string, TopicRecord[]>();
  for (const letter of letters) {
    const digest = letter.value === null ? "" : bytesDigest(letter.value);
    const count = lettersOfMalformed.get(digest);
    if (count !== undefined) {
      lettersOfMalformed.set(digest, count + 1);
      continue;
    }
    const job = jobsByCorrelation.get(base64OrNull(letter.headers.get("kafka_correlationId")) ?? "");
    if (job === undefined)
      findings.push({
        kind: "changed_dead_letter",
        jobId: null,
        detail: describe(letter, "bytes that nobody published"),
      });
    else
      lettersOfJobs.set(jobKey(job.tenant, job.jobId), [
        ...(lettersOfJobs.get(jobKey(job.tenant, job.jobId)) ?? []),
        letter,
      ]);
  }
  findings.push(...checkMalformed(lettersOfMalformed));
  for (const job of published.jobs) {
    const key = jobKey(job.tenant, job.jobId);
    findings.push(...checkJobLetters(job.jobId, answered.get(key) ?? null, lettersOfJobs.get(key) ?? []));
  }
  return { findings, deadLetters: letters.length };
}

function distinctLetters(records: readonly TopicRecord[], findings: Finding[]): readonly TopicRecord[] {
  const letters = new Map<string, TopicRecord>();
  for (const record of records) {
    const names = ["topic", "partition", "offset"].map((name) => headerText(record, `__dlq.errors.${name}`));
    // Without a stated origin each record counts by itself: hiding a second one would be worse than naming it.
    const origin = names.includes(null) ? placeOf(record) : JSON.stringify(names);
    const first = letters.get(origin);
    if (first === undefined) letters.set(origin, record);
    else if (base64OrNull(first.value) !== base64OrNull(record.value)) {
      findings.push({
        kind: "changed_dead_letter",
        jobId: null,
        detail: `${placeOf(record)} differs from ${placeOf(first)}`,
      });
    }
  }
  return [...letters.values()];
}

function checkMalformed(counts: ReadonlyMap<string, number>): readonly Finding[] {
  return [...counts].flatMap(([digest, count]): Finding[] => {
    const name = `malformed record ${digest.slice(0, 12)}`;
    if (count === 1) return [];
    if (count === 0)
      return [{ kind: "missing_dead_letter", jobId: null, detail: `${name}: no dead letter with its bytes` }];
    return [{ kind: "second_dead_letter", jobId: null, detail: `${name}: ${String(count)} dead letters` }];
  });
}

function checkJobLetters(
  jobId: string,
  result: ResultRecord | null,
  letters: readonly TopicRecord[],
): readonly Finding[] {
  // A cancelled job ends without a dead letter; every other job that did not succeed has one.
  const expected = result !== null && (result.status === "failed" || result.status === "expired") ? 1 : 0;
  if (letters.length === expected) return [];
  const [first, second] = letters;
  if (first === undefined)
    return [{ kind: "missing_dead_letter", jobId, detail: "failed, but there is no dead letter" }];
  if (expected === 0)
    return [{ kind: "unexpected_dead_letter", jobId, detail: describe(first, "the job did not fail") }];
  return [
    {
      kind: "second_dead_letter",
      jobId,
      detail: `${placeOf(first)} and ${second === undefined ? "" : placeOf(second)}`,
    },
  ];
}

function describe(letter: TopicRecord, what: string): string {
  const code = headerText(letter, "llm-error-code") ?? "no code";
  return `${placeOf(letter)}: ${what} (${code}: ${headerText(letter, "__dlq.errors.message") ?? "no message"})`;
}
