import { LOG_START_WITNESS } from "../../../src/domain/dedupe/record-witness.js";
import { NO_SUBJECT } from "../../../src/domain/event/event.js";
import { operatorEvent, type OperatorAction } from "../../../src/domain/event/operator-event.js";
import type { StoppedPartition } from "../../../src/domain/event/partition-event.js";
import type { Renderer } from "../../../src/domain/result/outgoing.js";
import type { InboxPosition } from "../../../src/ports/ledger.js";
import { positionKey } from "./memory-accept.js";
import { insertOutbox, type MemoryContext } from "./memory-context.js";
import type { StopRow } from "./memory-rows.js";

/** A session stopped a partition; again does no harm. */
export function noteStop(context: MemoryContext, session: number, stopped: StoppedPartition): Promise<void> {
  const { stops } = context.database;
  return context.single("stop-note", (transaction) => {
    const { topic, partition, cause, ledgerNext } = stopped;
    const row: StopRow = { partition, cause, next: ledgerNext, session };
    const key = positionKey(topic, partition);
    if (transaction.get(stops, key) === undefined) transaction.insert(stops, key, row);
    else transaction.update(stops, key, row);
  });
}

/** Stops of sessions that live, at the position which the log did not fit: what `sluice status` lists. */
export function stopsOf(context: MemoryContext, topic: string, deadAfterMs: number): Promise<readonly StopRow[]> {
  const { stops, routers, positions, nowMs } = context.database;
  return context.single("status-stops", (transaction) =>
    transaction.all(stops).filter(({ partition, next, session }) => {
      const router = transaction.get(routers, session);
      const lives = router?.endedMs === null && router.beatMs > nowMs() - deadAfterMs;
      return lives && transaction.get(positions, positionKey(topic, partition))?.next === next;
    }),
  );
}

export interface MemoryAdoption {
  readonly topic: string;
  readonly partition: number;
  readonly expected: InboxPosition;
  readonly from: number;
  readonly isLogStart: boolean;
  readonly session: number;
  readonly action: OperatorAction;
}

/** @returns false when the position is no longer the one that was looked at; nothing was changed then. */
export function adoptPosition(context: MemoryContext, adoption: MemoryAdoption, render: Renderer): Promise<boolean> {
  const { topic, partition, expected, from, isLogStart, session, action } = adoption;
  const { positions, turns, stops } = context.database;
  const key = positionKey(topic, partition);
  return context.transaction("adopt", async (transaction) => {
    await context.statement(transaction, "position-adopt");
    await transaction.lock(positions, [key], "exclusive");
    const row = transaction.get(positions, key);
    if (row?.next !== expected.next || row.witness?.toString("hex") !== expected.witness?.toString("hex")) return false;
    transaction.update(positions, key, {
      next: from,
      witness: isLogStart ? LOG_START_WITNESS : null,
      lastGroup: null,
      adoptions: row.adoptions + 1,
    });
    await context.statement(transaction, "position-forget");
    transaction.remove(turns, key);
    transaction.remove(stops, key);
    const event = operatorEvent("operator.adopted", action, `adopted partition ${String(partition)}`, NO_SUBJECT);
    const record = render.event(event, context.nextNumber(), context.today());
    await insertOutbox(context, transaction, session, action.atMs, [record]);
    return true;
  });
}
