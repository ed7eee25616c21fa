import type pg from "pg";
import type { AnswerFacts, AttemptSummary, ServedAnswer } from "../../domain/execution/execution.js";
import { LEFT_BEHIND, type Failure } from "../../domain/failure.js";
import type { EpochMs, LedgerKey, SessionNo } from "../../domain/ids.js";
import type { Renderer } from "../../domain/result/outgoing.js";
import { stageOfLast } from "../../domain/stage.js";
import type { StragglerLook, StragglersOutcome } from "../../ports/ledger.js";
import { int4Array, int8Array } from "./binary-array.js";
import { run, transaction } from "./connection.js";
import { ENDING_COLUMNS, readEndingJob, writeEnds, type EndingWithReason } from "./ending.js";
import type { LedgerContext } from "./ledger-context.js";
import { insertOutbox } from "./outbox-rows.js";
import { fromStored } from "./stored-body.js";
import { waiterDays } from "./waiters.js";

/** Jobs that one sweep answers. */
const ANSWERED_AT_ONCE = 500;
/** Executions that one sweep answers for; it holds the answer of each. */
const EXECUTIONS_AT_ONCE = 20;
/** Executions and jobs of each that are counted for the metric, and jobs in all. */
const COUNTED = { executions: 100, jobs: 10_000 } as const;
/** Rows that one look passes by: some milliseconds. A million jobs take a quarter of an hour at a look every two seconds. */
const WALKED_AT_ONCE = 2000;
const DAY_MS = 86_400_000;

/** Ends jobs that wait for executions which have ended, those that were noted. Two routers at once take different executions. */
export async function answerStragglers(
  context: LedgerContext,
  session: SessionNo,
  nowMs: EpochMs,
  render: Renderer,
): Promise<StragglersOutcome> {
  await context.numbers.reserve(ANSWERED_AT_ONCE * 2 + 16);
  return transaction(
    context.pools.durable,
    (client) => answerInTransaction(client, context, session, nowMs, render),
    // If it stands, doing it again finds no such job, and the sweep publishes.
    () => Promise.resolve(null),
  );
}

async function answerInTransaction(
  client: pg.PoolClient,
  context: LedgerContext,
  session: SessionNo,
  nowMs: EpochMs,
  render: Renderer,
): Promise<StragglersOutcome> {
  const [unanswered, owed] = await Promise.all([countUnanswered(client, context), takeUnanswered(client)]);
  if (owed.length === 0) return { ended: [], outbox: [], waste: 0, unanswered };
  const executions = await loadEnded(client, owed);
  const rows = await endStragglers(client, context, nowMs, owed);
  await forgetAnswered(client, context, owed);
  const ends = rows.map((row): EndingWithReason => {
    const job = readEndingJob(context, row);
    const execution = executions.get(job.execution?.no ?? -1);
    if (execution === undefined) throw new Error("InvariantError: a job ended for an execution that did not");
    const { answer, history } = execution;
    const failure = job.status === "expired" ? EXPIRED : execution.failure;
    const end = { answer, failure, served: "coalesced", payer: job.execution, history } as const;
    return { job, end: { ...end, stage: stageOfLast(history), endedAtMs: nowMs } };
  });
  const written = await writeEnds(client, context, render, ends);
  const outbox = insertOutbox(client, context.numbers, session, nowMs, written.outgoing);
  return { ended: written.ended, outbox, waste: 0, unanswered };
}

const EXPIRED: Failure = {
  code: "DEADLINE_EXCEEDED",
  message: "the deadline passed before the answer was there",
  provider: null,
  retryAtMs: null,
};

/** From all of them, whichever router has them in hand; `LATERAL` with a limit, so that each is looked up by the index of executions. */
async function countUnanswered(client: pg.PoolClient, context: LedgerContext): Promise<number> {
  const rows = await run(
    client,
    "unanswered-count",
    `SELECT count(*) FROM (
       SELECT 1 FROM (SELECT execution_no FROM unanswered ORDER BY execution_no LIMIT ${String(COUNTED.executions)}) u
       CROSS JOIN LATERAL (
         SELECT 1 FROM jobs w WHERE w.execution_no = u.execution_no AND w.day <= $1 AND w.state = 'active' LIMIT ${String(COUNTED.jobs)}) w
       LIMIT ${String(COUNTED.jobs)}) n`,
    [context.today() + 1],
  );
  return Number(rows[0]?.[0]);
}

