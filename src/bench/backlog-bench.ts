import pg from "pg";
import { BenchPlace } from "./bench-place.js";
import type { Durability } from "./durability.js";
import { ledgerCounts, requireAllDistinct } from "./ledger-counts.js";
import { peakRssMb } from "./process-usage.js";

const RUN_TIMEOUT_MS = 300_000;
const HOUR_MS = 3_600_000;

export interface BacklogFigures extends Durability {
  readonly jobs: number;
  /** Different requests in the ledger, each with an execution of its own: as many as jobs. */
  readonly distinctRequests: number;
  readonly peakRssMb: number;
  readonly acceptPerSFirstHalf: number;
  readonly acceptPerSSecondHalf: number;
}

/**
 * A provider that has stopped answering (SIGSTOP) while jobs keep coming: they become rows, memory stays flat, and acceptance does not get
 * slower as they pile up. Acceptance is read from the ledger's positions; that no two jobs are alike, from its rows.
 * @throws Error when two jobs shared an execution: those are accepted for less.
 */
export async function backlogBench(jobs: number, note: (line: string) => void): Promise<BacklogFigures> {
  const place = await BenchPlace.open(note);
  try {
    const topics = await place.freshTopics();
    const mock = await place.startMock(0);
    mock.process.signal("SIGSTOP");
    await place.publish(topics.jobs, 0, jobs);
    const startMs = Date.now();
    const router = await place.startRouter({
      topics,
      mockPort: mock.port,
      concurrency: 64,
      callTimeoutMs: HOUR_MS,
      pendingJobsMax: jobs * 2,
    });
    const times = await watchAcceptance(place.databaseUrl, topics.jobs, jobs, note);
    const rss = peakRssMb(router.pid);
    mock.process.signal("SIGCONT");
    note(`all accepted ${String(Date.now() - startMs)} ms after the router's start`);
    router.signal("SIGKILL");
    const counts = await ledgerCounts(place.databaseUrl);
    requireAllDistinct(counts, jobs);
    const half = Math.floor(jobs / 2);
    const perS = (from: number, to: number, count: number): number =>
      Math.round((count * 1000) / Math.max(1, to - from));
    return {
      jobs,
      distinctRequests: counts.requestKeys,
      peakRssMb: rss,
      acceptPerSFirstHalf: perS(times.first, times.half, half),
      acceptPerSSecondHalf: perS(times.half, times.all, jobs - half),
      ...place.durability,
    };
  } finally {
    await place.close();
  }
}

async function watchAcceptance(
  databaseUrl: string,
  topic: string,
  jobs: number,
  note: (line: string) => void,
): Promise<{ first: number; half: number; all: number }> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  const times = { first: 0, half: 0, all: 0 };
  const endMs = Date.now() + RUN_TIMEOUT_MS;
  let said = 0;
  try {
    while (times.all === 0) {
      const found = await client.query<{ sum: string | null }>(
        "SELECT sum(next) AS sum FROM inbox_position WHERE topic = $1",
        [topic],
      );
      const accepted = Number(found.rows[0]?.sum ?? 0);
      const nowMs = Date.now();
      if (accepted > 0 && times.first === 0) times.first = nowMs;
      if (accepted >= jobs / 2 && times.half === 0) times.half = nowMs;
      if (accepted >= jobs) times.all = nowMs;
      if (accepted - said >= jobs / 10) {
        said = accepted;
        note(`${String(accepted)} of ${String(jobs)} accepted`);
      }
      if (nowMs > endMs)
        throw new Error(
          `expected ${String(jobs)} jobs accepted within ${String(RUN_TIMEOUT_MS)} ms, found ${String(accepted)}`,
        );
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return times;
  } finally {
    await client.end();
  }
}
