import type { DecodedValue, JobsConsumer, RecordSink, WatchedPartition } from "../../../src/ports/broker.js";
import type { IncomingRecord } from "../../../src/domain/job/job.js";
import type { Ledger } from "../../../src/ports/ledger.js";
import { isRegistryFramed, type ValueDecoder } from "../../../src/ports/value-decoder.js";
import { JOBS_TOPIC } from "./fixture.js";
import type { FakeBroker } from "./fake-broker.js";
import type { Life, World } from "./world.js";

export interface InboxParts {
  readonly world: World;
  readonly life: Life;
  readonly broker: FakeBroker;
  readonly ledger: Ledger;
  readonly sink: RecordSink;
  readonly decoder: ValueDecoder;
  /** Fetching stopped, or went on. */
  readonly turned: (paused: boolean) => void;
  /** Probability that after an assignment it begins beyond the ledger's position. */
  readonly aheadChance: () => number;
  /** A planted bug: the group's offset is committed when a run is handed on, not when it was accepted. */
  readonly commitsFirst: boolean;
  /** A planted bug: `resume` does nothing. */
  readonly neverResumes: boolean;
}

interface PartitionState {
  expected: number;
}

const FETCH_MAX = 6;

/** Consumes the jobs topic as the Kafka consumer does: the ledger's position counts, the group's offset is a hint that follows. */
export class FakeInbox implements JobsConsumer {
  readonly #parts: InboxParts;
  readonly #states = new Map<number, PartitionState>();
  #generation = -1;
  #stopped = false;
  #paused = false;
  /** This client never gives up by itself. */
  readonly dead = false;

  constructor(parts: InboxParts) {
    this.#parts = parts;
  }

  start(): Promise<void> {
    void this.#run();
    return Promise.resolve();
  }

  async #run(): Promise<void> {
    const { world, life, broker } = this.#parts;
    while (!this.#stopped) {
      if (this.#generation !== broker.generation) {
        await world.wait(life, "group-join", world.random.between(1, 50));
        if (this.#isStopped()) return;
        this.#generation = broker.isMember(life) ? broker.generation : broker.join(life);
        this.#states.clear();
        for (const partition of broker.partitionsOf(life)) void this.#consume(partition, this.#generation);
      }
      await world.wait(life, "group-beat", 300);
    }
  }

  #isStopped(): boolean {
    return this.#stopped;
  }

  stop(): Promise<void> {
    this.#stopped = true;
    this.#generation = -2;
    this.#parts.broker.leave(this.#parts.life);
    return Promise.resolve();
  }

  /** Only its place in the group is lost: what it had fetched comes again. */
  restart(): Promise<void> {
    this.#generation = -1;
    this.#parts.broker.leave(this.#parts.life);
    return Promise.resolve();
  }

  pause(): void {
    this.#paused = true;
    this.#parts.turned(true);
  }

  resume(): void {
    if (this.#parts.neverResumes) return;
    this.#paused = false;
    this.#parts.turned(false);
  }

  watched(): readonly WatchedPartition[] {
    const assigned = [...this.#states.keys()];
    return assigned.map((partition) => ({ topic: JOBS_TOPIC, partition, stopped: this.#paused }));
  }

  /** The simulated log always fits the ledger, so no partition is ever stopped. */
  lookAtStopped(): Promise<void> {
    return Promise.resolve();
  }

  async rewind(topic: string, partition: number): Promise<void> {
    const { world, life, ledger } = this.#parts;
    for (;;) {
      try {
        const position = await ledger.position(topic, partition);
        const state = this.#states.get(partition);
        if (position !== null && state !== undefined) state.expected = position.next;
        return;
      } catch {
        // Serial: given up here, the partition would stand still until its next record.
        await world.wait(life, "rewind-again", 100);
      }
    }
  }

  accepted(_topic: string, partition: number, next: number): void {
    if (this.#parts.commitsFirst) return;
    this.#commitLater(partition, next);
  }

  #commitLater(partition: number, next: number): void {
    const { world, life, broker } = this.#parts;
    const generation = this.#generation;
    world.at(world.random.next() * 20, "offset-commit", life, () => {
      broker.commit(life, generation, partition, next);
    });
  }

  async #consume(partition: number, generation: number): Promise<void> {
    const { world, life, broker, sink } = this.#parts;
    const current = (): boolean =>
      this.#generation === generation && broker.generation === generation && !this.#stopped;
    const state = await this.#assigned(partition, current);
    while (state !== null && current()) {
      await world.step(life, `fetch ${String(partition)}`);
      const since = state.expected;
      const records = this.#paused
        ? []
        : (broker.log[partition] ?? []).slice(since, since + world.random.between(1, FETCH_MAX));
      if (records.length === 0) {
        await world.wait(life, "fetch-idle", 250);
        continue;
      }
      await world.step(life, `fetched ${String(partition)}`);
      if (state.expected !== since) continue; // sought meanwhile
      const decoded = await this.#decodeAll(records);
      if (state.expected !== since || !current()) continue;
      const upto = since + records.length;
      state.expected = upto;
      if (this.#parts.commitsFirst) this.#commitLater(partition, upto);
      await sink.offer({ topic: JOBS_TOPIC, partition, since, upto, records, decoded });
    }
  }

  /** As long as the registry is away the partition waits. */
  async #decodeAll(records: readonly IncomingRecord[]): Promise<Map<IncomingRecord, DecodedValue>> {
    const { world, life, decoder } = this.#parts;
    const decoded = new Map<IncomingRecord, DecodedValue>();
    for (const record of records) {
      while (isRegistryFramed(record.value) && !decoded.has(record)) {
        // Serial: one value after another, in an order that the seed decides.
        const value = await decoder.decode(record.value);
        if (value.kind !== "unavailable") decoded.set(record, value);
        else await world.wait(life, "registry-again", 1000);
      }
    }
    return decoded;
  }

  async #assigned(partition: number, current: () => boolean): Promise<PartitionState | null> {
    const { world, life, broker, ledger } = this.#parts;
    while (current()) {
      try {
        const position = await ledger.position(JOBS_TOPIC, partition);
        if (!current()) return null;
        if (position === null) {
          await ledger.openPosition(JOBS_TOPIC, partition, 0);
          continue;
        }
        const end = broker.log[partition]?.length ?? 0;
        const ahead = world.random.chance(this.#parts.aheadChance()) ? world.random.between(1, 4) : 0;
        // Never so far that no record is left to notice it by.
        const state = { expected: Math.min(position.next + ahead, Math.max(end - 1, position.next)) };
        this.#states.set(partition, state);
        return state;
      } catch {
        await world.wait(life, "position-again", 100);
      }
    }
    return null;
  }
}
