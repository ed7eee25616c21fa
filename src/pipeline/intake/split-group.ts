import type { PositionMove } from "../../ports/ledger.js";
import { recordWitness } from "../../domain/dedupe/record-witness.js";
import type { QueuedRecord, TakenGroup } from "./run-queue.js";

/**
 * Halves a group in offset order, with the moves of each half. Gaps of control records belong to the record after them; those behind
 * the last record, and partitions without records, to the second half.
 */
export function splitGroup(group: TakenGroup): readonly [TakenGroup, TakenGroup] {
  const half = Math.ceil(group.records.length / 2);
  const first = group.records.slice(0, half);
  const second = group.records.slice(half);
  const firstMoves: PositionMove[] = [];
  const secondMoves: PositionMove[] = [];
  for (const move of group.moves) {
    const inFirst = lastOf(first, move);
    if (inFirst === null) {
      secondMoves.push(move);
      continue;
    }
    const inSecond = lastOf(second, move);
    const boundary = inFirst.record.offset + 1;
    firstMoves.push({ ...move, upto: boundary, witness: recordWitness(inFirst.record) });
    if (inSecond !== null || move.upto > boundary) secondMoves.push({ ...move, since: boundary });
  }
  return [
    { records: first, moves: firstMoves },
    { records: second, moves: secondMoves },
  ];
}

function lastOf(records: readonly QueuedRecord[], move: PositionMove): QueuedRecord | null {
  return records.findLast(({ record }) => record.topic === move.topic && record.partition === move.partition) ?? null;
}
