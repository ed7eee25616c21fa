/** Steps of batches feed the breakers of their account, and an account that is not called gets no batches. */
import { describe, expect, test } from "@jest/globals";
import type { OutcomeFacts } from "../../src/domain/health/blame.js";
import { watchedProvider } from "../../src/pipeline/batch/watched-provider.js";
import { RouteHealth } from "../../src/pipeline/dispatch/route-health.js";
import type { BatchCallFailure, BatchProvider, CreateReply } from "../../src/ports/batch-provider.js";
import { BatchBench } from "../support/batch-bench.js";
import { START_MS } from "../support/simulation/fixture.js";
import { HEALTH_SETTINGS } from "./health-fixture.js";

type Outcome = BatchCallFailure["outcome"];

function failed(
  outcome: Outcome,
  status: number | null,
  sent: BatchCallFailure["sent"] = "answered",
): BatchCallFailure {
  const provider = { status, code: null, requestId: null };
  return { kind: "failed", outcome, sent, message: "it failed", retryAfterMs: null, provider };
}

const NO_KEY = failed("auth_failed", 401);
const BARRED = failed("auth_failed", 403);
const NO_CREDIT = failed("quota_exhausted", 402);
const DOWN = failed("overloaded", 503);
const LATE = failed("timed_out", null, "perhaps");

function healthAt(time: { ms: number }): RouteHealth {
  return new RouteHealth({
    settings: HEALTH_SETTINGS,
    clock: { nowMs: () => time.ms },
    random: { next: () => 0 },
    changed: () => undefined,
    wanted: () => undefined,
  });
}

/** A provider of whose steps only what the test is about is there. */
function stepsOf(replies: Partial<BatchProvider>, health: RouteHealth, time: { ms: number }): BatchProvider {
  // The test calls nothing else of it.
  return watchedProvider({ account: "a", ...replies } as BatchProvider, { health, clock: { nowMs: () => time.ms } });
}

const LIMITS = { timeoutMs: 1000 };
const { signal } = new AbortController();
const FILE = { name: "f", lines: (async function* () {})(), linesBytes: 0 };
const CREATE = { mark: "m", lineFormat: "openai.chat", model: null, input: { way: "file", fileId: "f" } } as const;
const SEND = { ...LIMITS, sendWithinMs: 1000, maySend: () => true };

type Step = (provider: BatchProvider) => Promise<unknown>;
const STEPS: readonly (readonly [string, (failure: BatchCallFailure) => Partial<BatchProvider>, Step])[] = [
  ["an upload", (failure) => ({ upload: () => Promise.resolve(failure) }), (p) => p.upload(FILE, LIMITS, signal)],
  [
    "a creation",
    (failure) => ({ create: () => Promise.resolve({ kind: "unclear", failure }) }),
    (p) => p.create(CREATE, SEND, signal),
  ],
  ["a poll", (failure) => ({ get: () => Promise.resolve(failure) }), (p) => p.get("b", LIMITS, signal)],
  [
    "a download",
    (failure) => ({
      async *results() {
        yield await Promise.resolve({ kind: "broken" as const, failure, cursor: null });
      },
    }),
    async (p) => {
      for await (const item of p.results(
        { batchId: "b", lineFormat: "openai.chat", parts: [], cursor: null },
        LIMITS,
        signal,
      ))
        expect(item.kind).toBe("broken");
    },
  ],
];

/** What calls of a model, and batches, are told after so many such steps. */
async function after(times: number, failure: BatchCallFailure, [, replies, step]: (typeof STEPS)[number]) {
  const time = { ms: START_MS };
  const health = healthAt(time);
  const provider = stepsOf(replies(failure), health, time);
  for (let done = 0; done < times; done += 1) await step(provider); // serial: failures in a row
  return {
    calls: health.waitUntilMs("a", "m", time.ms) === null ? "go" : "wait",
    batches: health.batchWaitUntilMs("a", time.ms) === null ? "go" : "wait",
  };
}

