import { describe, expect, test } from "@jest/globals";
import { sessionNo } from "../../src/domain/ids.js";
import { SessionKeeper } from "../../src/pipeline/session/session-keeper.js";
import type { Clock } from "../../src/ports/system.js";
import { RENDER } from "../support/simulation/fixture.js";
import { logInto } from "../support/work.js";

const [BEAT_MS, STOP_AFTER_MS, DEAD_AFTER_MS] = [3000, 9000, 15_000];

/** Each sleep takes its time at once; the last one ends the keeper. */
class SteppedClock implements Clock {
  now = 0;
  readonly endMs: number;
  end: () => void = () => undefined;

  constructor(endMs: number) {
    this.endMs = endMs;
  }

  nowMs = (): number => this.now;
  monotonicMs = (): number => this.now;
  async sleep(ms: number): Promise<void> {
    this.now += ms;
    if (this.now > this.endMs) this.end();
    await Promise.resolve();
  }
}

/** @param away from when until when the ledger can't be reached. @returns at what times it was asked to declare others dead. */
async function judgements(untilMs: number, away: readonly (readonly [number, number])[]): Promise<readonly number[]> {
  const clock = new SteppedClock(untilMs);
  const judged: number[] = [];
  const isAway = (): boolean => away.some(([from, to]) => from <= clock.now && clock.now < to);
  const keeper = new SessionKeeper({
    ledger: {
      beat: () => (isAway() ? Promise.reject(new Error("away")) : Promise.resolve(true)),
      recoverDeadSessions: (_session, deadAfterMs) => {
        if (deadAfterMs !== null) judged.push(clock.now);
        return Promise.resolve(0);
      },
    },
    session: sessionNo(1),
    clock,
    log: logInto([]),
    beatMs: BEAT_MS,
    stopAfterMs: STOP_AFTER_MS,
    deadAfterMs: DEAD_AFTER_MS,
    graceMs: () => 0,
    render: RENDER,
    lowMark: () => 0,
    fenced: () => undefined,
  });
  clock.end = () => {
    keeper.stop();
  };
  await keeper.run();
  return judged;
}

describe("a router says who is dead", () => {
  test("once its own beats have been acknowledged for as long as one that lives may be silent", async () => {
    expect(await judgements(15_000, [])).toEqual([9000, 12_000, 15_000]);
  });

  test("not before it, when it comes out of an outage that may have silenced the others too", async () => {
    expect(await judgements(45_000, [[10_000, 29_000]])).toEqual([9000, 39_000, 42_000, 45_000]);
  });

  test("at once, when a beat was lost and the next one came in time", async () => {
    expect(await judgements(21_000, [[10_000, 14_000]])).toEqual([9000, 15_000, 18_000, 21_000]);
  });
});
