import type { LedgerView, OpenWork } from "./ledger-view.js";

export interface SettleOptions {
  readonly ledger: LedgerView;
  /** How many records the jobs topic holds; null when nobody answers. */
  readonly recordsPublished: () => Promise<bigint | null>;
  readonly sleep: (ms: number) => Promise<void>;
  /** After so long it is given up. */
  readonly timeoutMs: number;
  readonly onLook: (open: OpenWork) => void;
}

const LOOK_EVERY_MS = 250;

/**
 * Waits until nothing is left to do: every record taken in, every job ended, every batch done, every doubt settled, every record published.
 * @returns when that was first seen; null: not within the time.
 */
export async function settle(options: SettleOptions): Promise<number | null> {
  const { ledger, recordsPublished, sleep, timeoutMs, onLook } = options;
  const untilMs = performance.now() + timeoutMs;
  while (performance.now() < untilMs) {
    const [open, published] = [await ledger.open(), await recordsPublished()];
    const atMs = Date.now();
    if (open !== null) onLook(open);
    if (open !== null && published !== null && nothingIsLeft(open, published)) return atMs;
    await sleep(LOOK_EVERY_MS);
  }
  return null;
}

function nothingIsLeft(open: OpenWork, published: bigint): boolean {
  const { activeJobs, outboxGroups, unanswered, openBatches, inDoubt, recordsRead } = open;
  return activeJobs + outboxGroups + unanswered + openBatches + inDoubt === 0 && recordsRead >= published;
}
