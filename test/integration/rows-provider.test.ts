/** Rows of groups G, C, D and J of the fault catalogue in which a provider misbehaves, on a whole gateway with one account at the simulator. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import { Gateway } from "../support/gateway.js";
import { chatJob, resultIn, type ResultDocument } from "../support/gateway-records.js";

let gateway: Gateway;
beforeAll(async () => {
  gateway = await Gateway.open({
    name: "provider",
    config: {
      callTimeoutMs: 15_000,
      inDoubt: { policy: "retry", graceMs: 500 },
      // Faults of one test must not close the account to the next.
      sections: { health: { openAfter: 1000, failureRate: 1, rateCallsMin: 100 } },
    },
  });
  await gateway.startRouter();
});
afterEach(async () => {
  await gateway.simulator.setFaults([]);
  await gateway.simulator.setLatency(0);
});
afterAll(async () => {
  await gateway.close();
});

const first = (fault: Readonly<Record<string, unknown>>): Promise<void> =>
  gateway.simulator.setFaults([{ match: { nth: 1 }, fault }]);
const publish = async (jobId: string, fields: Readonly<Record<string, unknown>> = {}): Promise<void> => {
  await gateway.publish({ value: chatJob(jobId, jobId, fields) });
};
async function resultOf(jobId: string): Promise<ResultDocument> {
  return resultIn(await gateway.result(jobId));
}
/** How often a kind of fault has struck since the simulator's start. */
const struck = async (kind: string): Promise<number> => (await gateway.simulator.faultsFired())[kind] ?? 0;
const outcomesOf = ({ attempts }: ResultDocument): readonly string[] => attempts.map(({ outcome }) => outcome);
const billed = async (): Promise<number> => (await gateway.simulator.bill()).length;

interface Cost {
  readonly jobId: string | null;
  readonly billing: string;
  readonly nanoUsd: string | null;
  readonly maxNanoUsd: string;
  readonly model: string;
  readonly modelVersion: string | null;
}

/** The cost records of a job, once there are so many. */
function costsOf(jobId: string, count: number): Promise<readonly Cost[]> {
  return gateway.until(`${String(count)} cost records of ${jobId}`, () => {
    const own = gateway.topics.costs
      .map(({ value }) => JSON.parse(value?.toString() ?? "") as Cost) // what contract.md says of a cost record
      .filter((cost) => cost.jobId === jobId);
    return own.length >= count ? own : null;
  });
}

test.each(["seconds", "date", "ms", "missing"])(
  "[G1] a 429 whose wait is told in %s is followed by one more call",
  async (form) => {
    const jobId = `g1 ${form}`;
    await first({ kind: "rate_limited", retryAfter: form, waitMs: 1000 });
    await publish(jobId);
    expect(outcomesOf(await resultOf(jobId))).toEqual(["rate_limited", "succeeded"]);
    expect(await costsOf(jobId, 1)).toMatchObject([{ billing: "charged" }]);
  },
);

test("[G1] a 429 that asks for ten days is not hammered: the job waits until its deadline", async () => {
  const before = await struck("rate_limited");
  await gateway.simulator.setFaults([{ fault: { kind: "rate_limited", retryAfter: "absurd" } }]);
  await publish("g1 absurd", { ttlMs: 4000 });
  const result = await resultOf("g1 absurd");
  expect(["DEADLINE_EXCEEDED", "PROVIDER_UNAVAILABLE"]).toContain(result.error?.code);
  expect(outcomesOf(result)).toEqual(["rate_limited"]);
  expect(await struck("rate_limited")).toBe(before + 1);
});

test("[G2] a burst of 500, 502, 503 and 529 is ridden out with retries, and paid once", async () => {
  const before = await billed();
  await gateway.simulator.setFaults(
    [500, 502, 503, 529].map((status) => ({ match: { nth: 1 }, fault: { kind: "status", status } })),
  );
  await publish("g2");
  const result = await resultOf("g2");
  // 529 is Anthropic's own word: at OpenAI nobody knows it, and it is tried again as such.
  expect(outcomesOf(result)).toEqual(["overloaded", "overloaded", "overloaded", "unclassified", "succeeded"]);
  expect(await billed()).toBe(before + 1);
});

