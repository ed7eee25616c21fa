/** Rows A16, B9 and B11 of the fault catalogue, on a stub of the client: partitions that stop or are under suspicion, and how they go on. */
import { beforeEach, describe, expect, test } from "@jest/globals";
import type { EachBatchPayload, Kafka, OffsetsByTopicPartition } from "kafkajs";
import { InboxConsumer } from "../../src/adapters/kafka/inbox-consumer.js";
import type { PositionTurn } from "../../src/domain/dedupe/crash-suspect.js";
import { LOG_START_WITNESS, recordWitness } from "../../src/domain/dedupe/record-witness.js";
import { sessionNo } from "../../src/domain/ids.js";
import type { RecordRun } from "../../src/ports/broker.js";
import type { InboxPosition } from "../../src/ports/ledger.js";

/** A record of one incarnation of the topic. */
const recordOf = (incarnation: string, offset: number) => ({
  offset: String(offset),
  timestamp: "1000",
  key: null,
  value: Buffer.from(`${incarnation} ${String(offset)}`),
  attributes: 0,
  size: 1,
  headers: {},
});
const witnessOf = (incarnation: string, offset: number): Buffer =>
  recordWitness({ offset, timestampMs: 1000, key: null, value: Buffer.from(`${incarnation} ${String(offset)}`) });

/** The client as far as the inbox uses it: what it is told is kept, and batches are handed in by the test. */
class StubClient {
  readonly told: string[] = [];
  readonly committed: string[] = [];
  readonly listeners = new Map<string, (event: unknown) => void>();
  eachBatch: (payload: EachBatchPayload) => Promise<void> = () => Promise.reject(new Error("not running"));
  readonly events = { GROUP_JOIN: "join", CRASH: "crash" };

  on(name: string, listener: (event: unknown) => void): void {
    this.listeners.set(name, listener);
  }
  connect(): Promise<void> {
    return Promise.resolve();
  }
  subscribe(): Promise<void> {
    return Promise.resolve();
  }
  run(settings: { eachBatch: (payload: EachBatchPayload) => Promise<void> }): Promise<void> {
    this.eachBatch = settings.eachBatch;
    return Promise.resolve();
  }
  pause(partitions: readonly { readonly topic: string; readonly partitions?: readonly number[] }[]): void {
    this.told.push(`pause ${namesOf(partitions)}`);
  }
  resume(partitions: readonly { readonly topic: string; readonly partitions?: readonly number[] }[]): void {
    this.told.push(`resume ${namesOf(partitions)}`);
  }
  seek({ partition, offset }: { readonly partition: number; readonly offset: string }): void {
    this.told.push(`seek ${String(partition)} to ${offset}`);
  }
  /** What becomes of a commit; throws when it fails. */
  commits: () => Promise<void> = () => Promise.resolve();
  async commitOnce({ topics }: OffsetsByTopicPartition): Promise<void> {
    await this.commits();
    for (const { partition, offset } of topics.flatMap(({ partitions }) => partitions))
      this.committed.push(`${String(partition)} up to ${offset}`);
  }
  join(partitions: readonly number[] = [0, 1]): void {
    this.listeners.get("join")?.({ payload: { memberAssignment: { jobs: partitions } } });
  }

  /** Hands over records `first` to `last` of an incarnation. @returns the offset that was resolved, if one was. */
  async batch(incarnation: string, first: number, last: number, partition = 0): Promise<string | null> {
    let resolved: string | null = null;
    const toldBefore = this.told.length;
    const messages = Array.from({ length: last - first + 1 }, (_unused, index) => recordOf(incarnation, first + index));
    await this.eachBatch({
      batch: {
        topic: "jobs",
        partition,
        messages,
        firstOffset: () => String(first),
        lastOffset: () => String(last),
      },
      heartbeat: () => Promise.resolve(),
      resolveOffset: (offset: string) => {
        resolved = offset;
      },
      isRunning: () => true,
      isStale: () => this.told.length > toldBefore,
      commitOffsetsIfNecessary: (offsets: OffsetsByTopicPartition) => this.commitOnce(offsets),
    } as unknown as EachBatchPayload); // what the inbox reads of it
    return resolved;
  }
}

