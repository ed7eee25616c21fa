import type { AnswerJournal } from "../../ports/answer-journal.js";
import type { FinishedCall, Ledger } from "../../ports/ledger.js";
import type { Clock, Log, Random } from "../../ports/system.js";
import { persist } from "../persist.js";

export interface EarlierAnswersParts {
  readonly ledger: Pick<Ledger, "openAttempts">;
  readonly journal: Pick<AnswerJournal, "earlier">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly mendable: (error: unknown) => boolean;
  /** The session ends: the answers wait for the next one. */
  readonly over: () => boolean;
  readonly finished: (call: FinishedCall) => void;
}

/** Attempts that one look at the ledger asks about. */
const LOOK_AT_MOST = 500;

/**
 * Brings the answers that earlier sessions kept and the ledger lacks: before their doubt is even declared, when this is soon enough. Those
 * of a ledger that was lost or replaced are not of these attempts, and are dropped.
 * @returns how many answers it brought. @throws what waiting doesn't mend, and anything once the session is over.
 */
export async function bringEarlierAnswers(parts: EarlierAnswersParts): Promise<number> {
  const earlier = await parts.journal.earlier();
  const wanted: FinishedCall[] = [];
  for (let from = 0; from < earlier.calls.length; from += LOOK_AT_MOST) {
    const calls = earlier.calls.slice(from, from + LOOK_AT_MOST);
    // Serial: a journal holds a few hundred answers at most times.
    const open = await persist(parts, "journal.waits_for_ledger", parts.mendable, parts.over, () =>
      parts.ledger.openAttempts(calls.map(({ execution, attempt }) => ({ execution, attempt }))),
    );
    wanted.push(...calls.filter(({ attempt }) => open.has(attempt.no)));
  }
  for (const call of wanted) parts.finished(call);
  earlier.forget();
  return wanted.length;
}
