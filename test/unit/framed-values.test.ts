/** Row C7 of the fault catalogue, on a stub of the registry: partitions that wait for it are paused, and nobody else's reading is held up. */
import { beforeEach, describe, expect, test } from "@jest/globals";
import { FramedValues } from "../../src/adapters/kafka/framed-values.js";
import type { IncomingRecord } from "../../src/domain/job/job.js";
import type { ValueDecoding } from "../../src/ports/value-decoder.js";

const UNAVAILABLE: ValueDecoding = { kind: "unavailable", message: "away" };
const REFUSED: ValueDecoding = { kind: "refused", code: "UNKNOWN_SCHEMA", message: "there is none" };

const recordOf = (partition: number, value: Buffer | string): IncomingRecord => ({
  ...{ topic: "jobs", partition, offset: 7, timestampMs: 1000, key: null, headers: [] },
  value: Buffer.from(value),
});
/** Its last byte is the schema. */
const framed = (partition: number, schema: number): IncomingRecord =>
  recordOf(partition, Buffer.from([0, 0, 0, 0, schema]));

let values: FramedValues;
let told: string[];
let answers: Map<number, ValueDecoding>;
let sleepers: (() => void)[];
const isOurs = (): boolean => true;
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
};
/** The waits for the next question are over. */
async function nextLook(): Promise<void> {
  for (const wake of sleepers.splice(0)) wake();
  await settle();
}

beforeEach(() => {
  told = [];
  answers = new Map();
  sleepers = [];
  const quiet = (): undefined => undefined;
  values = new FramedValues(
    {
      decoder: { decode: (value) => Promise.resolve(answers.get(value[4] ?? 0) ?? UNAVAILABLE) },
      clock: {
        nowMs: () => 0,
        monotonicMs: () => 0,
        sleep: (_ms, signal) =>
          new Promise((resolve) => {
            sleepers.push(resolve);
            signal?.addEventListener("abort", () => {
              resolve();
            });
          }),
      },
      log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    },
    {
      pause: ({ partition }) => told.push(`pause ${String(partition)}`),
      resume: ({ partition }) => told.push(`resume ${String(partition)}`),
    },
  );
});

describe("a value whose schema the registry does not tell now", () => {
  test("[C7] pauses its partition until there is an answer, and comes again", async () => {
    const records = [recordOf(0, "{}"), framed(0, 1), framed(0, 2)];
    expect(await values.decodeAll(records, isOurs)).toBeNull();
    expect(told).toEqual(["pause 0"]);
    expect(values.waitsForRegistry("jobs", 0)).toBe(true);
    await nextLook();
    expect(told).toEqual(["pause 0"]);
    answers.set(1, REFUSED).set(2, REFUSED);
    await nextLook();
    expect(told).toEqual(["pause 0", "resume 0"]);
    expect(values.waiting).toEqual([]);
    expect([...((await values.decodeAll(records, isOurs)) ?? [])].map(([, { kind }]) => kind)).toEqual([
      "refused",
      "refused",
    ]);
  });

  test("[C7] holds up no other partition", async () => {
    answers.set(2, REFUSED);
    expect(await values.decodeAll([framed(0, 1)], isOurs)).toBeNull();
    expect((await values.decodeAll([framed(1, 2)], isOurs))?.size).toBe(1);
    expect((await values.decodeAll([recordOf(2, "{}")], isOurs))?.size).toBe(0);
    expect(told).toEqual(["pause 0"]);
  });

  test("is not waited for once the partition is another's", async () => {
    expect(await values.decodeAll([framed(0, 1)], () => false)).toBeNull();
    expect(told).toEqual([]);
    await values.decodeAll([framed(0, 1)], isOurs);
    values.forget();
    answers.set(1, REFUSED);
    await nextLook();
    expect(told).toEqual(["pause 0"]);
    expect(values.waitsForRegistry("jobs", 0)).toBe(false);
  });
});
