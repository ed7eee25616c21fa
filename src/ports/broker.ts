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

/** Publishes to the broker with acks=all. Rejects when not all of the records are acknowledged; publishing again is harmless. */
export interface Publisher {
  publish(topic: string, records: readonly Outgoing[]): Promise<void>;
}
