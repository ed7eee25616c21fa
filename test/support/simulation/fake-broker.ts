import type { IncomingRecord } from "../../../src/domain/job/job.js";
import type { Outgoing } from "../../../src/domain/result/outgoing.js";
import type { Publisher, PublishOutcome, PublishRefusal } from "../../../src/ports/broker.js";
import { JOBS_TOPIC } from "./fixture.js";
import type { Life, World } from "./world.js";

export const GROUP_SESSION_MS = 6000;

/** What this broker does not take. */
export interface BrokerRefusals {
  /** Longest value of a record. */
  readonly valueBytesMax: number;
  /** Whether a topic is missing now. */
  readonly isMissing: (topic: string) => boolean;
}

export interface PublishedRecord {
  readonly topic: string;
  readonly record: Outgoing;
}

interface Member {
  readonly life: Life;
  partitions: number[];
}

/** One broker: the jobs topic with a consumer group, and what was published to the other topics. */
export class FakeBroker {
  readonly log: IncomingRecord[][];
  readonly published: PublishedRecord[] = [];
  /** Records that it did not take when it was asked, by kind and number. */
  readonly refused = new Map<string, PublishRefusal["of"]>();
  readonly #refusals: BrokerRefusals;
  readonly committed: number[];
  /** Records that were deleted before the ledger had accepted them. */
  readonly lost = new Set<IncomingRecord>();
  /** Whether the jobs topic was deleted and made anew: the same offsets name other records since. */
  remade = false;
  readonly #low: number[];
  /** Rises with each change of the group; who has an older one must join again. */
  generation = 0;
  /** After each commit of the group. */
  onCommitted: (partition: number, next: number) => void = () => undefined;
  readonly #world: World;
  readonly #members: Member[] = [];

  constructor(world: World, partitions: number, refusals: BrokerRefusals) {
    this.#world = world;
    this.#refusals = refusals;
    this.log = Array.from({ length: partitions }, () => []);
    this.committed = Array.from({ length: partitions }, () => 0);
    this.#low = Array.from({ length: partitions }, () => 0);
  }

  /** @returns the record with its offset. */
  append(record: IncomingRecord): IncomingRecord {
    const placed = { ...record, offset: this.bounds(record.partition).high };
    this.log[record.partition]?.push(placed);
    return placed;
  }

  bounds(partition: number): { readonly low: number; readonly high: number } {
    return { low: this.#low[partition] ?? 0, high: this.log[partition]?.length ?? 0 };
  }

  read(partition: number, since: number, countMax: number): readonly IncomingRecord[] {
    return (this.log[partition] ?? []).slice(Math.max(since, this.bounds(partition).low), since + countMax);
  }

  /** Retention that is too short: all records of a partition go, read or not. @param accepted the ledger's next offset. */
  deleteRecords(partition: number, accepted: number): void {
    for (const record of (this.log[partition] ?? []).slice(accepted)) this.lost.add(record);
    this.#low[partition] = this.bounds(partition).high;
    this.#world.note(`records of ${String(partition)} deleted up to ${String(this.#low[partition])}`);
  }

  /** Somebody deletes the topic and makes it anew: offsets begin at 0 again, the group's are forgotten. */
  remake(accepted: (partition: number) => number): void {
    this.remade = true;
    this.log.forEach((records, partition) => {
      for (const record of records.slice(accepted(partition))) this.lost.add(record);
      this.log[partition] = [];
      this.#low[partition] = 0;
      this.committed[partition] = 0;
    });
    this.#world.note("the jobs topic was made anew");
    this.#rebalance();
  }

  /** Writes a send, or says why not; of a send with a record that is too long the others may be written all the same. */
  take(topic: string, records: readonly Outgoing[]): PublishRefusal | null {
    const { isMissing, valueBytesMax } = this.#refusals;
    if (isMissing(topic)) {
      this.#refuse(records, "topic");
      return { kind: "refused", of: "topic", reason: `there is no topic ${topic}` };
    }
    const long = records.filter(({ value }) => (value?.length ?? 0) > valueBytesMax);
    const isPartly = long.length > 0 && this.#world.random.chance(0.5);
    if (long.length === 0 || isPartly)
      this.#write(
        topic,
        records.filter((record) => !long.includes(record)),
      );
    if (long.length === 0) return null;
    this.#refuse(long, "records");
    return { kind: "refused", of: "records", reason: "a record is too long" };
  }

