import { describe, expect, test } from "@jest/globals";
import type { PublishOutcome } from "../../src/ports/broker.js";
import { groupOf, NOW_MS, RelayBench, recordOf, settled } from "./relay-fixture.js";

const TAKEN: PublishOutcome = { kind: "acknowledged" };
const REFUSED: PublishOutcome = { kind: "refused", of: "records", reason: "MESSAGE_TOO_LARGE: too large" };
const NO_TOPIC: PublishOutcome = { kind: "refused", of: "topic", reason: "UNKNOWN_TOPIC_OR_PARTITION: none" };

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, at) => from + at);

describe("a topic that takes everything", () => {
  test("gets the records in order, and a group's row goes with its last record", async () => {
    const bench = new RelayBench({ recordsPerSend: 3 });
    bench.answers(() => TAKEN);
    // The first group does not wait for company; what comes while it is on its way goes together.
    bench.relay.add([
      groupOf(7, [recordOf(1)]),
      groupOf(8, [recordOf(2), recordOf(3)]),
      groupOf(9, [recordOf(4), recordOf(5)]),
    ]);
    expect(bench.relay.waiting).toBe(5);
    await settled();
    expect(bench.sends.map(({ nos }) => nos)).toEqual([[1], [2, 3, 4], [5]]);
    expect(bench.dropped).toEqual([7, 8, 9]);
    expect(bench.relay.waiting).toBe(0);
  });

  test("gets cost records together that come within their wait, and all others at once", async () => {
    const bench = new RelayBench({ costWaitMs: 25, recordsPerSend: 4 });
    bench.answers(() => TAKEN);
    const cost = (no: number) => ({ ...groupOf(no, [recordOf(no, { kind: "cost" })]), topic: "costs" });
    bench.relay.add([cost(1), groupOf(2, [recordOf(2)])]);
    await settled();
    expect(bench.sends.map(({ nos }) => nos)).toEqual([[2]]);
    bench.relay.add([cost(3)]);
    await bench.clock.advance(25);
    expect(bench.sends.map(({ nos }) => nos)).toEqual([[2], [1, 3]]);
    // What fills the next send is there already.
    bench.relay.add([4, 5, 6, 7, 8, 9, 10, 11].map(cost));
    await bench.clock.advance(25);
    expect(bench.sends.slice(2).map(({ nos }) => nos)).toEqual([
      [4, 5, 6, 7],
      [8, 9, 10, 11],
    ]);
  });

  test("gets no more bytes at once than a send may have, and a larger record alone", async () => {
    const bench = new RelayBench({ bytesPerSend: 100 });
    bench.answers(() => TAKEN);
    const bytes = [40, 60, 1, 500, 99];
    bench.relay.add([
      groupOf(
        7,
        bytes.map((length, no) => recordOf(no, { value: Buffer.alloc(length) })),
      ),
    ]);
    await settled();
    expect(bench.sends.map(({ nos }) => nos)).toEqual([[0, 1], [2], [3], [4]]);
  });

  test("counts key and headers", async () => {
    const bench = new RelayBench({ bytesPerSend: 100 });
    bench.answers(() => TAKEN);
    const record = recordOf(1, {
      key: Buffer.alloc(20),
      headers: [["name", "x".repeat(36)]],
      value: Buffer.alloc(40),
    });
    bench.relay.add([groupOf(7, [record, recordOf(2, { value: Buffer.alloc(1) })])]);
    await settled();
    expect(bench.sends.map(({ nos }) => nos)).toEqual([[1], [2]]);
  });

  test("loses the row of a group that holds nothing", async () => {
    const bench = new RelayBench();
    bench.relay.add([{ seq: 7, topic: "replies", records: [], sinceMs: NOW_MS }]);
    await settled();
    expect(bench.sends).toEqual([]);
    expect(bench.dropped).toEqual([7]);
  });
});

