import type { Batch } from "../../../domain/batch/batch.js";

type Row = readonly (string | null)[];

/** The columns that `readBatch` reads. `b` is the alias of batches. */
export const BATCH_COLUMNS = "b.version, b.facts";

/** Each change writes the batch as a whole into `facts`; only its version is counted by the database. */
export function readBatch([version, facts]: Row): Batch {
  return { ...(JSON.parse(facts ?? "{}") as Batch), version: Number(version) }; // written by factsOf
}

export function factsOf(batch: Batch): string {
  return JSON.stringify(batch);
}

/** Only for a session that has not been declared dead; its row is held until the end, so that it is not declared dead in between. */
export const LIVING_SESSION = "SELECT 1 FROM routers s WHERE s.session_no = $1 AND s.ended_at IS NULL FOR KEY SHARE";
