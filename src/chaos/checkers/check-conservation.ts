import type {
  DeadLetterRecord,
  Evidence,
  InputRecord,
  JobRow,
  PublishedRecord,
  Violation,
} from "../evidence/evidence.js";
import { recordNumber } from "../evidence/record.js";
import { groupBy, inputsBySource, jobKey, jobsByKey, publishedByNumber, sourceOf } from "./lookups.js";
import { NOBODY, Violations } from "./violations.js";

/** What became of one record of a jobs topic. */
interface Fate {
  readonly input: InputRecord;
  readonly published: PublishedRecord;
  readonly accepted: boolean;
  /** Dead letters that intake wrote about it, save the one that a job got that ended as it was accepted. */
  readonly letters: readonly DeadLetterRecord[];
}

/** What a record that becomes no job is taken for when it met too many ends of its readers. */
const SUSPECT = "CRASH_SUSPECT";
/** What a job is refused for at the door whose deadline no route can keep. */
const TOO_LATE = "NO_ROUTE_IN_TIME";

/**
 * Each record of the jobs topics came to exactly one end: it became a job, is a repeat of one, is a dead letter, or asked for something
 * else; and each job of the ledger has ended.
 */
export function checkConservation(evidence: Evidence): readonly Violation[] {
  const found = new Violations("conservation");
  checkPublished(evidence, found);
  const fates = fatesOf(evidence, found);
  checkSingles(fates, found);
  checkRefusals(evidence, fates, found);
  checkIds(fates, found);
  checkSuspects(evidence, fates, found);
  checkLedger(evidence, found);
  checkPositions(evidence, found);
  return found.list;
}

/** Records that the broker acknowledged are there. */
function checkPublished({ published, topics }: Evidence, found: Violations): void {
  const there = new Set(topics.inputs.map(({ number }) => number));
  for (const { number, tenant, jobId, place, topic } of published)
    if (place !== null && !there.has(number))
      found.add(
        "record_gone",
        { tenant, jobId },
        `record ${String(number)} was acknowledged at ${topic}/${String(place.partition)}@${place.offset} and is not in the topic`,
      );
}

function fatesOf(evidence: Evidence, found: Violations): readonly Fate[] {
  const jobs = new Map(
    evidence.ledger.jobs.filter(({ generation }) => generation === 0).map((job) => [job.source, job]),
  );
  const letters = groupBy(
    evidence.topics.deadLetters.filter(({ stage }) => stage === "intake"),
    ({ origin }) => (origin === null ? null : sourceOf(origin)),
  );
  return evidence.topics.inputs.flatMap((input) => {
    const source = sourceOf(input);
    const published = input.number === null ? undefined : publishedByNumber(evidence).get(input.number);
    if (published === undefined) {
      found.add("foreign_record", NOBODY, `${source}: nobody of this run published it`);
      return [];
    }
    const job = jobs.get(source);
    return [
      {
        input,
        published,
        accepted: job !== undefined,
        letters: (letters.get(source) ?? []).filter(({ code }) => !isEndOf(job, code)),
      },
    ];
  });
}

/** A job that was over as it was accepted, and never had an execution: its dead letter is its end, and no second fate. */
function isEndOf(job: JobRow | undefined, code: string): boolean {
  return job !== undefined && job.executionNo === null && job.state !== "active" && job.failureCode === code;
}

/** Records that stand for themselves: they name no job, or none that may be made. */
function checkSingles(fates: readonly Fate[], found: Violations): void {
  for (const { input, published, accepted, letters } of fates) {
    if (accepted && letters.length > 0)
      found.add(
        "two_fates",
        published,
        `${sourceOf(input)}: became a job and is the dead letter ${codes(letters)} too`,
      );
    switch (published.kind) {
      case "job":
      case "duplicate":
      case "conflict":
        break;
      case "cancel":
        // What was put aside was not read, so nobody knew what it asks for.
        if (accepted || letters.some(({ code }) => code !== SUSPECT))
          found.add(
            "cancel_taken",
            published,
            `${sourceOf(input)}: a cancellation became ${accepted ? "a job" : codes(letters)}`,
          );
        break;
      case "malformed":
      case "refused":
        checkRefused({ input, published, accepted, letters }, found);
    }
  }
}

function checkRefused({ input, published, accepted, letters }: Fate, found: Violations): void {
  const source = sourceOf(input);
  if (accepted) found.add("refused_accepted", published, `${source}: ${published.kind}, and became a job`);
  else if (letters.length === 0)
    found.add("lost", published, `${source}: ${published.kind}, and there is no dead letter`);
  else if (published.code !== null && letters.some(({ code }) => code !== published.code && code !== SUSPECT))
    found.add("other_code", published, `${source}: expected ${published.code}, its dead letter says ${codes(letters)}`);
}

