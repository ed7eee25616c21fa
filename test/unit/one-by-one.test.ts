/** Row A16 of the fault catalogue: how a record that ends its reader is told from a death beside it. */
import { beforeEach, describe, expect, test } from "@jest/globals";
import { OneByOne, type OneByOneSteps } from "../../src/adapters/kafka/one-by-one.js";
import type { RecordMark, SessionFate } from "../../src/domain/dedupe/crash-suspect.js";
import { sessionNo } from "../../src/domain/ids.js";
import type { IncomingRecord } from "../../src/domain/job/job.js";
import type { RecordRun } from "../../src/ports/broker.js";

const OWN = sessionNo(9);
const OTHER = sessionNo(4);

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
const markBy = (by: typeof OWN, fate: SessionFate, offset = 5, beatAtMs = 1000): RecordMark => ({
  offset,
  by,
  fate,
  beatAtMs,
});

let reader: OneByOne;
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
  reader = new OneByOne({
    turns: {
      session: OWN,
      begin: () => Promise.resolve({ turns: 1, marked: false }),
      mark: () => {
        looks += 1;
        return Promise.resolve((marks.length > 1 ? marks.shift() : marks[0]) ?? null);
      },
      markRecord: (_topic, partition, offset) => {
        told.push(`mark ${String(partition)}:${String(offset)}`);
        return Promise.resolve(alive);
      },
    },
    clock: { nowMs: () => 0, monotonicMs: () => 0, sleep: () => new Promise((resolve) => setImmediate(resolve)) },
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
});

const steps: OneByOneSteps = {
  goesOn: () => Promise.resolve(goesOn),
  decode: (record) => {
    told.push(`read ${String(record.partition)}:${String(record.offset)}`);
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

describe("records one by one", () => {
  test("[A16] are marked before they are read, and accepted before the next is marked", async () => {
    expect(await reader.read(runOf(5, 6), steps)).toBe(true);
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
    await reader.read(run, steps);
    expect(told.filter((line) => line.startsWith("offer"))).toEqual(["offer 2 to 4", "offer 5 to 8"]);
  });

  test("[A16] of two partitions are never marked at the same time", async () => {
    await Promise.all([reader.read(runOf(5, 5, 0), steps), reader.read(runOf(6, 6, 1), steps)]);
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
    expect(await reader.read(runOf(5, 6), steps)).toBe(false);
    expect(told).toEqual([]);
  });

  test("[A16] are not read by a session that was declared dead", async () => {
    alive = false;
    expect(await reader.read(runOf(5, 6), steps)).toBe(false);
    expect(told).toEqual(["mark 0:5"]);
  });
});

describe("a record that another session marked", () => {
  const outcome = async (): Promise<readonly string[]> => {
    await reader.read(runOf(5, 5), steps);
    return told.filter((line) => !line.startsWith("accepted"));
  };
  const READ = ["mark 0:5", "read 0:5", "offer 5 to 5"];
  const REFUSED = ["offer 5 to 5 as CRASH_SUSPECT"];

  test("[A16] is a dead letter, unread, when that session died", async () => {
    marks = [markBy(OTHER, "died")];
    expect(await outcome()).toEqual(REFUSED);
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
