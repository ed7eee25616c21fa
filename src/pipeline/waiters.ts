/**
 * Those who wait for the next time that something comes about. Whoever's wait is over sooner is forgotten: loops look at other things
 * besides, many times before some things come about, and each of their waits would be kept until then.
 */
export class Waiters {
  readonly #waiting = new Set<() => void>();

  /** It has come about. */
  tell(): void {
    if (this.#waiting.size === 0) return;
    const told = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of told) wake();
  }

  /** Resolves when it comes about next. @param over the wait is over: it resolves too, and is kept no longer. */
  next(over?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        over?.removeEventListener("abort", wake);
        resolve();
      };
      this.#waiting.add(wake);
      over?.addEventListener("abort", wake);
    });
  }
}
