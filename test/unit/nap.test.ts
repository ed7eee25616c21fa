import { expect, test } from "@jest/globals";
import { Nap } from "../../src/pipeline/nap.js";

/** Sleeps end when they are told to, or by their signal. */
function napper() {
  const slept: number[] = [];
  const ends: (() => void)[] = [];
  const seen = { aborts: 0 };
  const nap = new Nap({
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        slept.push(ms);
        ends.push(resolve);
        signal?.addEventListener("abort", () => {
          seen.aborts += 1;
          resolve();
        });
      }),
  });
  return { nap, slept, ends, seen };
}

test("a nap lasts its time, or until somebody wakes it", async () => {
  const { nap, slept, ends } = napper();
  const whole = nap.sleep(100);
  ends[0]?.();
  await whole;
  const woken = nap.sleep(200);
  nap.wake();
  await woken;
  expect(slept).toEqual([100, 200]);
});

test("who was woken while awake does not sleep, once", async () => {
  const { nap, slept, ends } = napper();
  nap.wake();
  nap.wake();
  await nap.sleep(100);
  expect(slept).toEqual([]);
  const next = nap.sleep(200);
  ends[0]?.();
  await next;
  expect(slept).toEqual([200]);
});

test("what ends a nap beside its time leaves no timer, and does not count as a waking", async () => {
  const { nap, slept, ends, seen } = napper();
  await nap.sleep(100, () => Promise.resolve());
  expect(seen.aborts).toBe(1);
  const next = nap.sleep(200);
  ends[1]?.();
  await next;
  expect(slept).toEqual([100, 200]);
});
