import { describe, expect, test } from "@jest/globals";
import {
  billRow,
  cost,
  deadLetter,
  digestOf,
  findingsOf,
  read,
  readWithoutBill,
  record,
  result,
} from "./demo-reader-fixture.js";
import type { HandMadeRun } from "./demo-reader-fixture.js";

function check(spoil: (run: HandMadeRun) => void, expected: readonly string[]): void {
  expect(findingsOf(read(spoil))).toEqual(expected);
}

const OPEN_DOUBT = {
  costId: "doubt",
  billing: "in_doubt",
  attemptId: "attempt-of-lost",
  nanoUsd: null,
  listNanoUsd: "0",
};
const NO_TOKENS = { inputTokens: null, cachedInputTokens: null, outputTokens: null };

describe("the reader, when everything holds", () => {
  test("finds nothing and counts what it saw", () => {
    const report = read();
    expect(report.findings).toEqual([]);
    expect(report).toMatchObject({
      ...{
        jobs: 3,
        results: 3,
        lost: 0,
        duplicates: 0,
        repeats: 0,
        failed: 0,
        deadLetters: 1,
        malformed: 1,
        billRows: 2,
      },
      ...{
        costNanoUsd: 76_000n,
        billNanoUsd: 76_000n,
        listNanoUsd: 114_000n,
        savedBySharingNanoUsd: 38_000n,
        savedByCacheNanoUsd: 0n,
      },
      ...{ inDoubt: [], inDoubtBilledNanoUsd: 0n, served: { call: 2, coalesced: 1 } },
    });
  });

  test("counts a result published again with equal bytes as a repeat, not as a duplicate", () => {
    const report = read((run) => run.results.push(result(9, "film-2", "about two")));
    expect(report).toMatchObject({ findings: [], duplicates: 0, repeats: 1, results: 3 });
  });

  test("takes a cost record and a dead letter that came twice with equal bytes as one", () => {
    const report = read((run) => {
      run.costs.push(cost(9, "film-2"));
      run.deadLetters.push(deadLetter(9, Buffer.from('{"jobId":'), 100));
    });
    expect(report).toMatchObject({ findings: [], costNanoUsd: 76_000n, costRepeats: 1, deadLetters: 1 });
  });

  test("reads the digest in an answer of Anthropic's shape too", () => {
    check((run) => {
      run.jobs.splice(1, 1, ...run.jobs.slice(1, 2).map((job) => ({ ...job, format: "anthropic.messages" })));
      const body = { content: [{ type: "text", text: `digest=${digestOf("be brief", "about two")}` }] };
      run.results[1] = result(1, "film-2", "about two", { format: "anthropic.messages", body });
    }, []);
  });
});

