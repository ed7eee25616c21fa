import type pg from "pg";
import { LOG_START_WITNESS } from "../../../domain/dedupe/record-witness.js";
import { NO_SUBJECT } from "../../../domain/event/event.js";
import { operatorEvent, type OperatorAction } from "../../../domain/event/operator-event.js";
import type { SessionNo } from "../../../domain/ids.js";
import type { Renderer } from "../../../domain/result/outgoing.js";
import type { InboxPosition } from "../../../ports/ledger.js";
import { run, transaction } from "../connection.js";
import type { LedgerContext } from "../ledger-context.js";
import { insertOutbox } from "../outbox-rows.js";
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
  /** The log begins there now. */
  readonly isLogStart: boolean;
  readonly session: SessionNo;
  readonly action: OperatorAction;
}

/**
 * Sets a position to where the log of a topic that was truncated or made anew is to be read from, also backwards: the one place that
 * does. Without a record's witness, since nothing before it was accepted.
 * @returns false when the position is no longer the one that was looked at; nothing was changed then.
 */
export async function adoptPosition(context: LedgerContext, adoption: Adoption, render: Renderer): Promise<boolean> {
  const { cluster, topic, partition, expected, from, isLogStart, session, action } = adoption;
  await context.numbers.reserve(8);
  return transaction(context.pools.durable, async (client) => {
    const rows = await run(
      client,
      "position-adopt",
      `UPDATE inbox_position SET next = $4, witness = $7, last_group = NULL, adoptions = adoptions + 1
       WHERE cluster = $1 AND topic = $2 AND partition = $3 AND next = $5 AND witness IS NOT DISTINCT FROM $6::bytea RETURNING 1`,
      [cluster, topic, partition, from, expected.next, expected.witness, isLogStart ? LOG_START_WITNESS : null],
    );
    if (rows.length === 0) return false;
    // Another log: what was found, marked or counted in the old one says nothing about it.
    const place = [cluster, topic, partition];
    for (const table of ["inbox_turns", "inbox_stops"])
      await run(
        client,
        `position-forget-${table}`,
        `DELETE FROM ${table} WHERE cluster = $1 AND topic = $2 AND partition = $3`,
        place,
      );
    const event = operatorEvent(
      "operator.adopted",
      action,
      `adopted the log of partition ${String(partition)} of ${topic}: it is read from ${String(from)}, not ${String(expected.next)}`,
      NO_SUBJECT,
      { topic, partition: String(partition), before: String(expected.next), next: String(from) },
    );
    const record = render.event(event, context.numbers.next(), context.today());
    insertOutbox(client, context.numbers, session, action.atMs, [record]);
    context.reach("adopt.before_commit");
    return true;
  });
}
