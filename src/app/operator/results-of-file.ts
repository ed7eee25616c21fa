import { resultsOf, type NamedJob } from "../../adapters/postgres/operator/result-rows.js";
import type { LineDefaults } from "./from-openai-line.js";
import { readJobLines, type JobLineText } from "./job-lines.js";
import type { Operator } from "./open-operator.js";
import { openValueText } from "./read-values.js";

/** What became of the jobs of a file. */
export interface FileResults {
  readonly found: number;
  /** In the ledger, and not ended. */
  readonly waiting: number;
  /** Without an id of their own, or not in the ledger. */
  readonly unknown: number;
  /** Lines that are no jobs. */
  readonly bad: number;
}

const JOBS_AT_ONCE = 500;

/**
 * Hands over the results of the jobs of a file, in its order, each as the text of its value, Avro in words.
 * @param tenant of lines that name none; null: any that has the id, one result for each.
 */
export async function resultsOfFile(
  operator: Operator,
  file: string,
  tenant: string | null,
  onResult: (text: string) => void,
): Promise<FileResults> {
  const defaults: LineDefaults = { tenant, mode: null, ttlMs: null };
  const textOf = openValueText(operator.config);
  const counts = { found: 0, waiting: 0, unknown: 0, bad: 0 };
  const look = async (jobs: readonly NamedJob[]): Promise<void> => {
    for (const results of await resultsOf(operator.pools.durable, jobs)) {
      if (results.length === 0) counts.unknown += 1;
      for (const { value } of results) {
        // Serial: the order is the file's.
        if (value !== null) onResult(await textOf(value));
        counts[value === null ? "waiting" : "found"] += 1;
      }
    }
  };
  let jobs: NamedJob[] = [];
  for await (const line of readJobLines(file, defaults)) {
    if (line.kind === "bad") counts.bad += 1;
    else if (line.job.jobId === null) counts.unknown += 1;
    else jobs.push(nameOf(line.job, line.job.jobId, tenant));
    if (jobs.length < JOBS_AT_ONCE) continue;
    await look(jobs);
    jobs = [];
  }
  await look(jobs);
  return counts;
}

function nameOf(job: JobLineText, jobId: string, tenant: string | null): NamedJob {
  return { tenant: job.tenant ?? tenant, jobId };
}
