import { describe, expect, test } from "@jest/globals";
import { createSchemaCheck } from "../../src/adapters/json-schema/check-schema.js";
import { ZERO_PRICE } from "../../src/domain/cost/account-price.js";
import { NO_USAGE } from "../../src/domain/cost/usage.js";
import { verdictFor } from "../../src/domain/execution/execution.js";
import type { ExpectedAnswer, RequestFormat } from "../../src/domain/job/job.js";
import type { BillingRule } from "../../src/domain/cost/billing-rule.js";
import { judgeCall, unjudgedCall, type JudgeSettings } from "../../src/pipeline/dispatch/call-judge.js";
import type { Work } from "../../src/pipeline/dispatch/work.js";
import type { ProviderAnswer, ProviderFailure } from "../../src/ports/provider.js";
import { JUDGED_BY, POLICY, workOf } from "../support/work.js";

const NOW_MS = 1_800_000_000_000;

function judge(
  expected: Partial<ExpectedAnswer>,
  bodyText: string,
  answer: Partial<ProviderAnswer>,
  format: RequestFormat = "openai.chat",
  settings: Partial<JudgeSettings> = {},
  changes: Partial<Work> = {},
) {
  const policy = { ...POLICY, expect: { ...POLICY.expect, ...expected } };
  const work = workOf(1, NOW_MS, { policy, bodyText, format, ...changes });
  return judgeCall(
    {
      retry: { attemptsMax: 5, backoffBaseMs: 1, backoffMaxMs: 1, retryAfterMaxMs: 1000 },
      graceMs: () => 0,
      resultBytesMax: 1_000_000,
      ...JUDGED_BY,
      checkSchema: createSchemaCheck({ bytesMax: 10_000, rememberedMax: 10, checkMs: 1000 }, () => undefined),
      ...settings,
    },
    work,
    {
      kind: "answered",
      bodyText: "{}",
      finishReason: "stop",
      modelVersion: null,
      usage: { ...NO_USAGE, inputTokens: 10, outputTokens: 5 },
      usageSuspect: false,
      requestId: "request",
      empty: false,
      ...answer,
    },
    NOW_MS,
    0,
  );
}

const SCHEMA =
  '{"model":"sim","messages":[],"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}}}';
const PLAIN = '{"model":"sim","messages":[]}';
const saying = (content: string): string => JSON.stringify({ choices: [{ message: { role: "assistant", content } }] });

describe("an answer to a job that expects JSON", () => {
  test.each<[string, Partial<ExpectedAnswer>, string, Partial<ProviderAnswer>, string]>([
    ["JSON text", { jsonSchema: true }, SCHEMA, { bodyText: saying('{"stars": 4}') }, "succeed"],
    ["other text", { jsonSchema: true }, SCHEMA, { bodyText: saying("Four stars!") }, "again"],
    ["cut JSON", { jsonSchema: true }, SCHEMA, { bodyText: saying('{"stars":'), finishReason: "length" }, "again"],
    ["other text, and nobody asked", { jsonSchema: true }, PLAIN, { bodyText: saying("Four stars!") }, "succeed"],
    ["other text, not expected", {}, SCHEMA, { bodyText: saying("Four stars!") }, "succeed"],
    ["a refusal", { jsonSchema: true }, SCHEMA, { bodyText: saying("I can't"), finishReason: "refusal" }, "succeed"],
  ])("%s", (_what, expected, bodyText, answer, then) => {
    const call = judge(expected, bodyText, answer);
    expect(call.verdict.kind).toBe(then);
    expect(call.outcome).toBe(then === "succeed" ? "succeeded" : "bad_answer");
    // 10 tokens at 1,000 and 5 at 4,000 nano-dollars: billed, whatever it is to us.
    expect(call.nanoUsd).toBe(30_000n);
  });

  test("is told what was missed when no route is left", () => {
    const work = { bodyText: saying("Four stars!") };
    const call = judge({ jsonSchema: true }, SCHEMA, work);
    expect(call.verdict).toMatchObject({ kind: "again", routeIndex: 1 });
    const last = judgeCall(
      {
        retry: { attemptsMax: 1, backoffBaseMs: 1, backoffMaxMs: 1, retryAfterMaxMs: 1000 },
        graceMs: () => 0,
        resultBytesMax: 1_000_000,
        ...JUDGED_BY,
        answeredBy: () => ({ price: null, otherModel: false }),
      },
      workOf(1, NOW_MS, { policy: { ...POLICY, expect: { ...POLICY.expect, jsonSchema: true } }, bodyText: SCHEMA }),
      {
        kind: "answered",
        bodyText: saying("Four stars!"),
        finishReason: "stop",
        modelVersion: null,
        usage: NO_USAGE,
        usageSuspect: false,
        requestId: null,
        empty: false,
      },
      NOW_MS,
      0,
    );
    expect(last.verdict).toMatchObject({
      kind: "fail",
      failure: {
        code: "BAD_ANSWER",
        message: "the answer is not JSON; the job expects what its body asks for, JSON text",
      },
    });
  });
});

