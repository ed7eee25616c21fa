import { readdir, readFile } from "node:fs/promises";
import type { Admin } from "kafkajs";
import type pg from "pg";
import type { BudgetSample, OffsetSample, Phase, ProcessSample, QueueSample } from "./evidence.js";

/**
 * Looks at a running gateway from outside, for the conductor to call again and again. Each is one statement, or one look, so that what stands
 * in a sample was true in one moment; a server that is away makes a look fail, which is the caller's to leave out.
 */
export interface Moment {
  readonly atMs: number;
  readonly phase: Phase;
}

type Row = Readonly<Record<string, string>>;

/** Every budget's row with the reservations that make up its sum. @throws what PostgreSQL throws. */
export async function sampleBudgets(client: pg.ClientBase, moment: Moment): Promise<readonly BudgetSample[]> {
  const { rows } = await client.query<Row>(
    `SELECT b.level, b.since_ms, b.settled_nano, b.reserved_nano, coalesce(sum(a.max_nano), 0) AS held, count(a.no) AS held_by,
       count(a.no) FILTER (WHERE a.state IN ('sending', 'batched', 'in_doubt', 'settled')) AS unfinished
     FROM budgets b LEFT JOIN attempts a ON b.no = ANY (a.reserved_in)
     GROUP BY b.no, b.level, b.since_ms, b.settled_nano, b.reserved_nano`,
  );
  return rows.map((row) => ({
    ...moment,
    level: row["level"] ?? "",
    sinceMs: Number(row["since_ms"]),
    settledNanoUsd: BigInt(row["settled_nano"] ?? 0),
    reservedNanoUsd: BigInt(row["reserved_nano"] ?? 0),
    reservationsNanoUsd: BigInt(row["held"] ?? 0),
    reservations: Number(row["held_by"]),
    unfinished: Number(row["unfinished"]),
  }));
}

/** @throws what PostgreSQL throws. */
export async function sampleQueues(client: pg.ClientBase, moment: Moment): Promise<QueueSample> {
  const { rows } = await client.query<Row>(
    `SELECT (SELECT count(*) FROM outbox_ready) AS outbox, (SELECT count(*) FROM ready) AS ready, (SELECT count(*) FROM batch_ready) AS batch_ready,
       (SELECT count(*) FROM jobs WHERE state = 'active') AS active`,
  );
  const [row] = rows;
  return {
    ...moment,
    outboxReady: Number(row?.["outbox"]),
    ready: Number(row?.["ready"]),
    batchReady: Number(row?.["batch_ready"]),
    activeJobs: Number(row?.["active"]),
  };
}

/**
 * Each partition of a jobs topic: first what the group has committed, then how far the ledger is, then where the log ends, so that each may
 * only be further than the one before.
 * @throws what Kafka and PostgreSQL throw.
 */
export async function sampleOffsets(
  admin: Admin,
  client: pg.ClientBase,
  asked: { readonly groupId: string; readonly topic: string },
  moment: Moment,
): Promise<readonly OffsetSample[]> {
  const [fetched] = await admin.fetchOffsets({ groupId: asked.groupId, topics: [asked.topic] });
  const { rows } = await client.query<{ partition: number; next: string }>(
    "SELECT partition, next FROM inbox_position WHERE topic = $1",
    [asked.topic],
  );
  const positions = new Map(rows.map((row) => [row.partition, row.next]));
  const ends = await admin.fetchTopicOffsets(asked.topic);
  const committed = new Map((fetched?.partitions ?? []).map((one) => [one.partition, one.offset]));
  return ends.map(({ partition, high }) => {
    const offset = committed.get(partition) ?? "-1";
    return {
      ...moment,
      topic: asked.topic,
      partition,
      committed: offset === "-1" ? null : offset,
      ledgerNext: positions.get(partition) ?? null,
      logEnd: high,
    };
  });
}

/** From /proc, for a process of this machine. Null: it is no longer there. */
export async function sampleProcess(
  process: { readonly router: string; readonly pid: number },
  moment: Moment,
): Promise<ProcessSample | null> {
  const folder = `/proc/${String(process.pid)}`;
  try {
    const [status, descriptors] = await Promise.all([readFile(`${folder}/status`, "utf8"), readdir(`${folder}/fd`)]);
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
    if (kilobytes === undefined) return null; // a process that has ended and was not waited for
    return { ...moment, ...process, rssBytes: Number(kilobytes) * 1024, descriptors: descriptors.length };
  } catch {
    return null;
  }
}
