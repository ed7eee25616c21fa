/** A job whose deadline passes while an identical one waits for its provider: who joins what, on real servers. */
import { afterAll, expect, test } from "@jest/globals";
import { Gateway } from "../support/gateway.js";
import { answerDigests, chatJob, digestOf, resultIn } from "../support/gateway-records.js";

const RETRY_AFTER_S = 20;
const IN_A_HURRY = { ttlMs: 10_000 };

let gateway: Gateway;
afterAll(async () => {
  await gateway.close();
});

test("a job in a hurry is answered by another model while an identical one waits for Retry-After, and lends its answer", async () => {
  gateway = await Gateway.open({
    name: "express",
    config: {
      sections: {
        models: {
          cheap: {
            maxOutputTokensDefault: 512,
            candidates: [
              { provider: "openai-main", model: "gpt-4.1-mini" },
              { provider: "openai-main", model: "gpt-4.1-nano" },
            ],
          },
        },
      },
    },
  });
  await gateway.simulator.setFaults([
    {
      match: { model: "gpt-4.1-mini" },
      fault: { kind: "status", status: 429, headers: { "retry-after": String(RETRY_AFTER_S) } },
    },
  ]);
  await gateway.startRouter();
  await gateway.publish({ value: chatJob("patient", "why") });
  await gateway.until("the patient job's wait", async () => {
    const rows = await gateway.query("SELECT 1 FROM ready WHERE waits_for = 'retry_after'");
    return rows.length === 1;
  });

  await gateway.publish({ value: chatJob("in a hurry", "why", IN_A_HURRY) });
  const answered = resultIn(await gateway.result("in a hurry"));
  expect(answered).toMatchObject({ status: "succeeded", served: "call" });
  expect(answered.attempts.map(({ outcome }) => outcome)).toEqual(["rate_limited", "succeeded"]);
  expect(answerDigests(answered).prompt).toBe(digestOf("why"));

  await gateway.publish({ value: chatJob("third", "why") });
  expect(resultIn(await gateway.result("third"))).toMatchObject({ status: "succeeded", served: "exact_cache" });
  expect(gateway.resultsOf("patient")).toEqual([]);

  await gateway.simulator.setFaults([]);
  expect(resultIn(await gateway.result("patient"))).toMatchObject({ status: "succeeded", served: "call" });
  expect(await gateway.simulator.bill()).toHaveLength(2);
});
