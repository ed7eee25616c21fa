import { describe, expect, test } from "@jest/globals";
import { dollars } from "../../src/demo/money-text.js";
import { parseReaderReport } from "../../src/demo/reader-report.js";
import type { ReaderSummary } from "../../src/demo/reader-report.js";
import { brokenPromises, receiptJson, receiptText } from "../../src/demo/receipt.js";
import type { RunFacts } from "../../src/demo/receipt.js";

const SUMMARY: ReaderSummary = {
  ...{
    jobs: 1000,
    results: 1000,
    lost: 0,
    duplicates: 0,
    repeats: 0,
    failed: 0,
    deadLetters: 10,
    malformed: 10,
    billRows: 609,
    expired: 0,
    batches: 0,
  },
  ...{ coalesced: 201, cached: 190, inDoubt: 0, findingCount: 0, findings: [] },
  ...{ costNanoUsd: 23_142_000n, billNanoUsd: 23_142_000n, listNanoUsd: 40_000_000n, inDoubtBilledNanoUsd: 0n },
  ...{ savedBySharingNanoUsd: 9_000_000n, savedByCacheNanoUsd: 7_000_000n, savedByBatchNanoUsd: 0n },
};
const FACTS: RunFacts = {
  ...{
    jobsAsked: 1000,
    mix: "plain",
    distinctRequests: 609,
    calls: 609,
    elapsedMs: 4000,
    killsAsked: 0,
    kills: null,
    timeLimitPassedMs: null,
  },
};
const KILLED: RunFacts = {
  ...FACTS,
  calls: 640,
  killsAsked: 10,
  kills: { kills: 10, killsWithWorkInFlight: 8, callsInAirAtKills: 40, killsByBatchState: {} },
};

function check(summary: Partial<ReaderSummary>, facts: RunFacts, broken: readonly string[]): void {
  expect(brokenPromises({ ...SUMMARY, ...summary }, facts)).toEqual(broken);
}

describe("the receipt's verdict", () => {
  test("holds for a run as promised, with and without kills", () => {
    check({}, FACTS, []);
    check({ inDoubt: 40, billNanoUsd: 24_000_000n, inDoubtBilledNanoUsd: 858_000n }, KILLED, []);
  });

  test.each<[string, Partial<ReaderSummary>, string]>([
    ["a finding of the reader", { findingCount: 1 }, "the reader has 1 findings"],
    ["a lost result", { lost: 1 }, "1 results are lost"],
    ["a duplicate", { duplicates: 2 }, "2 results came again with other bytes"],
    ["a dead letter too few", { deadLetters: 9 }, "9 dead letters, expected 10"],
    ["a bill that is not the ledger", { billNanoUsd: 23_142_001n }, "ledger and bill differ"],
    ["doubt without kills", { inDoubt: 1 }, "1 attempts in doubt, though nothing was killed"],
  ])("names %s", (_what, summary, sentence) => {
    check(summary, FACTS, [sentence]);
  });

  test("names a call too many, jobs that were not published, and answers that came late", () => {
    check({}, { ...FACTS, calls: 610 }, ["610 calls for 609 different requests"]);
    check({ jobs: 999, results: 999 }, FACTS, ["999 of 1000 jobs were published"]);
    check({}, { ...FACTS, timeLimitPassedMs: 80_000 }, ["not all answers came within 80.0 s"]);
  });

  test("with kills, names idle kills and doubt beyond what was in the air", () => {
    const tally = { kills: 10, killsWithWorkInFlight: 7, callsInAirAtKills: 40, killsByBatchState: {} };
    check({ inDoubt: 41 }, { ...KILLED, kills: tally }, [
      "only 7 kills met work in flight, expected 8",
      "41 attempts in doubt, but only 40 calls were in the air at kills",
    ]);
  });
});