async function takeUnanswered(client: pg.PoolClient): Promise<readonly LedgerKey[]> {
  const rows = await run(
    client,
    "unanswered-take",
    `SELECT execution_no, execution_day FROM unanswered ORDER BY execution_no LIMIT ${String(EXECUTIONS_AT_ONCE)} FOR UPDATE SKIP LOCKED`,
    [],
  );
  return rows.map(([no, day]) => ({ no: Number(no), day: Number(day) }));
}

/** How an execution ended, as it is stored. */
interface EndedExecution {
  readonly answer: ServedAnswer | null;
  readonly failure: Failure | null;
  readonly history: readonly AttemptSummary[];
}

/** One that was dropped though a job waited has neither answer nor failure. */
async function loadEnded(
  client: pg.PoolClient,
  keys: readonly LedgerKey[],
): Promise<ReadonlyMap<number, EndedExecution>> {
  const rows = await run(
    client,
    "executions-load-ended",
    `SELECT e.no, e.state, CASE WHEN e.state = 'succeeded' THEN e.answer END, e.answer_gzip, e.answer_facts, e.failure, e.history
     FROM unnest($1::int8[], $2::int4[]) AS k(no, day) JOIN executions e ON e.no = k.no AND e.day = k.day
     WHERE e.state IN ${ENDED}`,
    [int8Array(keys.map(({ no }) => no)), int4Array(keys.map(({ day }) => day))],
  );
  return new Map(
    rows.map(([no, state, answer, gzip, facts, failure, history]): [number, EndedExecution] => [
      Number(no),
      {
        // All of it was written by finish or claim.
        answer: answer
          ? { bodyText: fromStored(answer, gzip === "t"), facts: JSON.parse(facts ?? "{}") as AnswerFacts }
          : null,
        failure: state === "succeeded" ? null : failure ? (JSON.parse(failure) as Failure) : LEFT_BEHIND,
        history: JSON.parse(history ?? "[]") as AttemptSummary[],
      },
    ]),
  );
}

const ENDED = "('succeeded', 'failed', 'dropped')";

async function endStragglers(
  client: pg.PoolClient,
  context: LedgerContext,
  nowMs: EpochMs,
  keys: readonly LedgerKey[],
): Promise<readonly (readonly (string | null)[])[]> {
  return run(
    client,
    "jobs-stragglers",
    `WITH waiting AS MATERIALIZED (
       SELECT w.no, w.day, e.state, e.failure FROM unnest($2::int8[], $3::int4[]) AS k(no, day)
       JOIN executions e ON e.no = k.no AND e.day = k.day AND e.state IN ${ENDED}
       JOIN jobs w ON w.execution_no = e.no AND w.day BETWEEN $4 AND $5 AND w.state = 'active'
       ORDER BY w.no + 0 LIMIT ${String(ANSWERED_AT_ONCE)})
     UPDATE jobs j SET ended_ms = $1,
       state = CASE WHEN j.deadline_ms < $1 THEN 'expired' WHEN s.state = 'succeeded' THEN 'succeeded' ELSE 'failed' END,
       failure_code = CASE WHEN j.deadline_ms < $1 THEN 'DEADLINE_EXCEEDED' WHEN s.state = 'succeeded' THEN NULL
         ELSE coalesce(s.failure::json->>'code', '${LEFT_BEHIND.code}') END
     FROM waiting s WHERE j.no = s.no AND j.day + 0 = s.day AND j.day BETWEEN $4 AND $5 AND j.state = 'active'
     RETURNING ${ENDING_COLUMNS}`,
    [nowMs, int8Array(keys.map(({ no }) => no)), int4Array(keys.map(({ day }) => day)), ...waiterDays(context, keys)],
  );
}

/** Those for which no job waits any more. */
async function forgetAnswered(
  client: pg.PoolClient,
  context: LedgerContext,
  keys: readonly LedgerKey[],
): Promise<void> {
  await run(
    client,
    "unanswered-done",
    `DELETE FROM unanswered u WHERE u.execution_no = ANY($1::int8[]) AND NOT EXISTS (
       SELECT 1 FROM jobs w WHERE w.execution_no = u.execution_no AND w.day BETWEEN $2 AND $3 AND w.state = 'active')`,
    [int8Array(keys.map(({ no }) => no)), ...waiterDays(context, keys)],
  );
}

