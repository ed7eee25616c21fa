import type { EpochMs } from "../ids.js";
import { NO_USAGE, type Usage } from "./usage.js";

/** A row of a provider's bill: what one call, or one line of a batch, really cost. */
export interface BillRow {
  readonly requestId: string | null;
  /** The id under which we made the call; null: the row names none. */
  readonly attempt: string | null;
  /** The provider's name for the batch; null: a call. */
  readonly batch: string | null;
  readonly usage: Usage;
  readonly nanoUsd: bigint;
  readonly atMs: EpochMs | null;
}

type Json = Readonly<Record<string, unknown>>;

/** Reads one line of a bill: a JSON object with `nanoUsd` as decimal text. @returns what is wrong with it as text. */
export function readBillRow(line: string): BillRow | string {
  const row = parsed(line);
  if (row === null) return "expected a JSON object";
  const amount = row["nanoUsd"];
  if (typeof amount !== "string" || !/^\d{1,18}$/.test(amount))
    return "nanoUsd: expected whole nano-dollars as text, not below 0";
  const atMs = typeof row["at"] === "string" ? Date.parse(row["at"]) : Number.NaN;
  return {
    requestId: textOf(row, "requestId"),
    attempt: textOf(row, "attempt"),
    batch: textOf(row, "batch"),
    usage: {
      ...NO_USAGE,
      inputTokens: countOf(row, "inputTokens"),
      cachedInputTokens: countOf(row, "cachedInputTokens"),
      cacheWriteTokens: countOf(row, "cacheWriteTokens"),
      outputTokens: countOf(row, "outputTokens"),
    },
    nanoUsd: BigInt(amount),
    atMs: Number.isNaN(atMs) ? null : atMs,
  };
}

function parsed(line: string): Json | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : null;
  } catch {
    return null;
  }
}

function textOf(row: Json, name: string): string | null {
  const value = row[name];
  return typeof value === "string" && value !== "" ? value : null;
}

function countOf(row: Json, name: string): number | null {
  const value = row[name];
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

/** An attempt as it stands in the ledger beside a bill. */
export interface BookedAttempt {
  readonly state: string;
  readonly outcome: string | null;
  /** Null: nobody knows. */
  readonly nanoUsd: bigint | null;
  readonly inputTokens: number | null;
  readonly cachedInputTokens: number | null;
  readonly outputTokens: number | null;
}

/** What a bill means for an attempt. `settle`: its cost was open, or only an earlier bill said it, and is this now. */
export type BillVerdict =
  | { readonly kind: "agrees" }
  | { readonly kind: "settle"; readonly nanoUsd: bigint }
  /** Its outcome may still come. */
  | { readonly kind: "wait"; readonly because: string }
  | { readonly kind: "differs"; readonly because: string };

/** @param row null: the bill is complete and has none for the attempt. */
export function judgeBilled(attempt: BookedAttempt, row: BillRow | null): BillVerdict {
  const { state, outcome, nanoUsd } = attempt;
  if (state === "sending" || state === "batched") return { kind: "wait", because: "its call has not ended" };
  if (state === "not_sent")
    return row === null
      ? { kind: "agrees" }
      : { kind: "differs", because: "booked as never sent, and it is on the bill" };
  if (row === null) {
    if (state === "in_doubt") return { kind: "wait", because: "in doubt, and its grace runs" };
    if (state === "settled" || nanoUsd === null) return { kind: "settle", nanoUsd: 0n };
    return nanoUsd === 0n
      ? { kind: "agrees" }
      : { kind: "differs", because: `booked ${String(nanoUsd)} nano-dollars, not on the bill` };
  }
  if (state === "in_doubt" || state === "settled" || nanoUsd === null) return { kind: "settle", nanoUsd: row.nanoUsd };
  if (nanoUsd !== row.nanoUsd)
    return outcome === "in_doubt"
      ? { kind: "settle", nanoUsd: row.nanoUsd }
      : { kind: "differs", because: `booked ${String(nanoUsd)}, billed ${String(row.nanoUsd)} nano-dollars` };
  const tokens = differingTokens(attempt, row);
  return tokens === null ? { kind: "agrees" } : { kind: "differs", because: tokens };
}

/** What a bill says of an attempt that has ended stands where nothing is booked, or only what an earlier resolution said. */
export function isCorrectedByBill(
  { state, outcome, nanoUsd }: Pick<BookedAttempt, "state" | "outcome" | "nanoUsd">,
  billed: bigint,
): boolean {
  if (state !== "answered" && state !== "failed") return false;
  return nanoUsd === null || (outcome === "in_doubt" && nanoUsd !== billed);
}

/** Tokens that the ledger does not know are not compared. */
function differingTokens(attempt: BookedAttempt, { usage }: BillRow): string | null {
  for (const name of ["inputTokens", "cachedInputTokens", "outputTokens"] as const) {
    const [booked, billed] = [attempt[name], usage[name]];
    if (booked !== null && billed !== null && booked !== billed)
      return `${name}: booked ${String(booked)}, billed ${String(billed)}`;
  }
  return null;
}
