import { expect, test } from "@jest/globals";
import { DispatchStage } from "../../src/pipeline/dispatch/dispatch-stage.js";
import { NumberSource } from "../../src/pipeline/dispatch/number-source.js";
import { Slots } from "../../src/pipeline/dispatch/slots.js";
import type { OutboxGroup } from "../../src/ports/ledger.js";
import { MemoryDatabase } from "../support/simulation/memory-database.js";
import { MemoryLedger } from "../support/simulation/memory-ledger.js";
import { PLAN_ROUTES, RENDER, START_MS } from "../support/simulation/fixture.js";
import { logInto, metricsInto } from "../support/work.js";
import { failureOf, LedgerBench, resultsIn } from "../contract/ledger-bench.js";

test("an execution that comes up for a deadline of one job goes back for the others: due as before, and for the same reason", async () => {
  let nowMs = START_MS;
  const database = new MemoryDatabase(() => nowMs);
  const ledger = new MemoryLedger(database, { step: () => Promise.resolve(), breaks: () => "no" });
  const bench = await LedgerBench.start({ ledger, nowMs: () => nowMs, close: () => Promise.resolve() });
  const wish = { jobId: "a", tenant: "catalogue", prompt: "why" };
  const held = await bench.start(wish);
  await bench.accept([await bench.job({ ...wish, jobId: "b", ttlMs: 30_000 }, true)]);
  const runAtMs = START_MS + 120_000;
  await bench.finish([
    {
      ...bench.ended(held, failureOf("rate_limited", "answered", 429)),
      verdict: { kind: "again", runAtMs, routeIndex: 0, waitsFor: "retry_after" },
    },
  ]);
  nowMs += 31_000;
  const published: OutboxGroup[] = [];
  const stage: DispatchStage = new DispatchStage({
    ledger,
    session: bench.session,
    render: RENDER,
    planRoutes: PLAN_ROUTES,
    numbers: new NumberSource(() => ledger.takeNumbers()),
    slots: new Slots(new Map([["alpha", 8]])),
    clock: {
      nowMs: () => nowMs,
      monotonicMs: () => nowMs,
      sleep: () => {
        stage.stop();
        return Promise.resolve();
      },
    },
    random: { next: () => 0 },
    log: logInto([]),
    metrics: metricsInto(new Map()),
    claimSizeMax: 5,
    idlePollMs: 250,
    retry: { attemptsMax: 5, backoffBaseMs: 1, backoffMaxMs: 1, retryAfterMaxMs: 1000 },
    doubt: () => ({ policy: "retry", retryMaxNanoUsd: 2_000_000n }),
    mendable: () => false,
    mayStart: () => true,
    start: () => undefined,
    publish: (groups) => published.push(...groups),
    fenced: () => undefined,
  });
  await stage.run();
  expect(resultsIn(published)).toMatchObject([{ jobId: "b", status: "expired" }]);
  expect([...database.ready.committed.values()]).toMatchObject([{ runAtMs, waitsFor: "retry_after" }]);
});
