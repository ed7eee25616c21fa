import type { WaitReason } from "../../domain/execution/waits.js";
import type { EpochMs } from "../../domain/ids.js";
import type { Tier } from "../../domain/job/job.js";
import type { TakenOfLimit } from "../../domain/limit/queue-turns.js";
import type { RequestFacts } from "../../domain/route/request-facts.js";
import type { Route } from "../../domain/route/route.js";
import type { LimitPass } from "./limit-scope.js";
import type { LimitWish, RateLimits } from "./rate-limits.js";
import type { CallOf, RouteHealth } from "./route-health.js";
import type { Slots } from "./slots.js";

/** A call that is about to be stored as an intent. */
export interface CallWish {
  readonly route: Route;
  readonly facts: RequestFacts;
  /** Of the jobs that it serves; left out: `standard`, as in their policy. */
  readonly tier?: Tier | undefined;
  readonly nowMs: EpochMs;
  /** Whether rows that wait for the same limit go first; left out: they do not. */
  readonly behind?: boolean;
}

export type Admission =
  /** `pass`: what it took of a rate limit, to be given back with the place. */
  | { readonly kind: "go"; readonly pass?: LimitPass }
  /** `limit`: the name that its row waits by, so that it is taken up when there is a grant for it, whatever `runAtMs` says. */
  | { readonly kind: "wait"; readonly runAtMs: EpochMs; readonly waitsFor: WaitReason; readonly limit?: string }
  /** No waiting helps; in words. */
  | { readonly kind: "never"; readonly because: string };

/** What the gate asks of rate limits. */
export type GateLimits = Pick<
  RateLimits,
  "take" | "giveBack" | "nameOf" | "room" | "queued" | "taken" | "startable" | "isUsedUp" | "changed"
>;

/** An execution whose account has no free place waits this long before it is looked at again. */
const NO_PLACE_WAIT_MS = 200;
const NO_ROOM: ReadonlyMap<string, number> = new Map();
const GO: Admission = { kind: "go" };

export type AskHealth = Pick<RouteHealth, "waitUntilMs" | "taken" | "notSent">;
const ALWAYS_WELL: AskHealth = { waitUntilMs: () => null, taken: () => undefined, notSent: () => undefined };

/** What every call passes before its intent is stored: all that it needs is taken together, or nothing. What was taken and not used goes back. */
export class CallGate {
  readonly #slots: Slots;
  readonly #health: AskHealth;
  readonly #limits: GateLimits | null;

  constructor(slots: Slots, health: AskHealth = ALWAYS_WELL, limits: GateLimits | null = null) {
    this.#slots = slots;
    this.#health = health;
    this.#limits = limits;
  }

  take(wish: CallWish): Admission {
    const { route, nowMs } = wish;
    const { account, model } = route;
    const wellAtMs = this.#health.waitUntilMs(account, model, nowMs);
    if (wellAtMs !== null) return { kind: "wait", runAtMs: wellAtMs, waitsFor: "breaker" };
    const admission =
      this.#limits === null ? this.#takePlace(account, nowMs) : this.#takeLimited(this.#limits, limitWish(wish));
    if (admission.kind === "go") this.#health.taken(account, model, nowMs);
    return admission;
  }

  /**
   * How many of `wanted` calls could start now. @param atOnce whether grants are asked for at once if there are none; for the first look only.
   * @returns null: none, and to wait for a moment does not help.
   */
  startable(wanted: number, atOnce = false): number | null {
    return this.#limits === null ? this.#slots.promise() : this.#limits.startable(wanted, atOnce);
  }

  /** Intents were stored, and their calls begin, so long after they were let through. */
  stored(ms: number): void {
    this.#slots.stored(ms);
  }

  /** Whether no moment's wait helps a call that waits by the name of this limit. */
  isUsedUp(limit: string): boolean {
    return this.#limits?.isUsedUp(limit) ?? false;
  }

  /** Resolves when there may be more that could start. @param over as in `Waiters`: one of the two may not come about for long. */
  async changed(over?: AbortSignal): Promise<void> {
    const released = this.#slots.released(over);
    await (this.#limits === null ? released : Promise.race([released, this.#limits.changed(over)]));
  }

  /** The intent was not stored, so no call follows. */
  giveBack(intent: CallOf, pass?: LimitPass): void {
    this.#slots.release(intent.account, false);
    this.#health.notSent(intent);
    if (pass !== undefined) this.#limits?.giveBack(pass);
  }

  /** The limit by whose name the row of such a call waits; null: none. */
  limitOf(wish: Omit<CallWish, "nowMs">): string | null {
    const { route, facts, tier = "standard" } = wish;
    return this.#limits?.nameOf({ route, facts, tier }) ?? null;
  }

  /** How many of the rows that wait for each limit could start now. */
  room(): ReadonlyMap<string, number> {
    return this.#limits?.room() ?? NO_ROOM;
  }

  /** Rows were stored that wait for a limit. */
  queued(limit: string, rows: number): void {
    this.#limits?.queued(limit, rows);
  }

  /** @param asked by limit, for how many rows. @param taken what came of it. */
  taken(asked: ReadonlyMap<string, number>, taken: ReadonlyMap<string, TakenOfLimit> | undefined): void {
    for (const limit of asked.keys()) this.#limits?.taken(limit, taken?.get(limit) ?? { rows: 0, more: false });
  }

  #takePlace(account: string, nowMs: EpochMs): Admission {
    return this.#slots.take(account) ? GO : noPlace(nowMs);
  }

  #takeLimited(limits: GateLimits, wish: LimitWish): Admission {
    const answer = limits.take(wish, () => this.#slots.take(wish.route.account));
    if (answer === null) return { ...noPlace(wish.nowMs), ...this.#limitOf(wish) };
    if (answer.kind === "go") return answer.pass === null ? GO : { kind: "go", pass: answer.pass };
    return answer.kind === "wait" ? { ...answer, waitsFor: "rate_limit" } : answer;
  }

  #limitOf(wish: LimitWish): { readonly limit?: string } {
    const limit = this.limitOf(wish);
    return limit === null ? {} : { limit };
  }
}

function limitWish({ route, facts, tier = "standard", nowMs, behind = false }: CallWish): LimitWish {
  return { route, facts, tier, nowMs, behind };
}

function noPlace(nowMs: EpochMs): {
  readonly kind: "wait";
  readonly runAtMs: EpochMs;
  readonly waitsFor: "concurrency";
} {
  return { kind: "wait", runAtMs: nowMs + NO_PLACE_WAIT_MS, waitsFor: "concurrency" };
}
