import { createHash } from "node:crypto";
import type { Evidence, PublishedRecord, TopicRecord } from "../../src/chaos/evidence/evidence.js";
import { TopicCollection } from "../../src/chaos/evidence/read-topics.js";
import { parseBill } from "../../src/demo/reader/bill-row.js";

/** Evidence that a test may break. */
export type Broken<T> = T extends Buffer | ReadonlyMap<string, Buffer>
  ? T
  : T extends readonly (infer Item)[]
    ? Broken<Item>[]
    : T extends object
      ? { -readonly [Name in keyof T]: Broken<T[Name]> }
      : T;

/** The run begins here; every other time is so many milliseconds later. */
export const START_MS = Date.UTC(2026, 0, 5, 12);

export function at(ms: number): string {
  return new Date(START_MS + ms).toISOString();
}

/** The id of an attempt or an execution as records bear it. Its last character is a check digit, which checkers do not look at. */
export function idOf(no: number): string {
  return `0fa0-${no.toString(32)}0`;
}

export function sha256(text: string | Buffer): string {
  return createHash("sha256").update(text).digest("hex");
}

export function record(
  topic: string,
  offset: number,
  key: string | null,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): TopicRecord {
  return {
    topic,
    partition: 0,
    offset: String(offset),
    key: key === null ? null : Buffer.from(key),
    value: value === null ? null : Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value)),
    headers: new Map(Object.entries(headers).map(([name, text]) => [name, Buffer.from(text)])),
    timestampMs: START_MS + 500 + offset,
  };
}

interface Sent {
  readonly kind: PublishedRecord["kind"];
  readonly tenant?: string;
  readonly jobId: string | null;
  readonly prompt?: string;
  readonly code?: string;
}

/** Offset, number and place in this list are the same. All lie in one partition. */
const SENT: readonly Sent[] = [
  { kind: "job", jobId: "call", prompt: "one" },
  { kind: "job", jobId: "joined", prompt: "one" },
  { kind: "job", jobId: "line", prompt: "two" },
  { kind: "job", jobId: "failing", prompt: "three" },
  { kind: "job", jobId: "doubtful", prompt: "four" },
  { kind: "job", jobId: "stopped", prompt: "five" },
  { kind: "cancel", jobId: "stopped" },
  { kind: "duplicate", jobId: "call", prompt: "one" },
  { kind: "conflict", jobId: "call", prompt: "another" },
  { kind: "malformed", jobId: null, code: "BAD_JSON" },
  { kind: "refused", jobId: "strange", code: "UNKNOWN_MODEL" },
  { kind: "job", tenant: "globex", jobId: "call", prompt: "one" },
];

const DEADLINE_MS = START_MS + 3_600_000;

export function promptDigest(prompt: string): string {
  return sha256(prompt).slice(0, 32);
}

function published(sent: Sent, number: number): PublishedRecord {
  const { kind, tenant = "acme", jobId, prompt, code } = sent;
  return {
    number,
    kind,
    topic: "jobs",
    place: { partition: 0, offset: String(number) },
    tenant,
    jobId,
    format: prompt === undefined ? null : "openai.chat",
    mode: prompt === undefined ? null : "auto",
    valueDigest: sha256(valueOf(number)),
    requestKey: prompt === undefined ? null : sha256(prompt),
    promptDigest: prompt === undefined ? null : promptDigest(prompt),
    code: code ?? null,
    shared: true,
    deadlineMs: prompt === undefined ? null : DEADLINE_MS,
    key: Buffer.from(keyOf(sent)).toString("base64"),
    correlation: Buffer.from(`correlation ${String(number)}`).toString("base64"),
    sentAtMs: START_MS + number,
  };
}

function keyOf({ jobId }: Sent): string {
  return `key of ${jobId ?? "nothing"}`;
}

export function valueOf(number: number): Buffer {
  return Buffer.from(`the bytes of record ${String(number)}`);
}

