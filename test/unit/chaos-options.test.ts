import { describe, expect, test } from "@jest/globals";
import { ChaosUsageError, parseChaosOptions } from "../../src/chaos/chaos-options.js";

describe("the options of chaos", () => {
  test("have defaults for a short run", () => {
    expect(parseChaosOptions([])).toEqual({
      jobs: 3000,
      minutes: 2,
      seed: 1,
      doubt: "retry",
      brokers: 3,
      kills: null,
      clocksRequired: false,
      json: false,
      keep: false,
      reportFolder: "chaos-report",
    });
  });

  test("are taken as they are given", () => {
    const text =
      "--jobs 60000 --minutes 20 --seed 7 --doubt fail --brokers 1 --kills 60 --require-clocks --report out --json --keep";
    expect(parseChaosOptions(text.split(" "))).toEqual({
      jobs: 60_000,
      minutes: 20,
      seed: 7,
      doubt: "fail",
      brokers: 1,
      kills: 60,
      clocksRequired: true,
      json: true,
      keep: true,
      reportFolder: "out",
    });
  });

  test.each([
    ["--jobs 0", "--jobs"],
    ["--jobs x", "--jobs"],
    ["--minutes 0.1", "--minutes"],
    ["--minutes 601", "--minutes"],
    ["--minutes 1e3", "--minutes"],
    ["--seed -1", "seed"],
    ["--doubt maybe", "--doubt"],
    ["--brokers 2", "--brokers"],
    ["--kills 0", "--kills"],
    ["--speed 3", "--speed"],
    ["extra", "extra"],
  ])("refuse %s and name it", (text, named) => {
    expect(() => parseChaosOptions(text.split(" "))).toThrow(ChaosUsageError);
    expect(() => parseChaosOptions(text.split(" "))).toThrow(named);
  });
});