describe("a refused record", () => {
  test("is found by halving: each of its neighbours goes out once, it is given up alone, no pause", async () => {
    const bench = new RelayBench();
    bench.answers((_topic, nos) => (nos.includes(42) ? REFUSED : TAKEN));
    bench.relay.add([
      groupOf(
        7,
        numbers(1, 50).map((no) => recordOf(no)),
      ),
      groupOf(
        8,
        numbers(51, 100).map((no) => recordOf(no)),
      ),
    ]);
    await settled();
    expect(bench.published()).toEqual(numbers(1, 100).filter((no) => no !== 42));
    expect(bench.givenUp).toEqual([{ seq: 7, record: recordOf(42), reason: "MESSAGE_TOO_LARGE: too large" }]);
    expect(bench.dropped).toEqual([7, 8]);
    expect(bench.clock.sleeps).toEqual([]);
    expect(bench.sends.length).toBeLessThanOrEqual(1 + 2 * 7);
    expect(bench.relay.waiting).toBe(0);
  });

  test("of several is given up each, also when all are", async () => {
    const bench = new RelayBench();
    bench.answers(() => REFUSED);
    bench.relay.add([groupOf(7, [recordOf(1), recordOf(2), recordOf(3)])]);
    await settled();
    expect(bench.givenUp.map(({ record }) => record.no)).toEqual([1, 2, 3]);
    expect(bench.dropped).toEqual([7]);
  });

  test("is not one when the records are only too large together", async () => {
    const bench = new RelayBench();
    bench.answers((_topic, nos) => (nos.length > 2 ? REFUSED : TAKEN));
    bench.relay.add([
      groupOf(
        7,
        numbers(1, 7).map((no) => recordOf(no)),
      ),
    ]);
    await settled();
    expect(bench.published()).toEqual(numbers(1, 7));
    expect(bench.givenUp).toEqual([]);
  });

  test("leads to its dead letter's topic", async () => {
    const bench = new RelayBench();
    bench.answers((topic) => (topic === "replies" ? REFUSED : TAKEN));
    const letter = recordOf(9, { kind: "dead_letter", topic: "jobs.dlq" });
    bench.inPlace = () => ({ outbox: [groupOf(70, [letter])], letters: 1, held: 0 });
    bench.relay.add([groupOf(7, [recordOf(1)])]);
    await settled();
    expect(bench.published("jobs.dlq")).toEqual([9]);
    expect(bench.dropped).toEqual([7, 70]);
  });

  test("that the ledger can't write down just now goes behind the others, and is tried again after the pause", async () => {
    const bench = new RelayBench({ recordsPerSend: 1 });
    bench.answers((_topic, nos) => (nos.includes(1) ? REFUSED : TAKEN));
    let ledgerAway = true;
    bench.inPlace = (refused) => {
      if (ledgerAway) throw new Error("the ledger is away");
      return { outbox: [], letters: refused.length, held: 0 };
    };
    bench.relay.add([groupOf(7, [recordOf(1), recordOf(2), recordOf(3)])]);
    await settled();
    await bench.clock.advance(1000);
    expect(bench.published()).toEqual([2, 3]);
    expect(bench.relay.waiting).toBe(1);
    expect(bench.dropped).toEqual([]);
    ledgerAway = false;
    await bench.clock.advance(10_000);
    expect(bench.givenUp.map(({ record }) => record.no)).toEqual([1]);
    expect(bench.dropped).toEqual([7]);
    expect(bench.relay.waiting).toBe(0);
  });
});

