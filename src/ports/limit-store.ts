import type { Lease, LeaseAsk } from "../domain/limit/lease.js";
import type { Seed } from "../domain/limit/day-use.js";
import type { LimitScope } from "../domain/limit/limits.js";

/** What is known of one limit besides what the config states. */
export interface LimitNote {
  /** What the provider said the limit is; null: nothing new. */
  readonly learned: number | null;
  /** The provider refused a call for it. */
  readonly tighten: boolean;
}

export interface StoreAsk extends LeaseAsk {
  readonly scope: LimitScope;
  /** By the rule's key; what is not there has nothing new. */
  readonly notes: ReadonlyMap<string, LimitNote>;
  /** Begin anew, as if the limits had been used evenly until now: for who was away, and granted itself things meanwhile. */
  readonly anew: boolean;
  /** What limits by the day had been used before they were kept there, by the rule's key; for those that don't know it yet. */
  readonly seeds?: ReadonlyMap<string, readonly Seed[]>;
  /** Share of each limit that may be granted: 1 where all routers ask here. */
  readonly share: number;
}

/** Keeps the limits of accounts. All limits of a scope grant a call or none does. */
export interface LimitStore {
  /** @throws when it can't be reached in time: then what it granted, if anything, is lost. */
  lease(ask: StoreAsk): Promise<Lease>;
  close(): Promise<void>;
}
