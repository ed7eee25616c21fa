import { createHash } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import { parse } from "yaml";
import { budgetsUsd, chaosConfig } from "../../src/chaos/chaos-config.js";
import { chaosJob, isLate, markOf, POOR_TENANTS, RICH_TENANTS } from "../../src/chaos/publishing/chaos-jobs.js";
import { encodeRecord } from "../../src/chaos/publishing/encode-record.js";
import { recordsAt, type PlannedRecord } from "../../src/chaos/publishing/record-plan.js";
import { PROVIDER_KINDS } from "../../src/adapters/providers/registry.js";
import { parseConfig } from "../../src/config/parse.js";
import { ownTopics } from "../../src/demo/demo-config.js";
import { readFilms } from "../../src/demo/films.js";
import { jsonJobEncoder } from "../../src/demo/job-encoder.js";

const films = readFilms();
const JOBS = 5000;
const planned = Array.from({ length: JOBS }, (_unused, number) => recordsAt(number, films)).flat();
const of = (kind: PlannedRecord["kind"]): readonly PlannedRecord[] => planned.filter((record) => record.kind === kind);
const jobs = of("job").map((record) => ("job" in record ? record.job : chaosJob(0, films)));

describe("what a run publishes", () => {
  test("has every kind of record, some hundred and more often than one in a thousand", () => {
    for (const kind of ["job", "duplicate", "conflict", "refused", "malformed", "cancel"] as const)
      expect(of(kind).length).toBeGreaterThan(JOBS / 1000);
    expect(of("job")).toHaveLength(JOBS);
  });

  test("is the same for the same numbers", () => {
    expect(recordsAt(1077, films)).toEqual(recordsAt(1077, films));
  });

  test("gives each job an id of its own, which only records about that job share", () => {
    const ids = new Set(jobs.map(({ jobId }) => jobId));
    expect(ids.size).toBe(JOBS);
    for (const record of planned)
      if ("job" in record) expect(ids.has(record.job.jobId)).toBe(record.kind !== "refused");
  });

  test("repeats a request under its id, and asks something else under it in a conflict", () => {
    const byId = new Map(jobs.map((job) => [job.jobId, job]));
    for (const record of of("duplicate")) if ("job" in record) expect(record.job).toEqual(byId.get(record.job.jobId));
    for (const record of of("conflict"))
      if ("job" in record) expect(record.job.body).not.toEqual(byId.get(record.job.jobId)?.body);
  });

  test("asks for calls, and for what may wait, in both formats and encodings, from every tenant", () => {
    const kinds = new Set(jobs.map(({ terms, format, encoding }) => `${terms?.mode ?? "?"} ${format} ${encoding}`));
    expect(kinds.size).toBe(8);
    expect(new Set(jobs.map(({ tenant }) => tenant))).toEqual(new Set([...RICH_TENANTS, ...POOR_TENANTS]));
  });

  test("sends some too late", () => {
    const late = jobs.filter((_job, number) => isLate(number));
    expect(late.length).toBeGreaterThan(30);
    for (const job of late) expect(job.terms).toEqual({ mode: "direct", ttlMs: 1 });
  });

  test("asks again later about other editions, but for some that ask the same", () => {
    let compared = 0;
    for (let index = 0; index < 40; index += 1) {
      const number = index + films.length * 5;
      const [first, again] = [chaosJob(index, films), chaosJob(number, films)];
      if (first.tenant !== again.tenant) continue; // its mark makes it another question
      expect(JSON.stringify(first.body) === JSON.stringify(again.body)).toBe(number % 10 < 2);
      compared += 1;
    }
    expect(compared).toBeGreaterThanOrEqual(38);
  });

  test("bears the mark of its tenant and of no other", () => {
    for (const { tenant, messageTexts, body } of jobs.slice(0, 300)) {
      const text = JSON.stringify([messageTexts, body]);
      for (const other of [...RICH_TENANTS, ...POOR_TENANTS])
        expect(text.includes(markOf(other))).toBe(other === tenant);
    }
  });

  test("is written down as it is sent", async () => {
    const place = { number: 25, topic: "t", partitions: 12, nowMs: 1000 };
    const [job] = recordsAt(8, films);
    const { entry, value, headers, partition, timestampMs } = await encodeRecord(job!, jsonJobEncoder(), place);
    expect([partition, timestampMs, headers["chaos-number"]]).toEqual([1, 1000, "25"]);
    expect(entry).toMatchObject({ number: 25, kind: "job", jobId: "film-8", place: null, sentAtMs: 1000, code: null });
    expect(entry.valueDigest).toBe(createHash("sha256").update(value!).digest("hex"));
    expect(JSON.parse(value!.toString("utf8"))).toMatchObject({ jobId: "film-8", tenant: entry.tenant });
    const [cancel] = of("cancel");
    const cancelled = await encodeRecord(cancel!, jsonJobEncoder(), place);
    expect([cancelled.value, cancelled.headers["llm-action"], cancelled.entry.correlation]).toEqual([
      null,
      "cancel",
      null,
    ]);
    expect(cancelled.headers["llm-tenant"]).toBe(cancelled.entry.tenant);
  });
});

describe("the config of a run", () => {
  test("is one that the gateway takes, with short times, rate limits and budgets", () => {
    const env = {
      KAFKA_BROKERS: "a:1",
      DATABASE_URL: "postgres://h/d",
      SCHEMA_REGISTRY_URL: "http://h",
      REDIS_URL: "redis://h",
      OPENAI_BASE_URL: "http://h/v1",
      OPENAI_API_KEY: "k",
      ANTHROPIC_BASE_URL: "http://h",
      ANTHROPIC_API_KEY: "k",
    };
    const topics = ownTopics("x");
    const text = chaosConfig({
      environment: "chaos",
      topics,
      doubt: "fail",
      jobs: 60_000,
      journalFolder: "/j",
      httpPort: 0,
    });
    const outcome = parseConfig(text, env, () => "", PROVIDER_KINDS);
    expect(outcome.ok ? [] : outcome).toEqual([]);
    const { providers, health } = parse(text) as {
      readonly providers: Readonly<
        Record<string, { readonly inDoubt: unknown; readonly batch?: unknown; readonly limits: unknown }>
      >;
      readonly health: unknown;
    };
    for (const { inDoubt, limits } of Object.values(providers)) {
      expect(inDoubt).toEqual({ policy: "fail", graceMs: 10_000, createGraceMs: 20_000 });
      expect(limits).toMatchObject({ requestsPerMinute: 60_000 });
    }
    expect(Object.values(providers).filter(({ batch }) => batch !== undefined)).toHaveLength(1);
    expect(health).toMatchObject({ cooldownMaxMs: 10_000 });
  });

  test("gives poor tenants less than their jobs cost, and more than one call is held against", () => {
    for (const jobsCount of [1, 3000, 60_000]) {
      const usd = budgetsUsd(jobsCount);
      for (const tenant of POOR_TENANTS) expect(Number(usd[tenant])).toBeGreaterThanOrEqual(0.002);
    }
    expect(Number(budgetsUsd(60_000)["poor-one"])).toBe(0.024); // 750 jobs at some 64 micro-dollars cost 0.048
  });
});
