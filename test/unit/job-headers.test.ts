import { describe, expect, test } from "@jest/globals";
import { createAdmission } from "../../src/domain/job/admit.js";
import type { RecordHeader } from "../../src/domain/job/job.js";
import {
  BODY,
  DAY_MS,
  HOUR_MS,
  NOW_MS,
  SENT_AT_MS,
  header,
  jobIn,
  record,
  refusalIn,
  settings,
} from "./job-admission-fixture.js";

const admission = createAdmission(settings());
const JOB = { jobId: "order-17", body: BODY };
const withHeaders = (headers: readonly RecordHeader[], value: unknown = JOB): ReturnType<typeof jobIn> =>
  jobIn(admission.admit(record(value, headers), NOW_MS));
const refusedWith = (headers: readonly RecordHeader[], value: unknown = JOB): ReturnType<typeof refusalIn> =>
  refusalIn(admission.admit(record(value, headers), NOW_MS));
const base64 = (text: string | Buffer): string => Buffer.from(text).toString("base64");

describe("a bare body", () => {
  test("takes the job's fields from the headers", () => {
    const headers = [
      header("llm-format", "anthropic.messages"),
      header("llm-job-id", "bare-1"),
      header("llm-mode", "batch"),
      header("llm-deadline", "2026-12-01T13:00:00Z"),
      header("llm-priority", "8"),
      header("llm-chain", "cost"),
    ];
    expect(withHeaders(headers, '{"model":"m","max_tokens":1.0}')).toMatchObject({
      jobId: "bare-1",
      format: "anthropic.messages",
      mode: "batch",
      deadlineMs: SENT_AT_MS + HOUR_MS,
      priority: 8,
      policy: { model: "m", chain: "cost" },
      bodyText: '{"model":"m","max_tokens":1.0}',
    });
  });
  test("is the same job as the one with members", () => {
    const bare = withHeaders([header("llm-format", "openai.chat")], BODY);
    const full = withHeaders([], JOB);
    expect(bare.bodyHash).toEqual(full.bodyHash);
    expect(bare.executionKey).toEqual(full.executionKey);
  });
  test.each([
    [header("llm-priority", "high"), "priority: expected an integer"],
    [header("llm-mode", "bach"), "mode: expected one of"],
    [header("llm-format", "openai.caht"), "format: expected one of"],
  ])("is refused for a header that is no such field: %j", (wrong, message) => {
    const headers = wrong.name === "llm-format" ? [wrong] : [header("llm-format", "openai.chat"), wrong];
    expect(refusedWith(headers, BODY)).toMatchObject({ code: "BAD_JOB", message: expect.stringContaining(message) });
  });
  test("may have a member named body", () => {
    expect(withHeaders([header("llm-format", "openai.chat")], { ...BODY, body: { stream: true } }).bodyText).toContain(
      '"body":{"stream":true}',
    );
  });
});

describe("the id in the header", () => {
  test("is the id, and may stand in the job too", () => {
    expect(withHeaders([header("llm-job-id", "order-18")], { body: BODY }).jobId).toBe("order-18");
    expect(withHeaders([header("llm-job-id", "order-17")]).jobId).toBe("order-17");
  });
  test("must not differ from the one in the job", () => {
    expect(refusedWith([header("llm-job-id", "order-18")])).toMatchObject({
      code: "BAD_JOB",
      identity: null,
      jobId: null,
    });
  });
  test("may be repeated only in the same bytes", () => {
    expect(withHeaders([header("llm-job-id", "order-17"), header("llm-job-id", "order-17")]).jobId).toBe("order-17");
    expect(refusedWith([header("llm-job-id", "a"), header("llm-job-id", "b")], { body: BODY }).code).toBe("BAD_JOB");
  });
  test("must be UTF-8", () => {
    expect(refusedWith([header("llm-job-id", Buffer.from([0xff]))])).toMatchObject({
      code: "BAD_UTF8",
      identity: null,
    });
  });
});

