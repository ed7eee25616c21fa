import type { SeenStanding } from "../../../src/ports/budget-store.js";
import type { BudgetPlace } from "../../../src/domain/budget/budget.js";
import type { Batch } from "../../../src/domain/batch/batch.js";
import { QueueTurns } from "../../../src/domain/limit/queue-turns.js";
import type { AttemptSummary, EndedState } from "../../../src/domain/execution/execution.js";
import type { CostRow, EndingJob, JobEnd, Outgoing, Renderer } from "../../../src/domain/result/outgoing.js";
import type { EndedJob, FinishedCall, OutboxGroup, PositionMove } from "../../../src/ports/ledger.js";
import { parseEnvelope } from "../../../src/domain/result/envelope.js";
import { MemoryBudgets } from "./memory-budgets.js";
import { CommitUnknown, Deadlock, LedgerAway, type MemoryDatabase, type Transaction } from "./memory-database.js";
import type { BatchRow, ExecutionRow, JobRow, PositionRow, ReadyRow, ReservationRow } from "./memory-rows.js";

/** Where a statement may be interrupted, and what may happen to a connection. */
export interface LedgerWire {
  readonly step: (label: string) => Promise<void>;
  /** Asked at each statement and at COMMIT: whether the connection breaks there, and for COMMIT whether before or after it took effect. */
  readonly breaks: (at: "statement" | "commit") => "no" | "before" | "after";
}

/** The rules that a planted bug breaks; the real ones are `LEDGER_RULES`. */
export interface LedgerRules {
  /** The position after a move, or null when the move is refused. */
  readonly movePosition: (row: PositionRow, move: PositionMove, groupNo: number) => PositionRow | null;
  /** Whether a decision about an execution may still be taken by the session that made the call. */
  readonly holds: (execution: ExecutionRow, call: FinishedCall, session: number, alive: boolean) => boolean;
  /** True: finish reads the waiting jobs on the snapshot from before it waited for the execution's row. */
  readonly waitersOnOldSnapshot: boolean;
  /** False: a replay locks and marks nothing that keeps another one from the same letter. */
  readonly replaysOnce: boolean;
  /** False: a line stays in its pool when a batch has taken it. */
  readonly bindsOnce: boolean;
  /** False: a line of a group stays open beside the call that it became. */
  readonly startsOnce: boolean;
  /** False: a line of a group that is called counts as ended. */
  readonly countsCalls: boolean;
  /** False: an execution that was rescued is rescued again. */
  readonly rescuedOnce: boolean;
  /** What a second answer to an execution is booked as. */
  readonly secondAnswer: "waste" | "charged";
  /** False: what was read of a line's outcome is taken for new each time. */
  readonly firstOutcomeStands: boolean;
  /** False: a batch that ends is told that no line of it is open. */
  readonly showsOpenLines: boolean;
  /** False: a batch goes to `creating` and its intent is not stored. */
  readonly keepsIntents: boolean;
  /** False: nobody hears which batches at the provider are known, and two of ours may be one. */
  readonly knowsBatches: boolean;
  /** False: lines of a batch that turns up after it was given up stay as they are. */
  readonly takesLinesBack: boolean;
  /** Whether a batch may still be changed by whoever read it as `batch`. */
  readonly mayChange: (row: BatchRow, session: number, batch: Batch) => boolean;
  /** False: what is left of a budget is read, and not held until the reservation is stored. */
  readonly locksBudgets: boolean;
  /** The budgets that an attempt counts in. */
  readonly reservesIn: (places: readonly BudgetPlace[]) => readonly BudgetPlace[];
  /** Reservations of an attempt that ends, as far as they are settled. */
  readonly settlesIn: (held: readonly ReservationRow[]) => readonly ReservationRow[];
  /** False: an attempt that was never sent keeps its money. */
  readonly releasesUnsent: boolean;
  /** Attempts with an outcome, as far as their money is settled. */
  readonly settles: (calls: readonly FinishedCall[]) => readonly FinishedCall[];
  /** Jobs beside the first of each execution that one transaction ends. */
  readonly waitersMax: number;
}

export const LEDGER_RULES: LedgerRules = {
  movePosition: (row, move, groupNo) =>
    row.next === move.since && row.adoptions === (move.adoptions ?? 0)
      ? { ...row, next: move.upto, witness: move.witness, lastGroup: groupNo }
      : null,
  holds: (execution, call, session, alive) =>
    alive &&
    execution.state === "running" &&
    // No session holds a line of a batch: any that lives may decide about it.
    (execution.session === session || execution.session === null) &&
    execution.attemptNo === call.attempt.no,
  waitersOnOldSnapshot: false,
  replaysOnce: true,
  bindsOnce: true,
  startsOnce: true,
  countsCalls: true,
  rescuedOnce: true,
  secondAnswer: "waste",
  firstOutcomeStands: true,
  showsOpenLines: true,
  keepsIntents: true,
  knowsBatches: true,
  takesLinesBack: true,
  mayChange: (row, session, batch) => row.session === session && row.batch.version === batch.version,
  locksBudgets: true,
  reservesIn: (places) => places,
  settlesIn: (held) => held,
  releasesUnsent: true,
  settles: (calls) => calls.filter(({ verdict }) => verdict.kind !== "doubt"),
  waitersMax: 500,
};

