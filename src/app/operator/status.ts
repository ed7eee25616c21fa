import { breakers } from "../../adapters/postgres/health/breaker-rows.js";
import { readStatus, type LedgerStatus } from "../../adapters/postgres/operator/status-rows.js";
import type { Config } from "../../config/config.js";
import { heldAccounts, openBatches } from "../../adapters/postgres/operator/batch-rows.js";
import { readAlerts } from "../../adapters/postgres/alert/alert-rows.js";
import { ALERT_RULES, alertName, type Alert } from "../../domain/alert/alert.js";
import type { StoredBreaker } from "../../ports/health-store.js";
import { batchesStanding, type BatchesStanding, type StandingTerms } from "./batches-standing.js";
import type { Operator } from "./open-operator.js";

/** A doubt that stays open longer than this is for a person: every grace has passed many times over. */
const DOUBT_AGE_MS = 3_600_000;
/** Records that wait longer are not a busy relay: nobody publishes them, or their topic refuses them. */
const OUTBOX_AGE_MS = 300_000;
/** More are not looked at: accounts' caps on open batches keep them far below. */
const OPEN_BATCHES_MAX = 10_000;
const STEP_MARGIN_MS = 300_000;
/** Shorter outages are ended by a trial. */
const BREAKER_AGE_MS = 300_000;

export interface OperatorStatus extends LedgerStatus {
  readonly batches: BatchesStanding;
  /** Those that are raised. */
  readonly alerts: readonly Alert[];
  /** Those that are not closed. */
  readonly breakers: readonly StoredBreaker[];
  /** What needs a person, in words; empty when nothing does. */
  readonly needs: readonly string[];
}

export async function statusOf(operator: Operator): Promise<OperatorStatus> {
  const pool = operator.pools.durable;
  const [status, open, held, known, remembered] = await Promise.all([
    readStatus(pool, operator.config.postgres.session.deadAfterMs),
    openBatches(pool, OPEN_BATCHES_MAX),
    heldAccounts(pool),
    breakers(pool),
    readAlerts(pool),
  ]);
  const notClosed = known.filter(({ state }) => state !== "closed");
  const alerts = remembered.filter(({ state }) => state === "raised");
  const batches = batchesStanding(open, held, status.nowMs, termsOf(operator.config));
  const needs = [
    ...needsOf(status, batches),
    ...batches.needs,
    ...needsOfBreakers(notClosed),
    ...needsOfAlerts(alerts),
  ];
  return { ...status, batches, breakers: notClosed, alerts, needs };
}

/** The loud ones; the others are shown and can wait for the day. */
function needsOfAlerts(alerts: readonly Alert[]): readonly string[] {
  return alerts
    .filter(({ rule }) => ALERT_RULES[rule] === "critical")
    .map((alert) => `alert ${alertName(alert)}: ${alert.text.message}`);
}

function needsOfBreakers(open: readonly StoredBreaker[]): readonly string[] {
  return open
    .filter(({ openMs }) => openMs > BREAKER_AGE_MS)
    .map(({ account, model, because }) => {
      const name = model === null ? `account ${account}` : `${account}/${model}`;
      return `no calls have gone to ${name} for over five minutes, since ${because}: ask the provider, or look at its key and credit`;
    });
}

function termsOf({ providers, batching }: Config): StandingTerms {
  return {
    // An account that the config no longer has is worked on by nobody.
    createGraceMs: (account) => providers[account]?.inDoubt.createGraceMs ?? 0,
    // One step takes as long as the longest transfer.
    unattendedMs: batching.transferTimeoutMs + STEP_MARGIN_MS,
  };
}

function needsOf(status: LedgerStatus, batches: BatchesStanding): readonly string[] {
  const { inDoubt, nowMs } = status;
  const parked = status.letters.filter(({ state }) => state === "parked").reduce((sum, { count }) => sum + count, 0);
  const needs: string[] = [];
  if (status.stopped.length > 0)
    needs.push(
      `${String(status.stopped.length)} partitions are stopped, since their log is not the one that was read: sluice topics adopt --dry-run`,
    );
  if (inDoubt.oldestMs !== null && nowMs - inDoubt.oldestMs > DOUBT_AGE_MS) {
    needs.push(
      `${String(inDoubt.open + inDoubt.settled)} attempts are in doubt, the oldest for over an hour: compare with the provider's bill, then sluice in-doubt resolve`,
    );
  }
  if (parked > 0)
    needs.push(
      `${String(parked)} dead letters are parked after a third failure: sluice dlq ls --where 'state = parked'`,
    );
  const work = status.readyRows + status.batchReadyRows + batches.open + status.outboxRecords;
  if (status.routers.length === 0 && work > 0)
    needs.push("work waits and no router lives: start one with sluice router");
  if (status.outboxOldestMs !== null && nowMs - status.outboxOldestMs > OUTBOX_AGE_MS)
    needs.push("records have waited for publication for over five minutes: look at Kafka and at the routers' logs");
  return needs;
}
