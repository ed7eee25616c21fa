import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { tellHistory } from "../../src/chaos/checkers/tell-history.js";
import type { Canary } from "../../src/chaos/evidence/evidence.js";
import { readBill } from "../../src/chaos/evidence/read-bill.js";
import { searchEntries, searchFile, searchText } from "../../src/chaos/evidence/search-sinks.js";
import { sampleProcess } from "../../src/chaos/evidence/take-samples.js";
import { goodEvidence, START_MS } from "./chaos-evidence-fixture.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-evidence-"));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

test("a job's history has every source in order of time, with the seed and the faults near it", () => {
  const lines = tellHistory(goodEvidence(), "acme", "doubtful").split("\n");
  expect(lines[0]).toContain("job doubtful of acme, seed 17");
  const moments = lines.slice(1);
  expect([...moments].sort((a, b) => (a.slice(0, 24) < b.slice(0, 24) ? -1 : 1))).toEqual(moments);
  const told = moments.map((line) => line.replace(/^\S+ {2}(\S+) +/, "$1 ").replace(/\d{4}-\d\d-\d\dT\S+Z/g, "TIME"));
  expect(told).toEqual([
    "publisher record 4 (job): jobs/0@4",
    "ledger attempts 505: new to sending, session 1",
    "ledger job 204, generation 0, execution 204, from jobs:0:4; in the end succeeded, deadline TIME",
    "ledger attempt 1 (505) at main/m: begun as a call by session 1",
    "fault router_kill of router-1, SIGKILL, 1 calls in the air, until TIME",
    "topic events/0@0: attempt.in_doubt: attempt 1 may have been billed",
    "ledger attempts 505: sending to in_doubt, session 1",
    "ledger attempt 1 (505) at main/m: its doubt was settled",
    "ledger attempts 506: new to sending, session 2",
    "ledger attempts 505: in_doubt to settled, session 1",
    "ledger attempt 2 (506) at main/m: begun as a call by session 2",
    "bill a call, request req 505, attempt 0fa0-fp0: 700 nano-dollars",
    "bill a call, request req 506, attempt 0fa0-fq0: 700 nano-dollars",
    "ledger execution 204 (auto) ended succeeded after 2 attempts",
    "ledger attempt 2 (506) at main/m: answered, succeeded, 700 nano-dollars",
    "ledger attempts 506: sending to answered, session 2",
    "topic costs/0@4: charge, in_doubt, unknown, at most 1000 nano-dollars for attempt 0fa0-fp0",
    "topic results/0@5: result of generation 0: succeeded, call",
    "topic costs/0@5: adjustment, waste, 700 nano-dollars for attempt 0fa0-fp0",
    "topic costs/0@6: charge, charged, 700 nano-dollars for attempt 0fa0-fq0",
    "ledger attempt 1 (505) at main/m: failed, in_doubt, 700 nano-dollars",
    "ledger attempts 505: settled to failed, session 1",
  ]);
});

test("of a job that nobody knows it says so", () => {
  expect(tellHistory(goodEvidence(), "acme", "nobody")).toContain("no source knows it");
});

const CANARIES: readonly Canary[] = [
  { name: "a prompt", text: "canary-of-acme", kind: "tenant", tenant: "acme" },
  { name: "a key", text: "sk-canary", kind: "secret", tenant: null },
];

test("a canary is found in a file wherever the pieces that it is read in end, and counted once", async () => {
  const file = join(folder, "router.log");
  // The stream gives 64 KiB at once: the first lies over the end of a piece, the second directly behind it.
  const before = "x".repeat(64 * 1024 - 5);
  await writeFile(file, `${before}canary-of-acmecanary-of-acme and ${"y".repeat(100_000)}sk-canary`);
  const { bytes, hits, kind } = await searchFile("log", file, CANARIES);
  expect(kind).toBe("log");
  expect(bytes).toBe(before.length + 28 + 5 + 100_000 + 9);
  expect(hits).toEqual([
    { canary: "a prompt", count: 2, tenant: null, where: file },
    { canary: "a key", count: 1, tenant: null, where: file },
  ]);
});

test("text and entries are searched, keys as well as values", () => {
  expect(searchText("metrics", "router-1", "# nothing\n", CANARIES)).toEqual({
    kind: "metrics",
    name: "router-1",
    bytes: 10,
    hits: [],
  });
  const entries: [string, Buffer][] = [
    ["limits:sk-canary", Buffer.from("1")],
    ["cache:1", Buffer.from("so canary-of-acme it is")],
  ];
  expect(searchEntries("redis", "redis", entries, CANARIES).hits.map(({ where }) => where)).toEqual([
    "redis limits:sk-canary",
    "redis cache:1",
  ]);
});

test("a bill is read line by line, and one that can't be read is an error with its line", async () => {
  const file = join(folder, "bill.jsonl");
  await writeFile(
    file,
    '{"requestId":"r1","attempt":"a","nanoUsd":"7","at":"2026-01-05T12:00:00.000Z","mode":"direct"}\n',
  );
  expect(await readBill(file)).toMatchObject([{ requestId: "r1", nanoUsd: 7n, atMs: START_MS }]);
  await writeFile(file, '{"nanoUsd":"7"}\n\n{"nanoUsd":0.5}\n');
  await expect(readBill(file)).rejects.toThrow("line 3: expected a row of a bill");
});

test("a process that is there has memory and descriptors, one that is gone has none", async () => {
  const moment = { atMs: 1, phase: "running" } as const;
  const own = await sampleProcess({ router: "me", pid: process.pid }, moment);
  expect(own?.rssBytes).toBeGreaterThan(10_000_000);
  expect(own?.descriptors).toBeGreaterThan(2);
  expect(await sampleProcess({ router: "nobody", pid: 2 ** 22 + 1 }, moment)).toBeNull();
});
