/** The life of a batch at each kind of provider, also without a batch API, and row H13 where nothing but its size tells a batch from others. */
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

test.each(["openai", "anthropic"] as const)(
  "[H13] %s: a batch that turns up after it was given up as absent is read, and its answers are waste beside those that served",
  async (kind) => {
    await open("h13d", {
      kind,
      createGraceMs: 1500,
      faults: [
        { match: { operation: `${kind}.batches.create`, nth: 1 }, fault: { kind: "drop_after_billed" } },
        { match: { nth: 1 }, fault: { kind: "batch_hidden", listMs: 15_000 } },
      ],
    });
    const jobIds = idsOf("h13d", 5);
    await publishJobs(gateway, jobIds);
    await ownAnswers(gateway, jobIds);
    expect(eventKinds(gateway).has("batch.orphan_found")).toBe(false);
    await gateway.until("the event", () => eventKinds(gateway).has("batch.orphan_found"));
    const unfinished = () => gateway.query("SELECT 1 FROM batches WHERE state <> 'done'");
    await gateway.until("its last line", async () => (await unfinished()).length === 0);
    expect(await gateway.simulator.bill()).toHaveLength(10);
    const booked = await gateway.query(
      "SELECT billing, count(*)::int AS count FROM costs GROUP BY billing ORDER BY billing",
    );
    expect(booked).toEqual([
      { billing: "charged", count: 5 },
      { billing: "waste", count: 5 },
    ]);
    for (const id of jobIds) expect(gateway.resultsOf(id)).toHaveLength(1);
    await ledgerEqualsBill(gateway);
  },
);

test("[H13] anthropic: a create that never arrived is made again after the grace", async () => {
  await open("h13c", {
    kind: "anthropic",
    createGraceMs: 1500,
    faults: [{ match: { operation: "anthropic.batches.create", nth: 1 }, fault: { kind: "drop_before" } }],
  });
  const jobIds = idsOf("h13c", 4);
  await publishJobs(gateway, jobIds);
  await ownAnswers(gateway, jobIds);
  // The one that may yet turn up keeps its size for itself.
  const sizes = (await gateway.simulator.batches()).map(({ total }) => total);
  expect([sizes.includes(4), sizes.reduce((sum, size) => sum + size, 0)]).toEqual([false, 4]);
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

test("calls the lines of a server of one's own in the background, behind direct jobs, whatever is killed", async () => {
  const price = { input: "0.5", output: "1.5" };
  const served = { "llama-3.1-8b": { inputPerMTok: "0.5", outputPerMTok: "1.5", contextWindow: 8192 } };
  await open("own", {
    kind: "openai-compatible",
    batch: { concurrency: 2, linesMax: 20, flushAfterMs: 200 },
    account: { limits: { concurrency: 4 }, prices: { perMillion: { "llama-3.1-8b": price } } },
    postgres: { session: { beatMs: 500, stopAfterMs: 1500, deadAfterMs: 3000 } },
    latencyMs: 300,
    simulatorArgs: ["--models", JSON.stringify(served)],
  });
  const [router] = gateway.routers;
  const { simulator } = gateway;
  const lines = idsOf("line", 40);
  await publishJobs(gateway, lines, { mode: "batch" });
  await gateway.until("the first lines' answers", async () => (await simulator.bill()).length >= 2);
  expect(await simulator.openCallsMax()).toBe(2);

  const direct = idsOf("direct", 6);
  await publishJobs(gateway, direct, { mode: "direct" });
  const answered = await ownAnswers(gateway, direct);
  expect(new Set(answered.map(({ mode }) => mode))).toEqual(new Set(["direct"]));
  expect(lines.filter((id) => gateway.resultsOf(id).length > 0).length).toBeLessThan(lines.length / 2);

  await router?.end("SIGKILL");
  await gateway.startRouter();
  const results = await ownAnswers(gateway, lines);
  expect(await simulator.openCallsMax()).toBeLessThanOrEqual(4);
  const doubts = await gateway.query<{ no: string }>("SELECT no FROM attempts WHERE state = 'settled'");
  expect(doubts.length).toBeLessThanOrEqual(2);
  // A line whose call was cut off is called once more, by itself.
  const inGroups = results.filter(({ mode, batchId }) => mode === "batch" && /^b-\d+$/.test(batchId ?? ""));
  expect(inGroups.length).toBe(lines.length - doubts.length);
  expect(
    results.flatMap(({ attempts }) => attempts).every(({ outcome }) => /^(succeeded|in_doubt)$/.test(outcome)),
  ).toBe(true);
  await gateway.until("the end of all groups", async () => {
    const rows = await gateway.query("SELECT 1 FROM batches WHERE state <> 'done'");
    return rows.length === 0;
  });
  const listed = (await gateway.cliJson("batches", "ls")) as {
    readonly batches: readonly { readonly account: string; readonly state: string; readonly percent: number }[];
  };
  expect(
    new Set(listed.batches.map(({ account, state, percent }) => `${account} ${state} ${String(percent)}`)),
  ).toEqual(new Set(["main done 100"]));
  const { billed, booked, open: unknown } = await moneyOf(gateway);
  expect(booked <= billed && billed <= booked + unknown).toBe(true);
  await noLineTwice(gateway);
});