describe.each(STEPS)("%s", (...step) => {
  test.each([
    ["a refused key", NO_KEY],
    ["used up credit", NO_CREDIT],
  ])("that ends with %s opens the whole account at once", async (_what, failure) => {
    expect(await after(1, failure, step)).toEqual({ calls: "wait", batches: "wait" });
  });

  test("that the key may not do stops batches, and calls go on", async () => {
    expect(await after(1, BARRED, step)).toEqual({ calls: "go", batches: "wait" });
  });

  test.each([
    ["is answered by a status of 5xx", DOWN],
    ["is not answered in time", LATE],
  ])("that %s stops batches after the configured failures in a row, and calls go on", async (_what, failure) => {
    expect(await after(2, failure, step)).toEqual({ calls: "go", batches: "go" });
    expect(await after(3, failure, step)).toEqual({ calls: "go", batches: "wait" });
  });

  test.each([
    ["a rate limit", failed("rate_limited", 429)],
    ["what is not there", failed("auth_failed", 404)],
    ["a fault of the request", failed("refused", 400)],
  ])("that ends with %s says nothing against the account", async (_what, failure) => {
    expect(await after(5, failure, step)).toEqual({ calls: "go", batches: "go" });
  });
});

describe("a creation that is refused", () => {
  const refusedWith = (because: "auth_failed" | "bad_line" | "queue_full", status: number): CreateReply => {
    const provider = { status, code: null, requestId: null };
    return { kind: "refused", refusal: { because, message: "no", lines: [], retryAfterMs: null, provider } };
  };

  test.each([
    ["for its key opens the account", refusedWith("auth_failed", 401), "wait"],
    ["for a model that can't be batched does not", refusedWith("auth_failed", 400), "go"],
    ["for a line does not", refusedWith("bad_line", 400), "go"],
    ["for the queue does not", refusedWith("queue_full", 429), "go"],
  ])("%s", async (_what, reply, expected) => {
    const time = { ms: START_MS };
    const health = healthAt(time);
    const provider = stepsOf({ create: () => Promise.resolve(reply) }, health, time);
    for (let done = 0; done < 5; done += 1) await provider.create(CREATE, SEND, signal); // serial
    expect(health.waitUntilMs("a", "m", time.ms) === null ? "go" : "wait").toBe(expected);
  });
});

test("an account whose models fail beside its batches is closed as a whole", async () => {
  const time = { ms: START_MS };
  const health = healthAt(time);
  const provider = stepsOf({ get: () => Promise.resolve(DOWN) }, health, time);
  const down: OutcomeFacts = { outcome: "overloaded", sent: "answered", httpStatus: 503 };
  for (let done = 0; done < 2; done += 1) {
    health.ended({ account: "a", model: "m", startedAtMs: time.ms }, down, 5);
    await provider.get("b", LIMITS, signal); // serial: failures in a row
  }
  expect(health.waitUntilMs("a", "another", time.ms)).not.toBeNull();
});

test("a poll that is answered while the account is not called proves nothing; an upload on trial does", async () => {
  const time = { ms: START_MS };
  const health = healthAt(time);
  const provider = stepsOf(
    {
      get: () => Promise.resolve({ kind: "absent" }),
      upload: () =>
        Promise.resolve({
          kind: "uploaded",
          file: { fileId: "f", name: "f", bytes: 1, createdAtMs: 1, state: "ready" },
        }),
    },
    health,
    time,
  );
  health.ended(
    { account: "a", model: "m", startedAtMs: time.ms },
    { outcome: "auth_failed", sent: "answered", httpStatus: 401 },
    5,
  );
  time.ms += 30_000;
  await provider.get("b", LIMITS, signal);
  expect(health.batchWaitUntilMs("a", time.ms)).not.toBeNull();
  health.step(health.tell("a", null), { kind: "leased", untilMs: time.ms + 10_000 });
  await provider.get("b", LIMITS, signal);
  expect(health.tell("a", null).breaker.state).toBe("half_open");
  health.stepBegins("a", time.ms);
  await provider.upload(FILE, LIMITS, signal);
  expect(health.tell("a", null).breaker.state).toBe("closed");
});

