import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { Ajv2020 } from "ajv/dist/2020.js";
import avro from "avsc";
import type { Schema } from "avsc";
import type { Alert } from "../../src/domain/alert/alert.js";
import { alertEvent } from "../../src/domain/event/alert-event.js";
import { breakerClosed, breakerOpened } from "../../src/domain/event/breaker-event.js";
import { doubtBegan, doubtSettled } from "../../src/domain/event/doubt-event.js";
import { createAvroEncoder } from "../../src/adapters/registry/avro-encoder.js";
import { EVENT_KINDS, NO_SUBJECT, type GatewayEvent } from "../../src/domain/event/event.js";
import { operatorEvent } from "../../src/domain/event/operator-event.js";
import { partitionEvent } from "../../src/domain/event/partition-event.js";
import { PartitionAlerts } from "../../src/app/partition-alerts.js";
import { renderEvent } from "../../src/domain/result/render-event.js";

const SETTINGS = { environment: "test", cluster: "c", group: "g", costsTopic: "costs", eventsTopic: "events" };
const AT_MS = Date.UTC(2026, 11, 1, 12);
const SCHEMAS = new URL("../../schemas/", import.meta.url);
const read = (name: string): unknown => JSON.parse(readFileSync(new URL(name, SCHEMAS), "utf8"));
const isValid = new Ajv2020({ strict: true, allowUnionTypes: true, formats: { "date-time": true } }).compile(
  read("event.schema.json") as object,
);
const eventSchema = read("event.avsc") as Schema; // the published file
/** The plain reader that any consumer has. */
const avroType = avro.Type.forSchema(eventSchema);
const SCHEMA_ID = 66_001;
const AVRO_SETTINGS = {
  ...SETTINGS,
  encoders: {
    result: null,
    cost: null,
    event: createAvroEncoder(eventSchema, "events", new Map([["events", SCHEMA_ID]])),
  },
};

const DOUBT = {
  attempt: { no: 1007, number: 2, account: "openai-main", provider: "openai", model: "gpt-x", maxNanoUsd: 123n },
  execution: { day: 20_788, no: 1001 },
  subject: { tenant: "acme", jobId: "order-17", generation: 0 },
  atMs: AT_MS,
} as const;
const GAP = { cause: "gap", topic: "llm.jobs.v1", partition: 3, ledgerNext: 5, logStart: 9, lostAtMost: 4 } as const;
const TRUNCATED = {
  cause: "truncated",
  topic: "jobs",
  partition: 0,
  ledgerNext: 5,
  logStart: 0,
  logEnd: 1,
} as const;
const OTHER = { cause: "other_topic", topic: "jobs", partition: 0, ledgerNext: 5, offset: 4 } as const;
const BY_ANN = { byWhom: "ann@desk", atMs: AT_MS };

const CONFLICT: GatewayEvent = {
  kind: "job.id_conflict",
  message: "the record at jobs 3:78 has a known job id and another body",
  tenant: "acme",
  jobId: "order-17",
  generation: null,
  provider: null,
  account: null,
  details: { topic: "jobs", partition: "3", offset: "78" },
  atMs: AT_MS,
};
const aboutBatch = (kind: GatewayEvent["kind"]): GatewayEvent => ({
  kind,
  message: "batch b-17 at openai-main: what it came to",
  ...NO_SUBJECT,
  batchId: "b-17",
  provider: "openai",
  account: "openai-main",
  details: { lines: "412" },
  atMs: AT_MS,
});
const BATCH_KINDS = [
  "batch.submitted",
  "batch.ended",
  "batch.refused",
  "batch.doubt",
  "batch.adopted",
  "batch.held",
  "batch.stuck",
  "batch.unknown_line",
  "batch.rescued",
  "batch.lines_lost",
  "batch.orphan_found",
  "result.conflict",
] as const satisfies readonly GatewayEvent["kind"][];
const ALERT: Alert = {
  rule: "provider_down",
  subject: "openai-main",
  version: 3,
  state: "raised",
  sinceMs: AT_MS,
  turningSinceMs: null,
  wasRaised: true,
  text: { message: "all 9 calls of openai-main failed", account: "openai-main", details: { calls: "9" } },
};
const EVENTS: readonly GatewayEvent[] = [
  alertEvent(ALERT, "raised", AT_MS - 1, AT_MS),
  alertEvent(
    { ...ALERT, rule: "budget", subject: "acme/day/80", text: { message: "spent", tenant: "acme", details: {} } },
    "recovered",
    AT_MS - 90_000,
    AT_MS,
  ),
  breakerOpened({ account: "openai-main", model: "gpt-x" }, "its last call ended as overloaded", AT_MS + 5000, AT_MS),
  breakerClosed({ account: "openai-main", model: null }, 61_000, AT_MS),
  doubtBegan(DOUBT, "its router's session ended"),
  doubtSettled(DOUBT, "IN_DOUBT"),
  doubtSettled({ ...DOUBT, subject: NO_SUBJECT }, "retried"),
  CONFLICT,
  partitionEvent(GAP, AT_MS),
  partitionEvent(TRUNCATED, AT_MS),
  partitionEvent(OTHER, AT_MS),
  ...BATCH_KINDS.map(aboutBatch),
  operatorEvent("operator.cancelled", BY_ANN, "cancelled", DOUBT.subject),
  operatorEvent("operator.replayed", BY_ANN, "replayed € 😀", DOUBT.subject, { letter: "7" }),
  operatorEvent("operator.discarded", BY_ANN, "discarded", NO_SUBJECT),
  operatorEvent("operator.resolved", BY_ANN, "resolved", DOUBT.subject),
  operatorEvent("operator.adopted", BY_ANN, "adopted", NO_SUBJECT),
];

