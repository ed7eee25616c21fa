import { expect, test } from "@jest/globals";
import type { Renderer } from "../../src/domain/result/outgoing.js";
import { DispatchStage } from "../../src/pipeline/dispatch/dispatch-stage.js";
import type { OutboxGroup } from "../../src/ports/ledger.js";
import { MemoryDatabase } from "../support/simulation/memory-database.js";
import { MemoryLedger } from "../support/simulation/memory-ledger.js";
import { RENDER, START_MS } from "../support/simulation/fixture.js";
import { logInto, metricsInto } from "../support/work.js";
import { LedgerBench, resultsIn } from "../contract/ledger-bench.js";
import { dispatchParts } from "./dispatch-fixture.js";

test("an execution whose jobs can't be ended is put off for a minute; the others of its claim go on", async () => {
  let nowMs = START_MS;
  const ledger = new MemoryLedger(new MemoryDatabase(() => nowMs), {
    step: () => Promise.resolve(),
    breaks: () => "no",
  });
  const bench = await LedgerBench.start({ ledger, nowMs: () => nowMs, close: () => Promise.resolve() });
  const wish = (jobId: string) => ({ jobId, tenant: "catalogue", prompt: `why ${jobId}` });
  await bench.accept([
    await bench.job(wish("b"), false),
    await bench.job({ ...wish("a"), ttlMs: 30_000 }, false),
    await bench.job(wish("c"), false),
  ]);
  nowMs += 31_000;
  const state = { broken: true };
  const render: Renderer = {
    ...RENDER,
    end: (job, end) => {
      if (job.jobId === "a" && state.broken) throw new Error("this end can't be rendered");
      return RENDER.end(job, end);
    },
  };
  const started: string[] = [];
  const published: OutboxGroup[] = [];
  const lines: string[] = [];
  const counted = new Map<string, number>();
  const claims: string[] = [];
  const stage = new DispatchStage({
    ...dispatchParts(bench),
    ledger: {
      claim: (request, decide, given) => {
        claims.push(`${request.pick} ${String(request.limit)}`);
        return ledger.claim(request, decide, given);
      },
      rescue: (look, decide, given) => ledger.rescue(look, decide, given),
      setAside: (request, untilMs) => ledger.setAside(request, untilMs),
    },
    render,
    clock: {
      nowMs: () => nowMs,
      monotonicMs: () => nowMs,
      sleep: async (ms) => {
        nowMs += ms;
        await new Promise((resolve) => setImmediate(resolve));
        if (nowMs > START_MS + 61_000) state.broken = false;
        if (nowMs > START_MS + 120_000) stage.stop();
      },
    },
    log: logInto(lines),
    metrics: metricsInto(counted),
    start: (work) => started.push(work.bodyText.includes("why b") ? "b" : "c"),
    publish: (groups) => published.push(...groups),
  });
  await stage.run();
  expect(claims.slice(0, 3)).toEqual(["expire 5", "expire 2", "expire 1"]);
  expect(started.sort()).toEqual(["b", "c"]);
  expect(counted.get("sluice_executions_set_aside_total")).toBe(1);
  expect(lines.filter((line) => line === "error dispatch.set_aside")).toHaveLength(1);
  expect(resultsIn(published)).toMatchObject([{ jobId: "a", status: "expired", code: "DEADLINE_EXCEEDED" }]);
});
