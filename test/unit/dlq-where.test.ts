import { describe, expect, test } from "@jest/globals";
import { parseReplaySettings } from "../../src/domain/dead-letter/replay-settings.js";
import { refusalOf, cacheWishesOf, replayedEnvelope } from "../../src/domain/dead-letter/replay.js";
import { parseWhere } from "../../src/domain/dead-letter/where.js";
import { letterCondition, SqlValues } from "../../src/adapters/postgres/operator/sql-filter.js";

const NOW_MS = Date.UTC(2026, 10, 24, 12);

describe("--where", () => {
  test.each([
    ["code = IN_DOUBT", [{ kind: "text", field: "code", operator: "=", value: "IN_DOUBT" }]],
    ["code=IN_DOUBT", [{ kind: "text", field: "code", operator: "=", value: "IN_DOUBT" }]],
    [
      "tenant = acme AND replayCount >= 1 and state != parked",
      [
        { kind: "text", field: "tenant", operator: "=", value: "acme" },
        { kind: "number", field: "replayCount", operator: ">=", value: 1 },
        { kind: "text", field: "state", operator: "!=", value: "parked" },
      ],
    ],
    ["failedAt > 2026-11-24", [{ kind: "number", field: "failedAt", operator: ">", value: Date.UTC(2026, 10, 24) }]],
    [
      "failedAt<2026-11-24T10:30:00+01:00",
      [{ kind: "number", field: "failedAt", operator: "<", value: Date.UTC(2026, 10, 24, 9, 30) }],
    ],
    ["failedAt > -2h", [{ kind: "number", field: "failedAt", operator: ">", value: Date.UTC(2026, 10, 24, 10) }]],
    ["jobId = 'it''s a = b and c'", [{ kind: "text", field: "jobId", operator: "=", value: "it's a = b and c" }]],
    ['topic = "llm.jobs.v1" ', [{ kind: "text", field: "topic", operator: "=", value: "llm.jobs.v1" }]],
    [
      "jobId = android and topic = and-more",
      [
        { kind: "text", field: "jobId", operator: "=", value: "android" },
        { kind: "text", field: "topic", operator: "=", value: "and-more" },
      ],
    ],
  ])("reads %s", (text, conditions) => {
    expect(parseWhere(text, NOW_MS)).toEqual({ kind: "conditions", conditions });
  });

  test.each([
    ["", "expected a comparison"],
    ["colour = red", 'expected one of code, tenant, jobId, topic, state, failedAt, replayCount, got "colour"'],
    ["code > IN_DOUBT", "code: expected = or !=, got >"],
    [
      "code = IN_DOUBTS",
      'code: expected an error code such as PROVIDER_UNAVAILABLE or DEADLINE_EXCEEDED, got "IN_DOUBTS"',
    ],
    ["code = toString", "code: expected an error code"],
    ["state = closed", "state: expected one of open, replayed, discarded, parked"],
    ["failedAt > yesterday", "failedAt: expected a date"],
    ["failedAt > 2026-02-30", "failedAt: expected a date"],
    ["replayCount = many", "replayCount: expected a whole number"],
    ["tenant = acme or code = IN_DOUBT", 'expected "and" between comparisons, got "or code = IN_DOUBT"'],
    ["tenant = acme and", "expected"],
    ["tenant = 'acme", "expected a comparison"],
    ["tenant == acme", "expected a comparison"],
    [Array.from({ length: 33 }, () => "tenant = a").join(" and "), "expected at most 32 comparisons"],
  ])("refuses %s", (text, expected) => {
    expect(parseWhere(text, NOW_MS)).toEqual({ kind: "bad", message: expect.stringContaining(expected) });
  });

  test("puts no value into the SQL text", () => {
    const evil = "x'; DROP TABLE jobs; --";
    const read = parseWhere(`tenant = "${evil}" and jobId != "${evil}" and failedAt > 2026-11-24`, NOW_MS);
    const values = new SqlValues();
    const sql = letterCondition(
      { conditions: read.kind === "conditions" ? read.conditions : [], nos: [1, 2], states: ["open"] },
      values,
    );
    expect(sql).toBe(
      "d.tenant_no = (SELECT no FROM tenants WHERE name = $1::text) AND d.job_id IS DISTINCT FROM $2::bytea AND d.failed_ms > $3::int8 AND d.no = ANY($4::int8[]) AND d.state = ANY($5::text[])",
    );
    expect(values.all).toEqual([evil, Buffer.from(evil), Date.UTC(2026, 10, 24), [1, 2], ["open"]]);
  });
});

