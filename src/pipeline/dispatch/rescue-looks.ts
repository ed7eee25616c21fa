import type { WaitingExecution } from "../../domain/execution/execution.js";
import type { EpochMs, SessionNo } from "../../domain/ids.js";
import {
  chooseRescue,
  rescueAheadMs,
  type RescueCall,
  type RescueFacts,
  type RescueLimits,
} from "../../domain/route/rescue.js";
import type { RescueLook } from "../../ports/ledger.js";
import type { CallTimes, CallTimesBook } from "./call-times.js";

/**
 * When dispatch looks for lines to rescue, and where it goes on: every line once a round, so that those that are turned down, and a line whose
 * claim the ledger refuses, stand in nobody's way.
 */
export class RescueLooks {
  readonly #limits: RescueLimits;
  readonly #times: Pick<CallTimes, "at">;
  #book: CallTimesBook;
  #nextMs = 0;
  /** The last line that was looked at. */
  #after = 0;
  #last = 0;

  constructor(limits: RescueLimits, times: Pick<CallTimes, "at">) {
    this.#limits = limits;
    this.#times = times;
    this.#book = times.at(0);
  }

  /** @param monotonicMs of the clock that is never set. */
  isDue(monotonicMs: number): boolean {
    if (this.#limits.maxNanoUsd.size === 0 || monotonicMs < this.#nextMs) return false;
    this.#nextMs = monotonicMs + this.#limits.lookEveryMs;
    return true;
  }

  look(session: SessionNo, limit: number, nowMs: EpochMs): RescueLook {
    this.#book = this.#times.at(nowMs);
    const aheadMs = rescueAheadMs(this.#book.longestP95Ms, this.#limits.lookEveryMs);
    const models = [...this.#limits.maxNanoUsd.keys()];
    return { session, nowMs, limit, models, deadlineMs: nowMs + aheadMs, after: this.#after };
  }

  /** Null: it stays with its line for now. */
  choose(
    waiting: WaitingExecution,
    asked: Pick<RescueFacts, "facts" | "plan" | "nowMs" | "choose">,
  ): RescueCall | null {
    this.#last = Math.max(this.#last, waiting.line?.attemptNo ?? 0);
    return chooseRescue({ ...asked, waiting, callP95Ms: this.#book.p95Ms }, this.#limits);
  }

  /** @param more whether the look found as many as it was to. The round goes on there, else from the beginning. */
  looked(more: boolean): void {
    this.#after = more ? Math.max(this.#after, this.#last) : 0;
    if (!more) this.#last = 0;
    if (more) this.#nextMs = 0;
  }
}