function namesOf(partitions: readonly { readonly topic: string; readonly partitions?: readonly number[] }[]): string {
  return partitions.map(({ topic, partitions: numbers }) => `${topic}:${numbers?.join() ?? "all"}`).join(" ");
}

let client: StubClient;
let inbox: InboxConsumer;
let position: InboxPosition;
let log: { low: number; high: number };
let runs: RecordRun[];
let alerts: string[];
/** Begun turns of partitions, and what the ledger says to each. */
let turns: string[];
let turn: PositionTurn;
/** While the bounds of the log are asked for. */
let meanwhile: () => Promise<void>;
/** Until the ledger says where a position is. */
let answered: () => Promise<void>;

beforeEach(async () => {
  client = new StubClient();
  position = { next: 3, witness: witnessOf("old", 2) };
  log = { low: 0, high: 3 };
  runs = [];
  alerts = [];
  turns = [];
  turn = { turns: 1, markedUpto: null };
  meanwhile = () => Promise.resolve();
  answered = () => Promise.resolve();
  const quiet = (): undefined => undefined;
  inbox = new InboxConsumer({
    kafka: { consumer: () => client } as unknown as Kafka, // the only part that is used
    settings: {
      groupId: "g",
      topics: ["jobs"],
      sessionTimeoutMs: 6000,
      heartbeatMs: 1500,
      maxWaitMs: 200,
      partitionsAtOnce: 1,
      bytesMax: 10_000_000,
      bytesPerPartition: 1,
    },
    sink: {
      offer: (run) => {
        runs.push(run);
        inbox.accepted(run.topic, run.partition, run.upto);
        return Promise.resolve();
      },
    },
    position: async () => {
      await answered();
      return position;
    },
    openPosition: () => Promise.resolve(),
    turns: {
      session: sessionNo(7),
      begin: (_topic, partition) => {
        turns.push(`began ${String(partition)}`);
        return Promise.resolve(turn);
      },
      mark: () => Promise.resolve(null),
      markRecords: ({ partition, offset, upto }) => {
        turns.push(
          `marked ${String(partition)}:${String(offset)}-${String(upto - 1)} after ${String(runs.length)} runs`,
        );
        return Promise.resolve(true);
      },
    },
    offsets: async () => {
      await meanwhile();
      return log;
    },
    decoder: null,
    clock: { nowMs: () => 0, monotonicMs: () => 0, sleep: () => Promise.resolve() },
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    alert: ({ cause }) => {
      alerts.push(cause);
    },
  });
  await inbox.start();
  client.join();
});

describe("an offset", () => {
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  test("of a partition that is another router's by now is not committed", async () => {
    await client.batch("old", 2, 4);
    await settled();
    client.join([1]);
    inbox.accepted("jobs", 0, 6);
    await client.batch("old", 2, 3, 1);
    await settled();
    expect(client.committed).toEqual(["0 up to 5", "1 up to 4"]);
  });

  test("that could not be committed is committed with the next try, or a newer one in its place", async () => {
    let failures = 2;
    client.commits = () => (failures-- > 0 ? Promise.reject(new Error("no coordinator")) : Promise.resolve());
    await client.batch("old", 2, 4);
    await settled();
    expect(client.committed).toEqual(["0 up to 5"]);
  });

  test("whose commit failed is not committed in another generation, in which others may have gone further", async () => {
    let fail: (error: Error) => void = () => undefined;
    client.commits = () =>
      new Promise((_resolve, reject) => {
        fail = reject;
      });
    await client.batch("old", 2, 4);
    await settled();
    client.join();
    client.commits = () => Promise.resolve();
    fail(new Error("the group is rebalancing"));
    await settled();
    expect(client.committed).toEqual([]);
    // Accepted in the generation before, and told only now.
    inbox.accepted("jobs", 0, 5);
    await settled();
    expect(client.committed).toEqual([]);
  });

  test("that can't be committed is given up, until there is a newer one", async () => {
    let tries = 0;
    client.commits = () => {
      tries += 1;
      return Promise.reject(new Error("no coordinator"));
    };
    await client.batch("old", 2, 4);
    await settled();
    expect(tries).toBe(10);
    client.commits = () => Promise.resolve();
    inbox.accepted("jobs", 0, 7);
    await settled();
    expect(client.committed).toEqual(["0 up to 7"]);
  });
});