/** Who got what: a result's fields beside those that all have. */
function result(offset: number, number: number, fields: Readonly<Record<string, unknown>>): TopicRecord {
  const sent = SENT[number];
  if (sent === undefined) throw new RangeError(`no record ${String(number)}`);
  const tenant = sent.tenant ?? "acme";
  const { generation = 0, status = "succeeded" } = fields;
  const value = {
    v: 1,
    resultId: `result ${tenant} ${sent.jobId ?? ""} ${String(generation)}`,
    jobId: sent.jobId,
    tenant,
    generation,
    status,
    format: "openai.chat",
    body:
      status === "succeeded"
        ? { choices: [{ message: { content: `digest=${promptDigest(sent.prompt ?? "")} words` } }] }
        : null,
    error: null,
    served: "call",
    mode: "direct",
    batchId: null,
    attempts: [],
    cost: { nanoUsd: "0", costId: null },
    times: { acceptedAt: at(20), finishedAt: at(400), deadline: new Date(DEADLINE_MS).toISOString() },
    ...fields,
  };
  return record("results", offset, keyOf(sent), value, {
    ce_id: value.resultId,
    kafka_correlationId: `correlation ${String(number)}`,
    "chaos-number": String(number),
  });
}

function cost(offset: number, costId: string, fields: Readonly<Record<string, unknown>>): TopicRecord {
  const value = {
    costId,
    kind: "charge",
    correctsCostId: null,
    billing: "charged",
    tenant: "acme",
    generation: 0,
    mode: "direct",
    batchId: null,
    providerBatchId: null,
    inputTokens: 10,
    cachedInputTokens: 0,
    outputTokens: 5,
    nanoUsd: "700",
    maxNanoUsd: "1000",
    listNanoUsd: "700",
    at: at(400),
    ...fields,
  };
  return record("costs", offset, value.tenant, value);
}

const ZERO = {
  attemptId: null,
  nanoUsd: "0",
  maxNanoUsd: "0",
  inputTokens: null,
  cachedInputTokens: null,
  outputTokens: null,
};

export function letter(
  offset: number,
  number: number,
  code: string,
  fields: Readonly<Record<string, string>> = {},
): TopicRecord {
  return record("jobs.dlq", offset, null, valueOf(number), {
    "chaos-number": String(number),
    "__dlq.errors.topic": "jobs",
    "__dlq.errors.partition": "0",
    "__dlq.errors.offset": String(number),
    "__dlq.errors.message": "what was wrong",
    "llm-error-code": code,
    "llm-error-class": "caller",
    "llm-error-stage": "intake",
    "llm-attempt": "0",
    "llm-replay-count": "0",
    ...fields,
  });
}

function topicRecords(): readonly TopicRecord[] {
  const resent = result(8, 0, { cost: { nanoUsd: "700", costId: "charge 501" } });
  return [
    ...SENT.map((sent, number) =>
      record("jobs", number, keyOf(sent), valueOf(number), { "chaos-number": String(number) }),
    ),
    result(0, 0, { cost: { nanoUsd: "700", costId: "charge 501" } }),
    result(1, 1, { served: "coalesced", cost: { nanoUsd: "0", costId: "zero 201" } }),
    result(2, 2, { mode: "batch", batchId: "b-1", cost: { nanoUsd: "350", costId: "charge 502" } }),
    result(3, 3, { status: "failed", error: { code: "PROVIDER_REFUSED" } }),
    result(4, 3, { generation: 1, cost: { nanoUsd: "700", costId: "charge 504" } }),
    result(5, 4, { cost: { nanoUsd: "700", costId: "charge 506" } }),
    result(6, 5, { status: "cancelled", error: { code: "CANCELLED" } }),
    result(7, 11, { cost: { nanoUsd: "700", costId: "charge 507" } }),
    {
      ...resent,
      headers: new Map([
        ...resent.headers,
        ["llm-duplicate", Buffer.from("true")],
        ["chaos-number", Buffer.from("7")],
        ["kafka_correlationId", Buffer.from("correlation 7")],
      ]),
    },
    result(9, 10, { generation: -1, status: "failed", error: { code: "UNKNOWN_MODEL" } }),
    cost(0, "charge 501", { attemptId: idOf(501), jobId: "call" }),
    cost(1, "zero 201", { billing: "shared", jobId: "joined", ...ZERO }),
    cost(2, "charge 502", {
      attemptId: idOf(502),
      jobId: "line",
      mode: "batch",
      batchId: "b-1",
      providerBatchId: "batch_x",
      nanoUsd: "350",
    }),
    cost(3, "charge 504", { attemptId: idOf(504), jobId: "failing", generation: 1 }),
    cost(4, "charge 505", {
      attemptId: idOf(505),
      jobId: "doubtful",
      billing: "in_doubt",
      ...{ nanoUsd: null, inputTokens: null, cachedInputTokens: null, outputTokens: null },
    }),
    cost(5, "adjustment 505", {
      kind: "adjustment",
      correctsCostId: "charge 505",
      attemptId: idOf(505),
      jobId: "doubtful",
      billing: "waste",
    }),
    cost(6, "charge 506", { attemptId: idOf(506), jobId: "doubtful" }),
    cost(7, "charge 507", { attemptId: idOf(507), jobId: "call", tenant: "globex" }),
    letter(0, 8, "ID_CONFLICT"),
    letter(1, 9, "BAD_JSON"),
    letter(2, 10, "UNKNOWN_MODEL"),
    letter(3, 3, "PROVIDER_REFUSED", { "llm-error-stage": "dispatch", "llm-attempt": "1" }),
    record("events", 0, "doubtful", {
      eventId: "event 1",
      kind: "attempt.in_doubt",
      message: "attempt 1 may have been billed",
      tenant: "acme",
      jobId: "doubtful",
      generation: 0,
      detailsJson: JSON.stringify({ attemptId: idOf(505), why: "its router's session ended while the call was out" }),
      at: at(250),
    }),
  ];
}

