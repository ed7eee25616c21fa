import type { SessionNo } from "../../domain/ids.js";
import type { Outgoing, Renderer } from "../../domain/result/outgoing.js";
import type { Publisher, PublishOutcome } from "../../ports/broker.js";
import type { CrashPoint, ReachPoint } from "../../ports/crash-points.js";
import type { Ledger, OutboxGroup } from "../../ports/ledger.js";
import type { Metrics } from "../../ports/metrics.js";
import type { Clock, Log, Random } from "../../ports/system.js";

export interface TopicQueueParts {
  readonly ledger: Ledger;
  readonly session: SessionNo;
  readonly publisher: Publisher;
  readonly render: Renderer;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly recordsPerSend: number;
  /** Of keys, values and headers; a record that is larger alone goes alone. */
  readonly bytesPerSend: number;
  /** How long cost records wait for company. */
  readonly costWaitMs: number;
  /** How long a record waits for a topic that takes nothing (missing, not authorised) before it is given up. */
  readonly undeliverableAfterMs: number;
  /** As many records wait for a reply topic that takes nothing; beyond it the oldest are given up before their time. */
  readonly refusedRecordsMax: number;
  /** Topics of the tenants' own: what waits for one of them must not stop the others. */
  readonly replyTopics: ReadonlySet<string>;
  readonly reach?: ReachPoint;
}

/** What a queue tells the stage. */
export interface TopicQueueEvents {
  /** These groups are no longer in memory. */
  readonly released: (seqs: readonly number[]) => void;
  /** Groups that the ledger wrote in the place of records given up. */
  readonly publish: (groups: readonly OutboxGroup[]) => void;
}

/** The pace of tries, no bound: `limits.relay.recordsMax` bounds what waits meanwhile. */
const BACKOFF_BASE_MS = 200;
const BACKOFF_MAX_MS = 10_000;
/** Records given up in one transaction: a few statements each. A step; what waits to be given up is in the queue already. */
const GIVE_UP_AT_ONCE = 50;

/** A group with the number of its records that are still to be published or given up. */
interface OpenGroup {
  readonly seq: number;
  readonly sinceMs: number;
  left: number;
}

interface Entry {
  readonly record: Outgoing;
  /** Of key, value and headers. */
  readonly bytes: number;
  readonly group: OpenGroup;
}

type Sent = PublishOutcome | { readonly kind: "trouble" };

/** Around a send, by what its first record is: a topic has records of one kind. */
const SEND_POINTS: Readonly<Record<Outgoing["kind"], readonly [before: CrashPoint, acknowledged: CrashPoint]>> = {
  result: ["relay.before_send", "relay.after_ack"],
  repeat: ["relay.before_send", "relay.after_ack"],
  cost: ["cost.before_send", "cost.after_ack"],
  dead_letter: ["dead_letter.before_send", "dead_letter.after_ack"],
  event: ["event.before_send", "event.after_ack"],
};

/**
 * The records of one topic on their way. What comes of a send:
 * - acknowledged: a group whose last record this was loses its row;
 * - trouble: the topic pauses, longer each time, and the same records go first when it goes on;
 * - the topic takes nothing: the same; records that have waited for too long are given up, dead letters never; of a tenant's own topic also
 *   the oldest of too many;
 * - a record is refused: the send is halved until the refused one is alone. The others go out, it is given up.
 *
 * Rows stay in the ledger until their records are acknowledged or given up, so a kill or a stop at any point loses nothing.
 */
export class TopicQueue {
  readonly #parts: TopicQueueParts;
  readonly #topic: string;
  readonly #stop: AbortSignal;
  readonly #events: TopicQueueEvents;
  #entries: Entry[] = [];
  /** Refused records that the ledger could not write down just now: they go behind the others, so that they hold nobody up. */
  #aside: Entry[] = [];
  #running = false;
  #failures = 0;
  #refused = false;
  #records = 0;
  #bytes = 0;
  #drops = 0;

  constructor(parts: TopicQueueParts, topic: string, stop: AbortSignal, events: TopicQueueEvents) {
    this.#parts = parts;
    this.#topic = topic;
    this.#stop = stop;
    this.#events = events;
  }

