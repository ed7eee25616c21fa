import {
  expectedTurnaround,
  turnaroundBook,
  type TurnaroundObservation,
  type TurnaroundSettings,
} from "../../domain/batch/turnaround.js";
import type { EpochMs } from "../../domain/ids.js";

/** Calls that are remembered of one account and model, and accounts and models that are: enough for a steady 95th percentile. */
const CALLS_MAX = 100;
const ROUTES_MAX = 200;
/** Longer ago says nothing of now. */
const WINDOW_MS = 3_600_000;

/** How long answered calls of this router took, by account and model: the rule of turnarounds, for calls. */
export class CallTimes {
  readonly #settings: TurnaroundSettings;
  /** The oldest route that was heard of first. */
  readonly #routes = new Map<string, TurnaroundObservation[]>();
  #latest = "";

  constructor(priorMs: number) {
    this.#settings = { priorMs, windowMs: WINDOW_MS, perModelMax: CALLS_MAX };
  }

  answered({ account, model }: { readonly account: string; readonly model: string }, ms: number, nowMs: EpochMs): void {
    const key = `${account}\n${model}`;
    const known = this.#routes.get(key) ?? [];
    known.push({ account, model, ms, endedAtMs: nowMs });
    if (known.length > CALLS_MAX) known.shift();
    if (key === this.#latest) return;
    this.#latest = key;
    this.#routes.delete(key);
    this.#routes.set(key, known);
    const [oldest] = this.#routes.keys();
    if (this.#routes.size > ROUTES_MAX && oldest !== undefined) this.#routes.delete(oldest);
  }

  /** What is known at one time. */
  at(nowMs: EpochMs): CallTimesBook {
    const calls = [...this.#routes.values()];
    const book = turnaroundBook(calls.flat(), this.#settings, nowMs);
    const known = calls.flatMap(([first]) =>
      first === undefined ? [] : [expectedTurnaround(book, first.account, first.model).p95Ms],
    );
    return {
      p95Ms: ({ account, model }) => expectedTurnaround(book, account, model).p95Ms,
      longestP95Ms: Math.max(this.#settings.priorMs, ...known),
    };
  }
}

export interface CallTimesBook {
  /** 95 of 100 calls of the route are answered within this time. */
  readonly p95Ms: (route: { readonly account: string; readonly model: string }) => number;
  /** Over all routes. */
  readonly longestP95Ms: number;
}
