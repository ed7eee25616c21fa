import { blameOf, type Blame, type OutcomeFacts } from "../../domain/health/blame.js";
import {
  CLOSED,
  hasTurnAgain,
  isRamping,
  isTrialDue,
  isWholeAccount,
  mayCall,
  nextBreaker,
  type Breaker,
  type BreakerEvent,
  type BreakerSettings,
  type ClosedBreaker,
} from "../../domain/health/breaker.js";
import { beginRamp, hasRoom, promiseTurn, takeFromRamp, type Ramp } from "../../domain/health/ramp.js";
import { failuresSince, statisticsSince, type RecentCall } from "../../domain/health/recent-calls.js";
import { NO_USAGE, type Usage } from "../../domain/cost/usage.js";
import type { AttemptIntent } from "../../domain/execution/execution.js";
import type { EpochMs } from "../../domain/ids.js";
import type { RouteConditions, RouteHealth as Health, RouteStatistics } from "../../domain/route/route-condition.js";
import type { Clock, Random } from "../../ports/system.js";

export interface RouteHealthParts {
  readonly settings: BreakerSettings;
  readonly clock: Pick<Clock, "nowMs">;
  readonly random: Random;
  /** A breaker of this router changed, and the others should know. */
  readonly changed: (watched: WatchedBreaker) => void;
  /** A trial is due and somebody wants to call. */
  readonly wanted: () => void;
}

/** A call as its intent tells of it. */
export type CallOf = Pick<AttemptIntent, "account" | "model" | "startedAtMs">;

/** Calls that are remembered of a model at an account: enough for a steady 95th percentile. */
const CALLS_MAX = 100;
/** Longer ago says nothing of now. */
const STATISTICS_WINDOW_MS = 600_000;
/** Figures are worked out this seldom: choices ask for them thousands of times a second. */
const STATISTICS_EVERY_MS = 1000;
/** Models of an account that are remembered: names may come from callers. The one that was called first is forgotten first. */
const MODELS_MAX = 200;
/** Who waits for a trial that somebody else makes looks again after this, and one who waits for the lease of one. */
const TRIAL_LOOK_MS = 5000;
const LEASE_LOOK_MS = 1500;
/** The rate before an outage is taken over about so long. */
const RATE_OVER_MS = 30_000;
/** So long a degraded route's turn is kept for jobs that have time for a call in vain. */
const TURN_MS = 60_000;
/** Nobody has asked for it for so long: no trial is made. */
const WANTED_MS = 15_000;

/** Steps of batches at an account, among its models: their API may be away while calls are served, and the other way round. */
const BATCH_STEPS = "(batches)";

const WELL: Health = { state: "closed", untilMs: null, because: null };

/** A breaker with what this router knows beside it. `version`: the last that was read or written. */
export class WatchedBreaker {
  readonly account: string;
  /** Null: of the whole account. */
  readonly model: string | null;
  breaker: Breaker = CLOSED;
  version = 0;
  /** A change that the others have not been told. */
  unsaved: "opened" | "reopened" | "closed" | null = null;
  wantedAtMs: EpochMs = -Infinity;
  closedAtMs: EpochMs = -Infinity;
  openSinceMs: EpochMs = -Infinity;
  ramp: Ramp | null = null;
  readonly rate = new StartRate();

  constructor(account: string, model: string | null) {
    this.account = account;
    this.model = model;
  }
}

interface ModelHealth {
  readonly watched: WatchedBreaker;
  /** A ring. */
  readonly calls: RecentCall[];
  next: number;
  statistics: RouteStatistics | null;
  statisticsAtMs: EpochMs;
}

interface AccountHealth {
  readonly watched: WatchedBreaker;
  readonly models: Map<string, ModelHealth>;
  /** Failures since the account last served a call, by model. */
  readonly failures: Map<string, number>;
}

/**
 * What this router knows of providers' health: a breaker for each model at an account and one for each account, fed by the outcomes of
 * calls. What it sees itself counts at once; what others see comes through `tell`. Nothing here waits: the lease of a trial is asked for
 * by `HealthWatch`.
 */
export class RouteHealth implements Pick<RouteConditions, "health" | "statistics"> {
  readonly #parts: RouteHealthParts;
  readonly #accounts = new Map<string, AccountHealth>();

  constructor(parts: RouteHealthParts) {
    this.#parts = parts;
  }

