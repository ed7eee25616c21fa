import type { BatchLedger } from "../../ports/batch-ledger.js";
import type { BatchProvider } from "../../ports/batch-provider.js";

/** What tells batches apart by their size is remembered for as long as an orphan may turn up. */
const SIZES_TAKEN_MS = 48 * 3_600_000;

/** Numbers of lines that no further batch of an account may have, since its provider keeps no mark: each may yet be looked for by its size. */
export async function takenSizes(
  ledger: Pick<BatchLedger, "creates">,
  account: string,
  { rules }: Pick<BatchProvider, "rules">,
  nowMs: number,
): Promise<ReadonlySet<number>> {
  if (rules.markCharactersMax !== null) return new Set();
  const creates = await ledger.creates(account, nowMs - SIZES_TAKEN_MS);
  const maybeThere = creates.filter(({ settled }) => settled !== "refused" && settled !== "not_sent");
  return new Set(maybeThere.map(({ lines }) => lines));
}

/** The largest free size up to this one; 0: none. */
export function freeSize(size: number, taken: ReadonlySet<number>): number {
  let free = size;
  while (free > 0 && taken.has(free)) free -= 1;
  return free;
}
