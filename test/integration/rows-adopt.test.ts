/** Rows B9 and B11 of the fault catalogue: a jobs topic that is deleted and made anew, with an operator's decision in between. */
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { Gateway } from "../support/gateway.js";
import { answerDigests, chatJob, digestOf, headerText, resultIn } from "../support/gateway-records.js";
import type { GatewayRouter } from "../support/gateway-router.js";

/** Each look at a topic joins a group, and brokers let a new group wait for 3 s. */
const TIMEOUT_MS = 120_000;

let gateway: Gateway;
let router: GatewayRouter;
beforeEach(async () => {
  gateway = await Gateway.open({ name: "adopt", partitions: 2 });
  router = await gateway.startRouter();
});
afterEach(async () => {
  await gateway.close();
});

const job = (jobId: string, prompt = jobId): { readonly value: string; readonly partition: number } => ({
  value: chatJob(jobId, prompt),
  partition: 0,
});

interface Told {
  readonly kind: string;
}

interface Adoption {
  readonly partitions: readonly {
    readonly partition: number;
    readonly state: string;
    readonly expected: { readonly next: number; readonly witness: string | null };
    readonly found: { readonly begins: number; readonly ends: number; readonly witness: string | null };
    readonly from: number | null;
    readonly adopted: boolean;
  }[];
}

async function adopt(
  ...flags: readonly string[]
): Promise<Adoption & { readonly exitCode: number; readonly notes: readonly string[] }> {
  const { exitCode, data, notes } = await gateway.cli("topics", "adopt", "--json", ...flags);
  return { ...(JSON.parse(data[0] ?? '{"partitions":[]}') as Adoption), exitCode, notes };
}

