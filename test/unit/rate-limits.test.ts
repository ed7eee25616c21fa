/** The limits of a router: calls take from grants that are here, or wait by their limit's name. */
import { describe, expect, test } from "@jest/globals";
import { sessionNo } from "../../src/domain/ids.js";
import type { DayUse } from "../../src/domain/limit/day-use.js";
import type { Lease } from "../../src/domain/limit/lease.js";
import type { AccountLimits } from "../../src/domain/limit/limits.js";
import type { CountPrompt } from "../../src/domain/route/score-routes.js";
import { readRequestFacts } from "../../src/domain/route/request-facts.js";
import { CallGate } from "../../src/pipeline/dispatch/call-gate.js";
import { LocalLimitStore } from "../../src/pipeline/dispatch/local-limit-store.js";
import { RateLimits } from "../../src/pipeline/dispatch/rate-limits.js";
import { Slots } from "../../src/pipeline/dispatch/slots.js";
import type { LimitStore, StoreAsk } from "../../src/ports/limit-store.js";
import { workOf, logInto, metricsInto } from "../support/work.js";

const NONE = { requestsPerMinute: null, tokensPerMinute: null, requestsPerDay: null, tokensPerDay: null };
const BODY = '{"model":"m","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}';
const FACTS = readRequestFacts("openai.chat", BODY, BODY.length, null);
const { route: ROUTE, intent: CALL } = workOf(1, 0);

interface World {
  readonly limits: RateLimits;
  readonly gate: CallGate;
  readonly asks: StoreAsk[];
  wakes: number;
  away: boolean;
  routers: number;
  queues: { limit: string; rows: number }[];
  dayUse: (accounts: readonly string[], apart: boolean) => Promise<readonly DayUse[]>;
  /** Lets time pass, and the loop run. */
  pass(ms: number): Promise<void>;
  take(behind?: boolean): string;
  stop(): Promise<void>;
}

function world(
  stated: Partial<AccountLimits>,
  own: { shared?: boolean; concurrency?: number; routers?: number; countPrompt?: CountPrompt } = {},
): World {
  let nowMs = 0;
  const sleepers: { untilMs: number; wake: () => void }[] = [];
  const asks: StoreAsk[] = [];
  const clock = {
    nowMs: () => 1_000_000 + nowMs,
    monotonicMs: () => nowMs,
    sleep: (ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve) => {
        if (signal?.aborted === true) {
          resolve();
          return;
        }
        sleepers.push({ untilMs: nowMs + ms, wake: resolve });
        signal?.addEventListener("abort", () => {
          resolve();
        });
      }),
  };
  const store = new LocalLimitStore(() => nowMs);
  const shared: LimitStore = {
    lease: (ask): Promise<Lease> => {
      if (it.away) return Promise.reject(new Error("away"));
      asks.push(ask);
      if (ask.anew) store.beginAnew();
      return store.lease(ask);
    },
    close: () => Promise.resolve(),
  };
  const slots = new Slots(new Map([[ROUTE.account, own.concurrency ?? 8]]), () => 0);
  const limits = new RateLimits({
    accounts: new Map([[ROUTE.account, { ...NONE, models: {}, ...stated }]]),
    session: sessionNo(1),
    shared: own.shared === false ? null : shared,
    ledger: {
      liveRouters: () => Promise.resolve(it.routers),
      limitQueues: () => Promise.resolve(it.queues),
      dayUse: (accounts, apart) => it.dayUse(accounts, apart),
    },
    slots,
    ...(own.countPrompt === undefined ? {} : { countPrompt: own.countPrompt }),
    granted: () => {
      it.wakes += 1;
    },
    clock,
    log: logInto([]),
    metrics: metricsInto(new Map()),
  });
  const gate = new CallGate(slots, undefined, limits);
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  };
  const it: World = {
    ...{ limits, gate, asks, wakes: 0, away: false, routers: own.routers ?? 1, queues: [] },
    dayUse: () => Promise.resolve([]),
    async pass(ms) {
      for (const endMs = nowMs + ms; nowMs < endMs; nowMs += 10) {
        for (const due of sleepers.filter(({ untilMs }) => untilMs <= nowMs)) {
          sleepers.splice(sleepers.indexOf(due), 1);
          due.wake();
        }
        await settle();
      }
    },
    take: (behind = false) => gate.take({ route: ROUTE, facts: FACTS, nowMs: clock.nowMs(), behind }).kind,
    async stop() {
      limits.stop();
      for (const { wake } of sleepers) wake();
      await running;
    },
  };
  const running = limits.run();
  return it;
}

