import type { DeadLetterRecord, Evidence, LetterRow, Violation } from "../evidence/evidence.js";
import { headerText, placeOf, valueDigest } from "../evidence/record.js";
import { groupBy, inputsBySource, jobsByNo, publishedByNumber, sourceOf } from "./lookups.js";
import { NOBODY, Violations } from "./violations.js";

/** On a dead letter that goes without its value. */
const OMITTED = "llm-value-omitted-bytes";

/**
 * Each dead letter says where it came from, why, how often it was tried and replayed, and has the original bytes; one failure has one; nothing
 * is replayed twice, nor more often than it may be.
 */
export function checkDeadLetters(evidence: Evidence): readonly Violation[] {
  const found = new Violations("dead_letters");
  for (const letter of evidence.topics.deadLetters) checkLetter(evidence, letter, found);
  checkFailures(evidence, found);
  checkReplays(evidence, found);
  return found.list;
}

function checkLetter(evidence: Evidence, letter: DeadLetterRecord, found: Violations): void {
  const { record, origin, code, errorClass, stage, message, attempts, replayCount } = letter;
  const place = `${placeOf(record)} (${code})`;
  if (
    origin === null ||
    errorClass === null ||
    stage === null ||
    message === null ||
    attempts === null ||
    replayCount === null
  ) {
    found.add(
      "incomplete",
      NOBODY,
      `${place}: expected origin, class, stage, message, attempts and replays in its headers`,
    );
    return;
  }
  const input = inputsBySource(evidence).get(sourceOf(origin));
  const published =
    input?.number === undefined || input.number === null ? undefined : publishedByNumber(evidence).get(input.number);
  if (input === undefined)
    found.add("origin_unknown", NOBODY, `${place}: ${sourceOf(origin)} is no record of a jobs topic`);
  else if (headerText(record, OMITTED) === null && valueDigest(record.value) !== input.valueDigest)
    found.add("changed_bytes", published ?? NOBODY, `${place}: its bytes are not those of ${sourceOf(origin)}`);
  if (replayCount > evidence.run.limits.replays)
    found.add(
      "replayed_too_often",
      published ?? NOBODY,
      `${place}: replayed ${String(replayCount)} times, ${String(evidence.run.limits.replays)} are allowed`,
    );
}

/** Letters of the topic and rows of the ledger belong together, one to one; copies of a letter have equal bytes. */
function checkFailures({ topics, ledger }: Evidence, found: Violations): void {
  const records = groupBy(topics.deadLetters, ({ origin, code, replayCount }) =>
    origin === null ? "" : failureKey(sourceOf(origin), code, replayCount ?? 0),
  );
  const rows = groupBy(ledger.deadLetters, rowKey);
  for (const [key, copies] of records) {
    const [first] = copies;
    if (key === "" || first === undefined) continue;
    const rowsOfIt = rows.get(key) ?? [];
    if (rowsOfIt.length === 0)
      found.add("letter_of_nothing", NOBODY, `${placeOf(first.record)}: the ledger has no dead letter ${key}`);
    const kinds = new Set(
      copies.map(({ record }) => `${valueDigest(record.value)} ${headerText(record, OMITTED) ?? ""}`),
    );
    if (kinds.size > Math.max(1, rowsOfIt.length))
      found.add(
        "letters_differ",
        NOBODY,
        `${placeOf(first.record)}: copies of dead letter ${key} have different bytes`,
      );
  }
  for (const [key, rowsOfIt] of rows) {
    const [row, second] = rowsOfIt;
    if (row === undefined) continue;
    if (!records.has(key))
      found.add("letter_not_published", row, `dead letter ${String(row.no)} (${key}) lies in no topic`);
    if (second !== undefined && row.code !== UNDELIVERABLE)
      found.add(
        "two_letters",
        row,
        `dead letters ${String(row.no)} and ${String(second.no)} are about one failure (${key})`,
      );
  }
}

/** Each record that can't be delivered has a letter: several of one job may have one each. */
const UNDELIVERABLE = "REPLY_UNDELIVERABLE";

function rowKey({ topic, partition, offset, code, generation }: LetterRow): string {
  return failureKey(sourceOf({ topic, partition, offset }), code, Math.max(0, generation ?? 0));
}

function failureKey(source: string, code: string, generation: number): string {
  return `${source} ${code} ${String(generation)}`;
}

function checkReplays(evidence: Evidence, found: Violations): void {
  const jobs = jobsByNo(evidence);
  const news = new Set<number>();
  const olds = new Set<number>();
  for (const { jobNo, newNo, byWhom } of evidence.ledger.replays) {
    const [old, next] = [jobs.get(jobNo), jobs.get(newNo)];
    if (olds.has(jobNo) || news.has(newNo))
      found.add(
        "replayed_twice",
        old ?? NOBODY,
        `job ${String(jobNo)} was replayed twice, the last time by ${byWhom} as ${String(newNo)}`,
      );
    olds.add(jobNo);
    news.add(newNo);
    if (old === undefined || next === undefined) {
      found.add(
        "replay_of_nothing",
        next ?? NOBODY,
        `replay of job ${String(jobNo)} as ${String(newNo)}: one of them is not in the ledger`,
      );
      continue;
    }
    if (next.generation !== old.generation + 1 || next.jobId !== old.jobId || next.tenant !== old.tenant)
      found.add(
        "wrong_replay",
        next,
        `job ${String(newNo)} is generation ${String(next.generation)}, it follows generation ${String(old.generation)} of ${old.jobId}`,
      );
    if (old.state !== "failed" && old.state !== "expired")
      found.add("replayed_unfailed", old, `job ${String(jobNo)} ${old.state}, and was replayed by ${byWhom}`);
  }
  for (const job of jobs.values())
    if (job.generation > 0 && !news.has(job.no))
      found.add(
        "generation_without_replay",
        job,
        `generation ${String(job.generation)} is there, and no replay made it`,
      );
}