describe("a topic made anew", () => {
  test(
    "[B9] stops its partition with an alert, the other goes on, and after the adoption its records are processed without a restart",
    async () => {
      await gateway.topics.publish([job("a"), job("b"), job("c")]);
      for (const id of ["a", "b", "c"]) await gateway.result(id);
      expect(await adopt("--topic", gateway.topics.names.jobs)).toMatchObject({
        exitCode: 6,
        notes: [expect.stringContaining("nothing to adopt")],
      });
      await gateway.topics.remakeJobs(2);
      await gateway.topics.publish([job("new"), { ...job("other"), partition: 1 }]);
      await gateway.result("other");
      const [alert] = await gateway.until("the alert", () =>
        router.events("inbox.truncated").length > 0 ? router.events("inbox.truncated") : null,
      );
      expect(alert).toMatchObject({ level: "error", partition: 0, ledgerNext: 3, logEnd: 1 });
      expect(gateway.resultsOf("new")).toEqual([]);

      const [told] = await gateway.until("its event", () =>
        gateway.topics.events.length > 0 ? gateway.topics.events : null,
      );
      expect(JSON.parse(told?.value?.toString() ?? "")).toMatchObject({
        kind: "position.truncated",
        severity: "critical",
      });

      const stopped = await gateway.cli("status", "--json");
      expect(stopped.exitCode).toBe(6);
      expect(JSON.parse(stopped.data.join("\n"))).toMatchObject({
        stoppedPartitions: [{ topic: gateway.topics.names.jobs, partition: 0, cause: "truncated", next: 3 }],
        needs: [expect.stringContaining("1 partitions are stopped")],
      });
      expect((await gateway.cli("status")).data[1]).toMatch(/^stopped +\S+ 0 at 3 \(truncated, /);

      const shown = await adopt("--dry-run");
      expect(shown.exitCode).toBe(6);
      expect(shown.partitions).toEqual([
        {
          topic: gateway.topics.names.jobs,
          partition: 0,
          state: "truncated",
          expected: { next: 3, witness: expect.stringMatching(/^[0-9a-f]{16}$/) },
          found: { begins: 0, ends: 1, witness: null },
          from: 0,
          adopted: false,
        },
        expect.objectContaining({ partition: 1, state: "fits", from: null, adopted: false }),
      ]);
      expect((await adopt()).exitCode).toBe(2);
      expect((await adopt("--topic", "no.such.topic")).exitCode).toBe(7);
      expect((await adopt("--topic", gateway.topics.names.jobs, "--partition", "9")).exitCode).toBe(7);
      expect((await adopt("--topic", gateway.topics.names.jobs, "--partition", "0", "--from", "7")).exitCode).toBe(2);

      expect(await adopt("--topic", gateway.topics.names.jobs)).toMatchObject({
        exitCode: 0,
        partitions: [
          { partition: 0, from: 0, adopted: true },
          { partition: 1, adopted: false },
        ],
      });
      expect(answerDigests(resultIn(await gateway.result("new"))).prompt).toBe(digestOf("new"));
      expect(await gateway.cliJson("status")).toMatchObject({ stoppedPartitions: [], needs: [] });
      // Known ids: the same body gets its result again, another one is refused; nothing is called twice.
      const calls = (await gateway.simulator.bill()).length;
      await gateway.topics.publish([job("a"), job("b", "another question")]);
      await gateway.until("the result of a again", () => gateway.resultsOf("a").length === 2);
      expect(gateway.resultsOf("a").map((record) => headerText(record, "llm-duplicate"))).toEqual([null, "true"]);
      const letter = await gateway.until("the dead letter of b", () => gateway.topics.deadLetters[0] ?? null);
      expect(headerText(letter, "llm-error-code")).toBe("ID_CONFLICT");
      expect((await gateway.simulator.bill()).length).toBe(calls);
      expect((await adopt("--topic", gateway.topics.names.jobs)).exitCode).toBe(6);
      const kinds = gateway.topics.events.map((record) => (JSON.parse(record.value?.toString() ?? "") as Told).kind);
      // One event for the stop, however often it was said since.
      expect(kinds.sort()).toEqual(["job.id_conflict", "operator.adopted", "position.truncated"]);
      expect(router.running).toBe(true);
      expect(router.events("session.opened")).toHaveLength(1);
    },
    TIMEOUT_MS,
  );

  test(
    "[B9] is noticed by its last accepted record when the new log is longer, and is read on from the offset that the operator names",
    async () => {
      await gateway.topics.publish([job("a"), job("b"), job("c")]);
      for (const id of ["a", "b", "c"]) await gateway.result(id);
      await router.end("SIGTERM");
      await gateway.topics.remakeJobs(2);
      // The second has an accepted record's place and id, and another body.
      await gateway.topics.publish([job("skipped"), job("b", "not as before"), job("d"), job("e"), job("f")]);
      router = await gateway.startRouter();
      await gateway.until("the alert", () => router.events("inbox.other_topic").length > 0);
      expect(await adopt("--dry-run", "--topic", gateway.topics.names.jobs)).toMatchObject({
        exitCode: 6,
        partitions: [
          { partition: 0, state: "other_topic", expected: { next: 3 }, found: { begins: 0, ends: 5 }, from: 0 },
        ],
      });
      const flags = ["--topic", gateway.topics.names.jobs, "--partition", "0", "--from", "1"];
      expect(await adopt(...flags)).toMatchObject({ exitCode: 0, partitions: [{ from: 1, adopted: true }] });
      for (const id of ["d", "e", "f"]) await gateway.result(id);
      const letter = await gateway.deadLetterOf(1);
      expect(headerText(letter, "llm-error-code")).toBe("ID_CONFLICT");
      expect(gateway.resultsOf("skipped")).toEqual([]);
      await gateway.until("the position behind the new log", async () => {
        const rows = await gateway.query<{ next: string }>("SELECT next FROM inbox_position WHERE partition = 0");
        return rows[0]?.next === "5";
      });
    },
    TIMEOUT_MS,
  );
});

test(
  "[B8] records that retention deleted before they were read are told as a gap with its length, and reading goes on behind it",
  async () => {
    await gateway.topics.publish([job("read 0"), job("read 1")]);
    for (const id of ["read 0", "read 1"]) await gateway.result(id);
    await router.end("SIGTERM");
    await gateway.topics.publish([job("gone 0"), job("gone 1"), job("gone 2"), job("kept")]);
    await gateway.topics.admin.deleteTopicRecords({
      topic: gateway.topics.names.jobs,
      partitions: [{ partition: 0, offset: "5" }],
    });
    await gateway.startRouter("router-behind");
    expect(resultIn(await gateway.result("kept")).status).toBe("succeeded");
    const told = await gateway.until(
      "the event of the gap",
      () =>
        gateway.topics.events
          .map(({ value }) => JSON.parse(value?.toString() ?? "") as Told & { readonly message: string })
          .find(({ kind }) => kind === "position.gap") ?? null,
    );
    expect(told.message).toMatch(/\b3\b/);
    for (const id of ["gone 0", "gone 1", "gone 2"]) expect(gateway.resultsOf(id)).toEqual([]);
  },
  TIMEOUT_MS,
);
