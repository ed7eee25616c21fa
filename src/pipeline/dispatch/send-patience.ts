export interface PatienceSettings {
  readonly sendWithinMs: number;
  readonly connectTimeoutMs: (account: string) => number;
  /** Executions remembered at once; the oldest is forgotten, which costs it some more short tries. */
  readonly unsentMax: number;
}

export interface Patience {
  readonly withinMs: number;
  /** The call is not given back once more when there is no connection: that is then what it came to. */
  readonly last: boolean;
}

/** Tries of an execution that are given back for want of a connection. What they begin to open goes on opening, for the next. */
const SHORT_TRIES = 4;

/**
 * How long a call may wait for its connection. Usually `sendWithinMs`, after which its intent is taken back. An execution that has been
 * taken back `SHORT_TRIES` times by this router gets the time that opening a connection may take: where none can be opened, its attempt
 * fails, counts, and the next route has its turn.
 */
export class SendPatience {
  readonly #settings: PatienceSettings;
  readonly #missed = new Map<number, number>();

  constructor(settings: PatienceSettings) {
    this.#settings = settings;
  }

  of(executionNo: number, account: string): Patience {
    const { sendWithinMs, connectTimeoutMs } = this.#settings;
    const last = this.#missed.size > 0 && (this.#missed.get(executionNo) ?? 0) >= SHORT_TRIES;
    return { withinMs: last ? Math.max(sendWithinMs, connectTimeoutMs(account)) : sendWithinMs, last };
  }

  missed(executionNo: number): void {
    const [oldest] = this.#missed.keys();
    if (oldest !== undefined && this.#missed.size >= this.#settings.unsentMax && !this.#missed.has(executionNo))
      this.#missed.delete(oldest);
    this.#missed.set(executionNo, (this.#missed.get(executionNo) ?? 0) + 1);
  }

  /** A call of this execution came to something. */
  done(executionNo: number): void {
    if (this.#missed.size > 0) this.#missed.delete(executionNo);
  }
}
