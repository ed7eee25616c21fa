import type pg from "pg";
import type { FoundExecution, FoundState, Lane } from "../../domain/dedupe/choose-execution.js";
import type { LedgerKey } from "../../domain/ids.js";
import { batchesOfLines, type LineBatch } from "./batch/line-batches.js";
import { byteaArray, int4Array, int8Array } from "./binary-array.js";
import { run } from "./connection.js";

/** The answer of an ended execution, as it is stored. */
export interface StoredAnswer {
  readonly answer: string;
  readonly gzip: boolean;
  readonly facts: string;
}

/** An execution that a request key names, locked `FOR SHARE`. */
export interface Found extends FoundExecution, Place {
  readonly key: LedgerKey;
  readonly answer: StoredAnswer | null;
}

/** Where an execution is that has not ended. */
export interface Place {
  /** Its row, when it waits. */
  readonly row: WaitingRow | null;
  /** Its batch, when it is a line of one. */
  readonly batch: LineBatch | null;
  /** Whether it may come to wait for a batch (again), as far as its jobs so far are concerned. */
  readonly batchable: boolean;
}

interface WaitingRow {
  readonly untilMs: number;
  readonly priority: number;
  readonly expiresMs: number;
  readonly doubtMaxNanoUsd: bigint | null;
  /** It waits for a batch. */
  readonly pooled: boolean;
}

export interface RequestKey {
  readonly tenantNo: number;
  readonly hash: Buffer;
}

/** The executions that each key names in its lanes, in the order of the keys; locked until the transaction ends. */
export async function findExecutions(
  client: pg.PoolClient,
  keys: readonly RequestKey[],
): Promise<readonly (readonly Found[])[]> {
  const rows = await run(
    client,
    "execution-join",
    `SELECT u.place, x.lane, e.no, e.day, e.state, e.attempt_no, e.ended_ms, e.answer, e.answer_gzip, e.answer_facts,
       e.mode = 'direct', e.decision IS NOT NULL, e.state = 'running' AND e.session_no IS NULL
     FROM unnest($1::int4[], $2::bytea[]) WITH ORDINALITY AS u(t, k, place)
     JOIN execution_key x ON x.tenant_no = u.t AND x.key = u.k
     JOIN executions e ON e.no = x.execution_no AND e.day = x.execution_day
     ORDER BY e.no + 0 FOR SHARE OF e`,
    [int4Array(keys.map(({ tenantNo }) => tenantNo)), byteaArray(keys.map(({ hash }) => hash))],
  );
  const locked = rows.map(readLocked);
  const places = await placesOf(client, locked);
  const found = keys.map((): Found[] => []);
  for (const [index, execution] of locked.entries()) {
    const { place, lane, key, answer } = execution;
    const its = places[index] ?? NOWHERE;
    found[place - 1]?.push({ lane, key, answer, ...its, now: stateOf(execution, its) });
  }
  return found;
}

/** An execution that is locked for joining, as it was then. */
export interface LockedExecution {
  readonly key: LedgerKey;
  readonly state: string;
  readonly attemptNo: number | null;
  /** No job of it may wait for a batch. */
  readonly isDirect: boolean;
  /** There was a batch to choose. */
  readonly wasDecided: boolean;
  readonly isLine: boolean;
}

const NOWHERE: Place = { row: null, batch: null, batchable: false };

/** Where each of the executions is, in their order. In statements later than the one that locked them. */
export async function placesOf(
  client: pg.PoolClient,
  executions: readonly LockedExecution[],
): Promise<readonly Place[]> {
  const [waiting, batches] = await Promise.all([
    waitingRows(
      client,
      executions.filter(({ state }) => state === "ready" || state === "in_doubt"),
    ),
    batchesOfLines(
      client,
      executions.filter(({ isLine }) => isLine),
    ),
  ]);
  return executions.map(({ key, isDirect, wasDecided }) => {
    const row = waiting.get(key.no) ?? null;
    const batch = batches.get(key.no) ?? null;
    return { row, batch, batchable: !isDirect && (wasDecided || batch !== null || row?.pooled === true) };
  });
}

type Row = readonly (string | null)[];

interface Locked extends LockedExecution {
  readonly place: number;
  readonly lane: Lane;
  readonly endedMs: number;
  readonly answer: StoredAnswer | null;
}

function readLocked(row: Row): Locked {
  const [place, lane, no, day, state, attemptNo, endedMs, answer, gzip, facts, isDirect, wasDecided, isLine] = row;
  const answered = state === "succeeded" && answer !== null && answer !== undefined;
  return {
    place: Number(place),
    lane: Number(lane) as Lane, // written from one
    key: { no: Number(no), day: Number(day) },
    state: state ?? "",
    attemptNo: attemptNo === null || attemptNo === undefined ? null : Number(attemptNo),
    endedMs: Number(endedMs),
    answer: answered ? { answer, gzip: gzip === "t", facts: facts ?? "{}" } : null,
    isDirect: isDirect === "t",
    wasDecided: wasDecided === "t",
    isLine: isLine === "t",
  };
}

/** A waiting execution without a row is just being taken up. */
function stateOf({ state, answer, endedMs }: Locked, { row, batch }: Place): FoundState {
  if (answer !== null) return { kind: "answered", atMs: endedMs };
  if (row !== null) return row.pooled ? { kind: "pooled" } : { kind: "waits", ...row };
  if (batch !== null) return { kind: "batched", untilMs: batch.untilMs };
  return state === "running" || state === "ready" || state === "in_doubt" ? { kind: "running" } : { kind: "over" };
}

/**
 * Until when the executions wait, by their numbers, and what their calls in doubt may have cost. A statement of its own, later than the
 * one that locks them: what that one sees beside the locked rows may be older than the lock.
 */
async function waitingRows(
  client: pg.PoolClient,
  executions: readonly LockedExecution[],
): Promise<Map<number, WaitingRow>> {
  if (executions.length === 0) return new Map();
  const rows = await run(
    client,
    "ready-of-joined",
    `SELECT k.no, coalesce(r.run_at_ms, q.look_at_ms), coalesce(r.priority, q.priority), coalesce(r.expires_ms, q.expires_ms), a.max_nano,
       r.no IS NULL
     FROM unnest($1::int8[], $2::int4[], $3::int8[]) AS k(no, day, attempt)
     LEFT JOIN ready r ON r.no = k.no LEFT JOIN batch_ready q ON q.no = k.no LEFT JOIN attempts a ON a.no = k.attempt AND a.day = k.day
     WHERE r.no IS NOT NULL OR q.no IS NOT NULL`,
    [
      int8Array(executions.map(({ key }) => key.no)),
      int4Array(executions.map(({ key }) => key.day)),
      int8Array(executions.map(({ state, attemptNo }) => (state === "in_doubt" ? attemptNo : null))),
    ],
  );
  return new Map(
    rows.map(([no, untilMs, priority, expiresMs, maxNano, pooled]) => [
      Number(no),
      {
        untilMs: Number(untilMs),
        priority: Number(priority),
        expiresMs: Number(expiresMs),
        doubtMaxNanoUsd: maxNano === null || maxNano === undefined ? null : BigInt(maxNano),
        pooled: pooled === "t",
      },
    ]),
  );
}
