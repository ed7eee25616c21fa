import { batchId, LIVE_BATCH_STATES, type Batch } from "../../domain/batch/batch.js";
import type { BatchRow, HeldAccount } from "../../adapters/postgres/operator/batch-rows.js";

/** How the batches stand, for `sluice status`. */
export interface BatchesStanding {
  /** In which something may still happen: live, or their results are being read. */
  readonly open: number;
  /** Those that count at their account. */
  readonly live: number;
  /** Their create may have reached the provider, and nobody knows. */
  readonly inDoubt: number;
  /** At the provider for longer than was expected. */
  readonly overdue: number;
  readonly held: readonly HeldAccount[];
  /** What needs a person, in words. */
  readonly needs: readonly string[];
}

/** After its grace a create is looked for once more and then settled; that takes no longer than this. */
const SETTLING_MS = 60_000;
/** The backoff has grown to minutes by then. */
const FAILURES_IN_A_ROW = 10;
/** No provider lets a batch live for longer than 48 hours; then comes what its end takes. */
const AT_PROVIDER_MAX_MS = 50 * 3_600_000;
const IDS_SHOWN = 5;

/** What the config says of how long things take. */
export interface StandingTerms {
  readonly createGraceMs: (account: string) => number;
  /** A batch that has been due for longer is worked on by nobody. */
  readonly unattendedMs: number;
}

/** @param rows of batches in which something may still happen. */
export function batchesStanding(
  rows: readonly BatchRow[],
  held: readonly HeldAccount[],
  nowMs: number,
  terms: StandingTerms,
): BatchesStanding {
  const open = rows.map(({ batch }) => batch);
  const live = open.filter(({ state }) => LIVE_BATCH_STATES.some((each) => each === state));
  const inDoubt = open.filter(({ state }) => state === "creating");
  const overdue = open.filter(
    ({ endedAtMs, expectedAtMs }) => endedAtMs === null && expectedAtMs !== null && expectedAtMs < nowMs,
  );
  const unsettled = inDoubt.filter(
    ({ account, createAtMs }) => createAtMs !== null && nowMs - createAtMs > terms.createGraceMs(account) + SETTLING_MS,
  );
  const stuck = open.filter((batch) => !unsettled.includes(batch) && isStuck(batch, nowMs, terms));
  return {
    open: open.length,
    live: live.length,
    inDoubt: inDoubt.length,
    overdue: overdue.length,
    held,
    needs: [
      ...needOf(unsettled, "are being created for longer than their grace: look for them at the provider"),
      ...needOf(stuck, "make no progress"),
      ...held.map(heldInWords),
    ],
  };
}

function isStuck(batch: Batch, nowMs: number, { unattendedMs }: StandingTerms): boolean {
  const { nextAtMs, submittedAtMs, endedAtMs, tries } = batch;
  if (nextAtMs === null || nowMs - nextAtMs > unattendedMs || tries >= FAILURES_IN_A_ROW) return true;
  return endedAtMs === null && submittedAtMs !== null && nowMs - submittedAtMs > AT_PROVIDER_MAX_MS;
}

function needOf(batches: readonly Batch[], what: string): readonly string[] {
  const [first] = batches;
  if (first === undefined) return [];
  const ids = batches.slice(0, IDS_SHOWN).map(({ no }) => batchId(no));
  const others = batches.length - ids.length;
  const names = `${ids.join(", ")}${others > 0 ? ` and ${String(others)} more` : ""}`;
  return [`${String(batches.length)} batches (${names}) ${what}: sluice batches show ${batchId(first.no)}`];
}

function heldInWords({ account, tokensMax, untilMs }: HeldAccount): string {
  const until = new Date(untilMs).toISOString();
  const refused = tokensMax === null ? "" : `; it refused more than ${String(tokensMax)} enqueued tokens`;
  return `batches of account ${account} are held until ${until}${refused}: see its limits at the provider and providers.${account}.batch`;
}