  health(account: string, model: string, nowMs: EpochMs): Health {
    const known = this.#accounts.get(account);
    if (known === undefined) return WELL;
    const ofAccount = this.#healthOf(known.watched, nowMs);
    const watched = known.models.get(model)?.watched;
    if (watched === undefined || ofAccount.state === "open") return ofAccount;
    // A trial of the account takes the place of one of the model.
    if (ofAccount.state === "half_open" && watched.breaker.state !== "closed") return ofAccount;
    return worse(ofAccount, this.#healthOf(watched, nowMs));
  }

  statistics(account: string, model: string, nowMs: EpochMs): RouteStatistics | null {
    const known = this.#accounts.get(account)?.models.get(model);
    if (known === undefined) return null;
    const ageMs = nowMs - known.statisticsAtMs;
    if (ageMs < 0 || ageMs >= STATISTICS_EVERY_MS) {
      known.statistics = statisticsSince(known.calls, nowMs - STATISTICS_WINDOW_MS);
      known.statisticsAtMs = nowMs;
    }
    return known.statistics;
  }

  /** When a call may be made, or asked for again; null: now. */
  waitUntilMs(account: string, model: string, nowMs: EpochMs): EpochMs | null {
    const known = this.#accounts.get(account);
    if (known === undefined) return null;
    const { state, untilMs } = this.health(account, model, nowMs);
    if (state === "open") return untilMs ?? nowMs + TRIAL_LOOK_MS;
    return this.#rampWait(known.watched, nowMs) ?? this.#rampWait(known.models.get(model)?.watched, nowMs);
  }

  /**
   * A call is about to be made that need not wait: takes the trial, where there is one, and its place in the ramp.
   * @param model null: of several. @param nowMs no later than the start of the call's intent.
   */
  taken(account: string, model: string | null, nowMs: EpochMs): void {
    const known = this.#account(account);
    const both = model === null ? [known.watched] : [known.watched, this.#model(known, model).watched];
    for (const watched of both) {
      const ramp = this.#rampOf(watched, nowMs);
      if (ramp !== null) watched.ramp = takeFromRamp(ramp, nowMs);
      this.#step(watched, { kind: "taken" }, nowMs);
      if (!isOpen(watched.breaker)) watched.rate.started(nowMs);
    }
  }

  /** A call that was taken is not made. */
  notSent({ account, model, startedAtMs }: CallOf): void {
    const known = this.#accounts.get(account);
    if (known === undefined) return;
    const nowMs = this.#parts.clock.nowMs();
    const watched = known.models.get(model)?.watched;
    for (const one of watched === undefined ? [known.watched] : [known.watched, watched])
      this.#step(one, { kind: "not_sent", startedAtMs }, nowMs);
  }

  /** A call ended. @param ms how long it was out. @param usage what the provider counted. */
  ended({ account, model, startedAtMs }: CallOf, outcome: OutcomeFacts, ms: number, usage: Usage = NO_USAGE): void {
    const blame = blameOf(outcome);
    if (blame === "nothing") return;
    const nowMs = this.#parts.clock.nowMs();
    const known = this.#account(account);
    const ofModel = this.#model(known, model);
    if (blame !== "alive") remember(ofModel, { endedAtMs: nowMs, ms, failed: blame !== "answered", usage });
    if (blame === "answered" || blame === "alive" || blame === "poor") {
      known.failures.clear();
      const isProof = this.#proves(known, startedAtMs, nowMs);
      this.#step(ofModel.watched, { kind: "alive", startedAtMs, isProof }, nowMs);
    } else this.#failed(known, ofModel, { blame, startedAtMs, because: inWords(outcome) }, nowMs);
  }

  /** Whether a batch may be begun at the account, by when to ask again; null: now. Changes nothing but that somebody wants a trial. */
  batchWaitUntilMs(account: string, nowMs: EpochMs): EpochMs | null {
    const { state, untilMs } = this.health(account, BATCH_STEPS, nowMs);
    return state === "open" ? (untilMs ?? nowMs + TRIAL_LOOK_MS) : null;
  }

  /** An upload or a creation is about to be made. @param nowMs no later than its start. */
  stepBegins(account: string, nowMs: EpochMs): void {
    this.taken(account, BATCH_STEPS, nowMs);
  }

  /**
   * A step of a batch ended. Others than uploads and creations go on while the account is not called, and say nothing then: its trial is
   * another's matter.
   * @param isTurn whether `stepBegins` was told of it.
   */
  stepEnded(account: string, startedAtMs: EpochMs, outcome: OutcomeFacts, isTurn: boolean): void {
    const call = { account, model: BATCH_STEPS, startedAtMs };
    if (blameOf(outcome) === "nothing") {
      if (isTurn) this.notSent(call);
      return;
    }
    const known = this.#accounts.get(account);
    const watched = known === undefined ? [] : [known.watched, known.models.get(BATCH_STEPS)?.watched];
    if (!isTurn && watched.some((one) => one !== undefined && isOpen(one.breaker))) return;
    this.ended(call, outcome, this.#parts.clock.nowMs() - startedAtMs);
  }

  /** @returns whether the call was the trial of its account, which is closed by it. */
  #proves({ watched }: AccountHealth, startedAtMs: EpochMs, nowMs: EpochMs): boolean {
    const wasOpen = isOpen(watched.breaker);
    this.#step(watched, { kind: "alive", startedAtMs, isProof: false }, nowMs);
    return wasOpen && !isOpen(watched.breaker);
  }

  #failed(
    known: AccountHealth,
    ofModel: ModelHealth,
    { blame, startedAtMs, because }: FailedCall,
    nowMs: EpochMs,
  ): void {
    const { settings } = this.#parts;
    const failed = { kind: "failed", startedAtMs, because, barred: blame !== "failed" } as const;
    const { watched } = ofModel;
    if (blame === "account_barred") {
      this.#step(known.watched, { ...failed, atOnce: true, recent: NONE }, nowMs);
      return;
    }
    const sinceMs = Math.max(nowMs - settings.rateWindowMs, watched.closedAtMs);
    const recent = failuresSince(ofModel.calls, sinceMs);
    this.#step(watched, { ...failed, atOnce: blame === "model_barred", recent }, nowMs);
    if (blame === "model_barred") {
      // As a trial of the account it proves that the account is there.
      if (isOpen(known.watched.breaker)) this.#proves(known, startedAtMs, nowMs);
      return;
    }
    const model = watched.model ?? "";
    if (known.failures.size < MODELS_MAX || known.failures.has(model))
      known.failures.set(model, (known.failures.get(model) ?? 0) + 1);
    const isTrial = known.watched.breaker.state === "half_open";
    if (!isTrial && !isWholeAccount(known.failures, settings)) return;
    this.#step(known.watched, { ...failed, atOnce: true, recent: NONE }, nowMs);
  }

  /** What the ledger says of a breaker, where that is news. @returns its breaker here. */
  tell(account: string, model: string | null): WatchedBreaker {
    const known = this.#account(account);
    return model === null ? known.watched : this.#model(known, model).watched;
  }

  step(watched: WatchedBreaker, event: BreakerEvent): void {
    this.#step(watched, event, this.#parts.clock.nowMs());
  }

  /** Breakers whose change the others have not been told. */
  unsaved(): readonly WatchedBreaker[] {
    return this.#all().filter(({ unsaved }) => unsaved !== null);
  }

  /** Breakers of which a trial is due, and wanted. One of a model waits for that of its account. */
  due(nowMs: EpochMs): readonly WatchedBreaker[] {
    return [...this.#accounts.values()].flatMap(({ watched, models }) => {
      const ofAccount = watched.breaker.state === "open" || watched.breaker.state === "half_open";
      const asked = ofAccount ? [watched] : [...models.values()].map((one) => one.watched);
      return asked.filter((one) => isTrialDue(one.breaker, nowMs) && nowMs - one.wantedAtMs < WANTED_MS);
    });
  }