describe("a schema that the body asks for, in each format", () => {
  const FORM = {
    type: "object",
    properties: { stars: { type: "integer", minimum: 1, maximum: 5 } },
    required: ["stars"],
    additionalProperties: false,
  };
  const asked: Readonly<Partial<Record<RequestFormat, string>>> = {
    "openai.chat": JSON.stringify({
      messages: [{ role: "user", content: "q" }],
      response_format: { type: "json_schema", json_schema: { name: "stars", schema: FORM } },
    }),
    "anthropic.messages": JSON.stringify({
      max_tokens: 10,
      messages: [{ role: "user", content: "q" }],
      output_config: { format: { type: "json_schema", schema: FORM } },
    }),
    "gemini.generate": JSON.stringify({
      contents: [{ role: "user", parts: [{ text: "q" }] }],
      generationConfig: { responseMimeType: "application/json", responseJsonSchema: FORM },
    }),
  };
  const said: Readonly<Partial<Record<RequestFormat, (text: string) => string>>> = {
    "openai.chat": saying,
    "anthropic.messages": (text) => JSON.stringify({ type: "message", content: [{ type: "text", text }] }),
    "gemini.generate": (text) => JSON.stringify({ candidates: [{ content: { parts: [{ text }] } }] }),
  };
  const formats: RequestFormat[] = ["openai.chat", "anthropic.messages", "gemini.generate"];

  test.each(
    formats.flatMap((format) => [
      [format, '{"stars":4}', "succeeded"] as const,
      [format, '{"stars":6}', "bad_answer"] as const,
      [format, '{"stars":4,"why":"x"}', "bad_answer"] as const,
      [format, "[]", "bad_answer"] as const,
      [format, '{"stars":', "bad_answer"] as const,
    ]),
  )("%s: %s is %s", (format, text, outcome) => {
    const call = judge({ jsonSchema: true }, asked[format] ?? "", { bodyText: said[format]?.(text) ?? "" }, format);
    expect(call.outcome).toBe(outcome);
    expect(call.nanoUsd).toBe(30_000n);
  });

  test("a miss says where, and nothing of the answer", () => {
    const call = judge(
      { jsonSchema: true },
      asked["openai.chat"] ?? "",
      { bodyText: saying('{"stars":"SECRET"}') },
      "openai.chat",
      { retry: { attemptsMax: 1, backoffBaseMs: 1, backoffMaxMs: 1, retryAfterMaxMs: 1 } },
    );
    expect(call.verdict).toMatchObject({
      kind: "fail",
      failure: {
        code: "BAD_ANSWER",
        message: "the answer does not keep to the schema that the body asks for: its /stars must be integer",
      },
    });
  });

  test("one that can't be used lets each JSON pass, and nothing else", () => {
    const settings = { checkSchema: () => ({ kind: "unusable", because: "too_slow" }) as const };
    const body = asked["openai.chat"] ?? "";
    const outcomeOf = (text: string) =>
      judge({ jsonSchema: true }, body, { bodyText: saying(text) }, "openai.chat", settings).outcome;
    expect([outcomeOf('{"stars":6}'), outcomeOf("six")]).toEqual(["succeeded", "bad_answer"]);
  });

  test("a call of a tool has no text that could miss it; silence that was allowed has", () => {
    const toolCall = '{"choices":[{"message":{"content":null,"tool_calls":[{"id":"1"}]}}]}';
    const expected = { jsonSchema: true, notEmpty: false };
    const body = asked["openai.chat"] ?? "";
    expect(judge(expected, body, { bodyText: toolCall, finishReason: "tool_calls" }).outcome).toBe("succeeded");
    expect(judge(expected, body, { bodyText: saying(""), empty: true }).outcome).toBe("bad_answer");
  });
});