/** @returns how many calls could start once a limit that is new to its store, which begins without any, grants some. */
async function granting(it: World): Promise<number> {
  for (let look = 0; look < 30; look += 1) {
    if ((it.gate.startable(5) ?? 0) > 0) break;
    await it.pass(50); // serial: a look after the other
  }
  return it.gate.startable(5) ?? 0;
}

/** A call that has the only grant of a second. */
async function withGrant() {
  const it = world({ requestsPerMinute: 60 });
  await it.pass(100);
  it.take();
  await it.pass(2200);
  const taken = it.gate.take({ route: ROUTE, facts: FACTS, nowMs: 5 });
  if (taken.kind !== "go" || taken.pass === undefined) throw new Error("expected a grant");
  return { it, pass: taken.pass };
}

describe("a call of an account with limits", () => {
  test("waits by the limit's name until there is a grant, which is asked for at once", async () => {
    const it = world({ requestsPerMinute: 6050 });
    await it.pass(100);
    const refused = it.gate.take({ route: ROUTE, facts: FACTS, nowMs: 5 });
    expect(refused).toMatchObject({ kind: "wait", waitsFor: "rate_limit", limit: ROUTE.account });
    await it.pass(1100); // the limit is new to its store, which begins without any
    expect(it.take()).toBe("go");
    await it.stop();
  });

  test("takes no grant when there is no place, and waits for one by the same name", async () => {
    const it = world({ requestsPerMinute: 6050 }, { concurrency: 1 });
    await it.pass(100);
    it.take();
    await it.pass(1100);
    expect(it.take()).toBe("go");
    it.take();
    await it.pass(60);
    expect(it.gate.take({ route: ROUTE, facts: FACTS, nowMs: 5 })).toMatchObject({
      kind: "wait",
      limit: ROUTE.account,
    });
    await it.stop();
  });

  test("ends when it counts more tokens than its limit ever allows", async () => {
    const it = world({ tokensPerMinute: 100 });
    expect(it.gate.take({ route: ROUTE, facts: FACTS, nowMs: 5 })).toMatchObject({
      kind: "never",
      because: expect.stringContaining(`${ROUTE.account} tokens/minute allows 100`) as unknown,
    });
    await it.stop();
  });

  test("goes behind the rows that wait for the same limit", async () => {
    const it = world({ requestsPerMinute: 6050 });
    it.queues = [{ limit: ROUTE.account, rows: 3 }];
    await it.pass(1400);
    expect(it.take(true)).toBe("wait");
    expect(it.take(false)).toBe("go");
    await it.stop();
  });

  test("gives a grant back with its place", async () => {
    const { it, pass } = await withGrant();
    expect(it.take()).toBe("wait");
    it.gate.giveBack(CALL, pass);
    expect(it.take()).toBe("go");
    await it.stop();
  });
});

test("a grant that comes back after its time goes back to the store, and to no other call", async () => {
  const { it, pass } = await withGrant();
  const { atMs } = pass.grant;
  await it.pass(300); // a grant holds for 250 ms
  it.gate.giveBack(CALL, pass);
  expect(it.take()).toBe("wait");
  await it.pass(100);
  expect(it.asks.flatMap(({ returned }) => returned)).toEqual([{ calls: 1, tokens: 0, atMs }]);
  await it.stop();
});

