/** Rows C8 and C17 of the fault catalogue: records that are too large, as sent or once inflated. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { CompressionTypes } from "kafkajs";
import { Gateway } from "../support/gateway.js";
import { answerDigests, chatJob, digestOf, headerText, resultIn } from "../support/gateway-records.js";
import type { GatewayRouter } from "../support/gateway-router.js";

const MIB = 1_048_576;
/** What a record may add to the router's memory: its bytes five times (inflated, decoded, bound, written and sent), and what any work leaves. */
const TIMES_MAX = 5;
const WORK_MB = 80;

let gateway: Gateway;
let router: GatewayRouter;
beforeAll(async () => {
  gateway = await Gateway.open({ name: "oversize", messageBytesMax: 24 * MIB });
  router = await gateway.startRouter();
});
afterAll(async () => {
  await gateway.close();
});

/** Dead letters beyond what a broker takes by default have no value on their topic; the ledger's row has it. */
const OMITTED_ABOVE_BYTES = 1_000_000;

/** A job whose record has exactly this many bytes. */
function jobOf(jobId: string, bytes: number): Buffer {
  const empty = chatJob(jobId, "");
  return Buffer.from(chatJob(jobId, "x".repeat(bytes - Buffer.byteLength(empty))));
}

async function isTooLarge(offset: number, value: Buffer): Promise<void> {
  const letter = await gateway.deadLetterOf(offset);
  expect(headerText(letter, "llm-error-code")).toBe("TOO_LARGE");
  expect(headerText(letter, "__dlq.errors.message")).toContain(
    `at most ${String(MIB)} bytes (limits.intake.valueBytesMax), got ${String(value.length)}`,
  );
  expect(value.length).toBeGreaterThan(OMITTED_ABOVE_BYTES);
  expect(letter.value).toBeNull();
  expect(headerText(letter, "llm-value-omitted-bytes")).toBe(String(value.length));
  const rows = await gateway.query<{ sha: string; state: string }>(
    "SELECT encode(sha256(record_value), 'hex') AS sha, state FROM dead_letters WHERE source_offset = $1",
    [offset],
  );
  expect(rows).toEqual([{ sha: createHash("sha256").update(value).digest("hex"), state: "open" }]);
}

/** Does the work, and a small job behind it. @param valueMib size of the largest record, which bounds the memory that this may take. */
async function boundedBy(valueMib: number, jobId: string, work: () => Promise<void>): Promise<void> {
  const before = router.peakIsNow();
  await work();
  await goesOn(jobId);
  const taken = router.peakRssMb() - before;
  expect(taken).toBeLessThan(WORK_MB + TIMES_MAX * valueMib);
}

async function goesOn(jobId: string): Promise<void> {
  await gateway.publish({ value: chatJob(jobId, jobId) });
  const result = resultIn(await gateway.result(jobId));
  expect(result.status).toBe("succeeded");
  expect(answerDigests(result).prompt).toBe(digestOf(jobId));
}

test("[C8] serves a job of exactly the limit and refuses one byte more", async () => {
  await boundedBy(1, "after 1 MiB", async () => {
    const [most, more] = [jobOf("exactly 1 MiB", MIB), jobOf("1 MiB and a byte", MIB + 1)];
    const offsets = await gateway.topics.publish([{ value: most }, { value: more }]);
    const result = resultIn(await gateway.result("exactly 1 MiB"));
    expect(result.status).toBe("succeeded");
    expect(answerDigests(result).prompt).toBe(
      digestOf("x".repeat(MIB - Buffer.byteLength(chatJob("exactly 1 MiB", "")))),
    );
    await isTooLarge(offsets[1] ?? -1, more);
  });
});

test("[C8] refuses a prompt of a million tokens and one of 10 MiB, bytes kept, memory bounded", async () => {
  await boundedBy(10, "after 10 MiB", async () => {
    const tokens = Buffer.from(chatJob("a million tokens", "word ".repeat(1_000_000)));
    const large = jobOf("10 MiB", 10 * MIB);
    // One by one: a batch of both would be beyond what the topic takes.
    const offsets = [await gateway.publish({ value: tokens }), await gateway.publish({ value: large })];
    await isTooLarge(offsets[0] ?? -1, tokens);
    await isTooLarge(offsets[1] ?? -1, large);
  });
});

test("[C17] refuses a small batch that inflates beyond the limit, and its neighbours are served", async () => {
  await boundedBy(20, "after the bomb", async () => {
    const bomb = jobOf("a bomb", 20 * MIB);
    const offsets = await gateway.topics.publish(
      [
        { value: chatJob("before the bomb", "before") },
        { value: bomb },
        { value: chatJob("behind the bomb", "behind") },
      ],
      CompressionTypes.GZIP,
    );
    await isTooLarge(offsets[1] ?? -1, bomb);
    for (const [jobId, prompt] of [
      ["before the bomb", "before"],
      ["behind the bomb", "behind"],
    ] as const) {
      expect(answerDigests(resultIn(await gateway.result(jobId))).prompt).toBe(digestOf(prompt));
    }
  });
});

test("[C8] takes a record of 100 MiB that only compression brought through the broker, and goes on with bounded memory", async () => {
  await boundedBy(100, "after 100 MiB", async () => {
    const huge = jobOf("100 MiB", 100 * MIB);
    const [offset] = await gateway.topics.publish([{ value: huge }], CompressionTypes.GZIP);
    await isTooLarge(offset ?? -1, huge);
  });
});
