import type { Evidence, JobRow, ResultRecord, Violation } from "../evidence/evidence.js";
import { headerText, isResent, placeOf, recordNumber } from "../evidence/record.js";
import {
  generationKey,
  groupBy,
  jobKey,
  jobsByKey,
  publishedByNumber,
  publishInterruptions,
  repeatsByNumber,
  resultsByGeneration,
  sourceOf,
} from "./lookups.js";
import { Violations } from "./violations.js";

/**
 * One terminal result per (tenant, job id, generation), every copy with the same bytes; at most one generation succeeds; a newer record of a
 * known job gets the result again, once a record.
 */
export function checkOneResult(evidence: Evidence): readonly Violation[] {
  const found = new Violations("one_result");
  for (const copies of resultsByGeneration(evidence).values()) checkCopies(evidence, copies, found);
  for (const generations of jobsByKey(evidence).values()) checkGenerations(evidence, generations, found);
  checkIds(evidence, found);
  checkResent(evidence, found);
  return found.list;
}

function checkCopies(evidence: Evidence, copies: readonly ResultRecord[], found: Violations): void {
  const [first] = copies;
  if (first === undefined) return;
  for (const copy of copies)
    if (!isSame(first, copy))
      found.add(
        "answered_twice",
        first,
        `generation ${String(first.generation)}: ${placeOf(copy.record)} differs from ${placeOf(first.record)}`,
      );
  if (copies.length - 1 > publishInterruptions(evidence))
    found.add(
      "too_many_copies",
      first,
      `generation ${String(first.generation)} lies in the topic ${String(copies.length)} times; ${String(publishInterruptions(evidence))} publications were interrupted`,
    );
  if (!isInLedger(evidence, first))
    found.add(
      "unknown_result",
      first,
      `${placeOf(first.record)}: the ledger has no generation ${String(first.generation)} of it`,
    );
}

/** Only what a reader goes by is compared: key, value and id. */
function isSame(one: ResultRecord, other: ResultRecord): boolean {
  return (
    sameBytes(one.record.key, other.record.key) &&
    sameBytes(one.record.value, other.record.value) &&
    headerText(one.record, "ce_id") === headerText(other.record, "ce_id")
  );
}

function sameBytes(one: Buffer | null, other: Buffer | null): boolean {
  return one === null || other === null ? one === other : one.equals(other);
}

function isInLedger(evidence: Evidence, { tenant, jobId, generation }: ResultRecord): boolean {
  return (
    jobsByKey(evidence)
      .get(jobKey(tenant, jobId))
      ?.some((job) => job.generation === generation) ?? false
  );
}

function checkGenerations(evidence: Evidence, generations: readonly JobRow[], found: Violations): void {
  generations.forEach((job, place) => {
    if (job.generation !== place)
      found.add(
        "generations_out_of_order",
        job,
        `generation ${String(job.generation)} is there twice, or one before is missing`,
      );
    if (place < generations.length - 1 && job.state !== "failed" && job.state !== "expired")
      found.add(
        "ended_and_replayed",
        job,
        `generation ${String(job.generation)} ${job.state}, and there is a next one`,
      );
    if (job.state !== "active") checkPublished(evidence, job, found);
  });
  const succeeded = generations.filter((job) =>
    (resultsByGeneration(evidence).get(keyOf(job)) ?? []).some(({ status }) => status === "succeeded"),
  );
  const [first] = succeeded;
  if (first !== undefined && succeeded.length > 1)
    found.add(
      "two_generations_succeeded",
      first,
      `generations ${succeeded.map((job) => String(job.generation)).join(" and ")}`,
    );
}

function checkPublished(evidence: Evidence, job: JobRow, found: Violations): void {
  const [first] = resultsByGeneration(evidence).get(keyOf(job)) ?? [];
  if (first === undefined) {
    if (!isUndeliverable(evidence, job))
      found.add(
        "lost",
        job,
        `generation ${String(job.generation)} ${job.state}, and no result of it lies in any topic`,
      );
  } else if (first.status !== job.state)
    found.add("other_status", job, `${placeOf(first.record)} says ${first.status}, the ledger ${job.state}`);
}

function isUndeliverable({ topics }: Evidence, job: JobRow): boolean {
  return topics.deadLetters.some(
    ({ code, origin }) => code === "REPLY_UNDELIVERABLE" && origin !== null && sourceOf(origin) === job.source,
  );
}

function keyOf({ tenant, jobId, generation }: JobRow): string {
  return generationKey(tenant, jobId, generation);
}

/** A result's id is its record's, and no other result has it. */
function checkIds({ topics }: Evidence, found: Violations): void {
  const owners = new Map<string, string>();
  for (const result of topics.results) {
    const { resultId, tenant, jobId, generation, record } = result;
    const ceId = headerText(record, "ce_id");
    if (ceId !== resultId)
      found.add("wrong_id", result, `${placeOf(record)}: ce_id ${ceId ?? "missing"}, resultId ${resultId}`);
    if (generation < 0) continue; // a refused record uses up no id: its place is part of the name
    const key = generationKey(tenant, jobId, generation);
    const owner = owners.get(resultId) ?? key;
    if (owner !== key)
      found.add("shared_id", result, `${placeOf(record)}: resultId ${resultId} is also that of ${owner}`);
    owners.set(resultId, owner);
  }
}

function checkResent(evidence: Evidence, found: Violations): void {
  const resent = evidence.topics.results.filter(({ record }) => isResent(record));
  const byNumber = groupBy(resent, ({ record }) => recordNumber(record));
  for (const [number, copies] of byNumber) checkResentCopies(evidence, number, copies, found);
  for (const number of repeatsByNumber(evidence).keys()) {
    const published = publishedByNumber(evidence).get(number);
    if (published !== undefined && !byNumber.has(number) && !isSuspect(evidence, number))
      found.add(
        "not_sent_again",
        published,
        `record ${String(number)} repeats a job, and its result was not sent again for it`,
      );
  }
}

function checkResentCopies(
  evidence: Evidence,
  number: number | null,
  copies: readonly ResultRecord[],
  found: Violations,
): void {
  const [first] = copies;
  if (first === undefined) return;
  const repeats = number === null ? 0 : (repeatsByNumber(evidence).get(number) ?? 0);
  if (repeats === 0)
    found.add(
      "sent_again_for_nothing",
      first,
      `${placeOf(first.record)}: for record ${String(number)}, which repeats no job`,
    );
  for (const copy of copies) {
    const originals = resultsByGeneration(evidence).get(generationKey(copy.tenant, copy.jobId, copy.generation)) ?? [];
    if (!originals.some((original) => isSame(original, copy)))
      found.add("answered_twice", copy, `${placeOf(copy.record)} was sent again and is no copy of the first`);
  }
  if (copies.length - Math.max(1, repeats) > publishInterruptions(evidence))
    found.add(
      "too_many_copies",
      first,
      `sent again ${String(copies.length)} times for record ${String(number)}; ${String(publishInterruptions(evidence))} publications were interrupted`,
    );
}

function isSuspect({ topics }: Evidence, number: number): boolean {
  return topics.deadLetters.some(({ record, stage }) => stage === "intake" && recordNumber(record) === number);
}
