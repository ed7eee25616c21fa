import { callTokens } from "../../domain/limit/call-tokens.js";
import { daySeeds } from "../../domain/limit/day-use.js";
import type { Lease } from "../../domain/limit/lease.js";
import { isByKind, type AccountLimits, type LimitUnit, type LimitWindow } from "../../domain/limit/limits.js";
import type { TakenOfLimit } from "../../domain/limit/queue-turns.js";
import type { EpochMs, SessionNo } from "../../domain/ids.js";
import type { Tier } from "../../domain/job/job.js";
import { familyOf, type FormatFamily } from "../../domain/route/format-family.js";
import type { RequestFacts } from "../../domain/route/request-facts.js";
import type { Headroom } from "../../domain/route/route-condition.js";
import type { CountPrompt } from "../../domain/route/score-routes.js";
import type { Route } from "../../domain/route/route.js";
import type { ReachPoint } from "../../ports/crash-points.js";
import type { Ledger } from "../../ports/ledger.js";
import type { LimitStore, StoreAsk } from "../../ports/limit-store.js";
import type { Metrics } from "../../ports/metrics.js";
import type { Clock, Log } from "../../ports/system.js";
import { Nap } from "../nap.js";
import { Waiters } from "../waiters.js";
import { AccountScopes } from "./account-scopes.js";
import type { HeldScope, LimitPass } from "./limit-scope.js";
import { LocalLimitStore } from "./local-limit-store.js";
import type { Slots } from "./slots.js";

export interface RateLimitsParts {
  /** By account; one without limits need not be there. */
  readonly accounts: ReadonlyMap<string, AccountLimits>;
  readonly session: SessionNo;
  /** Null: each router keeps its share in its own memory. */
  readonly shared: LimitStore | null;
  readonly ledger: Pick<Ledger, "liveRouters" | "limitQueues" | "dayUse">;
  readonly slots: Pick<Slots, "promise" | "freeOf" | "openOf">;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** For limits of tokens; by bytes when left out. Called again for a request that waits, so it should remember. */
  readonly countPrompt?: CountPrompt;
  /** There are new grants for rows that wait. */
  readonly granted: () => void;
  readonly reach?: ReachPoint;
}

export type LimitAnswer =
  | { readonly kind: "go"; readonly pass: LimitPass | null }
  | { readonly kind: "wait"; readonly runAtMs: EpochMs; readonly limit: string }
  | { readonly kind: "never"; readonly because: string };

/** A call that wants to pass its limits. */
export interface LimitWish {
  readonly route: Route;
  readonly facts: RequestFacts;
  readonly tier: Tier;
  readonly nowMs: EpochMs;
  /** Whether it has to wait behind rows that wait already. */
  readonly behind: boolean;
}

/** What a provider says one of its limits is. */
export interface ProviderLimit {
  readonly unit: LimitUnit;
  readonly window: LimitWindow;
  readonly limit: number;
}

/** Grants are renewed so often: well within the time that one holds. */
const RENEW_MS = 40;
/** How often it is looked who waits, and how many routers live. */
const LOOK_MS = 1000;
/** A store that does not answer is asked again after this. */
const LOST_RETRY_MS = 500;
/** Of its share, what a router grants itself while the common store is away: it has to be below what it was. */
const LOST_SHARE = 0.9;
/** Other routers hear of a new one within this; until then it grants itself nothing. */
const NEW_ROUTER_WAIT_MS = 2 * LOOK_MS + 500;
/** The ledger is asked what a day has seen at most so often: it looks at a day's attempts for it. */
const DAY_LOOK_MS = 10_000;
/** Rows that wait are counted up to this. */
const QUEUE_LOOK_MAX = 1000;
/** The longest wait that is said; only for people, a row is taken when there is a grant for it. */
const SAID_WAIT_MAX_MS = 3_600_000;
const GO: LimitAnswer = { kind: "go", pass: null };

/**
 * The rate limits of all accounts. A call is never held up by a server: it takes from grants that are here, or waits as a row. Grants are
 * asked for ahead, as many as there are rows waiting and calls coming in, and hold for a moment; a grant that is not used goes back.
 */