interface Document {
  readonly at: string;
  readonly detailsJson: string | null;
  readonly [field: string]: unknown;
}

function fieldsOf(value: Buffer | null): Readonly<Record<string, unknown>> {
  const decoded: unknown = avroType.fromBuffer(value?.subarray(5) ?? Buffer.alloc(0));
  return { ...(decoded as Readonly<Record<string, unknown>>) }; // a record of the schema
}

function rendered(event: GatewayEvent, no = 4711) {
  const record = renderEvent(SETTINGS, event, no, 20_788);
  const document = JSON.parse(record.value?.toString("utf8") ?? "") as Document; // checked against its schema below
  return { record, document, details: JSON.parse(document.detailsJson ?? "null") as unknown };
}

describe("an event on its topic", () => {
  test("is flat, with an id that is ce_id too, and the job's id as key", () => {
    const { record, document, details } = rendered(doubtBegan(DOUBT, "timed_out"));
    expect(document).toEqual({
      eventId: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/),
      kind: "attempt.in_doubt",
      severity: "warning",
      message: "attempt 2 at openai-main/gpt-x may have been billed and its outcome is unknown: timed_out",
      tenant: "acme",
      jobId: "order-17",
      generation: 0,
      batchId: null,
      provider: "openai",
      account: "openai-main",
      detailsJson: expect.any(String),
      at: "2026-12-01T12:00:00.000Z",
    });
    expect(details).toMatchObject({ attempt: "2", model: "gpt-x", maxNanoUsd: "123", why: "timed_out" });
    expect(record).toMatchObject({ kind: "event", no: 4711, day: 20_788, topic: "events", partition: null });
    expect(record.key?.toString()).toBe("order-17");
    expect(Object.fromEntries(record.headers)).toMatchObject({
      ce_id: document["eventId"],
      ce_type: "sluice.event.v1",
      ce_time: "2026-12-01T12:00:00.000Z",
      ce_subject: "attempt.in_doubt",
      "content-type": "application/json",
    });
  });

  test("has the account as key where no job is known, and none where it is about neither", () => {
    const unknown = { ...DOUBT, subject: NO_SUBJECT };
    expect(rendered(doubtSettled(unknown, "retried")).record.key?.toString()).toBe("openai-main");
    expect(rendered(partitionEvent(GAP, AT_MS)).record.key).toBeNull();
  });

  test("has the batch's name as key where it is about one", () => {
    const about = { ...doubtSettled({ ...DOUBT, subject: NO_SUBJECT }, "retried"), batchId: "b-17" };
    const { record, document } = rendered(about);
    expect([record.key?.toString(), document["batchId"]]).toEqual(["b-17", "b-17"]);
  });

  test("has an id of its own for each number, and the same one whenever it is rendered", () => {
    const event = partitionEvent(GAP, AT_MS);
    const ids = [1, 2, 1].map((no) => rendered(event, no).document["eventId"]);
    expect(ids[0]).toBe(ids[2]);
    expect(ids[0]).not.toBe(ids[1]);
  });

  test("of an alert has the alert's severity, and a recovery none that wakes anybody", () => {
    const raised = rendered(alertEvent(ALERT, "raised", AT_MS - 1, AT_MS));
    expect(raised.document).toMatchObject({ kind: "alert.raised", severity: "critical", account: "openai-main" });
    expect(raised.record.key?.toString()).toBe("openai-main");
    expect(raised.details).toEqual({
      alert: "provider_down:openai-main",
      rule: "provider_down",
      version: "3",
      calls: "9",
    });
    const over = rendered(alertEvent({ ...ALERT, subject: "" }, "recovered", AT_MS - 90_000, AT_MS));
    expect(over.document).toMatchObject({ kind: "alert.recovered", severity: "info" });
    expect(over.details).toMatchObject({ alert: "provider_down", raisedMs: "90000" });
  });

  test("is tried below in every kind there is", () => {
    expect(new Set(EVENTS.map(({ kind }) => kind))).toEqual(new Set(Object.keys(EVENT_KINDS)));
  });

  test.each(EVENTS)("of kind $kind is what the published schema says, and in Avro says the same", (event) => {
    const { record, document } = rendered(event);
    expect([isValid(document), isValid.errors]).toEqual([true, null]);
    const { value, headers, ...rest } = renderEvent(AVRO_SETTINGS, event, 4711, 20_788);
    expect([value?.readUInt8(0), value?.readUInt32BE(1)]).toEqual([0, SCHEMA_ID]);
    expect(fieldsOf(value)).toEqual({ ...document, at: AT_MS });
    const { value: _value, headers: jsonHeaders, ...jsonRest } = record;
    expect(rest).toEqual(jsonRest);
    expect(headers).toEqual(
      jsonHeaders.map(([name, text]) => [name, name === "content-type" ? "application/vnd.apache.avro" : text]),
    );
  });

  test("in Avro has these fields", () => {
    expect(fieldsOf(renderEvent(AVRO_SETTINGS, CONFLICT, 4711, 20_788).value)).toEqual({
      eventId: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-5/),
      kind: "job.id_conflict",
      severity: "warning",
      message: "the record at jobs 3:78 has a known job id and another body",
      tenant: "acme",
      jobId: "order-17",
      generation: null,
      batchId: null,
      provider: null,
      account: null,
      detailsJson: '{"topic":"jobs","partition":"3","offset":"78"}',
      at: 1_796_126_400_000,
    });
  });
});

