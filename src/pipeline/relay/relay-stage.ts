import type { SessionNo } from "../../domain/ids.js";
import type { Ledger, OutboxGroup } from "../../ports/ledger.js";
import type { Publisher } from "../../ports/broker.js";
import type { Metrics } from "../../ports/metrics.js";
import type { Clock, Log, Random } from "../../ports/system.js";

export interface RelayParts {
  readonly ledger: Ledger;
  readonly session: SessionNo;
  readonly publisher: Publisher;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly sweepAfterMs: number;
  /** Records of one topic in memory; beyond it groups are left to the sweep, their rows are in the ledger. */
  readonly recordsMax: number;
  readonly recordsPerSend: number;
  readonly mendable: (error: unknown) => boolean;
}

const BACKOFF_BASE_MS = 200;
const BACKOFF_MAX_MS = 10_000;
const SWEEP_GROUPS = 50;

/**
 * Publishes what transactions wrote, from memory, and drops the queue rows after the acknowledgement. A kill in between publishes the
 * same bytes again. Each topic has its own queue and its own pause after a failure, so one bad topic stops nobody else.
 */
export class RelayStage {
  readonly #parts: RelayParts;
  readonly #topics = new Map<string, TopicQueue>();
  readonly #held = new Set<number>();
  #stopped = false;
  readonly #stop = new AbortController();

  constructor(parts: RelayParts) {
    this.#parts = parts;
  }

  /** Records in memory that are not acknowledged yet. */
  get waiting(): number {
    let sum = 0;
    for (const queue of this.#topics.values()) sum += queue.records;
    return sum;
  }

  add(groups: readonly OutboxGroup[]): void {
    for (const group of groups) {
      if (this.#held.has(group.seq)) continue;
      const queue = this.#queueOf(group.topic);
      if (queue.records >= this.#parts.recordsMax) continue;
      this.#held.add(group.seq);
      queue.push(group);
    }
  }

  #queueOf(topic: string): TopicQueue {
    const known = this.#topics.get(topic);
    if (known !== undefined) return known;
    const queue = new TopicQueue(this.#parts, topic, (seqs) => {
      for (const seq of seqs) this.#held.delete(seq);
    });
    this.#topics.set(topic, queue);
    return queue;
  }

  /** Takes over what routers left behind that were killed between commit and acknowledgement, and what memory had no room for. */
  async runSweep(): Promise<void> {
    const { ledger, session, clock, log, sweepAfterMs } = this.#parts;
    while (!this.#stopped) {
      await clock.sleep(sweepAfterMs, this.#stop.signal);
      try {
        const groups = await ledger.takeOutbox(session, SWEEP_GROUPS, sweepAfterMs);
        this.add(groups.filter((group) => !this.#held.has(group.seq)));
      } catch (error) {
        log.warn("relay.sweep_failed", { message: error instanceof Error ? error.message : String(error) });
      }
    }
  }

  /** Waits until everything in memory is published, at most `graceMs`; the rest stays in the ledger. */
  async drain(graceMs: number): Promise<void> {
    const endMs = this.#parts.clock.monotonicMs() + graceMs;
    while (this.waiting > 0 && this.#parts.clock.monotonicMs() < endMs) await this.#parts.clock.sleep(10);
    this.#stopped = true;
    this.#stop.abort();
    for (const queue of this.#topics.values()) queue.stop();
  }
}

class TopicQueue {
  readonly #parts: RelayParts;
  readonly #topic: string;
  readonly #released: (seqs: readonly number[]) => void;
  #groups: OutboxGroup[] = [];
  #running = false;
  #failures = 0;
  #stopped = false;
  records = 0;

  constructor(parts: RelayParts, topic: string, released: (seqs: readonly number[]) => void) {
    this.#parts = parts;
    this.#topic = topic;
    this.#released = released;
  }

  push(group: OutboxGroup): void {
    this.#groups.push(group);
    this.records += group.records.length;
    if (this.#running) return;
    this.#running = true;
    void this.#run();
  }

  stop(): void {
    this.#stopped = true;
  }

  async #run(): Promise<void> {
    while (this.#groups.length > 0 && !this.#stopped) {
      const taken = this.#take();
      if (await this.#publish(taken)) {
        this.#failures = 0;
      } else {
        this.#failures += 1;
        this.#groups = [...taken, ...this.#groups];
        const waitMs =
          (0.5 + this.#parts.random.next() / 2) * Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** this.#failures);
        // Serial: this topic pauses; the others go on.
        await this.#parts.clock.sleep(waitMs);
      }
    }
    this.#running = false;
  }

  #take(): OutboxGroup[] {
    const taken: OutboxGroup[] = [];
    let count = 0;
    while (this.#groups.length > 0 && (taken.length === 0 || count < this.#parts.recordsPerSend)) {
      const group = this.#groups.shift();
      if (group === undefined) break;
      taken.push(group);
      count += group.records.length;
    }
    return taken;
  }

  async #publish(groups: readonly OutboxGroup[]): Promise<boolean> {
    const { publisher, ledger, log, metrics, clock } = this.#parts;
    const records = groups.flatMap((group) => group.records);
    const startedMs = clock.monotonicMs();
    try {
      await publisher.publish(this.#topic, records);
    } catch (error) {
      metrics.count("sluice_relay_failures_total", { topic: this.#topic });
      log.warn("relay.publish_failed", {
        topic: this.#topic,
        records: records.length,
        message: error instanceof Error ? error.message : String(error),
      });
      return false;
    }
    metrics.count("sluice_outbox_records_total", { topic: this.#topic }, records.length);
    metrics.observe("sluice_group_size", { stage: "relay" }, records.length);
    metrics.observe("sluice_group_seconds", { stage: "relay" }, (clock.monotonicMs() - startedMs) / 1000);
    this.records -= records.length;
    const seqs = groups.map((group) => group.seq);
    // Nobody waits for the deletion; if it fails the sweep publishes the same bytes once more.
    ledger.dropOutbox(seqs).then(
      () => {
        this.#released(seqs);
      },
      (error: unknown) => {
        log.warn("relay.drop_failed", { message: error instanceof Error ? error.message : String(error) });
        this.#released(seqs);
      },
    );
    return true;
  }
}
