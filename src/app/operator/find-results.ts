import { loadResult } from "../../adapters/postgres/ending.js";
import { findJobs } from "../../adapters/postgres/operator/job-rows.js";
import type { Operator } from "./open-operator.js";

export interface FoundResult {
  readonly tenant: string;
  readonly state: string;
  /** The value as it was rendered, for the topic and for ever; null while the job has not ended. */
  readonly text: string | null;
}

/** The results of a job id's newest generation, one a tenant that has it. */
export async function findResults(
  operator: Operator,
  jobId: string,
  tenant: string | null,
): Promise<readonly FoundResult[]> {
  const pool = operator.pools.durable;
  const jobs = await findJobs(pool, jobId, tenant);
  return Promise.all(
    jobs.map(async (job) => {
      const result = await loadResult(pool, job.key.no, job.key.day);
      return { tenant: job.tenant, state: job.state, text: result?.value?.toString("utf8") ?? null };
    }),
  );
}