export class RateLimits {
  readonly #parts: RateLimitsParts;
  readonly #local: LocalLimitStore;
  /** Of accounts with limits. */
  readonly #scopes = new Map<string, AccountScopes>();
  readonly #byName = new Map<string, HeldScope>();
  readonly #stop = new AbortController();
  readonly #bornMs: number;
  #lostSinceMs: number | null = null;
  /** By the common store, since limits were kept here last: what is remembered here lacks it. */
  #wasGranted = false;
  #retryMs = 0;
  #routers = 1;
  #looked = false;
  #nextLookMs = 0;
  #isShared: boolean | null = null;
  /** A limit by the day does not know what was used before it began. */
  #isUnseeded = false;
  #nextDayLookMs = -Infinity;
  #dayLook: Promise<void> | null = null;
  readonly #nap: Nap;
  readonly #waiting = new Waiters();

  constructor(parts: RateLimitsParts) {
    this.#parts = parts;
    this.#nap = new Nap(parts.clock);
    this.#bornMs = parts.clock.monotonicMs();
    this.#local = new LocalLimitStore(() => parts.clock.monotonicMs());
    for (const [account, limits] of parts.accounts) {
      const scopes = AccountScopes.of(account, limits);
      if (scopes === null) continue;
      this.#scopes.set(account, scopes);
      for (const held of scopes.all) if (held !== null) this.#byName.set(held.scope.name, held);
    }
  }

  /** Whether any account has limits. */
  get any(): boolean {
    return this.#scopes.size > 0;
  }

  /** The name that rows of such calls wait by; null: nothing limits them but places. */
  nameOf({ route, facts, tier }: Pick<LimitWish, "route" | "facts" | "tier">): string | null {
    return this.#scopeOf(route, familyOf(facts.format), tier)?.scope.name ?? null;
  }