describe("cancelling", () => {
  const cancel = [header("llm-action", "cancel"), header("llm-job-id", "order-17")];
  test.each([null, Buffer.alloc(0)])("is a record without a value: %p [C1]", (value) => {
    expect(admission.admit(record(value, cancel), NOW_MS)).toEqual({
      kind: "cancel",
      tenant: "acme",
      jobId: "order-17",
    });
  });
  test("needs the tenant's header where a job says its tenant itself, and there are several", () => {
    const trusting = createAdmission(settings({ tenantFrom: "body" }));
    const refusal = refusalIn(trusting.admit(record(null, cancel), NOW_MS));
    expect(refusal).toMatchObject({ code: "TENANT_MISMATCH", tenant: null, jobId: "order-17", identity: null });
    expect(refusal.message).toContain("expected the header llm-tenant beside llm-action: cancel, got none");
    const named = [...cancel, header("llm-tenant", "other")];
    expect(trusting.admit(record(null, named), NOW_MS)).toEqual({ kind: "cancel", tenant: "other", jobId: "order-17" });
    const unknown = [...cancel, header("llm-tenant", "nobody")];
    expect(refusalIn(trusting.admit(record(null, unknown), NOW_MS)).code).toBe("TENANT_MISMATCH");
  });
  test("needs none where the config has one tenant", () => {
    const tenants = new Map([["acme", { tier: "standard", replyTopics: [] }]] as const);
    const alone = createAdmission(settings({ tenantFrom: "body", tenants }));
    expect(alone.admit(record(null, cancel), NOW_MS)).toEqual({ kind: "cancel", tenant: "acme", jobId: "order-17" });
  });
  test.each([
    ["NULL_VALUE", [header("llm-action", "cancel")], null, "expected the header llm-job-id"],
    ["NULL_VALUE", [header("llm-action", "cancel"), header("llm-job-id", "")], null, "expected 1 to 256 bytes"],
    ["NULL_VALUE", [header("llm-action", "pause"), header("llm-job-id", "a")], null, 'expected cancel, got "pause"'],
    ["NULL_VALUE", [header("llm-action", "pause"), header("llm-job-id", "a")], Buffer.alloc(0), "expected cancel"],
    ["NULL_VALUE", [header("llm-job-id", "a")], null, "llm-action: cancel"],
    ["BAD_JOB", cancel, JOB, "on an empty value only"],
    ["TENANT_MISMATCH", [...cancel, header("llm-tenant", "other")], null, "other"],
  ] as const)("is refused as %s when it is not quite one: %j", (code, headers, value, message) => {
    expect(refusedWith(headers, value)).toMatchObject({
      ...{ code, identity: null },
      message: expect.stringContaining(message),
    });
  });
  test("and the dead letter of an empty value still says whose it was", () => {
    const headers = [header("llm-action", "pause"), header("llm-job-id", "a")];
    expect(refusedWith(headers, null)).toMatchObject({ code: "NULL_VALUE", tenant: "acme", jobId: "a" });
  });
});

describe("where the result goes", () => {
  test("replyTo wins over the header, and the header over the default", () => {
    const headers = [header("kafka_replyTopic", "acme.answers")];
    expect(withHeaders(headers).reply.topic).toBe("acme.answers");
    expect(withHeaders(headers, { ...JOB, replyTo: "etl.answers" }).reply.topic).toBe("etl.answers");
    expect(withHeaders([]).reply.topic).toBe("llm.results.v1");
  });
  test("honours a reply partition only for the topic in the header beside it", () => {
    const partition = Buffer.from([0, 0, 1, 2]);
    const headers = [header("kafka_replyTopic", "etl.answers"), header("kafka_replyPartition", partition)];
    expect(withHeaders(headers).reply.partition).toBe(258);
    expect(withHeaders(headers, { ...JOB, replyTo: "acme.answers" }).reply.partition).toBeNull();
  });
  test.each([Buffer.from([1]), Buffer.from([0xff, 0xff, 0xff, 0xff]), Buffer.alloc(8)])(
    "takes %p for no partition",
    (value) => {
      expect(
        withHeaders([header("kafka_replyTopic", "etl.answers"), header("kafka_replyPartition", value)]).reply.partition,
      ).toBeNull();
    },
  );
  test.each(["other.answers", "llm.jobs.v1", "", "{tenant}.answers"])(
    "refuses %j, which the tenant may not write to",
    (topic) => {
      const refusal =
        topic === "" ? refusedWith([header("kafka_replyTopic", topic)]) : refusedWith([], { ...JOB, replyTo: topic });
      expect(refusal).toMatchObject({ code: "REPLY_NOT_ALLOWED", tenant: "acme", jobId: "order-17", identity: null });
    },
  );
  test("puts the tenant into the default topic's name", () => {
    const perTenant = createAdmission(settings({ resultsTopic: "llm.{tenant}.results" }));
    expect(jobIn(perTenant.admit(record(JOB), NOW_MS)).reply.topic).toBe("llm.acme.results");
  });
  test("keeps the record's key, whatever its bytes [C2]", () => {
    expect(jobIn(admission.admit(record(JOB, [], { key: Buffer.from([0xff, 0]) }), NOW_MS)).reply.key).toBe(
      base64(Buffer.from([0xff, 0])),
    );
    expect(jobIn(admission.admit(record(JOB, [], { key: null }), NOW_MS)).reply.key).toBeNull();
  });
});