test("what was cut off here says nothing", async () => {
  const time = { ms: START_MS };
  const health = healthAt(time);
  const cut = new AbortController();
  cut.abort();
  const provider = stepsOf({ get: () => Promise.resolve(NO_KEY) }, health, time);
  await provider.get("b", LIMITS, cut.signal);
  expect(health.waitUntilMs("a", "m", time.ms)).toBeNull();
});

describe("while an account is not called", () => {
  const PROMPTS = ["one", "two", "three"];

  test("no batch is made of what waits; when it is called again, one is", async () => {
    let isOpen = true;
    const health = {
      batchWaitUntilMs: (_account: string, nowMs: number) => (isOpen ? nowMs + 500 : null),
      stepBegins: () => undefined,
    };
    const bench = new BatchBench({ health });
    await bench.accept(PROMPTS);
    bench.start();
    await bench.world.run(() => false, START_MS + 20_000);
    expect(bench.batchStates()).toEqual([]);
    isOpen = false;
    expect(await bench.settle()).toBe(true);
    expect(bench.books.batches.size).toBe(1);
  });

  test("one that is sealed waits, and one that the provider has goes on", async () => {
    let isOpen = false;
    const uploads: number[] = [];
    const health = {
      batchWaitUntilMs: (_account: string, nowMs: number) => (isOpen ? nowMs + 500 : null),
      stepBegins: () => {
        uploads.push(bench.world.nowMs);
      },
    };
    const bench: BatchBench = new BatchBench({
      health,
      reach: (point) => {
        if (point === "batch.sealed" && bench.batchStates().length === 2) isOpen = true;
        if (point === "batch.submitted" && bench.batchStates().length === 1) void bench.accept(["four"]);
      },
    });
    await bench.accept(PROMPTS);
    bench.start();
    const isHome = () => PROMPTS.every((prompt) => bench.jobs()[prompt] === "succeeded");
    await bench.world.run(() => isHome() && isOpen, START_MS + 300_000);
    expect({ isOpen, isHome: isHome(), begun: uploads.length }).toEqual({ isOpen: true, isHome: true, begun: 2 });
    expect(bench.batchStates()).toContain("sealed");
    isOpen = false;
    expect(await bench.settle()).toBe(true);
    expect(bench.jobs()["four"]).toBe("succeeded");
  });

  test("a refused key is tried once each cool-down, not with each look, and all is done when it is taken again", async () => {
    const uploads: number[] = [];
    let isRevoked = true;
    const nowMs = () => bench.world.nowMs;
    const health: RouteHealth = new RouteHealth({
      settings: HEALTH_SETTINGS,
      clock: { nowMs },
      random: { next: () => 0 },
      changed: () => undefined,
      // The lease of a trial, as `HealthWatch` gets it from the ledger.
      wanted: () => {
        for (const watched of health.due(nowMs())) health.step(watched, { kind: "leased", untilMs: nowMs() + 10_000 });
      },
    });
    const wrap = (provider: BatchProvider): BatchProvider => {
      const refusing = new Proxy(provider, {
        get: (target, name): unknown => {
          // Bound to itself, since it has private fields.
          const member: unknown = Reflect.get(target, name);
          if (typeof member !== "function") return member;
          return (...given: unknown[]): unknown => {
            if (name === "upload") uploads.push(nowMs() - START_MS);
            return name === "upload" && isRevoked ? Promise.resolve(NO_KEY) : Reflect.apply(member, target, given);
          };
        },
      });
      return watchedProvider(refusing, { health, clock: { nowMs } });
    };
    const bench: BatchBench = new BatchBench({ health, wrap });
    await bench.accept(PROMPTS);
    bench.start();
    await bench.world.run(() => false, START_MS + 110_000);
    // At once, after 20 s, after 40 s more; the next would be a minute later.
    expect(uploads).toHaveLength(3);
    isRevoked = false;
    expect(await bench.settle()).toBe(true);
    expect(PROMPTS.map((prompt) => bench.jobs()[prompt])).toEqual(PROMPTS.map(() => "succeeded"));
  });
});