function billText(): string {
  const row = (attempt: number, fields: Readonly<Record<string, unknown>> = {}): string =>
    JSON.stringify({
      requestId: `req ${String(attempt)}`,
      attempt: idOf(attempt),
      key: "main",
      provider: "openai",
      model: "m",
      mode: "direct",
      inputTokens: 10,
      cachedInputTokens: 0,
      outputTokens: 5,
      nanoUsd: "700",
      at: at(300),
      ...fields,
    });
  return [
    row(501),
    row(502, { mode: "batch", batch: "batch_x", line: 1, nanoUsd: "350" }),
    row(504),
    row(505),
    row(506),
    row(507),
  ].join("\n");
}

function ledger(): Evidence["ledger"] {
  const job = (
    no: number,
    number: number,
    executionNo: number,
    fields: Partial<Evidence["ledger"]["jobs"][number]> = {},
  ) => ({
    day: 4000,
    no,
    tenant: SENT[number]?.tenant ?? "acme",
    jobId: SENT[number]?.jobId ?? "",
    generation: 0,
    state: "succeeded",
    executionNo,
    deadlineMs: DEADLINE_MS,
    acceptedMs: START_MS + 20 + number,
    endedMs: START_MS + 400,
    failureCode: null,
    source: `jobs:0:${String(number)}`,
    ...fields,
  });
  const execution = (no: number, prompt: string, fields: Partial<Evidence["ledger"]["executions"][number]> = {}) => ({
    day: 4000,
    no,
    tenant: "acme",
    key: sha256(`key of ${prompt}`),
    lane: 0,
    state: "succeeded",
    sessionNo: 1,
    attemptNo: null,
    attempts: 1,
    mode: "auto",
    cacheable: true,
    endedMs: START_MS + 400,
    ...fields,
  });
  const attempt = (no: number, executionNo: number, fields: Partial<Evidence["ledger"]["attempts"][number]> = {}) => ({
    day: 4000,
    no,
    executionNo,
    number: 1,
    sessionNo: 1,
    state: "answered",
    batchNo: null,
    supersedes: null,
    account: "main",
    model: "m",
    maxNanoUsd: 1000n,
    startedMs: START_MS + 100,
    endedMs: START_MS + 300,
    settledMs: null,
    outcome: "succeeded",
    nanoUsd: 700n,
    ...fields,
  });
  const costRow = (
    no: number,
    attemptNo: number | null,
    fields: Partial<Evidence["ledger"]["costs"][number]> = {},
  ) => ({
    day: 4000,
    no,
    kind: "charge",
    billing: "charged",
    tenant: "acme",
    jobNo: null,
    attemptNo,
    nanoUsd: 700n,
    maxNanoUsd: 1000n,
    ...fields,
  });
  const letterRow = (
    no: number,
    number: number,
    code: string,
    fields: Partial<Evidence["ledger"]["deadLetters"][number]> = {},
  ) => ({
    no,
    state: "open",
    tenant: "acme",
    jobId: SENT[number]?.jobId ?? null,
    jobNo: null,
    generation: null,
    code,
    topic: "jobs",
    partition: 0,
    offset: String(number),
    replayCount: 0,
    failedMs: START_MS + 300,
    ...fields,
  });
  return {
    jobs: [
      job(200, 0, 200),
      job(201, 1, 200),
      job(202, 2, 202),
      job(203, 3, 203, { state: "failed", failureCode: "PROVIDER_REFUSED" }),
      job(204, 4, 204),
      job(205, 5, 205, { state: "cancelled", failureCode: "CANCELLED" }),
      job(206, 3, 206, { generation: 1, acceptedMs: START_MS + 450, endedMs: START_MS + 700 }),
      job(211, 11, 211),
    ],
    executions: [
      execution(200, "one"),
      execution(202, "two", { mode: "batch" }),
      execution(203, "three", { state: "failed", cacheable: null }),
      execution(204, "four", { attempts: 2, sessionNo: 2 }),
      execution(205, "five", { state: "dropped", cacheable: null, attempts: 0, sessionNo: null, endedMs: null }),
      execution(206, "three", { endedMs: START_MS + 700 }),
      execution(211, "one", { tenant: "globex" }),
    ],
    attempts: [
      attempt(501, 200),
      attempt(502, 202, { batchNo: 900, nanoUsd: 350n }),
      attempt(503, 203, { state: "failed", outcome: "refused", nanoUsd: 0n }),
      attempt(504, 206, { startedMs: START_MS + 500, endedMs: START_MS + 700 }),
      attempt(505, 204, { state: "failed", outcome: "in_doubt", settledMs: START_MS + 280, endedMs: START_MS + 900 }),
      attempt(506, 204, { number: 2, sessionNo: 2, startedMs: START_MS + 290, endedMs: START_MS + 400 }),
      attempt(507, 211),
    ],
    batches: [
      {
        no: 900,
        state: "done",
        account: "main",
        lines: 1,
        createdMs: START_MS + 90,
        submittedMs: START_MS + 150,
        endedMs: START_MS + 280,
        providerBatchId: "batch_x",
      },
    ],
    creates: [
      { batchNo: 900, number: 1, account: "main", intentMs: START_MS + 110, settled: "absent", providerBatchId: null },
      {
        batchNo: 900,
        number: 2,
        account: "main",
        intentMs: START_MS + 140,
        settled: "created",
        providerBatchId: "batch_x",
      },
    ],
    costs: [
      costRow(501, 501),
      costRow(201, null, { billing: "shared", nanoUsd: 0n, maxNanoUsd: 0n }),
      costRow(502, 502, { nanoUsd: 350n }),
      costRow(504, 504),
      costRow(505, 505, { billing: "in_doubt", nanoUsd: null }),
      costRow(601, 505, { kind: "adjustment", billing: "waste" }),
      costRow(506, 506),
      costRow(507, 507, { tenant: "globex" }),
    ],
    budgets: [{ level: '["tenant","acme",null,null,"total"]', sinceMs: 0, settledNanoUsd: 3150n, reservedNanoUsd: 0n }],
    reservations: [],
    deadLetters: [
      letterRow(301, 8, "ID_CONFLICT"),
      letterRow(302, 9, "BAD_JSON"),
      letterRow(303, 10, "UNKNOWN_MODEL"),
      letterRow(304, 3, "PROVIDER_REFUSED", { state: "replayed", jobNo: 203, generation: 0 }),
    ],
    replays: [{ jobNo: 203, newNo: 206, byWhom: "ann", atMs: START_MS + 450 }],
    sessions: [
      { sessionNo: 1, name: "router-1", startedMs: START_MS, endedMs: START_MS + 240, died: true },
      { sessionNo: 2, name: "router-1", startedMs: START_MS + 245, endedMs: null, died: false },
    ],
    positions: [{ topic: "jobs", partition: 0, next: "12" }],
    waiting: { outbox_ready: 0, ready: 0, batch_ready: 0, repeats: 0, unanswered: 0 },
    history: [
      ["jobs", 200, null, "active", null, 20],
      ["executions", 200, null, "running", 1, 20],
      ["attempts", 501, null, "sending", 1, 20],
      ["attempts", 505, null, "sending", 1, 22],
      ["attempts", 505, "sending", "in_doubt", 1, 250],
      ["attempts", 505, "in_doubt", "settled", 1, 285],
      ["attempts", 506, null, "sending", 2, 284],
      ["attempts", 501, "sending", "answered", 1, 300],
      ["executions", 200, "running", "succeeded", 1, 300],
      ["jobs", 200, "active", "succeeded", null, 301],
      ["attempts", 506, "sending", "answered", 2, 400],
      ["attempts", 505, "settled", "failed", 1, 900],
    ].map((row, seq) => {
      const [table, no, from, to, sessionNo, ms] = row as [
        "jobs",
        number,
        string | null,
        string,
        number | null,
        number,
      ];
      // The settlement and the next attempt are one transaction, whatever the order of its statements.
      const transaction = no === 506 || to === "settled" ? "77" : String(1000 + seq);
      return { seq, table, no, from, to, sessionNo, transaction, atMs: START_MS + ms };
    }),
  };
}

