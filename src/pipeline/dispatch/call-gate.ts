import type { WaitReason } from "../../domain/execution/waits.js";
import type { EpochMs } from "../../domain/ids.js";
import type { RequestFacts } from "../../domain/route/request-facts.js";
import type { Route } from "../../domain/route/route.js";
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

/** What every call passes before its intent is stored: all that it needs is taken together, or nothing. What was taken and not used goes back. */
export class CallGate {
  readonly #slots: Slots;

  constructor(slots: Slots) {
    this.#slots = slots;
  }

  take({ route, nowMs }: CallWish): Admission {
    if (this.#slots.take(route.account)) return { kind: "go" };
    return { kind: "wait", runAtMs: nowMs + NO_PLACE_WAIT_MS, waitsFor: "concurrency" };
  }

  /** The intent was not stored, so no call follows. */
  giveBack(account: string): void {
    this.#slots.release(account, false);
  }
}
