import { describe, expect, test } from "@jest/globals";
import { isTimeZone, windowAt, type BudgetWindow } from "../../src/domain/budget/budget-window.js";

const HOUR_MS = 3_600_000;

describe("a window", () => {
  test.each([
    ["month", "UTC", "2026-11-26T12:00:00Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"],
    ["month", "UTC", "2026-12-31T23:59:59.999Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"],
    ["month", "UTC", "2028-02-29T00:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"],
    ["month", "UTC", "2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z"],
    ["day", "UTC", "2026-11-26T00:00:00Z", "2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z"],
    ["day", "UTC", "2026-11-25T23:59:59.999Z", "2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z"],
    ["hour", "UTC", "2026-11-26T12:34:56.789Z", "2026-11-26T12:00:00Z", "2026-11-26T13:00:00Z"],
    ["day", "Asia/Tokyo", "2026-11-26T16:00:00Z", "2026-11-26T15:00:00Z", "2026-11-27T15:00:00Z"],
    ["month", "America/New_York", "2026-12-01T04:59:59Z", "2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z"],
    ["hour", "Asia/Kolkata", "2026-11-26T12:34:00Z", "2026-11-26T12:30:00Z", "2026-11-26T13:30:00Z"],
    ["hour", "Asia/Kathmandu", "2026-11-26T12:14:59Z", "2026-11-26T11:15:00Z", "2026-11-26T12:15:00Z"],
  ] as const)("%s in %s at %s", (window, zone, at, since, until) => {
    expect(shown(window, zone, at)).toEqual([Date.parse(since), Date.parse(until)]);
  });

  test.each([
    // Clocks go forward at 01:00 UTC on 2026-03-29 and back at 01:00 UTC on 2026-10-25.
    ["has 23 hours where clocks go forward", "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", 23],
    ["has 25 hours where they go back", "Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", 25],
    [
      "has 25 hours also in the hour that comes twice",
      "Europe/Berlin",
      "2026-10-25T01:30:00Z",
      "2026-10-24T22:00:00Z",
      25,
    ],
    // Clocks go forward at midnight: the day of 2026-03-29 begins at 01:00.
    [
      "begins at one o'clock where midnight is left out",
      "Asia/Beirut",
      "2026-03-29T12:00:00Z",
      "2026-03-28T22:00:00Z",
      23,
    ],
    [
      "has 23.5 hours where they go half an hour",
      "Australia/Lord_Howe",
      "2026-10-04T06:00:00Z",
      "2026-10-03T13:30:00Z",
      23.5,
    ],
  ])("of a day %s", (_name, zone, at, since, hours) => {
    const sinceMs = Date.parse(since);
    expect(shown("day", zone, at)).toEqual([sinceMs, sinceMs + hours * HOUR_MS]);
  });

  test("of a month has an hour less where clocks go forward", () => {
    const [since = 0, until = 0] = shown("month", "Europe/Berlin", "2026-03-15T00:00:00Z");
    expect((until ?? 0) - (since ?? 0)).toBe((31 * 24 - 1) * HOUR_MS);
  });

  test("of an hour has sixty minutes also where it comes twice", () => {
    expect(shown("hour", "Europe/Berlin", "2026-10-25T00:30:00Z")).toEqual([
      Date.parse("2026-10-25T00:00:00Z"),
      Date.parse("2026-10-25T01:00:00Z"),
    ]);
    expect(shown("hour", "Europe/Berlin", "2026-10-25T01:30:00Z")).toEqual([
      Date.parse("2026-10-25T01:00:00Z"),
      Date.parse("2026-10-25T02:00:00Z"),
    ]);
  });

  test("of all time never ends", () => {
    expect(windowAt("total", "Europe/Berlin", Date.parse("2026-10-25T01:30:00Z"))).toEqual({
      sinceMs: 0,
      untilMs: null,
    });
  });

  test.each(["day", "month"] as const)("of a %s follows the one before, over some years of any zone", (window) => {
    for (const zone of [
      "Europe/Berlin",
      "America/New_York",
      "Australia/Lord_Howe",
      "Asia/Beirut",
      "Africa/Cairo",
      "UTC",
    ]) {
      let atMs = Date.parse("2025-12-20T10:00:00Z");
      const endMs = Date.parse("2027-12-20T10:00:00Z");
      while (atMs < endMs) {
        const { sinceMs, untilMs } = windowAt(window, zone, atMs);
        const last = (untilMs ?? 0) - 1;
        expect([zone, sinceMs <= atMs && atMs <= last]).toEqual([zone, true]);
        expect(windowAt(window, zone, sinceMs)).toEqual({ sinceMs, untilMs });
        expect(windowAt(window, zone, last)).toEqual({ sinceMs, untilMs });
        atMs = (untilMs ?? endMs) + (window === "day" ? 9 * 24 * HOUR_MS : 0);
      }
    }
  });
});

test("a zone that nobody knows is told", () => {
  expect(isTimeZone("Europe/Berlin")).toBe(true);
  expect(isTimeZone("Europe/Atlantis")).toBe(false);
});

function shown(window: BudgetWindow, zone: string, at: string): readonly (number | null)[] {
  const { sinceMs, untilMs } = windowAt(window, zone, Date.parse(at));
  return [sinceMs, untilMs];
}
