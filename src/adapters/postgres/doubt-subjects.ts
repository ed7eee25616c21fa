import type pg from "pg";
import type { EventSubject } from "../../domain/event/event.js";
import type { LedgerKey } from "../../domain/ids.js";
import { int4Array, int8Array } from "./binary-array.js";
import { run } from "./connection.js";
import { bytesOrNull } from "./stored-body.js";

/** Tenants of executions and the jobs that opened them, for events about their attempts. */
export async function doubtSubjects(
  client: pg.PoolClient,
  executions: readonly LedgerKey[],
): Promise<ReadonlyMap<number, EventSubject>> {
  const rows = await run(
    client,
    "executions-subjects",
    `SELECT e.no, t.name, j.job_id, j.generation FROM unnest($1::int8[], $2::int4[]) AS k(no, day)
     JOIN executions e ON e.no = k.no AND e.day = k.day JOIN tenants t ON t.no = e.tenant_no LEFT JOIN jobs j ON j.no = e.no AND j.day = e.day`,
    [int8Array(executions.map(({ no }) => no)), int4Array(executions.map(({ day }) => day))],
  );
  return new Map(
    rows.map(([no, tenant, jobId, generation]) => [
      Number(no),
      {
        tenant: tenant ?? null,
        jobId: bytesOrNull(jobId ?? null)?.toString("utf8") ?? null,
        generation: generation === null || generation === undefined ? null : Number(generation),
      },
    ]),
  );
}
