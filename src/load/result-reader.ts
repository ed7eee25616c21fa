import type { Consumer, Kafka } from "kafkajs";
import { JOB_KINDS, readKey, type JobKind } from "./job-kinds.js";
import { LatencyHistogram } from "./latency-histogram.js";

const DIRECT: ReadonlySet<string> = new Set(JOB_KINDS.filter(({ mode }) => mode === "direct").map(({ name }) => name));

/** Reads results as they come, and keeps how long each took since it was due. */
export class ResultReader {
  readonly #consumer: Consumer;
  #byKind = new Map<string, LatencyHistogram>();
  #direct = new LatencyHistogram();
  answered = 0;
  answeredDirect = 0;
  /** Whose status is not `succeeded`. */
  failed = 0;

  static async open(kafka: Kafka, topic: string): Promise<ResultReader> {
    const consumer = kafka.consumer({ groupId: `${topic}.reader`, maxWaitTimeInMs: 50 });
    const reader = new ResultReader(consumer);
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      eachBatch: ({ batch }) => {
        const nowMs = Date.now();
        for (const { key, value } of batch.messages) reader.#take(key?.toString("utf8") ?? "", value, nowMs);
        return Promise.resolve();
      },
    });
    return reader;
  }

  private constructor(consumer: Consumer) {
    this.#consumer = consumer;
  }

  #take(key: string, value: Buffer | null, nowMs: number): void {
    const read = readKey(key);
    if (read === null) return;
    this.answered += 1;
    if (value?.includes('"status":"succeeded"') !== true) this.failed += 1;
    const tookMs = nowMs - read.dueAtMs;
    const known = this.#byKind.get(read.kind) ?? new LatencyHistogram();
    this.#byKind.set(read.kind, known);
    known.add(tookMs);
    if (!DIRECT.has(read.kind)) return;
    this.answeredDirect += 1;
    this.#direct.add(tookMs);
  }

  /** What was answered since this was asked last. */
  takeDirect(): LatencyHistogram {
    const taken = this.#direct;
    this.#direct = new LatencyHistogram();
    return taken;
  }

  /** The same by kind of job. */
  takeKinds(): ReadonlyMap<JobKind["name"], LatencyHistogram> {
    const taken = this.#byKind;
    this.#byKind = new Map();
    return taken;
  }

  async close(): Promise<void> {
    await this.#consumer.disconnect();
  }
}