describe("trouble", () => {
  test("pauses its topic alone, longer each time, and loses, repeats and blames nothing", async () => {
    const bench = new RelayBench();
    let away = true;
    bench.answers((topic) => (topic === "replies" && away ? "trouble" : TAKEN));
    bench.relay.add([groupOf(7, [recordOf(1), recordOf(2)]), groupOf(8, [recordOf(3, { topic: "others" })])]);
    await settled();
    expect(bench.published("others")).toEqual([3]);
    expect(bench.relay.waiting).toBe(2);
    const waits: number[] = [];
    for (let round = 0; round < 8; round += 1) {
      waits.push((bench.clock.sleeps[0]?.endMs ?? Number.NaN) - bench.clock.elapsedMs);
      // Serial: each pause ends before the next.
      await bench.clock.advance(waits.at(-1) ?? 0);
    }
    expect(waits).toEqual([400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
    away = false;
    await bench.clock.advance(10_000);
    expect(bench.published()).toEqual([1, 2]);
    expect(bench.dropped).toEqual([8, 7]);
    expect(bench.givenUp).toEqual([]);
    expect(bench.relay.waiting).toBe(0);
  });

  test("in the middle of halving leaves only what was not acknowledged, in its order", async () => {
    const bench = new RelayBench();
    let away = true;
    // 1 to 8 are refused as a whole; 1 to 4 arrive; then the broker goes away.
    bench.answers((_topic, nos) => {
      if (nos.includes(8) && nos.length > 4) return REFUSED;
      return away && nos.includes(5) ? "trouble" : TAKEN;
    });
    bench.relay.add([
      groupOf(
        7,
        numbers(1, 8).map((no) => recordOf(no)),
      ),
    ]);
    await settled();
    expect(bench.published()).toEqual([1, 2, 3, 4]);
    expect(bench.relay.waiting).toBe(4);
    expect(bench.dropped).toEqual([]);
    away = false;
    await bench.clock.advance(400);
    expect(bench.published()).toEqual(numbers(1, 8));
    expect(bench.sends.at(-1)?.nos).toEqual([5, 6, 7, 8]);
    expect(bench.dropped).toEqual([7]);
  });
});

describe("a topic that takes nothing", () => {
  test("keeps its records until their time is over; then they are given up, dead letters never", async () => {
    const bench = new RelayBench();
    bench.answers((topic) => (topic === "replies" ? NO_TOPIC : TAKEN));
    const letter = recordOf(3, { kind: "dead_letter" });
    bench.relay.add([
      groupOf(7, [recordOf(1), letter], NOW_MS - 50_000),
      groupOf(8, [recordOf(2)]),
      groupOf(9, [recordOf(4, { topic: "others" })]),
    ]);
    await settled();
    expect(bench.published("others")).toEqual([4]);
    expect(bench.givenUp).toEqual([]);
    await bench.clock.advance(10_000);
    expect(bench.givenUp).toEqual([{ seq: 7, record: recordOf(1), reason: "UNKNOWN_TOPIC_OR_PARTITION: none" }]);
    expect(bench.dropped).toEqual([9]);
    expect(bench.relay.waiting).toBe(2);
    await bench.clock.advance(50_000);
    expect(bench.givenUp.map(({ record }) => record.no)).toEqual([1, 2]);
    expect(bench.dropped).toEqual([9, 8]);
    expect(bench.relay.waiting).toBe(1);
  });

  test("goes on as soon as somebody has mended it", async () => {
    const bench = new RelayBench();
    let missing = true;
    bench.answers(() => (missing ? NO_TOPIC : TAKEN));
    bench.relay.add([groupOf(7, [recordOf(1)])]);
    await settled();
    missing = false;
    await bench.clock.advance(400);
    expect(bench.published()).toEqual([1]);
    expect(bench.givenUp).toEqual([]);
    expect(bench.dropped).toEqual([7]);
  });

  test("of a tenant keeps only so many: beyond it the oldest are given up at once, dead letters never", async () => {
    const bench = new RelayBench({ refusedRecordsMax: 3, recordsPerSend: 2 });
    let missing = true;
    bench.answers(() => (missing ? NO_TOPIC : TAKEN));
    const letter = recordOf(2, { kind: "dead_letter" });
    bench.relay.add([groupOf(7, [recordOf(1), letter, ...numbers(3, 7).map((no) => recordOf(no))])]);
    await settled();
    expect(bench.givenUp.map(({ record }) => record.no)).toEqual([1, 3, 4]);
    expect(bench.relay.waiting).toBe(4);
    expect(bench.relay.refusingTopics).toEqual(["replies"]);
    await bench.clock.advance(10_000);
    expect(bench.givenUp).toHaveLength(3);
    missing = false;
    await bench.clock.advance(10_000);
    expect(bench.published()).toEqual([2, 5, 6, 7]);
    expect(bench.relay.refusingTopics).toEqual([]);
  });

  test("of the gateway's own keeps all of them: without it nobody is served", async () => {
    const bench = new RelayBench({ refusedRecordsMax: 1 });
    bench.answers(() => NO_TOPIC);
    bench.relay.add([
      groupOf(
        7,
        numbers(1, 5).map((no) => recordOf(no, { topic: "results" })),
      ),
    ]);
    await settled();
    await bench.clock.advance(10_000);
    expect(bench.givenUp).toEqual([]);
    expect(bench.relay.refusingTopics).toEqual([]);
  });

  test("is left out by the sweep, like one whose queue is full", async () => {
    const bench = new RelayBench({ recordsMax: 2 });
    let open: (outcome: PublishOutcome) => void = () => undefined;
    bench.answers((topic) => {
      if (topic === "replies") return NO_TOPIC;
      if (topic === "others") return TAKEN;
      return new Promise((resolve) => {
        open = resolve;
      });
    });
    const full = numbers(4, 5).map((no) => recordOf(no, { topic: "full" }));
    bench.relay.add([groupOf(7, [recordOf(1)]), groupOf(8, [recordOf(2, { topic: "others" })]), groupOf(9, full)]);
    await settled();
    const sweeping = bench.relay.runSweep();
    await bench.clock.advance(2000);
    expect(bench.leftOut).toEqual([["replies", "full"]]);
    open(TAKEN);
    await bench.relay.drain(0);
    await sweeping;
  });
});

describe("memory", () => {
  const bytes = (length: number): Buffer => Buffer.alloc(length);

  test("of a topic is bounded in bytes: what is beyond it is left to the sweep, which leaves that topic out; others have their own", async () => {
    const bench = new RelayBench({ bytesMax: 100 });
    bench.answers(() => new Promise(() => undefined)); // nothing comes back
    const groups = [7, 8, 9].map((seq) => groupOf(seq, [recordOf(seq, { value: bytes(60) })]));
    bench.relay.add([...groups, groupOf(10, [recordOf(10, { topic: "others", value: bytes(60) })])]);
    // The second reaches the bound, the third finds it reached.
    expect(bench.relay.waiting).toBe(2 + 1);
    const sweeping = bench.relay.runSweep();
    await bench.clock.advance(2000);
    expect(bench.leftOut.at(-1)).toEqual(["replies"]);
    await bench.relay.drain(0);
    await sweeping;
  });

  test("takes a group that is larger alone, and the next when that is out", async () => {
    const bench = new RelayBench({ bytesMax: 100 });
    bench.answers(() => TAKEN);
    bench.relay.add([
      groupOf(7, [recordOf(1, { value: bytes(500) })]),
      groupOf(8, [recordOf(2, { value: bytes(10) })]),
    ]);
    await settled();
    expect(bench.published()).toEqual([1]);
    bench.relay.add([groupOf(8, [recordOf(2, { value: bytes(10) })])]);
    await settled();
    expect(bench.published()).toEqual([1, 2]);
  });
});

describe("draining", () => {
  test("waits for what is under way, and ends a pause", async () => {
    const bench = new RelayBench();
    bench.answers((topic) => (topic === "replies" ? "trouble" : TAKEN));
    bench.relay.add([groupOf(7, [recordOf(1)])]);
    await settled();
    const draining = bench.relay.drain(1000);
    await settled();
    await bench.clock.advance(1000);
    await draining;
    const sends = bench.sends.length;
    await bench.clock.advance(60_000);
    expect(bench.sends).toHaveLength(sends);
    expect(bench.dropped).toEqual([]);
    expect(bench.relay.waiting).toBe(1);
  });

  test("waits until the rows of what was published are gone: the next router would publish it again", async () => {
    const bench = new RelayBench();
    bench.answers(() => TAKEN);
    let drop: () => void = () => undefined;
    bench.beforeDrop = () =>
      new Promise((resolve) => {
        drop = resolve;
      });
    bench.relay.add([groupOf(7, [recordOf(1)])]);
    await settled();
    let drained = false;
    const draining = bench.relay.drain(1000).then(() => {
      drained = true;
    });
    await bench.clock.advance(10);
    expect([bench.relay.waiting, drained]).toEqual([0, false]);
    drop();
    await settled();
    await bench.clock.advance(10);
    await draining;
    expect(bench.dropped).toEqual([7]);
  });

  test("does not wait for a topic that takes nothing: its rows stay", async () => {
    const bench = new RelayBench();
    bench.answers(() => NO_TOPIC);
    bench.relay.add([groupOf(7, [recordOf(1)])]);
    await settled();
    await bench.relay.drain(60_000);
    expect(bench.clock.elapsedMs).toBe(0);
    expect(bench.dropped).toEqual([]);
    expect(bench.relay.waiting).toBe(1);
  });

  test("stops in the middle of halving: nothing more is sent, what was not acknowledged keeps its row", async () => {
    const bench = new RelayBench();
    let answer: (outcome: PublishOutcome) => void = () => undefined;
    bench.answers(
      () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    );
    bench.relay.add([groupOf(7, [recordOf(1), recordOf(2)])]);
    await settled();
    await bench.relay.drain(0);
    answer(REFUSED);
    await settled();
    expect(bench.sends).toHaveLength(1);
    expect(bench.givenUp).toEqual([]);
    expect(bench.dropped).toEqual([]);
    expect(bench.relay.waiting).toBe(2);
  });
});
