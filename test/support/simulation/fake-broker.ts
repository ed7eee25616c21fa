import type { IncomingRecord } from "../../../src/domain/job/job.js";
import type { Outgoing } from "../../../src/domain/result/outgoing.js";
import type { Publisher, PublishOutcome } from "../../../src/ports/broker.js";
import { JOBS_TOPIC } from "./fixture.js";
import type { Life, World } from "./world.js";

export const GROUP_SESSION_MS = 6000;

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
  readonly committed: number[];
  /** Rises with each change of the group; who has an older one must join again. */
  generation = 0;
  /** After each commit of the group. */
  onCommitted: (partition: number, next: number) => void = () => undefined;
  readonly #world: World;
  readonly #members: Member[] = [];

  constructor(world: World, partitions: number) {
    this.#world = world;
    this.log = Array.from({ length: partitions }, () => []);
    this.committed = Array.from({ length: partitions }, () => 0);
  }

  append(record: IncomingRecord): void {
    this.log[record.partition]?.push(record);
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
    this.#world.at(random.next() * 4, `append ${topic}`, null, () => {
      for (const record of arrive) this.#broker.published.push({ topic, record });
      this.#world.note(`published ${topic} ${arrive.map((record) => `${record.kind}${String(record.no)}`).join(",")}`);
    });
    await this.#world.wait(this.#life, "ack", 4 + random.next() * (random.chance(0.1) ? 400 : 4));
    if (roll < 1) throw new Error("the acknowledgement did not come");
    return { kind: "acknowledged" };
  }
}

export { JOBS_TOPIC };
