/** A provider that is down and comes back, on real servers: its breaker, what jobs say while they wait, and who is told. */
import { afterEach, expect, test } from "@jest/globals";
import { Gateway } from "../support/gateway.js";
import { chatJob, resultIn } from "../support/gateway-records.js";

let gateway: Gateway;
afterEach(async () => {
  await gateway.close();
});

interface Listed {
  readonly providers: readonly { readonly account: string; readonly state: string }[];
}
interface EventDocument {
  readonly kind: string;
  readonly account: string | null;
}
const eventKinds = (): readonly string[] =>
  gateway.topics.events.map(({ value }) => (JSON.parse(value?.toString() ?? "") as EventDocument).kind);

test("[G8] an account whose key is refused is called for no other job; they wait, and are answered once it is well", async () => {
  gateway = await Gateway.open({
    name: "breaker",
    config: { sections: { health: { accountCooldownMs: 1500, cooldownMaxMs: 1500, rampMs: 500, lookEveryMs: 200 } } },
  });
  await gateway.simulator.setFaults([{ fault: { kind: "status", status: 401 } }]);
  await gateway.startRouter();
  await gateway.publish({ value: chatJob("first", "first") });
  await gateway.until("the open breaker", async () => {
    const { providers } = (await gateway.cliJson("providers", "ls")) as Listed; // our own
    return providers.find(({ account }) => account === "openai-main")?.state === "open";
  });
  for (let no = 0; no < 20; no += 1)
    await gateway.publish({ value: chatJob(`job ${String(no)}`, `why ${String(no)}`) });
  await gateway.until("jobs that wait for it", async () => {
    const rows = await gateway.query("SELECT 1 FROM ready WHERE waits_for = 'breaker'");
    return rows.length >= 20;
  });
  await gateway.until("a second trial", async () => ((await gateway.simulator.faultsFired())["status"] ?? 0) >= 2);
  const struck = (await gateway.simulator.faultsFired())["status"] ?? 0;
  expect(struck).toBeLessThan(20); // not job by job
  await gateway.simulator.setFaults([]);
  for (let no = 0; no < 20; no += 1)
    expect(resultIn(await gateway.result(`job ${String(no)}`)).status).toBe("succeeded");
  expect(resultIn(await gateway.result("first")).status).toBe("succeeded");
  await gateway.until("the event of its end", () => eventKinds().includes("breaker.closed"));
  expect(eventKinds()).toEqual(["breaker.opened", "breaker.closed"]);
});

test("[G12] a provider that comes and goes is asked by one trial at a time, and by few calls at once when it is back", async () => {
  gateway = await Gateway.open({
    name: "flapping",
    latencyMs: 100,
    config: {
      concurrency: 32,
      delivery: { attemptsMax: 20 }, // a trial in vain is an attempt of somebody's job
      sections: { health: { openAfter: 2, cooldownMs: 300, cooldownMaxMs: 600, rampMs: 20_000, lookEveryMs: 200 } },
    },
  });
  const { simulator } = gateway;
  const failures = async (): Promise<number> => (await simulator.faultsFired())["status"] ?? 0;
  const billed = async (): Promise<number> => (await simulator.bill()).length;
  const goes = (): Promise<void> => simulator.setFaults([{ fault: { kind: "status", status: 503 } }]);
  await gateway.startRouter();
  const publish = async (jobId: string): Promise<void> => {
    await gateway.publish({ value: chatJob(jobId, jobId) });
  };
  for (const jobId of ["steady 1", "steady 2", "steady 3"]) {
    await publish(jobId);
    // One at a time: the most that were open at once is looked at below.
    await gateway.result(jobId);
  }
  await goes();
  await publish("first");
  await gateway.until("the open breaker", () => eventKinds().includes("breaker.opened"));
  const waiting = Array.from({ length: 4 }, (_unused, index) => `waits ${String(index)}`);
  for (const jobId of waiting) await publish(jobId);
  await gateway.until("jobs that wait for it", async () => {
    const rows = await gateway.query("SELECT 1 FROM ready WHERE waits_for = 'breaker'");
    return rows.length >= waiting.length;
  });
  const struck = await failures();
  await gateway.until("trials in vain", async () => (await failures()) >= struck + 2);

  await simulator.setFaults([]); // it comes …
  await gateway.until("a trial that is answered", async () => (await billed()) > 3);
  await goes(); // … and goes
  await gateway.until(
    "the breaker open again",
    () => eventKinds().filter((kind) => kind === "breaker.opened").length > 1,
  );
  await simulator.setFaults([]);
  for (const jobId of ["first", ...waiting]) expect(resultIn(await gateway.result(jobId)).status).toBe("succeeded");
  expect(await billed()).toBe(3 + 1 + waiting.length);
  // All that waited could have gone out together.
  expect(await simulator.openCallsMax()).toBeLessThan(waiting.length);
  await gateway.until("the event of its end", () => eventKinds().length >= 4);
  expect(eventKinds()).toEqual(["breaker.opened", "breaker.closed", "breaker.opened", "breaker.closed"]);
}, 60_000);
