import { describe, expect, test } from "@jest/globals";
import type { ErrorCode } from "../../src/domain/failure.js";
import { refusalOf } from "../../src/domain/dead-letter/replay.js";
import { renderRefused } from "../../src/domain/result/render-refused.js";
import type { RenderSettings } from "../../src/domain/result/rendering.js";

const SETTINGS: RenderSettings = {
  environment: "test",
  cluster: "cluster-1",
  group: "sluice-test-intake",
  costsTopic: "llm.costs.v1",
  eventsTopic: "llm.events.v1",
};

const rendered = (code: ErrorCode) =>
  renderRefused(SETTINGS, {
    ...{ no: 1, day: 20_000, nowMs: 1_800_000_000_000, headersText: "[]" },
    record: { topic: "llm.jobs.v1", partition: 0, offset: 7, key: null, value: Buffer.from("{}") },
    refusal: {
      ...{ code, message: "m", tenant: "acme", jobId: "a" },
      identity: {
        ...{ tenant: "acme", jobId: "a", format: null, labels: {}, submittedAtMs: 1_799_999_999_000 },
        reply: { topic: "llm.results.v1", partition: null, key: null, headers: [] },
      },
    },
  });

const resultOf = (code: ErrorCode) => {
  const result = rendered(code).outgoing.find(({ kind }) => kind === "result");
  if (result === undefined) throw new Error("expected a result");
  return result;
};

describe("the result of a record that becomes no job", () => {
  test("has the headers of every result", () => {
    expect(Object.fromEntries(resultOf("NO_ROUTE").headers)).toMatchObject({
      ...{ "llm-job-id": "a", "llm-status": "failed", "llm-served": "call" },
      ...{ "llm-provider": "", "llm-cost-nano-usd": "0" },
    });
  });

  test.each(["NO_ROUTE", "NO_PRICE", "CONTEXT_TOO_LONG", "BUDGET_EXCEEDED", "INTERNAL", "BAD_JOB"] as const)(
    "%s: can't be replayed, as dlq replay says too",
    (code) => {
      const { error } = JSON.parse(resultOf(code).value?.toString("utf8") ?? "{}") as { error: unknown };
      expect(error).toMatchObject({ code, replayable: false });
      expect(refusalOf({ state: "open", hasJob: false, code }, true)).toBe("no_job");
    },
  );
});