test("[G6] a web page with status 200 is no answer: in doubt, then asked once more", async () => {
  await first({ kind: "html_200" });
  await publish("g6");
  const result = await resultOf("g6");
  expect(result.status).toBe("succeeded");
  expect(result.attempts).toHaveLength(2);
  await first({ kind: "html_200" });
  await publish("g6 alone", { onDoubt: "fail" });
  const alone = await resultOf("g6 alone");
  expect(alone.status).toBe("failed");
  expect(alone.error?.code).toBe("PROVIDER_BAD_RESPONSE");
  expect(alone.error?.message).not.toContain("<html");
});

test("[G7] a redirect to another host is not followed, and the key goes nowhere else", async () => {
  let visits = 0;
  const elsewhere = createServer((_request, response) => {
    visits += 1;
    response.end();
  });
  await new Promise<void>((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));
  const { port } = elsewhere.address() as AddressInfo; // it listens on TCP
  await first({ kind: "redirect", location: `http://127.0.0.1:${String(port)}/v1/chat/completions` });
  await publish("g7");
  const result = await resultOf("g7");
  await new Promise((resolve) => elsewhere.close(resolve));
  expect(visits).toBe(0);
  expect(result.status).toBe("succeeded");
  expect(result.attempts).toHaveLength(2);
});

test.each(["missing", "negative", "huge", "not_a_number", "wrong_total"])(
  "[G9] an answer whose usage lies (%s) is suspect, never free and never negative",
  async (how) => {
    const jobId = `g9 ${how}`;
    await first({ kind: "wrong_usage", how });
    await publish(jobId);
    expect((await resultOf(jobId)).status).toBe("succeeded");
    const [cost] = await costsOf(jobId, 1);
    expect(cost).toMatchObject({ billing: "suspect", nanoUsd: null });
    expect(BigInt(cost?.maxNanoUsd ?? 0) > 0n).toBe(true);
  },
);

test("[G10] an answer of another model is priced as that model, as it is billed", async () => {
  const before = await billed();
  await first({ kind: "wrong_model", model: "gpt-4.1" });
  await publish("g10");
  expect((await resultOf("g10")).status).toBe("succeeded");
  const [cost] = await costsOf("g10", 1);
  const [row] = (await gateway.simulator.bill()).slice(before);
  expect(cost?.billing).toBe("charged");
  expect(cost?.nanoUsd).toBe(row?.nanoUsd);
  expect(cost?.modelVersion).toMatch(/^gpt-4\.1(?!-mini)/);
});

test("[G13] with every route away a job waits, tries and ends in words; nothing is paid", async () => {
  const before = await billed();
  await gateway.simulator.setFaults([{ fault: { kind: "status", status: 503 } }]);
  await publish("g13", { ttlMs: 30_000 });
  const result = await resultOf("g13");
  expect(result.status).toBe("failed");
  expect(result.error?.code).toBe("PROVIDER_UNAVAILABLE");
  expect(await billed()).toBe(before);
});

test("[C23] of a group that shares a call one is cancelled, and the other gets the answer", async () => {
  const before = await billed();
  await gateway.simulator.setLatency(5000);
  await gateway.topics.publish([{ value: chatJob("c23 leader", "c23") }, { value: chatJob("c23 follower", "c23") }]);
  await gateway.until("the call", async () => (await gateway.simulator.openCalls()) === 1);
  expect([0, 6]).toContain((await gateway.cli("jobs", "cancel", "c23 leader")).exitCode); // 6: its call is not stopped
  expect(await resultOf("c23 leader")).toMatchObject({ status: "cancelled", error: { code: "CANCELLED" } });
  expect((await resultOf("c23 follower")).status).toBe("succeeded");
  expect(await billed()).toBe(before + 1);
});

