import { describe, expect, test } from "@jest/globals";
import { conductKills } from "../../src/demo/conductor.js";
import type { KillStage } from "../../src/demo/conductor.js";
import type { KillRound, PlannedKill } from "../../src/demo/kill-plan.js";
import type { LedgerState } from "../../src/demo/ledger-look.js";

/** What a simulated run shows at a moment. */
interface Moment {
  readonly openCalls: number;
  readonly openBatches: number;
  readonly session: number;
  readonly recordsRead: number;
  /** The state of batch number 1; null: there is none. */
  readonly batch: string | null;
  readonly nearlySuspects: boolean;
}

/** A router that reads from the start, with nothing to do. */
const IDLE: Moment = { openCalls: 0, openBatches: 0, session: 1, recordsRead: 0, batch: null, nearlySuspects: false };

/**
 * A router and a provider on paper, with a clock that only `sleep` moves. Each look at `at` is told how many kills there were, and when the
 * last was (null: none so far). A pilot is read at once unless `at` says otherwise.
 */
function stageWith(at: (nowMs: number, kills: number, killedMs: number | null) => Partial<Moment>): {
  readonly stage: KillStage;
  readonly log: string[];
} {
  let nowMs = 0;
  let kills = 0;
  let killedMs: number | null = null;
  let pilots = 0;
  const log: string[] = [];
  const say = (line: string): void => void log.push(`${line} ${String(nowMs)}`);
  const moment = (): Moment => ({
    ...IDLE,
    session: kills + 1,
    recordsRead: pilots,
    ...at(nowMs, kills, killedMs),
  });
  const ledger = (): LedgerState => {
    const { session, recordsRead, batch, nearlySuspects } = moment();
    return { session, recordsRead, nearlySuspects, batches: batch === null ? [] : [{ no: 1, state: batch }] };
  };
  const stage: KillStage = {
    nowMs: () => nowMs,
    sleep: (ms) => {
      nowMs += ms;
      return Promise.resolve();
    },
    publish: (phase) => {
      if (phase === "pilot") pilots += 1;
      say(phase);
    },
    openCalls: () => Promise.resolve(moment().openCalls),
    callsInAir: (ms) => {
      log.push(`count ${String(ms)}`);
      return Promise.resolve(moment().openCalls);
    },
    openBatches: () => Promise.resolve(moment().openBatches),
    ledger: () => Promise.resolve(ledger()),
    stopRouter: () => {
      say("stop");
    },
    resumeRouter: () => {
      say("resume");
    },
    killRouter: () => {
      kills += 1;
      killedMs = nowMs;
      say("kill");
      return Promise.resolve();
    },
    startRouter: () => {
      say("start");
    },
    onKill: ({ kills: done }) => {
      log.push(`tally ${String(done)}`);
    },
  };
  return { stage, log };
}

/** When the router was stopped for each kill. */
function killTimes(log: readonly string[]): readonly number[] {
  return log.filter((line) => line.startsWith("stop ")).map((line) => Number(line.slice("stop ".length)));
}

const AT_CALLS: PlannedKill = { aim: "calls", delayMs: 2000, openCallsAtLeast: 5 };
const AT_CREATING: PlannedKill = { aim: "batch", state: "creating", delayMs: 0 };
const ROUND: KillRound = [AT_CALLS];

