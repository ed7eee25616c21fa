import type pg from "pg";
import type { FoundExecution, FoundState, Lane } from "../../domain/dedupe/choose-execution.js";
import type { LedgerKey } from "../../domain/ids.js";
import { byteaArray, int4Array, int8Array } from "./binary-array.js";
import { run } from "./connection.js";

/** The answer of an ended execution, as it is stored. */
export interface StoredAnswer {
  readonly answer: string;
  readonly gzip: boolean;
  readonly facts: string;
}

/** An execution that a request key names, locked `FOR SHARE`. */
export interface Found extends FoundExecution {
  readonly key: LedgerKey;
  readonly answer: StoredAnswer | null;
  /** Its row, when it waits. */
  readonly row: WaitingRow | null;
}

interface WaitingRow {
  readonly untilMs: number;
  readonly priority: number;
  readonly expiresMs: number;
  readonly doubtMaxNanoUsd: bigint | null;
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
    `SELECT u.place, x.lane, e.no, e.day, e.state, e.attempt_no, e.ended_ms, e.answer, e.answer_gzip, e.answer_facts
     FROM unnest($1::int4[], $2::bytea[]) WITH ORDINALITY AS u(t, k, place)
     JOIN execution_key x ON x.tenant_no = u.t AND x.key = u.k
     JOIN executions e ON e.no = x.execution_no AND e.day = x.execution_day
     ORDER BY e.no + 0 FOR SHARE OF e`,
    [int4Array(keys.map(({ tenantNo }) => tenantNo)), byteaArray(keys.map(({ hash }) => hash))],
  );
  const locked = rows.map(readLocked);
  const waiting = await waitingRows(
    client,
    locked.filter(({ state }) => state === "ready" || state === "in_doubt"),
  );
  const found = keys.map((): Found[] => []);
  for (const execution of locked) {
    const { place, lane, key, answer } = execution;
    const row = waiting.get(key.no) ?? null;
    found[place - 1]?.push({ lane, key, answer, row, now: stateOf(execution, row) });
  }
  return found;
}

type Row = readonly (string | null)[];

interface Locked {
  readonly place: number;
  readonly lane: Lane;
  readonly key: LedgerKey;
  readonly state: string;
  readonly attemptNo: number | null;
  readonly endedMs: number;
  readonly answer: StoredAnswer | null;
}

function readLocked([place, lane, no, day, state, attemptNo, endedMs, answer, gzip, facts]: Row): Locked {
  const answered = state === "succeeded" && answer !== null && answer !== undefined;
  return {
    place: Number(place),
    lane: Number(lane) as Lane, // written from one
    key: { no: Number(no), day: Number(day) },
    state: state ?? "",
    attemptNo: attemptNo === null ? null : Number(attemptNo),
    endedMs: Number(endedMs),
    answer: answered ? { answer, gzip: gzip === "t", facts: facts ?? "{}" } : null,
  };
}

/** A waiting execution without a row is just being taken up. */
function stateOf({ state, answer, endedMs }: Locked, row: WaitingRow | null): FoundState {
  if (answer !== null) return { kind: "answered", atMs: endedMs };
  if (row !== null) return { kind: "waits", ...row };
  return state === "running" || state === "ready" || state === "in_doubt" ? { kind: "running" } : { kind: "over" };
}

/**
 * Until when the executions wait, by their numbers, and what their calls in doubt may have cost. A statement of its own, later than the
 * one that locks them: what that one sees beside the locked rows may be older than the lock.
 */
async function waitingRows(client: pg.PoolClient, executions: readonly Locked[]): Promise<Map<number, WaitingRow>> {
  if (executions.length === 0) return new Map();
  const rows = await run(
    client,
    "ready-of-joined",
    `SELECT k.no, r.run_at_ms, r.priority, r.expires_ms, a.max_nano
     FROM unnest($1::int8[], $2::int4[], $3::int8[]) AS k(no, day, attempt) JOIN ready r ON r.no = k.no
     LEFT JOIN attempts a ON a.no = k.attempt AND a.day = k.day`,
    [
      int8Array(executions.map(({ key }) => key.no)),
      int4Array(executions.map(({ key }) => key.day)),
      int8Array(executions.map(({ state, attemptNo }) => (state === "in_doubt" ? attemptNo : null))),
    ],
  );
  return new Map(
    rows.map(([no, untilMs, priority, expiresMs, maxNano]) => [
      Number(no),
      {
        untilMs: Number(untilMs),
        priority: Number(priority),
        expiresMs: Number(expiresMs),
        doubtMaxNanoUsd: maxNano === null || maxNano === undefined ? null : BigInt(maxNano),
      },
    ]),
  );
}
