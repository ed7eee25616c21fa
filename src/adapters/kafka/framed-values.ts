import type { IncomingRecord } from "../../domain/job/job.js";
import type { DecodedValue } from "../../ports/broker.js";
import type { Clock, Log } from "../../ports/system.js";
import { isRegistryFramed, type ValueDecoder, type ValueDecoding } from "../../ports/value-decoder.js";
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

/** Avro values are decoded before they are queued; while the registry is away their partition waits, and nothing is refused. */
export class FramedValues {
  readonly #parts: FramedValuesParts;
  /** Partitions that wait for the registry. */
  readonly #waiting = new Set<string>();

  constructor(parts: FramedValuesParts) {
    this.#parts = parts;
  }

  waitsForRegistry(topic: string, partition: number): boolean {
    return this.#waiting.has(partitionKey(topic, partition));
  }

  /** @param records of one partition. @returns those whose values are framed; null when it stopped running meanwhile. */
  async decodeAll(
    records: readonly IncomingRecord[],
    isRunning: () => boolean,
  ): Promise<Map<IncomingRecord, DecodedValue> | null> {
    const decoded = new Map<IncomingRecord, DecodedValue>();
    let waiting = records.filter((record) => isRegistryFramed(record.value));
    while (waiting.length > 0) {
      if (!isRunning()) return null;
      const values = await Promise.all(waiting.map((record) => this.#decode(record)));
      const again: IncomingRecord[] = [];
      waiting.forEach((record, index) => {
        const value = values[index];
        if (value === undefined || value.kind === "unavailable") again.push(record);
        else decoded.set(record, value);
      });
      const [first] = again;
      if (first !== undefined) {
        const key = partitionKey(first.topic, first.partition);
        this.#waiting.add(key);
        this.#parts.log.warn("registry.unavailable", { partition: first.partition, records: again.length });
        await this.#parts.clock.sleep(REGISTRY_RETRY_MS);
        this.#waiting.delete(key);
      }
      waiting = again;
    }
    return decoded;
  }

  #decode(record: IncomingRecord): Promise<ValueDecoding> {
    const { decoder } = this.#parts;
    if (decoder === null || record.value === null) return Promise.resolve(NO_REGISTRY);
    return decoder.decode(record.value);
  }
}
