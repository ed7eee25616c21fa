import type { Admin } from "kafkajs";
import { recordsAt } from "../../adapters/kafka/records-at.js";
import { withAdmin } from "../../adapters/kafka/topics.js";
import { adoptPosition, positionsOf } from "../../adapters/postgres/operator/position-rows.js";
import { systemClock } from "../../adapters/system/system-clock.js";
import { judgePosition, type LogBounds, type PositionVerdict } from "../../domain/dedupe/judge-position.js";
import { recordWitness } from "../../domain/dedupe/record-witness.js";
import type { IncomingRecord } from "../../domain/job/job.js";
import type { InboxPosition } from "../../ports/ledger.js";
import { readerGroup } from "./follow-results.js";
import type { Operator } from "./open-operator.js";

/** Where an adopted partition is read from: the log's first record, its end, or an offset. */
export type AdoptFrom = "earliest" | "latest" | number;

/** A partition of a jobs topic as the ledger and as the broker know it. */
export interface PartitionStand {
  readonly cluster: string;
  readonly topic: string;
  readonly partition: number;
  /** `unproven`: the record before the position could not be read. */
  readonly verdict: PositionVerdict;
  readonly expected: InboxPosition;
  readonly log: LogBounds;
  /** Of the record that lies before the position now; null when none does. */
  readonly foundWitness: Buffer | null;
}

/** Stands that no router reads on by itself. */
export function isStopped({ verdict }: PartitionStand): boolean {
  return verdict === "truncated" || verdict === "other_topic";
}

/**
 * Compares the ledger's positions with the topic. Partitions without a position are left out: a router opens one.
 * @param only the one partition to look at; null: all.
 * @returns null when the broker has no such topic.
 */
export function standOf(
  operator: Operator,
  topic: string,
  only: number | null,
): Promise<readonly PartitionStand[] | null> {
  return withAdmin(operator.config.kafka, async (admin) => {
    if (!(await admin.listTopics()).includes(topic)) return null;
    const [{ clusterId }, offsets] = await Promise.all([admin.describeCluster(), admin.fetchTopicOffsets(topic)]);
    const positions = await positionsOf(operator.pools.durable, clusterId, topic);
    const known = offsets
      .flatMap(({ partition, low, high }) => {
        const expected = positions.get(partition);
        if (only !== null && partition !== only) return [];
        return expected === undefined ? [] : [{ partition, expected, log: { low: Number(low), high: Number(high) } }];
      })
      .sort((a, b) => a.partition - b.partition);
    const before = await recordsBefore(operator, admin, topic, known);
    return known.map(({ partition, expected, log }) => {
      const record = before.get(partition);
      const verdict = judgePosition(expected, log, record);
      const foundWitness = record === null || record === undefined ? null : recordWitness(record);
      return { cluster: clusterId, topic, partition, verdict, expected, log, foundWitness };
    });
  });
}

function recordsBefore(
  { config }: Operator,
  admin: Admin,
  topic: string,
  known: readonly { readonly partition: number; readonly expected: InboxPosition; readonly log: LogBounds }[],
): Promise<ReadonlyMap<number, IncomingRecord | null>> {
  const unproven = known.filter(({ expected, log }) => judgePosition(expected, log, undefined) === "unproven");
  const offsets = new Map(unproven.map(({ partition, expected }) => [partition, expected.next - 1]));
  return recordsAt(config.kafka, admin, {
    ...{ topic, offsets, groupId: readerGroup(config), clock: systemClock },
    inflatedBytesMax: config.kafka.inflatedBytesMax,
  });
}

/** The offset that `from` means in a log; null when the log does not have it. */
export function startIn(log: LogBounds, from: AdoptFrom): number | null {
  if (from === "earliest") return log.low;
  if (from === "latest") return log.high;
  return from >= log.low && from <= log.high ? from : null;
}

/** @returns false when a router or another operator moved the position since it was looked at. */
export async function adopt(operator: Operator, stand: PartitionStand, start: number): Promise<boolean> {
  const { cluster, topic, partition, expected, log } = stand;
  const { context, byWhom, nowMs } = operator;
  const action = { byWhom, atMs: nowMs() };
  const session = await operator.session();
  const adoption = { cluster, topic, partition, expected, from: start, isLogStart: start === log.low, session, action };
  return adoptPosition(context, adoption, await operator.render());
}