describe("copied headers", () => {
  test("are all but ours and the transports' own, as bytes and in order", () => {
    const headers = [
      header("x-run", Buffer.from([0xff, 0x0d, 0x0a])),
      header("llm-priority", "1"),
      header("ce_id", "1"),
      header("kafka_other", "1"),
      header("kafka_correlationId", Buffer.from([0, 1, 0xfe])),
      header("__dlq.x", "1"),
      header("content-type", "1"),
      header("spring_json_header_types", "1"),
      header("retry_topic-attempts", "1"),
      header("traceparent", "00-1"),
      header("x-run", "again"),
    ];
    expect(withHeaders(headers).reply.headers).toEqual([
      ["x-run", base64(Buffer.from([0xff, 0x0d, 0x0a]))],
      ["kafka_correlationId", base64(Buffer.from([0, 1, 0xfe]))],
      ["traceparent", base64("00-1")],
      ["x-run", base64("again")],
    ]);
  });
  test("are at most 32, the rest dropped and counted, the correlation id never", () => {
    const counting = createAdmission(settings());
    const headers = [
      ...Array.from({ length: 40 }, (_, index) => header(`x${String(index)}`, "v")),
      header("kafka_correlationId", "c"),
    ];
    const job = jobIn(counting.admit(record(JOB, headers), NOW_MS));
    expect(job.reply.headers.map(([name]) => name)).toEqual([
      ...Array.from({ length: 32 }, (_, index) => `x${String(index)}`),
      "kafka_correlationId",
    ]);
    expect(job.headersDropped).toBe(8);
    const refusal = refusalIn(counting.admit(record({ ...JOB, format: "none" }, headers), NOW_MS));
    expect([refusal.code, refusal.identity?.headersDropped]).toEqual(["BAD_JOB", 8]);
    expect(jobIn(counting.admit(record(JOB, headers.slice(-1)), NOW_MS))).not.toHaveProperty("headersDropped");
  });
  test("are at most 8 KiB", () => {
    const headers = [header("a", Buffer.alloc(8_000)), header("b", Buffer.alloc(192)), header("c", "")];
    expect(withHeaders(headers).reply.headers.map(([name]) => name)).toEqual(["a"]);
  });
  test("keep the last correlation id when there are several, as Spring reads it", () => {
    const headers = [header("kafka_correlationId", "1"), header("kafka_correlationId", "2")];
    expect(withHeaders(headers).reply.headers).toEqual([["kafka_correlationId", base64("2")]]);
  });
});

