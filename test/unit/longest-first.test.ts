import { readdirSync } from "node:fs";
import { expect, test } from "@jest/globals";

interface Order {
  readonly LONGEST: readonly string[];
  readonly default: new () => {
    sort(tests: readonly Test[]): readonly Test[];
    shard(tests: readonly Test[], shard: { readonly shardIndex: number; readonly shardCount: number }): readonly Test[];
  };
}
interface Test {
  readonly path: string;
}

// Plain JavaScript, since Jest reads it before it reads TypeScript.
const script = "../support/longest-first.mjs";
const { LONGEST, default: LongestFirst } = (await import(script)) as Order;

const FILES = readdirSync("test", { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".test.ts"));
const ALL = FILES.map((path) => ({ path: `test/${path}` }));

test("the tests that take longest are files that there are, and begin first", () => {
  const names = new LongestFirst().sort(ALL).map(({ path }) => path.replace(/^test\//, ""));
  expect(names.slice(0, LONGEST.length)).toEqual(LONGEST);
  expect([...names].sort()).toEqual([...FILES].sort());
});

test("shards hold every test once", () => {
  const order = new LongestFirst();
  const shards = [1, 2, 3].flatMap((shardIndex) => order.shard(ALL, { shardIndex, shardCount: 3 }));
  expect(shards.map(({ path }) => path).sort()).toEqual(ALL.map(({ path }) => path).sort());
});
