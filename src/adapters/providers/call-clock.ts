/** All in milliseconds. */
export interface TimeLimits {
  /** Total time, waiting for a socket included. */
  readonly timeoutMs: number;
  /** Longest wait until the first byte may leave, waiting in line included. */
  readonly sendWithinMs: number;
  readonly connectTimeoutMs: number;
  /** Longest silence of the provider while it should take or send bytes. */
  readonly idleTimeoutMs: number;
}

export type PassedLimit = "deadline" | "no_connection" | "connect_timeout" | "idle";

/** The longest that a timer of Node can wait. */
const TIMER_MS_MAX = 2_147_483_647;

/** The limits in time of one call, kept by one timer. Runs from the beginning until `stop`, or until a limit has passed, which it says once. */
export class CallClock {
  readonly #limits: TimeLimits;
  readonly #onPassed: (limit: PassedLimit) => void;
  readonly #startedMs = performance.now();
  #connectingSinceMs: number | null = null;
  #sent = false;
  /** Since when the provider is waited for; null while it is not. */
  #dueSinceMs: number | null = null;
  #timer: NodeJS.Timeout;

  constructor(limits: TimeLimits, onPassed: (limit: PassedLimit) => void) {
    this.#limits = limits;
    this.#onPassed = onPassed;
    this.#timer = this.#nextLook();
  }

  connecting(): void {
    this.#connectingSinceMs = performance.now();
    this.#lookAgain();
  }

  /** Asked when the connection is there: the timer may be late itself, in a process that was stopped. */
  isTooLateToSend(): boolean {
    return this.#passedMs() > this.#limits.sendWithinMs;
  }

  sent(): void {
    this.#sent = true;
    this.providerDue();
    this.#lookAgain();
  }

  /** From now on it is the provider who is waited for. */
  providerDue(): void {
    this.#dueSinceMs = performance.now();
  }

  /** It is not: the caller is, or nobody. */
  providerNotDue(): void {
    this.#dueSinceMs = null;
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #passedMs(): number {
    return performance.now() - this.#startedMs;
  }

  #leftMs(): Record<PassedLimit, number> {
    const { timeoutMs, sendWithinMs, connectTimeoutMs, idleTimeoutMs } = this.#limits;
    const left = (limitMs: number, sinceMs: number | null) =>
      sinceMs === null ? limitMs : limitMs - (performance.now() - sinceMs);
    const deadline = timeoutMs - this.#passedMs();
    return this.#sent
      ? { deadline, no_connection: Infinity, connect_timeout: Infinity, idle: left(idleTimeoutMs, this.#dueSinceMs) }
      : {
          deadline,
          no_connection: sendWithinMs - this.#passedMs(),
          connect_timeout: left(connectTimeoutMs, this.#connectingSinceMs),
          idle: Infinity,
        };
  }

  #nextLook(): NodeJS.Timeout {
    const waitMs = Math.ceil(Math.min(TIMER_MS_MAX, ...Object.values(this.#leftMs())));
    return setTimeout(
      () => {
        this.#look();
      },
      Math.max(1, waitMs),
    );
  }

  #lookAgain(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#nextLook();
  }

  #look(): void {
    const left = this.#leftMs();
    if (left.deadline <= 0) this.#onPassed("deadline");
    else if (left.no_connection <= 0) this.#onPassed("no_connection");
    else if (left.connect_timeout <= 0) this.#onPassed("connect_timeout");
    else if (left.idle <= 0) this.#onPassed("idle");
    else this.#timer = this.#nextLook();
  }
}
