import type { SessionNo } from "../../domain/ids.js";
import type { Renderer } from "../../domain/result/outgoing.js";
import type { ReachPoint } from "../../ports/crash-points.js";
import type { Ledger } from "../../ports/ledger.js";
import type { Clock, Log } from "../../ports/system.js";

export interface SessionParts {
  readonly ledger: Pick<Ledger, "beat" | "recoverDeadSessions">;
  readonly session: SessionNo;
  readonly clock: Clock;
  /** The machine's wall clock, which shows that it slept; that of `clock` when left out. */
  readonly wallMs?: () => number;
  readonly log: Log;
  readonly beatMs: number;
  readonly stopAfterMs: number;
  readonly deadAfterMs: number;
  readonly graceMs: (account: string) => number;
  readonly render: Renderer;
  readonly lowMark: () => number;
  readonly fenced: () => void;
  readonly reach?: ReachPoint;
}

/**
 * Beats for this router and watches the others. Work may start only while the last acknowledged beat is younger than `stopAfterMs` on both
 * clocks: others declare the session dead only `deadAfterMs` after it, so nobody takes over what this router still starts. Nor does it declare
 * others dead before its own beats have been acknowledged for `stopAfterMs` without a gap as long as that: the outage that it comes out of may
 * have silenced them too, and each living one has beaten by then.
 */
export class SessionKeeper {
  readonly #parts: SessionParts;
  readonly #stop = new AbortController();
  readonly #wallMs: () => number;
  #beatMonotonicMs: number;
  #beatWallMs: number;
  /** Since when no two acknowledged beats were `stopAfterMs` apart. */
  #steadyMonotonicMs: number;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#beatMonotonicMs = parts.clock.monotonicMs();
    this.#steadyMonotonicMs = this.#beatMonotonicMs;
    this.#wallMs = parts.wallMs ?? (() => parts.clock.nowMs());
    this.#beatWallMs = this.#wallMs();
  }

  mayStart(): boolean {
    const { clock, stopAfterMs } = this.#parts;
    return (
      clock.monotonicMs() - this.#beatMonotonicMs < stopAfterMs &&
      Math.abs(this.#wallMs() - this.#beatWallMs) < stopAfterMs
    );
  }

  stop(): void {
    this.#stop.abort();
  }

  /** @returns false once the keeper is stopped. */
  async #nextBeat(): Promise<boolean> {
    await this.#parts.clock.sleep(this.#parts.beatMs, this.#stop.signal);
    return !this.#stop.signal.aborted;
  }

  async run(): Promise<void> {
    const { ledger, session, clock, log, stopAfterMs, deadAfterMs, graceMs, render, reach } = this.#parts;
    while (await this.#nextBeat()) {
      const sentMonotonicMs = clock.monotonicMs();
      const sentWallMs = this.#wallMs();
      reach?.("session.before_beat");
      try {
        if (!(await ledger.beat(session, this.#parts.lowMark()))) {
          this.#parts.fenced();
          return;
        }
        reach?.("session.after_beat");
        if (sentMonotonicMs - this.#beatMonotonicMs >= stopAfterMs) this.#steadyMonotonicMs = sentMonotonicMs;
        this.#beatMonotonicMs = sentMonotonicMs;
        this.#beatWallMs = sentWallMs;
        const maySayWhoIsDead = sentMonotonicMs - this.#steadyMonotonicMs >= stopAfterMs;
        const doubts = await ledger.recoverDeadSessions(session, maySayWhoIsDead ? deadAfterMs : null, graceMs, render);
        if (doubts > 0) log.warn("session.recovered_dead", { callsInDoubt: doubts });
      } catch (error) {
        log.warn("session.beat_failed", { message: error instanceof Error ? error.message : String(error) });
      }
    }
  }
}