describe("--set", () => {
  const TERMS = { maxTtlMs: 86_400_000, chains: ["standard", "own"] };
  test.each([
    ["deadline=+2h", { deadline: { afterMs: 7_200_000 }, chain: null }],
    [
      "deadline=2026-11-25T00:00:00Z , chain=standard",
      { deadline: { atMs: Date.UTC(2026, 10, 25) }, chain: "standard" },
    ],
    ["chain=own", { deadline: null, chain: "own" }],
  ])("reads %s", (text, settings) => {
    expect(parseReplaySettings(text, NOW_MS, TERMS)).toEqual({ kind: "settings", settings });
  });

  test.each([
    ["deadline=2h", "expected a duration from now like +2h"],
    ["deadline=2026-11-24T00:00:00Z", "expected a time to come"],
    ["deadline=+2d", "expected at most 86400000 ms from now (delivery.maxTtlMs)"],
    ["deadline=+0s", "expected a time to come"],
    ["chain=fast", "chain: expected one of standard, own"],
    ["priority=9", 'expected deadline or chain, got "priority"'],
    ["", 'expected deadline or chain, got ""'],
  ])("refuses %s", (text, expected) => {
    expect(parseReplaySettings(text, NOW_MS, TERMS)).toEqual({
      kind: "bad",
      message: expect.stringContaining(expected),
    });
  });
});

describe("whether a letter may be replayed", () => {
  test.each([
    ["an open one of a failed job", { state: "open", hasJob: true, code: "PROVIDER_UNAVAILABLE" }, false, null],
    [
      "one that was replayed",
      { state: "replayed", hasJob: true, code: "PROVIDER_UNAVAILABLE" },
      true,
      "replayed_already",
    ],
    ["one that was discarded", { state: "discarded", hasJob: true, code: "PROVIDER_UNAVAILABLE" }, true, "discarded"],
    ["a parked one", { state: "parked", hasJob: true, code: "PROVIDER_UNAVAILABLE" }, false, "parked"],
    ["a parked one that was asked for", { state: "parked", hasJob: true, code: "PROVIDER_UNAVAILABLE" }, true, null],
    ["a parked one about delivery", { state: "parked", hasJob: true, code: "REPLY_UNDELIVERABLE" }, false, "parked"],
    [
      "an open one about the delivery of what no job led to",
      { state: "open", hasJob: false, code: "REPLY_UNDELIVERABLE" },
      false,
      null,
    ],
    ["one without a job", { state: "open", hasJob: false, code: "BAD_JSON" }, false, "no_job"],
    ["one whose job can't do better", { state: "open", hasJob: true, code: "BAD_JOB" }, false, "not_replayable"],
    [
      "one of a code that this build does not know",
      { state: "open", hasJob: true, code: "constructor" },
      false,
      "not_replayable",
    ],
  ] as const)("%s", (_name, letter, parked, expected) => {
    expect(refusalOf(letter, parked)).toBe(expected);
  });
});

describe("the envelope of a replay", () => {
  const envelope = (submittedAtMs: number, deadlineMs: number): string =>
    JSON.stringify({ submittedAtMs, deadlineMs, labels: { a: "b" } });

  test("has the original life from now, and keeps all else", () => {
    const next = replayedEnvelope(envelope(1000, 5000), { deadline: null, chain: null }, NOW_MS);
    expect(next?.deadlineMs).toBe(NOW_MS + 4000);
    expect(JSON.parse(next?.text ?? "")).toEqual({
      submittedAtMs: 1000,
      deadlineMs: NOW_MS + 4000,
      labels: { a: "b" },
      originalTtlMs: 4000,
    });
  });

  test("is none for a job whose deadline lay before its record, unless a deadline is set", () => {
    expect(replayedEnvelope(envelope(5000, 5000), { deadline: null, chain: null }, NOW_MS)).toBeNull();
    expect(
      replayedEnvelope(envelope(5000, 5000), { deadline: { afterMs: 60_000 }, chain: null }, NOW_MS)?.deadlineMs,
    ).toBe(NOW_MS + 60_000);
  });
});

const REUSE = { dedupe: true, cache: true, cacheMaxAgeMs: null };

describe("answers of others", () => {
  test.each([
    ["serve a job that says nothing of them", '{"jobId":"a"}', { cacheRead: true, cacheMaxAgeMs: null }],
    [
      "serve up to the age that the job states",
      '{"cache":{"maxAgeMs":1000}}',
      { cacheRead: true, cacheMaxAgeMs: 1000 },
    ],
    ["do not serve a job that forbids it", '{"cache":{"read":false}}', { cacheRead: false, cacheMaxAgeMs: null }],
    [
      "do not serve a job whose record can't be read here",
      "\u0000\u0000\u0001",
      { cacheRead: false, cacheMaxAgeMs: null },
    ],
  ])("%s", (_name, record, expected) => {
    expect(cacheWishesOf(Buffer.from(record), REUSE)).toEqual(expected);
  });

  test("serve up to the config's age where the job states none", () => {
    const reuse = { ...REUSE, cacheMaxAgeMs: 60_000 };
    expect(cacheWishesOf(Buffer.from("{}"), reuse)).toEqual({ cacheRead: true, cacheMaxAgeMs: 60_000 });
    expect(cacheWishesOf(Buffer.from('{"cache":{"maxAgeMs":5}}'), reuse).cacheMaxAgeMs).toBe(5);
  });

  test.each([{ cache: false }, { dedupe: false }])("serve nobody where the config says %j", (off) => {
    expect(cacheWishesOf(Buffer.from('{"cache":{"read":true}}'), { ...REUSE, ...off }).cacheRead).toBe(false);
  });
});
