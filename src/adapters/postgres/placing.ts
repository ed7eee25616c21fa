import type { RecordCoordinates } from "../../domain/job/job.js";
import type { IntakeJob } from "../../domain/result/outgoing.js";
import type { Accepted } from "../../ports/ledger.js";
import type { Joining } from "./join-executions.js";

/** A job of the group on its way through the statements. */
export interface Placing extends Joining {
  readonly item: IntakeJob;
  readonly job: IntakeJob["job"];
  fate: Accepted["kind"] | null;
}

/** Where a job's record lies. */
export function sourceOf(placing: { readonly job: { readonly record: RecordCoordinates } }): string {
  const { topic, partition, offset } = placing.job.record;
  return `${topic}:${String(partition)}:${String(offset)}`;
}
