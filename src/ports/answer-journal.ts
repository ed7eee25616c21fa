import type { FinishedCall } from "./ledger.js";

/**
 * Answers that are paid and that the ledger does not have yet, kept where the end of this process doesn't reach them. An answer is a fact:
 * any session may bring it to the ledger, again and again. So a journal may lose what it keeps, and then its calls are in doubt as they
 * would be without one; it must never give out an answer other than it was kept.
 */
export interface AnswerJournal {
  /** Keeps it until it is `stored`, as far as there is room. Never throws. */
  keep(call: FinishedCall): void;
  /** The ledger has them. Those that were not kept are passed over. */
  stored(calls: readonly FinishedCall[]): void;
  /** What sessions before this one kept; the ledger may have some of it. @throws when it can't be read. */
  earlier(): Promise<EarlierAnswers>;
  /** Ends this session's part: what is stored is removed, the rest waits for the next session. Never throws. */
  close(): void;
}

export interface EarlierAnswers {
  readonly calls: readonly FinishedCall[];
  /** They are with this session now: stored, or kept again. Never throws. */
  forget(): void;
}

/** Keeps nothing. */
export const NO_JOURNAL: AnswerJournal = {
  keep: () => undefined,
  stored: () => undefined,
  earlier: () => Promise.resolve({ calls: [], forget: () => undefined }),
  close: () => undefined,
};
