import type pg from "pg";
import type { Alert, AlertRule, AlertText } from "../../../domain/alert/alert.js";
import type { AlertChange } from "../../../domain/alert/judge.js";
import { boolArray, int4Array, int8Array, textArray } from "../binary-array.js";
import { run } from "../connection.js";

/** An alert was changed by somebody else since it was read: nothing of the look stands. */
export class AlertRaceError extends Error {
  constructor(expected: number, stored: number) {
    super(`expected to change ${String(expected)} alerts, ${String(stored)} were as they had been read`);
    this.name = "AlertRaceError";
  }
}

export async function readAlerts(client: pg.PoolClient | pg.Pool): Promise<readonly Alert[]> {
  const rows = await run(
    client,
    "alerts-read",
    "SELECT rule, subject, version, state, since_ms, turning_since_ms, was_raised, facts FROM alerts ORDER BY rule, subject",
    [],
  );
  return rows.map(([rule, subject, version, state, since, turning, wasRaised, facts]) => ({
    rule: rule as AlertRule, // written from an Alert
    subject: subject ?? "",
    version: Number(version),
    state: state as Alert["state"], // the table's CHECK holds the same list
    sinceMs: Number(since),
    turningSinceMs: turning === null || turning === undefined ? null : Number(turning),
    wasRaised: wasRaised === "t",
    text: JSON.parse(facts ?? "{}") as AlertText, // written by storeAlerts
  }));
}

/** Each on condition that it still has the version that was read. @throws AlertRaceError */
export async function storeAlerts(client: pg.PoolClient, changes: readonly AlertChange[]): Promise<void> {
  const kept = changes.flatMap(({ after }) => (after === null ? [] : [after]));
  const gone = changes.flatMap(({ before, after }) => (after === null && before !== null ? [before] : []));
  const stored = kept.length === 0 ? 0 : await upsert(client, kept);
  const deleted = gone.length === 0 ? 0 : await remove(client, gone);
  if (stored + deleted < kept.length + gone.length)
    throw new AlertRaceError(kept.length + gone.length, stored + deleted);
}

async function upsert(client: pg.PoolClient, alerts: readonly Alert[]): Promise<number> {
  const rows = await run(
    client,
    "alerts-store",
    `INSERT INTO alerts (rule, subject, version, state, since_ms, turning_since_ms, was_raised, facts)
     SELECT * FROM unnest($1::text[], $2::text[], $3::int4[], $4::text[], $5::int8[], $6::int8[], $7::bool[], $8::text[])
     ON CONFLICT (rule, subject) DO UPDATE SET version = EXCLUDED.version, state = EXCLUDED.state, since_ms = EXCLUDED.since_ms,
       turning_since_ms = EXCLUDED.turning_since_ms, was_raised = EXCLUDED.was_raised, facts = EXCLUDED.facts
     WHERE alerts.version = EXCLUDED.version - 1
     RETURNING 1`,
    [
      textArray(alerts.map(({ rule }) => rule)),
      textArray(alerts.map(({ subject }) => subject)),
      int4Array(alerts.map(({ version }) => version)),
      textArray(alerts.map(({ state }) => state)),
      int8Array(alerts.map(({ sinceMs }) => sinceMs)),
      int8Array(alerts.map(({ turningSinceMs }) => turningSinceMs)),
      boolArray(alerts.map(({ wasRaised }) => wasRaised)),
      textArray(alerts.map(({ text }) => JSON.stringify(text))),
    ],
  );
  return rows.length;
}

async function remove(client: pg.PoolClient, alerts: readonly Alert[]): Promise<number> {
  const rows = await run(
    client,
    "alerts-forget",
    `DELETE FROM alerts a USING unnest($1::text[], $2::text[], $3::int4[]) AS k(rule, subject, version)
     WHERE a.rule = k.rule AND a.subject = k.subject AND a.version = k.version RETURNING 1`,
    [
      textArray(alerts.map(({ rule }) => rule)),
      textArray(alerts.map(({ subject }) => subject)),
      int4Array(alerts.map(({ version }) => version)),
    ],
  );
  return rows.length;
}
