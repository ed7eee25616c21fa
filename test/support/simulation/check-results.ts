import type { CheckedParts, CheckerName } from "./checkers.js";
import { digestOf } from "./fixture.js";
import type { JobRow, Outgoing } from "./memory-rows.js";
import type { Publication } from "./scenario.js";

type Report = (checker: CheckerName, message: string, jobId: string | null) => void;

/** When all is quiet: each job ended, has one result with the right answer, and everything that was to go out did. */
export function checkResults(parts: CheckedParts, report: Report): void {
  const jobs = [...parts.database.jobs.committed.values()];
  checkGenerations(jobs, report);
  for (const publication of parts.scenario.publications) {
    const { wish, record } = publication;
    if (wish === null || isExcused(parts, publication)) continue;
    const job = jobs.find((other) => other.jobId === wish.jobId && other.tenant === wish.tenant);
    if (job === undefined)
      report(
        "no_job_lost",
        `offset ${String(record.offset)} of partition ${String(record.partition)} is no job in the ledger`,
        wish.jobId,
      );
  }
  const published = publishedResults(parts.broker.published);
  for (const job of jobs)
    if (job.state === "active") report("no_job_lost", "the job never ended", job.jobId);
    else checkResult(parts, job, published.get(generationKey(job)) ?? [], report);
  checkRepeats(parts, jobs, report);
  checkOutbox(parts, report);
}

/** Its record was deleted before anybody read it, is a suspect that nobody reads again, or asks for a batch that would end too late. */
function isExcused({ broker, database }: CheckedParts, { record }: Publication): boolean {
  return (
    broker.lost.has(record) ||
    [...database.deadLetters.committed.values()].some(
      ({ code, partition, offset }) =>
        (code === "CRASH_SUSPECT" || code === "NO_ROUTE_IN_TIME") &&
        partition === record.partition &&
        offset === record.offset,
    )
  );
}

/** Generations of a job are numbered from 0 without a gap, and a next one is only there when the one before failed. */
function checkGenerations(jobs: readonly JobRow[], report: Report): void {
  const byJob = new Map<string, JobRow[]>();
  for (const job of jobs) {
    const id = `${job.tenant}:${job.jobId}`;
    byJob.set(id, [...(byJob.get(id) ?? []), job]);
  }
  for (const generations of byJob.values()) {
    generations.sort((a, b) => a.generation - b.generation);
    generations.forEach(({ generation, jobId, state }, place) => {
      if (generation !== place)
        report("one_job_a_generation", `generation ${String(generation)} is there twice or misses one before`, jobId);
      if (place < generations.length - 1 && state !== "failed" && state !== "expired")
        report("one_job_a_generation", `generation ${String(generation)} ${state} and was replayed`, jobId);
    });
  }
}

function sourceOf({ record }: Publication): string {
  return `${record.topic}:${String(record.partition)}:${String(record.offset)}`;
}

interface PublishedResult {
  readonly document: ResultDocument;
  readonly text: string;
}

function generationKey({ tenant, jobId, generation }: Pick<JobRow, "tenant" | "jobId" | "generation">): string {
  return `${tenant}:${jobId}:${String(generation)}`;
}

/** All copies of each result, by generation, the repeated ones included. */
function publishedResults(published: CheckedParts["broker"]["published"]): Map<string, PublishedResult[]> {
  const results = new Map<string, PublishedResult[]>();
  for (const { record } of published) {
    if (record.kind !== "result" && record.kind !== "repeat") continue;
    const text = record.value?.toString("utf8") ?? "{}";
    const document = JSON.parse(text) as ResultDocument; // written by the renderer
    const copies = results.get(generationKey(document)) ?? [];
    copies.push({ document, text });
    results.set(generationKey(document), copies);
  }
  return results;
}

function checkResult(parts: CheckedParts, job: JobRow, copies: readonly PublishedResult[], report: Report): void {
  const [first] = copies;
  if (first === undefined) {
    if (!isGivenUp(parts, "result", job.key.no, job.source, job.generation))
      report("every_result_published", "the job ended and no result of it was published", job.jobId);
    return;
  }
  if (copies.some(({ text }) => text !== first.text))
    report("one_result", "two results of one generation differ", job.jobId);
  if (first.document.status !== job.state)
    report("one_result", `the result says ${first.document.status}, the ledger ${job.state}`, job.jobId);
  if (job.state !== "succeeded") return;
  const prompt = parts.scenario.publications.find((publication) => isSourceOf(publication, job))?.wish?.prompt ?? "";
  if (first.document.body?.digest !== digestOf(prompt))
    report("right_answer", `the answer is not to "${prompt}"`, job.jobId);
}

