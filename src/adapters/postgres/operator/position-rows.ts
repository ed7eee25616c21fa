import type pg from "pg";
import type { InboxPosition } from "../../../ports/ledger.js";
import { run } from "../connection.js";
import { bytesOrNull } from "../stored-body.js";

/** The ledger's positions in one topic, by partition. */
export async function positionsOf(
  pool: pg.Pool,
  cluster: string,
  topic: string,
): Promise<ReadonlyMap<number, InboxPosition>> {
  const rows = await run(
    pool,
    "positions-of-topic",
    "SELECT partition, next, witness FROM inbox_position WHERE cluster = $1 AND topic = $2 ORDER BY partition",
    [cluster, topic],
  );
  return new Map(
    rows.map(([partition, next, witness]) => [
      Number(partition),
      { next: Number(next), witness: bytesOrNull(witness ?? null) },
    ]),
  );
}

/** A position that an operator gives up, and the offset from which the topic's records count as new. */
export interface Adoption {
  readonly cluster: string;
  readonly topic: string;
  readonly partition: number;
  readonly expected: InboxPosition;
  readonly from: number;
}

/**
 * Sets a position to where the log of a topic that was truncated or made anew is to be read from, also backwards: the one place that
 * does. Without a witness, since nothing before it was accepted.
 * @returns false when the position is no longer the one that was looked at; nothing was changed then.
 */
export async function adoptPosition(pool: pg.Pool, adoption: Adoption): Promise<boolean> {
  const { cluster, topic, partition, expected, from } = adoption;
  const rows = await run(
    pool,
    "position-adopt",
    `UPDATE inbox_position SET next = $4, witness = NULL, last_group = NULL
     WHERE cluster = $1 AND topic = $2 AND partition = $3 AND next = $5 AND witness IS NOT DISTINCT FROM $6::bytea RETURNING 1`,
    [cluster, topic, partition, from, expected.next, expected.witness],
  );
  return rows.length === 1;
}
