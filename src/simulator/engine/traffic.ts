/** What is in the air at the provider's endpoints and what lately left: for checkers that ask at the moment of a kill. */

/** A call that was received, at least in part, and whose work or answer has not ended. */
export type OpenCall = {
  readonly attempt: string | null;
  /** The work has ended (answered, refused or dropped): nothing will be billed any more. */
  worked: boolean;
  /** The answer was written, or the connection is gone. */
  closed: boolean;
  /** Its place among the open calls. */
  place: number;
};

export type RecentCalls = {
  /** Calls whose answer was written within the time asked for. */
  readonly count: number;
  readonly attempts: readonly string[];
  /** false when more may have been written than are remembered. */
  readonly complete: boolean;
};

const REMEMBERED_MAX = 65_536;

export class Traffic {
  /** In no order: the last one takes the place of one that goes, which costs less than a set that all calls pass through. */
  readonly #open: OpenCall[] = [];
  readonly #byStatus = new Map<string, number>();
  /** Of the calls whose answers were written, in a ring: two columns, since objects kept that long would have to be moved by the collector. */
  readonly #attempts: (string | null)[] = [];
  readonly #writtenMs = new Float64Array(REMEMBERED_MAX);
  #next = 0;
  #requests = 0;
  #openMax = 0;

  begin(attempt: string | null): OpenCall {
    this.#requests += 1;
    const call: OpenCall = { attempt, worked: false, closed: false, place: this.#open.length };
    this.#open.push(call);
    if (this.#open.length > this.#openMax) this.#openMax = this.#open.length;
    return call;
  }

  /** The work has ended; `status` is null for a call that gets no answer. */
  worked(call: OpenCall, status: number | null): void {
    if (call.worked) return;
    const name = status === null ? "none" : String(status);
    this.#byStatus.set(name, (this.#byStatus.get(name) ?? 0) + 1);
    call.worked = true;
    if (call.closed) this.#leave(call);
  }

  /** The connection is done with this call; `written` says that its whole answer was handed to the operating system. */
  closed(call: OpenCall, written: boolean, nowMs: number): void {
    if (call.closed) return;
    call.closed = true;
    if (written) this.#remember(call.attempt, nowMs);
    if (call.worked) this.#leave(call);
  }

  /** Called once a call, when both its work and its connection are done with. */
  #leave(call: OpenCall): void {
    const last = this.#open.pop();
    if (last === undefined || last === call) return;
    last.place = call.place;
    this.#open[call.place] = last;
  }

  #remember(attempt: string | null, atMs: number): void {
    this.#attempts[this.#next] = attempt;
    this.#writtenMs[this.#next] = atMs;
    this.#next = (this.#next + 1) % REMEMBERED_MAX;
  }

  recent(windowMs: number, nowMs: number): RecentCalls {
    const since = nowMs - windowMs;
    const inside = this.#attempts.filter((_, at) => (this.#writtenMs[at] ?? 0) >= since);
    const attempts = inside.filter((attempt) => attempt !== null);
    return { count: inside.length, attempts, complete: inside.length < REMEMBERED_MAX };
  }

  get requests(): number {
    return this.#requests;
  }

  get openCount(): number {
    return this.#open.length;
  }

  /** The most that were open at once. */
  get openMax(): number {
    return this.#openMax;
  }

  get openAttempts(): readonly string[] {
    return this.#open.flatMap((call) => (call.attempt === null ? [] : [call.attempt]));
  }

  get byStatus(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#byStatus);
  }
}
