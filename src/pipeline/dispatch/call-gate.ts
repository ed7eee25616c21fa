import type { WaitReason } from "../../domain/execution/waits.js";
import type { EpochMs } from "../../domain/ids.js";
import type { RequestFacts } from "../../domain/route/request-facts.js";
import type { Route } from "../../domain/route/route.js";
import type { CallOf, RouteHealth } from "./route-health.js";
import type { Slots } from "./slots.js";

/** A call that is about to be stored as an intent. */
export interface CallWish {
  readonly route: Route;
  readonly facts: RequestFacts;
  readonly tenant: string;
  readonly nowMs: EpochMs;
}

export type Admission =
  | { readonly kind: "go" }
  | { readonly kind: "wait"; readonly runAtMs: EpochMs; readonly waitsFor: WaitReason }
  /** No waiting helps; in words. */
  | { readonly kind: "never"; readonly because: string };

/** An execution whose account has no free place waits this long before it is looked at again. */
const NO_PLACE_WAIT_MS = 200;

export type AskHealth = Pick<RouteHealth, "waitUntilMs" | "taken" | "notSent">;
const ALWAYS_WELL: AskHealth = { waitUntilMs: () => null, taken: () => undefined, notSent: () => undefined };

/** What every call passes before its intent is stored: all that it needs is taken together, or nothing. What was taken and not used goes back. */
export class CallGate {
  readonly #slots: Slots;
  readonly #health: AskHealth;

  constructor(slots: Slots, health: AskHealth = ALWAYS_WELL) {
    this.#slots = slots;
    this.#health = health;
  }

  take({ route, nowMs }: CallWish): Admission {
    const { account, model } = route;
    const wellAtMs = this.#health.waitUntilMs(account, model, nowMs);
    if (wellAtMs !== null) return { kind: "wait", runAtMs: wellAtMs, waitsFor: "breaker" };
    if (!this.#slots.take(account)) return { kind: "wait", runAtMs: nowMs + NO_PLACE_WAIT_MS, waitsFor: "concurrency" };
    this.#health.taken(account, model, nowMs);
    return { kind: "go" };
  }

  /** The intent was not stored, so no call follows. */
  giveBack(intent: CallOf): void {
    this.#slots.release(intent.account, false);
    this.#health.notSent(intent);
  }
}
