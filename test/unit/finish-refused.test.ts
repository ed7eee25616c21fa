import { beforeEach, describe, expect, test } from "@jest/globals";
import { NO_JOURNAL } from "../../src/ports/journal.js";
import type { FinishedCall, FinishGroup, FinishOutcome } from "../../src/ports/ledger.js";
import { FinishStage } from "../../src/pipeline/finish/finish-stage.js";
import { MemoryDatabase } from "../support/simulation/memory-database.js";
import { MemoryLedger } from "../support/simulation/memory-ledger.js";
import { RENDER, START_MS } from "../support/simulation/fixture.js";
import { logInto, metricsInto } from "../support/work.js";
import { answerTo, failureOf, LedgerBench, type Held } from "../contract/ledger-bench.js";

class Away extends Error {}

let bench: LedgerBench;
beforeEach(async () => {
  const nowMs = (): number => START_MS;
  const ledger = new MemoryLedger(new MemoryDatabase(nowMs), { step: () => Promise.resolve(), breaks: () => "no" });
  bench = await LedgerBench.start({ ledger, nowMs, close: () => Promise.resolve() });
});

const start = (jobId: string): Promise<Held> => bench.start({ jobId, tenant: "catalogue", prompt: `why ${jobId}` });

/** The stage on a ledger that refuses what `refuse` gives an error for. */
async function write(calls: readonly FinishedCall[], refuse: (call: FinishedCall) => Error | null) {
  const told = { groups: [] as number[][], closed: [] as number[], slept: [] as number[], ended: [] as string[] };
  const lines: string[] = [];
  const counted = new Map<string, number>();
  const stage = new FinishStage({
    ledger: {
      finish: (group: FinishGroup): Promise<FinishOutcome> => {
        told.groups.push(group.calls.map(({ attempt }) => attempt.no));
        const error = group.calls.map(refuse).find((found) => found !== null);
        return error === undefined ? bench.ledger.finish(group, RENDER) : Promise.reject(error);
      },
    },
    session: bench.session,
    render: RENDER,
    numbers: { close: (no) => told.closed.push(no) },
    journal: NO_JOURNAL,
    clock: {
      nowMs: () => START_MS,
      monotonicMs: () => 0,
      sleep: (ms) => {
        told.slept.push(ms);
        return Promise.resolve();
      },
    },
    random: { next: () => 0.5 },
    log: logInto(lines),
    metrics: metricsInto(counted),
    groupSizeMax: 100,
    groupWaitMs: 0,
    writesAtOnce: 2,
    mendable: (error) => error instanceof Away,
    publish: () => undefined,
    woken: () => undefined,
    givenUp: () => false,
    graceMs: () => 30_000,
    endSession: (reason) => told.ended.push(reason),
  });
  for (const call of calls) stage.add(call);
  stage.close();
  await stage.run();
  return { ...told, lines, counted };
}

describe("a call whose row the ledger refuses", () => {
  test("is written as a doubt with nothing that the provider sent, and its number is closed", async () => {
    const held = [await start("a"), await start("b"), await start("c")];
    const calls = held.map((one) => bench.ended(one, answerTo(one.wish.prompt)));
    const bad = held[1]!.intent.no;
    const seen: FinishedCall[] = [];
    const told = await write(calls, (call) => {
      if (call.attempt.no === bad) seen.push(call);
      return call.attempt.no === bad && call.requestId !== null ? new Error("refused") : null;
    });
    expect(seen.at(-1)).toMatchObject({
      outcome: "in_doubt",
      requestId: null,
      modelVersion: null,
      nanoUsd: null,
      usage: { inputTokens: null, outputTokens: null },
      verdict: { kind: "doubt", settleAtMs: START_MS + 30_000 },
    });
    expect([...told.closed].sort((a, b) => a - b)).toEqual(held.map(({ intent }) => intent.no));
    expect(told.lines).toEqual(["error finish.refused"]);
    expect(told.counted.get("sluice_refused_outcomes_total alpha")).toBe(1);
    expect(told.counted.get("sluice_in_doubt_total alpha")).toBe(1);
    expect([told.ended, told.counted.get("sluice_jobs_ended_total succeeded")]).toEqual([[], 2]);
  });

  test("is so whatever it came to: a failure too", async () => {
    const held = await start("a");
    const told = await write([bench.ended(held, failureOf("refused", "answered", 400))], (call) =>
      call.outcome === "refused" ? new Error("refused") : null,
    );
    expect(told.closed).toEqual([held.intent.no]);
    const seen: unknown[] = [];
    await bench.claim((waiting) => {
      seen.push([waiting.state, waiting.doubtful?.no]);
      return { kind: "wait", runAtMs: START_MS, waitsFor: "doubt" };
    });
    expect(seen).toEqual([["in_doubt", held.intent.no]]);
  });

  test("ends the session after three tries when not even the doubt is taken; the recovery finds its attempt", async () => {
    const held = [await start("a"), await start("b")];
    const calls = held.map((one) => bench.ended(one, answerTo(one.wish.prompt)));
    const bad = held[0]!.intent.no;
    const told = await write(calls, (call) => (call.attempt.no === bad ? new Error("refused") : null));
    expect(told.closed).toEqual([held[1]!.intent.no]);
    // Both, each half, then three times the doubt; the other half after that.
    expect(told.groups).toEqual([
      held.map(({ intent }) => intent.no),
      [bad],
      [bad],
      [bad],
      [bad],
      [held[1]!.intent.no],
    ]);
    expect(told.slept).toEqual([100, 200]);
    expect(told.ended).toEqual(["the outcome of a call can't be written"]);
    expect(told.counted.get("sluice_unwritten_attempts_total alpha")).toBe(1);
    await bench.ledger.endSession(bench.session);
    expect(await bench.ledger.recoverDeadSessions(bench.session, 60_000, () => 0, RENDER)).toBe(1);
  });

  test("waits for a ledger that is away meanwhile, without a try less", async () => {
    const held = await start("a");
    let away = 4;
    const told = await write([bench.ended(held, answerTo("why a"))], (call) => {
      if (call.requestId !== null) return new Error("refused");
      return away-- > 0 ? new Away("gone") : null;
    });
    expect([told.closed, told.ended]).toEqual([[held.intent.no], []]);
  });
});
