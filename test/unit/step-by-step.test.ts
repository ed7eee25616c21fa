/** Row A16 of the fault catalogue: how a record that ends its reader is told from a death beside it. */
import { beforeEach, describe, expect, test } from "@jest/globals";
import { StepByStep, type ConsumerSteps } from "../../src/adapters/kafka/step-by-step.js";
import type {
  CarefulReading,
  EarlierMarker,
  Marker,
  RecordMark,
  SessionFate,
} from "../../src/domain/dedupe/crash-suspect.js";
import { sessionNo } from "../../src/domain/ids.js";
import type { IncomingRecord } from "../../src/domain/job/job.js";
import type { RecordRun } from "../../src/ports/broker.js";

const OWN = sessionNo(9);
const OTHER = sessionNo(4);
const EARLIER = sessionNo(3);

const recordAt = (offset: number, partition = 0): IncomingRecord => ({
  topic: "jobs",
  partition,
  offset,
  timestampMs: 1000,
  key: null,
  value: Buffer.from(`record ${String(offset)}`),
  headers: [],
});
const runOf = (first: number, last: number, partition = 0): RecordRun => ({
  topic: "jobs",
  partition,
  since: first,
  upto: last + 1,
  records: Array.from({ length: last - first + 1 }, (_unused, index) => recordAt(first + index, partition)),
});
const marker = (by: typeof OWN, fate: SessionFate, beatAtMs = 1000): Marker => ({ by, fate, beatAtMs });
const earlierMarker = (fate: SessionFate, beatAtMs = 1000): EarlierMarker => ({
  ...marker(EARLIER, fate, beatAtMs),
  alone: false,
  followedAtMs: 1000,
});
/** A mark of one record, that another session had marked before and died. */
const markBy = (by: typeof OWN, fate: SessionFate, offset = 5, beatAtMs = 1000): RecordMark => ({
  offset,
  upto: offset + 1,
  last: marker(by, fate, beatAtMs),
  earlier: earlierMarker("died"),
  othersDied: 0,
});
const SINGLY: CarefulReading = { upto: 1000, singlyUpto: 1000 };

const spanOf = (first: number, upto: number): string =>
  first + 1 === upto ? String(first) : `${String(first)}-${String(upto - 1)}`;

let reader: StepByStep;
/** Everything that happens, in order. */
let told: string[];
/** The ledger's answers to the looks at the mark; the last one stays. */
let marks: (RecordMark | null)[];
let looks: number;
let alive: boolean;
let accepted: number;
let goesOn: boolean;

