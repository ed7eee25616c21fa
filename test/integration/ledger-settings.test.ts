/** Keys of the config that reach the ledger's transactions. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Gateway } from "../support/gateway.js";
import { chatJob, resultIn } from "../support/gateway-records.js";

const JOBS = 6;

let gateway: Gateway;
beforeAll(async () => {
  gateway = await Gateway.open({
    name: "ledger-settings",
    latencyMs: 1500,
    config: { limits: { groups: { waitersMax: 1 } }, sections: { storage: { compressAboveBytes: 0 } } },
  });
  await gateway.startRouter();
});
afterAll(async () => {
  await gateway.close();
});

test("limits.groups.waitersMax: one waiting job is answered with the call's own, the sweep answers the rest", async () => {
  const ids = Array.from({ length: JOBS }, (_unused, index) => `shared ${String(index)}`);
  await gateway.topics.publish(ids.map((jobId) => ({ value: chatJob(jobId, "the same question") })));
  const served = await Promise.all(ids.map(async (jobId) => resultIn(await gateway.result(jobId)).served));
  expect([...served].sort()).toEqual(["call", ...Array.from({ length: JOBS - 1 }, () => "coalesced")]);
  expect(await gateway.simulator.bill()).toHaveLength(1);
  const ends = await gateway.query<{ jobs: string }>(
    "SELECT count(*) AS jobs FROM jobs GROUP BY ended_ms ORDER BY ended_ms",
  );
  expect(ends.map(({ jobs }) => Number(jobs))).toEqual([2, JOBS - 2]);
});

test("storage.compressAboveBytes: with 0 each request and answer is stored compressed", async () => {
  const rows = await gateway.query("SELECT request_gzip, answer_gzip FROM executions");
  expect(rows).toEqual([{ request_gzip: true, answer_gzip: true }]);
});