describe("calls that are about to come in", () => {
  test("could start as far as there are places and grants, and are asked for at once", async () => {
    const it = world({ requestsPerMinute: 60_500 });
    await it.pass(100);
    expect(it.gate.startable(5, true)).toBe(0); // no grants yet
    await it.pass(20);
    expect(it.asks.map(({ calls }) => calls)).toEqual([5]);
    const granted = await granting(it);
    expect(granted).toBeGreaterThan(0);
    expect(granted).toBeLessThanOrEqual(8);
    for (let call = 0; call < granted; call += 1) expect(it.take(true)).toBe("go");
    await it.stop();
  });

  test("are held up no longer than a moment by rows that wait for grants, and not at all by a limit that is used up", async () => {
    const it = world({ requestsPerMinute: 60 });
    await it.pass(100);
    expect(it.gate.startable(5, true)).toBe(0);
    await it.pass(20);
    expect(it.gate.startable(5)).toBeNull();
    expect(it.gate.isUsedUp(ROUTE.account)).toBe(true);
    await it.pass(1100);
    expect(it.gate.isUsedUp(ROUTE.account)).toBe(false);
    it.gate.queued(ROUTE.account, 1);
    expect(it.gate.startable(5)).toBe(0);
    await it.stop();
  });

  test("have no place at an account that is full, whatever its limit grants", async () => {
    const it = world({ requestsPerMinute: 60_500 }, { concurrency: 1 });
    expect(await granting(it)).toBe(1);
    expect(it.take(true)).toBe("go");
    expect(it.gate.startable(5)).toBe(0);
    await it.stop();
  });

  test("bring no more rounds about by looking again while none grants anything", async () => {
    const it = world({ requestsPerMinute: 60_500 }, { shared: false, routers: 2 });
    await it.pass(100); // a new router grants itself nothing at first
    let looks = 0;
    const look = (): void => {
      looks += 1;
      it.gate.startable(5);
      void it.gate.changed().then(look);
    };
    look();
    await it.pass(400);
    expect(looks).toBeGreaterThan(5);
    expect(looks).toBeLessThan(25);
    await it.stop();
  });

  test("are told when there are grants", async () => {
    const it = world({ requestsPerMinute: 60_500 });
    await it.pass(100);
    it.gate.startable(5, true);
    let told = 0;
    void it.gate.changed().then(() => {
      told += 1;
    });
    await it.pass(20);
    expect(told).toBe(1);
    await it.stop();
  });
});

describe("rows that wait for a limit", () => {
  test("have room for as many as there are grants and places", async () => {
    const it = world({ requestsPerMinute: 60_500 }, { concurrency: 5 });
    expect(it.gate.room()).toEqual(new Map());
    it.queues = [{ limit: ROUTE.account, rows: 100 }];
    await it.pass(1200);
    expect(it.gate.room()).toEqual(new Map([[ROUTE.account, 5]]));
    await it.stop();
  });

  test("wake who waits for grants", async () => {
    const it = world({ requestsPerMinute: 6050 });
    await it.pass(100);
    it.take();
    await it.pass(2000); // its store has some to give from then on
    expect(it.wakes).toBe(0);
    it.gate.queued(ROUTE.account, 1);
    await it.pass(50);
    expect(it.wakes).toBe(1);
    await it.stop();
  });

  test("wake who takes them at once while there are grants", async () => {
    const it = world({ requestsPerMinute: 60_500 });
    await granting(it);
    expect(it.wakes).toBe(0);
    it.gate.queued(ROUTE.account, 1);
    expect(it.wakes).toBe(1);
    await it.stop();
  });
});