describe("a call that fails when no time is left for the job that began it", () => {
  const ONE_ROUTE: Partial<Work> = { routes: workOf(1, NOW_MS).routes.slice(0, 1) };
  const failAt = (leftMs: number, failure: Partial<ProviderFailure>, attemptsMax = 5, more: Partial<Work> = {}) =>
    judgeCall(
      {
        retry: { attemptsMax, backoffBaseMs: 100, backoffMaxMs: 1000, retryAfterMaxMs: 60_000 },
        graceMs: () => 0,
        resultBytesMax: 1_000_000,
        ...JUDGED_BY,
      },
      workOf(1, NOW_MS, { latestDeadlineMs: NOW_MS + leftMs, ...more }),
      {
        kind: "failed",
        outcome: "overloaded",
        sent: "answered",
        message: "overloaded",
        retryAfterMs: null,
        provider: { status: 503, code: null, requestId: null },
        ...failure,
      },
      NOW_MS,
      0.5,
    ).verdict;

  test("says what it would have tried with more", () => {
    expect(failAt(0, {})).toMatchObject({
      kind: "fail",
      failure: { code: "PROVIDER_UNAVAILABLE" },
      givenTime: { kind: "again", routeIndex: 1, runAtMs: NOW_MS, waitsFor: "concurrency" },
    });
    expect(failAt(0, { outcome: "rate_limited", retryAfterMs: 20_000 }, 5, ONE_ROUTE)).toMatchObject({
      givenTime: { kind: "again", routeIndex: 0, runAtMs: NOW_MS + 20_050, waitsFor: "retry_after" },
    });
  });

  test.each([
    ["its deadline is before what the provider asks for", 10_000, 20_000, 5],
    ["what it asks for is more than is waited", 10_000, 86_400_000, 5],
    ["its tries are used up", 60_000, 20_000, 1],
  ])("says when the provider takes it again: %s", (_what, leftMs, retryAfterMs, attemptsMax) => {
    const limited = { outcome: "rate_limited", retryAfterMs } as const;
    expect(failAt(leftMs, limited, attemptsMax, ONE_ROUTE)).toMatchObject({
      kind: "fail",
      failure: { code: "PROVIDER_UNAVAILABLE", retryAtMs: NOW_MS + retryAfterMs },
    });
  });

  test("says nothing of when where the provider did not", () => {
    expect(failAt(0, {})).toMatchObject({ kind: "fail", failure: { retryAtMs: null } });
  });

  test("says nothing of the kind where more time would not help", () => {
    expect(failAt(0, {}, 1)).toMatchObject({ kind: "fail", givenTime: null });
    expect(failAt(0, { outcome: "refused" })).toMatchObject({ kind: "fail", givenTime: null });
  });

  test.each([
    ["nobody waits", null, "fail"],
    ["all that wait have their deadline by then", NOW_MS, "fail"],
    ["one that waits has more time", NOW_MS + 1, "again"],
  ])("%s: %s", (_what, latestDeadlineMs, kind) => {
    expect(verdictFor(failAt(0, {}), latestDeadlineMs).kind).toBe(kind);
  });
});