const TRIES = 5;
const DAY_MS = 86_400_000;

/** What every operation of the memory ledger shares: the database, one process's connection, and its numbers. */
export class MemoryContext {
  readonly database: MemoryDatabase;
  readonly wire: LedgerWire;
  readonly rules: LedgerRules;
  readonly budgets: MemoryBudgets;
  readonly turns: QueueTurns;
  #from = 0;
  #left = 0;

  constructor(
    database: MemoryDatabase,
    wire: LedgerWire,
    rules: LedgerRules,
    weights: ReadonlyMap<string, number> = new Map(),
    seen?: SeenStanding,
  ) {
    this.database = database;
    this.wire = wire;
    this.rules = rules;
    this.budgets = new MemoryBudgets(this, seen);
    this.turns = new QueueTurns((tenant) => weights.get(tenant) ?? 1);
  }

  nextNumber(): number {
    if (this.#left === 0) {
      const block = this.database.takeBlock();
      this.#from = block.from;
      this.#left = block.count;
    }
    this.#left -= 1;
    this.#from += 1;
    return this.#from - 1;
  }

  today(): number {
    return Math.floor(this.database.nowMs() / DAY_MS);
  }

  /** One statement of a transaction: the place where a crash, a cut or another process may come in. */
  async statement(transaction: Transaction, label: string): Promise<void> {
    await this.wire.step(label);
    transaction.requireOpen();
    if (this.wire.breaks("statement") !== "no") throw new LedgerAway("the connection broke at a statement");
  }

  async transaction<Result>(
    name: string,
    work: (transaction: Transaction) => Promise<Result>,
    onCommitUnknown: (result: Result) => Promise<Result | null> = () => Promise.resolve(null),
  ): Promise<Result> {
    for (let attempt = 1; ; attempt += 1) {
      if (this.database.isGone(this)) return new Promise<never>(() => undefined);
      const transaction = this.database.begin(this);
      let result!: Result;
      try {
        result = await work(transaction);
        await this.#commit(transaction, name);
        return result;
      } catch (error) {
        this.database.abort(transaction);
        if (error instanceof CommitUnknown) {
          const known = await this.#untilAnswered(() => onCommitUnknown(result)); // COMMIT is only sent with a result
          if (known !== null) return known;
        } else if (!(error instanceof Deadlock) || attempt >= TRIES) throw error;
      }
    }
  }

  /** Whether a transaction stands must be known before anything else is decided, so this asks until there is an answer. */
  async #untilAnswered<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (!(error instanceof LedgerAway)) throw error;
        // Serial: one question at a time.
        await this.wire.step("ask-again");
      }
    }
  }

  async #commit(transaction: Transaction, name: string): Promise<void> {
    await this.wire.step(`${name}.commit`);
    const breaks = this.wire.breaks("commit");
    if (breaks !== "before") this.database.commit(transaction);
    if (breaks !== "no") throw new CommitUnknown("the connection broke at COMMIT");
    await this.wire.step(`${name}.committed`);
  }

  /** A statement outside of a transaction; safe to repeat. */
  async single<Result>(name: string, work: (transaction: Transaction) => Result): Promise<Result> {
    await this.wire.step(name);
    if (this.wire.breaks("statement") !== "no") throw new LedgerAway("the connection broke at a statement");
    const transaction = this.database.begin(this);
    try {
      const result = work(transaction);
      this.database.commit(transaction);
      await this.wire.step(`${name}.done`);
      return result;
    } catch (error) {
      this.database.abort(transaction);
      throw error;
    }
  }
}

export interface EndingWithReason {
  readonly job: EndingJob;
  readonly end: JobEnd;
}

export interface WrittenEnds {
  readonly outgoing: Outgoing[];
  readonly ended: EndedJob[];
  readonly costs: readonly CostRow[];
}

export function endingOf(row: JobRow, status: EndedState): EndingJob {
  return {
    key: row.key,
    tenant: row.tenant,
    jobId: row.jobId,
    generation: row.generation,
    execution: row.execution,
    status,
    acceptedAtMs: row.acceptedMs,
    envelope: row.envelope,
    record: null,
  };
}

/** Ends active jobs under their locks; those that ended meanwhile are left out. */
export async function endJobs(
  context: MemoryContext,
  transaction: Transaction,
  jobs: readonly { readonly no: number; readonly status: EndedState; readonly code: string | null }[],
  nowMs: number,
): Promise<EndingJob[]> {
  const { jobs: table } = context.database;
  await transaction.lock(
    table,
    jobs.map(({ no }) => no),
    "exclusive",
  );
  return jobs.flatMap(({ no, status, code }) => {
    if (transaction.get(table, no)?.state !== "active") return [];
    return [endingOf(transaction.update(table, no, { state: status, endedMs: nowMs, failureCode: code }), status)];
  });
}

