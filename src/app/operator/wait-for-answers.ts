import type { Config } from "../../config/config.js";
import { ERROR_CODES } from "../../domain/failure.js";
import { systemClock } from "../../adapters/system/system-clock.js";
import { withAdmin } from "../../adapters/kafka/topics.js";
import { untilSettled } from "../../adapters/kafka/until-settled.js";
import { openReader, readerGroup, runReader, type SeenRecord } from "./follow-results.js";

/** First offset to read of each partition. */
export type StartOffsets = readonly { readonly topic: string; readonly partition: number; readonly offset: string }[];

export interface AnswerReceipt {
  readonly jobs: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly expired: number;
  readonly cancelled: number;
  /** Records that became no job and get no result: only a dead letter tells of them. */
  readonly deadLetterOnly: number;
  /** Not answered within the wait. */
  readonly unanswered: number;
  /** What the results say, nano-dollars; results of unknown cost are counted apart. */
  readonly costNanoUsd: bigint;
  readonly unknownCosts: number;
  readonly waitedMs: number;
}

export interface AnswerWait {
  /** First part of the correlation id of every job of this run. */
  readonly run: string;
  readonly jobs: number;
  readonly since: StartOffsets;
  readonly waitMs: number;
  readonly signal: AbortSignal;
}

const LOOK_EVERY_MS = 50;

/** Reads results and dead letters from `since` until each job of the run has an answer, the wait is over or the signal comes. */
export async function waitForAnswers(config: Config, wait: AnswerWait): Promise<AnswerReceipt> {
  const startedMs = systemClock.monotonicMs();
  const tally = new AnswerTally(wait.run);
  const groupId = readerGroup(config);
  await startGroupAt(config, groupId, wait.since);
  const consumer = openReader(config, groupId);
  try {
    await consumer.connect();
    await consumer.subscribe({ topics: [...new Set(wait.since.map(({ topic }) => topic))], fromBeginning: true });
    await runReader(consumer, (record) => {
      tally.see(record);
    });
    const isOver = (): boolean =>
      tally.answered >= wait.jobs || wait.signal.aborted || systemClock.monotonicMs() - startedMs > wait.waitMs;
    while (!isOver()) await systemClock.sleep(LOOK_EVERY_MS, wait.signal);
  } finally {
    await consumer.disconnect();
  }
  return {
    ...tally.counts(),
    jobs: wait.jobs,
    unanswered: wait.jobs - tally.answered,
    waitedMs: Math.round(systemClock.monotonicMs() - startedMs),
  };
}

/**
 * Sets where a group begins before it has a member. A seek after `run` would come too early while the coordinator is loading: kafkajs has no
 * group then and refuses it.
 */
async function startGroupAt(config: Config, groupId: string, since: StartOffsets): Promise<void> {
  await withAdmin(config.kafka, async (admin) => {
    for (const topic of new Set(since.map((start) => start.topic))) {
      const partitions = since
        .filter((start) => start.topic === topic)
        .map(({ partition, offset }) => ({ partition, offset }));
      // Serial: a handful of topics, through one connection.
      await untilSettled(systemClock, () => admin.setOffsets({ groupId, topic, partitions }));
    }
  });
}

/** Counts answers by the correlation id that each job was sent with; a repeat counts once. */
export class AnswerTally {
  readonly #prefix: string;
  readonly #seen = new Set<string>();
  #counts = { succeeded: 0, failed: 0, expired: 0, cancelled: 0, deadLetterOnly: 0, costNanoUsd: 0n, unknownCosts: 0 };

  constructor(run: string) {
    this.#prefix = `${run}/`;
  }

  get answered(): number {
    return this.#seen.size;
  }

  counts(): Omit<AnswerReceipt, "jobs" | "unanswered" | "waitedMs"> {
    return this.#counts;
  }

  see(record: SeenRecord): void {
    const id = record.header("kafka_correlationId");
    if (id?.startsWith(this.#prefix) !== true || this.#seen.has(id)) return;
    const code = record.header("llm-error-code");
    const status = record.header("llm-status");
    if (status === null && (code === null || hasResult(code))) return; // a dead letter beside a result
    this.#seen.add(id);
    if (status === null) this.#counts.deadLetterOnly += 1;
    else this.#count(status, record.header("llm-cost-nano-usd"));
  }

  #count(status: string, cost: string | null): void {
    if (status === "succeeded" || status === "failed" || status === "expired" || status === "cancelled")
      this.#counts[status] += 1;
    if (cost !== null && /^\d+$/.test(cost)) this.#counts.costNanoUsd += BigInt(cost);
    else if (status === "succeeded") this.#counts.unknownCosts += 1;
  }
}

function hasResult(code: string): boolean {
  return Object.hasOwn(ERROR_CODES, code) && ERROR_CODES[code as keyof typeof ERROR_CODES].result; // it is one of them
}
