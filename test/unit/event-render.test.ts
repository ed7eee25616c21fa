import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { Ajv2020 } from "ajv/dist/2020.js";
import avro from "avsc";
import type { Schema } from "avsc";
import { doubtBegan, doubtSettled } from "../../src/domain/event/doubt-event.js";
import { NO_SUBJECT, type GatewayEvent } from "../../src/domain/event/event.js";
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
const avroType = avro.Type.forSchema(read("event.avsc") as Schema);

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

interface Document {
  readonly at: string;
  readonly detailsJson: string | null;
  readonly [field: string]: unknown;
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

  test("has an id of its own for each number, and the same one whenever it is rendered", () => {
    const event = partitionEvent(GAP, AT_MS);
    const ids = [1, 2, 1].map((no) => rendered(event, no).document["eventId"]);
    expect(ids[0]).toBe(ids[2]);
    expect(ids[0]).not.toBe(ids[1]);
  });

  test.each([
    doubtBegan(DOUBT, "its router's session ended"),
    doubtSettled(DOUBT, "IN_DOUBT"),
    doubtSettled({ ...DOUBT, subject: NO_SUBJECT }, "retried"),
    partitionEvent(GAP, AT_MS),
    partitionEvent(TRUNCATED, AT_MS),
    partitionEvent(OTHER, AT_MS),
    operatorEvent("operator.cancelled", BY_ANN, "cancelled", DOUBT.subject),
  ])("of kind $kind is what the published schemas say", (event) => {
    const { document } = rendered(event);
    expect([isValid(document), isValid.errors]).toEqual([true, null]);
    const row = { ...document, at: Date.parse(document.at) };
    expect(avroType.fromBuffer(avroType.toBuffer(row))).toMatchObject({ kind: event.kind, at: AT_MS });
  });
});

describe("what events say", () => {
  test.each([
    ["retried", "another attempt was started"],
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
});
