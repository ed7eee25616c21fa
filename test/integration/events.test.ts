/** The events topic of a gateway on real servers: doubts, conflicts and operators' actions. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Gateway } from "../support/gateway.js";
import { chatJob, headerText, resultIn } from "../support/gateway-records.js";

let gateway: Gateway;
beforeAll(async () => {
  gateway = await Gateway.open({
    name: "events",
    config: {
      inDoubt: { policy: "retry", graceMs: 500 },
      postgres: { session: { beatMs: 500, stopAfterMs: 1500, deadAfterMs: 3000 } },
    },
  });
});
afterAll(async () => {
  await gateway.close();
});

interface EventDocument {
  readonly eventId: string;
  readonly kind: string;
  readonly tenant: string | null;
  readonly jobId: string | null;
  readonly message: string;
}

/** The first event of a kind about a job, once it is there; its key and `ce_id` are checked on the way. */
async function event(kind: string, jobId: string): Promise<EventDocument> {
  const record = await gateway.until(
    `event ${kind} of ${jobId}`,
    () =>
      gateway.topics.events.find((found) => {
        const document = JSON.parse(found.value?.toString() ?? "") as EventDocument;
        return document.kind === kind && document.jobId === jobId;
      }) ?? null,
  );
  const document = JSON.parse(record.value?.toString() ?? "") as EventDocument;
  expect([record.key?.toString(), headerText(record, "ce_id")]).toEqual([jobId, document.eventId]);
  return document;
}

test("tells of a killed router's doubt and of its end", async () => {
  const first = await gateway.startRouter();
  await gateway.simulator.setLatency(60_000);
  await gateway.publish({ value: chatJob("doubtful", "doubtful") });
  await gateway.until("the call in the air", async () => (await gateway.simulator.openCalls()) === 1);
  await first.end("SIGKILL");
  await gateway.simulator.setLatency(0);
  await gateway.startRouter();
  expect(resultIn(await gateway.result("doubtful")).status).toBe("succeeded");
  expect(await event("attempt.in_doubt", "doubtful")).toMatchObject({
    tenant: "acme",
    message: expect.stringContaining("openai-main/gpt-4.1-mini may have been billed"),
  });
  expect((await event("attempt.settled", "doubtful")).message).toContain("another attempt follows");
});

test("tells of an id that came with another body, and of what an operator does with its dead letter", async () => {
  await gateway.publish({ value: chatJob("taken", "the first") });
  await gateway.result("taken");
  const offset = await gateway.publish({ value: chatJob("taken", "the second") });
  await gateway.deadLetterOf(offset);
  expect(await event("job.id_conflict", "taken")).toMatchObject({ tenant: "acme" });
  expect(await gateway.cli("dlq", "discard", "--where", "code = ID_CONFLICT", "--yes")).toMatchObject({
    exitCode: 0,
    notes: [],
  });
  expect((await event("operator.discarded", "taken")).message).toMatch(
    /^discarded dead letter \d+ \(ID_CONFLICT\), by /,
  );
});

test("tells of a cancelled job, of a replay, and of a doubt that an operator resolved", async () => {
  await gateway.simulator.setLatency(10_000);
  await gateway.publish({ value: chatJob("unwanted", "unwanted") });
  await gateway.until("the call in the air", async () => (await gateway.simulator.openCalls()) === 1);
  expect((await gateway.cli("jobs", "cancel", "unwanted")).exitCode).toBe(0);
  expect(await event("operator.cancelled", "unwanted")).toMatchObject({ tenant: "acme" });
  await gateway.simulator.setLatency(0);

  await gateway.simulator.setFaults([{ match: { count: 1 }, fault: { kind: "status", status: 400 } }]);
  await gateway.publish({ value: chatJob("refused", "refused") });
  expect(resultIn(await gateway.result("refused")).status).toBe("failed");
  expect((await gateway.cli("dlq", "replay", "--where", "code = PROVIDER_REFUSED", "--yes")).exitCode).toBe(0);
  expect((await event("operator.replayed", "refused")).message).toContain("as generation 1 of its job");

  const listed = await gateway.cli("in-doubt", "ls", "--json");
  const { attempts } = JSON.parse(listed.data[0] ?? "") as { attempts: readonly { attemptId: string }[] };
  const id = attempts[0]?.attemptId ?? "";
  expect((await gateway.cli("in-doubt", "resolve", id, "--as", "not-billed")).exitCode).toBe(0);
  expect((await event("operator.resolved", "doubtful")).message).toContain("as not billed, by ");
});