describe("a job from Avro", () => {
  const fields = {
    jobId: "order-17",
    tenant: null,
    priority: 9,
    labels: { department: "risk" },
    bodyJson: '{"model":"m","n":1.0,"stream":true}',
  };
  const admitted = jobIn(admission.admitAvro(record(Buffer.from([0])), { fields, unknownFields: [] }, NOW_MS));
  test("is the same job as its twin in JSON", () => {
    const twin = jobIn(
      admission.admit(
        record('{"jobId":"order-17","priority":9,"labels":{"department":"risk"},"body":{"n":1.0,"model":"m"}}'),
        NOW_MS,
      ),
    );
    expect({ ...admitted, bodyText: "" }).toEqual({ ...twin, bodyText: "" });
    expect(admitted).toMatchObject({ bodyText: '{"model":"m","n":1.0}', deadlineMs: SENT_AT_MS + DAY_MS });
  });
  test.each([
    ["BAD_JSON", { ...fields, bodyJson: "{" }, []],
    ["BAD_JSON", { ...fields, bodyJson: '{"model":1,"model":2}' }, []],
    ["TOO_DEEP", { ...fields, bodyJson: "[".repeat(65) }, []],
    ["BAD_UNICODE", { ...fields, jobId: "\ud800" }, []],
    ["BAD_JOB", { ...fields, bodyJson: null }, []],
    ["BAD_JOB", { ...fields, bodyJson: "[]" }, []],
    ["BAD_JOB", fields, [{ path: "", name: "tenant_id", known: ["tenant"] }]],
    ["BAD_DEADLINE", { ...fields, ttlMs: -5 }, []],
    ["TENANT_MISMATCH", { ...fields, tenant: "other" }, []],
  ])("is refused as %s like one in JSON", (code, changed, unknownFields) => {
    expect(
      refusalIn(admission.admitAvro(record(Buffer.from([0])), { fields: changed, unknownFields }, NOW_MS)).code,
    ).toBe(code);
  });
  test.each([
    ["a mistyped one", "", "prioritty", "prioritty", 'did you mean "priority"?'],
    ["one inside another", "require", "region", "region", 'did you mean "regions"?'],
    ["one like none", "", "zzzzzzzz", "zzzzzzzz", "known are jobId, tenant, priority"],
  ])("names the nearest field to an unknown one as JSON's refusals do: %s", (_what, path, name, member, hint) => {
    const known = path === "" ? ["jobId", "tenant", "priority"] : ["providers", "regions"];
    const unknown = refusalIn(
      admission.admitAvro(record(Buffer.from([0])), { fields, unknownFields: [{ path, name, known }] }, NOW_MS),
    );
    const twin = refusedWith([], { ...JOB, ...(path === "" ? { [member]: 1 } : { [path]: { [member]: 1 } }) });
    const place = path === "" ? "" : `${path}: `;
    expect(unknown).toMatchObject({ code: twin.code, jobId: twin.jobId, identity: { tenant: "acme" } });
    expect(unknown.message).toBe(`${place}unknown field "${name}" in the writer's schema; ${hint}`);
    expect(twin.message).toContain(
      `${place}unknown field "${name}"; ${path === "" && name === "zzzzzzzz" ? "known are" : hint}`,
    );
  });
  test.each([
    ["BAD_JSON", { ...fields, bodyJson: "{" }, "acme"],
    ["TOO_DEEP", { ...fields, tenant: "acme", bodyJson: "[".repeat(65) }, "acme"],
    ["BAD_JSON", { ...fields, tenant: "other", bodyJson: "{" }, null],
  ])("refused as %s for its body has a dead letter that says whose it is", (code, changed, tenant) => {
    expect(
      refusalIn(admission.admitAvro(record(Buffer.from([0])), { fields: changed, unknownFields: [] }, NOW_MS)),
    ).toMatchObject({ code, tenant, jobId: "order-17", identity: null });
  });
});

describe("a value that could not be had", () => {
  const problem = { code: "BAD_AVRO", message: "field x: expected a number" } as const;
  const refusedFor = (headers: readonly RecordHeader[], by = admission, changes: object = {}) =>
    refusalIn(by.refuse(record(Buffer.from([0, 0, 0, 0, 7]), headers, changes), problem, NOW_MS));

  test("is refused with the decoder's words, under the tenant that its topic proves, and no result goes out", () => {
    expect(refusedFor([])).toEqual({ ...problem, tenant: "acme", jobId: null, identity: null });
    expect(refusedFor([header("llm-job-id", "order-17")])).toEqual({
      ...problem,
      ...{ tenant: "acme", jobId: "order-17", identity: null },
    });
  });
  test("says whose it is where the header may say so", () => {
    const trusting = createAdmission(settings({ tenantFrom: "body" }));
    expect(refusedFor([header("llm-tenant", "other")], trusting)).toMatchObject({ tenant: "other" });
    expect(refusedFor([], trusting)).toMatchObject({ tenant: null });
  });
  test.each([
    ["a claim that the topic does not prove", [header("llm-tenant", "other")]],
    ["headers that contradict each other", [header("llm-tenant", "acme"), header("llm-tenant", "other")]],
    ["headers beyond the limits", Array.from({ length: 1000 }, () => header("h", "v"))],
  ])("says nobody's with %s", (_what, headers) => {
    expect(refusedFor(headers)).toEqual({ ...problem, tenant: null, jobId: null, identity: null });
  });
  test("a value that is too large says whose it is in JSON too", () => {
    const large = record(Buffer.alloc(1_048_577 * 4, 0x20), [header("llm-job-id", "order-17")]);
    expect(refusalIn(admission.admit(large, NOW_MS))).toMatchObject({
      ...{ code: "TOO_LARGE", tenant: "acme", jobId: "order-17", identity: null },
    });
  });
});
