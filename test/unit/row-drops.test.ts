import { describe, expect, test } from "@jest/globals";
import { RowDrops } from "../../src/pipeline/relay/row-drops.js";
import { settled } from "./relay-fixture.js";

/** A ledger whose deletions end when the test says so. */
function slowLedger() {
  const asked: (readonly number[])[] = [];
  const answers: { readonly resolve: () => void; readonly reject: (error: Error) => void }[] = [];
  const dropOutbox = (seqs: readonly number[]): Promise<void> =>
    new Promise((resolve, reject) => {
      asked.push([...seqs]);
      answers.push({ resolve, reject });
    });
  return { asked, answers, ledger: { dropOutbox } };
}

describe("deleting queue rows", () => {
  test("one statement at a time; what is asked for meanwhile goes together", async () => {
    const { asked, answers, ledger } = slowLedger();
    const drops = new RowDrops(ledger);
    const ended: string[] = [];
    void drops.drop([1, 2]).then(() => ended.push("first"));
    await settled();
    void drops.drop([3]).then(() => ended.push("second"));
    void drops.drop([4, 5]).then(() => ended.push("third"));
    await settled();
    expect(asked).toEqual([[1, 2]]);
    answers[0]?.resolve();
    await settled();
    expect(asked).toEqual([
      [1, 2],
      [3, 4, 5],
    ]);
    expect(ended).toEqual(["first"]);
    answers[1]?.resolve();
    await settled();
    expect(ended).toEqual(["first", "second", "third"]);
  });

  test("a failure is told to those who asked for it, and the next are asked all the same", async () => {
    const { asked, answers, ledger } = slowLedger();
    const drops = new RowDrops(ledger);
    const first = drops.drop([1]);
    const told = expect(first).rejects.toThrow("away");
    await settled();
    const second = drops.drop([2]);
    answers[0]?.reject(new Error("away"));
    await told;
    await settled();
    expect(asked).toEqual([[1], [2]]);
    answers[1]?.resolve();
    await expect(second).resolves.toBeUndefined();
  });
});
