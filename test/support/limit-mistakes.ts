import type { BucketRules } from "../../src/domain/limit/bucket.js";
import { LimitBucket } from "../../src/domain/limit/bucket.js";
import { lease } from "../../src/domain/limit/lease.js";
import type { SceneKind } from "./limit-scene.js";
import type { LimitParts } from "./limit-world.js";

/** A way in which rate limits could be wrong. */
export interface LimitMistake {
  /** The worlds that show it. */
  readonly kind: SceneKind;
  readonly parts: Partial<LimitParts>;
  /** What the judge says of it. */
  readonly fault: RegExp;
}

class ShortWindow extends LimitBucket {
  constructor(rules: BucketRules, limit: number, nowMs: number) {
    super({ ...rules, windowMs: rules.windowMs - 5000 }, limit, nowMs);
  }
}

class NeverForgives extends LimitBucket {
  #refused = false;

  override tighten(nowMs: number): void {
    this.#refused = true;
    super.tighten(nowMs);
  }

  override get limit(): number {
    return super.limit * (this.#refused ? 0.5 : 1);
  }
}

class BelievesNobody extends LimitBucket {
  override learn(stated: number): void {
    super.learn(stated, null);
  }
}

/** A refusal of one limit takes of the others. */
const takesOfSome: typeof lease = (kept, ask, nowMs) => {
  const found = lease(kept, ask, nowMs);
  if (found.refused !== null)
    for (const { rule, bucket } of kept) {
      const need = rule.unit === "requests" ? 1 : ask.needTokens;
      if (bucket.allows(need, ask.asker)) bucket.take(need);
    }
  return found;
};

/** Whoever is refused saves in each bucket where nobody else does. */
const savesAnywhere: typeof lease = (kept, ask, nowMs) => {
  const found = lease(kept, ask, nowMs);
  if (found.refused !== null)
    for (const { rule, bucket } of kept) bucket.save(rule.unit === "requests" ? 1 : ask.needTokens, ask.asker);
  return found;
};

const MORE = /in the minute from/;
const UNUSED = /is not held by a limit that is used up/;

/** By what is wrong. */
export const LIMIT_MISTAKES: Readonly<Record<string, LimitMistake>> = {
  "a window is five seconds short": { kind: "steady", parts: { bucket: ShortWindow }, fault: MORE },
  "only the first limit is asked": {
    kind: "steady",
    parts: { lease: (kept, ...more) => lease(kept.slice(0, 1), ...more) },
    fault: MORE,
  },
  "a refusal takes of the limits that allow": { kind: "steady", parts: { lease: takesOfSome }, fault: UNUSED },
  "those that save keep each other out": { kind: "large", parts: { lease: savesAnywhere }, fault: /still wait/ },
  "each router has limits of its own": {
    kind: "steady",
    parts: {
      seen: (store) => ({
        close: () => store.close(),
        lease: (ask) => {
          const rules = ask.scope.rules.map((rule) => ({ ...rule, key: `${ask.asker} ${rule.key}` }));
          return store.lease({ ...ask, scope: { ...ask.scope, rules } });
        },
      }),
    },
    fault: MORE,
  },
  "each router takes the whole without Redis": { kind: "alone", parts: { routers: () => 1 }, fault: MORE },
  "each router takes the whole while Redis is away": { kind: "trouble", parts: { routers: () => 1 }, fault: MORE },
  "what comes back comes back five times": {
    kind: "steady",
    parts: { lease: (kept, ask, ...more) => lease(kept, fiveTimes(ask), ...more) },
    fault: MORE,
  },
  "tokens count by half": {
    kind: "steady",
    parts: { takenFor: (call) => ({ ...call, tokens: Math.max(11, Math.ceil(call.tokens / 2)) }) },
    fault: MORE,
  },
  "all jobs are taken for free ones": {
    kind: "steady",
    parts: { takenFor: (call) => ({ ...call, tier: "free" }) },
    fault: UNUSED,
  },
  "a 429 is not heard": { kind: "refused", parts: { hears: false }, fault: /in the ten seconds after a refusal/ },
  "a 429 is never forgiven": {
    kind: "refused",
    parts: { bucket: NeverForgives },
    fault: /a minute after a refusal/,
  },
  "what the provider says is not believed": {
    kind: "learned",
    parts: { bucket: BelievesNobody },
    fault: /the provider said less/,
  },
};

function fiveTimes(ask: Parameters<typeof lease>[1]): Parameters<typeof lease>[1] {
  return { ...ask, returned: Array.from({ length: 5 }, () => ask.returned).flat() };
}
