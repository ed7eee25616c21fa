import { resultId } from "../job/ids.js";
import type { Outgoing } from "./outgoing.js";

/** A job as its newest generation names it. */
export interface KnownJob {
  readonly tenant: string;
  readonly jobId: string;
  readonly generation: number;
}

/** @returns the id of the job whose result is repeated, as its sender gave it; null when the record does not say. */
export function repeatedJobId(repeat: Outgoing): string | null {
  return headerText(repeat, "llm-job-id");
}

/**
 * Whether it is this job's result that is repeated. Tenants may use equal ids, so the result's id decides. Read from headers, since the
 * value may be Avro.
 */
export function isRepeatOf(repeat: Outgoing, { tenant, jobId, generation }: KnownJob): boolean {
  const id = headerText(repeat, "ce_id");
  for (let older = generation; older >= 0; older -= 1) if (resultId(tenant, jobId, older) === id) return true;
  return false;
}

function headerText({ headers }: Outgoing, name: string): string | null {
  const content = headers.find(([header]) => header === name)?.[1];
  return content === undefined ? null : content.toString();
}