describe("grants", () => {
  test("that nobody used in time go back with the next ask", async () => {
    const it = world({ requestsPerMinute: 6050 });
    await it.pass(100);
    it.take();
    await it.pass(20);
    expect(it.asks).toHaveLength(1);
    await it.pass(1500);
    expect(it.take()).toBe("wait");
    await it.pass(20);
    expect(it.asks.at(-1)?.returned).toMatchObject([{ calls: 1 }]);
    await it.stop();
  });

  test("are not asked for while nobody wants any", async () => {
    const it = world({ requestsPerMinute: 6050 });
    await it.pass(5000);
    expect(it.asks).toEqual([]);
    await it.stop();
  });

  test("are tightened after a refusal by the provider, once", async () => {
    const it = world({ requestsPerMinute: 6050 });
    await it.pass(100);
    it.take();
    it.limits.refused(ROUTE);
    await it.pass(20);
    it.take();
    await it.pass(400);
    it.take();
    await it.pass(20);
    const tightened = it.asks.map(({ notes }) => [...notes.values()].some(({ tighten }) => tighten));
    expect(tightened[0]).toBe(true);
    expect(tightened.slice(1)).not.toContain(true);
    await it.stop();
  });

  test("follow what the provider says of its limit", async () => {
    const it = world({ requestsPerMinute: 6050 });
    await it.pass(100);
    it.take();
    it.limits.learn(ROUTE.account, ROUTE.model, [{ unit: "requests", window: "minute", limit: 50 }]);
    await it.pass(20);
    expect([...(it.asks.at(-1)?.notes.values() ?? [])]).toMatchObject([{ learned: 50 }]);
    await it.stop();
  });
});

describe("a limit by the day", () => {
  const use = { account: ROUTE.account, model: ROUTE.model, hoursAgo: 1, calls: 95, tokens: 0, unknown: 0 };

  /** Calls that go at once. */
  function now(it: World): number {
    let count = 0;
    while (it.take() === "go") {
      count += 1;
      it.gate.giveBack(CALL);
    }
    return count;
  }

  async function within(it: World, ms: number): Promise<number> {
    let count = 0;
    for (let passed = 0; passed < ms; passed += 20) {
      count += now(it);
      await it.pass(20);
    }
    return count;
  }

  test.each([true, false])("begins with what the ledger knows of the day (shared: %s)", async (shared) => {
    const it = world({ requestsPerDay: 100 }, { shared });
    let asked = 0;
    it.dayUse = () => {
      asked += 1;
      return Promise.resolve([use]);
    };
    await it.pass(100);
    expect(await within(it, 3000)).toBe(5);
    expect(asked).toBe(1);
    await it.stop();
  });

  test("is asked about again, but seldom, while the ledger does not say", async () => {
    const it = world({ requestsPerDay: 100 });
    let asked = 0;
    it.dayUse = () => {
      asked += 1;
      return asked === 1 ? Promise.reject(new Error("away")) : Promise.resolve([use]);
    };
    await it.pass(100);
    expect(await within(it, 9000)).toBe(0);
    expect(asked).toBe(1);
    expect(await within(it, 3000)).toBe(5);
    expect(asked).toBe(2);
    await it.stop();
  });

  test("asks nothing of the ledger where there is none", async () => {
    const it = world({ requestsPerMinute: 6050 });
    it.dayUse = () => Promise.reject(new Error("nobody should ask"));
    await it.pass(100);
    expect(await within(it, 2000)).toBeGreaterThan(0);
    await it.stop();
  });
});

