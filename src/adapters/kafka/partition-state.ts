import type { CarefulReading } from "../../domain/dedupe/crash-suspect.js";
import type { InboxPosition } from "../../ports/ledger.js";

/** What the inbox knows of an assigned partition, in one generation of its group. */
export interface PartitionState {
  readonly topic: string;
  readonly partition: number;
  /** Offset of the next record to hand on; null until it was compared with the ledger in this generation. */
  expected: number | null;
  /** Of the position that it was compared with. */
  adoptions: number;
  /** Next offset that was not accepted when last heard of. */
  accepted: number;
  /** Whether its first records are read in steps; null until they came in this generation. */
  careful: CarefulReading | null;
  /** A seek is under way, to the record before the position or to the one at it. */
  provingFrom: number | null;
  /** The position that seek is for: another one, read meanwhile, is not proved by it. */
  provingFor: InboxPosition | null;
  /** What was not read below this offset is known to be missing. */
  goneUpto: number;
  /** The ledger's position that the log does not fit; null while the partition is read. */
  stoppedAt: InboxPosition | null;
}

/** The states of one generation; the next begins with none. */
export class PartitionStates {
  readonly #states = new Map<string, PartitionState>();

  /** A partition that was not heard of is to be proved. */
  of(topic: string, partition: number): PartitionState {
    const known = this.known(topic, partition);
    if (known !== undefined) return known;
    const state: PartitionState = {
      topic,
      partition,
      expected: null,
      adoptions: 0,
      accepted: 0,
      careful: null,
      provingFrom: null,
      provingFor: null,
      goneUpto: 0,
      stoppedAt: null,
    };
    this.#states.set(partitionKey(topic, partition), state);
    return state;
  }

  known(topic: string, partition: number): PartitionState | undefined {
    return this.#states.get(partitionKey(topic, partition));
  }

  /** False once a new generation began, which proves the partition itself. */
  isCurrent(state: PartitionState): boolean {
    return this.known(state.topic, state.partition) === state;
  }

  stopped(): readonly PartitionState[] {
    return [...this.#states.values()].filter(isStopped);
  }

  clear(): void {
    this.#states.clear();
  }
}

export function isStopped(state: PartitionState | undefined): boolean {
  return state !== undefined && state.stoppedAt !== null;
}

export function partitionKey(topic: string, partition: number): string {
  return `${topic}\0${String(partition)}`;
}
