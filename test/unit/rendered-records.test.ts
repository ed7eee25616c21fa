/** What the renderer writes is what schemas/ publishes: no member missing, misspelt or of another type. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { parse as parseYaml } from "yaml";
import type { Outgoing } from "../../src/domain/result/outgoing.js";
import { ANSWER_TEXT, COSTS_TOPIC, ORIGINAL_VALUE, renderedCases } from "./rendered-records-fixture.js";

const file = (name: string): string => readFileSync(new URL(`../../schemas/${name}`, import.meta.url), "utf8");
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

type Json = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The schema without room for members that it does not name: readers must allow them, a writer has none. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (!isObject(schema)) return schema;
  const inner = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, closed(value)]));
  return isObject(schema["properties"]) ? { ...inner, additionalProperties: false } : inner;
}

const ajv = new Ajv2020({ strict: false, allErrors: true, formats: { "date-time": TIME } });
const schemaCheck = (name: string): ValidateFunction => ajv.compile(closed(JSON.parse(file(name))) as object);
const CHECKS = { result: schemaCheck("result.schema.json"), cost: schemaCheck("cost.schema.json") };

const { components } = parseYaml(file("asyncapi.yaml")) as { readonly components: { readonly schemas: Json } };
/** Headers may be more than the document names: a job's own are copied. */
const headerCheck = (name: string): ValidateFunction =>
  ajv.compile({ $id: `urn:headers:${name}`, components, $ref: `#/components/schemas/${name}` });
const HEADER_CHECKS = {
  result: headerCheck("resultHeaders"),
  cost: headerCheck("cloudEventHeaders"),
  dead_letter: headerCheck("deadLetterHeaders"),
};

function problemsOf(check: ValidateFunction, value: unknown): readonly string[] {
  return check(value)
    ? []
    : (check.errors ?? []).map(({ instancePath, message }) => `${instancePath}: ${message ?? ""}`);
}

const headersOf = (record: Outgoing): Json =>
  Object.fromEntries(record.headers.map(([name, value]) => [name, value.toString()]));
const documentOf = (record: Outgoing): Json => JSON.parse(record.value?.toString("utf8") ?? "null") as Json;
const kindOf = ({ kind, topic }: Outgoing): keyof typeof HEADER_CHECKS =>
  kind === "dead_letter" ? kind : topic === COSTS_TOPIC ? "cost" : "result";

const CASES = renderedCases();

test("every way to end is among the cases", () => {
  const documents = CASES.flatMap(({ outgoing }) =>
    outgoing.filter((record) => kindOf(record) === "result").map(documentOf),
  );
  expect(new Set(documents.map(({ status }) => status))).toEqual(
    new Set(["succeeded", "failed", "expired", "cancelled"]),
  );
  expect(new Set(documents.map(({ served }) => served))).toEqual(
    new Set(["call", "coalesced", "exact_cache", undefined]),
  );
  const costs = CASES.flatMap(({ outgoing }) => outgoing.filter((record) => kindOf(record) === "cost").map(documentOf));
  expect(new Set(costs.map(({ kind, billing }) => `${String(kind)} ${String(billing)}`))).toEqual(
    new Set([
      "charge charged",
      "charge suspect",
      "charge shared",
      "charge cached",
      "charge in_doubt",
      "charge waste",
      "adjustment charged",
    ]),
  );
});

describe.each(CASES)("$name", ({ outgoing }) => {
  test("has values and headers as they are published in schemas/", () => {
    expect(outgoing.length).toBeGreaterThan(0);
    for (const record of outgoing) {
      const kind = kindOf(record);
      expect(problemsOf(HEADER_CHECKS[kind], headersOf(record))).toEqual([]);
      if (kind !== "dead_letter") expect(problemsOf(CHECKS[kind], documentOf(record))).toEqual([]);
    }
  });

  test("says the same in value and headers", () => {
    for (const record of outgoing.filter((each) => kindOf(each) !== "dead_letter")) {
      const [document, headers] = [documentOf(record), headersOf(record)];
      expect(headers["ce_id"]).toBe(kindOf(record) === "cost" ? document["costId"] : document["resultId"]);
      if (kindOf(record) === "cost") expect(record.key?.toString()).toBe(document["tenant"]);
      else expect([headers["llm-job-id"], headers["llm-status"]]).toEqual([document["jobId"], document["status"]]);
    }
  });
});

test("dead letters keep the original bytes and headers, and say what was wrong where", () => {
  const letters = CASES.flatMap(({ outgoing }) => outgoing.filter(({ kind }) => kind === "dead_letter"));
  expect(letters.map(({ topic, value }) => [topic, value])).toEqual(
    letters.map(() => ["llm.jobs.v1.dlq", ORIGINAL_VALUE]),
  );
  const [failed] = letters;
  expect(failed === undefined ? {} : headersOf(failed)).toEqual({
    a: "\u0001\u0002",
    "__dlq.errors.topic": "llm.jobs.v1",
    "__dlq.errors.partition": "3",
    "__dlq.errors.offset": "77",
    "__dlq.errors.group": "sluice-test-intake",
    "__dlq.errors.message": "expected an answer, got 429 five times",
    "llm-error-code": "PROVIDER_UNAVAILABLE",
    "llm-error-class": "capacity",
    "llm-error-stage": "dispatch",
    "llm-attempt": "2",
    "llm-replay-count": "0",
  });
});

