import { describe, expect, test } from "@jest/globals";
import { billRow, cost, findingsOf, read, result } from "./demo-reader-fixture.js";
import type { HandMadeRun } from "./demo-reader-fixture.js";

const LINE = { mode: "batch", batchId: "b-1" };
const HALF = { nanoUsd: "19000", costId: "cost-of-film-2" };
const LINE_COST = { ...LINE, providerBatchId: "batch_x", nanoUsd: "19000" };
const LINE_ROW = { mode: "batch", batch: "batch_x", line: 1, nanoUsd: "19000" };

/** film-2 as a line of a batch, at half the price. */
function batched(run: HandMadeRun): void {
  run.results[1] = result(1, "film-2", "about two", { ...LINE, cost: HALF });
  run.costs[1] = cost(1, "film-2", LINE_COST);
  run.bill[1] = billRow("film-2", LINE_ROW);
}

function check(spoil: (run: HandMadeRun) => void, expected: readonly string[]): void {
  const report = read((run) => {
    batched(run);
    spoil(run);
  });
  expect(findingsOf(report)).toEqual(expected);
}

describe("the reader of a run with batches", () => {
  test("counts the batches of the bill, and what they saved", () => {
    const report = read(batched);
    expect(report.findings).toEqual([]);
    expect(report).toMatchObject({ batches: 1, savedByBatchNanoUsd: 19_000n, savedBySharingNanoUsd: 38_000n });
  });

  test("takes no saving from a line that served nobody", () => {
    const report = read((run) => {
      batched(run);
      run.costs.push(cost(9, "lost", { ...LINE_COST, billing: "waste", listNanoUsd: "0" }));
      run.bill.push(billRow("lost", LINE_ROW));
    });
    expect(report).toMatchObject({ findings: [], savedByBatchNanoUsd: 19_000n, batches: 1 });
  });

  test("names a line that was booked as a call, or in another batch", () => {
    check(
      (run) => {
        run.costs[1] = cost(1, "film-2", { nanoUsd: "19000" });
      },
      ["wrong_mode film-2", "wrong_mode film-2"], // the bill says otherwise, and so does the result
    );
    check(
      (run) => {
        run.bill[1] = billRow("film-2", { ...LINE_ROW, batch: "batch_y" });
      },
      ["wrong_mode film-2"],
    );
  });

  test("names a result that tells of another batch than its cost record", () => {
    check(
      (run) => {
        run.results[1] = result(1, "film-2", "about two", { mode: "batch", batchId: "b-2", cost: HALF });
      },
      ["wrong_mode film-2"],
    );
  });

  test("names one batch of ours that is two at the provider, and two that are one", () => {
    const again =
      (fields: Readonly<Record<string, unknown>>, row: Readonly<Record<string, unknown>>) => (run: HandMadeRun) => {
        run.costs.push(cost(9, "lost", { ...LINE_COST, billing: "waste", listNanoUsd: "0", ...fields }));
        run.bill.push(billRow("lost", { ...LINE_ROW, ...row }));
      };
    check(again({ providerBatchId: "batch_y" }, { batch: "batch_y" }), ["wrong_batch lost"]);
    check(again({ batchId: "b-2" }, {}), ["wrong_batch lost"]);
  });

  test("names a line that was submitted and billed twice", () => {
    check(
      (run) => run.bill.push(billRow("film-2", { ...LINE_ROW, batch: "batch_y" })),
      ["billed_twice film-2", "sums_differ -"],
    );
  });

  test("names a line of its own for a job that must not wait", () => {
    check(
      (run) => {
        run.jobs[1] = { ...run.jobs[1]!, direct: true };
      },
      ["wrong_mode film-2"],
    );
  });

  test("lets jobs that must not wait miss their time only in a run with kills, and no others", () => {
    const missed = (direct: boolean, directMayExpire: boolean) =>
      findingsOf(
        read((run) => {
          run.directMayExpire = directMayExpire;
          run.jobs[1] = { ...run.jobs[1]!, direct };
          run.results[1] = result(1, "film-2", "about two", {
            status: "expired",
            body: null,
            error: { code: "DEADLINE_EXCEEDED" },
            cost: { nanoUsd: "0", costId: null },
          });
          run.costs.splice(1, 1);
          run.bill.splice(1, 1);
        }),
      );
    expect(missed(true, true)).toEqual(["missing_dead_letter film-2"]);
    expect(missed(true, false)).toEqual(["failed_result film-2", "missing_dead_letter film-2"]);
    expect(missed(false, true)).toEqual(["failed_result film-2", "missing_dead_letter film-2"]);
  });
});
