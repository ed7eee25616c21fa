/**
 * Points P10 to P13 of the design, and rows A4 to A8: routers that kill themselves at a named place in the life of a batch. Whatever the place,
 * each job has one result (perhaps twice, byte for byte), each line ran once, and the ledger equals the bill.
 */
import { afterEach, expect, test } from "@jest/globals";
import type { Gateway } from "../support/gateway.js";
import {
  idsOf,
  ledgerEqualsBill,
  openBatchGateway,
  ownAnswersBehindKill,
  publishJobs,
  type BatchGatewayOptions,
  type BatchKind,
} from "../support/gateway-batches.js";

let gateway: Gateway;
afterEach(async () => {
  await gateway.close();
});

const JOBS = 6;
const SESSIONS = { session: { beatMs: 500, stopAfterMs: 1500, deadAfterMs: 3000 } };

/** A router that dies at the point, and one after it that brings all lines home. */
async function diesAt(point: string, kind: BatchKind, options: BatchGatewayOptions = {}): Promise<void> {
  gateway = await openBatchGateway(`p-${point.replace(/\+.*/, "").replaceAll(/\W|_/g, "-")}`, {
    kind,
    postgres: SESSIONS,
    ...options,
    batching: { groupSizeMax: 4, ...options.batching },
  });
  const first = await gateway.startRouter("router-1", { SLUICE_CRASH_AT: point });
  first.expectEnd();
  const jobIds = idsOf(point, JOBS);
  await publishJobs(gateway, jobIds);
  await gateway.until(`the router's end at ${point}`, () => !first.running);
  await gateway.startRouter("router-2");
  await ownAnswersBehindKill(gateway, jobIds);
  await ledgerEqualsBill(gateway);
  expect(await gateway.simulator.bill()).toHaveLength(JOBS);
}

async function batchesMade(): Promise<number> {
  return (await gateway.simulator.batches()).length;
}

test.each(["batch.opened", "batch.bound", "batch.sealed", "batch.uploading", "batch.uploaded"])(
  "[A4] [P10] a router killed at %s: its lines are sent by the next one",
  async (point) => {
    await diesAt(point, "openai");
    expect(await gateway.query("SELECT 1 FROM attempts WHERE batch_no IS NULL")).toEqual([]);
  },
);

/** Where it is killed, and which row of faults that is. */
const AROUND_CREATE = [
  ["A5", "batch.creating"],
  ["A5", "batch.create_leaving+200"],
  ["A6", "batch.create_answered"],
] as const;

test.each(AROUND_CREATE)(
  "[%s] [P11] a router killed around a create (%s): the batch is found or proved to be absent, and made once",
  async (_row, point) => {
    await diesAt(point, "openai");
    expect(await batchesMade()).toBe(1);
  },
);

test.each(AROUND_CREATE)("[%s] [P11] the same at a provider that keeps no mark (%s)", async (_row, point) => {
  await diesAt(point, "anthropic");
  // One that may have been sent keeps its size for itself: lines that go on come in others.
  const sizes = (await gateway.simulator.batches()).map(({ total }) => total);
  expect(sizes.length === 1 || !sizes.includes(JOBS)).toBe(true);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(JOBS);
});

test("[A5] [P11] a router killed right after it fenced a create that never arrived", async () => {
  const fault = { match: { operation: "openai.batches.create", nth: 1 }, fault: { kind: "drop_before" } };
  await diesAt("batch.fenced", "openai", { faults: [fault], createGraceMs: 1500 });
  expect(await batchesMade()).toBe(1);
});

test("[A7] [P12] a router killed while the batch runs: another one waits for it", async () => {
  await diesAt("batch.submitted", "openai");
  expect(await batchesMade()).toBe(1);
});

test.each([
  ["A7", "batch.ended"],
  ["A8", "batch.group_stored"],
  ["A8", "batch.group_saved"],
  ["A8", "batch.done"],
])("[%s] [P13] a router killed when results are read (%s): each outcome counts once", async (_row, point) => {
  await diesAt(point, "openai");
  expect(await batchesMade()).toBe(1);
});