describe("limits by endpoint and tier", () => {
  const PER_MINUTE = { ...NONE, requestsPerMinute: 6050 };
  const embedding = readRequestFacts("openai.embeddings", '{"model":"m","input":"hi"}', 26, null);
  const named = (kind: string): string => `${ROUTE.account} ${kind}`;

  test("hold the calls of their kind, which wait by its name, and no others", async () => {
    const it = world({ tiers: { free: PER_MINUTE }, endpoints: { embeddings: PER_MINUTE } });
    await it.pass(100);
    const wish = { route: ROUTE, facts: FACTS, nowMs: 5 };
    expect(it.gate.take(wish)).toEqual({ kind: "go" });
    expect(it.gate.take({ ...wish, tier: "premium" })).toEqual({ kind: "go" });
    expect(it.gate.take({ ...wish, tier: "free" })).toMatchObject({ kind: "wait", limit: named("free") });
    expect(it.gate.take({ ...wish, facts: embedding })).toMatchObject({ kind: "wait", limit: named("embeddings") });
    expect(it.gate.limitOf({ route: ROUTE, facts: embedding, tier: "free" })).toBe(named("embeddings free"));
    expect(it.gate.limitOf({ route: ROUTE, facts: FACTS })).toBeNull();
    await it.pass(1200);
    it.gate.take({ ...wish, tier: "free" });
    await it.pass(100);
    expect(it.gate.take({ ...wish, tier: "free" }).kind).toBe("go");
    await it.stop();
  });

  test("rows that wait by such a name are taken when there are grants for it", async () => {
    const it = world({ tiers: { free: PER_MINUTE } });
    it.queues = [{ limit: named("free"), rows: 3 }];
    for (let look = 0; look < 50 && it.gate.room().size === 0; look += 1) await it.pass(50); // serial: a look after the other
    expect([...it.gate.room().keys()]).toEqual([named("free")]);
    expect(it.wakes).toBeGreaterThan(0);
    expect(it.limits.mayTakeLine(ROUTE.account, ROUTE.model)).toBe(true); // other tiers have lines too
    const line = { route: ROUTE, facts: FACTS, nowMs: 5 };
    expect(it.limits.takeLine({ ...line, tier: "free" })).toBe(false);
    expect(it.limits.takeLine({ ...line, tier: "standard" })).toBe(true);
    await it.stop();
  });

  test("a refusal by the provider tightens the account's limit once, whichever kind of call asks next", async () => {
    const it = world({ ...PER_MINUTE, tiers: { free: PER_MINUTE } });
    await it.pass(100);
    it.limits.refused(ROUTE);
    for (const tier of ["free", "standard"] as const) it.gate.take({ route: ROUTE, facts: FACTS, tier, nowMs: 5 });
    await it.pass(100);
    const tightened = it.asks.flatMap(({ notes }) => [...notes].filter(([, { tighten }]) => tighten));
    expect(tightened.map(([key]) => key)).toEqual([`${ROUTE.account} requests/minute`]);
    expect(new Set(it.asks.map(({ scope }) => scope.name))).toEqual(new Set([ROUTE.account, named("free")]));
    await it.stop();
  });

  test("of kinds that nobody calls no grant is kept from those that are called", async () => {
    const it = world({ ...PER_MINUTE, tiers: { free: PER_MINUTE, premium: PER_MINUTE } });
    await it.pass(100);
    it.gate.startable(5, true);
    await it.pass(100);
    expect(new Set(it.asks.map(({ scope }) => scope.name)).size).toBe(3); // nobody called yet, so anybody may
    const before = it.asks.length;
    it.take();
    it.gate.startable(5, true);
    await it.pass(100);
    it.gate.startable(5, true);
    await it.pass(100);
    expect(new Set(it.asks.slice(before).map(({ scope }) => scope.name))).toEqual(new Set([ROUTE.account]));
    await it.stop();
  });

  test.each([
    [{ ...PER_MINUTE, requestsPerDay: 100, tiers: { free: PER_MINUTE } }, [false]],
    [{ tiers: { free: { ...NONE, requestsPerDay: 100 } } }, [true]],
  ])("the ledger tells calls apart only where a day's limit goes by it (%j)", async (stated, apart) => {
    const it = world(stated);
    const asked: boolean[] = [];
    it.dayUse = (_, isApart) => {
      asked.push(isApart);
      return Promise.resolve([]);
    };
    await it.pass(100);
    it.gate.take({ route: ROUTE, facts: FACTS, tier: "free", nowMs: 5 });
    await it.pass(200);
    expect(asked).toEqual(apart);
    await it.stop();
  });
});

