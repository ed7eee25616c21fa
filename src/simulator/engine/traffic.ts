/** What is in the air at the provider's endpoints and what lately left: for checkers that ask at the moment of a kill. */

/** A call that was received, at least in part, and whose work or answer has not ended. */
export type OpenCall = {
  readonly attempt: string | null;
  /** The work has ended (answered, refused or dropped): nothing will be billed any more. */
  worked: boolean;
  /** The answer was written, or the connection is gone. */
  closed: boolean;
};

export type RecentCalls = {
  /** Calls whose answer was written within the time asked for. */
  readonly count: number;
  readonly attempts: readonly string[];
  /** false when more may have been written than are remembered. */
  readonly complete: boolean;
};

const REMEMBERED_MAX = 65_536;

type Written = { readonly attempt: string | null; readonly atMs: number };

export class Traffic {
  readonly #open = new Set<OpenCall>();
  readonly #byStatus = new Map<string, number>();
  readonly #written: Written[] = [];
  #next = 0;
  #requests = 0;

  begin(attempt: string | null): OpenCall {
    this.#requests += 1;
    const call: OpenCall = { attempt, worked: false, closed: false };
    this.#open.add(call);
    return call;
  }

  /** The work has ended; `status` is null for a call that gets no answer. */
  worked(call: OpenCall, status: number | null): void {
    if (call.worked) return;
    const name = status === null ? "none" : String(status);
    this.#byStatus.set(name, (this.#byStatus.get(name) ?? 0) + 1);
    call.worked = true;
    if (call.closed) this.#open.delete(call);
  }

  /** The connection is done with this call; `written` says that its whole answer was handed to the operating system. */
  closed(call: OpenCall, written: boolean, nowMs: number): void {
    call.closed = true;
    if (written) this.#remember({ attempt: call.attempt, atMs: nowMs });
    if (call.worked) this.#open.delete(call);
  }

  #remember(written: Written): void {
    this.#written[this.#next] = written;
    this.#next = (this.#next + 1) % REMEMBERED_MAX;
  }

  recent(windowMs: number, nowMs: number): RecentCalls {
    const since = nowMs - windowMs;
    const inside = this.#written.filter((one) => one.atMs >= since);
    const attempts = inside.flatMap((one) => (one.attempt === null ? [] : [one.attempt]));
    return { count: inside.length, attempts, complete: inside.length < REMEMBERED_MAX };
  }

  get requests(): number {
    return this.#requests;
  }

  get openCount(): number {
    return this.#open.size;
  }

  get openAttempts(): readonly string[] {
    return [...this.#open].flatMap((call) => (call.attempt === null ? [] : [call.attempt]));
  }

  get byStatus(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#byStatus);
  }
}