/** What was tried by now for jobs that end without their executions. */
export async function historiesOf(
  context: MemoryContext,
  transaction: Transaction,
  jobs: readonly EndingJob[],
): Promise<(job: EndingJob) => readonly AttemptSummary[]> {
  if (jobs.length === 0) return () => [];
  await context.statement(transaction, "executions-histories");
  return ({ execution }) => transaction.get(context.database.executions, execution?.no ?? -1)?.history ?? [];
}

export async function writeEnds(
  context: MemoryContext,
  transaction: Transaction,
  render: Renderer,
  ends: readonly EndingWithReason[],
): Promise<WrittenEnds> {
  if (ends.length === 0) return { outgoing: [], ended: [], costs: [] };
  const { database } = context;
  const outgoing: Outgoing[] = [];
  const costs: CostRow[] = [];
  await context.statement(transaction, "ends");
  for (const { job, end } of ends) {
    const record = end.failure === null ? null : (transaction.get(database.jobs, job.key.no)?.record ?? null);
    const rendered = render.end(record === null ? job : { ...job, record }, end);
    outgoing.push(...rendered.outgoing);
    if (rendered.cost !== null) {
      insertCosts(context, transaction, [rendered.cost]);
      costs.push(rendered.cost);
    }
    if (rendered.deadLetter !== null && record !== null) {
      const { source } = parseEnvelope(job.envelope);
      transaction.insert(database.deadLetters, rendered.deadLetter.outgoing.no, {
        no: rendered.deadLetter.outgoing.no,
        code: rendered.deadLetter.code,
        ...source,
        job: job.key,
        state: job.generation >= 2 ? "parked" : "open",
        outboxKey: null,
      });
      outgoing.push(rendered.deadLetter.outgoing);
    }
  }
  await context.statement(transaction, "repeats");
  outgoing.push(...repeatResults(context, transaction, render, ends, outgoing));
  return { outgoing, ended: ends.map(endedJob), costs };
}

function endedJob({ job, end }: EndingWithReason): EndedJob {
  const { status, acceptedAtMs } = job;
  const code = status === "succeeded" ? null : (end.failure?.code ?? null);
  return { status, code, acceptedAtMs, endedAtMs: end.endedAtMs };
}

function repeatResults(
  context: MemoryContext,
  transaction: Transaction,
  render: Renderer,
  ends: readonly EndingWithReason[],
  rendered: readonly Outgoing[],
): Outgoing[] {
  const ended = new Set(ends.map(({ job }) => job.key.no));
  return transaction.all(context.database.repeats).flatMap((repeat) => {
    if (!ended.has(repeat.jobNo)) return [];
    transaction.remove(context.database.repeats, repeat.no);
    const original = rendered.find((record) => record.kind === "result" && record.no === repeat.jobNo);
    return original === undefined ? [] : [render.repeat(original, repeat.envelope, repeat.no, context.today())];
  });
}

export function insertCosts(context: MemoryContext, transaction: Transaction, costs: readonly CostRow[]): void {
  for (const cost of costs) transaction.insert(context.database.costs, cost.no, cost);
}

export function insertReady(context: MemoryContext, transaction: Transaction, rows: readonly ReadyRow[]): void {
  for (const row of rows) transaction.insert(context.database.ready, row.key.no, row);
}

/** Deadlines and highest priority of the jobs that still wait for an execution. */
export function waitersOf(
  context: MemoryContext,
  transaction: Transaction,
  executionNo: number,
): { readonly nearestDeadlineMs: number; readonly latestDeadlineMs: number; readonly priority: number } | null {
  const waiting = transaction
    .all(context.database.jobs)
    .filter((job) => job.execution?.no === executionNo && job.state === "active");
  if (waiting.length === 0) return null;
  return {
    nearestDeadlineMs: Math.min(...waiting.map((job) => job.deadlineMs)),
    latestDeadlineMs: Math.max(...waiting.map((job) => job.deadlineMs)),
    priority: Math.max(...waiting.map((job) => job.priority)),
  };
}

export async function insertOutbox(
  context: MemoryContext,
  transaction: Transaction,
  session: number,
  nowMs: number,
  outgoing: readonly Outgoing[],
): Promise<OutboxGroup[]> {
  if (outgoing.length === 0) return [];
  await context.statement(transaction, "outbox");
  const { outbox, outboxReady } = context.database;
  for (const record of outgoing) transaction.insert(outbox, outboxKey(record), record);
  const groups: OutboxGroup[] = [];
  for (const topic of new Set(outgoing.map((record) => record.topic))) {
    const records = outgoing.filter((record) => record.topic === topic);
    const seq = context.nextNumber();
    transaction.insert(outboxReady, seq, {
      seq,
      session,
      topic,
      atMs: Math.min(nowMs, context.database.nowMs()),
      afterMs: 0,
      keys: records.map(outboxKey),
    });
    groups.push({ seq, topic, records, sinceMs: nowMs });
  }
  return groups;
}

export function outboxKey(record: Pick<Outgoing, "no" | "kind">): string {
  return `${record.kind}:${String(record.no)}`;
}
