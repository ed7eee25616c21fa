/** The life of a batch at each kind of provider, and row H13 where nothing but its size tells a batch from others. */
import { afterEach, expect, test } from "@jest/globals";
import type { Gateway } from "../support/gateway.js";
import {
  eventKinds,
  idsOf,
  ledgerEqualsBill,
  openBatchGateway,
  ownAnswers,
  publishJobs,
  struck,
  type BatchGatewayOptions,
} from "../support/gateway-batches.js";

let gateway: Gateway;
afterEach(async () => {
  await gateway.close();
});

async function open(name: string, options: BatchGatewayOptions): Promise<void> {
  gateway = await openBatchGateway(name, options);
  await gateway.startRouter();
}

test.each(["openai", "anthropic", "gemini"] as const)(
  "serves jobs in batches of %s, in the jobs' own format",
  async (kind) => {
    await open(`kind-${kind}`, { kind });
    const jobIds = idsOf(kind, 12);
    await publishJobs(gateway, jobIds);
    const results = await ownAnswers(gateway, jobIds);
    expect(new Set(results.map(({ mode }) => mode))).toEqual(new Set(["batch"]));
    expect((await gateway.simulator.bill()).every(({ mode }) => mode === "batch")).toBe(true);
    await ledgerEqualsBill(gateway);
  },
);

test("gives an account whose provider keeps no mark batches of different sizes, created one after the other", async () => {
  await open("sizes", { kind: "anthropic", batch: { linesMax: 5 } });
  const jobIds = idsOf("sizes", 14);
  await publishJobs(gateway, jobIds);
  await ownAnswers(gateway, jobIds);
  const sizes = (await gateway.simulator.batches()).map(({ total }) => total);
  expect(new Set(sizes).size).toBe(sizes.length);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(14);
  await ledgerEqualsBill(gateway);
});

test("[H13] anthropic: a create whose answer is lost is found by its size, and not repeated", async () => {
  await open("h13a", {
    kind: "anthropic",
    createGraceMs: 20_000,
    faults: [
      { match: { operation: "anthropic.batches.create", nth: 1 }, fault: { kind: "drop_after_billed" } },
      { match: { nth: 1 }, fault: { kind: "batch_hidden", listMs: 2000 } },
    ],
  });
  const jobIds = idsOf("h13a", 5);
  await publishJobs(gateway, jobIds);
  await ownAnswers(gateway, jobIds);
  expect(await gateway.simulator.batches()).toHaveLength(1);
  expect(await struck(gateway, "drop_after_billed")).toBe(1);
  await gateway.until("the event", () => eventKinds(gateway).has("batch.adopted"));
  await ledgerEqualsBill(gateway);
});

test("[H13] anthropic: a create that never arrived is made again after the grace", async () => {
  await open("h13c", {
    kind: "anthropic",
    createGraceMs: 1500,
    faults: [{ match: { operation: "anthropic.batches.create", nth: 1 }, fault: { kind: "drop_before" } }],
  });
  const jobIds = idsOf("h13c", 4);
  await publishJobs(gateway, jobIds);
  await ownAnswers(gateway, jobIds);
  expect(await gateway.simulator.batches()).toHaveLength(1);
  expect(await struck(gateway, "drop_before")).toBe(1);
  await ledgerEqualsBill(gateway);
});

test("[H13] gemini: a create whose answer is lost is found by its name", async () => {
  await open("h13g", {
    kind: "gemini",
    createGraceMs: 20_000,
    faults: [{ match: { operation: "gemini.batchGenerateContent", nth: 1 }, fault: { kind: "drop_after_billed" } }],
  });
  const jobIds = idsOf("h13g", 4);
  await publishJobs(gateway, jobIds);
  await ownAnswers(gateway, jobIds);
  expect(await gateway.simulator.batches()).toHaveLength(1);
  expect(await struck(gateway, "drop_after_billed")).toBe(1);
  await ledgerEqualsBill(gateway);
});
