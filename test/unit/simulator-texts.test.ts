/** What the simulator puts together by hand because it is on every call's way must be what the slow ways give. */
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { isoSecond, isoTime } from "../../src/simulator/engine/iso-time.js";
import { quoted } from "../../src/simulator/engine/quoted.js";
import { goDuration } from "../../src/simulator/openai/provider.js";

describe("a text as JSON", () => {
  test("is what JSON.stringify writes, whatever is in it", () => {
    const anything = fc.oneof(fc.string(), fc.string({ unit: "binary" }), fc.string({ unit: "grapheme" }));
    fc.assert(
      fc.property(anything, (text) => {
        expect(quoted(text)).toBe(JSON.stringify(text));
      }),
    );
  });

  test.each(['"', "\\", "\n", "\u007f", "\ud800", "é", "a/b", "~ !"])("keeps %j", (text) => {
    expect(JSON.parse(quoted(`x${text}y`))).toBe(`x${text}y`);
  });
});

describe("a time", () => {
  test("is what Date writes, in any order of days", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_102_444_800_000 }), (ms) => {
        const iso = new Date(ms).toISOString();
        expect(isoTime(ms)).toBe(iso);
        expect(isoSecond(ms)).toBe(`${iso.slice(0, 19)}Z`);
      }),
    );
  });

  test("changes its day at midnight and not before", () => {
    expect(isoTime(Date.UTC(2026, 11, 31, 23, 59, 59, 999))).toBe("2026-12-31T23:59:59.999Z");
    expect(isoSecond(Date.UTC(2027, 0, 1))).toBe("2027-01-01T00:00:00Z");
  });
});

test.each([
  [0, "0ms"],
  [999, "999ms"],
  [1000, "1s"],
  [1500, "1.5s"],
  [59_998, "59.998s"],
  [60_000, "1m0s"],
  [360_007, "6m0.007s"],
  [3_600_000, "1h0m0s"],
  [7_384_250, "2h3m4.25s"],
])("a span of %i ms is written %s", (ms, expected) => {
  expect(goDuration(ms)).toBe(expected);
});