test("[C23] of a group that shares a call one runs out of time, and the other gets the answer", async () => {
  const before = await billed();
  await gateway.simulator.setLatency(4000);
  await gateway.topics.publish([
    { value: chatJob("c23 short", "c23 in time", { ttlMs: 1500 }) },
    { value: chatJob("c23 long", "c23 in time") },
  ]);
  await gateway.until("the call", async () => (await gateway.simulator.openCalls()) === 1);
  expect(await resultOf("c23 short")).toMatchObject({ status: "expired", error: { code: "DEADLINE_EXCEEDED" } });
  expect(await billed()).toBe(before); // its call is still out, for the other
  expect((await resultOf("c23 long")).status).toBe("succeeded");
  expect(await billed()).toBe(before + 1);
  expect(gateway.resultsOf("c23 short")).toHaveLength(1);
});

test("[C23] of a group whose call fails all fail with it, with one history", async () => {
  await gateway.simulator.setLatency(1000);
  const before = await struck("status");
  await first({ kind: "status", status: 400 });
  await gateway.topics.publish([
    { value: chatJob("c23 a", "c23 failing") },
    { value: chatJob("c23 b", "c23 failing") },
  ]);
  const results = [await resultOf("c23 a"), await resultOf("c23 b")];
  expect(results.map(({ status, error }) => [status, error?.code])).toEqual([
    ["failed", "PROVIDER_REFUSED"],
    ["failed", "PROVIDER_REFUSED"],
  ]);
  expect(new Set(results.map(({ attempts }) => JSON.stringify(attempts))).size).toBe(1);
  expect(await struck("status")).toBe(before + 1);
});

test.each([
  ["a refusal", { kind: "refusal" }, {}],
  ["an error", { kind: "status", status: 400 }, {}],
  ["a cut answer", null, { max_tokens: 2 }],
] as const)("[C24] an equal request after %s gets a call of its own", async (name, fault, body) => {
  const value = (jobId: string): string =>
    JSON.stringify({
      jobId,
      tenant: "acme",
      body: { model: "cheap", messages: [{ role: "user", content: `c24 ${name}` }], max_tokens: 64, ...body },
    });
  if (fault !== null) await first(fault);
  await gateway.publish({ value: value(`c24 ${name} 1`) });
  await resultOf(`c24 ${name} 1`);
  const before = await billed();
  await gateway.publish({ value: value(`c24 ${name} 2`) });
  const second = await resultOf(`c24 ${name} 2`);
  expect(second).toMatchObject({ status: "succeeded", served: "call" });
  expect(await billed()).toBe(before + 1);
});

test.each([
  ["a deadline in the past", { deadline: "2020-01-01T00:00:00Z" }],
  ["no time at all", { ttlMs: 0 }],
])("[D1] a job with %s expires at once, without a call", async (name, fields) => {
  const before = await billed();
  const jobId = `d1 ${name}`;
  await publish(jobId, fields);
  expect(await resultOf(jobId)).toMatchObject({
    status: "expired",
    error: { code: "DEADLINE_EXCEEDED" },
    attempts: [],
  });
  expect(await billed()).toBe(before);
});

test("[J1] a replay of a job that was answered makes no call, and says so", async () => {
  await first({ kind: "status", status: 400 });
  await publish("j1");
  expect((await resultOf("j1")).error?.code).toBe("PROVIDER_REFUSED");
  const replay = () => gateway.cli("dlq", "replay", "--where", "jobId = j1", "--yes");
  const [letter] = await gateway.query<{ no: string }>(
    "SELECT no FROM dead_letters WHERE job_id = convert_to('j1', 'UTF8')",
  );
  expect((await replay()).exitCode).toBe(0);
  await gateway.until("the answer of its next generation", () =>
    gateway.resultsOf("j1").some((record) => resultIn(record).status === "succeeded"),
  );
  const before = await billed();
  const again = await gateway.cli("dlq", "replay", letter?.no ?? "", "--yes");
  expect(again.exitCode).toBe(6);
  expect(again.notes.join("\n")).toContain("it was replayed already");
  expect(await billed()).toBe(before);
  expect(gateway.resultsOf("j1").map((record) => resultIn(record).generation)).toEqual([0, 1]);
});