describe("a kill at a router that reads", () => {
  test("stops the router, counts what is in the air at that moment, kills it and starts the next at once", async () => {
    const { stage, log } = stageWith(() => ({ openCalls: 7 }));
    const tally = await conductKills([ROUND, ROUND], stage);
    expect(tally).toEqual({ kills: 2, killsWithWorkInFlight: 2, callsInAirAtKills: 14, killsByBatchState: {} });
    // Counted are answers of the last 50 ms before the stop, and what passed since the stop.
    expect(log).toEqual([
      ...["pilot 0", "flow 0", "stop 2000", "count 70", "kill 2020", "start 2020", "tally 1", "nothing 2020"],
      ...["pilot 2020", "flow 2020", "stop 4020", "count 70", "kill 4040", "start 4040", "tally 2", "nothing 4040"],
      "rest 4040",
    ]);
  });

  test("comes only after its router has read, and so do the jobs", async () => {
    // The brokers give up the killed one after 6 s.
    const { stage, log } = stageWith((nowMs, kills, killedMs) => ({
      openCalls: 7,
      recordsRead: killedMs !== null && nowMs < killedMs + 6000 ? 1 : 1 + kills + (nowMs > 0 ? 1 : 0),
    }));
    await conductKills([ROUND, ROUND], stage);
    const flows = log.filter((line) => line.startsWith("flow ")).map((line) => Number(line.slice("flow ".length)));
    const [firstMs, secondMs] = killTimes(log);
    expect(flows[1]).toBeGreaterThanOrEqual((firstMs ?? NaN) + 6000);
    expect(flows[1]).toBeLessThan((firstMs ?? NaN) + 6100);
    expect(secondMs).toBe((flows[1] ?? NaN) + 2000);
  });

  test("does not wait for ever for a router that never reads", async () => {
    const { stage, log } = stageWith(() => ({ recordsRead: 0 }));
    expect(await conductKills([ROUND], stage)).toMatchObject({ kills: 1, killsWithWorkInFlight: 0 });
    // 20 s for the reading, 2 s of delay, 3 s for the wished calls and 3 s for any work.
    expect(killTimes(log)[0]).toBe(28_000);
  });

  test("waits for the calls it wants", async () => {
    const { stage, log } = stageWith((nowMs) => ({ openCalls: nowMs < 3000 ? 4 : 5 }));
    await conductKills([ROUND], stage);
    expect(killTimes(log)).toEqual([3000]);
  });

  test("is content with any work after a while, and says truly when there is none at all", async () => {
    const few = stageWith(() => ({ openCalls: 1 }));
    expect(await conductKills([ROUND], few.stage)).toMatchObject({ killsWithWorkInFlight: 1, callsInAirAtKills: 1 });
    expect(killTimes(few.log)).toEqual([5000]);
    const idle = stageWith(() => ({}));
    expect(await conductKills([ROUND], idle.stage)).toMatchObject({ killsWithWorkInFlight: 0, callsInAirAtKills: 0 });
    expect(killTimes(idle.log)).toEqual([8000]);
  });

  test("lets a router go on that began where two others had ended, until it has read further", async () => {
    const { stage, log } = stageWith((nowMs) => ({ openCalls: 7, nearlySuspects: nowMs < 2100 }));
    expect(await conductKills([ROUND], stage)).toMatchObject({ kills: 1, callsInAirAtKills: 7 });
    // Stopped for 20 ms each time, and left alone for 25.
    expect(log.filter((line) => /^(stop|resume|kill)/.test(line))).toEqual([
      ...["stop 2000", "resume 2020", "stop 2045", "resume 2065", "stop 2090", "kill 2110"],
    ]);
  });

  test("kills one that never reads further after a while", async () => {
    const { stage, log } = stageWith(() => ({ openCalls: 7, nearlySuspects: true }));
    expect(await conductKills([ROUND], stage)).toMatchObject({ kills: 1 });
    const [killedMs] = log.flatMap((line) => (line.startsWith("kill ") ? [Number(line.slice("kill ".length))] : []));
    expect(killedMs).toBeGreaterThanOrEqual(12_000);
    expect(killedMs).toBeLessThan(12_100);
  });

  test("never leaves a stopped router behind when the count fails", async () => {
    const { stage, log } = stageWith(() => ({ openCalls: 7 }));
    const failing = { ...stage, callsInAir: () => Promise.reject(new Error("no answer")) };
    await expect(conductKills([ROUND], failing)).rejects.toThrow("no answer");
    expect(log.slice(-2)).toEqual(["stop 2000", "kill 2020"]);
  });
});

describe("a kill at a batch", () => {
  /** The second router opens its session 1200 ms after the kill before; its batch is created from 300 to 340 ms after that. */
  function secondRouter(nowMs: number, kills: number, killedMs: number | null): Partial<Moment> {
    if (kills === 0 || killedMs === null) return { openCalls: 7 };
    const upMs = nowMs - killedMs - 1200;
    if (upMs < 0) return { session: kills, batch: "sealed" };
    return { session: kills + 1, batch: upMs < 300 ? "sealed" : upMs < 340 ? "creating" : "submitted" };
  }

  test("comes in the state that it is aimed at, once the next router is up", async () => {
    const { stage, log } = stageWith(secondRouter);
    const tally = await conductKills([[AT_CALLS, AT_CREATING]], stage);
    const [firstMs = NaN, secondMs = NaN] = killTimes(log);
    expect(secondMs - firstMs).toBeGreaterThanOrEqual(20 + 1500);
    expect(secondMs - firstMs).toBeLessThan(20 + 1500 + 20);
    expect(tally).toEqual({
      kills: 2,
      killsWithWorkInFlight: 1,
      callsInAirAtKills: 7,
      killsByBatchState: { creating: 1 },
    });
  });

  test("waits a little longer where it is told to", async () => {
    const { stage, log } = stageWith(secondRouter);
    await conductKills([[AT_CALLS, { aim: "batch", state: "submitted", delayMs: 400 }]], stage);
    const [firstMs = NaN, secondMs = NaN] = killTimes(log);
    expect(secondMs - firstMs).toBeGreaterThanOrEqual(20 + 1540 + 400);
    expect(secondMs - firstMs).toBeLessThan(20 + 1540 + 400 + 50);
  });

  test("does not take a batch that an earlier kill met in this state for the one it waits for", async () => {
    const { stage, log } = stageWith((_nowMs, kills) =>
      kills === 0 ? { openCalls: 7, batch: "creating" } : { batch: "creating" },
    );
    const tally = await conductKills([[AT_CALLS, AT_CREATING]], stage);
    const [firstMs = NaN, secondMs = NaN] = killTimes(log);
    // After 2 s any work is enough, and a batch in the making is some.
    expect(secondMs - firstMs).toBeGreaterThanOrEqual(20 + 2000);
    expect(tally).toMatchObject({ killsWithWorkInFlight: 1, killsByBatchState: { creating: 2 } });
  });

  test.each([
    ["none that the ledger alone knows of", "uploading", 0, 0],
    ["one that the provider works on", "submitted", 1, 1],
    ["none that has ended at the provider", "ended", 0, 0],
    ["none whose results are read", "ingesting", 0, 0],
  ])("counts as work: %s", async (_what, batch, openBatches, met) => {
    const { stage } = stageWith(() => ({ batch, openBatches }));
    expect(await conductKills([ROUND], stage)).toEqual({
      kills: 1,
      killsWithWorkInFlight: met,
      callsInAirAtKills: 0,
      killsByBatchState: { [batch]: 1 },
    });
  });
});
