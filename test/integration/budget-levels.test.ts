/** Budgets of several levels, where a call costs exactly what it may cost at most. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Gateway } from "../support/gateway.js";
import { chatJob, resultIn } from "../support/gateway-records.js";

/** One answer token at 1.60 US dollars a million, and a prompt that costs nothing: no answer is cheaper than the dearest. */
const ONE_CALL_NANO_USD = 1600;
const ONE_CALL_USD = "0.0000016";

let gateway: Gateway;
beforeAll(async () => {
  gateway = await Gateway.open({
    name: "levels",
    config: {
      account: { prices: { perMillion: { "gpt-4.1-mini": { input: "0", output: "1.60" } } } },
      sections: {
        budgets: [
          { tenant: "acme", limitUsd: "1", window: "month", timeZone: "Europe/Berlin" },
          { tenant: "acme", department: "narrow", limitUsd: ONE_CALL_USD },
          { tenant: "acme", department: "narrow", application: "kyc", limitUsd: "0", kind: "soft", window: "day" },
        ],
      },
    },
  });
  await Promise.all([gateway.startRouter(), gateway.startRouter(), gateway.startRouter()]);
});
afterAll(async () => {
  await gateway.close();
});

const NAMES = Array.from({ length: 100 }, (_, index) => `narrow-${String(index).padStart(2, "0")}`);

test("[I1] [I2] of 100 jobs at once of a department with money for one exactly one runs, from three routers", async () => {
  await gateway.simulator.setLatency(500);
  const labels = { department: "narrow", application: "kyc" };
  await gateway.topics.publish(NAMES.map((name) => ({ value: oneTokenJob(name, labels) })));
  await gateway.publish({ value: oneTokenJob("wide", {}) });
  const results = await Promise.all(NAMES.map((name) => gateway.result(name)));
  const ends = results.map((record) => resultIn(record)).map(({ status, error }) => error?.code ?? status);
  expect(ends.filter((end) => end === "succeeded")).toHaveLength(1);
  expect(ends.filter((end) => end === "BUDGET_EXCEEDED")).toHaveLength(99);
  const refused = results.map((record) => resultIn(record)).find(({ error }) => error?.code === "BUDGET_EXCEEDED");
  expect(refused?.error?.message).toContain("the budget of tenant acme, department narrow (in all) has 1600");
  // The tenant itself has money for others.
  expect(resultIn(await gateway.result("wide"))).toMatchObject({ status: "succeeded", cost: { nanoUsd: "1600" } });
  expect(await gateway.simulator.bill()).toHaveLength(2);

  const counted = (calls: number) => ({
    settledNanoUsd: String(calls * ONE_CALL_NANO_USD),
    reservedNanoUsd: "0",
    reservations: 0,
  });
  expect(await gateway.cliJson("budgets", "ls")).toMatchObject({
    budgets: [
      { level: "tenant", department: null, kind: "hard", window: "month", timeZone: "Europe/Berlin", ...counted(2) },
      { department: "narrow", application: null, until: null, leftNanoUsd: "0", ...counted(1) },
      { department: "narrow", application: "kyc", kind: "soft", leftNanoUsd: "-1600", ...counted(1) },
    ],
  });
});

function oneTokenJob(name: string, labels: Readonly<Record<string, string>>): string {
  const job = JSON.parse(chatJob(name, name, { labels })) as { readonly body: object };
  return JSON.stringify({ ...job, body: { ...job.body, max_tokens: 1 } });
}
