import type pg from "pg";
import { CANCELLED } from "../../domain/dedupe/opening-fate.js";
import { jobIdHash } from "../../domain/dedupe/request-hash.js";
import type { Renderer } from "../../domain/result/outgoing.js";
import type { CancelRequest } from "../../ports/ledger.js";
import { byteaArray, int8Array, textArray } from "./binary-array.js";
import { run } from "./connection.js";
import { ENDING_COLUMNS, readEndingJob, writeEnds, type EndingWithReason, type WrittenEnds } from "./ending.js";
import { historiesOf } from "./histories.js";
import type { LedgerContext } from "./ledger-context.js";

interface Cancelled extends WrittenEnds {
  /** The requests that ended a job, in their order; of several for the same job one. */
  readonly requests: readonly CancelRequest[];
}

/**
 * Ends jobs that have not ended as `cancelled`. Executions are not touched: one that nobody waits for is dropped when it comes up,
 * and a call that is out goes on, its cost stays. A request for an unknown or ended job does nothing.
 * @param except numbers of jobs that are left alone: those of the group that the requests came with.
 */
export async function cancelRows(
  client: pg.PoolClient,
  context: LedgerContext,
  requests: readonly CancelRequest[],
  nowMs: number,
  render: Renderer,
  except: readonly number[] = [],
): Promise<Cancelled> {
  const rows = await run(
    client,
    "jobs-cancel",
    `WITH held AS MATERIALIZED (
       SELECT j.no, j.day, u.place FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS u(tenant, hash, place)
       JOIN tenants t ON t.name = u.tenant
       JOIN job_key k ON k.tenant_no = t.no AND k.id_hash = u.hash
       JOIN jobs j ON j.no = k.no AND j.day = k.day AND j.state = 'active' AND j.no <> ALL ($4::int8[]) ORDER BY j.no + 0 FOR UPDATE OF j)
     UPDATE jobs j SET state = 'cancelled', ended_ms = $3, failure_code = 'CANCELLED'
     FROM held h WHERE j.no = h.no AND j.day = h.day RETURNING ${ENDING_COLUMNS}, h.place`,
    [
      textArray(requests.map(({ tenant }) => tenant)),
      byteaArray(requests.map(({ jobId }) => jobIdHash(jobId))),
      nowMs,
      int8Array(except),
    ],
  );
  const places = new Set(rows.map((row) => Number(row.at(-1))));
  const jobs = rows.map((row) => readEndingJob(context, row)).sort((a, b) => a.key.no - b.key.no);
  const historyOf = await historiesOf(client, jobs);
  const ends = jobs.map((job): EndingWithReason => {
    const end = { answer: null, failure: CANCELLED, served: "call", payer: null, history: historyOf(job) } as const;
    return { job, end: { ...end, stage: "intake", endedAtMs: nowMs } };
  });
  const written = await writeEnds(client, context, render, ends);
  return { ...written, requests: requests.filter((_request, index) => places.has(index + 1)) };
}