test("dead letters name the stage in which their job ended", () => {
  const letters = CASES.flatMap(({ name, outgoing }) =>
    outgoing.filter(({ kind }) => kind === "dead_letter").map((one) => [name, headersOf(one)["llm-error-stage"]]),
  );
  expect(letters).toEqual([
    ["failed with the provider's words", "dispatch"],
    ["expired while its paid answer was under way", "dispatch"],
    ["expired before any call", "intake"],
    ["failed as a line", "batch"],
    ["refused", "intake"],
  ]);
});

test("an answer goes into the result with every byte as the provider sent it", () => {
  const [result] = CASES[0]?.outgoing ?? [];
  expect(result?.value?.toString("utf8")).toContain(
    `"format":"openai.chat","body":${ANSWER_TEXT},"finishReason":"stop"`,
  );
});

describe("a line of a batch", () => {
  const named = (name: string): readonly Json[] =>
    (CASES.find((each) => each.name === name)?.outgoing ?? [])
      .filter(({ kind }) => kind !== "dead_letter")
      .map(documentOf);

  test("is told of in result and cost record", () => {
    const [result, cost] = named("succeeded as a line");
    expect(result).toMatchObject({
      mode: "batch",
      batchId: "b-17",
      decision: {
        chosen: "openai-main/gpt-4.1-mini",
        because: "a batch is half the price and ends in time",
        rejectedCount: 0,
      },
      attempts: [{ mode: "direct" }, { number: 2, mode: "batch", batchId: "b-17" }],
    });
    expect(Object.keys(result?.["decision"] ?? {})).toEqual(["chosen", "because", "rejectedCount"]);
    expect(Object.keys((result?.["attempts"] as readonly object[])[0] ?? {})).not.toContain("batchId");
    expect(cost).toMatchObject({ mode: "batch", batchId: "b-17", providerBatchId: "batch_67f", nanoUsd: "61725" });
  });

  test("is told of with the numbers that decided when the job asked for it", () => {
    expect(named("succeeded as a line, explained")[0]).toMatchObject({
      decision: {
        mode: "batch",
        numbers: { leftMs: 86_398_500, directMaxNanoUsd: "500000", batchMaxNanoUsd: "250000", headroomTokens: null },
      },
    });
  });

  test("is named to those who joined it, without the provider's own name for the batch", () => {
    const [result, cost] = named("joined a line");
    expect(result).toMatchObject({ served: "coalesced", mode: "batch", batchId: "b-17" });
    expect(cost).toMatchObject({
      billing: "shared",
      mode: "batch",
      batchId: "b-17",
      providerBatchId: null,
      nanoUsd: "0",
    });
  });

  test("is named in a failure", () => {
    expect(named("failed as a line")[0]).toMatchObject({
      status: "failed",
      mode: "batch",
      batchId: "b-17",
      decision: null,
      attempts: [{ mode: "direct" }, { mode: "batch", batchId: "b-17", outcome: "line_missing" }],
    });
  });

  test("is named in a cost record that came too late", () => {
    expect(named("late costs").map(({ mode, batchId, providerBatchId }) => [mode, batchId, providerBatchId])).toEqual([
      ["direct", null, null],
      ["direct", null, null],
      ["batch", "b-17", "batch_67f"],
      ["direct", null, null],
    ]);
  });
});

describe("the check notices", () => {
  const [result, cost] = CASES[0]?.outgoing ?? [];
  const good = result === undefined ? {} : documentOf(result);
  const goodCost = cost === undefined ? {} : documentOf(cost);
  test.each([
    [
      "a member that is not published",
      CHECKS.result,
      { ...good, tenantName: "acme" },
      ": must NOT have additional properties",
    ],
    [
      "a member of the usage that is not",
      CHECKS.result,
      { ...good, usage: { tokens: 1 } },
      "/usage: must NOT have additional properties",
    ],
    ["an amount that is a number", CHECKS.cost, { ...goodCost, nanoUsd: 1 }, "/nanoUsd: must be string,null"],
    [
      "a time that is not ISO 8601 UTC",
      CHECKS.cost,
      { ...goodCost, at: "2026-12-01 12:00" },
      '/at: must match format "date-time"',
    ],
    ["a missing member", CHECKS.result, { ...good, status: undefined }, ": must have required property 'status'"],
    [
      "a status that is not in the list",
      HEADER_CHECKS.result,
      { "llm-status": "done" },
      "/llm-status: must be equal to one of the allowed values",
    ],
  ])("%s", (_name, check, value, problem) => {
    expect(problemsOf(check, value)).toContain(problem);
  });
});

describe("a choice between routes", () => {
  const decisionOf = (name: string): unknown => {
    const outgoing = CASES.find((each) => each.name === name)?.outgoing ?? [];
    return outgoing.filter(({ kind }) => kind === "result").map(documentOf)[0]?.["decision"];
  };
  const short = {
    chosen: "openai-main/gpt-4.1-mini",
    because: "the best score of 1, 0.7",
    rejectedCount: 1,
  };

  test("is told in short", () => {
    expect(decisionOf("chosen by score")).toEqual(short);
  });

  test("is told with scores and each reason when the job asked for it", () => {
    expect(decisionOf("chosen by score, explained")).toMatchObject({
      ...short,
      mode: "direct",
      scores: [{ account: "openai-main", score: 0.7, expectedNanoUsd: "9000" }],
      rejected: [{ account: "claude-main", model: "claude-haiku-4-5", because: "its circuit is open" }],
    });
  });
});
