/** No minute holds more than its limit, what is allowed is used, and nothing waits for ever: over random limits, demand and trouble. */
import { beforeAll, describe, expect, test } from "@jest/globals";
import type { BucketRules } from "../../src/domain/limit/bucket.js";
import { LimitBucket } from "../../src/domain/limit/bucket.js";
import { lease } from "../../src/domain/limit/lease.js";
import { randomScene, type SceneKind } from "../support/limit-scene.js";
import { runLimitWorld, type LimitParts, type LimitRun } from "../support/limit-world.js";

const SEEDS = Number(process.env["SLUICE_SEEDS"] ?? 30);
const FIRST = Number(process.env["SLUICE_FIRST_SEED"] ?? 1);
/** A mistake that no world of its kind shows by then would not be seen at all. */
const PLANTED_SEEDS = 120;

/** What the worlds have to hold together, a seed, for the test to be about it. */
const AT_LEAST: Readonly<Record<string, number>> = {
  calls: 300,
  embeddings: 30,
  free: 30,
  "given back": 5,
  "never fits": 0.2,
  flush: 0.3,
  lost: 0.3,
  back: 0.3,
  "clock set back": 0.1,
  "provider says less": 0.05,
  "refusals judged": 0.05,
  "rows left at the end of demand": 100,
};

describe(`rate limits, seeds ${String(FIRST)} to ${String(FIRST + SEEDS - 1)}`, () => {
  const runs: LimitRun[] = [];

  beforeAll(async () => {
    // Serial: they take turns on one processor anyway.
    for (let seed = FIRST; seed < FIRST + SEEDS; seed += 1) runs.push(await runLimitWorld(seed));
  }, 1_800_000);

  test("no minute holds more than a limit, what is allowed is used, a 429 counts, and nothing waits for ever", () => {
    const wrong = runs
      .filter(({ faults }) => faults.length > 0)
      .map(({ seed, kind, faults }) => ({ seed, kind, fault: faults[0] }));
    expect(wrong).toEqual([]);
  });

  test("and the worlds hold enough of everything", () => {
    for (const [what, least] of Object.entries(AT_LEAST)) {
      const count = runs.reduce((sum, { seen }) => sum + (seen[what] ?? 0), 0);
      expect([what, count >= least * SEEDS]).toEqual([what, true]);
    }
  });
});

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

test.each<[string, SceneKind, Partial<LimitParts>, RegExp]>([
  ["a window is five seconds short", "steady", { bucket: ShortWindow }, MORE],
  ["only the first limit is asked", "steady", { lease: (kept, ...more) => lease(kept.slice(0, 1), ...more) }, MORE],
  ["a refusal takes of the limits that allow", "steady", { lease: takesOfSome }, UNUSED],
  ["those that save keep each other out", "large", { lease: savesAnywhere }, /still wait/],
  [
    "each router has limits of its own",
    "steady",
    {
      seen: (store) => ({
        close: () => store.close(),
        lease: (ask) => {
          const rules = ask.scope.rules.map((rule) => ({ ...rule, key: `${ask.asker} ${rule.key}` }));
          return store.lease({ ...ask, scope: { ...ask.scope, rules } });
        },
      }),
    },
    MORE,
  ],
  ["each router takes the whole without Redis", "alone", { routers: () => 1 }, MORE],
  ["each router takes the whole while Redis is away", "trouble", { routers: () => 1 }, MORE],
  [
    "what comes back comes back five times",
    "steady",
    { lease: (kept, ask, ...more) => lease(kept, fiveTimes(ask), ...more) },
    MORE,
  ],
  [
    "tokens count by half",
    "steady",
    { takenFor: (call) => ({ ...call, tokens: Math.max(11, Math.ceil(call.tokens / 2)) }) },
    MORE,
  ],
  ["all jobs are taken for free ones", "steady", { takenFor: (call) => ({ ...call, tier: "free" }) }, UNUSED],
  ["a 429 is not heard", "refused", { hears: false }, /in the ten seconds after a refusal/],
  ["a 429 is never forgiven", "refused", { bucket: NeverForgives }, /a minute after a refusal/],
  ["what the provider says is not believed", "learned", { bucket: BelievesNobody }, /the provider said less/],
])(
  "the test sees when %s",
  async (_mistake, kind, mistake, fault) => {
    let found: string | undefined;
    for (let seed = 1; seed <= PLANTED_SEEDS && found === undefined; seed += 1) {
      if (randomScene(seed).kind !== kind) continue;
      const { faults } = await runLimitWorld(seed, mistake); // serial: most are seen in the first world
      found = faults.find((one) => fault.test(one));
    }
    expect(found).toMatch(fault);
  },
  900_000,
);

function fiveTimes(ask: Parameters<typeof lease>[1]): Parameters<typeof lease>[1] {
  return { ...ask, returned: Array.from({ length: 5 }, () => ask.returned).flat() };
}
