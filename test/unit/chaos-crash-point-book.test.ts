import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { armingText, CrashPointBook, readCrashLine } from "../../src/chaos/routers/crash-point-book.js";
import { endedAgoMs } from "../../src/chaos/routers/router-slot.js";
import { seededRandom } from "../../src/demo/seeded-random.js";

const passingsOfALife = (): number => 100;
const book = (): CrashPointBook =>
  new CrashPointBook({ usual: ["a", "b"], seldom: ["c"], passingsOfALife }, seededRandom(1));
const names = (from: CrashPointBook, count: number): readonly (string | undefined)[] =>
  Array.from({ length: count }, () => from.next()?.point);

describe("the book of crash points", () => {
  test("arms the usual ones first, in turn, and the seldom ones when those were tried in vain", () => {
    expect(names(book(), 8)).toEqual(["a", "b", "a", "b", "a", "b", "a", "b"].slice(0, 6).concat(["a", "b"]));
    expect(names(book(), 9)).toContain("c");
  });

  test("arms what was not hit before what was", () => {
    const some = book();
    some.hit("a");
    some.hit("b");
    expect(names(some, 3)).toEqual(["c", "c", "c"]);
    some.hit("c");
    expect(new Set(names(some, 4))).toEqual(new Set(["a", "b"]));
  });

  test("ends with the first passing where a later one was not reached", () => {
    const some = new CrashPointBook({ usual: ["a"], seldom: [], passingsOfALife }, () => 0.999);
    expect([1, 2, 3].map(() => some.next()?.passing)).toEqual([3, 1, 1]);
    some.hit("a");
    expect([1, 2, 3, 4].map(() => some.next()?.passing)).toEqual([25, 6, 1, 1]);
  });

  test("never waits for a passing that no life comes to", () => {
    const points = {
      usual: ["once", "twice"],
      seldom: [],
      passingsOfALife: (point: string) => (point === "once" ? 1 : 2),
    };
    const some = new CrashPointBook(points, () => 0.999);
    expect([some.next(), some.next()]).toEqual([
      { point: "once", passing: 1 },
      { point: "twice", passing: 2 },
    ]);
    for (const point of points.usual) some.hit(point);
    expect([some.next()?.passing, some.next()?.passing]).toEqual([1, 2]);
  });

  test("misses only usual ones, until they are hit", () => {
    const some = book();
    expect(some.missed).toEqual(["a", "b"]);
    some.hit("b");
    expect([some.missed, some.usualHit, some.hits]).toEqual([["a"], 1, { a: 0, b: 1, c: 0 }]);
  });

  test("has nothing to arm without points", () => {
    expect(new CrashPointBook({ usual: [], seldom: [], passingsOfALife }, seededRandom(1)).next()).toBeNull();
  });

  test("writes what the gateway reads", () => {
    expect(armingText({ point: "relay.after_ack", passing: 1 })).toBe("relay.after_ack");
    expect(armingText({ point: "relay.after_ack", passing: 3 })).toBe("relay.after_ack:3");
  });
});

describe("a victim's last write", () => {
  test("is believed only of the process that died", () => {
    const folder = mkdtempSync(join(tmpdir(), "chaos-book-"));
    const file = join(folder, "crashes.jsonl");
    writeFileSync(
      file,
      '{"crashPoint":"intake.read","passing":4,"pid":11,"atMs":1}\nnot json\n{"crashPoint":"call.kept","passing":1,"pid":12,"atMs":2}\n',
    );
    expect(readCrashLine(file, 12)).toEqual({ point: "call.kept", passing: 1, pid: 12, atMs: 2 });
    expect(readCrashLine(file, 11)).toEqual({ point: "intake.read", passing: 4, pid: 11, atMs: 1 });
    expect(readCrashLine(file, 13)).toBeNull();
    expect(readCrashLine(join(folder, "none"), 12)).toBeNull();
    rmSync(folder, { recursive: true });
  });
});

test("a router ended at its last write, however late its end is heard of; one whose clock was jumped, or that wrote nothing, a moment ago", () => {
  expect(endedAgoMs(10_180, 10_000)).toBe(181);
  const moment = endedAgoMs(10_000, null);
  expect(moment).toBeLessThan(1000);
  for (const jumpedMs of [7_200_000, -7_200_000]) expect(endedAgoMs(10_180, 10_000 + jumpedMs)).toBe(moment);
});
