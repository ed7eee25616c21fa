import type { IncomingRecord, Refusal } from "../../domain/job/job.js";
import type { DecodedValue } from "../../ports/broker.js";
import type { RecordRun } from "../../ports/broker.js";
import type { PositionMove } from "../../ports/ledger.js";
import { recordWitness } from "../../domain/dedupe/record-witness.js";

export interface QueuedRecord {
  readonly record: IncomingRecord;
  /** The value as decoded from Avro; undefined for JSON. */
  readonly decoded: DecodedValue | undefined;
  /** Set when the ledger refused the record on its own: what goes in instead. */
  refuse: Refusal | null;
}

interface QueuedRun {
  readonly run: RecordRun;
  /** Records before this index are taken. */
  next: number;
  /** Offset from which the rest of the run counts. */
  since: number;
}

export interface TakenGroup {
  readonly records: readonly QueuedRecord[];
  readonly moves: readonly PositionMove[];
}

/** Runs of records in the order they came, bounded by count and bytes, taken in groups across partitions. */
export class RunQueue {
  readonly #recordsMax: number;
  readonly #bytesMax: number;
  #runs: QueuedRun[] = [];
  #records = 0;
  #bytes = 0;
  #closed = false;
  #room: (() => void)[] = [];
  #wake: (() => void) | null = null;

  constructor(recordsMax: number, bytesMax: number) {
    this.#recordsMax = recordsMax;
    this.#bytesMax = bytesMax;
  }

  get length(): number {
    return this.#records;
  }

  /** Resolves once there is room for more after this run. */
  async offer(run: RecordRun): Promise<void> {
    this.#runs.push({ run, next: 0, since: run.since });
    this.#records += run.records.length;
    for (const record of run.records) this.#bytes += record.value?.length ?? 0;
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
    while (!this.#closed && (this.#records > this.#recordsMax || this.#bytes > this.#bytesMax)) {
      await new Promise<void>((resolve) => this.#room.push(resolve));
    }
  }

  /** Resolves when a run is there, or the queue was closed. */
  async filled(): Promise<void> {
    while (this.#runs.length === 0 && !this.#closed)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
  }

  close(): void {
    this.#closed = true;
    this.#wake?.();
    this.#freeRoom();
  }

  #freeRoom(): void {
    for (const resolve of this.#room.splice(0)) resolve();
  }

  take(sizeMax: number): TakenGroup {
    const records: QueuedRecord[] = [];
    const moves = new Map<string, PositionMove>();
    while (this.#runs.length > 0 && records.length < sizeMax) {
      const queued = this.#runs[0];
      if (queued === undefined) break;
      const { run } = queued;
      const key = `${run.topic}\0${String(run.partition)}`;
      const earlier = moves.get(key);
      // Not the next run of the partition: fetched anew in another generation, or another log's. As one move the ledger could not see what lies
      // between.
      if (earlier !== undefined && (earlier.upto !== queued.since || earlier.adoptions !== run.adoptions)) break;
      const count = Math.min(sizeMax - records.length, run.records.length - queued.next);
      const part = run.records.slice(queued.next, queued.next + count);
      queued.next += count;
      const finished = queued.next === run.records.length;
      const upto = finished ? run.upto : (run.records[queued.next]?.offset ?? run.upto);
      const last = part[part.length - 1];
      moves.set(key, {
        topic: run.topic,
        partition: run.partition,
        since: earlier?.since ?? queued.since,
        upto,
        witness: last === undefined ? (earlier?.witness ?? Buffer.alloc(0)) : recordWitness(last),
        ...(run.adoptions === undefined ? {} : { adoptions: run.adoptions }),
      });
      queued.since = upto;
      for (const record of part) records.push(queuedOf(run, record));
      if (finished) this.#runs.shift();
    }
    this.#records -= records.length;
    for (const { record } of records) this.#bytes -= record.value?.length ?? 0;
    this.#freeRoom();
    return { records, moves: [...moves.values()] };
  }

  /** The first ones, which stay in the queue. */
  peek(sizeMax: number): QueuedRecord[] {
    const records: QueuedRecord[] = [];
    for (const { run, next } of this.#runs) {
      if (records.length >= sizeMax) break;
      for (const record of run.records.slice(next, next + sizeMax - records.length))
        records.push(queuedOf(run, record));
    }
    return records;
  }

  /** Forgets what is queued of a partition; it is fetched again from the ledger's position. */
  drop(topic: string, partition: number): void {
    this.#runs = this.#runs.filter((queued) => queued.run.topic !== topic || queued.run.partition !== partition);
    this.#records = 0;
    this.#bytes = 0;
    for (const queued of this.#runs) {
      for (const record of queued.run.records.slice(queued.next)) {
        this.#records += 1;
        this.#bytes += record.value?.length ?? 0;
      }
    }
    this.#freeRoom();
  }
}

function queuedOf(run: RecordRun, record: IncomingRecord): QueuedRecord {
  return { record, decoded: run.decoded?.get(record), refuse: null };
}
