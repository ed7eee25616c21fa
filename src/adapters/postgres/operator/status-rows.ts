import type pg from "pg";
import { run } from "../connection.js";
import { numberOrNull } from "./letter-rows.js";

/** What one screen shows of the ledger. Counts of waiting rows stop at `COUNT_LIMIT`. */
export interface LedgerStatus {
  readonly nowMs: number;
  readonly routers: readonly { readonly name: string; readonly session: number; readonly beatAgeMs: number }[];
  /** Partitions that living routers have stopped: their log is not the one that was read. */
  readonly stopped: readonly {
    readonly topic: string;
    readonly partition: number;
    readonly cause: string;
    readonly next: number;
    readonly sinceMs: number;
  }[];
  readonly readyRows: number;
  /** Executions that wait for a batch to be made. */
  readonly batchReadyRows: number;
  readonly oldestRunnableMs: number | null;
  readonly outboxRecords: number;
  readonly outboxOldestMs: number | null;
  readonly inDoubt: {
    readonly open: number;
    readonly settled: number;
    readonly oldestMs: number | null;
    readonly maxNanoUsd: string;
  };
  readonly letters: readonly { readonly code: string; readonly state: string; readonly count: number }[];
  readonly unansweredExecutions: number;
}

export const COUNT_LIMIT = 100_000;

/** @param deadAfterMs a router whose beat is older does not live. */
export async function readStatus(pool: pg.Pool, deadAfterMs: number): Promise<LedgerStatus> {
  const [queues, routers, stops, doubts, letters] = await Promise.all([
    run(
      pool,
      "status-queues",
      `SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::int8,
         (SELECT count(*) FROM (SELECT 1 FROM ready LIMIT $1) r),
         (SELECT min(run_at_ms) FROM (SELECT run_at_ms FROM ready LIMIT $1) r WHERE run_at_ms <= extract(epoch FROM clock_timestamp()) * 1000),
         (SELECT coalesce(sum(cardinality(nos)), 0) FROM (SELECT nos FROM outbox_ready LIMIT $1) o),
         (SELECT min(at_ms) FROM (SELECT at_ms FROM outbox_ready ORDER BY seq LIMIT 1000) o),
         (SELECT count(*) FROM unanswered),
         (SELECT count(*) FROM (SELECT 1 FROM batch_ready LIMIT $1) b)`,
      [COUNT_LIMIT],
    ),
    run(
      pool,
      "status-routers",
      `SELECT name, session_no, floor(extract(epoch FROM clock_timestamp() - beat_at) * 1000)::int8 FROM routers
       WHERE ended_at IS NULL AND beat_at > clock_timestamp() - make_interval(secs => $1::float8 / 1000) ORDER BY session_no`,
      [deadAfterMs],
    ),
    run(
      pool,
      "status-stops",
      `SELECT s.topic, s.partition, s.cause, s.next, s.at_ms
       FROM inbox_stops s JOIN inbox_position p ON p.cluster = s.cluster AND p.topic = s.topic AND p.partition = s.partition AND p.next = s.next
         JOIN routers r ON r.session_no = s.session_no AND r.ended_at IS NULL
           AND r.beat_at > clock_timestamp() - make_interval(secs => $1::float8 / 1000)
       ORDER BY s.topic, s.partition`,
      [deadAfterMs],
    ),
    run(
      pool,
      "status-doubts",
      "SELECT state, count(*), min(started_ms), sum(max_nano) FROM attempts WHERE state IN ('in_doubt', 'settled') GROUP BY state",
      [],
    ),
    run(
      pool,
      "status-letters",
      "SELECT code, state, count(*) FROM dead_letters WHERE state IN ('open', 'parked') GROUP BY code, state ORDER BY 3 DESC, 1, 2",
      [],
    ),
  ]);
  const [nowMs, readyRows, oldestRunnable, outboxRecords, outboxOldest, unanswered, batchReadyRows] = queues[0] ?? [];
  const starts = doubts.map((row) => Number(row[2]));
  const countOf = (state: string): number => Number(doubts.find((row) => row[0] === state)?.[1] ?? 0);
  return {
    nowMs: Number(nowMs),
    routers: routers.map(([name, session, age]) => ({
      name: name ?? "",
      session: Number(session),
      beatAgeMs: Number(age),
    })),
    stopped: stops.map(([topic, partition, cause, next, sinceMs]) => ({
      topic: topic ?? "",
      partition: Number(partition),
      cause: cause ?? "",
      next: Number(next),
      sinceMs: Number(sinceMs),
    })),
    readyRows: Number(readyRows),
    batchReadyRows: Number(batchReadyRows),
    oldestRunnableMs: numberOrNull(oldestRunnable),
    outboxRecords: Number(outboxRecords),
    outboxOldestMs: numberOrNull(outboxOldest),
    inDoubt: {
      open: countOf("in_doubt"),
      settled: countOf("settled"),
      oldestMs: starts.length === 0 ? null : Math.min(...starts),
      maxNanoUsd: doubts.reduce((sum, row) => sum + BigInt(row[3] ?? 0), 0n).toString(),
    },
    letters: letters.map(([code, state, count]) => ({ code: code ?? "", state: state ?? "", count: Number(count) })),
    unansweredExecutions: Number(unanswered),
  };
}
