import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import {
  attemptsNamed,
  attemptsToBill,
  bookedNanoUsd,
  type LedgerAttempt,
} from "../../adapters/postgres/operator/billed-rows.js";
import type { CostPeriod } from "../../adapters/postgres/operator/cost-rows.js";
import { resolveDoubt } from "../../adapters/postgres/operator/doubt-rows.js";
import { withReport } from "../../adapters/postgres/operator/report-connection.js";
import { judgeBilled, readBillRow, type BillRow } from "../../domain/cost/bill-row.js";
import { NO_USAGE } from "../../domain/cost/usage.js";
import { attemptId, parseAttemptId } from "../../domain/job/ids.js";
import type { Operator } from "./open-operator.js";
import { SeenNumbers } from "./seen-numbers.js";

/** What is to be done with a bill. */
export interface BillQuestion {
  readonly file: string;
  /** The accounts whose bill it is; empty: those of the attempts that it names. */
  readonly accounts: readonly string[];
  /** Calls that began then must be on it if they cost anything. No end: up to the last row's time. */
  readonly period: CostPeriod;
  /** Only look. */
  readonly dryRun: boolean;
}

/** What is left for a person to look at, or for another time. */
export interface BillFinding {
  readonly kind: "bad_row" | "row_without_attempt" | "row_again" | "attempt_without_row" | "difference" | "still_open";
  /** Of the bill; null: it is about an attempt that the bill does not name. */
  readonly line: number | null;
  readonly attemptId: string | null;
  readonly detail: string;
}

export interface BillOutcome {
  readonly rows: number;
  readonly agreed: number;
  /** Costs that were open, or corrected, and are booked as billed now; `notBilled`: those of which the bill has no row. */
  readonly settled: number;
  readonly settledNanoUsd: bigint;
  readonly notBilled: number;
  readonly accounts: readonly string[];
  readonly untilMs: number | null;
  readonly billNanoUsd: bigint;
  /** Of the same accounts and time. */
  readonly bookedNanoUsd: bigint;
  /** How many of each kind; all of them, while `findings` are the first only. */
  readonly left: ReadonlyMap<BillFinding["kind"], number>;
  readonly findings: readonly BillFinding[];
}

const ROWS_AT_ONCE = 500;
const FINDINGS_MAX = 1_000;

/**
 * Holds a bill against the ledger, row by row, and books what was open. The file is read once; of its rows only the numbers of their
 * attempts are kept. Doing it again changes nothing.
 * @throws what opening the file throws, and PostgreSQL.
 */
export async function reconcileBill(operator: Operator, question: BillQuestion): Promise<BillOutcome> {
  const run = new Reconciliation(operator, question);
  let rows: NumberedRow[] = [];
  for await (const row of readBill(question.file, (finding) => {
    run.leave(finding);
  })) {
    rows.push(row);
    if (rows.length < ROWS_AT_ONCE) continue;
    await run.look(rows); // serial: the rows of a bill are of any number
    rows = [];
  }
  await run.look(rows);
  return run.end();
}

interface NumberedRow extends BillRow {
  readonly line: number;
}

async function* readBill(file: string, leave: (finding: BillFinding) => void): AsyncGenerator<NumberedRow> {
  const lines = createInterface({ input: createReadStream(file, "utf8"), crlfDelay: Number.POSITIVE_INFINITY });
  let line = 0;
  for await (const text of lines) {
    line += 1;
    if (text.trim() === "") continue;
    const row = readBillRow(text);
    if (typeof row === "string") leave({ kind: "bad_row", line, attemptId: null, detail: row });
    else yield { ...row, line };
  }
}

/** One bill on its way through. */
class Reconciliation {
  readonly #operator: Operator;
  readonly #question: BillQuestion;
  readonly #seen = new SeenNumbers();
  readonly #accounts: Set<string>;
  readonly #left = new Map<BillFinding["kind"], number>();
  readonly #findings: BillFinding[] = [];
  #rows = 0;
  #agreed = 0;
  #settled = 0;
  #settledNanoUsd = 0n;
  #notBilled = 0;
  #billNanoUsd = 0n;
  #lastAtMs: number | null = null;

  constructor(operator: Operator, question: BillQuestion) {
    this.#operator = operator;
    this.#question = question;
    this.#accounts = new Set(question.accounts);
  }

