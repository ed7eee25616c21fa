/**
 * Batches, and rows H1 to H3 and H12 of the fault catalogue: what a provider can do to a batch. What it can say of one: `rows-batch-answers`.
 * The limits are lowered by config, the batch's clock is compressed.
 */
import { afterEach, expect, test } from "@jest/globals";
import type { Gateway } from "../support/gateway.js";
import {
  eventKinds,
  idsOf,
  ledgerEqualsBill,
  openBatchGateway,
  ownAnswers,
  publishJobs,
  resultsFor,
  struck,
  type BatchGatewayOptions,
} from "../support/gateway-batches.js";
import { answerDigests, chatJob, digestOf } from "../support/gateway-records.js";

const HOUR_MS = 3_600_000;

let gateway: Gateway;
afterEach(async () => {
  await gateway.close();
});

async function open(name: string, options: BatchGatewayOptions = {}): Promise<void> {
  gateway = await openBatchGateway(name, options);
  await gateway.startRouter();
}

test("answers jobs that can wait at half the price, in batches of the allowed size", async () => {
  await open("batched", { batch: { linesMax: 10 } });
  const jobIds = idsOf("line", 25);
  await publishJobs(gateway, jobIds);
  const results = await ownAnswers(gateway, jobIds);
  expect(new Set(results.map(({ mode }) => mode))).toEqual(new Set(["batch"]));
  const batches = await gateway.simulator.batches();
  expect(batches.map(({ total }) => total).sort((a, b) => b - a)).toEqual([10, 10, 5]);
  expect(new Set(results.map(({ batchId }) => batchId)).size).toBe(3);
  const bill = await gateway.simulator.bill();
  expect(bill.every(({ mode }) => mode === "batch")).toBe(true);
  expect(bill).toHaveLength(25);
  await ledgerEqualsBill(gateway);
});

test("[D3] calls what must not wait, and refuses what no batch can do in time", async () => {
  await open("modes");
  await publishJobs(gateway, ["now"], { mode: "direct" });
  await publishJobs(gateway, ["soon"], { ttlMs: 30_000 });
  await publishJobs(gateway, ["late"], { mode: "batch", ttlMs: 30_000 });
  const [now, soon, late] = await resultsFor(gateway, ["now", "soon", "late"]);
  expect([now?.mode, soon?.mode]).toEqual(["direct", "direct"]);
  expect(late).toMatchObject({ status: "failed", error: { code: "NO_ROUTE_IN_TIME" } });
  expect(await gateway.simulator.batches()).toEqual([]);
});

/** Breaks of a line in JavaScript, in Python's `splitlines`, in terminals: none of them may end a line of a batch. */
const BREAKS = ["\r", "\n", "\r\n", "\u2028", "\u2029", "\u0085", "\u000b", "\u000c"];

test.each(["openai", "anthropic", "gemini"] as const)(
  "[C15] every kind of line end in a prompt, or between the members of a body, is one line of a batch at %s",
  async (kind) => {
    await open(`c15-${kind}`, { kind });
    const prompts = BREAKS.map((end) => `first${end}{"custom_id":"forged"}${end}last`);
    const job = (id: string, prompt: string): string => chatJob(id, prompt, { mode: "batch" });
    const spread = JSON.stringify(JSON.parse(job("spread", "spread")), null, 2).replaceAll("\n", "\r\n");
    await gateway.topics.publish([
      ...prompts.map((prompt, index) => ({ value: job(`c15 ${String(index)}`, prompt) })),
      // As bytes of their own, not as escapes: JSON allows these two in a text.
      { value: job("raw", "raw \u2028 and \u2029") },
      { value: spread },
    ]);
    const jobIds = [...prompts.map((_prompt, index) => `c15 ${String(index)}`), "raw", "spread"];
    const results = await resultsFor(gateway, jobIds);
    expect(results.map(({ status, mode }) => `${status} ${mode}`)).toEqual(jobIds.map(() => "succeeded batch"));
    // The provider's digest is that of the text that it read.
    const texts = [...prompts, "raw \u2028 and \u2029", "spread"];
    expect(results.map((result) => answerDigests(result).prompt)).toEqual(texts.map((text) => digestOf(text)));
    const batches = await gateway.simulator.batches();
    expect(batches.reduce((sum, { total }) => sum + total, 0)).toBe(jobIds.length);
    expect(batches.reduce((sum, { failed }) => sum + failed, 0)).toBe(0);
    expect(await gateway.simulator.bill()).toHaveLength(jobIds.length);
    await ledgerEqualsBill(gateway);
  },
);