/** Two records may have had the same place and id, one in each life of the topic: their bytes tell. */
function isSourceOf(publication: Publication, job: JobRow): boolean {
  const { wish, record } = publication;
  return (
    sourceOf(publication) === job.source &&
    wish?.tenant === job.tenant &&
    wish.jobId === job.jobId &&
    record.value?.equals(job.record.value ?? NO_BYTES) === true
  );
}

const NO_BYTES = Buffer.alloc(0);

/** The broker did not take this record when it was asked, and a dead letter about it went out. */
function isGivenUp(
  { broker }: CheckedParts,
  kind: "result" | "repeat",
  no: number,
  source: string,
  generation: number,
): boolean {
  if (!broker.refused.has(`${kind}:${String(no)}`)) return false;
  const word = kind === "result" ? "the result of" : "the repeated result of";
  return broker.published.some(({ record }) => {
    if (record.kind !== "dead_letter") return false;
    const header = (name: string): string => String(record.headers.find(([other]) => other === name)?.[1] ?? "");
    const at = ["topic", "partition", "offset"].map((part) => header(`__dlq.errors.${part}`)).join(":");
    return (
      header("llm-error-code") === "REPLY_UNDELIVERABLE" &&
      at === source &&
      header("llm-replay-count") === String(generation) &&
      header("__dlq.errors.message").includes(word)
    );
  });
}

interface ResultDocument {
  readonly jobId: string;
  readonly tenant: string;
  readonly generation: number;
  readonly status: string;
  readonly body: { readonly digest: string } | null;
}

/** A newer record with a known id gets the result again, or a dead letter when its body is another. */
function checkRepeats(parts: CheckedParts, jobs: readonly JobRow[], report: Report): void {
  const { database, scenario } = parts;
  let wanted = 0;
  for (const publication of scenario.publications) {
    const { wish, record } = publication;
    const job = jobs.find((other) => other.jobId === wish?.jobId && other.tenant === wish.tenant);
    if (wish === null || job === undefined || isExcused(parts, publication)) continue;
    const first = scenario.publications.find((other) => isSourceOf(other, job));
    if (first?.wish?.prompt === wish.prompt) wanted += job.source === sourceOf(publication) ? 0 : 1;
    else if (
      ![...database.deadLetters.committed.values()].some(
        (letter) =>
          letter.code === "ID_CONFLICT" && letter.partition === record.partition && letter.offset === record.offset,
      )
    ) {
      report("no_repeat_lost", "a record with a taken id has no dead letter", wish.jobId);
    }
  }
  const repeats = [...database.outbox.committed.values()].filter((record) => record.kind === "repeat").length;
  // More is allowed: a repeat that is handed over twice is answered twice, with the same bytes.
  if (repeats < wanted)
    report(
      "no_repeat_lost",
      `${String(wanted)} records named a known job, ${String(repeats)} got its result again`,
      null,
    );
}

/** Each record that was written went out, or the broker did not take it and its stand-in did. */
function checkOutbox({ database, broker }: CheckedParts, report: Report): void {
  const published = new Set(broker.published.map(({ record }) => `${record.kind}:${String(record.no)}`));
  const undelivered = [...database.outbox.committed].filter(([key]) => !published.has(String(key)));
  for (const [key, record] of undelivered)
    if (!broker.refused.has(String(key)))
      report("every_result_published", `${record.kind} ${String(record.no)} was written and never published`, null);
  checkLetters(
    { database, broker },
    undelivered.map(([, record]) => record),
    report,
  );
}

/** A row of a dead letter has its record; one that was too long has a second, shortened one; each other refused record has a letter. */
function checkLetters(
  { database }: Pick<CheckedParts, "database" | "broker">,
  undelivered: readonly Outgoing[],
  report: Report,
): void {
  const rows = [...database.deadLetters.committed.values()];
  const records = [...database.outbox.committed.values()].filter(({ kind }) => kind === "dead_letter");
  const shortened = records.filter(({ value, headers }) => value === null && headers.at(-1)?.[0] === OMITTED_BYTES);
  const tooLong = undelivered.filter(({ kind }) => kind === "dead_letter");
  if (records.length !== rows.length + shortened.length || shortened.length !== tooLong.length)
    report("every_result_published", "rows of dead letters and their records differ in number", null);
  const givenUp = rows.filter(({ code }) => code === "REPLY_UNDELIVERABLE").length;
  const others = undelivered.length - tooLong.length;
  if (givenUp < others)
    report(
      "every_result_published",
      `${String(others)} records were not taken, ${String(givenUp)} have a letter`,
      null,
    );
}

const OMITTED_BYTES = "llm-value-omitted-bytes";
