import type { DecodedJob } from "../domain/job/read-document.js";
import type { IncomingRecord } from "../domain/job/job.js";
import type { ErrorCode } from "../domain/failure.js";
import type { Outgoing } from "../domain/result/outgoing.js";

/** What the registry made of an Avro value. */
export type DecodedValue =
  | { readonly kind: "decoded"; readonly document: DecodedJob }
  | { readonly kind: "refused"; readonly code: ErrorCode; readonly message: string };

/** Records of one partition, in offset order, that follow each other without a gap: everything from `since` to `upto - 1`. */
export interface RecordRun {
  readonly topic: string;
  readonly partition: number;
  readonly since: number;
  readonly upto: number;
  readonly records: readonly IncomingRecord[];
  /** Of the position that the partition was proved by. Left out: 0. */
  readonly adoptions?: number;
  /** Values that were decoded from Avro, or could not be; a record that is not in it is JSON. */
  readonly decoded?: ReadonlyMap<IncomingRecord, DecodedValue>;
}

/** Takes runs from the consumer. The promise resolves when there is room for the next: that is the back-pressure. */
export interface RecordSink {
  offer(run: RecordRun): Promise<void>;
}

/** What the intake asks of the consumer. */
export interface Inbox {
  /** The ledger's position of a partition is not where this consumer thought: read it again and go on from there. */
  rewind(topic: string, partition: number): Promise<void>;
  /** A hint for lag tools and the witness of what was accepted; nobody waits for it. */
  accepted(topic: string, partition: number, next: number): void;
}

/** A partition that this consumer reads, and whether fetching from it is stopped on purpose. */
export interface WatchedPartition {
  readonly topic: string;
  readonly partition: number;
  readonly stopped: boolean;
}

/** The consumer of jobs topics as a session runs it. It reads on from the ledger's positions. */
export interface JobsConsumer extends Inbox {
  /** Rejects when the brokers can't be reached. */
  start(): Promise<void>;
  /** Leaves the group, so that its partitions go to others at once. */
  stop(): Promise<void>;
  /** Fetches nothing more until `resume`; it stays in the group. */
  pause(): void;
  resume(): void;
  /** True once it gave up by itself: nobody reads any more. */
  readonly dead: boolean;
  /** Begins anew in the place of one that reads no more. */
  restart(): Promise<void>;
  watched(): readonly WatchedPartition[];
  /** Takes stopped partitions up again whose position was changed from outside. Rejects when the ledger can't be asked. */
  lookAtStopped(): Promise<void>;
}

export type PublishOutcome = { readonly kind: "acknowledged" } | PublishRefusal;

/** The brokers answered, and will answer the same again. */
export interface PublishRefusal {
  readonly kind: "refused";
  /** `records`: one of them, or all of them at once; alone the others may be taken. `topic`: nothing is taken until somebody mends it. */
  readonly of: "records" | "topic";
  /** The broker's word and what it means. */
  readonly reason: string;
}

/**
 * Publishes to the broker with acks=all. Of refused records some may have been written: brokers answer by partition. Rejects on trouble that
 * waiting mends (connection, leader, replicas, time), when not all are acknowledged. Publishing again is harmless: records have stable ids.
 */
export interface Publisher {
  publish(topic: string, records: readonly Outgoing[]): Promise<PublishOutcome>;
}
