/**
 * Shares the process between batches that work: short turns, one batch after the other, with the event loop let through in between,
 * so that a call is never held up by longer than a turn. What has nothing to do waits for its time on the simulated clock.
 */
import type { SimulatedClock } from "./simulated-clock.js";

/** Work in turns. */
export type Work = {
  /**
   * Works until `untilMs` (performance.now) at most.
   * @returns "again" for another turn, the simulated time to be called at (Infinity: when told to), or "over".
   */
  step(untilMs: number): "again" | "over" | number;
};

const TURN_MS = 3;

export class TurnLoop {
  readonly #clock: SimulatedClock;
  readonly #failed: (work: Work, error: unknown) => void;
  readonly #working: Work[] = [];
  readonly #waiting = new Map<Work, number>();
  #turn: NodeJS.Immediate | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isStopped = false;

  /** @param failed told of work that threw; it is not called again. */
  constructor(clock: SimulatedClock, failed: (work: Work, error: unknown) => void) {
    this.#clock = clock;
    this.#failed = failed;
    clock.onJump(() => {
      this.#schedule();
    });
  }

  add(work: Work): void {
    this.#working.push(work);
    this.#schedule();
  }

  /** Calls work that waits. */
  wake(work: Work): void {
    if (!this.#waiting.delete(work)) return;
    this.add(work);
  }

  /** Calls all that wait, for when what they wait for has changed. */
  wakeAll(): void {
    for (const work of [...this.#waiting.keys()]) this.wake(work);
  }

  stop(): void {
    this.#isStopped = true;
    if (this.#turn !== null) clearImmediate(this.#turn);
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #schedule(): void {
    if (this.#isStopped || this.#turn !== null) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#takeDue();
    if (this.#working.length > 0) {
      this.#turn = setImmediate(() => {
        this.#runTurn();
      });
      return;
    }
    const due = Math.min(Infinity, ...this.#waiting.values());
    if (due === Infinity) return;
    this.#timer = setTimeout(() => {
      this.#schedule();
    }, this.#clock.realMsUntil(due));
    // A simulator that is only waiting for a batch must not keep its process alive.
    this.#timer.unref();
  }

  #takeDue(): void {
    const nowMs = this.#clock.now();
    for (const [work, due] of this.#waiting) {
      if (due > nowMs) continue;
      this.#waiting.delete(work);
      this.#working.push(work);
    }
  }

  #runTurn(): void {
    this.#turn = null;
    const work = this.#working.shift();
    if (work !== undefined) this.#run(work);
    this.#schedule();
  }

  #run(work: Work): void {
    let next: ReturnType<Work["step"]>;
    try {
      next = work.step(performance.now() + TURN_MS);
    } catch (error) {
      this.#failed(work, error);
      return;
    }
    if (next === "again") this.#working.push(work);
    else if (next !== "over") this.#waiting.set(work, next);
  }
}
