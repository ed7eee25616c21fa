import { describe, expect, test } from "@jest/globals";
import type { OutcomeFacts } from "../../src/domain/health/blame.js";
import { HealthWatch } from "../../src/pipeline/dispatch/health-watch.js";
import { RouteHealth } from "../../src/pipeline/dispatch/route-health.js";
import type { OutboxGroup } from "../../src/ports/ledger.js";
import { eventsIn } from "../contract/ledger-bench.js";
import { RENDER, START_MS } from "../support/simulation/fixture.js";
import { MemoryDatabase } from "../support/simulation/memory-database.js";
import { MemoryLedger } from "../support/simulation/memory-ledger.js";
import { logInto, metricsInto } from "../support/work.js";
import { HEALTH_SETTINGS } from "./health-fixture.js";

const TRIAL_MS = 10_000;
const DOWN: OutcomeFacts = { outcome: "overloaded", sent: "answered", httpStatus: 503 };
const WELL: OutcomeFacts = { outcome: "succeeded", sent: "answered", httpStatus: 200 };
const NO_KEY: OutcomeFacts = { outcome: "auth_failed", sent: "answered", httpStatus: 401 };
const NO_SUCH_MODEL: OutcomeFacts = { outcome: "auth_failed", sent: "answered", httpStatus: 404 };

interface Time {
  ms: number;
}

async function routerOn(database: MemoryDatabase, time: Time, published: OutboxGroup[], name: string) {
  const ledger = new MemoryLedger(database, { step: () => Promise.resolve(), breaks: () => "no" });
  const session = await ledger.openSession(name);
  const clock = { nowMs: () => time.ms, monotonicMs: () => time.ms, sleep: () => Promise.resolve() };
  const health: RouteHealth = new RouteHealth({
    settings: HEALTH_SETTINGS,
    clock,
    random: { next: () => 0 },
    changed: (watched) => {
      watch.changed(watched);
    },
    wanted: () => undefined,
  });
  const watch: HealthWatch = new HealthWatch(health, {
    ...{ store: ledger, session, render: RENDER, clock, lookEveryMs: 1000, trialMs: () => TRIAL_MS },
    log: logInto([]),
    metrics: metricsInto(new Map()),
    publish: (groups) => published.push(...groups),
    mayStart: () => true,
  });
  const call = (outcome: OutcomeFacts, model = "m", account = "a"): boolean => {
    if (health.waitUntilMs(account, model, time.ms) !== null) return false;
    health.taken(account, model, time.ms);
    health.ended({ account, model, startedAtMs: time.ms }, outcome, 5);
    return true;
  };
  const stateOf = (model = "m", account = "a") => health.health(account, model, time.ms).state;
  return { health, watch, call, stateOf, die: () => ledger.endSession(session) };
}
type Router = Awaited<ReturnType<typeof routerOn>>;

/** So many routers on one ledger, whose time the test moves. Nothing looks by itself. */
async function routers(count: number) {
  const time: Time = { ms: START_MS };
  const published: OutboxGroup[] = [];
  const database = new MemoryDatabase(() => time.ms);
  const all: Router[] = [];
  for (let no = 0; no < count; no += 1) all.push(await routerOn(database, time, published, `router-${String(no)}`));
  const look = async (): Promise<void> => {
    for (const { watch } of all) await watch.look();
  };
  const eventKinds = () => eventsIn(published).map(({ kind }) => kind);
  return { all, time, look, eventKinds };
}
const fail = ({ call }: Router, times: number, model = "m"): void => {
  for (let done = 0; done < times; done += 1) call(DOWN, model);
};

describe("what one router finds", () => {
  test("counts there at once, and for the others with their next look; it is told once", async () => {
    const { all, look, eventKinds } = await routers(3);
    const [one, two] = all as [Router, Router];
    fail(one, 3);
    expect([one.stateOf(), two.stateOf()]).toEqual(["open", "closed"]);
    await look();
    expect(all.map(({ stateOf }) => stateOf())).toEqual(["open", "open", "open"]);
    fail(two, 3);
    await look();
    expect(eventKinds()).toEqual(["breaker.opened"]);
  });

  test("found by two at once is told once", async () => {
    const { all, look, eventKinds } = await routers(2);
    all.forEach((router) => {
      fail(router, 3);
    });
    await look();
    await look();
    expect(eventKinds()).toEqual(["breaker.opened"]);
  });

  test("is closed again for all by one trial, told once", async () => {
    const { all, time, look, eventKinds } = await routers(3);
    fail(all[0]!, 3);
    await look();
    time.ms += 1001;
    all.forEach(({ stateOf }) => stateOf()); // somebody wants to call
    await look();
    const called = all.map(({ call }) => call(WELL));
    expect(called.filter(Boolean)).toHaveLength(1);
    await look();
    await look();
    expect(all.map(({ stateOf }) => stateOf())).not.toContain("open");
    expect(eventKinds()).toEqual(["breaker.opened", "breaker.closed"]);
  });
});

test("another router makes the trial when the one that had it has died", async () => {
  const { all, time, look } = await routers(2);
  const [one, two] = all as [Router, Router];
  fail(one, 3);
  await look();
  time.ms += 1001;
  one.stateOf(); // it wants to call
  await look();
  expect([one.stateOf(), two.stateOf(), two.call(WELL)]).toEqual(["half_open", "open", false]);
  await one.die();
  await two.watch.look();
  two.stateOf(); // it wants to call
  await two.watch.look();
  expect(two.call(WELL)).toBe(true);
});

