/** A provider that is down and comes back, on real servers: its breaker, what jobs say while they wait, and who is told. */
import { afterAll, expect, test } from "@jest/globals";
import { Gateway } from "../support/gateway.js";
import { chatJob, resultIn } from "../support/gateway-records.js";

let gateway: Gateway;
afterAll(async () => {
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
