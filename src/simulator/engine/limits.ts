/**
 * Rate limits and quotas: what an account may do with a model in a minute, and how many tokens it may have waiting in batches.
 * Counted always, for the rate headers; enforced only when limits are stated (`--limits`).
 */
import { flag, integer, isObject, mapOf, shape } from "./field-checks.js";
import { SlidingWindows, type WindowReport } from "./sliding-windows.js";

/** Each holds for an account and a model. */
export type LimitSet = {
  readonly requestsPerMinute?: number;
  readonly tokensPerMinute?: number;
  /** Input tokens of all batches that are not final. */
  readonly enqueuedTokens?: number;
};

export type LimitsOption = {
  /** For models that `models` does not name. */
  readonly default?: LimitSet;
  readonly models?: Readonly<Record<string, LimitSet>>;
  readonly batchCreatesPerHour?: number;
  readonly uploadsPerMinute?: number;
  /**
   * Calls are counted in the minute before each of them, tokens of the prompt and of the longest answer, instead of by buckets that fill
   * within a minute; and every call is remembered for `/simulator/limits`.
   */
  readonly slidingWindow?: boolean;
  /** Below the providers' own, so that tests need no files of full size: lines of a batch, and bytes of a batch's input. */
  readonly batchLines?: number;
  readonly batchBytes?: number;
};

/** Where an account stands with a model, after the call in question was counted. */
export type RateState = {
  readonly limitRequests: number;
  readonly remainingRequests: number;
  /** Until all of the limit is there again. */
  readonly resetRequestsMs: number;
  readonly limitTokens: number;
  readonly remainingTokens: number;
  readonly resetTokensMs: number;
  /** What this call is over, when limits are enforced. */
  readonly exceeded: "requests" | "tokens" | null;
  /** Until the call would pass; 0 when it passed. */
  readonly retryAfterMs: number;
};

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
/** What headers say when no limits are stated. */
const NOMINAL = { requestsPerMinute: 30_000, tokensPerMinute: 150_000_000 } as const;
/** Buckets and windows kept; the oldest go first, as if their minute had passed. */
const COUNTED_MAX = 4096;

const LIMIT_SET = shape({}, { requestsPerMinute: integer(1), tokensPerMinute: integer(1), enqueuedTokens: integer(0) });
const LIMITS = shape(
  {},
  {
    default: LIMIT_SET,
    models: mapOf(LIMIT_SET, 10_000),
    batchCreatesPerHour: integer(0),
    uploadsPerMinute: integer(0),
    slidingWindow: flag,
    batchLines: integer(1),
    batchBytes: integer(1),
  },
);

/** @throws Error naming the place that is wrong. */
export function parseLimits(json: unknown): LimitsOption {
  const problem = LIMITS(json);
  if (problem !== null || !isObject(json))
    throw new Error(`limits: at "${problem?.path.join(".") ?? ""}" expected ${problem?.expected ?? "an object"}`);
  // The check above proves the shape; this is the parsing edge.
  return json;
}

/** A token bucket that fills within a minute. */
type Bucket = { requests: number; tokens: number; atMs: number };

type Window = { startMs: number; count: number };

function remembered<T>(map: Map<string, T>, key: string, fresh: () => T): T {
  const known = map.get(key);
  if (known !== undefined) return known;
  if (map.size >= COUNTED_MAX) {
    const [oldest] = map.keys();
    if (oldest !== undefined) map.delete(oldest);
  }
  const value = fresh();
  map.set(key, value);
  return value;
}

/** What is left of a sliding window is said to nobody. */
function slidingState(set: LimitSet, exceeded: RateState["exceeded"]): RateState {
  const limitRequests = set.requestsPerMinute ?? NOMINAL.requestsPerMinute;
  const limitTokens = set.tokensPerMinute ?? NOMINAL.tokensPerMinute;
  return {
    ...{ limitRequests, remainingRequests: exceeded === "requests" ? 0 : 1, resetRequestsMs: 1000 },
    ...{ limitTokens, remainingTokens: exceeded === "tokens" ? 0 : 1, resetTokensMs: 1000 },
    exceeded,
    retryAfterMs: exceeded === null ? 0 : 1000,
  };
}

export class Limits {
  readonly #stated: LimitsOption | null;
  /** By model, then account: joining the two to a key would cost more than all the rest. */
  readonly #buckets = new Map<string, Map<string, Bucket>>();
  readonly #windows = new Map<string, Window>();
  readonly #sliding: SlidingWindows | null;

