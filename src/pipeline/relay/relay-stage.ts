import type { OutboxGroup } from "../../ports/ledger.js";
import { TopicQueue, type TopicQueueParts } from "./topic-queue.js";

export interface RelayParts extends TopicQueueParts {
  readonly sweepAfterMs: number;
  /** Records of one topic in memory; beyond it groups are left to the sweep, their rows are in the ledger. */
  readonly recordsMax: number;
  /** Of these records: the same. The group that reaches it is taken whole. */
  readonly bytesMax: number;
}

const SWEEP_GROUPS = 50;

/**
 * Publishes what transactions wrote, from memory, and drops the queue rows after the acknowledgement. A kill in between publishes the
 * same bytes again. Each topic has its own queue and its own pause after a failure, so one bad topic stops nobody else.
 */
export class RelayStage {
  readonly #parts: RelayParts;
  readonly #topics = new Map<string, TopicQueue>();
  readonly #held = new Set<number>();
  readonly #stop = new AbortController();

  constructor(parts: RelayParts) {
    this.#parts = parts;
  }

  /** Records in memory that are not acknowledged yet. */
  get waiting(): number {
    return [...this.#topics.values()].reduce((sum, queue) => sum + queue.records, 0);
  }

  /** Reply topics of tenants that take nothing at present. */
  get refusingTopics(): readonly string[] {
    return [...this.#topics].filter(([, queue]) => queue.refuses).map(([topic]) => topic);
  }

  add(groups: readonly OutboxGroup[]): void {
    for (const group of groups) {
      if (this.#held.has(group.seq)) continue;
      const queue = this.#queueOf(group.topic);
      if (this.#isFull(queue)) continue;
      this.#held.add(group.seq);
      queue.push(group);
    }
  }

  #isFull({ records, bytes }: TopicQueue): boolean {
    return records >= this.#parts.recordsMax || bytes >= this.#parts.bytesMax;
  }

  #queueOf(topic: string): TopicQueue {
    const known = this.#topics.get(topic);
    if (known !== undefined) return known;
    const queue = new TopicQueue(this.#parts, topic, this.#stop.signal, {
      released: (seqs) => {
        for (const seq of seqs) this.#held.delete(seq);
      },
      publish: (groups) => {
        this.add(groups);
      },
    });
    this.#topics.set(topic, queue);
    return queue;
  }

  /**
   * Takes over what routers left behind that were killed between commit and acknowledgement, and what memory had no room for. Topics that
   * pause or are full are left out: their rows would be read only to be thrown away, and the oldest of them would hide those of others.
   */
  async runSweep(): Promise<void> {
    const { ledger, session, clock, log, sweepAfterMs, reach } = this.#parts;
    while (!this.#stop.signal.aborted) {
      await clock.sleep(sweepAfterMs, this.#stop.signal);
      try {
        const left = await ledger.takeOutbox(session, SWEEP_GROUPS, sweepAfterMs, this.#closedTopics());
        if (left.length > 0) reach?.("relay.swept");
        this.add(left);
      } catch (error) {
        log.warn("relay.sweep_failed", { message: error instanceof Error ? error.message : String(error) });
      }
    }
  }

  #closedTopics(): readonly string[] {
    return [...this.#topics].filter(([, queue]) => queue.pauses || this.#isFull(queue)).map(([topic]) => topic);
  }

  /**
   * Waits until what can be published is, and its rows are gone, at most `graceMs`; the rest stays in the ledger. A topic that takes nothing
   * is not waited for.
   */
  async drain(graceMs: number): Promise<void> {
    const { clock } = this.#parts;
    const endMs = clock.monotonicMs() + graceMs;
    const busy = (): boolean => [...this.#topics.values()].some((queue) => queue.busy);
    while (busy() && clock.monotonicMs() < endMs) await clock.sleep(10);
    this.#stop.abort();
  }
}
