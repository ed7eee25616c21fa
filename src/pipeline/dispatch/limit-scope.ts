import type { Seed } from "../../domain/limit/day-use.js";
import type { Grant, Lease } from "../../domain/limit/lease.js";
import { neverFits, type LimitScope } from "../../domain/limit/limits.js";
import type { LimitNote } from "../../ports/limit-store.js";

/** A grant is used within so long of asking for it, or given back. */
const GRANT_HOLDS_MS = 250;
/** A router holds grants for what it starts within so long. */
const AHEAD_MS = 150;
/** Grants to be given back that are remembered; what is more is lost, and counts as used. */
const RETURNED_MAX = 16;
const SEEDS_HOLD_MS = 5000;
const TOKENS_SMOOTHING = 0.1;
const TOKENS_PRIOR = 1000;
/** One large call among small ones says little of the next. */
const TOKENS_OUTLIER = 4;
const MINUTE_MS = 60_000;

export interface HeldGrant {
  calls: number;
  tokens: number;
  readonly atMs: number;
  /** Monotonic. */
  readonly untilMs: number;
}

/** What a call took of its scope's grants. */
export interface LimitPass {
  readonly scope: HeldScope;
  readonly tokens: number;
  /** The one that its call is out of. */
  readonly grant: HeldGrant;
}

/** What is wanted of the store. */
export interface Want {
  readonly calls: number;
  readonly tokens: number;
  readonly needTokens: number;
}

/** One scope as a router sees it: the grants it holds, and who waits for some. Times are monotonic unless said otherwise. */
export class HeldScope {
  readonly scope: LimitScope;
  /** By the key of a rule of its own, see `LimitScope`; the scopes of the same model share them. */
  readonly notes: Map<string, LimitNote>;
  /** Rows that wait for it, as far as this router knows. */
  queued = 0;
  /** The next ask begins anew, see `StoreAsk`; it is not put off until somebody wants a grant, or what was granted meanwhile would never count. */
  anew = false;
  /** For the next ask, see `StoreAsk`. */
  seeds: { readonly byKey: ReadonlyMap<string, readonly Seed[]>; readonly atMs: number } | null = null;
  /** Asked for and not answered yet. */
  asking = false;
  /** When a call asked last. */
  askedAtMs = -Infinity;
  #grants: HeldGrant[] = [];
  /** Sums over the grants. */
  #calls = 0;
  #tokens = 0;
  readonly #returned: Grant[] = [];
  /** Calls that asked since the last renewal, and in the one before. */
  #asked = 0;
  #askedBefore = 0;
  /** Calls that are known to come and have not asked yet. */
  #expected = 0;
  #tokensPerCall = TOKENS_PRIOR;
  #knowsTokens = false;
  /** Tokens of the call that was refused last for want of grants; 0: none was. */
  #need = 0;
  #refused: { readonly untilMs: number; readonly key: string } | null = null;

  constructor(scope: LimitScope, notes = new Map<string, LimitNote>()) {
    this.scope = scope;
    this.notes = notes;
  }

  /** The limit that refused last, while that holds. */
  refusedBy(nowMs: number): string | null {
    return this.#refused !== null && nowMs < this.#refused.untilMs ? this.#refused.key : null;
  }

  waitMs(nowMs: number): number {
    return this.#refused === null ? 0 : Math.max(0, this.#refused.untilMs - nowMs);
  }

  /** The limit that no call of so many tokens ever passes, in words; null: all let it through. */
  neverFits(tokens: number): string | null {
    return neverFits(this.scope.rules, tokens, this.notes);
  }

  /** @returns null when there is no grant for it, which counts as a wish. */
  take(tokens: number, nowMs: number): LimitPass | null {
    this.#asked += 1;
    this.askedAtMs = nowMs;
    this.#drop(nowMs);
    const counted = this.scope.countsTokens ? tokens : 0;
    const grant = this.#grants.find(({ calls }) => calls > 0);
    if (grant === undefined || this.#tokens < counted) {
      this.#need = Math.max(1, counted);
      return null;
    }
    this.#learn(tokens);
    this.#spend(1, counted);
    return { scope: this, tokens: counted, grant };
  }

  /** Whether `take` would find a grant. */
  has(tokens: number, nowMs: number): boolean {
    this.#drop(nowMs);
    return this.#calls >= 1 && (!this.scope.countsTokens || this.#tokens >= tokens);
  }

  /** So many calls are about to ask; counts until grants are wished for the next time. */
  expect(calls: number): void {
    this.#expected = Math.max(this.#expected, calls);
  }

  /** Whether less is left than was taken since grants were asked for: the next round may be too late. */
  get runsLow(): boolean {
    return this.#calls < this.#asked;
  }

  /** What comes back too late for its grant goes back to the store: used after its time, it would count before it is. */
  giveBack({ tokens, grant }: Pick<LimitPass, "tokens" | "grant">, nowMs: number): void {
    this.#drop(nowMs);
    if (!this.#grants.includes(grant)) {
      this.#return({ calls: 1, tokens, atMs: grant.atMs });
      return;
    }
    grant.calls += 1;
    grant.tokens += tokens;
    this.#calls += 1;
    this.#tokens += tokens;
  }

