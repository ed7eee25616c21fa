import { loadResult } from "../../adapters/postgres/ending.js";
import { findJobs } from "../../adapters/postgres/operator/job-rows.js";
import type { Operator } from "./open-operator.js";
import { openValueText } from "./read-values.js";

export interface FoundResult {
  readonly tenant: string;
  readonly state: string;
  /** The value as it was rendered, for the topic and for ever, Avro in words; null while the job has not ended. */
  readonly text: string | null;
}

/** The results of a job id's newest generation, one a tenant that has it. */
export async function findResults(
  operator: Operator,
  jobId: string,
  tenant: string | null,
): Promise<readonly FoundResult[]> {
  const pool = operator.pools.durable;
  const textOf = openValueText(operator.config);
  const jobs = await findJobs(pool, jobId, tenant);
  return Promise.all(
    jobs.map(async (job) => {
      const result = await loadResult(pool, job.key.no, job.key.day);
      const value = result?.value ?? null;
      return { tenant: job.tenant, state: job.state, text: value === null ? null : await textOf(value) };
    }),
  );
}