describe("a call that ended is told with all that is booked of it", () => {
  const EARLIER = {
    number: 1,
    no: 6,
    provider: "openai",
    account: "beta",
    model: "sim-beta",
    mode: "direct",
    outcome: "overloaded",
    providerRequestId: null,
    startedAtMs: NOW_MS - 900,
    ms: 100,
    maxNanoUsd: "2000000",
  } as const;
  const work = workOf(7, NOW_MS - 500, { history: [EARLIER] });
  const SETTINGS = {
    retry: { attemptsMax: 5, backoffBaseMs: 100, backoffMaxMs: 1000, retryAfterMaxMs: 60_000 },
    graceMs: () => 30_000,
    resultBytesMax: 1_000_000,
    ...JUDGED_BY,
    answeredBy: () => ({ price: { ...work.route.price, version: "of the model that answered" }, otherModel: false }),
  };
  const ANSWER: ProviderAnswer = {
    kind: "answered",
    bodyText: "{}",
    finishReason: "stop",
    modelVersion: "sim-alpha-2",
    usage: { ...NO_USAGE, inputTokens: 10, outputTokens: 5 },
    usageSuspect: false,
    requestId: "request",
    empty: false,
  };
  const FAILURE: ProviderFailure = {
    kind: "failed",
    outcome: "bad_response",
    sent: "answered",
    message: "cut off",
    retryAfterMs: null,
    provider: { status: 503, code: null, requestId: "request" },
  };
  const judged = (outcome: ProviderAnswer | ProviderFailure) => judgeCall(SETTINGS, work, outcome, NOW_MS, 0);

  test.each([401, 403, 404, 501])(
    "a refusal with %d says in its history whether it is of the model alone",
    (status) => {
      const provider = { status, code: null, requestId: null };
      const { summary } = judged({ ...FAILURE, outcome: "auth_failed", provider });
      expect(summary.faultOf).toBe(status === 401 ? undefined : "model");
    },
  );

  test.each([
    ["an answer", judged(ANSWER), "succeeded", "request", 30_000n, "succeed"],
    [
      "an answer whose usage can't be true",
      judged({ ...ANSWER, usageSuspect: true }),
      "succeeded",
      "request",
      null,
      "succeed",
    ],
    ["a failure, which no provider bills", judged(FAILURE), "bad_response", "request", 0n, "again"],
    [
      "a call that broke off, of which nobody knows what it costs",
      judged({ ...FAILURE, sent: "perhaps" }),
      "bad_response",
      "request",
      null,
      "doubt",
    ],
    [
      "an answer longer than its account's cap",
      judged({ ...FAILURE, cutOffBytes: 9 }),
      "bad_response",
      "request",
      null,
      "fail",
    ],
    ["a call that could not be judged", unjudgedCall(SETTINGS, work, NOW_MS), "in_doubt", null, null, "doubt"],
  ] as const)("%s", (_what, call, outcome, requestId, nanoUsd, kind) => {
    const answered = outcome === "succeeded";
    expect(call).toMatchObject({
      execution: { no: 7 },
      attempt: { no: 7 },
      outcome,
      endedAtMs: NOW_MS,
      requestId,
      modelVersion: answered ? "sim-alpha-2" : null,
      usage: answered ? { inputTokens: 10, outputTokens: 5 } : NO_USAGE,
      priceVersion: answered ? "of the model that answered" : work.route.price.version,
      nanoUsd,
      summary: { no: 7, account: "alpha", outcome, providerRequestId: requestId, startedAtMs: NOW_MS - 500, ms: 500 },
      earlier: [EARLIER],
      verdict: { kind },
    });
  });
});

describe("what an answer came to", () => {
  test.each<[string, Partial<ExpectedAnswer>, Partial<ProviderAnswer>, string, string]>([
    ["an empty one", {}, { empty: true }, "bad_answer", "again"],
    ["an empty one that is allowed", { notEmpty: false }, { empty: true }, "succeeded", "succeed"],
    ["a cut one", { complete: true }, { finishReason: "length" }, "bad_answer", "again"],
    ["a refusal without words", {}, { empty: true, finishReason: "refusal" }, "succeeded", "succeed"],
    ["one that a filter kept back", {}, { empty: true, finishReason: "content_filter" }, "content_refused", "fail"],
    ["one that a filter cut", {}, { finishReason: "content_filter" }, "succeeded", "succeed"],
    ["one that the job's format can't say", {}, { unfit: "openai has no pause" }, "bad_answer", "again"],
  ])("%s", (_what, expected, answer, outcome, then) => {
    const call = judge(expected, PLAIN, answer);
    expect([call.outcome, call.verdict.kind]).toEqual([outcome, then]);
    expect(call.nanoUsd).toBe(30_000n);
  });

  test("a prompt that the provider blocked is the caller's fault, and its tokens are booked", () => {
    const call = judge({}, PLAIN, { empty: true, finishReason: "content_filter", bodyText: "{}" });
    expect(call.verdict).toMatchObject({
      kind: "fail",
      failure: { code: "CONTENT_REFUSED", provider: { status: 200 } },
      answer: { facts: { nanoUsd: "30000" } },
    });
  });
});

