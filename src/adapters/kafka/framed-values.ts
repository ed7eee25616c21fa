import type { IncomingRecord } from "../../domain/job/job.js";
import type { DecodedValue } from "../../ports/broker.js";
import type { Clock, Log } from "../../ports/system.js";
import { isRegistryFramed, type ValueDecoder, type ValueDecoding } from "../../ports/value-decoder.js";
import { refusalOf } from "./batch-decoding.js";
import { partitionKey } from "./partition-state.js";

export interface FramedValuesParts {
  /** Null: no registry is configured, and values in its encoding are refused. */
  readonly decoder: ValueDecoder | null;
  readonly clock: Clock;
  readonly log: Log;
}

const NO_REGISTRY: ValueDecoding = {
  kind: "refused",
  code: "BAD_AVRO",
  message:
    "the value begins with the schema registry's magic byte, and no registry is configured (registry.url); send JSON, or configure it",
};
const REGISTRY_RETRY_MS = 1000;

/** The client, as far as a wait for the registry moves it. */
export interface PausedReader {
  readonly pause: (partition: WaitingPartition) => void;
  readonly resume: (partition: WaitingPartition) => void;
}

export interface WaitingPartition {
  readonly topic: string;
  readonly partition: number;
}

/**
 * Avro values are decoded before they are queued; while the registry is away their partition waits, and nothing is refused. It is paused for
 * that: the client fetches no other partition of a broker while one of its batches is in hand.
 */
export class FramedValues {
  readonly #parts: FramedValuesParts;
  readonly #reader: PausedReader;
  /** Partitions that wait for the registry. */
  readonly #waiting = new Map<string, WaitingPartition>();
  #over = new AbortController();

  constructor(parts: FramedValuesParts, reader: PausedReader) {
    this.#parts = parts;
    this.#reader = reader;
  }

  waitsForRegistry(topic: string, partition: number): boolean {
    return this.#waiting.has(partitionKey(topic, partition));
  }

  get waiting(): readonly WaitingPartition[] {
    return [...this.#waiting.values()];
  }

  /** Nobody waits any more: partitions may be another router's now, and who reads them on finds out anew. */
  forget(): void {
    this.#over.abort("forgotten"); // with a reason it makes no exception
    this.#over = new AbortController();
    this.#waiting.clear();
  }

  /**
   * @param records of one partition. @param isOurs whether they are still to be read here, asked when the registry did not answer.
   * @returns those whose values are framed, or came in a batch that can't be read; null: the records come again, once the registry has answered.
   */
  async decodeAll(
    records: readonly IncomingRecord[],
    isOurs: () => boolean,
  ): Promise<Map<IncomingRecord, DecodedValue> | null> {
    const decoded = new Map<IncomingRecord, DecodedValue>();
    for (const record of records) {
      const refused = refusalOf(record);
      if (refused !== undefined) decoded.set(record, refused);
    }
    const framed = records.filter((record) => isRegistryFramed(record.value));
    if (framed.length === 0) return decoded;
    const values = await Promise.all(framed.map((record) => this.#decode(record)));
    const unanswered: IncomingRecord[] = [];
    framed.forEach((record, index) => {
      const value = values[index];
      if (value === undefined || value.kind === "unavailable") unanswered.push(record);
      else decoded.set(record, value);
    });
    const [first] = unanswered;
    if (first === undefined) return decoded;
    this.#parts.log.warn("registry.unavailable", { partition: first.partition, records: unanswered.length });
    if (isOurs()) void this.#waitFor(first);
    return null;
  }

  /** Asks for this one's schema until there is an answer, kept by the decoder. Others behind it ask for theirs when it is read again. */
  async #waitFor(record: IncomingRecord): Promise<void> {
    const { topic, partition } = record;
    const key = partitionKey(topic, partition);
    const over = this.#over.signal;
    this.#waiting.set(key, { topic, partition });
    this.#reader.pause({ topic, partition });
    do {
      await this.#parts.clock.sleep(REGISTRY_RETRY_MS, over);
    } while (!over.aborted && (await this.#isUnanswered(record)));
    if (over.aborted) return;
    this.#waiting.delete(key);
    this.#reader.resume({ topic, partition });
  }

  /** What else goes wrong shows when it is read again. */
  async #isUnanswered(record: IncomingRecord): Promise<boolean> {
    const { kind } = await this.#decode(record).catch(() => NO_REGISTRY);
    if (kind !== "unavailable") return false;
    this.#parts.log.warn("registry.unavailable", { partition: record.partition, records: 1 });
    return true;
  }

  #decode(record: IncomingRecord): Promise<ValueDecoding> {
    const { decoder } = this.#parts;
    if (decoder === null || record.value === null) return Promise.resolve(NO_REGISTRY);
    return decoder.decode(record.value);
  }
}
