/** An attempt whose outcome this transaction stores, with what it had reserved until then. */
export interface EndedAttempt {
  /** The numbers of its budgets, as PostgreSQL writes an array. Null: it holds nothing, or nothing any more. */
  readonly reservedIn: string | null;
  readonly maxNanoUsd: bigint;
}

/** For each UPDATE of attempts that stores outcomes, in its SET: what was reserved is not any more, so it ends once. */
export const RESERVATION_ENDS = "reserved_in = NULL";

/** For the same UPDATE, in its RETURNING: the columns that `readEnded` reads. */
export const ENDED_COLUMNS =
  "OLD.reserved_in, CASE WHEN OLD.reserved_in IS NOT NULL THEN OLD.max_nano END AS held_nano";

const NOTHING: EndedAttempt = { reservedIn: null, maxNanoUsd: 0n };

export function readEnded(reservedIn: string | null | undefined, heldNano: string | null | undefined): EndedAttempt {
  if (reservedIn === null || reservedIn === undefined) return NOTHING;
  return { reservedIn, maxNanoUsd: BigInt(heldNano ?? 0) };
}