describe("an hour's outage", () => {
  test.each([
    [1, 1],
    [4, 1],
    [3, 5],
  ])("costs %d routers with %d models a few trials altogether", async (count, models) => {
    const { all, time, look } = await routers(count);
    const names = Array.from({ length: models }, (_unused, at) => `m${String(at)}`);
    let calls = 0;
    for (let second = 0; second < 3600; second += 1) {
      for (const { call } of all) for (const name of names) if (call(DOWN, name)) calls += 1;
      time.ms += 1000;
      await look();
    }
    // 1 s doubled up to 60 s is 7 trials in the first two minutes, then one a minute; before that each router finds out by itself.
    const found = count * (3 + models * 2);
    expect(calls).toBeLessThanOrEqual(7 + 60 + found);
    expect(calls).toBeGreaterThan(40);
  });
});

describe("a refused key", () => {
  test("keeps all models of the account from being called, after one call", async () => {
    const { all, look } = await routers(2);
    const [one, two] = all as [Router, Router];
    one.call(NO_KEY, "m1");
    await look();
    expect([one.stateOf("m2"), two.stateOf("m3"), two.stateOf("m", "b")]).toEqual(["open", "open", "closed"]);
    expect(two.health.health("a", "m3", START_MS).untilMs).toBe(START_MS + 20_000);
  });

  test("is nothing that an invented model's name could look like", async () => {
    const { all } = await routers(1);
    const [one] = all as [Router];
    for (let no = 0; no < 50; no += 1) one.call(NO_SUCH_MODEL, `invented-${String(no)}`);
    expect(one.stateOf("m")).toBe("closed");
  });
});

describe("a trial", () => {
  const onTrial = async () => {
    const made = await routers(1);
    const [one] = made.all as [Router];
    fail(one, 3);
    await made.look();
    made.time.ms += 1001;
    one.stateOf();
    await made.look();
    return { ...made, one };
  };

  test("that was not sent is free again, and of no other call", async () => {
    const { one, time } = await onTrial();
    one.health.taken("a", "m", time.ms);
    expect(one.stateOf()).toBe("open");
    one.health.notSent({ account: "a", model: "m", startedAtMs: time.ms - 1 });
    expect(one.stateOf()).toBe("open");
    one.health.notSent({ account: "a", model: "m", startedAtMs: time.ms });
    expect(one.stateOf()).toBe("half_open");
  });

  test("whose router says nothing more is made again once its lease is over", async () => {
    const { one, time, look } = await onTrial();
    one.health.taken("a", "m", time.ms);
    time.ms += TRIAL_MS - 2;
    await look();
    expect(one.stateOf()).toBe("open");
    time.ms += 10;
    one.stateOf();
    await look();
    expect(one.stateOf()).toBe("half_open");
  });

  test("that is answered lets calls begin slowly", async () => {
    const { one, time } = await onTrial();
    expect(one.call(WELL)).toBe(true);
    let begun = 0;
    for (let asked = 0; asked < 1000; asked += 1) if (one.call(WELL)) begun += 1;
    expect(begun).toBeLessThanOrEqual(2);
    time.ms += 6000;
    begun = 0;
    for (let asked = 0; asked < 1000; asked += 1) if (one.call(WELL)) begun += 1;
    expect(begun).toBe(1000);
  });

  test("of an account closes the model by which it was made, too", async () => {
    const { all, time, look } = await routers(1);
    const [one] = all as [Router];
    fail(one, 3, "m1");
    fail(one, 2, "m2");
    await look();
    expect(one.stateOf("m3")).toBe("open"); // two models and no answer: the account
    time.ms += 1001;
    one.stateOf("m1");
    await look();
    expect(one.call(WELL, "m1")).toBe(true);
    expect([one.stateOf("m1"), one.stateOf("m2"), one.stateOf("m3")]).not.toContain("open");
  });
});

describe("a degraded route", () => {
  test("has its turn again for one call after a cool-down, and is well with its answer", async () => {
    const { all, time } = await routers(1);
    const [one] = all as [Router];
    fail(one, 2);
    expect(one.stateOf()).toBe("degraded");
    time.ms += 1000;
    expect(one.stateOf()).toBe("half_open");
    one.health.taken("a", "m", time.ms);
    expect(one.stateOf()).toBe("degraded");
    one.health.ended({ account: "a", model: "m", startedAtMs: time.ms }, WELL, 5);
    expect(one.stateOf()).toBe("closed");
  });
});

describe("statistics", () => {
  test("are of the last calls of a model, and null while there are few", async () => {
    const { all, time } = await routers(1);
    const [one] = all as [Router];
    expect(one.health.statistics("a", "m", time.ms)).toBeNull();
    for (let no = 1; no <= 250; no += 1) one.health.ended({ account: "a", model: "m", startedAtMs: time.ms }, WELL, no);
    time.ms += 1000;
    expect(one.health.statistics("a", "m", time.ms)).toEqual({ failureRate: 0, p50Ms: 200, p95Ms: 245, calls: 100 });
    expect(one.health.statistics("a", "other", time.ms)).toBeNull();
    expect(one.health.statistics("a", "m", time.ms + 700_000)).toBeNull();
  });
});