  /** @param mayGo asked last, when there is a grant: false takes none. */
  take({ route, facts, tier, nowMs, behind }: LimitWish, mayGo: () => boolean): LimitAnswer | null {
    const held = this.#scopeOf(route, familyOf(facts.format), tier);
    if (held === null) return mayGo() ? GO : null;
    const tokens = held.scope.countsTokens ? callTokens(route, facts, this.#parts.countPrompt) : 0;
    const never = held.neverFits(tokens);
    if (never !== null) return { kind: "never", because: never };
    const monotonicMs = this.#parts.clock.monotonicMs();
    if (behind && held.queued > 0) return this.#wait(held, nowMs);
    if (held.has(tokens, monotonicMs) && !mayGo()) return null;
    const pass = held.take(tokens, monotonicMs);
    if (pass === null || held.runsLow) this.#ring(held);
    return pass === null ? this.#wait(held, nowMs) : { kind: "go", pass };
  }

  /**
   * How many calls that come in could start now: free places, as far as there are grants for them. Where there are fewer than `wanted`, the
   * next round asks for so many; `atOnce` does not wait for it. Who looks again must not: a round that brings nothing would follow the other.
   * @returns null: none, and a moment does not help, since a limit is used up. Rows that wait for one that is not are soon gone.
   */
  startable(wanted: number, atOnce: boolean): number | null {
    const { slots, clock } = this.#parts;
    const nowMs = clock.monotonicMs();
    let startable = slots.promise();
    let blocked = false;
    for (const [account, scopes] of this.#scopes) {
      const places = slots.freeOf(account);
      if (places <= 0) continue;
      const room = this.#roomOf(scopes.inUse(nowMs), nowMs, wanted, atOnce);
      if (room === null) blocked = true;
      startable -= Math.max(0, places - (room ?? 0));
    }
    return startable <= 0 && blocked ? null : Math.max(0, startable);
  }

  /** Resolves when there are new grants, or there is news of who waits. @param over as in `Waiters`. */
  changed(over?: AbortSignal): Promise<void> {
    return this.#waiting.next(over);
  }

  giveBack(pass: LimitPass): void {
    pass.scope.giveBack(pass, this.#parts.clock.monotonicMs());
  }

  /** Takes nothing, and says `go` of what was never asked for. */
  headroom(route: Route, tokens: number, nowMs: EpochMs, endpoint: FormatFamily, tier: Tier): Headroom {
    const held = this.#scopeOf(route, endpoint, tier);
    if (held === null) return { kind: "go" };
    const never = held.neverFits(tokens);
    if (never !== null) return { kind: "never", because: never };
    const monotonicMs = this.#parts.clock.monotonicMs();
    if (held.queued === 0 && (held.has(tokens, monotonicMs) || held.refusedBy(monotonicMs) === null))
      return { kind: "go" };
    const { runAtMs } = this.#wait(held, nowMs);
    return { kind: "wait", runAtMs, waitsFor: "rate_limit", limit: held.refusedBy(monotonicMs) ?? held.scope.name };
  }

  /** How many of the rows that wait for each limit could start now. */
  room(): ReadonlyMap<string, number> {
    const room = new Map<string, number>();
    if (this.#scopes.size === 0) return room;
    const nowMs = this.#parts.clock.monotonicMs();
    const free = new Map<string, number>();
    for (const [name, held] of this.#byName) {
      if (held.queued === 0) continue;
      const { account } = held.scope;
      const places = free.get(account) ?? this.#parts.slots.freeOf(account);
      const most = Math.min(held.room(nowMs), places);
      free.set(account, places - most);
      if (most > 0) room.set(name, most);
    }
    return room;
  }

  /** Rows were stored that wait by that name. */
  queued(name: string, rows: number): void {
    const held = this.#byName.get(name);
    if (held === undefined || rows === 0) return;
    held.queued += rows;
    if (held.room(this.#parts.clock.monotonicMs()) > 0) this.#parts.granted();
    else this.#ring(held);
  }

  /** Whether a limit was refused by that name: what waits for it is not soon gone. */
  isUsedUp(name: string): boolean {
    const held = this.#byName.get(name);
    return held !== undefined && held.refusedBy(this.#parts.clock.monotonicMs()) !== null;
  }

  /** Rows were taken of those that wait by that name. */
  taken(name: string, { rows, more }: TakenOfLimit): void {
    const held = this.#byName.get(name);
    if (held !== undefined) held.queued = more ? Math.max(1, held.queued - rows) : 0;
    this.#waiting.tell();
  }

  /** Lines of groups are calls that come behind all others. */
  mayTakeLine(account: string, model: string | null): boolean {
    const scopes = model === null ? undefined : this.#scopes.get(account)?.ofModel(model);
    return scopes === undefined || scopes.some((held) => held === null || held.queued === 0);
  }

  /** Whether a line of a group may be called now; its grant is taken then. One that never fits is no matter of waiting. */
  takeLine(wish: Omit<LimitWish, "behind">): boolean {
    return this.take({ ...wish, behind: true }, () => true)?.kind !== "wait";
  }

  /** What an account's provider says beside an answer. It only ever lowers what the config states. */
  learn(account: string, model: string, said: readonly ProviderLimit[]): void {
    const held = this.#anyOf(account, model);
    if (held === null) return;
    for (const { key, unit, window } of held.scope.own) {
      const limit = said.find((one) => one.unit === unit && one.window === window)?.limit;
      const known = held.notes.get(key);
      if (limit === undefined || limit < 1 || limit === known?.learned) continue;
      held.notes.set(key, { learned: limit, tighten: known?.tighten ?? false });
    }
  }

  /** A provider refused a call for a rate limit. */
  refused({ account, model }: Pick<Route, "account" | "model">): void {
    const held = this.#anyOf(account, model);
    if (held === null) return;
    for (const { key, window } of held.scope.own)
      if (window === "minute") held.notes.set(key, { learned: held.notes.get(key)?.learned ?? null, tighten: true });
  }

  stop(): void {
    this.#stop.abort();
    this.#nap.wake();
  }

  /** Renews grants until it is stopped; without limits there is nothing to do. */
  async run(): Promise<void> {
    const { clock } = this.#parts;
    while (this.any && !this.#stop.signal.aborted) {
      if (clock.monotonicMs() >= this.#nextLookMs) await this.#look();
      this.#lookAtDay();
      await this.#renew();
      this.#waiting.tell();
      await this.#nap.sleep(RENEW_MS);
    }
    await this.#dayLook;
  }

  /** Once when a store has begun, or has forgotten; grants go on meanwhile, at the day's rate. */
  #lookAtDay(): void {
    const nowMs = this.#parts.clock.monotonicMs();
    if (!this.#isUnseeded || this.#dayLook !== null || nowMs < this.#nextDayLookMs) return;
    this.#isUnseeded = false;
    this.#nextDayLookMs = nowMs + DAY_LOOK_MS;
    this.#dayLook = this.#readDay().finally(() => {
      this.#dayLook = null;
    });
  }

  async #readDay(): Promise<void> {
    const { ledger, clock, log } = this.#parts;
    try {
      const accounts = [...this.#scopes.keys()];
      const apart = accounts.filter((account) => this.#isApart(account));
      const together = accounts.filter((account) => !apart.includes(account));
      // Serial: each holds a connection while it reads a day.
      const uses = together.length === 0 ? [] : [...(await ledger.dayUse(together, false))];
      if (apart.length > 0) uses.push(...(await ledger.dayUse(apart, true)));
      const atMs = clock.monotonicMs();
      for (const held of this.#byName.values()) {
        const byKey = daySeeds(held.scope, uses);
        if (byKey.size > 0) held.seeds = { byKey, atMs };
      }
    } catch (error) {
      this.#isUnseeded = true;
      log.warn("limits.day_unread", { message: error instanceof Error ? error.message : String(error) });
    }
  }

  async #look(): Promise<void> {
    const { ledger, clock, log } = this.#parts;
    this.#nextLookMs = clock.monotonicMs() + LOOK_MS;
    try {
      const [routers, queues] = [await ledger.liveRouters(), await ledger.limitQueues(QUEUE_LOOK_MAX)];
      this.#routers = Math.max(1, routers);
      for (const held of this.#byName.values()) held.queued = 0;
      for (const { limit, rows } of queues) {
        const held = this.#byName.get(limit);
        if (held !== undefined) held.queued = rows;
      }
      this.#looked = true;
    } catch (error) {
      log.warn("limits.look_failed", { message: error instanceof Error ? error.message : String(error) });
    }
  }

  async #renew(): Promise<void> {
    const { clock, slots } = this.#parts;
    const nowMs = clock.monotonicMs();
    const asks: Promise<void>[] = [];
    for (const held of this.#byName.values()) {
      // A store that is back must hear of it before others take what was granted here meanwhile.
      const isOwed = held.anew && nowMs >= this.#retryMs;
      const want = held.asking ? null : held.want(nowMs, slots.openOf(held.scope.account), isOwed);
      if (want === null) continue;
      held.asking = true;
      const { notes, scope, anew } = held;
      const asker = `${String(this.#parts.session)} ${scope.name}`;
      const seeds = held.takeSeeds(nowMs);
      const ask: StoreAsk = {
        ...{ ...want, scope, asker, anew, notes: new Map(notes), returned: held.takeReturned(), share: 1 },
        ...(seeds === null ? {} : { seeds }),
      };
      for (const [key, { learned }] of notes) notes.set(key, { learned, tighten: false });
      asks.push(this.#ask(held, ask, nowMs));
    }
    await Promise.all(asks);
  }

  async #ask(held: HeldScope, ask: StoreAsk, askedMs: number): Promise<void> {
    try {
      const lease = await this.#lease(held, ask);
      const nowMs = this.#parts.clock.monotonicMs();
      if (lease?.unseeded === true) this.#isUnseeded = true;
      if (lease !== null && held.hold(lease, askedMs, nowMs) && held.queued > 0) this.#parts.granted();
    } finally {
      held.asking = false;
      this.#waiting.tell();
    }
  }

  async #lease(held: HeldScope, ask: StoreAsk): Promise<Lease | null> {
    const { shared, clock } = this.#parts;
    const mayAsk = this.#lostSinceMs === null || clock.monotonicMs() >= this.#retryMs;
    if (shared !== null && mayAsk) {
      this.#retryMs = clock.monotonicMs() + LOST_RETRY_MS;
      try {
        this.#parts.reach?.("grant.before_ask");
        const lease = await shared.lease(ask);
        this.#parts.reach?.("grant.received");
        held.anew = false;
        if (lease.refused === null) this.#wasGranted = true;
        this.#found();
        return lease;
      } catch (error) {
        this.#lost(error);
      }
    }
    return this.#leaseOwn(ask);
  }

  /** Its share of each limit, out of this process's memory. */
  #leaseOwn(ask: StoreAsk): Promise<Lease | null> {
    const { shared, clock } = this.#parts;
    const isNew = this.#routers > 1 && clock.monotonicMs() - this.#bornMs < NEW_ROUTER_WAIT_MS;
    if (!this.#looked || isNew) return Promise.resolve(null);
    const share = (shared === null ? 1 : LOST_SHARE) / this.#routers;
    return this.#local.lease({ ...ask, share, returned: shared === null ? ask.returned : [] });
  }

  #lost(error: unknown): void {
    if (this.#lostSinceMs !== null) return;
    const { clock, log, metrics } = this.#parts;
    this.#lostSinceMs = clock.monotonicMs();
    // Begun anew each time, with a store that comes and goes it would never have anything to give.
    if (this.#wasGranted) this.#local.beginAnew();
    this.#wasGranted = false;
    for (const held of this.#byName.values()) held.anew = true;
    this.#isShared = false;
    metrics.set("sluice_limits_shared", {}, 0);
    const message = error instanceof Error ? error.message : String(error);
    log.warn("limits.store_lost", { message, routers: this.#routers });
  }

  #found(): void {
    if (this.#isShared === true) return;
    const { clock, log, metrics } = this.#parts;
    this.#isShared = true;
    metrics.set("sluice_limits_shared", {}, 1);
    if (this.#lostSinceMs === null) return;
    log.info("limits.store_found", { lostMs: clock.monotonicMs() - this.#lostSinceMs });
    this.#lostSinceMs = null;
  }

  #wait(held: HeldScope, nowMs: EpochMs): Extract<LimitAnswer, { readonly kind: "wait" }> {
    const behindMs = held.queued / held.callsPerMs;
    const waitMs = Math.max(1, held.waitMs(this.#parts.clock.monotonicMs()), behindMs);
    return { kind: "wait", runAtMs: nowMs + Math.ceil(Math.min(waitMs, SAID_WAIT_MAX_MS)), limit: held.scope.name };
  }

  #scopeOf({ account, model }: Route, endpoint: FormatFamily, tier: Tier): HeldScope | null {
    return this.#scopes.get(account)?.of(model, endpoint, tier) ?? null;
  }

  /** Whatever the call: the limits of the account and of the model are in each of their scopes. */
  #anyOf(account: string, model: string): HeldScope | null {
    return this.#scopes.get(account)?.of(model, "chat", "standard") ?? null;
  }

  /** Whether the ledger has to tell an account's calls apart by endpoint and tier. */
  #isApart(account: string): boolean {
    const limits = this.#parts.accounts.get(account);
    return limits !== undefined && isByKind(limits, "day");
  }

  /** Of calls that come in; null as in `startable`. */
  #roomOf(scopes: readonly (HeldScope | null)[], nowMs: number, wanted: number, atOnce: boolean): number | null {
    let room: number | null = null;
    for (const held of scopes) {
      if (held === null) return Infinity;
      if (held.refusedBy(nowMs) !== null) continue;
      const granted = held.room(nowMs);
      if (granted < wanted) held.expect(Math.ceil(wanted / scopes.length));
      if (granted === 0 && atOnce) this.#ring(held);
      room = (room ?? 0) + (held.queued > 0 ? 0 : granted);
    }
    return room;
  }

  /** The first refusal asks at once; while the store says to wait, the next round is soon enough. */
  #ring(held: HeldScope): void {
    if (!held.asking && held.refusedBy(this.#parts.clock.monotonicMs()) === null) this.#nap.wake();
  }
}