  #all(): readonly WatchedBreaker[] {
    return [...this.#accounts.values()].flatMap(({ watched, models }) => [
      watched,
      ...[...models.values()].map((one) => one.watched),
    ]);
  }

  #healthOf(watched: WatchedBreaker, nowMs: EpochMs): Health {
    const { breaker } = watched;
    switch (breaker.state) {
      case "closed":
      case "degraded":
        return this.#healthOfClosed(watched, breaker, nowMs);
      case "open":
      case "half_open": {
        const { because } = breaker;
        if (mayCall(breaker, nowMs)) return { state: "half_open", untilMs: breaker.untilMs, because };
        if (isTrialDue(breaker, nowMs)) {
          this.#want(watched, nowMs);
          return { state: "open", untilMs: nowMs + LEASE_LOOK_MS, because };
        }
        const untilMs = breaker.state === "open" ? breaker.untilMs : Math.min(breaker.untilMs, nowMs + TRIAL_LOOK_MS);
        return { state: "open", untilMs, because };
      }
    }
  }

  #healthOfClosed(watched: WatchedBreaker, breaker: ClosedBreaker, nowMs: EpochMs): Health {
    const ramp = this.#rampOf(watched, nowMs);
    if (ramp !== null && !hasRoom(ramp, nowMs))
      return { state: "degraded", untilMs: null, because: "it answers again, and takes its calls up slowly" };
    if (breaker.state === "closed") return WELL;
    const because = "its last calls failed";
    if (breaker.againAtMs === null || !hasTurnAgain(breaker, nowMs))
      return { state: "degraded", untilMs: null, because };
    return { state: "half_open", untilMs: breaker.againAtMs + TURN_MS, because };
  }

  /** Once for each time that a trial becomes due: whoever makes trials looks at once. */
  #want(watched: WatchedBreaker, nowMs: EpochMs): void {
    const isNew = nowMs - watched.wantedAtMs >= LEASE_LOOK_MS || nowMs < watched.wantedAtMs;
    watched.wantedAtMs = nowMs;
    if (isNew) this.#parts.wanted();
  }

  #rampOf(watched: WatchedBreaker, nowMs: EpochMs): Ramp | null {
    const { ramp, breaker } = watched;
    if (ramp !== null && !isRamping(breaker, nowMs, this.#parts.settings.rampMs)) watched.ramp = null;
    return watched.ramp;
  }

  #rampWait(watched: WatchedBreaker | undefined, nowMs: EpochMs): EpochMs | null {
    const ramp = watched === undefined ? null : this.#rampOf(watched, nowMs);
    if (watched === undefined || ramp === null || hasRoom(ramp, nowMs)) return null;
    const promised = promiseTurn(ramp, nowMs);
    watched.ramp = promised.ramp;
    return promised.runAtMs;
  }

  #step(watched: WatchedBreaker, event: BreakerEvent, nowMs: EpochMs): void {
    const before = watched.breaker;
    const { random, settings, changed } = this.#parts;
    const chance = event.kind === "failed" ? random.next() : 0;
    const { breaker, change } = nextBreaker(before, event, nowMs, chance, settings);
    if (breaker === before) return;
    watched.breaker = breaker;
    if (isOpen(before) && !isOpen(breaker)) {
      watched.closedAtMs = nowMs;
      watched.ramp = isRamping(breaker, nowMs, settings.rampMs)
        ? beginRamp(nowMs, settings.rampMs, watched.rate.perSecond)
        : null;
    }
    if (!isOpen(before) && isOpen(breaker)) watched.rate.freeze(nowMs);
    if (breaker.state === "open" || breaker.state === "half_open") watched.openSinceMs = breaker.sinceMs;
    if (change !== null) watched.unsaved = change;
    if (event.kind === "told") watched.unsaved = null;
    if (change !== null || breaker.state !== before.state) changed(watched);
  }

  #account(name: string): AccountHealth {
    const known = this.#accounts.get(name);
    if (known !== undefined) return known;
    const created: AccountHealth = { watched: new WatchedBreaker(name, null), models: new Map(), failures: new Map() };
    this.#accounts.set(name, created);
    return created;
  }

  #model(known: AccountHealth, model: string): ModelHealth {
    const found = known.models.get(model);
    if (found !== undefined) return found;
    const [oldest] = known.models.keys();
    if (known.models.size >= MODELS_MAX && oldest !== undefined) known.models.delete(oldest);
    const watched = new WatchedBreaker(known.watched.account, model);
    const created = { watched, calls: [], next: 0, statistics: null, statisticsAtMs: -Infinity };
    known.models.set(model, created);
    return created;
  }
}

