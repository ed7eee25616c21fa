import type { Clock } from "../../ports/system.js";

/**
 * A clock that goes by the database's: its wall clock is the monotonic one of this machine and the distance that was measured to the
 * database's. Whatever happens to the machine's own wall clock, deadlines, budgets' windows and the times of records stay right, and all
 * routers agree on them.
 *
 * A measurement tells that the distance lies between two bounds, as far apart as the question took. The first takes the middle; a later one
 * changes it only when it lies outside of its bounds, so that a slow answer never makes a good clock worse.
 */
export class DatabaseClock implements Clock {
  readonly #machine: Clock;
  readonly #askMs: () => Promise<number>;
  /** Of the database's wall clock to the monotonic one here; null: not measured yet. */
  #distanceMs: number | null = null;

  /** @param askMs the database's wall clock, milliseconds since 1970-01-01 UTC. */
  constructor(machine: Clock, askMs: () => Promise<number>) {
    this.#machine = machine;
    this.#askMs = askMs;
  }

  /** Measures once. @throws what the database throws. */
  async measure(): Promise<void> {
    const askedMs = this.#machine.monotonicMs();
    const databaseMs = await this.#askMs();
    const leastMs = databaseMs - this.#machine.monotonicMs();
    const mostMs = databaseMs - askedMs;
    this.#distanceMs =
      this.#distanceMs === null ? (leastMs + mostMs) / 2 : Math.min(mostMs, Math.max(leastMs, this.#distanceMs));
  }

  /** Measures again every so often until the signal, since two machines' clocks drift apart. A database that is away is asked later. */
  async keepMeasuring(everyMs: number, signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#machine.sleep(everyMs, signal);
      if (signal.aborted) return;
      await this.measure().catch(() => undefined);
    }
  }

  nowMs(): number {
    return this.#distanceMs === null
      ? this.#machine.nowMs()
      : Math.floor(this.#machine.monotonicMs() + this.#distanceMs);
  }

  monotonicMs(): number {
    return this.#machine.monotonicMs();
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return this.#machine.sleep(ms, signal);
  }
}
