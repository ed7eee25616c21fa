/** What a benchmark asks PostgreSQL before its figures may count. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { durabilityOf, requireDurable } from "../../src/bench/durability.js";
import { ledgerCounts, requireAllDistinct } from "../../src/bench/ledger-counts.js";
import { OperatorFixture } from "./operator-fixture.js";

let fixture: OperatorFixture;
beforeAll(async () => {
  fixture = await OperatorFixture.open({});
});
afterAll(async () => {
  await fixture.close();
});

const ON = { fsync: "on", synchronousCommit: "on", fullPageWrites: "on" };

test("the servers that benchmarks start keep what they have committed, and one that may not is refused by name", async () => {
  expect(await durabilityOf(fixture.url)).toEqual(ON);
  const [row] = await fixture.rows("SELECT current_database() AS name");
  await fixture.rows(`ALTER DATABASE ${String(row?.["name"])} SET synchronous_commit = off`);
  await expect(durabilityOf(fixture.url)).rejects.toThrow("found synchronous_commit = off; set it to on");
});

test("a server without fsync or full page writes is refused", () => {
  expect(() => {
    requireDurable(ON);
  }).not.toThrow();
  expect(() => {
    requireDurable({ ...ON, fsync: "off", fullPageWrites: "off" });
  }).toThrow("found fsync = off, full_page_writes = off");
});

test("jobs that all differ have as many executions and requests; two that are alike share one, and are told", async () => {
  await fixture.accept({ jobId: "a" }, { jobId: "b" }, { jobId: "c" });
  const counts = await ledgerCounts(fixture.url);
  expect(counts).toEqual({ jobs: 3, executions: 3, requestKeys: 3 });
  requireAllDistinct(counts, 3);
  const body = { model: "cheap", messages: [{ role: "user", content: "a" }] };
  await fixture.accept({ jobId: "again", body });
  const alike = await ledgerCounts(fixture.url);
  expect(() => {
    requireAllDistinct(alike, 4);
  }).toThrow("expected 4 jobs that all differ in the ledger, found executions 3, requestKeys 3");
});