/**
 * One step of a walk along the jobs, which all routers share: notes executions that ended before the grace and that a job waits for all the
 * same. Nobody should ever find one, since what ends an execution ends its jobs or notes it. A step is one range of a day's key, whatever
 * waits; a round goes over the days from the first on which the round before found a job that had not ended, and yesterday at the latest,
 * since a job may be stored a little behind midnight.
 * @returns how many jobs it found.
 */
export async function noteStragglers(context: LedgerContext, look: StragglerLook): Promise<number> {
  return transaction(
    context.pools.durable,
    (client) => walkOn(client, look),
    // If it stands, doing it again does nothing: the next step is not due.
    () => Promise.resolve(null),
  );
}

async function walkOn(client: pg.PoolClient, { nowMs, everyMs, graceMs }: StragglerLook): Promise<number> {
  const [place] = await run(
    client,
    "straggler-walk-take",
    // A clock that was set back is no reason to wait.
    "SELECT day, no, open_day FROM straggler_walk WHERE looked_ms <= $1::int8 - $2::int8 OR looked_ms > $1 FOR UPDATE SKIP LOCKED",
    [nowMs, everyMs],
  );
  if (place === undefined) return 0;
  const [day, no] = [Number(place[0]), Number(place[1])];
  const step = await lookAlong(client, { day, no }, nowMs - graceMs);
  const openDay = place[2] ? Number(place[2]) : step.foundActive ? day : null;
  const next = nextPlace(day, step.lastNo, openDay, Math.floor(nowMs / DAY_MS));
  await run(client, "straggler-walk-on", "UPDATE straggler_walk SET day = $1, no = $2, open_day = $3, looked_ms = $4", [
    ...[next.day, next.no, next.openDay],
    nowMs,
  ]);
  return step.stragglers;
}

interface Step {
  /** Null: the day has no more. */
  readonly lastNo: number | null;
  readonly foundActive: boolean;
  readonly stragglers: number;
}

async function lookAlong(client: pg.PoolClient, { day, no }: LedgerKey, endedBeforeMs: EpochMs): Promise<Step> {
  const rows = await run(
    client,
    "stragglers-look",
    // `LATERAL` with a limit, so that only the executions of active jobs are looked up, each by its key.
    `WITH walked AS MATERIALIZED (
       SELECT no, state, execution_no, execution_day, accepted_ms FROM jobs WHERE day = $1 AND no > $2 ORDER BY no LIMIT ${String(WALKED_AT_ONCE)}),
     lost AS MATERIALIZED (
       SELECT e.no, e.day FROM walked w CROSS JOIN LATERAL (
         SELECT x.no, x.day FROM executions x WHERE x.no = w.execution_no AND x.day = w.execution_day
           AND x.state IN ${ENDED} AND coalesce(x.ended_ms, w.accepted_ms) <= $3 LIMIT 1) e
       WHERE w.state = 'active' AND w.accepted_ms <= $3 AND NOT EXISTS (SELECT 1 FROM unanswered u WHERE u.execution_no = e.no)),
     noted AS (
       INSERT INTO unanswered (execution_no, execution_day) SELECT DISTINCT no, day FROM lost ON CONFLICT DO NOTHING)
     SELECT count(*), max(no), bool_or(state = 'active'), (SELECT count(*) FROM lost) FROM walked`,
    [day, no, endedBeforeMs],
  );
  const [walked, lastNo, foundActive, stragglers] = rows[0] ?? [];
  return {
    lastNo: Number(walked) < WALKED_AT_ONCE ? null : Number(lastNo),
    foundActive: foundActive === "t",
    stragglers: Number(stragglers),
  };
}

function nextPlace(
  day: number,
  lastNo: number | null,
  openDay: number | null,
  today: number,
): LedgerKey & { readonly openDay: number | null } {
  if (lastNo !== null) return { day, no: lastNo, openDay };
  if (day < today) return { day: day + 1, no: 0, openDay };
  return { day: Math.min(openDay ?? today, today - 1), no: 0, openDay: null };
}
