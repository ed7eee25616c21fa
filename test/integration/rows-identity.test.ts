/** Rows B21, C1 (cancel), C19, C20 and C21 of the fault catalogue: ids that come again, in flight and after the end. */
import { afterAll, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { Gateway } from "../support/gateway.js";
import {
  answerDigests,
  chatJob,
  digestOf,
  headerText,
  resultIn,
  type FoundRecord,
} from "../support/gateway-records.js";

let gateway: Gateway;
beforeAll(async () => {
  gateway = await Gateway.open({
    name: "identity",
    config: {
      sections: {
        tenants: { acme: {}, zenith: { tier: "free" }, poor: {} },
        budgets: [{ tenant: "poor", limitUsd: `0.${String(ONE_CALL_NANO_USD).padStart(9, "0")}` }],
      },
    },
  });
  await gateway.startRouter();
});
beforeEach(async () => {
  await gateway.simulator.setLatency(0);
});
afterAll(async () => {
  await gateway.close();
});

const LATENCY_MS = 1500;

const POOR_JOBS = Array.from({ length: 100 }, (_, index) => `poor-${String(index).padStart(2, "0")}`);
/**
 * The most that one of these calls may cost at 0.40 and 1.60 US dollars per million tokens: a token a byte and 128 that nobody sees, 64 in
 * the answer. All bodies are of one length.
 */
const ONE_CALL_NANO_USD = (() => {
  const { body } = JSON.parse(chatJob("poor-00", "poor-00")) as { readonly body: object };
  return (Buffer.byteLength(JSON.stringify(body)) + 128) * 400 + 64 * 1600;
})();

/** Publishes a job that is in the air for a while, and waits until it is. */
async function publishInFlight(jobId: string, prompt: string): Promise<void> {
  await gateway.simulator.setLatency(LATENCY_MS);
  await gateway.publish({ key: "first", value: chatJob(jobId, prompt), headers: { kafka_correlationId: "first" } });
  await gateway.until("the call in the air", async () => (await gateway.simulator.openCalls()) === 1);
  await gateway.simulator.setLatency(0);
}

const billedCalls = async (): Promise<number> => (await gateway.simulator.bill()).length;
/** Of the jobs topic, as the router's metrics have it. */
async function countedRepeats(): Promise<number> {
  const text = (await gateway.routers[0]?.metrics()) ?? "";
  return Number(/^sluice_records_total\{[^}]*result="duplicate"[^}]*\} (\d+)$/m.exec(text)?.[1] ?? 0);
}
const twoResults = (jobId: string): Promise<readonly FoundRecord[]> =>
  gateway.until(`two results of ${jobId}`, () =>
    gateway.resultsOf(jobId).length >= 2 ? gateway.resultsOf(jobId) : null,
  );

test("[C1] a record without a value that asks for it cancels a job in flight, once, and its call's cost stays", async () => {
  await publishInFlight("to cancel", "to cancel");
  await gateway.publish({
    key: "first",
    value: null,
    headers: { "llm-action": "cancel", "llm-job-id": "to cancel", "llm-tenant": "acme" },
  });
  const result = resultIn(await gateway.result("to cancel"));
  expect(result).toMatchObject({ status: "cancelled", body: null, error: { code: "CANCELLED" } });
  const bill = await gateway.until("the bill of the call", async () => (await gateway.simulator.bill())[0] ?? null);
  const cost = await gateway.until("its cost record", () => gateway.topics.costs[0] ?? null);
  expect(JSON.parse(cost.value?.toString() ?? "")).toMatchObject({ nanoUsd: bill.nanoUsd });
  expect(gateway.resultsOf("to cancel")).toHaveLength(1);
});

test("[C1] a cancel that does not say whose job it means cancels nobody's, and its dead letter says what is missing", async () => {
  const jobId = "of two tenants";
  await publishInFlight(jobId, jobId);
  await gateway.publish({ value: chatJob(jobId, jobId, { tenant: "zenith" }) });
  const offset = await gateway.publish({ value: null, headers: { "llm-action": "cancel", "llm-job-id": jobId } });
  const ends = [await gateway.result(jobId, "acme"), await gateway.result(jobId, "zenith")].map(resultIn);
  expect(ends.map(({ status }) => status)).toEqual(["succeeded", "succeeded"]);
  const letter = await gateway.deadLetterOf(offset);
  expect(headerText(letter, "llm-error-code")).toBe("TENANT_MISMATCH");
  expect(headerText(letter, "__dlq.errors.message")).toContain("expected the header llm-tenant");
});

test.each(["in flight", "answered"])(
  "[C19] refuses another body under the id of a job that is %s; the first result stands",
  async (when) => {
    const jobId = `conflict ${when}`;
    if (when === "in flight") await publishInFlight(jobId, "the first");
    else {
      await gateway.publish({ value: chatJob(jobId, "the first") });
      await gateway.result(jobId);
    }
    const other = chatJob(jobId, "the second");
    const offset = await gateway.publish({ key: "second", value: other });
    const letter = await gateway.deadLetterOf(offset);
    expect(headerText(letter, "llm-error-code")).toBe("ID_CONFLICT");
    expect(headerText(letter, "llm-error-class")).toBe("rejected");
    expect(letter.value?.toString()).toBe(other);
    expect(answerDigests(resultIn(await gateway.result(jobId))).prompt).toBe(digestOf("the first"));
    expect(gateway.resultsOf(jobId)).toHaveLength(1);
  },
);

