/** Calls of the last minute, each with its moment: an exact count for any minute, however it lies. For checks of who promises to stay below a limit. */

const MINUTE_MS = 60_000;
/** Calls remembered of an account and a model; a run of minutes stays below it. */
const CALLS_MAX = 1_000_000;

export type WindowLimits = { readonly requestsPerMinute?: number; readonly tokensPerMinute?: number };

/** What was let through, and what was not. */
export type WindowReport = {
  readonly account: string;
  readonly model: string;
  /** Of each call that was let through, on one clock. */
  readonly atMs: readonly number[];
  readonly tokens: readonly number[];
  readonly refused: number;
};

class Calls {
  readonly atMs: number[] = [];
  readonly tokens: number[] = [];
  refused = 0;
  #oldest = 0;
  #tokensWithin = 0;

  take(limits: WindowLimits, tokens: number, nowMs: number): "requests" | "tokens" | null {
    while ((this.atMs[this.#oldest] ?? Infinity) <= nowMs - MINUTE_MS) {
      this.#tokensWithin -= this.tokens[this.#oldest] ?? 0;
      this.#oldest += 1;
    }
    const exceeded = this.#exceeded(limits, tokens);
    if (exceeded !== null || this.atMs.length >= CALLS_MAX) {
      this.refused += 1;
      return exceeded ?? "requests";
    }
    this.atMs.push(nowMs);
    this.tokens.push(tokens);
    this.#tokensWithin += tokens;
    return null;
  }

  #exceeded({ requestsPerMinute, tokensPerMinute }: WindowLimits, tokens: number): "requests" | "tokens" | null {
    if (requestsPerMinute !== undefined && this.atMs.length - this.#oldest >= requestsPerMinute) return "requests";
    return tokensPerMinute !== undefined && this.#tokensWithin + tokens > tokensPerMinute ? "tokens" : null;
  }
}

export class SlidingWindows {
  readonly #calls = new Map<string, Calls>();

  /** Counts a call. @returns the limit that it is over: then it is not counted. */
  take(
    account: string,
    model: string,
    limits: WindowLimits,
    tokens: number,
    nowMs: number,
  ): "requests" | "tokens" | null {
    const key = `${account}\n${model}`;
    const calls = this.#calls.get(key) ?? new Calls();
    this.#calls.set(key, calls);
    return calls.take(limits, tokens, nowMs);
  }

  get report(): readonly WindowReport[] {
    return [...this.#calls].map(([key, { atMs, tokens, refused }]) => {
      const [account = "", model = ""] = key.split("\n");
      return { account, model, atMs, tokens, refused };
    });
  }
}