test("[C22] one line serves identical jobs, also while it runs", async () => {
  await open("joined", { times: { turnaroundMs: 20_000 } });
  await publishJobs(gateway, ["first"], {});
  await gateway.until("its batch", async () => (await gateway.simulator.batches()).length === 1);
  await gateway.topics.publish([{ value: chatJob("second", "first") }]);
  const results = await resultsFor(gateway, ["first", "second"]);
  expect(results.map(({ served }) => served)).toEqual(["call", "coalesced"]);
  expect(await gateway.simulator.bill()).toHaveLength(1);
  await ledgerEqualsBill(gateway);
});

test("a batch that an operator cancels keeps what is done, and its other lines go on", async () => {
  await open("cancelled", { times: { turnaroundMs: 20 * HOUR_MS } });
  const jobIds = idsOf("cancelled", 10);
  await publishJobs(gateway, jobIds);
  await gateway.until("lines that are done", async () => ((await gateway.simulator.batches())[0]?.succeeded ?? 0) > 0);
  const [batch] = await gateway.query<{ no: string }>("SELECT no FROM batches");
  const cancelled = await gateway.cliJson("batches", "cancel", `b-${batch?.no ?? ""}`, "--yes");
  expect(cancelled).toMatchObject({ state: "submitted", asked: true, lines: 10 });
  const first = async () => (await gateway.simulator.batches())[0];
  await gateway.until("its end at the provider", async () => (await first())?.state === "cancelled");
  await gateway.simulator.setBatchTimes({ turnaroundMs: 1000 }); // of the next one
  const results = await ownAnswers(gateway, jobIds);
  const done = (await first())?.succeeded ?? Number.NaN;
  expect(results.filter(({ attempts }) => attempts.length === 1)).toHaveLength(done);
  const goneOn = results.filter(({ attempts }) => attempts.length === 2);
  expect(goneOn).toHaveLength(10 - done);
  for (const { attempts } of goneOn) expect(attempts.map(({ outcome }) => outcome)).toEqual(["cancelled", "succeeded"]);
  await ledgerEqualsBill(gateway);
});

test("[H1] a line that makes the provider refuse the whole batch fails alone, the others run in another", async () => {
  const fault = { kind: "batch_refused", code: "invalid_json_line", line: 3 };
  await open("h1", { faults: [{ match: { nth: 1 }, fault }] });
  const jobIds = idsOf("h1", 6);
  await publishJobs(gateway, jobIds);
  const results = await resultsFor(gateway, jobIds);
  const failed = results.filter(({ status }) => status === "failed");
  expect(failed).toHaveLength(1);
  expect(failed[0]?.error?.code).toBe("PROVIDER_REFUSED");
  expect(results.filter(({ status }) => status === "succeeded")).toHaveLength(5);
  expect(await struck(gateway, "batch_refused")).toBe(1);
  await ledgerEqualsBill(gateway);
});

test("[H1] a batch that is refused without a line named is halved until the one line is alone", async () => {
  const fault = { kind: "batch_refused", code: "invalid_json_line", line: 0 };
  await open("h1b", { faults: [{ match: { count: 2 }, fault }] });
  const jobIds = idsOf("h1b", 8);
  await publishJobs(gateway, jobIds);
  await ownAnswers(gateway, jobIds);
  expect(await struck(gateway, "batch_refused")).toBe(2);
  const sizes = (await gateway.simulator.batches()).map(({ total, state }) => ({ total, state }));
  for (const { total } of sizes.filter(({ state }) => state === "completed")) expect(total).toBeLessThanOrEqual(4);
  await ledgerEqualsBill(gateway);
});

test("[H2] a full queue of the provider halves the batch and waits, no job fails", async () => {
  await open("h2", { faults: [{ match: { count: 2 }, fault: { kind: "batch_queue_full" } }] });
  const jobIds = idsOf("h2", 8);
  await publishJobs(gateway, jobIds);
  await ownAnswers(gateway, jobIds);
  expect(await struck(gateway, "batch_queue_full")).toBe(2);
  expect(gateway.topics.deadLetters).toEqual([]);
  await ledgerEqualsBill(gateway);
});

test("[H2] a batch that stays in progress to the end of its window gives its lines to the next one", async () => {
  await open("h2b", { faults: [{ match: { nth: 1 }, fault: { kind: "batch_stuck", state: "in_progress" } }] });
  const jobIds = idsOf("h2b", 6);
  await publishJobs(gateway, jobIds);
  await resultsFor(gateway, jobIds);
  for (const id of jobIds) expect(gateway.resultsOf(id)).toHaveLength(1);
  expect(await struck(gateway, "batch_stuck")).toBe(1);
  await ledgerEqualsBill(gateway);
});

