import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Kafka, logLevel } from "kafkajs";
import type { Admin, Consumer } from "kafkajs";
import { parseObject, numberField, textField } from "./reader/json-fields.js";

/** Counts answered jobs as their results appear in the results topic: how far the run is, seen from outside. */
export interface ResultsWatch {
  readonly answeredJobs: () => number;
  /** When the last new answer was seen, null before the first. */
  readonly lastAnswerMs: () => number | null;
  readonly stop: () => Promise<void>;
}

function client(brokers: readonly string[]): Kafka {
  return new Kafka({ clientId: "sluice-demo-watch", brokers: [...brokers], logLevel: logLevel.NOTHING });
}

/** Follows the results topic from its start until stopped. The count is for progress only; the reader judges. */
export async function watchResults(brokers: readonly string[], topic: string): Promise<ResultsWatch> {
  const consumer: Consumer = client(brokers).consumer({
    groupId: `demo-watch-${randomUUID()}`,
    allowAutoTopicCreation: false,
    maxWaitTimeInMs: 100,
  });
  const answered = new Set<string>();
  let lastAnswerMs: number | null = null;
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachBatch: ({ batch }) => {
      const before = answered.size;
      for (const message of batch.messages) {
        const key = answeredJob(message.value);
        if (key !== null) answered.add(key);
      }
      if (answered.size > before) lastAnswerMs = Date.now();
      return Promise.resolve();
    },
  });
  return { answeredJobs: () => answered.size, lastAnswerMs: () => lastAnswerMs, stop: () => consumer.disconnect() };
}

function answeredJob(value: Buffer | null): string | null {
  const result = value === null ? null : parseObject(value.toString("utf8"));
  if (result === null || (numberField(result, "generation") ?? -1) < 0) return null;
  return JSON.stringify([textField(result, "tenant"), textField(result, "jobId")]);
}

const LOOK_EVERY_MS = 250;

/**
 * Waits until the intake group has a member that may read.
 * @returns false when that did not happen within `timeoutMs`; the caller decides what it means.
 */
export async function waitForIntake(
  brokers: readonly string[],
  groupId: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  return withAdmin(brokers, async (admin) => {
    const until = Date.now() + timeoutMs;
    while (Date.now() < until) {
      const { groups } = await admin.describeGroups([groupId]);
      if (groups.some((group) => group.state === "Stable" && group.members.length > 0)) return true;
      await sleep(LOOK_EVERY_MS, undefined, { signal });
    }
    return false;
  });
}

/** Waits until no topic has grown for `quietMs`, at most `timeoutMs`: what follows the last result is on its way too. */
export async function waitUntilQuiet(
  brokers: readonly string[],
  topics: readonly string[],
  quietMs: number,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  await withAdmin(brokers, async (admin) => {
    const until = Date.now() + timeoutMs;
    let seen = "";
    let sinceMs = Date.now();
    while (Date.now() < until) {
      const ends = await Promise.all(topics.map((topic) => admin.fetchTopicOffsets(topic)));
      const now = JSON.stringify(
        ends.map((partitions) => partitions.map(({ partition, high }) => [partition, high]).sort()),
      );
      if (now !== seen) {
        seen = now;
        sinceMs = Date.now();
      } else if (Date.now() - sinceMs >= quietMs) return;
      await sleep(LOOK_EVERY_MS, undefined, { signal });
    }
  });
}

async function withAdmin<Value>(brokers: readonly string[], use: (admin: Admin) => Promise<Value>): Promise<Value> {
  const admin = client(brokers).admin();
  await admin.connect();
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}