  /** Calls that the grants are good for, roughly: how large each is shows when it is looked at. */
  room(nowMs: number): number {
    this.#drop(nowMs);
    const [calls, tokens] = [this.#calls, this.#tokens];
    if (calls === 0 || !this.scope.countsTokens) return calls;
    // The next row is the one that was refused: it would be taken and put back, again and again.
    if (tokens < this.#need) return 0;
    return Math.min(calls, Math.max(tokens > 0 ? 1 : 0, Math.floor(tokens / this.#tokensPerCall)));
  }

  /**
   * @param places calls that can be in the air. Of rows no more are taken at a time; of calls that come in, fast ones leave their places
   * several times between two renewals.
   * @param anyway one is asked for though nobody waits.
   * @returns null: the grants that are held are enough for who waits.
   */
  want(nowMs: number, places: number, anyway = false): Want | null {
    // Most scopes at most looks: with many models there are many, and who renews looks at all of them.
    if (this.#isIdle && !anyway) return null;
    this.#drop(nowMs);
    const direct = Math.max(Math.ceil((this.#asked + this.#askedBefore) * 1.5), Math.min(this.#expected, places));
    [this.#askedBefore, this.#asked, this.#expected] = [this.#asked, 0, 0];
    const rows = Math.min(this.queued + (this.#need > 0 || anyway ? 1 : 0), places);
    const wished = Math.min(rows + direct, this.#ahead());
    const lacksTokens = this.scope.countsTokens && wished > 0 && this.#tokens < Math.max(this.#need, 1);
    const calls = Math.max(wished - this.#calls, lacksTokens ? 1 : 0);
    if (calls <= 0) return null;
    if (!this.scope.countsTokens) return { calls, tokens: 0, needTokens: 0 };
    const needTokens = this.#need > 0 ? this.#need : this.#guess();
    return { calls, tokens: Math.max(needTokens, Math.ceil(calls * this.#tokensPerCall)), needTokens };
  }

  get #isIdle(): boolean {
    return this.#asked + this.#askedBefore + this.#expected + this.queued + this.#need === 0;
  }

  /** What was read too long ago lacks what was called since. */
  takeSeeds(nowMs: number): ReadonlyMap<string, readonly Seed[]> | null {
    const { seeds } = this;
    this.seeds = null;
    return seeds === null || nowMs - seeds.atMs > SEEDS_HOLD_MS ? null : seeds.byKey;
  }

  takeReturned(): readonly Grant[] {
    return this.#returned.splice(0);
  }

  /** @param askedMs when the lease was asked for. @returns whether it brought something. */
  hold({ calls, tokens, atMs, refused }: Lease, askedMs: number, nowMs: number): boolean {
    if (refused !== null) {
      this.#refused = { untilMs: nowMs + refused.waitMs, key: refused.key };
      return false;
    }
    this.#refused = null;
    this.#need = 0;
    this.#grants.push({ calls, tokens, atMs, untilMs: askedMs + GRANT_HOLDS_MS });
    this.#calls += calls;
    this.#tokens += tokens;
    return true;
  }

  /** Calls a millisecond that the limits let through at most, all routers together. */
  get callsPerMs(): number {
    let least = Infinity;
    for (const { unit, window, limit } of this.scope.rules) {
      if (window !== "minute") continue;
      const perCall = unit === "requests" ? 1 : this.#tokensPerCall;
      least = Math.min(least, limit / MINUTE_MS / perCall);
    }
    return least;
  }

  /** What the next call needs, as long as nobody knows: never so much that it would be saved up for. */
  #guess(): number {
    let most = Math.ceil(this.#tokensPerCall);
    for (const { unit, window, limit } of this.scope.rules)
      if (unit === "tokens" && window === "minute") most = Math.min(most, Math.floor((limit / MINUTE_MS) * 1000));
    return Math.max(1, most);
  }

  /** Of a limit by the day alone nothing says how much is much. */
  #ahead(): number {
    const perMs = this.callsPerMs;
    return perMs === Infinity ? 64 : Math.ceil(perMs * AHEAD_MS) + 1;
  }

  #spend(calls: number, tokens: number): void {
    let [callsLeft, tokensLeft] = [calls, tokens];
    this.#calls -= calls;
    this.#tokens -= tokens;
    for (const grant of this.#grants) {
      const [someCalls, someTokens] = [Math.min(grant.calls, callsLeft), Math.min(grant.tokens, tokensLeft)];
      grant.calls -= someCalls;
      grant.tokens -= someTokens;
      callsLeft -= someCalls;
      tokensLeft -= someTokens;
    }
  }

  /** What was not used in time goes back with the next ask. */
  #drop(nowMs: number): void {
    while (this.#grants.length > 0 && (this.#grants[0]?.untilMs ?? 0) <= nowMs) {
      const over = this.#grants.shift();
      if (over === undefined) return;
      this.#calls -= over.calls;
      this.#tokens -= over.tokens;
      if (over.calls + over.tokens > 0) this.#return(over);
    }
  }

  #return({ calls, tokens, atMs }: Grant): void {
    const place = this.#returned.findIndex((one) => one.atMs === atMs);
    const known = this.#returned[place];
    if (known !== undefined)
      this.#returned[place] = { calls: known.calls + calls, tokens: known.tokens + tokens, atMs };
    else if (this.#returned.length < RETURNED_MAX) this.#returned.push({ calls, tokens, atMs });
  }

  #learn(tokens: number): void {
    const known = this.#tokensPerCall;
    const seen = Math.max(1, Math.min(tokens, known * TOKENS_OUTLIER));
    this.#tokensPerCall = this.#knowsTokens ? known + (seen - known) * TOKENS_SMOOTHING : seen;
    this.#knowsTokens = true;
  }
}
