import { describe, expect, test } from "@jest/globals";
import { untilSettled } from "../../src/adapters/kafka/until-settled.js";

function slept(): { readonly waits: number[]; readonly clock: Parameters<typeof untilSettled>[0] } {
  const waits: number[] = [];
  const clock = {
    nowMs: () => 0,
    monotonicMs: () => 0,
    sleep: (ms: number) => {
      waits.push(ms);
      return Promise.resolve();
    },
  };
  return { waits, clock };
}

function failing(times: number, error: Error): () => Promise<string> {
  let left = times;
  return () => (left-- > 0 ? Promise.reject(error) : Promise.resolve("there"));
}

const leaderless = Object.assign(new Error("not the leader"), { retriable: true });

describe("A question to a cluster that is still settling", () => {
  test("is asked again until there is an answer", async () => {
    const { waits, clock } = slept();
    expect(await untilSettled(clock, failing(3, leaderless))).toBe("there");
    expect(waits).toEqual([250, 250, 250]);
  });
  test("is asked again when the library gave up for a reason that passes", async () => {
    const { clock } = slept();
    const gaveUp = Object.assign(new Error("retries exceeded"), { retriable: false, cause: leaderless });
    expect(await untilSettled(clock, failing(1, gaveUp))).toBe("there");
  });
  test("is asked twenty times at most", async () => {
    const { waits, clock } = slept();
    await expect(untilSettled(clock, failing(100, leaderless))).rejects.toBe(leaderless);
    expect(waits.length).toBe(19);
  });
  test("is asked once when waiting can't mend it", async () => {
    const { waits, clock } = slept();
    await expect(untilSettled(clock, failing(1, new Error("no such topic")))).rejects.toThrow("no such topic");
    expect(waits).toEqual([]);
  });
});
