import type { BreakerSubject } from "../domain/event/breaker-event.js";
import type { GatewayEvent } from "../domain/event/event.js";
import type { SessionNo } from "../domain/ids.js";
import type { Renderer } from "../domain/result/outgoing.js";
import type { OutboxGroup } from "./ledger.js";

/**
 * What all routers know of breakers. Times are lengths, by the store's own clock, so that routers whose clocks differ agree. Written only
 * when a breaker opens, is tried or closes: never by a call.
 */
export interface HealthStore {
  /** All that opened within the last day or so. */
  breakers(): Promise<readonly StoredBreaker[]>;
  /**
   * Changes a breaker if it still has the version that the change was decided on, together with its event: once over all routers.
   * @returns `saved` false: somebody was first, and nothing was written.
   */
  saveBreaker(
    session: SessionNo,
    change: BreakerSave,
    event: GatewayEvent | null,
    render: Renderer,
  ): Promise<{ readonly saved: boolean; readonly outbox: readonly OutboxGroup[] }>;
}

export interface StoredBreaker extends BreakerSubject {
  /** Grows by one with each change; 0 is one that was never written. */
  readonly version: number;
  readonly state: "closed" | "open" | "half_open";
  readonly openings: number;
  readonly because: string;
  /** Since it opened. */
  readonly openMs: number;
  /** Until a trial may be made, or the lease of one ends; negative: since then. At most 0 when the session that has the lease has ended. */
  readonly leftMs: number;
  /** Since its last change. */
  readonly changedAgoMs: number;
  /** Who changed it last. */
  readonly session: SessionNo;
}

export interface BreakerSave extends BreakerSubject {
  /** The version that it was decided on. */
  readonly version: number;
  readonly state: StoredBreaker["state"];
  readonly openings: number;
  readonly because: string;
  readonly openMs: number;
  readonly leftMs: number;
}
