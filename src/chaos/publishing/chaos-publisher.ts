import { appendFile, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { CompressionTypes, Kafka, logLevel, Partitioners, type Producer, type RecordMetadata } from "kafkajs";
import type { Film } from "../../demo/films.js";
import type { JobEncoder } from "../../demo/publisher.js";
import type { PublishedRecord } from "../evidence/evidence.js";
import { encodeRecord, type EncodedRecord } from "./encode-record.js";
import { recordsAt } from "./record-plan.js";

export interface ChaosPublisherOptions {
  readonly brokers: readonly string[];
  readonly topic: string;
  readonly partitions: number;
  readonly jobs: number;
  /** The jobs are spread evenly over this time. */
  readonly overMs: number;
  readonly films: readonly Film[];
  readonly encode: JobEncoder;
  /** Where every record goes that was given to the client, one JSON object a line; replaced. */
  readonly listFile: string;
  readonly signal: AbortSignal;
}

/** Far above what a send takes while a broker is away; bounds a run whose brokers never come back. */
const SEND_TRIES_MAX = 60;
const SEND_RETRY_MS = 500;
const STEP_MS = 100;
const RECORDS_PER_SEND = 500;

/** Publishes a run's records at a steady rate with acks=all, and keeps the list of them, which the checkers believe. */
export class ChaosPublisher {
  readonly #options: ChaosPublisherOptions;
  readonly #records: PublishedRecord[] = [];
  #jobs = 0;
  #retries = 0;

  constructor(options: ChaosPublisherOptions) {
    this.#options = options;
  }

  /** What was given to the client so far, in order. */
  get records(): readonly PublishedRecord[] {
    return this.#records;
  }

  get jobs(): number {
    return this.#jobs;
  }

  /** Sends that were made again since the brokers did not answer: their records may lie in the topic twice. */
  get retries(): number {
    return this.#retries;
  }

  /** @throws Error when brokers take no record for half a minute, or when the signal aborts. */
  async run(): Promise<void> {
    const { listFile, jobs, overMs, films, signal } = this.#options;
    await writeFile(listFile, "");
    const producer = this.#kafka().producer({
      createPartitioner: Partitioners.DefaultPartitioner,
      allowAutoTopicCreation: false,
      retry: { retries: 3 },
    });
    await producer.connect();
    const startMs = performance.now();
    try {
      let number = 0;
      while (this.#jobs < jobs) {
        const dueJobs = Math.min(jobs, Math.ceil(((performance.now() - startMs + STEP_MS) / overMs) * jobs));
        const planned = [];
        while (this.#jobs < dueJobs && planned.length < RECORDS_PER_SEND) {
          planned.push(...recordsAt(this.#jobs, films));
          this.#jobs += 1;
        }
        const records = await this.#encoded(planned, number);
        number += records.length;
        // One send after the other: the list is in the order of acknowledgement.
        if (records.length > 0) await this.#publish(producer, records);
        await sleep(STEP_MS, undefined, { signal });
      }
    } finally {
      await producer.disconnect();
    }
  }

  #kafka(): Kafka {
    return new Kafka({
      clientId: "sluice-chaos-publisher",
      brokers: [...this.#options.brokers],
      connectionTimeout: 2000,
      requestTimeout: 10_000,
      logLevel: logLevel.NOTHING,
    });
  }

  async #encoded(planned: ReturnType<typeof recordsAt>, from: number): Promise<readonly EncodedRecord[]> {
    const { encode, topic, partitions } = this.#options;
    const nowMs = Date.now();
    return Promise.all(
      planned.map((record, index) => encodeRecord(record, encode, { number: from + index, topic, partitions, nowMs })),
    );
  }

  async #publish(producer: Producer, records: readonly EncodedRecord[]): Promise<void> {
    const acknowledged = await this.#send(producer, records);
    const seen = new Map<number, number>();
    const entries = records.map(({ partition, entry }): PublishedRecord => {
      const index = seen.get(partition) ?? 0;
      seen.set(partition, index + 1);
      const base = acknowledged.find((one) => one.partition === partition)?.baseOffset;
      return base === undefined
        ? entry
        : { ...entry, place: { partition, offset: String(BigInt(base) + BigInt(index)) } };
    });
    this.#records.push(...entries);
    await appendFile(this.#options.listFile, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(""));
  }

  async #send(producer: Producer, records: readonly EncodedRecord[]): Promise<readonly RecordMetadata[]> {
    const { topic, signal } = this.#options;
    const messages = records.map(({ partition, key, value, headers, timestampMs }) => ({
      partition,
      key,
      value,
      headers,
      timestamp: String(timestampMs),
    }));
    for (let tries = 1; ; tries += 1) {
      signal.throwIfAborted();
      try {
        const answers = await producer.send({
          ...{ topic, acks: -1, timeout: 10_000, compression: CompressionTypes.None, messages },
        });
        // The client leaves out what moved to a leader that had answered (tulios/kafkajs#1303).
        if (messages.every(({ partition }) => answers.some((one) => one.partition === partition))) return answers;
        throw new Error("Kafka acknowledged only a part of what was sent");
      } catch (error) {
        if (tries >= SEND_TRIES_MAX) throw error;
        this.#retries += 1;
        await sleep(SEND_RETRY_MS, undefined, { signal });
      }
    }
  }
}
