import { asObject, moneyField, numberField, parseObject, textField } from "./reader/json-fields.js";
import type { JsonObject } from "./reader/json-fields.js";

/** The reader's report as the demo takes it from the other process. Money in nano-dollars. */
export interface ReaderSummary {
  readonly jobs: number;
  readonly results: number;
  readonly lost: number;
  readonly duplicates: number;
  readonly repeats: number;
  /** Those that expired among them. */
  readonly failed: number;
  readonly expired: number;
  readonly deadLetters: number;
  readonly malformed: number;
  readonly billRows: number;
  readonly batches: number;
  readonly coalesced: number;
  readonly cached: number;
  readonly costNanoUsd: bigint;
  /** Null: there was no bill to be seen. */
  readonly billNanoUsd: bigint | null;
  readonly listNanoUsd: bigint;
  readonly savedBySharingNanoUsd: bigint;
  readonly savedByCacheNanoUsd: bigint;
  readonly savedByBatchNanoUsd: bigint;
  readonly inDoubt: number;
  readonly inDoubtBilledNanoUsd: bigint;
  readonly findingCount: number;
  readonly findings: readonly string[];
}

/** @throws Error when the text does not end with a report. */
export function parseReaderReport(stdout: string): ReaderSummary {
  const report = parseObject(stdout.trimEnd().split("\n").at(-1) ?? "");
  if (report === null) throw new Error("expected a JSON report as the last line of the reader's output");
  const served = asObject(report["served"]) ?? {};
  return {
    ...countsOf(report),
    coalesced: numberField(served, "coalesced") ?? 0,
    cached: (numberField(served, "exact_cache") ?? 0) + (numberField(served, "semantic_cache") ?? 0),
    costNanoUsd: money(report, "costNanoUsd"),
    billNanoUsd: report["billNanoUsd"] === null ? null : money(report, "billNanoUsd"),
    listNanoUsd: money(report, "listNanoUsd"),
    savedBySharingNanoUsd: money(report, "savedBySharingNanoUsd"),
    savedByCacheNanoUsd: money(report, "savedByCacheNanoUsd"),
    savedByBatchNanoUsd: money(report, "savedByBatchNanoUsd"),
    inDoubt: list(report, "inDoubt").length,
    inDoubtBilledNanoUsd: money(report, "inDoubtBilledNanoUsd"),
    findings: list(report, "findings").map(findingText),
  };
}

type CountName =
  | "jobs"
  | "results"
  | "lost"
  | "duplicates"
  | "repeats"
  | "failed"
  | "expired"
  | "deadLetters"
  | "malformed"
  | "billRows"
  | "batches"
  | "findingCount";

function countsOf(report: JsonObject): Pick<ReaderSummary, CountName> {
  const count = (name: CountName): number => {
    const value = numberField(report, name);
    if (value === null) throw new Error(`expected a number ${name} in the reader's report`);
    return value;
  };
  return {
    jobs: count("jobs"),
    results: count("results"),
    lost: count("lost"),
    duplicates: count("duplicates"),
    repeats: count("repeats"),
    failed: count("failed"),
    expired: count("expired"),
    deadLetters: count("deadLetters"),
    malformed: count("malformed"),
    billRows: count("billRows"),
    batches: count("batches"),
    findingCount: count("findingCount"),
  };
}

function money(report: JsonObject, name: string): bigint {
  const value = moneyField(report, name);
  if (value === null) throw new Error(`expected money ${name} in the reader's report`);
  return value;
}

function list(report: JsonObject, name: string): readonly unknown[] {
  const value = report[name];
  if (!Array.isArray(value)) throw new Error(`expected a list ${name} in the reader's report`);
  return value;
}

function findingText(value: unknown): string {
  const finding = asObject(value) ?? {};
  const job = textField(finding, "jobId");
  return `${textField(finding, "kind") ?? "?"}${job === null ? "" : ` ${job}`}: ${textField(finding, "detail") ?? ""}`;
}
