import type { Finding } from "./finding.js";
import { moneyField, numberField, parseObject, textField, timeField } from "./json-fields.js";

/** One row of the provider's bill: what one call, or one line of a batch, really cost. */
export interface BillRow {
  readonly requestId: string | null;
  /** The gateway's attempt id as the provider saw it, null when the call named none. */
  readonly attempt: string | null;
  /** `direct` or `batch`. */
  readonly mode: string | null;
  /** The provider's name for the batch; null for a call. */
  readonly batch: string | null;
  /** Of a line of a batch: its number from 1. */
  readonly line: number | null;
  readonly provider: string | null;
  readonly model: string | null;
  /** A label of the account at the provider. */
  readonly key: string | null;
  readonly inputTokens: number | null;
  readonly cachedInputTokens: number | null;
  /** Written to the provider's cache, for however long. */
  readonly cacheWriteTokens: number | null;
  readonly outputTokens: number | null;
  readonly nanoUsd: bigint;
  /** When it was billed, by the provider's clock. */
  readonly atMs: number | null;
}

/** Reads a bill file of one JSON object a line. A line that can't be read is a finding, never skipped in silence. */
export function parseBill(text: string): { readonly rows: readonly BillRow[]; readonly findings: readonly Finding[] } {
  const rows: BillRow[] = [];
  const findings: Finding[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line === "") continue;
    const row = toBillRow(line);
    if (row !== null) rows.push(row);
    else
      findings.push({
        kind: "unreadable_bill_row",
        jobId: null,
        detail: `line ${String(index + 1)} of the bill has no nanoUsd`,
      });
  }
  return { rows, findings };
}

function toBillRow(line: string): BillRow | null {
  const value = parseObject(line);
  const nanoUsd = value === null ? null : moneyField(value, "nanoUsd");
  if (value === null || nanoUsd === null) return null;
  return {
    requestId: textField(value, "requestId"),
    attempt: textField(value, "attempt"),
    mode: textField(value, "mode"),
    batch: textField(value, "batch"),
    line: numberField(value, "line"),
    provider: textField(value, "provider"),
    model: textField(value, "model"),
    key: textField(value, "key"),
    inputTokens: numberField(value, "inputTokens"),
    cachedInputTokens: numberField(value, "cachedInputTokens"),
    cacheWriteTokens: numberField(value, "cacheWriteTokens"),
    outputTokens: numberField(value, "outputTokens"),
    nanoUsd,
    atMs: timeField(value, "at"),
  };
}