interface FailedCall {
  readonly blame: Extract<Blame, "failed" | "model_barred" | "account_barred">;
  readonly startedAtMs: EpochMs;
  readonly because: string;
}

const NONE = { calls: 0, failed: 0 } as const;

function isOpen({ state }: Breaker): boolean {
  return state === "open" || state === "half_open";
}

const RANKS = { closed: 0, half_open: 1, degraded: 2, open: 3 } as const satisfies Record<Health["state"], number>;

/** What a breaker's state is as a number, for the graph. */
export const STATE_NUMBERS = { closed: 0, degraded: 1, half_open: 2, open: 3 } as const satisfies Record<
  Breaker["state"],
  number
>;

function worse(one: Health, other: Health): Health {
  return RANKS[other.state] > RANKS[one.state] ? other : one;
}

function remember(ofModel: ModelHealth, call: RecentCall): void {
  ofModel.calls[ofModel.next] = call;
  ofModel.next = (ofModel.next + 1) % CALLS_MAX;
}

function inWords({ outcome, httpStatus }: OutcomeFacts): string {
  const status = httpStatus === null ? "" : ` (status ${String(httpStatus)})`;
  return `its last call ended as ${outcome}${status}`;
}

/** Calls a second, the newer ones counting more. Stands still during an outage, so that the rate before it is known after it. */
class StartRate {
  #sum = 0;
  #atMs = 0;

  get perSecond(): number {
    return (this.#sum * 1000) / RATE_OVER_MS;
  }

  started(nowMs: EpochMs): void {
    this.freeze(nowMs);
    this.#sum += 1;
  }

  /** Brings the rate up to this time. */
  freeze(nowMs: EpochMs): void {
    this.#sum *= Math.exp(-Math.max(0, nowMs - this.#atMs) / RATE_OVER_MS);
    this.#atMs = nowMs;
  }
}
