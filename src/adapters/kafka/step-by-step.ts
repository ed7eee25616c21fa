import {
  carefulReading,
  judgeMark,
  stepLength,
  type CarefulReading,
  type MarkedRecords,
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
  readonly markRecords: (records: MarkedRecords) => Promise<boolean>;
}

export interface StepByStepParts {
  readonly turns: Turns;
  readonly clock: Clock;
  readonly log: Log;
}

/** What the reading of a step needs from the consumer. */
export interface ConsumerSteps {
  /** Also the heartbeat. False: the partition is no longer ours to read, or was sought elsewhere. */
  readonly goesOn: () => Promise<boolean>;
  /** Null: stopped meanwhile. */
  readonly decode: (records: readonly IncomingRecord[]) => Promise<ReadonlyMap<IncomingRecord, DecodedValue> | null>;
  readonly offer: (run: RecordRun) => Promise<void>;
  readonly isAccepted: (upto: number) => boolean;
}

type Verdict = Exclude<MarkVerdict, "unclear">;

const LOOK_AGAIN_MS = 500;
const ACCEPTED_POLL_MS = 5;

/**
 * Reads partitions under suspicion: a session ended where it began, so one of the next records may end whoever reads it. A step of records
 * is marked in the ledger, then read and accepted, then the next has its turn, of all such partitions of the process one at a time. After
 * a death the records that were marked are read singly; after another, the mark names one, which becomes a dead letter without being read.
 * Where other routers die as well it takes one death more, see `judgeMark`.
 *
 * A death is what the ledger declares as one: a mark of a session that lives on, or left in order, says nothing. What can't be told yet is
 * waited for where it decides, at most as long as a silent session takes to be declared dead.
 */
export class StepByStep {
  readonly #parts: StepByStepParts;
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: StepByStepParts) {
    this.#parts = parts;
  }

  /** Counts the turn. @param run the first records of a partition since it was assigned. @returns to where it is read in steps. */
  async begin({ topic, partition, since, upto }: Omit<RecordRun, "records">): Promise<CarefulReading> {
    const turn = await this.#parts.turns.begin(topic, partition);
    const reading = carefulReading(turn, since, upto);
    if (reading.upto > 0) this.#parts.log.warn("inbox.step_by_step", { topic, partition, next: since, ...turn });
    return reading;
  }

  /** @param reading what `begin` said. @returns false when the reading stopped before the run's end. */
  async read(run: RecordRun, reading: CarefulReading, steps: ConsumerSteps): Promise<boolean> {
    let since = run.since;
    let rest = run.records;
    while (rest.length > 0) {
      const records = rest.slice(0, stepLength(rest[0]?.offset ?? since, reading));
      rest = rest.slice(records.length);
      const upto = rest.length === 0 ? run.upto : (records.at(-1)?.offset ?? since) + 1;
      // Serial: that is the point.
      if (!(await this.#readStep({ ...run, since, upto, records }, steps))) return false;
      since = upto;
    }
    return true;
  }

  async #readStep(run: RecordRun, steps: ConsumerSteps): Promise<boolean> {
    const [first, second] = run.records;
    if (first === undefined) return true;
    const verdict = second === undefined ? await this.#verdictOn(first, steps) : "read";
    // Alone from the mark to the acceptance: else two partitions would be marked at a death, and one of them wrongly.
    return verdict !== null && this.#alone(() => this.#settle(run, first, verdict, steps));
  }

  /** @returns null when the reading stopped before it was clear. */
  async #verdictOn({ topic, partition, offset }: IncomingRecord, steps: ConsumerSteps): Promise<Verdict | null> {
    const { turns, clock } = this.#parts;
    let before: RecordMark | null = null;
    while (await steps.goesOn()) {
      const mark = await turns.mark(topic, partition);
      const verdict = judgeMark(offset, turns.session, mark, before);
      if (verdict !== "unclear") return verdict;
      before = mark;
      await clock.sleep(LOOK_AGAIN_MS);
    }
    return null;
  }

  async #settle(run: RecordRun, first: IncomingRecord, verdict: Verdict, steps: ConsumerSteps): Promise<boolean> {
    if (!(await steps.goesOn())) return false; // it waited for others
    const decoded = verdict === "suspect" ? this.#suspect(first) : await this.#markAndDecode(run, first, steps);
    if (decoded === null) return false;
    await steps.offer({ ...run, decoded });
    while (!steps.isAccepted(run.upto)) {
      if (!(await steps.goesOn())) return false;
      await this.#parts.clock.sleep(ACCEPTED_POLL_MS);
    }
    return true;
  }

  async #markAndDecode(
    { topic, partition, records }: RecordRun,
    first: IncomingRecord,
    steps: ConsumerSteps,
  ): Promise<ReadonlyMap<IncomingRecord, DecodedValue> | null> {
    const { turns, clock } = this.#parts;
    const behind = (records.at(-1) ?? first).offset + 1;
    if (await turns.markRecords({ topic, partition, offset: first.offset, upto: behind })) return steps.decode(records);
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