  #write(topic: string, records: readonly Outgoing[]): void {
    for (const record of records) this.published.push({ topic, record });
    this.#world.note(`published ${topic} ${records.map((record) => `${record.kind}${String(record.no)}`).join(",")}`);
  }

  #refuse(records: readonly Outgoing[], of: PublishRefusal["of"]): void {
    for (const { kind, no } of records) this.refused.set(`${kind}:${String(no)}`, of);
    this.#world.note(`refused ${of} ${records.map(({ kind, no }) => `${kind}${String(no)}`).join(",")}`);
  }

  join(life: Life): number {
    if (!this.#members.some((member) => member.life === life)) this.#members.push({ life, partitions: [] });
    this.#rebalance();
    return this.generation;
  }

  leave(life: Life): void {
    const at = this.#members.findIndex((member) => member.life === life);
    if (at === -1) return;
    this.#members.splice(at, 1);
    this.#rebalance();
  }

  /** A process that was killed or stopped is missed after the group's session timeout. */
  missIfSilent(life: Life): void {
    this.#world.at(GROUP_SESSION_MS, "group-session", null, () => {
      if (life.dead || life.stoppedUntilMs > this.#world.nowMs) this.leave(life);
    });
  }

  isMember(life: Life): boolean {
    return this.#members.some((member) => member.life === life);
  }

  partitionsOf(life: Life): readonly number[] {
    return this.#members.find((member) => member.life === life)?.partitions ?? [];
  }

  commit(life: Life, generation: number, partition: number, next: number): boolean {
    if (generation !== this.generation || !this.partitionsOf(life).includes(partition)) return false;
    this.committed[partition] = next;
    this.onCommitted(partition, next);
    return true;
  }

  #rebalance(): void {
    this.generation += 1;
    for (const member of this.#members) member.partitions = [];
    this.log.forEach((_, partition) => {
      this.#members[(partition + this.generation) % Math.max(1, this.#members.length)]?.partitions.push(partition);
    });
  }
}

/** Publishes with acks=all over a wire that loses requests and acknowledgements. What was sent arrives even if the sender dies. */
export class FakePublisher implements Publisher {
  readonly #world: World;
  readonly #life: Life;
  readonly #broker: FakeBroker;
  readonly #trouble: () => number;

  constructor(world: World, life: Life, broker: FakeBroker, trouble: () => number) {
    this.#world = world;
    this.#life = life;
    this.#broker = broker;
    this.#trouble = trouble;
  }

  async publish(topic: string, records: readonly Outgoing[]): Promise<PublishOutcome> {
    const { random } = this.#world;
    await this.#world.step(this.#life, `publish ${topic}`);
    const roll = random.next() / Math.max(this.#trouble(), 1e-9);
    if (roll < 0.3) throw new Error("the broker could not be reached");
    // The first so many arrive: a produce request is one per partition, and each may fail alone.
    const arrive = roll < 0.5 ? records.slice(0, random.between(0, records.length)) : records;
    const answer: { refusal: PublishRefusal | null } = { refusal: null };
    this.#world.at(random.next() * 4, `append ${topic}`, null, () => {
      answer.refusal = this.#broker.take(topic, arrive);
    });
    await this.#world.wait(this.#life, "ack", 4 + random.next() * (random.chance(0.1) ? 400 : 4));
    if (roll < 1) throw new Error("the acknowledgement did not come");
    return answer.refusal ?? { kind: "acknowledged" };
  }
}

export { JOBS_TOPIC };
