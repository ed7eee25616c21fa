import type { EndedSession, FinishedCall } from "./ledger.js";

/**
 * What a session did that the ledger does not know yet, kept where the end of its process doesn't reach: calls whose bytes leave, and
 * answers that are paid. A journal may lose answers, and may have no proof of what was not sent; then calls are in doubt as they would be
 * without one. It must never give out an answer other than it was kept, nor prove what is not so.
 */
export interface Journal {
  /**
   * The first byte of this attempt leaves next; noted when this returns. Never throws.
   * @returns false when it can't be noted and a note that is missing would be taken for a proof: then the byte must not leave.
   */
  sending(attemptNo: number): boolean;
  /** Keeps it until it is `stored`, as far as there is room. Never throws. */
  keep(call: FinishedCall): void;
  /** The ledger has their outcomes, whatever they are and whether they were kept or not. */
  stored(calls: readonly FinishedCall[]): void;
  /** What sessions before this one left; the ledger may know some of it. @throws when it can't be read. */
  earlier(): Promise<EarlierWork>;
  /** Ends this session's part: what is stored is removed, the rest waits for the next session. Never throws. */
  close(): void;
}

export interface EarlierWork {
  /** An answer is a fact: any session may bring it to the ledger, again and again. */
  readonly answers: readonly FinishedCall[];
  readonly ended: readonly EndedSession[];
  /** All of it is with this session now: stored, or kept again. Never throws. */
  forget(): void;
}

/** Keeps nothing and proves nothing. */
export const NO_JOURNAL: Journal = {
  sending: () => true,
  keep: () => undefined,
  stored: () => undefined,
  earlier: () => Promise.resolve({ answers: [], ended: [], forget: () => undefined }),
  close: () => undefined,
};