/** Whoever was refused at the door hears of it: a failed result of generation -1. */
function checkRefusals({ topics }: Evidence, fates: readonly Fate[], found: Violations): void {
  const told = groupBy(
    topics.results.filter(({ generation }) => generation < 0),
    ({ record }) => recordNumber(record),
  );
  for (const { input, published, accepted, letters } of fates) {
    const isLate = letters.some(({ code }) => code === TOO_LATE);
    // What was put aside was not read, so nobody knows whose it is.
    const isUnread = letters.some(({ code }) => code === SUSPECT);
    if ((published.kind !== "refused" && !isLate) || accepted || isUnread) continue;
    const expected = isLate ? TOO_LATE : published.code;
    const [result] = told.get(published.number) ?? [];
    if (result === undefined)
      found.add("lost", published, `${sourceOf(input)}: refused, and there is no result that says so`);
    else if (expected !== null && result.errorCode !== expected)
      found.add(
        "other_code",
        published,
        `${sourceOf(input)}: expected ${expected}, its result says ${result.errorCode ?? "none"}`,
      );
  }
}

/** Records that name a job, id by id: one becomes it, the others are repeats or conflicts. */
function checkIds(fates: readonly Fate[], found: Violations): void {
  const named = fates.filter(({ published: { kind, jobId } }) => jobId !== null && NAMES_A_JOB.has(kind));
  const byJob = groupBy(named, ({ published: { tenant, jobId } }) => jobKey(tenant, jobId ?? ""));
  for (const records of byJob.values()) {
    const [first, second] = records.filter(({ accepted }) => accepted);
    const aside = records.filter(isPutAside);
    if (first === undefined) {
      for (const { input, published } of records.filter((record) => !aside.includes(record)))
        found.add("lost", published, `${sourceOf(input)}: no job, no dead letter, no repeat of another`);
      continue;
    }
    if (second !== undefined)
      found.add(
        "accepted_twice",
        first.published,
        `both ${sourceOf(first.input)} and ${sourceOf(second.input)} became generation 0`,
      );
    for (const record of records) if (!record.accepted && !aside.includes(record)) checkLater(record, first, found);
  }
}

/** It is a job by its form, and became none: its readers died at it, or no route could answer before its deadline. */
function isPutAside({ published, letters }: Fate): boolean {
  return letters.some(({ code }) => code === SUSPECT || (code === TOO_LATE && published.deadlineMs !== null));
}

const NAMES_A_JOB: ReadonlySet<string> = new Set(["job", "duplicate", "conflict"]);

function checkLater({ input, published, letters }: Fate, first: Fate, found: Violations): void {
  const source = sourceOf(input);
  if (published.requestKey === first.published.requestKey) {
    if (letters.length > 0)
      found.add(
        "repeat_refused",
        published,
        `${source}: repeats ${sourceOf(first.input)} and is the dead letter ${codes(letters)}`,
      );
  } else if (letters.length === 0) {
    found.add(
      "lost",
      published,
      `${source}: has the id of ${sourceOf(first.input)} and another request, and no dead letter`,
    );
  } else if (letters.some(({ code }) => code !== "ID_CONFLICT"))
    found.add("other_code", published, `${source}: expected ID_CONFLICT, its dead letter says ${codes(letters)}`);
}

function checkSuspects({ run }: Evidence, fates: readonly Fate[], found: Violations): void {
  const suspects = fates.filter(({ letters }) => letters.some(({ code }) => code === SUSPECT));
  const innocent = suspects.filter(({ published }) => published.code !== SUSPECT);
  const [first] = innocent;
  if (first !== undefined && innocent.length > run.limits.suspects)
    found.add(
      "too_many_suspects",
      first.published,
      `${String(innocent.length)} records were taken for those that end their readers, ${String(run.limits.suspects)} may be; one is ${sourceOf(first.input)}`,
    );
}

function checkLedger(evidence: Evidence, found: Violations): void {
  for (const generations of jobsByKey(evidence).values())
    for (const job of generations) {
      if (job.state === "active") found.add("never_ended", job, `${name(job)} is active still`);
      if (!inputsBySource(evidence).has(job.source))
        found.add("job_of_nothing", job, `${name(job)} says it is the record ${job.source}, which no jobs topic has`);
    }
}

/** The ledger has read each partition to its end. */
function checkPositions({ ledger, topics }: Evidence, found: Violations): void {
  const next = new Map(ledger.positions.map((row) => [`${row.topic}/${String(row.partition)}`, BigInt(row.next)]));
  const last = new Map(
    topics.inputs.map((input) => [`${input.topic}/${String(input.partition)}`, BigInt(input.offset)]),
  );
  for (const [partition, offset] of last)
    if ((next.get(partition) ?? 0n) <= offset)
      found.add(
        "unread",
        NOBODY,
        `${partition}: read up to ${String(next.get(partition) ?? 0n)}, its last record is ${String(offset)}`,
      );
}

function name({ no, generation }: JobRow): string {
  return `job ${String(no)}, generation ${String(generation)}`;
}

function codes(letters: readonly DeadLetterRecord[]): string {
  return [...new Set(letters.map(({ code }) => code))].join(", ");
}