/** A run of every kind of record in which everything holds; each call makes another, for a test to break. */
export function goodEvidence(): Broken<Evidence> {
  const topics = new TopicCollection({
    jobs: ["jobs"],
    results: ["results"],
    costs: "costs",
    deadLetters: ["jobs.dlq"],
    events: "events",
  });
  for (const one of topicRecords()) topics.add(one);
  const evidence: Evidence = {
    run: {
      seed: 17,
      doubtPolicy: "retry",
      startedAtMs: START_MS,
      faultsEndedAtMs: START_MS + 1_000,
      settledAtMs: START_MS + 21_000,
      reconciled: true,
      callMsMax: 30_000,
      limits: {
        settleMs: 60_000,
        frozenPartitionMs: 60_000,
        rssBytes: 512 * 1024 * 1024,
        aboveBaseline: 0.1,
        replays: 3,
        suspects: 0,
        cacheMaxAgeMs: 86_400_000,
        clockSkewMs: 50,
      },
      budgets: [{ level: '["tenant","acme",null,null,"total"]', limitNanoUsd: 10_000n }],
      canaries: [
        { name: "acme's prompts", text: "canary-of-acme", kind: "tenant", tenant: "acme" },
        { name: "the provider key", text: "sk-canary", kind: "secret", tenant: null },
      ],
    },
    published: SENT.map(published),
    topics: topics.evidence(),
    ledger: ledger(),
    bill: parseBill(billText()).rows,
    faults: [
      {
        kind: "router_kill",
        atMs: START_MS + 230,
        untilMs: START_MS + 245,
        target: "router-1",
        pid: 4711,
        signal: "SIGKILL",
        point: null,
        callsInAir: 1,
        workInFlight: true,
        detail: null,
      },
    ],
    samples: {
      budgets: [
        {
          atMs: START_MS + 100,
          phase: "running",
          level: '["tenant","acme",null,null,"total"]',
          sinceMs: 0,
          settledNanoUsd: 7_000n,
          reservedNanoUsd: 2_000n,
          reservationsNanoUsd: 2_000n,
          reservations: 2,
          unfinished: 2,
        },
      ],
      offsets: [
        {
          phase: "running",
          atMs: START_MS + 50,
          topic: "jobs",
          partition: 0,
          committed: null,
          ledgerNext: "5",
          logEnd: "9",
        },
        {
          phase: "running",
          atMs: START_MS + 2_000,
          topic: "jobs",
          partition: 0,
          committed: "5",
          ledgerNext: "12",
          logEnd: "12",
        },
        {
          phase: "settled",
          atMs: START_MS + 21_000,
          topic: "jobs",
          partition: 0,
          committed: "12",
          ledgerNext: "12",
          logEnd: "12",
        },
      ],
      processes: [
        { phase: "baseline", atMs: START_MS, router: "router-1", pid: 4711, rssBytes: 90_000_000, descriptors: 60 },
        {
          phase: "settled",
          atMs: START_MS + 21_000,
          router: "router-1",
          pid: 4712,
          rssBytes: 120_000_000,
          descriptors: 64,
        },
      ],
      queues: [{ phase: "settled", atMs: START_MS + 21_000, outboxReady: 0, ready: 0, batchReady: 0, activeJobs: 0 }],
    },
    sinks: [
      { kind: "log", name: "router-1.log", bytes: 4000, hits: [] },
      {
        kind: "ledger",
        name: "executions",
        bytes: 9000,
        hits: [{ canary: "acme's prompts", count: 4, tenant: "acme", where: "executions.request" }],
      },
      { kind: "redis", name: "redis", bytes: 10, hits: [] },
      { kind: "metrics", name: "router-1", bytes: 5000, hits: [] },
    ],
  };
  return evidence as Broken<Evidence>; // the very same, and made for this caller alone
}