test("a line that is out when its deadline is near is rescued by a call where the alias allows it; its own answer is waste", async () => {
  await open("rescue", {
    alias: { rescue: "whenDue" },
    // The batch is overdue at once, and takes seven seconds; a call is given 70 before the deadline.
    batching: { turnaroundPriorMs: 1, callPriorMs: 10_000, rescueLookMs: 200 },
    times: { turnaroundMs: 70_000_000 },
  });
  const jobIds = idsOf("rescue", 3);
  await publishJobs(gateway, jobIds, { ttlMs: 70_000 });
  const results = await ownAnswers(gateway, jobIds);
  expect(results.map(({ mode, attempts }) => [mode, attempts.length])).toEqual(jobIds.map(() => ["direct", 1]));
  await gateway.until("the event", () => eventKinds(gateway).has("batch.rescued"));
  await ledgerEqualsBill(gateway);
  expect((await gateway.simulator.bill()).map(({ mode }) => mode).sort()).toEqual([
    ...jobIds.map(() => "batch"),
    ...jobIds.map(() => "direct"),
  ]);
  const billings = await gateway.query<{ billing: string; rescue: boolean }>(
    "SELECT c.billing, a.supersedes IS NOT NULL AS rescue FROM costs c JOIN attempts a ON a.no = c.attempt_no ORDER BY 1",
  );
  expect(billings).toEqual([
    ...jobIds.map(() => ({ billing: "charged", rescue: true })),
    ...jobIds.map(() => ({ billing: "waste", rescue: false })),
  ]);
  for (const id of jobIds) expect(gateway.resultsOf(id)).toHaveLength(1);
});

/** A batch that is thought to be quick and takes long, and what its lines come to when nobody waits for them any more. */
async function lateLines(jobIds: readonly string[], end: () => Promise<void>, status: string): Promise<void> {
  await gateway.until(
    "its run at the provider",
    async () => (await gateway.query("SELECT 1 FROM batches WHERE state = 'submitted'")).length === 1,
  );
  await end();
  const results = await resultsFor(gateway, jobIds);
  expect(results.map((result) => result.status)).toEqual(jobIds.map(() => status));
  await gateway.until(
    "its outcomes",
    async () => (await gateway.query("SELECT 1 FROM batches WHERE state = 'done'")).length === 1,
  );
  await ledgerEqualsBill(gateway);
  expect(await gateway.simulator.bill()).toHaveLength(jobIds.length);
  // Each is paid by its own cost record, which says that it served nobody.
  const served = "SELECT count(*)::int AS records, max(list_nano) AS list FROM costs";
  expect(await gateway.query(served)).toEqual([{ records: jobIds.length, list: "0" }]);
  for (const id of jobIds) expect(gateway.resultsOf(id)).toHaveLength(1);
}

const QUICK_TO_LOOK_AT = { batching: { turnaroundPriorMs: 1, callPriorMs: 100 }, times: { turnaroundMs: 70_000_000 } };

test("[D4] a deadline that passes while the batch runs expires its jobs once; the late lines are only paid", async () => {
  // The batch takes 15 seconds, so that it is out long before the deadline also where all is slow: what expires before is in no batch.
  await open("d4", {
    ...QUICK_TO_LOOK_AT,
    simulatorArgs: ["--time-scale", "3000"],
    times: { turnaroundMs: 45_000_000 },
  });
  const jobIds = idsOf("d4", 3);
  await publishJobs(gateway, jobIds, { mode: "batch", ttlMs: 10_000 });
  await lateLines(jobIds, () => Promise.resolve(), "expired");
});

test("[J5] a job that an operator cancels while its batch runs is cancelled once; its late line is only paid", async () => {
  await open("j5", QUICK_TO_LOOK_AT);
  const jobIds = idsOf("j5", 2);
  await publishJobs(gateway, jobIds, { mode: "batch", ttlMs: 60_000 });
  const cancelAll = async (): Promise<void> => {
    for (const id of jobIds) expect((await gateway.cli("jobs", "cancel", id)).exitCode).toBe(0);
  };
  await lateLines(jobIds, cancelAll, "cancelled");
});

test.each(["batch_expires", "batch_cancelled"])(
  "[H3] of a batch that ends by %s what was done is delivered and paid, the rest goes on",
  async (kind) => {
    await open("h3", { faults: [{ match: { nth: 1 }, fault: { kind, share: 0.5 } }] });
    const jobIds = idsOf("h3", 8);
    await publishJobs(gateway, jobIds);
    const results = await ownAnswers(gateway, jobIds);
    expect(results.filter(({ attempts }) => attempts.length === 1)).toHaveLength(4);
    expect(results.filter(({ attempts }) => attempts.length === 2)).toHaveLength(4);
    expect(await struck(gateway, kind)).toBe(1);
    await ledgerEqualsBill(gateway);
  },
);

test("[H12] batches are split exactly at the limits of lines and bytes", async () => {
  await open("h12", { batch: { linesMax: 7, bytesMax: 2000 } });
  const jobIds = idsOf("h12", 30);
  await publishJobs(gateway, jobIds);
  await ownAnswers(gateway, jobIds);
  const sizes = (await gateway.simulator.batches()).map(({ total }) => total);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(7);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(30);
  await ledgerEqualsBill(gateway);
});