  constructor(stated: LimitsOption | null) {
    this.#stated = stated;
    this.#sliding = stated?.slidingWindow === true ? new SlidingWindows() : null;
  }

  /** Counts a direct call. A call over a limit is not counted, as at the providers. */
  take(account: string, model: string, tokens: number, nowMs: number, outputTokensMax = 0): RateState {
    const set = this.#setOf(model);
    if (this.#sliding !== null) {
      const over = this.#sliding.take(account, model, set, tokens + outputTokensMax, nowMs);
      return slidingState(set, over);
    }
    const limitRequests = set.requestsPerMinute ?? NOMINAL.requestsPerMinute;
    const limitTokens = set.tokensPerMinute ?? NOMINAL.tokensPerMinute;
    const ofModel = this.#buckets.get(model) ?? remembered(this.#buckets, model, () => new Map<string, Bucket>());
    const bucket =
      ofModel.get(account) ??
      remembered(ofModel, account, () => ({
        requests: limitRequests,
        tokens: limitTokens,
        atMs: nowMs,
      }));
    const passedMs = Math.max(0, nowMs - bucket.atMs);
    bucket.atMs = nowMs;
    bucket.requests = Math.min(limitRequests, bucket.requests + (limitRequests * passedMs) / MINUTE_MS);
    bucket.tokens = Math.min(limitTokens, bucket.tokens + (limitTokens * passedMs) / MINUTE_MS);
    const exceeded =
      set.requestsPerMinute !== undefined && bucket.requests < 1
        ? "requests"
        : set.tokensPerMinute !== undefined && bucket.tokens < tokens
          ? "tokens"
          : null;
    const lacking = exceeded === null ? 0 : exceeded === "requests" ? 1 - bucket.requests : tokens - bucket.tokens;
    const limit = exceeded === "requests" ? limitRequests : limitTokens;
    if (exceeded === null) {
      bucket.requests = Math.max(0, bucket.requests - 1);
      bucket.tokens = Math.max(0, bucket.tokens - tokens);
    }
    return {
      limitRequests,
      remainingRequests: Math.floor(bucket.requests),
      resetRequestsMs: Math.ceil(((limitRequests - bucket.requests) * MINUTE_MS) / limitRequests),
      limitTokens,
      remainingTokens: Math.floor(bucket.tokens),
      resetTokensMs: Math.ceil(((limitTokens - bucket.tokens) * MINUTE_MS) / limitTokens),
      exceeded,
      retryAfterMs: Math.ceil((lacking * MINUTE_MS) / limit),
    };
  }

  /** What the sliding windows let through; null: there are none. */
  get windows(): readonly WindowReport[] | null {
    return this.#sliding?.report ?? null;
  }

  /** Counts a created batch; false = over the limit, and not counted. */
  takeBatchCreate(account: string, nowMs: number): boolean {
    return this.#takeOf(`batch\n${account}`, this.#stated?.batchCreatesPerHour, HOUR_MS, nowMs);
  }

  /** Counts an upload; false = over the limit, and not counted. */
  takeUpload(account: string, nowMs: number): boolean {
    return this.#takeOf(`upload\n${account}`, this.#stated?.uploadsPerMinute, MINUTE_MS, nowMs);
  }

  /** Stated limits that hold beside a provider's own; null = none. */
  get batchLinesMax(): number | null {
    return this.#stated?.batchLines ?? null;
  }

  get batchBytesMax(): number | null {
    return this.#stated?.batchBytes ?? null;
  }

  /** Input tokens that an account may have in unfinished batches of the model; null = no limit. */
  enqueuedTokensMax(model: string): number | null {
    return this.#setOf(model).enqueuedTokens ?? null;
  }

  #setOf(model: string): LimitSet {
    const stated = this.#stated;
    return stated?.models?.[model] ?? stated?.default ?? {};
  }

  #takeOf(key: string, limit: number | undefined, windowMs: number, nowMs: number): boolean {
    if (limit === undefined) return true;
    const window = remembered(this.#windows, key, () => ({ startMs: nowMs, count: 0 }));
    if (nowMs - window.startMs >= windowMs) {
      window.startMs = nowMs;
      window.count = 0;
    }
    if (window.count >= limit) return false;
    window.count += 1;
    return true;
  }
}
