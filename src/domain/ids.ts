/** Brands keep one kind of id from being passed as another; at run time each is its plain value. */
declare const brand: unique symbol;
type Branded<Value, Name extends string> = Value & { readonly [brand]: Name };

/** One router process life. A restarted router gets a new, higher number, so the number is the fencing token (the epoch). */
export type SessionNo = Branded<number, "SessionNo">;

/**
 * Key of a row in a hot ledger table: the day it was accepted on (database clock, days since 1970-01-01 UTC) and a
 * number that is unique in the whole ledger. An execution carries the key of the job that opened it.
 */
export interface LedgerKey {
  readonly day: number;
  readonly no: number;
}

/** Milliseconds since 1970-01-01 UTC. */
export type EpochMs = number;

export function sessionNo(value: number): SessionNo {
  return value as SessionNo; // the one place where the brand is put on
}