  /** Records that are neither acknowledged nor given up, those of a send under way included. */
  get records(): number {
    return this.#records;
  }

  /** Keys, values and headers of those records. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A tenant's own topic that took nothing at its last send. */
  get refuses(): boolean {
    return this.#refused && this.#parts.replyTopics.has(this.#topic);
  }

  /** Its last send failed; the next comes after a pause. */
  get pauses(): boolean {
    return this.#failures > 0;
  }

  /**
   * Something is under way that ends soon: a send, or the deletion of a row whose records are out. Not a topic that took nothing at its last
   * send: only somebody from outside can change that.
   */
  get busy(): boolean {
    return this.#drops > 0 || (this.#records > 0 && !this.#refused);
  }

  push({ seq, sinceMs, records }: OutboxGroup): void {
    if (records.length === 0) {
      this.#drop([seq]);
      return;
    }
    const group: OpenGroup = { seq, sinceMs, left: records.length };
    for (const record of records) {
      const bytes = bytesOf(record);
      this.#entries.push({ record, bytes, group });
      this.#bytes += bytes;
    }
    this.#records += records.length;
    if (this.#running) return;
    this.#running = true;
    void this.#run();
  }

  async #run(): Promise<void> {
    while (this.#entries.length > 0 && !this.#stop.aborted) {
      if (this.#wantsCompany()) await this.#parts.clock.sleep(this.#parts.costWaitMs, this.#stop);
      const left = await this.#settle(this.#take());
      const failed = left.length > 0 || this.#aside.length > 0;
      if (failed) this.#entries = [...left, ...this.#entries, ...this.#aside.splice(0)];
      this.#failures = failed ? this.#failures + 1 : 0;
      // Serial: this topic pauses; the others go on.
      if (failed) await this.#pause();
    }
    this.#running = false;
  }

  /** Cost records do: nobody waits for one, and each send costs a request and the deletion of a row. */
  #wantsCompany(): boolean {
    const { costWaitMs, recordsPerSend } = this.#parts;
    return costWaitMs > 0 && this.#entries[0]?.record.kind === "cost" && this.#entries.length < recordsPerSend;
  }

  #pause(): Promise<void> {
    const { random, clock } = this.#parts;
    const waitMs = (0.5 + random.next() / 2) * Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** this.#failures);
    return clock.sleep(waitMs, this.#stop);
  }