const spans = (): readonly string[] => runs.map(({ since, upto }) => `${String(since)} to ${String(upto - 1)}`);

describe("a partition whose log is not the one that was read", () => {
  test("[B11] stops when the log ends before the position, and hands nothing on", async () => {
    log = { low: 0, high: 1 };
    expect(await client.batch("new", 0, 0)).toBeNull();
    expect([alerts, client.told, runs]).toEqual([["truncated"], ["pause jobs:0"], []]);
    expect(inbox.watched().map(({ stopped }) => stopped)).toEqual([true, false]);
  });

  test("[B9] stops when another record lies before the position, which it seeks when the batch does not hold it", async () => {
    log = { low: 0, high: 9 };
    expect(await client.batch("new", 5, 8)).toBeNull();
    expect(client.told).toEqual(["seek 0 to 2"]);
    expect(await client.batch("new", 2, 8)).toBeNull();
    expect([alerts, runs]).toEqual([["other_topic"], []]);
  });

  test("[B9] seeks that record too when the batch ends before it", async () => {
    log = { low: 0, high: 9 };
    expect(await client.batch("new", 0, 1)).toBeNull();
    expect(client.told).toEqual(["seek 0 to 2"]);
  });

  test("[B9] stops when it was met at the log's beginning, was never read, and the log of a topic made anew has grown past that", async () => {
    position = { next: 4, witness: LOG_START_WITNESS };
    log = { low: 0, high: 4 };
    expect(await client.batch("new", 0, 2)).toBeNull();
    expect([alerts, client.told, runs]).toEqual([["other_topic"], ["pause jobs:0"], []]);
    position = { next: 0, witness: LOG_START_WITNESS };
    await inbox.lookAtStopped();
    expect(await client.batch("new", 0, 3)).toBe("3");
    expect(spans()).toEqual(["0 to 3"]);
  });

  test("[B9] is noticed in the middle of a generation, when the broker sets the client back to the beginning", async () => {
    log = { low: 0, high: 9 };
    await client.batch("old", 2, 8);
    expect(spans()).toEqual(["3 to 8"]);
    position = { next: 9, witness: witnessOf("old", 8) };
    log = { low: 0, high: 2 };
    expect(await client.batch("new", 0, 1)).toBeNull();
    expect([alerts, spans()]).toEqual([["truncated"], ["3 to 8"]]);
  });

  test("leaves the others alone", async () => {
    log = { low: 0, high: 1 };
    await client.batch("new", 0, 0);
    position = { next: 0, witness: null };
    expect(await client.batch("new", 0, 0, 1)).toBe("0");
    expect(spans()).toEqual(["0 to 0"]);
  });
});

describe("a stopped partition", () => {
  beforeEach(async () => {
    log = { low: 0, high: 1 };
    await client.batch("new", 0, 0);
    client.told.length = 0;
  });

  test("is left alone while its position is what it was", async () => {
    await inbox.lookAtStopped();
    expect(client.told).toEqual([]);
    expect(await client.batch("new", 0, 0)).toBeNull();
  });

  test("is read from the position that an operator gave it", async () => {
    position = { next: 0, witness: null };
    await inbox.lookAtStopped();
    expect(client.told).toEqual(["seek 0 to 0", "resume jobs:0"]);
    expect(await client.batch("new", 0, 0)).toBe("0");
    expect(spans()).toEqual(["0 to 0"]);
    expect(inbox.watched().map(({ stopped }) => stopped)).toEqual([false, false]);
  });

  test("is taken up when only its witness was given up", async () => {
    position = { next: 3, witness: null };
    log = { low: 0, high: 3 };
    await inbox.lookAtStopped();
    expect(client.told).toEqual(["seek 0 to 2", "resume jobs:0"]);
  });

  test("stops again where a late group of the log before moved its position to the new one's end", async () => {
    position = { next: 4, witness: witnessOf("old", 3) };
    log = { low: 0, high: 4 };
    await inbox.lookAtStopped();
    expect(await client.batch("new", 3, 3)).toBeNull();
    expect(alerts).toEqual(["truncated", "other_topic"]);
    expect(runs).toEqual([]);
  });

  test("stays stopped, and says so, where one moved its position beyond the log", async () => {
    position = { next: 4, witness: witnessOf("old", 3) };
    await inbox.lookAtStopped();
    expect(client.told).toEqual(["pause jobs:0"]);
    expect(alerts).toEqual(["truncated", "truncated"]);
    expect(inbox.watched().map(({ stopped }) => stopped)).toEqual([true, false]);
  });

  test("stays paused when all topics are resumed after back-pressure", () => {
    inbox.pause();
    inbox.resume();
    expect(client.told).toEqual(["pause jobs:all", "resume jobs:all", "pause jobs:0"]);
  });

  test("is not resumed under back-pressure, but with the others after it", async () => {
    inbox.pause();
    position = { next: 0, witness: null };
    await inbox.lookAtStopped();
    expect(client.told).toEqual(["pause jobs:all", "seek 0 to 0"]);
    inbox.resume();
    expect(client.told.slice(2)).toEqual(["resume jobs:all"]);
  });

  test("is proved anew in the next generation, and stops again", async () => {
    client.join();
    expect(client.told).toEqual(["resume jobs:0"]);
    expect(await client.batch("new", 0, 0)).toBeNull();
    expect(client.told).toEqual(["resume jobs:0", "pause jobs:0"]);
    expect(alerts).toEqual(["truncated", "truncated"]);
  });
});

