import type { SessionNo } from "../../domain/ids.js";
import type { ReachPoint } from "../../ports/crash-points.js";
import type { Ledger } from "../../ports/ledger.js";
import type { Metrics } from "../../ports/metrics.js";
import type { Clock, Log } from "../../ports/system.js";
import type { NumberSource } from "./number-source.js";
import type { Slots } from "./slots.js";
import type { Work } from "./work.js";

export interface GiveBackParts {
  readonly ledger: Pick<Ledger, "giveBack">;
  readonly session: SessionNo;
  readonly slots: Pick<Slots, "release">;
  readonly numbers: Pick<NumberSource, "close">;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly groupSizeMax: number;
  readonly mendable: (error: unknown) => boolean;
  /** The session must end: then the recovery puts in doubt what can't be taken back. */
  readonly endSession: (reason: string) => void;
  readonly reach?: ReachPoint;
}

interface Kept {
  readonly work: Work;
  /** How often the ledger refused it alone. */
  refusals: number;
}

/**
 * Gathers what is given up together, and gives connections time to open before the next try. A pace, no bound: places at the accounts bound
 * what is kept.
 */
const FIRST_WAIT_MS = 100;
const WAIT_MAX_MS = 3200;
const REFUSALS_MAX = 3;

/**
 * Takes intents back whose bytes never left, so that they are tried again. Each is kept until the ledger has it, in memory and with its
 * number open: a kill before that leaves a doubt, never a loss. It also keeps its place at the account until then, so there are never
 * more than places, and a ledger that is away is not met with new intents.
 */
export class GiveBack {
  readonly #parts: GiveBackParts;
  #kept: Kept[] = [];
  #wake: (() => void) | null = null;
  #writing: Promise<void> | null = null;
  #failures = 0;

  constructor(parts: GiveBackParts) {
    this.#parts = parts;
  }

  /** Intents that are not written back yet. */
  get waiting(): number {
    return this.#kept.length;
  }

  /** @param work with its place taken and its number open. */
  add(work: Work): void {
    this.#kept.push({ work, refusals: 0 });
    this.#wake?.();
  }

  /** Writes what comes, until the signal; what is left then is for `drain`. */
  async run(stop: AbortSignal): Promise<void> {
    stop.addEventListener("abort", () => this.#wake?.(), { once: true });
    while (await this.#somethingIsDue(stop)) await this.#write();
  }

  /** @returns false once the signal has come. */
  async #somethingIsDue(stop: AbortSignal): Promise<boolean> {
    if (this.#kept.length === 0 && !stop.aborted)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    this.#wake = null;
    await this.#parts.clock.sleep(this.#waitMs(), stop);
    return !stop.aborted;
  }

  /** Tries at least once, and again until nothing is left or the time is over. What is left then ends in doubt. */
  async drain(withinMs: number): Promise<void> {
    const { clock, log } = this.#parts;
    const endMs = clock.monotonicMs() + withinMs;
    while (this.#kept.length > 0) {
      // Serial: one try after another.
      await this.#write();
      if (this.#kept.length === 0) return;
      if (clock.monotonicMs() >= endMs) break;
      await clock.sleep(Math.min(this.#waitMs(), endMs - clock.monotonicMs()));
    }
    if (this.#kept.length > 0) log.error("dispatch.give_back_given_up", { calls: this.#kept.length });
  }

  #waitMs(): number {
    return Math.min(WAIT_MAX_MS, FIRST_WAIT_MS * 2 ** Math.min(this.#failures, 10));
  }

  #write(): Promise<void> {
    this.#writing ??= this.#writeAll(this.#kept.slice(0, this.#parts.groupSizeMax)).finally(() => {
      this.#writing = null;
    });
    return this.#writing;
  }

  async #writeAll(group: readonly Kept[]): Promise<void> {
    const failures = this.#failures;
    this.#failures = 0;
    try {
      await this.#writeGroup(group);
    } catch (error) {
      this.#failures = failures + 1;
      this.#parts.log.warn("dispatch.give_back_failed", { calls: group.length, error });
    }
  }

  /** One that the ledger refuses must not hold the others back. @throws only what waiting may mend. */
  async #writeGroup(group: readonly Kept[]): Promise<void> {
    if (group.length === 0) return;
    const { ledger, session, clock, mendable } = this.#parts;
    const attempts = group.map(({ work }) => ({ execution: work.execution, attempt: work.intent }));
    try {
      await ledger.giveBack(session, attempts, clock.nowMs());
      this.#parts.reach?.("give_back.after");
    } catch (error) {
      if (mendable(error)) throw error;
      const [first] = group;
      if (first !== undefined && group.length === 1) {
        this.#refused(first, error);
        return;
      }
      const half = Math.ceil(group.length / 2);
      // Serial: each half is a transaction of its own.
      await this.#writeGroup(group.slice(0, half));
      await this.#writeGroup(group.slice(half));
      return;
    }
    this.#written(group);
  }

  #written(group: readonly Kept[]): void {
    const { slots, numbers } = this.#parts;
    const done = new Set(group);
    this.#kept = this.#kept.filter((kept) => !done.has(kept));
    for (const { work } of group) {
      numbers.close(work.intent.no);
      slots.release(work.intent.account, false, work.batch !== undefined);
    }
  }

  /** Its number stays open, so the recovery of the ended session finds its attempt. */
  #refused(kept: Kept, error: unknown): void {
    const { log, metrics, endSession } = this.#parts;
    const { no, account } = kept.work.intent;
    kept.refusals += 1;
    this.#failures = kept.refusals;
    log.error("dispatch.give_back_refused", { attempt: no, tries: kept.refusals, error });
    if (kept.refusals !== REFUSALS_MAX) return;
    metrics.count("sluice_unwritten_attempts_total", { account });
    endSession("an intent can't be taken back");
  }
}