beforeEach(() => {
  told = [];
  marks = [null];
  looks = 0;
  alive = true;
  accepted = 0;
  goesOn = true;
  const quiet = (): undefined => undefined;
  reader = new StepByStep({
    turns: {
      session: OWN,
      begin: () => Promise.resolve({ turns: 1, markedUpto: null }),
      mark: () => {
        looks += 1;
        return Promise.resolve((marks.length > 1 ? marks.shift() : marks[0]) ?? null);
      },
      markRecords: ({ partition, offset, upto }) => {
        told.push(`mark ${String(partition)}:${spanOf(offset, upto)}`);
        return Promise.resolve(alive);
      },
    },
    clock: { nowMs: () => 0, monotonicMs: () => 0, sleep: () => new Promise((resolve) => setImmediate(resolve)) },
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
});

const steps: ConsumerSteps = {
  goesOn: () => Promise.resolve(goesOn),
  decode: (records) => {
    const [first, last] = [records.at(0), records.at(-1)];
    told.push(`read ${String(first?.partition)}:${spanOf(first?.offset ?? 0, (last?.offset ?? 0) + 1)}`);
    return Promise.resolve(new Map());
  },
  offer: ({ since, upto, records, decoded }) => {
    const [record] = records;
    const value = record === undefined ? undefined : decoded?.get(record);
    told.push(`offer ${String(since)} to ${String(upto - 1)}${value?.kind === "refused" ? ` as ${value.code}` : ""}`);
    setImmediate(() => {
      accepted = upto;
      told.push(`accepted ${String(upto)}`);
    });
    return Promise.resolve();
  },
  isAccepted: (upto) => accepted >= upto,
};

describe("records step by step", () => {
  test("[A16] are marked before they are read, and accepted before the next is marked", async () => {
    expect(await reader.read(runOf(5, 6), SINGLY, steps)).toBe(true);
    expect(told).toEqual([
      "mark 0:5",
      "read 0:5",
      "offer 5 to 5",
      "accepted 6",
      "mark 0:6",
      "read 0:6",
      "offer 6 to 6",
      "accepted 7",
    ]);
  });

  test("[A16] leave no offset out: gaps go with the record behind them, or with the last", async () => {
    const run = { ...runOf(5, 5), since: 2, upto: 9, records: [recordAt(4), recordAt(6)] };
    await reader.read(run, SINGLY, steps);
    expect(told.filter((line) => line.startsWith("offer"))).toEqual(["offer 2 to 4", "offer 5 to 8"]);
  });

  test("[A16] are read fifty at a time where nobody had marked them, with one mark", async () => {
    expect(await reader.read(runOf(5, 120), { upto: 1000, singlyUpto: 7 }, steps)).toBe(true);
    expect(told.filter((line) => !line.startsWith("accepted"))).toEqual([
      ...["mark 0:5", "read 0:5", "offer 5 to 5"],
      ...["mark 0:6", "read 0:6", "offer 6 to 6"],
      ...["mark 0:7-56", "read 0:7-56", "offer 7 to 56"],
      ...["mark 0:57-106", "read 0:57-106", "offer 57 to 106"],
      ...["mark 0:107-120", "read 0:107-120", "offer 107 to 120"],
    ]);
    expect(looks).toBe(2); // a step of several accuses nobody
  });

  test("[A16] of two partitions are never marked at the same time", async () => {
    await Promise.all([reader.read(runOf(5, 5, 0), SINGLY, steps), reader.read(runOf(6, 6, 1), SINGLY, steps)]);
    expect(told).toEqual([
      "mark 0:5",
      "read 0:5",
      "offer 5 to 5",
      "accepted 6",
      "mark 1:6",
      "read 1:6",
      "offer 6 to 6",
      "accepted 7",
    ]);
  });

  test("[A16] stop when the partition goes to another", async () => {
    goesOn = false;
    expect(await reader.read(runOf(5, 6), SINGLY, steps)).toBe(false);
    expect(told).toEqual([]);
  });

  test("[A16] are not read by a session that was declared dead", async () => {
    alive = false;
    expect(await reader.read(runOf(5, 6), SINGLY, steps)).toBe(false);
    expect(told).toEqual(["mark 0:5"]);
  });
});

describe("a record that another session marked", () => {
  const outcome = async (): Promise<readonly string[]> => {
    await reader.read(runOf(5, 5), SINGLY, steps);
    return told.filter((line) => !line.startsWith("accepted"));
  };
  const READ = ["mark 0:5", "read 0:5", "offer 5 to 5"];
  const REFUSED = ["offer 5 to 5 as CRASH_SUSPECT"];

  test("[A16] is a dead letter, unread, when that session died, and one before it that had marked it too", async () => {
    marks = [markBy(OTHER, "died")];
    expect(await outcome()).toEqual(REFUSED);
  });

  test("[A16] is read where others died meanwhile: what kills those may have killed that session while it read this", async () => {
    // Also while nobody can tell of that session: whatever is told, it is read.
    for (const fate of ["died", "beats"] as const) {
      [told, looks, accepted] = [[], 0, 0];
      marks = [{ ...markBy(OTHER, fate), othersDied: 1 }];
      expect([await outcome(), looks]).toEqual([READ, 1]);
    }
  });

  test("[A16] is a dead letter, whoever died beside, when both had marked nothing else", async () => {
    marks = [{ ...markBy(OTHER, "died"), earlier: { ...earlierMarker("died"), alone: true }, othersDied: 9 }];
    expect(await outcome()).toEqual(REFUSED);
  });

  test("[A16] is read when that session was the first to die with it: anything may have killed it", async () => {
    marks = [{ ...markBy(OTHER, "died"), earlier: null }];
    expect(await outcome()).toEqual(READ);
    expect(looks).toBe(1);
  });

  test("[A16] is read when the one before left in order", async () => {
    marks = [{ ...markBy(OTHER, "died"), earlier: earlierMarker("left") }];
    expect(await outcome()).toEqual(READ);
  });

  test.each(["beats", "died"] as const)(
    "[A16] is read when the one before has beaten after another came to its records, and %s now: it had only lost the partition",
    async (fate) => {
      marks = [{ ...markBy(OTHER, "died"), earlier: earlierMarker(fate, 1001) }];
      expect(await outcome()).toEqual(READ);
    },
  );

  test("[A16] is waited for while nobody can tell of the one before", async () => {
    marks = [{ ...markBy(OTHER, "died"), earlier: earlierMarker("beats") }, markBy(OTHER, "died")];
    expect(await outcome()).toEqual(REFUSED);
    expect(looks).toBe(2);
  });

  test("[A16] is read when that session had marked it among others", async () => {
    marks = [{ ...markBy(OTHER, "died"), upto: 55 }];
    expect(await outcome()).toEqual(READ);
  });

  test("[A16] is read when that session left in order", async () => {
    marks = [markBy(OTHER, "left")];
    expect(await outcome()).toEqual(READ);
  });

  test("[A16] is waited for while nobody can tell, until that session is declared dead", async () => {
    marks = [markBy(OTHER, "beats"), markBy(OTHER, "beats"), markBy(OTHER, "died")];
    expect(await outcome()).toEqual(REFUSED);
    expect(looks).toBe(3);
  });

  test("[A16] is read once that session has beaten again: it lives", async () => {
    marks = [markBy(OTHER, "beats", 5, 1000), markBy(OTHER, "beats", 5, 4000)];
    expect(await outcome()).toEqual(READ);
  });

  test("[A16] stays unclear when a third session marked it meanwhile", async () => {
    marks = [markBy(OTHER, "beats", 5, 1000), markBy(sessionNo(5), "beats", 5, 4000), markBy(sessionNo(5), "died")];
    expect(await outcome()).toEqual(REFUSED);
  });

  test("[A16] is read when the mark is this session's own, or of another record", async () => {
    marks = [markBy(OWN, "beats")];
    expect(await outcome()).toEqual(READ);
    told = [];
    marks = [markBy(OTHER, "died", 6)];
    expect(await outcome()).toEqual(READ);
  });
});
