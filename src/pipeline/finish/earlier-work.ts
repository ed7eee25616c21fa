import type { EarlierWork, Journal } from "../../ports/journal.js";
import type { ReachPoint } from "../../ports/crash-points.js";
import type { FinishedCall, Ledger } from "../../ports/ledger.js";
import type { Clock, Log, Random } from "../../ports/system.js";
import { persist } from "../persist.js";

export interface EarlierWorkParts {
  readonly ledger: Pick<Ledger, "openAttempts" | "takeBackUnsent">;
  readonly journal: Pick<Journal, "earlier">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly mendable: (error: unknown) => boolean;
  /** The session ends: the work waits for the next one. */
  readonly over: () => boolean;
  readonly finished: (call: FinishedCall) => void;
  readonly reach?: ReachPoint;
}

/** Attempts that one look at the ledger asks about. */
const LOOK_AT_MOST = 500;

/**
 * Takes over what earlier sessions left, before their doubt is even declared when this is soon enough: answers that the ledger lacks, and
 * intents whose bytes never left. What a ledger left that was lost or replaced since is of other attempts, and is dropped.
 * @returns how many of each. @throws what waiting doesn't mend, and anything once the session is over.
 */
export async function takeOverEarlierWork(
  parts: EarlierWorkParts,
): Promise<{ readonly answers: number; readonly unsent: number }> {
  const earlier = await parts.journal.earlier();
  const isAny = earlier.ended.length + earlier.answers.length > 0;
  if (isAny) parts.reach?.("journal.read");
  let unsent = 0;
  // Serial: one session was here at a time, and a journal holds a few hundred answers at most times.
  for (const ended of earlier.ended)
    unsent += await untilLedgerThere(parts, () => parts.ledger.takeBackUnsent(ended, parts.clock.nowMs()));
  const answers = await lackedAnswers(parts, earlier);
  for (const call of answers) parts.finished(call);
  earlier.forget();
  if (isAny) parts.reach?.("journal.forgotten");
  return { answers: answers.length, unsent };
}

async function lackedAnswers(parts: EarlierWorkParts, { answers }: EarlierWork): Promise<readonly FinishedCall[]> {
  const lacked: FinishedCall[] = [];
  for (let from = 0; from < answers.length; from += LOOK_AT_MOST) {
    const calls = answers.slice(from, from + LOOK_AT_MOST);
    const open = await untilLedgerThere(parts, () => parts.ledger.openAttempts(calls));
    lacked.push(...calls.filter(({ attempt }) => open.has(attempt.no)));
  }
  return lacked;
}

function untilLedgerThere<Result>(parts: EarlierWorkParts, work: () => Promise<Result>): Promise<Result> {
  return persist(parts, "journal.waits_for_ledger", parts.mendable, parts.over, work);
}
