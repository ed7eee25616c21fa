/** Rows H4 to H8, H10, H11 and H13 to H15 of the fault catalogue: what a provider can say of a batch. A file of its own so that it runs beside `rows-batch`. */
import { afterEach, expect, test } from "@jest/globals";
import type { Gateway } from "../support/gateway.js";
import {
  eventKinds,
  idsOf,
  ledgerEqualsBill,
  moneyOf,
  noLineTwice,
  openBatchGateway,
  ownAnswers,
  publishJobs,
  resultsFor,
  struck,
  type BatchGatewayOptions,
} from "../support/gateway-batches.js";

let gateway: Gateway;
afterEach(async () => {
  await gateway.close();
});

async function open(name: string, options: BatchGatewayOptions = {}): Promise<void> {
  gateway = await openBatchGateway(name, options);
  await gateway.startRouter();
}

test("[H4] a batch without an output file tells each job its own error", async () => {
  await open("h4", { faults: [{ fault: { kind: "batch_lines_fail", share: 1, status: 400 } }] });
  const jobIds = idsOf("h4", 4);
  await publishJobs(gateway, jobIds);
  for (const result of await resultsFor(gateway, jobIds))
    expect(result).toMatchObject({ status: "failed", error: { code: "PROVIDER_REFUSED" } });
  expect(await gateway.simulator.bill()).toEqual([]);
  await ledgerEqualsBill(gateway);
});

test("[H4] a row without a real status is no success", async () => {
  await open("h4b", { faults: [{ match: { nth: 1 }, fault: { kind: "batch_lines_fail", share: 1, status: 0 } }] });
  const jobIds = idsOf("h4b", 4);
  await publishJobs(gateway, jobIds);
  const results = await ownAnswers(gateway, jobIds);
  for (const { attempts } of results)
    expect(attempts.map(({ outcome }) => outcome === "succeeded")).toEqual([false, true]);
  await ledgerEqualsBill(gateway);
});

test("[H5] lines that are missing in the results are tried once more; their cost stays open within its bound", async () => {
  await open("h5", { faults: [{ match: { nth: 1 }, fault: { kind: "batch_lines_missing", share: 0.5 } }] });
  const jobIds = idsOf("h5", 6);
  await publishJobs(gateway, jobIds);
  const results = await ownAnswers(gateway, jobIds);
  const twice = results.filter(({ attempts }) => attempts.length === 2);
  expect(twice).toHaveLength(3);
  expect(twice.map(({ attempts }) => attempts[0]?.outcome)).toEqual(["line_missing", "line_missing", "line_missing"]);
  const { billed, booked, open: unknown } = await moneyOf(gateway);
  expect(booked).toBeLessThan(billed);
  expect(booked + unknown).toBeGreaterThanOrEqual(billed);
  await noLineTwice(gateway);
});

test("[H5] a line that is missing twice ends as lost", async () => {
  await open("h5b", { faults: [{ fault: { kind: "batch_lines_missing", share: 1 } }] });
  await publishJobs(gateway, ["gone"]);
  const [result] = await resultsFor(gateway, ["gone"]);
  expect(result).toMatchObject({ status: "failed", error: { code: "PROVIDER_LOST" } });
  expect(result?.attempts.map(({ outcome }) => outcome)).toEqual(["line_missing", "line_missing"]);
});

test("[H6] results that nobody asked for are set apart and told", async () => {
  await open("h6", { faults: [{ fault: { kind: "batch_lines_unknown", count: 2 } }] });
  const jobIds = idsOf("h6", 4);
  await publishJobs(gateway, jobIds);
  await ownAnswers(gateway, jobIds);
  await gateway.until("the event", () => eventKinds(gateway).has("batch.unknown_line"));
  await noLineTwice(gateway);
});

test("[H7] of two results for one line the first stands, and another answer is told", async () => {
  await open("h7", { faults: [{ fault: { kind: "batch_lines_repeated", share: 0.5, different: true } }] });
  const jobIds = idsOf("h7", 4);
  await publishJobs(gateway, jobIds);
  await ownAnswers(gateway, jobIds);
  await gateway.until("the event", () => eventKinds(gateway).has("result.conflict"));
  await ledgerEqualsBill(gateway);
});

test("[H7] the same result twice is no conflict", async () => {
  await open("h7b", { faults: [{ fault: { kind: "batch_lines_repeated", share: 1 } }] });
  const jobIds = idsOf("h7b", 4);
  await publishJobs(gateway, jobIds);
  await ownAnswers(gateway, jobIds);
  await ledgerEqualsBill(gateway);
  expect(eventKinds(gateway).has("result.conflict")).toBe(false);
});