describe("the reader names", () => {
  test("a missing result", () => {
    const report = read((run) => run.results.splice(1, 1));
    expect(findingsOf(report)).toEqual(["lost_result film-2"]);
    expect(report).toMatchObject({ lost: 1, results: 2 });
  });

  test("a result that came again with other bytes", () => {
    const report = read((run) => run.results.push(result(9, "film-2", "about two", { finishReason: "length" })));
    expect(findingsOf(report)).toEqual(["duplicate_result film-2"]);
    expect(report).toMatchObject({ duplicates: 1, repeats: 0 });
  });

  test("a result that came again with equal bytes but another key or ce_id", () => {
    check(
      (run) => {
        const again = result(9, "film-2", "about two");
        run.results.push(
          { ...again, key: null },
          { ...again, headers: new Map([...again.headers, ["ce_id", Buffer.from("another")]]) },
        );
      },
      ["duplicate_result film-2", "duplicate_result film-2"],
    );
  });

  test("two jobs whose answers were swapped", () => {
    check(
      (run) => {
        run.results[0] = result(0, "film-1", "about two");
        run.results[1] = result(1, "film-2", "about one");
      },
      ["swapped_answer film-1", "swapped_answer film-2"],
    );
  });

  test("whose prompt a swapped answer belongs to", () => {
    const report = read((run) => {
      run.results[0] = result(0, "film-1", "about two");
    });
    expect(report.findings[0]?.detail).toContain("film-2");
  });

  test("an answer without a digest", () => {
    check(
      (run) => {
        run.results[0] = result(0, "film-1", "about one", {
          body: { choices: [{ message: { content: "a quiet story" } }] },
        });
      },
      ["no_digest film-1"],
    );
  });

  test("a wrong cost, though the result repeats it", () => {
    const report = read((run) => {
      run.results[1] = result(1, "film-2", "about two", { cost: { nanoUsd: "38001", costId: "cost-of-film-2" } });
      run.costs[1] = cost(1, "film-2", { nanoUsd: "38001" });
    });
    expect(findingsOf(report)).toEqual(["sums_differ -", "wrong_cost film-2"]);
    expect(report.findings.find(({ kind }) => kind === "wrong_cost")?.detail).toContain("booked 38001, billed 38000");
  });

  test("two wrong costs that cancel each other out", () => {
    check(
      (run) => {
        run.results[0] = result(0, "film-1", "about one", { cost: { nanoUsd: "37999", costId: "cost-of-film-1" } });
        run.results[1] = result(1, "film-2", "about two", { cost: { nanoUsd: "38001", costId: "cost-of-film-2" } });
        run.costs[0] = cost(0, "film-1", { nanoUsd: "37999" });
        run.costs[1] = cost(1, "film-2", { nanoUsd: "38001" });
      },
      ["wrong_cost film-1", "wrong_cost film-2"],
    );
  });

  test("a result whose cost is not its cost record's", () => {
    check(
      (run) => {
        run.results[1] = result(1, "film-2", "about two", { cost: { nanoUsd: "0", costId: "cost-of-film-2" } });
      },
      ["wrong_cost film-2"],
    );
  });

  test("tokens that are not the bill's, although the money is", () => {
    check(
      (run) => {
        run.costs[0] = cost(0, "film-1", { cachedInputTokens: 4 });
      },
      ["wrong_tokens film-1"],
    );
  });

  test("tokens written to the provider's cache that are not the bill's", () => {
    check(
      (run) => {
        run.bill[0] = billRow("film-1", { cacheWriteTokens: 4 });
      },
      ["wrong_tokens film-1"],
    );
    // Short-lived writes and those of an hour together are what the bill counts.
    check((run) => {
      run.costs[0] = cost(0, "film-1", { cacheWriteTokens: 4, cacheWrite1hTokens: 2 });
      run.bill[0] = billRow("film-1", { cacheWriteTokens: 6 });
    }, []);
  });

  test("another model than the bill's, although the money is", () => {
    check(
      (run) => {
        run.bill[1] = billRow("film-2", { model: "gpt-4.1-nano" });
      },
      ["wrong_model film-2"],
    );
  });

  test("a list price that is not that of the answer's tokens, though result and record agree on it", () => {
    const report = read((run) => {
      run.results[1] = result(1, "film-2", "about two", {
        cost: { nanoUsd: "38000", costId: "cost-of-film-2", listNanoUsd: "38001" },
      });
      run.costs[1] = cost(1, "film-2", { listNanoUsd: "38001" });
    });
    expect(findingsOf(report)).toEqual(["wrong_list_price film-2"]);
    expect(report.findings[0]?.detail).toContain("23 and 18 tokens of openai/gpt-4.1-mini are 38000 by the price list");
  });

  test("a shared answer whose list price is not that of the call that served it", () => {
    check(
      (run) => {
        const other = { nanoUsd: "0", costId: "cost-of-film-3", listNanoUsd: "0" };
        run.results[2] = result(2, "film-3", "about one", { served: "coalesced", cost: other });
        run.costs[2] = cost(2, "film-3", {
          ...{ billing: "shared", attemptId: null, paidByCostId: "cost-of-film-1", nanoUsd: "0", listNanoUsd: "0" },
          ...NO_TOKENS,
        });
      },
      ["wrong_list_price film-3"],
    );
  });

  test("a result with another list price than its cost record", () => {
    check(
      (run) => {
        run.results[0] = result(0, "film-1", "about one", {
          cost: { nanoUsd: "38000", costId: "cost-of-film-1", listNanoUsd: "37999" },
        });
      },
      ["wrong_list_price film-1"],
    );
  });

  test("a job whose model has no price in the list", () => {
    check(
      (run) => {
        run.jobs.splice(0, 1, ...run.jobs.slice(0, 1).map((job) => ({ ...job, model: "dear" })));
      },
      ["wrong_list_price film-1"],
    );
  });

  test("a list price on a record that served nobody", () => {
    check(
      (run) => {
        run.costs.push(cost(9, "film-2", { ...OPEN_DOUBT, ...NO_TOKENS, listNanoUsd: "38000" }));
      },
      ["wrong_list_price film-2"],
    );
  });

  test("a saving under another name than the result gives it", () => {
    check(
      (run) => {
        run.results[2] = result(2, "film-3", "about one", {
          ...{ served: "exact_cache", cost: { nanoUsd: "0", costId: "cost-of-film-3" } },
        });
      },
      ["wrong_billing film-3"],
    );
  });

  test("a served job without a cost record, and the bill row that nobody claims", () => {
    check((run) => run.costs.splice(1, 1), ["missing_cost film-2", "sums_differ -", "unclaimed_bill_row -"]);
  });

  test("a job with two serving cost records", () => {
    check(
      (run) => {
        run.costs.push(
          cost(9, "film-2", { costId: "second", billing: "shared", attemptId: null, nanoUsd: "0", listNanoUsd: "0" }),
        );
      },
      ["second_cost film-2"],
    );
  });

  test("a cost id with two contents", () => {
    check((run) => run.costs.push(cost(9, "film-2", { nanoUsd: "5" })), ["conflicting_cost film-2"]);
  });

  test("a charge that is on no bill", () => {
    check((run) => run.bill.splice(0, 1), ["charge_without_bill film-1", "sums_differ -"]);
  });

  test("a call that was billed twice", () => {
    check(
      (run) => run.bill.push(billRow("film-1", { requestId: "req_again" })),
      ["billed_twice film-1", "sums_differ -"],
    );
  });

  test("a shared answer that costs something", () => {
    check(
      (run) => {
        run.results[2] = result(2, "film-3", "about one", {
          served: "coalesced",
          cost: { nanoUsd: "5", costId: "cost-of-film-3" },
        });
        run.costs[2] = cost(2, "film-3", { billing: "shared", attemptId: null, nanoUsd: "5", ...NO_TOKENS });
      },
      ["charge_without_attempt film-3", "sums_differ -", "wrong_cost film-3"],
    );
  });

  test("a result under a wrong key, with wrong correlation bytes, and with a ce_id that is not its resultId", () => {
    check(
      (run) => {
        const [first, second, third] = run.results;
        if (first === undefined || second === undefined || third === undefined)
          throw new Error("the fixture has three results");
        run.results[0] = { ...first, key: Buffer.from("elsewhere") };
        run.results[1] = {
          ...second,
          headers: new Map([...second.headers, ["kafka_correlationId", Buffer.from("0")]]),
        };
        run.results[2] = { ...third, headers: new Map([...third.headers, ["ce_id", Buffer.from("0")]]) };
      },
      ["wrong_correlation film-2", "wrong_key film-1", "wrong_result_id film-3"],
    );
  });

  test("a result of a job that nobody published, one refused at admission, and one that is no JSON", () => {
    check(
      (run) => {
        run.results.push(result(9, "film-99", "about one"), result(10, "film-1", "about one", { generation: -1 }));
        run.results.push(record("results", 11, null, Buffer.from("{")));
      },
      ["refused_job film-1", "unknown_job film-99", "unreadable_result -"],
    );
  });

  test("a second generation, since nothing was replayed", () => {
    check((run) => run.results.push(result(9, "film-1", "about one", { generation: 1 })), ["second_generation film-1"]);
  });

  test("a malformed record without a dead letter, and a dead letter with changed bytes", () => {
    check(
      (run) => {
        run.deadLetters[0] = deadLetter(0, Buffer.from('{"jobId":" '), 100);
      },
      ["changed_dead_letter -", "missing_dead_letter -"],
    );
  });

  test("a second dead letter for the same bytes", () => {
    check((run) => run.deadLetters.push(deadLetter(9, Buffer.from('{"jobId":'), 101)), ["second_dead_letter -"]);
  });

  test("a dead letter of a job that succeeded", () => {
    check(
      (run) => {
        run.deadLetters.push(deadLetter(9, Buffer.from("{}"), 7, { kafka_correlationId: "correlation-film-1" }));
      },
      ["unexpected_dead_letter film-1"],
    );
  });

  test("a bill line that can't be read", () => {
    check((run) => run.bill.push({ attempt: "attempt-x" }), ["unreadable_bill_row -"]);
  });
});