  #take(): Entry[] {
    const { recordsPerSend, bytesPerSend } = this.#parts;
    let count = 0;
    let bytes = 0;
    for (const entry of this.#entries) {
      bytes += entry.bytes;
      if (count > 0 && (count >= recordsPerSend || bytes > bytesPerSend)) break;
      count += 1;
    }
    return this.#entries.splice(0, count);
  }

  /** @returns those that are still to be sent, in their order. */
  async #settle(entries: readonly Entry[]): Promise<readonly Entry[]> {
    if (this.#stop.aborted) return entries;
    const sent = await this.#send(entries);
    switch (sent.kind) {
      case "acknowledged":
        this.#refused = false;
        this.#done(entries);
        return [];
      case "trouble":
        return entries;
      case "refused":
        return sent.of === "topic" ? this.#waitForTopic(entries, sent.reason) : this.#halve(entries, sent.reason);
    }
  }

  async #halve(entries: readonly Entry[], reason: string): Promise<readonly Entry[]> {
    if (entries.length === 1) {
      await this.#giveUp(entries, reason);
      return [];
    }
    const middle = Math.ceil(entries.length / 2);
    // Serial: one send of a topic at a time.
    const left = await this.#settle(entries.slice(0, middle));
    return left.length > 0 ? [...left, ...entries.slice(middle)] : this.#settle(entries.slice(middle));
  }

  async #waitForTopic(sent: readonly Entry[], reason: string): Promise<readonly Entry[]> {
    const { clock, undeliverableAfterMs, refusedRecordsMax } = this.#parts;
    this.#refused = true;
    const excess = this.refuses ? Math.max(0, this.#records - refusedRecordsMax) : 0;
    const entries = [...sent, ...this.#entries.splice(0, Math.max(0, excess - sent.length))];
    const writtenBeforeMs = clock.nowMs() - undeliverableAfterMs;
    const over = new Set(
      entries.filter(
        ({ record, group }, place) =>
          record.kind !== "dead_letter" && (place < excess || group.sinceMs <= writtenBeforeMs),
      ),
    );
    await this.#giveUp([...over], reason);
    return entries.filter((entry) => !over.has(entry));
  }

  async #send(entries: readonly Entry[]): Promise<Sent> {
    const { publisher, metrics, clock } = this.#parts;
    const startedMs = clock.monotonicMs();
    let outcome: Sent;
    let message = "";
    const [before, acknowledged] = SEND_POINTS[entries[0]?.record.kind ?? "result"];
    this.#parts.reach?.(before);
    try {
      outcome = await publisher.publish(this.#topic, entries.map(recordOf));
      if (outcome.kind === "refused") message = outcome.reason;
    } catch (error) {
      outcome = { kind: "trouble" };
      message = messageOf(error);
    }
    if (outcome.kind === "acknowledged") {
      this.#parts.reach?.(acknowledged);
      metrics.count("sluice_outbox_records_total", { topic: this.#topic }, entries.length);
      metrics.observe("sluice_group_size", { stage: "relay" }, entries.length);
      metrics.observe("sluice_group_seconds", { stage: "relay" }, (clock.monotonicMs() - startedMs) / 1000);
    } else this.#report(outcome, entries.length, message);
    return outcome;
  }

  #report(outcome: Exclude<Sent, { readonly kind: "acknowledged" }>, records: number, message: string): void {
    const { metrics, log } = this.#parts;
    metrics.count("sluice_relay_failures_total", { topic: this.#topic });
    const fields = { topic: this.#topic, records, message };
    if (outcome.kind === "trouble") log.warn("relay.publish_failed", fields);
    else if (outcome.of === "topic") log.error("relay.topic_refused", { ...fields, waiting: this.#records });
    else log.warn("relay.records_refused", fields);
  }

  async #giveUp(entries: readonly Entry[], reason: string): Promise<void> {
    const { ledger, session, render, metrics, log } = this.#parts;
    for (let from = 0; from < entries.length; from += GIVE_UP_AT_ONCE) {
      const some = entries.slice(from, from + GIVE_UP_AT_ONCE);
      const refused = some.map(({ record, group }) => ({ seq: group.seq, record, reason }));
      try {
        // Serial: a transaction each.
        const { outbox, letters, held } = await ledger.giveUpOutgoing(session, refused, render);
        this.#parts.reach?.("give_up.after");
        metrics.count("sluice_dead_letters_total", { code: "REPLY_UNDELIVERABLE" }, letters);
        log.error("relay.given_up", { topic: this.#topic, records: some.length, letters, held, reason });
        this.#done(some);
        this.#events.publish(outbox);
      } catch (error) {
        log.warn("relay.give_up_failed", { topic: this.#topic, records: some.length, message: messageOf(error) });
        this.#aside.push(...some);
      }
    }
  }

  /** Acknowledged or given up. A group without a record left is no longer needed. */
  #done(entries: readonly Entry[]): void {
    this.#records -= entries.length;
    const over: number[] = [];
    for (const { bytes, group } of entries) {
      this.#bytes -= bytes;
      group.left -= 1;
      if (group.left === 0) over.push(group.seq);
    }
    if (over.length > 0) this.#drop(over);
  }

  /** Nobody but the drain waits for the deletion; if it fails the sweep publishes the same bytes once more. */
  #drop(seqs: readonly number[]): void {
    const { ledger, log } = this.#parts;
    this.#drops += 1;
    const released = (): void => {
      this.#drops -= 1;
      this.#events.released(seqs);
    };
    const dropped = (): void => {
      this.#parts.reach?.("relay.after_drop");
      released();
    };
    ledger.dropOutbox(seqs).then(dropped, (error: unknown) => {
      log.warn("relay.drop_failed", { message: messageOf(error) });
      released();
    });
  }
}

function recordOf({ record }: Entry): Outgoing {
  return record;
}

function bytesOf({ key, value, headers }: Outgoing): number {
  let bytes = (key?.length ?? 0) + (value?.length ?? 0);
  for (const [name, content] of headers) bytes += name.length + content.length;
  return bytes;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