test("[H8] results in any order find their jobs", async () => {
  await open("h8", { faults: [{ fault: { kind: "batch_lines_reordered" } }] });
  const jobIds = idsOf("h8", 10);
  await publishJobs(gateway, jobIds);
  await ownAnswers(gateway, jobIds);
  expect(await struck(gateway, "batch_lines_reordered")).toBeGreaterThan(0);
  await ledgerEqualsBill(gateway);
});

test.each(["cut", "bom", "crlf", "blank_lines", "nul", "bad_line"])(
  "[H10] a results file that is damaged (%s) costs no good line",
  async (how) => {
    await open("h10", { faults: [{ match: { nth: 1 }, fault: { kind: "batch_file_damaged", how } }] });
    const jobIds = idsOf("h10", 5);
    await publishJobs(gateway, jobIds);
    await ownAnswers(gateway, jobIds);
    expect(await struck(gateway, "batch_file_damaged")).toBe(1);
    await noLineTwice(gateway);
  },
);

test("[H11] results that are gone end as lost, with a cost that stays open within its bound", async () => {
  await open("h11", { faults: [{ match: { nth: 1 }, fault: { kind: "batch_file_gone" } }] });
  const jobIds = idsOf("h11", 4);
  await publishJobs(gateway, jobIds);
  for (const result of await resultsFor(gateway, jobIds)) {
    expect(result).toMatchObject({ status: "failed", error: { code: "PROVIDER_LOST" } });
    expect(result.attempts.map(({ outcome }) => outcome)).toEqual(["line_missing"]);
  }
  expect(await struck(gateway, "batch_file_gone")).toBe(1);
  const { billed, booked, open: unknown } = await moneyOf(gateway);
  expect(booked).toBe(0n);
  expect(unknown).toBeGreaterThanOrEqual(billed);
  await noLineTwice(gateway);
});

test("[H13] a create whose answer is lost, and that the list shows late, is found and not repeated", async () => {
  await open("h13", {
    createGraceMs: 20_000,
    faults: [
      { match: { operation: "openai.batches.create", nth: 1 }, fault: { kind: "drop_after_billed" } },
      { match: { nth: 1 }, fault: { kind: "batch_hidden", listMs: 3000 } },
    ],
  });
  const jobIds = idsOf("h13", 5);
  await publishJobs(gateway, jobIds);
  await ownAnswers(gateway, jobIds);
  expect(await gateway.simulator.batches()).toHaveLength(1);
  expect(await struck(gateway, "drop_after_billed")).toBe(1);
  expect(await struck(gateway, "batch_hidden")).toBe(1);
  await ledgerEqualsBill(gateway);
});

test("[H13] a create that was cut before it arrived is fenced and made again", async () => {
  await open("h13b", {
    createGraceMs: 1500,
    faults: [{ match: { operation: "openai.batches.create", nth: 1 }, fault: { kind: "drop_before" } }],
  });
  const jobIds = idsOf("h13b", 5);
  await publishJobs(gateway, jobIds);
  await ownAnswers(gateway, jobIds);
  expect(await gateway.simulator.batches()).toHaveLength(1);
  expect(await struck(gateway, "drop_before")).toBe(1);
  await ledgerEqualsBill(gateway);
});

test.each([
  { kind: "batch_backward", from: "completed", reads: 3 },
  { kind: "batch_strange_state", reads: 3 },
  { kind: "batch_counts_wrong", by: 3 },
])("[H14] a provider that tells of $kind is not believed before it is proved", async (fault) => {
  await open("h14", { faults: [{ fault }] });
  const jobIds = idsOf("h14", 5);
  await publishJobs(gateway, jobIds);
  await ownAnswers(gateway, jobIds);
  expect(await struck(gateway, fault.kind)).toBeGreaterThan(0);
  await ledgerEqualsBill(gateway);
});

test("[H14] a batch that somebody deletes at the provider gives its lines to the next one", async () => {
  await open("h14b", {
    faults: [{ match: { nth: 1 }, fault: { kind: "batch_deleted", at: "in_progress" } }],
    batching: { pollMaxMs: 300 },
  });
  const jobIds = idsOf("h14b", 4);
  await publishJobs(gateway, jobIds);
  const results = await resultsFor(gateway, jobIds);
  for (const { status } of results) expect(status).toBe("succeeded");
  expect(await struck(gateway, "batch_deleted")).toBe(1);
  await noLineTwice(gateway);
});

test("[H15] two routers that see a batch complete have one effect", async () => {
  await open("h15");
  await gateway.startRouter();
  const jobIds = idsOf("h15", 30);
  await publishJobs(gateway, jobIds);
  await ownAnswers(gateway, jobIds);
  await ledgerEqualsBill(gateway);
  expect(await gateway.simulator.bill()).toHaveLength(30);
});
