import { describe, expect, test } from "@jest/globals";
import { RunQueue } from "../../src/pipeline/intake/run-queue.js";
import type { RecordRun } from "../../src/ports/broker.js";

/** A run of one record an offset. */
function runOf(partition: number, since: number, upto: number): RecordRun {
  const records = Array.from({ length: upto - since }, (_unused, index) => ({
    topic: "jobs",
    partition,
    offset: since + index,
    timestampMs: 0,
    key: null,
    value: Buffer.from("{}"),
    headers: [],
  }));
  return { topic: "jobs", partition, since, upto, records };
}

async function queueOf(...runs: readonly RecordRun[]): Promise<RunQueue> {
  const queue = new RunQueue(1000, 1_000_000);
  for (const run of runs) await queue.offer(run); // in order
  return queue;
}

const taken = (queue: RunQueue, sizeMax: number) => {
  const { records, moves } = queue.take(sizeMax);
  return {
    offsets: records.map(({ record }) => `${String(record.partition)}:${String(record.offset)}`),
    moves: moves.map(({ partition, since, upto }) => [partition, since, upto]),
  };
};

describe("a group of queued runs", () => {
  test("joins runs that follow each other, over partitions", async () => {
    const queue = await queueOf(runOf(0, 3, 5), runOf(1, 0, 1), runOf(0, 5, 6));
    expect(taken(queue, 10)).toEqual({
      offsets: ["0:3", "0:4", "1:0", "0:5"],
      moves: [
        [0, 3, 6],
        [1, 0, 1],
      ],
    });
  });

  test("ends within a run when it is full; the rest begins where it ended", async () => {
    const queue = await queueOf(runOf(0, 3, 6));
    expect(taken(queue, 2)).toEqual({ offsets: ["0:3", "0:4"], moves: [[0, 3, 5]] });
    expect(taken(queue, 2)).toEqual({ offsets: ["0:5"], moves: [[0, 5, 6]] });
  });

  test.each([
    ["beyond a gap", 7, 9],
    ["before its end", 3, 5],
  ])("ends before a run of the same partition that begins %s", async (_where, since, upto) => {
    const queue = await queueOf(runOf(0, 4, 6), runOf(0, since, upto));
    expect(taken(queue, 10).moves).toEqual([[0, 4, 6]]);
    expect(taken(queue, 10).moves).toEqual([[0, since, upto]]);
    expect(queue.length).toBe(0);
  });

  test("ends before a run that follows, and is of another log", async () => {
    const queue = await queueOf(runOf(0, 4, 6), { ...runOf(0, 6, 7), adoptions: 1 });
    expect(queue.take(10).moves).toMatchObject([{ since: 4, upto: 6 }]);
    expect(queue.take(10).moves).toMatchObject([{ since: 6, upto: 7, adoptions: 1 }]);
  });
});

test("what comes next can be looked at, over runs, and stays where it is", async () => {
  const queue = await queueOf(runOf(0, 3, 5), runOf(1, 0, 3));
  queue.take(1);
  const next = (sizeMax: number) => queue.peek(sizeMax).map(({ record }) => [record.partition, record.offset]);
  expect(next(3)).toEqual([
    [0, 4],
    [1, 0],
    [1, 1],
  ]);
  expect(next(10)).toHaveLength(4);
  expect(taken(queue, 10).offsets).toEqual(["0:4", "1:0", "1:1", "1:2"]);
  expect(next(10)).toEqual([]);
});
