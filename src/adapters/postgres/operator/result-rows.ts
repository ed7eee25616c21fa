import type pg from "pg";
import { jobIdHash } from "../../../domain/dedupe/request-hash.js";
import { byteaArray, int4Array, textArray } from "../binary-array.js";
import { run } from "../connection.js";
import { bytesOrNull } from "../stored-body.js";

/** A job as a file names it. */
export interface NamedJob {
  /** Null: any. */
  readonly tenant: string | null;
  readonly jobId: string;
}

/** What the ledger has under such a name, of the newest generation. */
export interface NamedResult {
  readonly tenant: string;
  /** Null: it has not ended. */
  readonly value: Buffer | null;
}

/** For each of the jobs those of its name, one a tenant that has it, in one statement. */
export async function resultsOf(
  pool: pg.Pool,
  jobs: readonly NamedJob[],
): Promise<readonly (readonly NamedResult[])[]> {
  const rows = await run(
    pool,
    "results-of-names",
    `SELECT u.at, t.name, o.value FROM unnest($1::int4[], $2::text[], $3::bytea[]) AS u(at, tenant, hash)
       JOIN tenants t ON u.tenant IS NULL OR t.name = u.tenant JOIN job_key k ON k.tenant_no = t.no AND k.id_hash = u.hash
       LEFT JOIN outbox o ON o.no = k.no AND o.day = k.day AND o.kind = 'result' ORDER BY u.at, t.name`,
    [
      int4Array(jobs.map((_job, at) => at)),
      textArray(jobs.map(({ tenant }) => tenant)),
      byteaArray(jobs.map(({ jobId }) => jobIdHash(jobId))),
    ],
  );
  const found: NamedResult[][] = jobs.map(() => []);
  for (const [at, tenant, value] of rows)
    found[Number(at)]?.push({ tenant: tenant ?? "", value: bytesOrNull(value ?? null) });
  return found;
}
