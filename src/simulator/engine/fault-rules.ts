/**
 * Which faults there are and when they strike: rules as data, from a file at the start or an endpoint while running.
 * What each fault does is in faults.ts, and for batches in batch-faults.ts.
 */
import { BATCH_FAULTS } from "./batch-faults.js";
import type { BatchFault } from "./batch-faults.js";
import type { UsageLie } from "./direct-operation.js";
import {
  anything,
  decimal,
  flag,
  freeObject,
  integer,
  isObject,
  listOf,
  mapOf,
  oneOf,
  shape,
  stringOr,
  tagged,
  text,
} from "./field-checks.js";
import type { FieldCheck } from "./field-checks.js";

/** Faults of a single call; those of a batch are in batch-faults.ts. */
export type CallFault =
  /** An error answer with this status; the body is the provider's own for it unless given. Not billed, nothing done. */
  | {
      readonly kind: "status";
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: unknown;
    }
  /** The provider's 429, with the time to wait in this form (default "seconds", 1,000 ms; "absurd" says ten days). Not billed. */
  | { readonly kind: "rate_limited"; readonly retryAfter?: RetryAfterForm; readonly waitMs?: number }
  /** The provider's answer for money or quota that is gone. Not billed. */
  | { readonly kind: "quota_gone" }
  /** The connection is cut before anything was done. Not billed. */
  | { readonly kind: "drop_before" }
  /** Done and billed, then the connection is cut without a byte of the answer. */
  | { readonly kind: "drop_after_billed" }
  /** Done and billed; half of the body is sent, then the connection is cut. */
  | { readonly kind: "truncate" }
  /** Done and billed; the body comes at this speed. */
  | { readonly kind: "trickle"; readonly bytesPerS: number }
  /** No answer ever; the connection stays open until the caller gives up. Done and billed only when it says so. */
  | { readonly kind: "hang"; readonly billed?: boolean }
  /** Status 200 with a web page. Not billed. */
  | { readonly kind: "html_200" }
  /** 307 to another host. Not billed. */
  | { readonly kind: "redirect"; readonly location?: string }
  /** Billed rightly; the usage in the answer lies. Direct calls only, as all that follow. */
  | { readonly kind: "wrong_usage"; readonly how?: UsageLie }
  /** Answered by, and billed as, another model of the provider. */
  | { readonly kind: "wrong_model"; readonly model?: string }
  /** An answer without a word; billed with one output token. */
  | { readonly kind: "empty_answer" }
  /** The model declines; billed. */
  | { readonly kind: "refusal" };

export type RetryAfterForm = "seconds" | "date" | "ms" | "absurd" | "missing";

export type CallFaultKind = CallFault["kind"];
export type Fault = CallFault | BatchFault;
export type FaultKind = Fault["kind"];

