import { describe, expect, test } from "@jest/globals";
import type { BillingRule } from "../../src/domain/cost/billing-rule.js";
import { NO_USAGE } from "../../src/domain/cost/usage.js";
import type { AttemptSummary } from "../../src/domain/execution/execution.js";
import type { RouteDecision } from "../../src/domain/route/route-decision.js";
import { judgeLine, type FailedLine, type JudgeSettings } from "../../src/pipeline/dispatch/call-judge.js";
import type { Work } from "../../src/pipeline/dispatch/work.js";
import { JUDGED_BY, workOf } from "../support/work.js";

const NOW_MS = 1_800_000_000_000;
const BATCH = { no: 17, providerBatchId: "batch-1" };
const SETTINGS: JudgeSettings = {
  retry: { attemptsMax: 3, backoffBaseMs: 1, backoffMaxMs: 1, retryAfterMaxMs: 1000 },
  graceMs: () => 0,
  resultBytesMax: 1_000_000,
  ...JUDGED_BY,
};

function failed(outcome: FailedLine["outcome"], more: Partial<FailedLine> = {}): FailedLine {
  const provider = { status: null, code: null, requestId: null };
  return { kind: "failed", outcome, message: outcome, provider, billed: "by_rule", ...more };
}

const judge = (end: FailedLine, more: Partial<Work> = {}, settings: Partial<JudgeSettings> = {}) =>
  judgeLine({ ...SETTINGS, ...settings }, workOf(1, NOW_MS, { batch: BATCH, ...more }), end, NOW_MS, 0);

const missedOnce = { outcome: "line_missing" } as AttemptSummary; // nothing else of it is looked at

describe("a line of a batch that succeeded", () => {
  test("is told with its batch and with what decided for it", () => {
    const decision: RouteDecision = {
      mode: "batch",
      account: "alpha",
      model: "sim-alpha",
      because: "half the price",
      numbers: {
        ...{ leftMs: 1, turnaroundP95Ms: 1, fillMs: 1, directMaxNanoUsd: "2", batchMaxNanoUsd: "1", tokens: 1 },
        headroomTokens: null,
      },
    };
    const call = judgeLine(
      SETTINGS,
      workOf(1, NOW_MS, { batch: BATCH, decision }),
      {
        ...{ kind: "answered", bodyText: "{}", finishReason: "stop", modelVersion: null, usageSuspect: false },
        usage: { ...NO_USAGE, inputTokens: 10, outputTokens: 5 },
        ...{ requestId: "request", empty: false },
      },
      NOW_MS,
      0,
    );
    expect(call).toMatchObject({ outcome: "succeeded", summary: { mode: "batch", batch: BATCH } });
    expect(call.verdict).toMatchObject({ kind: "succeed", answer: { facts: { decision } } });
  });
});

describe("a line that its batch ended without", () => {
  test.each([
    ["line_expired", 0n],
    ["cancelled", 0n],
  ] as const)("%s: is free by OpenAI's rule and goes by the same route, at once", (outcome, nanoUsd) => {
    const call = judge(failed(outcome));
    expect(call.nanoUsd).toBe(nanoUsd);
    expect(call.verdict).toEqual({ kind: "again", runAtMs: NOW_MS, routeIndex: 0, waitsFor: "concurrency" });
  });

  test("may have been billed where the provider does not say", () => {
    const unknown: BillingRule = {
      ...{ error: "free", refused: "by_usage", source: "nobody" },
      line: { failed: "free", expired: "unknown", cancelled: "unknown" },
    };
    expect(judge(failed("line_expired"), {}, { billing: () => unknown }).nanoUsd).toBeNull();
  });

  test("missing: may have been billed; a second time it is given up", () => {
    const missing = failed("line_missing", { billed: "perhaps" });
    expect(judge(missing)).toMatchObject({ nanoUsd: null, verdict: { kind: "again" } });
    expect(judge(missing, { history: [missedOnce] }).verdict).toMatchObject({
      ...{ kind: "fail", failure: { code: "PROVIDER_LOST" }, givenTime: null },
    });
  });

  test("lost with its results is given up at once", () => {
    const verdict = judge(failed("line_missing", { billed: "perhaps", lost: true })).verdict;
    expect(verdict).toMatchObject({ kind: "fail", failure: { code: "PROVIDER_LOST" } });
  });

  test.each([
    ["line_expired", "PROVIDER_UNAVAILABLE"],
    ["cancelled", "PROVIDER_UNAVAILABLE"],
    ["line_missing", "PROVIDER_LOST"],
  ] as const)("%s after the deadline: %s, and the same again for whoever has more time", (outcome, code) => {
    const { verdict } = judge(failed(outcome), { latestDeadlineMs: NOW_MS });
    expect(verdict).toMatchObject({ kind: "fail", failure: { code }, givenTime: { kind: "again", routeIndex: 0 } });
  });

  test("has as many tries as any other attempt, and its job has not expired then: it had time left", () => {
    const { intent } = workOf(1, NOW_MS);
    const { verdict } = judge(failed("line_expired"), { intent: { ...intent, number: 3 } });
    expect(verdict).toMatchObject({ kind: "fail", failure: { code: "PROVIDER_UNAVAILABLE" }, givenTime: null });
  });
});

describe("a line that failed", () => {
  test.each([
    ["refused", "fail"],
    ["content_refused", "fail"],
    ["overloaded", "again"],
    ["bad_response", "again"],
    ["timed_out", "again"],
    ["unclassified", "again"],
  ] as const)("%s: %s, and never a doubt", (outcome, kind) => {
    expect(judge(failed(outcome)).verdict.kind).toBe(kind);
  });

  test.each([
    ["by_rule", 0n],
    ["nothing", 0n],
    ["perhaps", null],
  ] as const)("is booked %s as %s", (billed, nanoUsd) => {
    expect(judge(failed("bad_response", { billed })).nanoUsd).toBe(nanoUsd);
  });

  test("too long to be kept ends its jobs, since the same would come again", () => {
    const call = judge(failed("bad_response", { billed: "perhaps", cutOffBytes: 32_000_000 }));
    expect(call).toMatchObject({ nanoUsd: null, verdict: { kind: "fail", failure: { code: "RESULT_TOO_LARGE" } } });
  });
});
