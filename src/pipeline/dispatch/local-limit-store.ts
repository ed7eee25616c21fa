import { bucketRules, LimitBucket } from "../../domain/limit/bucket.js";
import { lease, type KeptLimit, type Lease } from "../../domain/limit/lease.js";
import type { LimitRule } from "../../domain/limit/limits.js";
import type { LimitStore, StoreAsk } from "../../ports/limit-store.js";

/** Limits kept in the process: for routers without Redis, and while it is away. Each router grants itself its share. */
export class LocalLimitStore implements LimitStore {
  readonly #nowMs: () => number;
  readonly #buckets = new Map<string, LimitBucket>();

  /** @param nowMs milliseconds that never jump. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  lease(ask: StoreAsk): Promise<Lease> {
    const nowMs = this.#nowMs();
    const kept = ask.scope.rules.map((rule): KeptLimit => ({ rule, bucket: this.#bucketOf(rule, ask, nowMs) }));
    return Promise.resolve(lease(kept, ask, nowMs));
  }

  /** What was granted until now is forgotten: it begins as if the limits had been used evenly. */
  beginAnew(): void {
    this.#buckets.clear();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #bucketOf(rule: LimitRule, { share, notes, seeds }: StoreAsk, nowMs: number): LimitBucket {
    const stated = rule.limit * share;
    const known = this.#buckets.get(rule.key);
    const bucket = known ?? new LimitBucket(bucketRules(rule), stated, nowMs);
    if (known === undefined) this.#buckets.set(rule.key, bucket);
    // All routers' use, of which each bears its share.
    const seed = seeds?.get(rule.key)?.map(({ agoMs, amount }) => ({ agoMs, amount: amount * share }));
    if (seed !== undefined) bucket.seed(seed, nowMs);
    const note = notes.get(rule.key);
    bucket.learn(stated, (note?.learned ?? null) === null ? null : (note?.learned ?? 0) * share);
    if (note?.tighten === true) bucket.tighten(nowMs);
    return bucket;
  }
}
