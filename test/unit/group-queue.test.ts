import { expect, test } from "@jest/globals";
import { GroupQueue } from "../../src/pipeline/group-queue.js";
import { settled } from "./relay-fixture.js";

/** A queue of groups of four that waits 7 ms for company, and a clock that says how long it was asked to wait. */
function queueOver() {
  const waits: number[] = [];
  const ends: (() => void)[] = [];
  let isBusy = false;
  const sleep = (ms: number) => {
    waits.push(ms);
    return new Promise<void>((resolve) => ends.push(resolve));
  };
  const queue = new GroupQueue<number>({ nowMs: () => 0, monotonicMs: () => 0, sleep }, 4, 7, () => isBusy);
  return {
    queue,
    waits,
    /** The wait is over. */
    end: () => ends.shift()?.(),
    work: (busy: boolean) => {
      isBusy = busy;
    },
  };
}

test("with nobody at work a group is what came within the turn; while one is, the next waits for company", async () => {
  const { queue, waits, end, work } = queueOver();
  const first = queue.take();
  queue.push(1);
  queue.push(2);
  await settled();
  expect(waits).toEqual([0]);
  end();
  expect(await first).toEqual([1, 2]);

  work(true);
  const second = queue.take();
  queue.push(3);
  await settled();
  expect(waits).toEqual([0, 7]);
  queue.push(4);
  end();
  expect(await second).toEqual([3, 4]);
});

test("a full group waits for nobody, and what is above it is the next one's", async () => {
  const { queue, waits, work } = queueOver();
  work(true);
  for (const item of [1, 2, 3, 4, 5]) queue.push(item);
  expect(await queue.take()).toEqual([1, 2, 3, 4]);
  expect(waits).toEqual([]);
  queue.close();
  expect(await queue.take()).toEqual([5]);
  expect(await queue.take()).toBeNull();
});