describe("without the common store", () => {
  /** Calls that go within so long, asking every 10 ms. */
  async function calls(it: World, ms: number): Promise<number> {
    let count = 0;
    for (let passed = 0; passed < ms; passed += 10) {
      while (it.take() === "go") {
        count += 1;
        it.gate.giveBack(CALL);
      }
      await it.pass(10);
    }
    return count;
  }

  test("a router grants itself its share, once the others have heard of it", async () => {
    const it = world({ requestsPerMinute: 6050 }, { shared: false, routers: 2 });
    await it.pass(100);
    expect(await calls(it, 2000)).toBe(0);
    await it.pass(1000);
    const ten = await calls(it, 10_000);
    expect(ten).toBeGreaterThan(440);
    expect(ten).toBeLessThanOrEqual(550);
    await it.stop();
  });

  test("one whose store is back tells it of what went meanwhile, though nobody calls any more", async () => {
    const it = world({ requestsPerMinute: 6050 });
    await calls(it, 3000);
    it.away = true;
    expect(await calls(it, 3000)).toBeGreaterThan(0);
    await it.pass(5000);
    it.away = false;
    it.asks.length = 0;
    await it.pass(1000);
    expect(it.asks.map(({ anew }) => anew)).toEqual([true]);
    await it.stop();
  });

  test("one whose store is lost keeps below its share, and begins anew there when it is back", async () => {
    const it = world({ requestsPerMinute: 6050 }, { routers: 2 });
    await it.pass(3000);
    await calls(it, 2000);
    it.away = true;
    const ten = await calls(it, 10_000);
    expect(ten).toBeGreaterThan(400);
    expect(ten).toBeLessThanOrEqual(0.45 * 1000 + 35);
    it.away = false;
    it.asks.length = 0;
    await calls(it, 1000);
    expect(it.asks[0]?.anew).toBe(true);
    expect(it.asks.slice(1).every(({ anew }) => !anew)).toBe(true);
    await it.stop();
  });

  test("one whose store comes and goes, and never grants anything, lives on its own share", async () => {
    const it = world({ requestsPerMinute: 6050 });
    await it.pass(3000);
    let count = 0;
    for (let turn = 0; turn < 20; turn += 1) {
      it.away = turn % 2 === 0;
      count += await calls(it, 400);
    }
    expect(count).toBeGreaterThan(200);
    expect(count).toBeLessThanOrEqual(0.9 * 800 + 100);
    await it.stop();
  });
});

describe("prompts", () => {
  const counting = () => {
    const counts: string[] = [];
    return {
      counts,
      countPrompt: (_facts: unknown, { model }: { readonly model: string }) => counts.push(model) && 850,
    };
  };

  test("are counted as the estimate has them where tokens are limited", async () => {
    const { counts, countPrompt } = counting();
    const it = world({ tokensPerMinute: 900 }, { countPrompt });
    const taken = it.gate.take({ route: ROUTE, facts: FACTS, nowMs: 5 });
    expect(taken).toMatchObject({ kind: "never", because: expect.stringContaining("counts 950 tokens") as unknown });
    expect(counts).toEqual([ROUTE.model]);
    await it.stop();
  });

  test("are not counted where they are not", async () => {
    const { counts, countPrompt } = counting();
    const it = world({ requestsPerMinute: 6050 }, { countPrompt });
    await it.pass(100);
    it.take();
    await it.pass(1200);
    it.take();
    expect(counts).toEqual([]);
    await it.stop();
  });
});

test("what is left of a limit is told without taking any", async () => {
  const it = world({ requestsPerMinute: 6050, tokensPerMinute: 1000 });
  expect(it.limits.headroom(ROUTE, 100, 0, "chat", "standard")).toEqual({ kind: "go" });
  expect(it.limits.headroom(ROUTE, 1001, 0, "chat", "standard")).toMatchObject({ kind: "never" });
  it.queues = [{ limit: ROUTE.account, rows: 3 }];
  await it.pass(50);
  expect(it.limits.headroom(ROUTE, 100, 0, "chat", "standard")).toMatchObject({ kind: "wait", waitsFor: "rate_limit" });
  await it.stop();
});
