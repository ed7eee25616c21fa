/** Row A15 of the fault catalogue: a router that is stopped beyond the death of its session, and wakes while another has its work. */
import { afterAll, expect, test } from "@jest/globals";
import { setTimeout as sleep } from "node:timers/promises";
import { Gateway } from "../support/gateway.js";
import { answerDigests, chatJob, digestOf, headerText, resultIn } from "../support/gateway-records.js";

let gateway: Gateway;
afterAll(async () => {
  await gateway.close();
});

/** Longer than the 15 s after which a silent session is declared dead, and than Kafka's session timeout. */
const STOPPED_MS = 40_000;

test("[A15] a router stopped for 40 s wakes as a zombie: its decisions are refused, its facts recorded, each job answered once", async () => {
  // Default session times: a beat each 3 s, no start after 9 s, dead after 15 s.
  gateway = await Gateway.open({
    name: "a15",
    latencyMs: 4000,
    config: { callTimeoutMs: 120_000, inDoubt: { policy: "retry", graceMs: 2000 } },
  });
  // One of the zombie's calls is refused by the provider: for it that means to fail the job, a decision that is no longer its own.
  await gateway.simulator.setFaults([{ match: { count: 1 }, fault: { kind: "status", status: 400 } }]);
  const zombie = await gateway.startRouter("zombie");
  const jobIds = Array.from({ length: 12 }, (_unused, index) => `a15 ${String(index)}`);
  await gateway.topics.publish(jobIds.map((id) => ({ value: chatJob(id, id) })));
  const inAir = await gateway.until("calls in the air", async () => {
    const open = await gateway.simulator.openCalls();
    return open > 0 ? open : null;
  });
  zombie.signal("SIGSTOP");
  const stoppedMs = Date.now();
  await gateway.simulator.setLatency(0);
  const heldByZombie = await gateway.query<{ no: string }>("SELECT no FROM attempts WHERE state = 'sending'");
  expect(heldByZombie.length).toBeGreaterThan(0);
  expect(inAir).toBeGreaterThan(0);
  const successor = await gateway.startRouter("successor");
  for (const id of jobIds) await gateway.result(id);
  expect(Date.now() - stoppedMs).toBeLessThan(STOPPED_MS);
  const resultsBefore = gateway.topics.results.length;
  await sleep(STOPPED_MS - (Date.now() - stoppedMs)); // the fault itself lasts this long
  zombie.signal("SIGCONT");
  // The answers to its calls lay in its sockets all the time: facts, which it now brings to the ledger.
  const outcomes = await gateway.until("the facts of the zombie", async () => {
    const rows = await gateway.query<{ state: string; outcome: string }>(
      "SELECT state, outcome FROM attempts WHERE no = ANY($1) AND state IN ('answered', 'failed')",
      [heldByZombie.map(({ no }) => no)],
    );
    return rows.length === heldByZombie.length ? rows : null;
  });
  expect(outcomes.filter(({ state }) => state === "failed")).toEqual([{ state: "failed", outcome: "refused" }]);
  await gateway.until("the end of its session", () => zombie.events("session.over").length > 0);
  // It opens a new session and is a router like any other again.
  await gateway.until("its next session", () => zombie.events("session.opened").length === 2);
  await gateway.topics.publish([{ value: chatJob("after", "after") }]);
  await gateway.result("after");
  expect(zombie.running && successor.running).toBe(true);

  for (const id of jobIds) expect(answerDigests(resultIn(await gateway.result(id))).prompt).toBe(digestOf(id));
  const distinct = new Set(gateway.topics.results.map((record) => headerText(record, "ce_id")));
  expect(distinct.size).toBe(jobIds.length + 1);
  expect(gateway.topics.results).toHaveLength(resultsBefore + 1);
  expect(gateway.topics.deadLetters).toEqual([]);

  // Each billed call is in the ledger once: the charge of the job it served, or waste; the doubt's record is corrected by an adjustment.
  const calls = (await gateway.simulator.bill()).length;
  expect(calls).toBe(jobIds.length + 1 + heldByZombie.length - 1); // the refused call is not billed
  const facts = await gateway.query<{ nano: string }>("SELECT nano_usd AS nano FROM attempts WHERE state = 'answered'");
  expect(facts).toHaveLength(calls);
  const billed = await gateway.simulator.billedNanoUsd();
  expect(facts.reduce((sum, { nano }) => sum + BigInt(nano), 0n)).toBe(billed);
  const costs = await gateway.until("a cost record for every call", () => {
    const byId = new Map(
      gateway.topics.costs.map((record) => [
        headerText(record, "ce_id"),
        JSON.parse(record.value?.toString() ?? "") as { nanoUsd: string | null; kind: string },
      ]),
    );
    const settled = [...byId.values()].filter(({ nanoUsd }) => nanoUsd !== null);
    return settled.length >= calls ? settled : null;
  });
  expect(costs.reduce((sum, { nanoUsd }) => sum + BigInt(nanoUsd ?? "0"), 0n)).toBe(billed);
}, 120_000);
