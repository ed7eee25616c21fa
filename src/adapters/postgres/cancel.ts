import type pg from "pg";
import type { Renderer } from "../../domain/result/outgoing.js";
import type { CancelRequest } from "../../ports/ledger.js";
import { run } from "./connection.js";
import { ENDING_COLUMNS, readEndingJob, writeEnds, type WrittenEnds } from "./ending.js";
import type { LedgerContext } from "./ledger-context.js";
import { jobIdHash } from "../../domain/dedupe/request-hash.js";

/**
 * Ends jobs that have not ended as `cancelled`. Executions are not touched: one that nobody waits for is dropped when it comes up,
 * and a call that is out goes on, its cost stays. A request for an unknown or ended job does nothing. Where the tenant is named only in a
 * job's body, a cancel record names none: the id then counts in every tenant.
 */
export async function cancelRows(
  client: pg.PoolClient,
  context: LedgerContext,
  requests: readonly CancelRequest[],
  nowMs: number,
  render: Renderer,
): Promise<WrittenEnds> {
  const all: WrittenEnds = { outgoing: [], ended: [] };
  for (const request of requests) {
    // Serial: cancels are rare, and each needs its own row lock in the order they came.
    const rows = await run(
      client,
      "jobs-cancel",
      `UPDATE jobs j SET state = 'cancelled', ended_ms = $3, failure_code = 'CANCELLED'
       FROM job_key k WHERE k.tenant_no IN (SELECT no FROM tenants WHERE $1::text IS NULL OR name = $1) AND k.id_hash = $2
         AND j.no = k.no AND j.day = k.day AND j.state = 'active' RETURNING ${ENDING_COLUMNS}`,
      [request.tenant, jobIdHash(request.jobId), nowMs],
    );
    const ends = rows.map((row) => ({
      job: readEndingJob(context, row),
      end: {
        answer: null,
        failure: {
          code: "CANCELLED" as const,
          message: "cancelled on request before it had ended",
          provider: null,
          retryAtMs: null,
        },
        served: "call" as const,
        payer: null,
        history: [],
        endedAtMs: nowMs,
      },
    }));
    const written = await writeEnds(client, context, render, ends);
    all.outgoing.push(...written.outgoing);
    all.ended.push(...written.ended);
  }
  return all;
}
