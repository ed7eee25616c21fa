/**
 * Which faults there are and when they strike: rules as data, from a file at the start or an endpoint while running.
 * What each fault does is in faults.ts.
 */
import {
  anything,
  decimal,
  flag,
  integer,
  isObject,
  listOf,
  mapOf,
  oneOf,
  shape,
  stringOr,
  freeObject,
  tagged,
  text,
} from "./field-checks.js";
import type { UsageLie } from "./direct-api.js";

export type Fault =
  /** An error answer with this status; the body is the provider's own for it unless given. Not billed. */
  | {
      readonly kind: "status";
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: unknown;
    }
  /** The connection is cut before anything was done. Not billed. */
  | { readonly kind: "drop_before" }
  /** Done and billed, then the connection is cut without a byte of the answer. */
  | { readonly kind: "drop_after_billed" }
  /** Done and billed; half of the body is sent, then the connection is cut. */
  | { readonly kind: "truncate" }
  /** Done and billed; the body comes at this speed. */
  | { readonly kind: "trickle"; readonly bytesPerS: number }
  /** No answer ever; the connection stays open until the caller gives up. Billed only when it says so. */
  | { readonly kind: "hang"; readonly billed?: boolean }
  /** Status 200 with a web page. Not billed. */
  | { readonly kind: "html_200" }
  /** 307 to another host. Not billed. */
  | { readonly kind: "redirect"; readonly location?: string }
  /** Billed rightly; the usage in the answer lies. */
  | { readonly kind: "wrong_usage"; readonly how?: UsageLie }
  /** Answered by, and billed as, another model of the provider. */
  | { readonly kind: "wrong_model"; readonly model?: string }
  /** An answer without a word; billed with one output token. */
  | { readonly kind: "empty_answer" }
  /** The model declines; billed. */
  | { readonly kind: "refusal" };

export type FaultKind = Fault["kind"];

/** A rule strikes when everything in `match` holds. Without `nth` and `rate` it strikes each time. */
export type FaultRule = {
  readonly match?: {
    readonly path?: string;
    readonly model?: string;
    /** The account's label. */
    readonly key?: string;
    /** Only the nth call that fits path, model and key, counted from 1. */
    readonly nth?: number;
    /** This share of the calls that fit, 0 to 1; which ones follows from the seed. */
    readonly rate?: number;
    /** No more than so many strikes. */
    readonly count?: number;
  };
  readonly fault: Fault;
};

export type FaultRuleState = {
  readonly rule: FaultRule;
  readonly matched: number;
  readonly fired: number;
};

/** What a call is matched by. */
export type FaultTarget = { readonly path: string; readonly model: string; readonly key: string };

const RULES_MAX = 1000;
const kindOnly = shape({ kind: anything });

const RULES = listOf(
  shape(
    {
      fault: tagged("kind", {
        status: shape(
          { kind: anything, status: integer(200, 599) },
          { headers: mapOf(text(), 32, 128), body: stringOr(freeObject) },
        ),
        drop_before: kindOnly,
        drop_after_billed: kindOnly,
        truncate: kindOnly,
        trickle: shape({ kind: anything, bytesPerS: integer(1, 1_000_000_000) }),
        hang: shape({ kind: anything }, { billed: flag }),
        html_200: kindOnly,
        redirect: shape({ kind: anything }, { location: text(1) }),
        wrong_usage: shape(
          { kind: anything },
          { how: oneOf("missing", "negative", "huge", "not_a_number", "wrong_total") },
        ),
        wrong_model: shape({ kind: anything }, { model: text(1) }),
        empty_answer: kindOnly,
        refusal: kindOnly,
      } satisfies Record<FaultKind, unknown>),
    },
    {
      match: shape(
        {},
        { path: text(1), model: text(1), key: text(1), nth: integer(1), rate: decimal(0, 1), count: integer(1) },
      ),
    },
  ),
  0,
  RULES_MAX,
);

/**
 * Reads rules from parsed JSON: a list of rules, or an object with the list as `rules`.
 * @throws Error naming the place that is wrong.
 */
export function parseFaultRules(json: unknown): readonly FaultRule[] {
  const list = isObject(json) && Object.hasOwn(json, "rules") ? json["rules"] : json;
  const problem = RULES(list);
  if (problem !== null) throw new Error(`fault rules: at "${problem.path.join(".")}" expected ${problem.expected}`);
  // The check above proves the shape; this is the parsing edge.
  return list as readonly FaultRule[];
}

/** A number from 0 up to 1 fixed by its three arguments, so that a rate strikes the same calls for the same seed. */
function share(seed: number, rule: number, nth: number): number {
  let bits = (seed ^ Math.imul(rule + 1, 0x9e3779b1) ^ Math.imul(nth, 0x85ebca6b)) >>> 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x7feb352d);
  bits = Math.imul(bits ^ (bits >>> 15), 0x846ca68b);
  return ((bits ^ (bits >>> 16)) >>> 0) / 2 ** 32;
}

type Entry = { readonly rule: FaultRule; matched: number; fired: number };

/** The rules in force and how often each struck. The first rule that strikes decides; later ones don't count that call. */
export class FaultBook {
  readonly #seed: number;
  #entries: readonly Entry[] = [];
  readonly #firedByKind = new Map<FaultKind, number>();

  constructor(seed: number, rules: readonly FaultRule[]) {
    this.#seed = seed;
    this.replace(rules);
  }

  /** Takes these rules instead of the ones before, with their counts at 0. */
  replace(rules: readonly FaultRule[]): void {
    this.#entries = rules.map((rule) => ({ rule, matched: 0, fired: 0 }));
  }

  pick(target: FaultTarget): Fault | null {
    for (const [index, entry] of this.#entries.entries()) {
      if (!this.#strikes(entry, index, target)) continue;
      const fault = entry.rule.fault;
      entry.fired += 1;
      this.#firedByKind.set(fault.kind, (this.#firedByKind.get(fault.kind) ?? 0) + 1);
      return fault;
    }
    return null;
  }

  #strikes(entry: Entry, index: number, target: FaultTarget): boolean {
    const match = entry.rule.match ?? {};
    if (match.path !== undefined && match.path !== target.path) return false;
    if (match.model !== undefined && match.model !== target.model) return false;
    if (match.key !== undefined && match.key !== target.key) return false;
    entry.matched += 1;
    if (match.count !== undefined && entry.fired >= match.count) return false;
    if (match.nth !== undefined && entry.matched !== match.nth) return false;
    return match.rate === undefined || share(this.#seed, index, entry.matched) < match.rate;
  }

  get rules(): readonly FaultRuleState[] {
    return this.#entries.map((entry) => ({ ...entry }));
  }

  /** How often each kind struck since the start, under all rules there were. */
  get fired(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#firedByKind);
  }
}