describe("what events say", () => {
  test.each([
    ["retried", "another attempt follows"],
    ["dropped", "nobody waits for it any more"],
    ["IN_DOUBT", "its jobs failed with IN_DOUBT"],
  ] as const)("of a doubt followed by %s", (followed, words) => {
    const { document, details } = rendered(doubtSettled(DOUBT, followed));
    expect(document["message"]).toBe(`attempt 2 at openai-main/gpt-x stays in doubt and was settled: ${words}`);
    expect(details).toMatchObject({ followed });
  });

  test("of a gap, with both numbers", () => {
    const { document, details } = rendered(partitionEvent(GAP, AT_MS));
    expect(document["message"]).toBe(
      "partition 3 of llm.jobs.v1 lost up to 4 records before they were read: 5 was next, its log begins at 9",
    );
    expect(details).toEqual({
      cause: "gap",
      topic: "llm.jobs.v1",
      partition: "3",
      ledgerNext: "5",
      logStart: "9",
      lostAtMost: "4",
    });
  });

  test.each([TRUNCATED, OTHER])("of a partition that stopped ($cause), with what to do", (alert) => {
    expect(rendered(partitionEvent(alert, AT_MS)).document).toMatchObject({
      severity: "critical",
      message: expect.stringMatching(/^partition 0 of jobs stopped: .*sluice topics adopt$/),
    });
  });

  test("of an operator, by whom", () => {
    const event = operatorEvent("operator.discarded", BY_ANN, "discarded dead letter 7", DOUBT.subject, {
      letter: "7",
    });
    const { document, details } = rendered(event);
    expect(document["message"]).toBe("discarded dead letter 7, by ann@desk");
    expect(details).toEqual({ byWhom: "ann@desk", letter: "7" });
  });
});

describe("alerts of a process", () => {
  test("are taken once for each partition and cause, and again after one could not be published", () => {
    const alerts = new PartitionAlerts();
    expect([GAP, GAP, { ...GAP, partition: 4 }, TRUNCATED, TRUNCATED].map((alert) => alerts.take(alert))).toEqual([
      true,
      false,
      true,
      true,
      false,
    ]);
    alerts.giveBack(GAP);
    expect([alerts.take(GAP), alerts.take(TRUNCATED)]).toEqual([true, false]);
  });

  test("are taken again when a gap lies further on", () => {
    const alerts = new PartitionAlerts();
    const further = { ...GAP, ledgerNext: 40, logStart: 50 };
    expect([GAP, further, further, GAP].map((alert) => alerts.take(alert))).toEqual([true, true, false, false]);
  });
});