describe("the receipt", () => {
  test("for programs is one line with money as text", () => {
    const json = receiptJson(SUMMARY, FACTS, []);
    expect(json).not.toContain("\n");
    expect(JSON.parse(json)).toMatchObject({
      ...{
        jobs: 1000,
        results: 1000,
        lost: 0,
        duplicates: 0,
        deadLetters: 10,
        calls: 609,
        coalesced: 201,
        batches: 0,
        failed: 0,
        repeats: 0,
      },
      ...{
        costNanoUsd: "23142000",
        billNanoUsd: "23142000",
        listNanoUsd: "40000000",
        inDoubt: 0,
        inDoubtBilledNanoUsd: "0",
        jobsPerS: 250,
      },
    });
  });

  test("has the kills only when there were any", () => {
    expect(JSON.parse(receiptJson(SUMMARY, KILLED, []))).toMatchObject({
      kills: 10,
      killsWithWorkInFlight: 8,
      callsInAirAtKills: 40,
    });
    expect(JSON.parse(receiptJson(SUMMARY, FACTS, []))).not.toHaveProperty("kills");
  });

  test("for people says what was saved by which cause, and that ledger and bill agree", () => {
    const text = receiptText(SUMMARY, FACTS, []);
    expect(text).toContain("$0.040000");
    expect(text).toContain("shared $0.009000, cached $0.007000,");
    expect(text).toContain("other $0.000858");
    expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(text).toContain("ledger = bill, 609 rows");
    expect(text).toContain("Every promise held.");
  });

  test("for people never says that everything held when it did not", () => {
    const summary = {
      ...SUMMARY,
      billNanoUsd: 1n,
      findings: ["wrong_cost film-2: attempt a: booked 2, billed 1 nano-dollars"],
    };
    const text = receiptText(summary, FACTS, ["ledger and bill differ"]);
    expect(text).not.toContain("Every promise held");
    expect(text).toContain("wrong_cost film-2");
  });
});

test("money is shown with six decimals, rounded half up", () => {
  expect([0n, 38_000n, 499n, 500n, 1_234_567_890_499n, -1500n].map(dollars)).toEqual([
    "$0.000000",
    "$0.000038",
    "$0.000000",
    "$0.000001",
    "$1234.567890",
    "-$0.000002",
  ]);
});

test("a reader's output without a report is an error, not an empty receipt", () => {
  expect(() => parseReaderReport("")).toThrow("expected a JSON report");
  expect(() => parseReaderReport('{"jobs":3}')).toThrow("expected a number");
});

describe("the receipt of a mixed run", () => {
  const summary: ReaderSummary = { ...SUMMARY, batches: 21, billRows: 640, savedByBatchNanoUsd: 800_000n };
  const facts: RunFacts = { ...FACTS, mix: "mixed", calls: 640 };

  test("has batches, and calls more than different requests", () => {
    expect(brokenPromises(summary, facts)).toEqual([]);
    expect(brokenPromises({ ...summary, batches: 0 }, facts)).toEqual(["no batch is on the bill"]);
  });

  test("splits what was saved", () => {
    expect(JSON.parse(receiptJson(summary, facts, []))).toMatchObject({
      batches: 21,
      expired: 0,
      savings: { coalesced: "9000000", batch: "800000", cache: "7000000" },
    });
    const text = receiptText({ ...summary, failed: 3, expired: 3 }, facts, []);
    expect(text).toContain("batches $0.000800, other $0.000058");
    expect(text).toMatch(/batches +│ +21 │ at half the price/);
    expect(text).toContain("3 of them out of time");
  });
});

test("the receipt says at which states of batches the kills came", () => {
  const kills = {
    ...{ kills: 50, killsWithWorkInFlight: 44, callsInAirAtKills: 60 },
    killsByBatchState: { building: 3, creating: 12, submitted: 30, ingesting: 7 },
  };
  const facts: RunFacts = { ...KILLED, mix: "mixed", killsAsked: 50, kills };
  expect(JSON.parse(receiptJson(SUMMARY, facts, []))).toMatchObject(kills);
  const text = receiptText(SUMMARY, facts, []);
  expect(text).toContain("44 with work in flight, 60 calls in the air");
  expect(text).toContain("at a batch that was building 3, creating 12,");
  expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
});

describe("the receipt of real providers", () => {
  const summary: ReaderSummary = { ...SUMMARY, jobs: 20, results: 20, deadLetters: 0, malformed: 0, billNanoUsd: null };
  const facts: RunFacts = { ...FACTS, jobsAsked: 20, distinctRequests: 17, calls: null };

  test("holds without a bill, which nobody here knows", () => {
    expect(brokenPromises(summary, facts)).toEqual([]);
    expect(JSON.parse(receiptJson(summary, facts, []))).toMatchObject({
      billNanoUsd: null,
      calls: null,
      costNanoUsd: "23142000",
      holds: true,
    });
    const text = receiptText(summary, facts, []);
    expect(text).toMatch(/bill .*unknown .*the provider's invoice is the judge/);
    expect(text).not.toContain("DIFFER");
  });

  test("still names what is lost", () => {
    expect(brokenPromises({ ...summary, lost: 1, results: 19 }, facts)).toEqual([
      "19 results for 20 jobs",
      "1 results are lost",
    ]);
  });
});
