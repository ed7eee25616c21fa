import type { Evidence, Violation } from "../evidence/evidence.js";
import { numberInId } from "../evidence/attempt-number.js";
import { attemptsByNo, ownerOf } from "./lookups.js";
import { NOBODY, Violations } from "./violations.js";

/** What an event of a doubt says when a call had more time than it may take. */
const TIMED_OUT = "timed_out";

/** No more calls are in doubt than were in the air when something cut them off, and a line of a batch that a provider has never is. */
export function checkDoubt(evidence: Evidence): readonly Violation[] {
  const found = new Violations("doubt");
  const doubts = doubtful(evidence);
  const { doubtBound } = boundOf(evidence);
  if (doubts.size > doubtBound)
    found.add(
      "more_than_in_the_air",
      NOBODY,
      `${String(doubts.size)} calls were in doubt; at most ${String(doubtBound)} were in the air at a kill, a stop or a cut, or had passed their time`,
    );
  const batches = new Map(evidence.ledger.batches.map((batch) => [batch.no, batch]));
  for (const no of doubts) {
    const attempt = attemptsByNo(evidence).get(no);
    if (attempt === undefined) {
      found.add("doubt_of_nothing", NOBODY, `attempt ${String(no)} was in doubt and is not in the ledger`);
      continue;
    }
    const batch = attempt.batchNo === null ? undefined : batches.get(attempt.batchNo);
    if (batch !== undefined && batch.providerBatchId !== null)
      found.add(
        "line_in_doubt",
        ownerOf(evidence, attempt),
        `attempt ${String(no)}, a line of ${batch.providerBatchId}, was in doubt`,
      );
    if (attempt.state === "in_doubt")
      found.add("doubt_never_settled", ownerOf(evidence, attempt), `attempt ${String(no)} is in doubt still`);
  }
  return found.list;
}

/** Numbers of the attempts that were in doubt at some time, by whoever tells of it. */
export function doubtful({ topics, ledger }: Evidence): ReadonlySet<number> {
  const doubts = new Set<number>();
  for (const { kind, details } of topics.events) {
    const no = kind === "attempt.in_doubt" ? numberInId(details["attemptId"] ?? null) : null;
    if (no !== null) doubts.add(no);
  }
  for (const { no, state, settledMs } of ledger.attempts)
    if (state === "in_doubt" || settledMs !== null) doubts.add(no);
  for (const { table, no, to } of ledger.history ?? []) if (table === "attempts" && to === "in_doubt") doubts.add(no);
  return doubts;
}

/** How many calls may be in doubt: those in the air at what cut them off, and those that took longer than they may. */
export function boundOf({ faults, topics }: Evidence): {
  readonly inTheAir: number;
  readonly timedOut: number;
  readonly doubtBound: number;
} {
  const inTheAir = faults.reduce((sum, { callsInAir }) => sum + (callsInAir ?? 0), 0);
  const timed = topics.events.filter(
    ({ kind, details }) => kind === "attempt.in_doubt" && details["why"] === TIMED_OUT,
  );
  const timedOut = new Set(timed.map(({ details }) => details["attemptId"])).size;
  return { inTheAir, timedOut, doubtBound: inTheAir + timedOut };
}
