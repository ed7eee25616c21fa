import type { Clock } from "../ports/system.js";

/** With a reason an abort makes no exception, whose trace costs more than the wait. */
const OVER = "over";

/**
 * The wait of a loop between two looks, which others may end. One signal a wait: Node 20 keeps something of each `AbortSignal.any` for
 * as long as the longest-lived of its signals lives, 50 bytes a wait, and loops wait many times a second for months.
 */
export class Nap {
  readonly #clock: Pick<Clock, "sleep">;
  #over: AbortController | null = null;
  #isWoken = false;

  constructor(clock: Pick<Clock, "sleep">) {
    this.#clock = clock;
  }

  /**
   * Ends sooner when somebody wakes it, at once when somebody has since it last slept.
   * @param until what resolves ends it too; its signal says that the nap is over anyway.
   */
  async sleep(ms: number, until?: (over: AbortSignal) => Promise<void>): Promise<void> {
    if (!this.#isWoken) {
      const over = new AbortController();
      this.#over = over;
      const ended = until?.(over.signal);
      const slept = this.#clock.sleep(ms, over.signal);
      await (ended === undefined ? slept : Promise.race([slept, ended]));
      this.#over = null;
      over.abort(OVER);
    }
    this.#isWoken = false;
  }

  wake(): void {
    this.#isWoken = true;
    this.#over?.abort(OVER);
  }
}