describe("a partition whose log fits", () => {
  test("is left to a rewind that came while the position was compared", async () => {
    log = { low: 0, high: 9 };
    meanwhile = () => {
      position = { next: 6, witness: witnessOf("old", 5) };
      return inbox.rewind("jobs", 0);
    };
    expect(await client.batch("old", 2, 4)).toBeNull();
    expect([client.told, runs]).toEqual([["seek 0 to 5"], []]);
    meanwhile = () => Promise.resolve();
    await client.batch("old", 5, 8);
    expect(spans()).toEqual(["6 to 8"]);
  });

  test("is compared by what comes before a rewind has heard of the position, and not sought a second time then", async () => {
    log = { low: 0, high: 9 };
    await client.batch("old", 2, 4);
    position = { next: 5, witness: witnessOf("old", 4) };
    let answer = (): void => undefined;
    answered = () => {
      answered = () => Promise.resolve();
      return new Promise((resolve) => {
        answer = resolve;
      });
    };
    const rewound = inbox.rewind("jobs", 0);
    expect(await client.batch("old", 5, 6)).toBeNull();
    expect(await client.batch("old", 4, 6)).toBe("6");
    answer();
    await rewound;
    expect([client.told, spans()]).toEqual([["seek 0 to 4"], ["3 to 4", "5 to 6"]]);
  });

  test("is proved anew after a rewind", async () => {
    log = { low: 0, high: 9 };
    await client.batch("old", 2, 4);
    await inbox.rewind("jobs", 0);
    expect(client.told).toEqual(["seek 0 to 2"]);
    expect(await client.batch("new", 2, 4)).toBeNull();
    expect([alerts, spans()]).toEqual([["other_topic"], ["3 to 4"]]);
  });

  test("goes on behind a record that consumers do not get, after one look for it", async () => {
    position = { next: 3, witness: null };
    log = { low: 0, high: 9 };
    expect(await client.batch("old", 4, 8)).toBeNull();
    expect(client.told).toEqual(["seek 0 to 3"]);
    expect(await client.batch("old", 4, 8)).toBe("8");
    expect(spans()).toEqual(["3 to 8"]);
  });

  test("is sought to its position when the group's offset is far behind", async () => {
    position = { next: 7, witness: null };
    log = { low: 0, high: 9 };
    expect(await client.batch("old", 0, 2)).toBeNull();
    expect(client.told).toEqual(["seek 0 to 7"]);
    expect(await client.batch("old", 7, 8)).toBe("8");
    expect([spans(), alerts]).toEqual([["7 to 8"], []]);
  });

  test("[B9] is not proved by a seek for a position that changed before the look", async () => {
    log = { low: 0, high: 9 };
    expect(await client.batch("old", 5, 8)).toBeNull();
    position = { next: 7, witness: witnessOf("old", 6) };
    // Not the record that the new position is proved by, and no word on whether it is there.
    expect(await client.batch("old", 2, 4)).toBeNull();
    expect(client.told).toEqual(["seek 0 to 2", "seek 0 to 6"]);
    expect(await client.batch("new", 6, 8)).toBeNull();
    expect([alerts, runs]).toEqual([["other_topic"], []]);
  });

  test("is sought again when the seek was for the record before another position, which is the one at this position", async () => {
    position = { next: 4, witness: witnessOf("old", 3) };
    log = { low: 0, high: 9 };
    expect(await client.batch("old", 5, 8)).toBeNull();
    position = { next: 3, witness: null };
    expect(await client.batch("old", 5, 8)).toBeNull();
    expect(client.told).toEqual(["seek 0 to 3", "seek 0 to 3"]);
    expect(await client.batch("old", 3, 8)).toBe("8");
    expect(runs.flatMap(({ records }) => records.map(({ offset }) => offset))).toEqual([3, 4, 5, 6, 7, 8]);
  });

  test("[B8] says how many records are gone when the log begins behind the position, and goes on behind the gap", async () => {
    log = { low: 6, high: 9 };
    expect(await client.batch("old", 6, 8)).toBe("8");
    expect([alerts, spans()]).toEqual([["gap"], ["3 to 8"]]);
  });

  test("[B8] says so of a client that is set forward to the log's beginning while it runs, once", async () => {
    log = { low: 0, high: 9 };
    await client.batch("old", 2, 4);
    log = { low: 7, high: 9 };
    expect(await client.batch("old", 7, 7)).toBe("7");
    expect(await client.batch("old", 8, 8)).toBe("8");
    expect([alerts, spans()]).toEqual([["gap"], ["3 to 4", "5 to 7", "8 to 8"]]);
  });

  test("says nothing of records that are missing in the middle of a log", async () => {
    log = { low: 0, high: 9 };
    await client.batch("old", 2, 4);
    expect(await client.batch("old", 7, 8)).toBe("8");
    expect([alerts, spans()]).toEqual([[], ["3 to 4", "5 to 8"]]);
  });
});

