import {
  judgeMark,
  readsOneByOne,
  type MarkVerdict,
  type PositionTurn,
  type RecordMark,
} from "../../domain/dedupe/crash-suspect.js";
import type { SessionNo } from "../../domain/ids.js";
import type { IncomingRecord } from "../../domain/job/job.js";
import type { DecodedValue, RecordRun } from "../../ports/broker.js";
import type { Clock, Log } from "../../ports/system.js";

/** The ledger's memory of who read a partition where. */
export interface Turns {
  readonly session: SessionNo;
  readonly begin: (topic: string, partition: number) => Promise<PositionTurn>;
  readonly mark: (topic: string, partition: number) => Promise<RecordMark | null>;
  /** @returns false when the session was declared dead. */
  readonly markRecord: (topic: string, partition: number, offset: number) => Promise<boolean>;
}

export interface OneByOneParts {
  readonly turns: Turns;
  readonly clock: Clock;
  readonly log: Log;
}

/** What the reading of one record needs from the consumer. */
export interface OneByOneSteps {
  /** Also the heartbeat. False: the partition is no longer ours to read, or was sought elsewhere. */
  readonly goesOn: () => Promise<boolean>;
  /** Null: stopped meanwhile. */
  readonly decode: (record: IncomingRecord) => Promise<ReadonlyMap<IncomingRecord, DecodedValue> | null>;
  readonly offer: (run: RecordRun) => Promise<void>;
  readonly isAccepted: (upto: number) => boolean;
}

/** As many at least are read one by one: the group that ended its readers held at most so many records, of all partitions. */
const RECORDS_ONE_BY_ONE = 1000;
const LOOK_AGAIN_MS = 500;
const ACCEPTED_POLL_MS = 5;

/**
 * Reads partitions under suspicion: sessions ended where they began, so one of the next records may end whoever reads it. Each record is
 * marked in the ledger, then read and accepted, then the next has its turn, of all such partitions of the process one at a time. After
 * another death the mark names the record, which becomes a dead letter without being read.
 *
 * A death is what the ledger declares as one: a mark of a session that lives on, or left in order, says nothing. What can't be told yet is
 * waited for, at most as long as a silent session takes to be declared dead.
 */
export class OneByOne {
  readonly #parts: OneByOneParts;
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: OneByOneParts) {
    this.#parts = parts;
  }

  /**
   * Counts the turn. @param run the first records of a partition since it was assigned.
   * @returns the offset up to which they are to be read one by one; 0 as a rule.
   */
  async begin({ topic, partition, since, upto }: Omit<RecordRun, "records">): Promise<number> {
    const turn = await this.#parts.turns.begin(topic, partition);
    if (!readsOneByOne(turn)) return 0;
    this.#parts.log.warn("inbox.one_by_one", { topic, partition, next: since, ...turn });
    return Math.max(upto, since + RECORDS_ONE_BY_ONE);
  }

  /** @returns false when the reading stopped before the run's end. */
  async read(run: RecordRun, steps: OneByOneSteps): Promise<boolean> {
    let since = run.since;
    for (const [index, record] of run.records.entries()) {
      const upto = index === run.records.length - 1 ? run.upto : record.offset + 1;
      // Serial: that is the point.
      if (!(await this.#readOne({ ...run, since, upto, records: [record] }, record, steps))) return false;
      since = upto;
    }
    return true;
  }

  async #readOne(run: RecordRun, record: IncomingRecord, steps: OneByOneSteps): Promise<boolean> {
    let before: RecordMark | null = null;
    while (await steps.goesOn()) {
      const mark = await this.#parts.turns.mark(record.topic, record.partition);
      const verdict = judgeMark(record.offset, this.#parts.turns.session, mark, before);
      // Alone from the mark to the acceptance: else two partitions would be marked at a death, and one of them wrongly.
      if (verdict !== "unclear") return this.#alone(() => this.#settle(run, record, verdict, steps));
      before = mark;
      await this.#parts.clock.sleep(LOOK_AGAIN_MS);
    }
    return false;
  }

  async #settle(
    run: RecordRun,
    record: IncomingRecord,
    verdict: Exclude<MarkVerdict, "unclear">,
    steps: OneByOneSteps,
  ): Promise<boolean> {
    if (!(await steps.goesOn())) return false; // it waited for others
    const decoded = verdict === "suspect" ? this.#suspect(record) : await this.#markAndDecode(record, steps);
    if (decoded === null) return false;
    await steps.offer({ ...run, decoded });
    while (!steps.isAccepted(run.upto)) {
      if (!(await steps.goesOn())) return false;
      await this.#parts.clock.sleep(ACCEPTED_POLL_MS);
    }
    return true;
  }

  async #markAndDecode(
    record: IncomingRecord,
    steps: OneByOneSteps,
  ): Promise<ReadonlyMap<IncomingRecord, DecodedValue> | null> {
    const { turns, clock } = this.#parts;
    if (await turns.markRecord(record.topic, record.partition, record.offset)) return steps.decode(record);
    await clock.sleep(LOOK_AGAIN_MS); // the session is over, and hears of it with its next beat
    return null;
  }

  #suspect(record: IncomingRecord): ReadonlyMap<IncomingRecord, DecodedValue> {
    const { topic, partition, offset } = record;
    this.#parts.log.error("inbox.crash_suspect", { topic, partition, offset });
    return new Map([[record, CRASH_SUSPECT]]);
  }

  #alone<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

const CRASH_SUSPECT: DecodedValue = {
  kind: "refused",
  code: "CRASH_SUSPECT",
  message:
    "several routers in a row ended at this place, the last while it read this record alone, so it was not read again; find in their last log lines what ended them, mend it, and send the record anew",
};