describe("the reader, about doubt", () => {
  test("keeps an open attempt apart: ledger plus what it was billed is the bill", () => {
    const report = read((run) => {
      run.costs.push(cost(9, "film-2", { ...OPEN_DOUBT, ...NO_TOKENS }));
      run.bill.push(billRow("lost", { nanoUsd: "31000" }));
    });
    expect(report).toMatchObject({
      findings: [],
      costNanoUsd: 76_000n,
      billNanoUsd: 107_000n,
      inDoubtBilledNanoUsd: 31_000n,
    });
    expect(report.inDoubt).toEqual([
      { attemptId: "attempt-of-lost", jobId: "film-2", maxNanoUsd: 828_400n, billedNanoUsd: 31_000n },
    ]);
  });

  test("counts an open attempt that never reached the provider, without money", () => {
    const report = read((run) => run.costs.push(cost(9, "film-2", { ...OPEN_DOUBT, ...NO_TOKENS })));
    expect(report).toMatchObject({ findings: [], inDoubtBilledNanoUsd: 0n });
    expect(report.inDoubt.map(({ billedNanoUsd }) => billedNanoUsd)).toEqual([null]);
  });

  test("names an open attempt that was billed above its stated maximum", () => {
    check(
      (run) => {
        run.costs.push(cost(9, "film-2", { ...OPEN_DOUBT, ...NO_TOKENS }));
        run.bill.push(billRow("lost", { nanoUsd: "828401" }));
      },
      ["doubt_above_maximum film-2"],
    );
  });

  test("takes an attempt as settled once an adjustment says what it cost", () => {
    const settle = (nanoUsd: string) => (run: HandMadeRun) => {
      run.costs.push(cost(9, "film-2", { ...OPEN_DOUBT, ...NO_TOKENS }));
      run.costs.push(
        cost(10, "film-2", {
          ...OPEN_DOUBT,
          costId: "settled",
          kind: "adjustment",
          billing: "waste",
          correctsCostId: "doubt",
          nanoUsd,
        }),
      );
      run.bill.push(billRow("lost", { nanoUsd: "31000" }));
    };
    expect(read(settle("31000"))).toMatchObject({
      findings: [],
      inDoubt: [],
      costNanoUsd: 107_000n,
      billNanoUsd: 107_000n,
    });
    check(settle("30000"), ["sums_differ -", "wrong_cost film-2"]);
  });

  const failedInDoubt = (run: HandMadeRun): void => {
    run.results[1] = result(1, "film-2", "about two", {
      status: "failed",
      body: null,
      error: { code: "IN_DOUBT" },
      cost: null,
    });
    run.costs[1] = cost(1, "film-2", { billing: "in_doubt", nanoUsd: null, listNanoUsd: "0", ...NO_TOKENS });
    run.deadLetters.push(
      deadLetter(9, Buffer.from("{}"), 7, { kafka_correlationId: "correlation-film-2", "llm-error-code": "IN_DOUBT" }),
    );
  };

  test("accepts a job failed in doubt where the run allows it, and wants its dead letter", () => {
    const allowed = (run: HandMadeRun): void => {
      failedInDoubt(run);
      run.failureCodesAllowed.add("IN_DOUBT");
    };
    expect(read(allowed)).toMatchObject({
      findings: [],
      failed: 1,
      results: 3,
      lost: 0,
      deadLetters: 2,
      inDoubtBilledNanoUsd: 38_000n,
    });
    check(
      (run) => {
        allowed(run);
        run.deadLetters.pop();
      },
      ["missing_dead_letter film-2"],
    );
  });

  test("names a failed job where the run does not allow it", () => {
    check(failedInDoubt, ["failed_result film-2"]);
  });
});

describe("the reader, without a bill to be seen", () => {
  test("holds nothing against the ledger, and asks for a text instead of a digest", () => {
    const report = readWithoutBill((run) => {
      run.results.splice(
        0,
        1,
        result(0, "film-1", "about one", { body: { choices: [{ message: { content: "Fine." } }] } }),
      );
    });
    expect(report.findings).toEqual([]);
    expect(report).toMatchObject({ costNanoUsd: 76_000n, billNanoUsd: null, billRows: 0 });
  });

  test("names an answer without a text, and what the ledger itself lacks", () => {
    const report = readWithoutBill((run) => {
      run.results.splice(
        0,
        1,
        result(0, "film-1", "about one", { body: { choices: [{ message: { content: " " } }] } }),
      );
      run.costs.splice(1, 1);
    });
    expect(findingsOf(report).map((line) => line.split(" ")[0]?.replace(":", ""))).toEqual([
      "empty_answer",
      "missing_cost",
    ]);
  });
});