describe("what is booked", () => {
  const FREE = {
    error: "free",
    refused: "free",
    line: { failed: "free", expired: "free", cancelled: "free" },
  } as const;
  const billing = (more: Partial<BillingRule>) => ({ billing: () => ({ ...FREE, source: "test", ...more }) });
  const failure: ProviderFailure = {
    kind: "failed",
    outcome: "overloaded",
    sent: "answered",
    message: "m",
    retryAfterMs: null,
    provider: { status: 503, code: null, requestId: null },
  };
  const failed = (settings: Partial<JudgeSettings>, more: Partial<ProviderFailure> = {}) =>
    judgeCall(
      {
        retry: { attemptsMax: 5, backoffBaseMs: 1, backoffMaxMs: 1, retryAfterMaxMs: 1 },
        graceMs: () => 0,
        resultBytesMax: 1000,
        ...JUDGED_BY,
        ...settings,
      },
      workOf(1, NOW_MS),
      { ...failure, ...more },
      NOW_MS,
      0,
    ).nanoUsd;

  test("a refusal, by the rule of the provider", () => {
    const refusal = { finishReason: "refusal" } as const;
    expect(judge({}, PLAIN, refusal, "openai.chat", billing({ refused: "by_usage" })).nanoUsd).toBe(30_000n);
    expect(judge({}, PLAIN, refusal, "openai.chat", billing({ refused: "free" })).nanoUsd).toBe(0n);
    expect(judge({}, PLAIN, refusal, "openai.chat", billing({ refused: "unknown" })).nanoUsd).toBeNull();
    expect(judge({}, PLAIN, {}, "openai.chat", billing({ refused: "free" })).nanoUsd).toBe(30_000n);
  });

  test("an error status, by the rule of the provider; what was not answered costs nothing yet", () => {
    expect(failed(billing({ error: "free" }))).toBe(0n);
    expect(failed(billing({ error: "unknown" }))).toBeNull();
    expect(failed(billing({ error: "unknown" }), { sent: "no", outcome: "connection_failed" })).toBe(0n);
  });

  test("an answer of another model by the price of that, and it is flagged", () => {
    const other = { ...workOf(1, NOW_MS).route.price, version: "other", outputNanoPerMillion: 8_000_000_000n };
    const settings = { answeredBy: () => ({ price: other, otherModel: true }) };
    const call = judge({}, PLAIN, { modelVersion: "sim-other" }, "openai.chat", settings);
    // 10 tokens at 1,000 and 5 at 8,000 nano-dollars.
    expect(call).toMatchObject({
      nanoUsd: 50_000n,
      priceVersion: "other",
      otherModel: true,
      modelVersion: "sim-other",
    });
    expect(judge({}, PLAIN, {})).not.toHaveProperty("otherModel");
  });
});

describe("the list price of an answer", () => {
  const price = (input: bigint, output: bigint) => ({
    ...ZERO_PRICE,
    version: `${String(input)}/${String(output)}`,
    inputNanoPerMillion: input * 1_000_000n,
    outputNanoPerMillion: output * 1_000_000n,
  });
  /** 10 tokens in and 5 out. */
  const factsBy = (changes: Partial<Work>) => {
    const work = workOf(1, NOW_MS);
    const { verdict } = judge(
      {},
      PLAIN,
      {},
      "openai.chat",
      {},
      { firstPrice: price(4n, 20n), ...changes, route: changes.route ?? work.route },
    );
    if (verdict.kind !== "succeed") throw new Error("expected an answer that serves");
    return verdict.answer.facts;
  };
  const second = { ...workOf(1, NOW_MS).intent, routeIndex: 1 };
  const route = { ...workOf(1, NOW_MS).route, price: price(1n, 2n) };

  test("is that of the first route, and says no other where that answered", () => {
    const facts = factsBy({});
    expect([facts.listNanoUsd, facts.routeListNanoUsd]).toEqual(["140", undefined]);
  });

  test("names what the route that answered lists too, so that what routing saved is known", () => {
    const facts = factsBy({ intent: second, route });
    expect([facts.listNanoUsd, facts.routeListNanoUsd]).toEqual(["140", "20"]);
  });

  test("of a line on another route is that of a call there", () => {
    const facts = factsBy({ intent: second, route, callPrice: price(2n, 4n) });
    expect([facts.listNanoUsd, facts.routeListNanoUsd]).toEqual(["140", "40"]);
  });
});