/** A rule strikes when everything in `match` holds. Without `nth` and `rate` it strikes each time. */
export type FaultRule = {
  readonly match?: {
    readonly provider?: string;
    /** The call's name, such as "openai.chat" or "openai.batches.create". */
    readonly operation?: string;
    /** The whole path, or its beginning followed by "*". */
    readonly path?: string;
    /** As asked for; calls that name no model have "". */
    readonly model?: string;
    /** The account's label. */
    readonly key?: string;
    /** Only from and until so many real milliseconds after the rules were set. */
    readonly fromMs?: number;
    readonly untilMs?: number;
    /** Only the nth call (for a batch's fault: the nth batch) that fits all of the above, counted from 1. */
    readonly nth?: number;
    /** This share of those that fit, 0 to 1; which ones follows from the seed. */
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
export type FaultTarget = {
  readonly provider: string;
  readonly operation: string;
  readonly path: string;
  readonly model: string;
  readonly key: string;
};

const RULES_MAX = 1000;
const kindOnly = shape({ kind: anything });

const CALL_FAULTS = {
  status: shape(
    { kind: anything, status: integer(200, 599) },
    { headers: mapOf(text(), 32, 128), body: stringOr(freeObject) },
  ),
  rate_limited: shape(
    { kind: anything },
    { retryAfter: oneOf("seconds", "date", "ms", "absurd", "missing"), waitMs: integer(0, 86_400_000) },
  ),
  quota_gone: kindOnly,
  drop_before: kindOnly,
  drop_after_billed: kindOnly,
  truncate: kindOnly,
  trickle: shape({ kind: anything, bytesPerS: integer(1, 1_000_000_000) }),
  hang: shape({ kind: anything }, { billed: flag }),
  html_200: kindOnly,
  redirect: shape({ kind: anything }, { location: text(1) }),
  wrong_usage: shape({ kind: anything }, { how: oneOf("missing", "negative", "huge", "not_a_number", "wrong_total") }),
  wrong_model: shape({ kind: anything }, { model: text(1) }),
  empty_answer: kindOnly,
  refusal: kindOnly,
} satisfies Record<CallFaultKind, FieldCheck>;

const DIRECT_ONLY: ReadonlySet<FaultKind> = new Set(["wrong_usage", "wrong_model", "empty_answer", "refusal"]);

const RULES = listOf(
  shape(
    { fault: tagged("kind", { ...CALL_FAULTS, ...BATCH_FAULTS }) },
    {
      match: shape(
        {},
        {
          provider: text(1),
          operation: text(1),
          path: text(1),
          model: text(),
          key: text(1),
          fromMs: integer(0),
          untilMs: integer(0),
          nth: integer(1),
          rate: decimal(0, 1),
          count: integer(1),
        },
      ),
    },
  ),
  0,
  RULES_MAX,
);

/**
 * Reads rules from parsed JSON: a list, or an object with the list as `rules`.
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

/** A rule in force. What its fault is for is known beforehand: every call is held against every rule. */
type Entry = {
  readonly rule: FaultRule;
  readonly callFault: CallFault | null;
  readonly batchFault: BatchFault | null;
  readonly directOnly: boolean;
  matched: number;
  fired: number;
};

function isBatchFault(fault: Fault): fault is BatchFault {
  return Object.hasOwn(BATCH_FAULTS, fault.kind);
}

function entryOf(rule: FaultRule): Entry {
  const { fault } = rule;
  const isBatch = isBatchFault(fault);
  return {
    rule,
    callFault: isBatch ? null : fault,
    batchFault: isBatch ? fault : null,
    directOnly: DIRECT_ONLY.has(fault.kind),
    matched: 0,
    fired: 0,
  };
}

function fits(match: FaultRule["match"], target: FaultTarget): boolean {
  if (match === undefined) return true;
  if (match.provider !== undefined && match.provider !== target.provider) return false;
  if (match.operation !== undefined && match.operation !== target.operation) return false;
  if (match.path !== undefined && !fitsPath(match.path, target.path)) return false;
  if (match.model !== undefined && match.model !== target.model) return false;
  return match.key === undefined || match.key === target.key;
}

function fitsPath(wanted: string, path: string): boolean {
  return wanted.endsWith("*") ? path.startsWith(wanted.slice(0, -1)) : path === wanted;
}

/** The rules in force and how often each struck. */
export class FaultBook {
  readonly #seed: number;
  #entries: readonly Entry[] = [];
  #setMs = 0;
  readonly #firedByKind = new Map<FaultKind, number>();

  constructor(seed: number, rules: readonly FaultRule[]) {
    this.#seed = seed;
    this.replace(rules);
  }

  /** Takes these rules instead of the ones before, with their counts at 0. */
  replace(rules: readonly FaultRule[]): void {
    this.#setMs = performance.now();
    this.#entries = rules.map(entryOf);
  }

  /** The fault of a call. The first rule that strikes decides; later ones don't count that call. */
  pick(target: FaultTarget, isDirect: boolean): CallFault | null {
    for (let index = 0; index < this.#entries.length; index += 1) {
      const entry = this.#entries[index];
      if (entry === undefined || entry.callFault === null || (entry.directOnly && !isDirect)) continue;
      if (this.#strikes(entry, index, target)) return entry.callFault;
    }
    return null;
  }

  /** The faults of a batch that is being created: one of each kind at most, the first that strikes. */
  pickForBatch(target: FaultTarget): readonly BatchFault[] {
    const faults: BatchFault[] = [];
    for (const [index, entry] of this.#entries.entries()) {
      const fault = entry.batchFault;
      if (fault === null || faults.some((one) => one.kind === fault.kind)) continue;
      if (this.#strikes(entry, index, target)) faults.push(fault);
    }
    return faults;
  }

  #strikes(entry: Entry, index: number, target: FaultTarget): boolean {
    const match = entry.rule.match;
    if (!fits(match, target) || !this.#isInTime(match)) return false;
    entry.matched += 1;
    if (match?.count !== undefined && entry.fired >= match.count) return false;
    if (match?.nth !== undefined && entry.matched !== match.nth) return false;
    if (match?.rate !== undefined && share(this.#seed, index, entry.matched) >= match.rate) return false;
    entry.fired += 1;
    const { kind } = entry.rule.fault;
    this.#firedByKind.set(kind, (this.#firedByKind.get(kind) ?? 0) + 1);
    return true;
  }

  #isInTime(match: FaultRule["match"]): boolean {
    if (match?.fromMs === undefined && match?.untilMs === undefined) return true;
    const sinceMs = performance.now() - this.#setMs;
    return sinceMs >= (match.fromMs ?? 0) && sinceMs < (match.untilMs ?? Infinity);
  }

  get rules(): readonly FaultRuleState[] {
    return this.#entries.map(({ rule, matched, fired }) => ({ rule, matched, fired }));
  }

  /** How often each kind struck since the start, under all rules there were. */
  get fired(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#firedByKind);
  }
}