test.each(["in flight", "answered"])(
  "[C20] sends the result of a job that is %s again to an equal second record, without a second call",
  async (when) => {
    const jobId = `repeat ${when}`;
    const callsBefore = await billedCalls();
    if (when === "in flight") await publishInFlight(jobId, jobId);
    else {
      await gateway.publish({ key: "first", value: chatJob(jobId, jobId), headers: { kafka_correlationId: "first" } });
      await gateway.result(jobId);
    }
    // Equal in format and body; priority and labels are not compared.
    await gateway.publish({
      key: "second",
      value: chatJob(jobId, jobId, { priority: 9, labels: { team: "b" } }),
      headers: { kafka_correlationId: "second" },
    });
    const results = await twoResults(jobId);
    const first = results.find((record) => headerText(record, "llm-duplicate") === null);
    const again = results.find((record) => headerText(record, "llm-duplicate") === "true");
    expect(
      [first, again].map((record) => (record === undefined ? null : headerText(record, "kafka_correlationId"))),
    ).toEqual(["first", "second"]);
    expect(again?.value).toEqual(first?.value);
    expect(again === undefined ? null : headerText(again, "ce_id")).toBe(
      first === undefined ? "" : resultIn(first).resultId,
    );
    expect((await billedCalls()) - callsBefore).toBe(1);
  },
);

test("[C20] [B21] tells two equal records of one group apart from one", async () => {
  const callsBefore = await billedCalls();
  const value = chatJob("at once", "at once");
  await gateway.topics.publish([{ value }, { value }, { value: chatJob("at once", "not the same") }]);
  const results = await twoResults("at once");
  expect(results.map((record) => headerText(record, "llm-duplicate")).sort()).toEqual(["true", null].sort());
  await gateway.until(
    "the conflict",
    () => gateway.topics.deadLetters.find((letter) => letter.value?.toString().includes("not the same")) ?? null,
  );
  expect((await billedCalls()) - callsBefore).toBe(1);
});

test("[B21] a producer that sends each record twice gets one call and one result of each, and the repeats are counted", async () => {
  const jobIds = Array.from({ length: 50 }, (_unused, index) => `b21 ${String(index)}`);
  const callsBefore = await billedCalls();
  const repeatsBefore = await countedRepeats();
  // As a retry of whole batches whose acknowledgement was lost: before the first ones are answered, and after.
  const records = jobIds.map((id) => ({ value: chatJob(id, id) }));
  await gateway.topics.publish(records.slice(0, 25));
  await gateway.topics.publish(records.slice(0, 25));
  await gateway.topics.publish(records.slice(25));
  for (const id of jobIds) await gateway.result(id);
  await gateway.topics.publish(records.slice(25));
  for (const id of jobIds) {
    const results = await twoResults(id);
    expect(results.map((record) => headerText(record, "llm-duplicate")).sort()).toEqual(["true", null].sort());
    expect(new Set(results.map((record) => `${headerText(record, "ce_id") ?? ""} ${String(record.value)}`)).size).toBe(
      1,
    );
    expect(results.map((record) => answerDigests(resultIn(record)).prompt)).toEqual([digestOf(id), digestOf(id)]);
  }
  expect((await billedCalls()) - callsBefore).toBe(50);
  expect((await countedRepeats()) - repeatsBefore).toBe(50);
});

test("[C21] serves one id in two tenants as two jobs, each with its own call", async () => {
  const callsBefore = await billedCalls();
  await gateway.topics.publish([
    { value: chatJob("shared id", "shared") },
    { value: chatJob("shared id", "shared", { tenant: "zenith" }) },
  ]);
  const results = [
    resultIn(await gateway.result("shared id", "acme")),
    resultIn(await gateway.result("shared id", "zenith")),
  ];
  expect(results.map(({ status, served }) => ({ status, served }))).toEqual([
    { status: "succeeded", served: "call" },
    { status: "succeeded", served: "call" },
  ]);
  expect(new Set(results.map(({ resultId }) => resultId)).size).toBe(2);
  expect((await billedCalls()) - callsBefore).toBe(2);
});

test("[I1] [I2] of 100 jobs at once with money for one call one is served; the others wait for it, and fail once it is spent", async () => {
  const billed = await billedCalls();
  await gateway.simulator.setLatency(LATENCY_MS);
  await gateway.topics.publish(POOR_JOBS.map((jobId) => ({ value: chatJob(jobId, jobId, { tenant: "poor" }) })));
  await gateway.until("the jobs that wait", async () => {
    const rows = await gateway.query<{ no: string }>("SELECT no FROM ready WHERE waits_for = 'budget'");
    return rows.length === POOR_JOBS.length - 1;
  });
  const reserved =
    "SELECT settled_nano, reserved_nano = $1::int8 AS all, (SELECT count(*) FROM attempts WHERE reserved_in IS NOT NULL) FROM budgets";
  expect(await gateway.query(reserved, [ONE_CALL_NANO_USD])).toEqual([{ settled_nano: "0", all: true, count: "1" }]);

  const results = await Promise.all(POOR_JOBS.map((jobId) => gateway.result(jobId, "poor")));
  const ends = results.map((record) => resultIn(record)).map(({ status, error }) => error?.code ?? status);
  expect(ends.filter((end) => end === "succeeded")).toHaveLength(1);
  expect(ends.filter((end) => end === "BUDGET_EXCEEDED")).toHaveLength(99);
  expect(await billedCalls()).toBe(billed + 1);
  const [served] = results.map((record) => resultIn(record)).filter(({ status }) => status === "succeeded");
  const settledNanoUsd = served?.cost.nanoUsd ?? "";
  expect(await gateway.cliJson("budgets", "ls")).toMatchObject({
    budgets: [
      {
        tenant: "poor",
        limitNanoUsd: String(ONE_CALL_NANO_USD),
        settledNanoUsd,
        reservedNanoUsd: "0",
        leftNanoUsd: String(ONE_CALL_NANO_USD - Number(settledNanoUsd)),
        reservations: 0,
        inDoubt: 0,
      },
    ],
  });
});