  leave(finding: BillFinding): void {
    this.#left.set(finding.kind, (this.#left.get(finding.kind) ?? 0) + 1);
    if (this.#findings.length < FINDINGS_MAX) this.#findings.push(finding);
  }

  async look(rows: readonly NumberedRow[]): Promise<void> {
    if (rows.length === 0) return;
    const keys = rows.flatMap(({ attempt }) => {
      const key = attempt === null ? null : parseAttemptId(attempt);
      return key === null ? [] : [key];
    });
    const found = await attemptsNamed(this.#operator.pools.durable, keys);
    for (const row of rows) {
      this.#rows += 1;
      this.#billNanoUsd += row.nanoUsd;
      if (row.atMs !== null) this.#lastAtMs = Math.max(row.atMs, this.#lastAtMs ?? 0);
      const key = row.attempt === null ? null : parseAttemptId(row.attempt);
      const attempt = key === null ? undefined : found.get(key.no);
      await this.#lookAt(row, attempt?.key.day === key?.day ? attempt : undefined); // serial: each may change the ledger
    }
  }

  async #lookAt(row: NumberedRow, attempt: LedgerAttempt | undefined): Promise<void> {
    const of = { line: row.line, attemptId: row.attempt };
    const amount = `${String(row.nanoUsd)} nano-dollars, request ${row.requestId ?? "without id"}`;
    if (attempt === undefined) {
      const detail =
        row.attempt === null ? `it names no attempt: ${amount}` : `no such attempt in the ledger: ${amount}`;
      this.leave({ ...of, kind: "row_without_attempt", detail });
    } else if (this.#seen.add(attempt.key.no)) {
      this.#accounts.add(attempt.account);
      await this.#follow(attempt, row, of);
    } else this.leave({ ...of, kind: "row_again", detail: `its attempt has a row already: ${amount}` });
  }

  /** What the ledger expects on the bill, and is not there. */
  async end(): Promise<BillOutcome> {
    const { period } = this.#question;
    const untilMs = period.untilMs ?? this.#lastAtMs;
    const reached = { sinceMs: period.sinceMs, untilMs };
    const accounts = [...this.#accounts].sort();
    const { url } = this.#operator.config.postgres;
    if (untilMs !== null)
      await withReport(url, async (client) => {
        for await (const attempt of attemptsToBill(client, accounts, reached))
          if (!this.#seen.has(attempt.key.no)) await this.#follow(attempt, null, { line: null });
      });
    return {
      rows: this.#rows,
      agreed: this.#agreed,
      settled: this.#settled,
      settledNanoUsd: this.#settledNanoUsd,
      notBilled: this.#notBilled,
      accounts,
      untilMs,
      billNanoUsd: this.#billNanoUsd,
      bookedNanoUsd: await withReport(url, (client) => bookedNanoUsd(client, accounts, reached)),
      left: this.#left,
      findings: this.#findings,
    };
  }

  async #follow(attempt: LedgerAttempt, row: BillRow | null, of: Pick<BillFinding, "line">): Promise<void> {
    const verdict = judgeBilled(attempt, row);
    const about = { ...of, attemptId: attemptId(attempt.key.day, attempt.key.no) };
    if (verdict.kind === "agrees") this.#agreed += row === null ? 0 : 1;
    else if (verdict.kind === "wait") this.leave({ ...about, kind: "still_open", detail: verdict.because });
    else if (verdict.kind === "differs")
      this.leave({ ...about, kind: row === null ? "attempt_without_row" : "difference", detail: verdict.because });
    else if (await this.#settle(attempt, row, verdict.nanoUsd)) {
      this.#settled += 1;
      this.#settledNanoUsd += verdict.nanoUsd;
      if (row === null) this.#notBilled += 1;
    } else this.leave({ ...about, kind: "still_open", detail: "it changed meanwhile; run the command again" });
  }

  async #settle(attempt: LedgerAttempt, row: BillRow | null, nanoUsd: bigint): Promise<boolean> {
    if (this.#question.dryRun) return true;
    const { context, byWhom, session, render } = this.#operator;
    const resolution = {
      attempt: attempt.key,
      billed: row !== null,
      nanoUsd,
      byWhom,
      session: await session(),
      bill: { usage: row?.usage ?? NO_USAGE, providerBatchId: row?.batch ?? null },
    };
    const isResolved = (await resolveDoubt(context, resolution, await render())) === "resolved";
    if (isResolved) context.reach("resolve.after");
    return isResolved;
  }
}