describe("a turn at a position", () => {
  beforeEach(() => {
    position = { next: 3, witness: witnessOf("old", 2) };
    log = { low: 0, high: 9 };
  });

  test("[A16] never begins on an idle partition, however often it is assigned", async () => {
    log = { low: 0, high: 3 };
    for (let generation = 0; generation < 50; generation += 1) {
      client.join();
      // What a consumer behind the position reads on its way to it.
      await client.batch("old", 0, 2);
    }
    expect([turns, runs]).toEqual([[], []]);
  });

  test("[A16] begins once a generation, with the first records that are handed on", async () => {
    await client.batch("old", 2, 4);
    await client.batch("old", 5, 8);
    expect(turns).toEqual(["began 0"]);
    expect(spans()).toEqual(["3 to 4", "5 to 8"]);
    position = { next: 9, witness: witnessOf("old", 8) };
    log = { low: 0, high: 12 };
    client.join();
    await client.batch("old", 8, 11);
    expect(turns).toEqual(["began 0", "began 0"]);
  });

  test("[A16] marks and hands on step by step when another ended there, a thousand records long", async () => {
    turn = { turns: 2, markedUpto: null };
    log = { low: 0, high: 2000 };
    expect(await client.batch("old", 2, 102)).toBe("102");
    expect(spans()).toEqual(["3 to 52", "53 to 102"]);
    expect(turns).toEqual(["began 0", "marked 0:3-52 after 0 runs", "marked 0:53-102 after 1 runs"]);
    expect(await client.batch("old", 103, 1100)).toBe("1100");
    expect(await client.batch("old", 1101, 1200)).toBe("1200");
    expect(spans().slice(-2)).toEqual(["1053 to 1100", "1101 to 1200"]);
  });

  test("[A16] marks and hands on record by record what another had marked when it ended", async () => {
    turn = { turns: 1, markedUpto: 6 };
    expect(await client.batch("old", 2, 8)).toBe("8");
    expect(spans()).toEqual(["3 to 3", "4 to 4", "5 to 5", "6 to 8"]);
    expect(turns.slice(1)).toEqual([
      "marked 0:3-3 after 0 runs",
      "marked 0:4-4 after 1 runs",
      "marked 0:5-5 after 2 runs",
      "marked 0:6-8 after 3 runs",
    ]);
  });
});
