import { expect, test } from "@jest/globals";
import { DispatchStage } from "../../src/pipeline/dispatch/dispatch-stage.js";
import type { OutboxGroup } from "../../src/ports/ledger.js";
import { MemoryDatabase } from "../support/simulation/memory-database.js";
import { MemoryLedger } from "../support/simulation/memory-ledger.js";
import { START_MS } from "../support/simulation/fixture.js";
import { failureOf, LedgerBench, resultsIn } from "../contract/ledger-bench.js";
import { dispatchParts } from "./dispatch-fixture.js";

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
    ...dispatchParts(bench),
    clock: {
      nowMs: () => nowMs,
      monotonicMs: () => nowMs,
      sleep: () => {
        stage.stop();
        return Promise.resolve();
      },
    },
    publish: (groups) => published.push(...groups),
  });
  await stage.run();
  expect(resultsIn(published)).toMatchObject([{ jobId: "b", status: "expired" }]);
  expect([...database.ready.committed.values()]).toMatchObject([{ runAtMs, waitsFor: "retry_after" }]);
});
