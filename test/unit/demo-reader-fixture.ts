import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { check } from "../../src/demo/reader/check.js";
import type { ReaderInput, ReaderReport } from "../../src/demo/reader/check.js";
import { parsePriceList } from "../../src/demo/reader/list-price.js";
import type { TopicRecord } from "../../src/demo/reader/topic-record.js";

/** A run of three jobs written by hand: two calls, one shared answer, one malformed record. Tests break one thing each. */
export interface HandMadeRun {
  readonly jobs: ReaderInput["published"]["jobs"][number][];
  readonly malformed: Buffer[];
  readonly results: TopicRecord[];
  readonly costs: TopicRecord[];
  readonly deadLetters: TopicRecord[];
  readonly bill: Record<string, unknown>[];
  readonly failureCodesAllowed: Set<string>;
  directMayExpire: boolean;
}

/** The simulator's rule, worked out here once more: 32 hex characters of SHA-256 over the texts, a line feed between them. */
export function digestOf(...texts: readonly string[]): string {
  return createHash("sha256").update(texts.join("\n")).digest("hex").slice(0, 32);
}

const PRICES = parsePriceList(readFileSync(new URL("../../schemas/pricing.json", import.meta.url), "utf8"));
/** 23 and 18 tokens of gpt-4.1-mini, at 0.4 and 1.6 dollars a million. */
const LIST_NANO_USD = "38000";
const BROKEN = Buffer.from('{"jobId":');

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
    value: Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value)),
    headers: new Map(Object.entries(headers).map(([name, text]) => [name, Buffer.from(text)])),
    timestampMs: null,
  };
}

export function result(
  offset: number,
  jobId: string,
  prompt: string,
  fields: Readonly<Record<string, unknown>> = {},
): TopicRecord {
  const text = `digest=${digestOf("be brief", prompt)} body=00112233445566778899aabbccddeeff a quiet story`;
  const value = {
    v: 1,
    resultId: `result-of-${jobId}`,
    jobId,
    tenant: "catalogue",
    generation: 0,
    status: "succeeded",
    format: "openai.chat",
    body: { choices: [{ message: { role: "assistant", content: text } }] },
    served: "call",
    mode: "direct",
    batchId: null,
    ...fields,
    cost: resultCost(fields["cost"] === undefined ? { nanoUsd: "38000", costId: `cost-of-${jobId}` } : fields["cost"]),
  };
  return record("results", offset, `key-${jobId}`, value, {
    ce_id: value.resultId,
    kafka_correlationId: `correlation-${jobId}`,
  });
}

/** A cost says its list price, unless a test has another. */
function resultCost(value: unknown): unknown {
  return value === null ? null : { listNanoUsd: LIST_NANO_USD, ...(value as object) }; // tests give objects
}

export function cost(offset: number, jobId: string, fields: Readonly<Record<string, unknown>> = {}): TopicRecord {
  return record("costs", offset, "catalogue", {
    costId: `cost-of-${jobId}`,
    kind: "charge",
    correctsCostId: null,
    billing: "charged",
    tenant: "catalogue",
    jobId,
    generation: 0,
    attemptId: `attempt-of-${jobId}`,
    paidByCostId: null,
    model: "gpt-4.1-mini",
    mode: "direct",
    batchId: null,
    providerBatchId: null,
    inputTokens: 23,
    cachedInputTokens: 0,
    cacheWriteTokens: 0,
    cacheWrite1hTokens: null,
    outputTokens: 18,
    nanoUsd: "38000",
    maxNanoUsd: "828400",
    listNanoUsd: LIST_NANO_USD,
    ...fields,
  });
}

export function billRow(jobId: string, fields: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    requestId: `req_${jobId}`,
    attempt: `attempt-of-${jobId}`,
    model: "gpt-4.1-mini",
    mode: "direct",
    inputTokens: 23,
    cachedInputTokens: 0,
    cacheWriteTokens: 0,
    outputTokens: 18,
    nanoUsd: "38000",
    ...fields,
  };
}

export function deadLetter(
  offset: number,
  bytes: Buffer,
  fromOffset: number,
  headers: Readonly<Record<string, string>> = {},
): TopicRecord {
  return record("jobs.dlq", offset, null, bytes, {
    "__dlq.errors.topic": "jobs",
    "__dlq.errors.partition": "0",
    "__dlq.errors.offset": String(fromOffset),
    "llm-error-code": "BAD_JSON",
    ...headers,
  });
}

function job(jobId: string, prompt: string): HandMadeRun["jobs"][number] {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  return {
    jobId,
    tenant: "catalogue",
    format: "openai.chat",
    model: "cheap",
    direct: false,
    promptDigest: digestOf("be brief", prompt),
    key: base64(`key-${jobId}`),
    correlation: base64(`correlation-${jobId}`),
  };
}

/** A run in which everything holds: film-1 and film-2 have calls of their own, film-3 shares the answer of film-1. */
export function handMadeRun(): HandMadeRun {
  const shared = {
    billing: "shared",
    attemptId: null,
    paidByCostId: "cost-of-film-1",
    nanoUsd: "0",
    maxNanoUsd: "0",
    inputTokens: null,
    cachedInputTokens: null,
    cacheWriteTokens: null,
    outputTokens: null,
  };
  return {
    jobs: [job("film-1", "about one"), job("film-2", "about two"), job("film-3", "about one")],
    malformed: [BROKEN],
    results: [
      result(0, "film-1", "about one"),
      result(1, "film-2", "about two"),
      result(2, "film-3", "about one", { served: "coalesced", cost: { nanoUsd: "0", costId: "cost-of-film-3" } }),
    ],
    costs: [cost(0, "film-1"), cost(1, "film-2"), cost(2, "film-3", shared)],
    deadLetters: [deadLetter(0, BROKEN, 100)],
    bill: [billRow("film-1"), billRow("film-2")],
    failureCodesAllowed: new Set(),
    directMayExpire: false,
  };
}

/** What the reader says about a run after `spoil` has changed it. */
export function read(spoil: (run: HandMadeRun) => void = () => undefined): ReaderReport {
  return readRun(spoil, (run) => run.bill.map((row) => `${JSON.stringify(row)}\n`).join(""));
}

/** The same when the providers are real ones. */
export function readWithoutBill(spoil: (run: HandMadeRun) => void): ReaderReport {
  return readRun(spoil, () => null);
}

function readRun(spoil: (run: HandMadeRun) => void, billOf: (run: HandMadeRun) => string | null): ReaderReport {
  const run = handMadeRun();
  spoil(run);
  return check({
    published: {
      jobs: run.jobs,
      malformedDigests: run.malformed.map((bytes) => createHash("sha256").update(bytes).digest("hex")),
    },
    results: run.results,
    costs: run.costs,
    deadLetters: run.deadLetters,
    billText: billOf(run),
    prices: PRICES,
    firstModels: new Map([["cheap", "openai/gpt-4.1-mini"]]),
    failureCodesAllowed: run.failureCodesAllowed,
    directMayExpire: run.directMayExpire,
  });
}

/** The findings as `kind job`, sorted; the details are for people. */
export function findingsOf(report: ReaderReport): readonly string[] {
  return report.findings.map(({ kind, jobId }) => `${kind} ${jobId ?? "-"}`).sort();
}
