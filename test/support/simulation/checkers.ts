import { LANE } from "../../../src/domain/dedupe/choose-execution.js";
import { LOG_START_WITNESS, recordWitness } from "../../../src/domain/dedupe/record-witness.js";
import { EXECUTION_TRANSITIONS, type AttemptState } from "../../../src/domain/execution/execution.js";
import { attemptId, parseAttemptId } from "../../../src/domain/job/ids.js";
import type { FakeBroker } from "./fake-broker.js";
import { RETRY_AFTER_MAX_MS, type ProviderBooks } from "./fake-provider.js";
import type { BatchBooks } from "./batch-service.js";
import { BudgetChecks } from "./check-budgets.js";
import { BatchChecks } from "./check-batches.js";
import { checkResults } from "./check-results.js";
import { checkBill } from "./check-bill.js";
import { JOBS_TOPIC } from "./fixture.js";
import { positionKey } from "./memory-accept.js";
import { LedgerAway, type MemoryDatabase, type Transaction } from "./memory-database.js";
import type { AttemptRow } from "./memory-rows.js";
import { isDeadly, type Scenario } from "./scenario.js";
import type { World } from "./world.js";

export const CHECKERS = [
  "no_job_lost",
  "one_result",
  "one_job_a_generation",
  "right_answer",
  "every_result_published",
  "no_repeat_lost",
  "ledger_equals_bill",
  "maximum_holds",
  "budget_holds",
  "reservations_are_true",
  "settled_is_true",
  "one_live_attempt",
  "one_execution_a_lane",
  "calls_only_with_intent",
  "calls_in_time",
  "fail_never_pays_twice",
  "tries_are_bounded",
  "creates_only_with_intent",
  "no_line_submitted_twice",
  "adopts_its_own",
  "rescued_once",
  "second_answer_is_waste",
  "every_line_ends",
  "no_batch_is_lost",
  "line_outcome_is_true",
  "files_are_deleted",
  "offsets_behind_ledger",
  "position_skips_nothing",
  "position_never_goes_back",
  "suspects_are_deadly",
  "alerts_are_true",
  "doubt_is_bounded",
  "patience_is_its_own",
  "no_stage_breaks",
  "everything_drains",
] as const;
export type CheckerName = (typeof CHECKERS)[number];

export interface Violation {
  readonly checker: CheckerName;
  readonly message: string;
  readonly jobId: string | null;
}

export interface CheckedParts {
  readonly world: World;
  readonly database: MemoryDatabase;
  readonly broker: FakeBroker;
  readonly books: ProviderBooks;
  readonly batches: BatchBooks;
  readonly scenario: Scenario;
}

/** Error events that tell of a row or a group that the ledger refused: none of them may ever happen here. */
const BUGS: ReadonlySet<string> = new Set([
  "intake.record_refused",
  "finish.refused",
  "session.stage_broke",
  "consumer.broke",
  "kafka.consumer_restarted",
  "dispatch.judge_failed",
  "dispatch.set_aside",
  "dispatch.give_back_refused",
  "batch.judge_failed",
  "batch.calls_failed",
]);

/** An attempt in one of these may be billed still. */
const OPEN: ReadonlySet<string> = new Set(["sending", "batched", "in_doubt"]);

/** A line and the call beside it, which an alias may allow. */
function isRescuedLine(open: readonly AttemptRow[]): boolean {
  const [one, other] = open;
  if (open.length !== 2 || one === undefined || other === undefined) return false;
  return one.intent.supersedes === other.intent.no || other.intent.supersedes === one.intent.no;
}

/** What a job fails with when its tries are over. */
const TRIED_AGAIN: ReadonlySet<string> = new Set(["PROVIDER_UNAVAILABLE", "PROVIDER_BAD_RESPONSE", "BAD_ANSWER"]);
/** The simulated router's, and its longest wait between two tries: a provider's Retry-After with jitter. */
const ATTEMPTS_MAX = 5;
/** An attempt in one of these states that has no outcome is out still, or never left. */
const WITHOUT_END: ReadonlySet<AttemptState> = new Set(["sending", "batched", "not_sent"]);
const WAIT_MAX_MS = RETRY_AFTER_MAX_MS + 300;

/** Watches a run: some promises are checked at each commit, call and offset, the others when all is quiet. The first violation stands. */
export class Checkers {
  violation: Violation | null = null;
  /** Attempts that were in the air at a kill or a stop. */
  readonly exposed = new Set<string>();
  readonly #parts: CheckedParts;
  readonly #doubtful = new Set<string>();
  readonly #express = new Set<number>();
  /** Records that a dying session had marked, as partition and offset. */
  /** By offset: sessions that may have died with it marked. */
  readonly #marked = new Map<string, Set<number>>();
  readonly #positions = new Map<string | number, number>();
  readonly #batches: BatchChecks;
  readonly #budgets: BudgetChecks;

  constructor(parts: CheckedParts) {
    this.#parts = parts;
    this.#batches = new BatchChecks(parts, this.report.bind(this));
    this.#budgets = new BudgetChecks(parts.database, this.report.bind(this));
    const { database, broker, books } = parts;
    database.onCommit = (transaction) => {
      this.#afterCommit(transaction);
    };
    broker.onCommitted = (partition, next) => {
      this.#afterOffset(partition, next);
    };
    books.onCall = (id, calledMs) => {
      this.#atCall(id, calledMs);
    };
  }

  get inDoubt(): number {
    return this.#doubtful.size;
  }

  /** Executions that waited for money. */
  get waitedForMoney(): number {
    return this.#budgets.waited.size;
  }

  /** Executions that were opened beside a waiting one, for jobs in a hurry. */
  get express(): number {
    return this.#express.size;
  }

  /** Executions that answered a job after the deadline of the one that opened them. */
  get outlived(): number {
    const { jobs, executions } = this.#parts.database;
    const answered = new Set(
      [...jobs.committed.values()].filter(({ state }) => state === "succeeded").map(({ execution }) => execution?.no),
    );
    return [...executions.committed.values()].filter(({ key, endedMs }) => {
      const opener = jobs.committed.get(key.no);
      return answered.has(key.no) && opener?.state === "expired" && opener.deadlineMs < (endedMs ?? 0);
    }).length;
  }

  report(checker: CheckerName, message: string, jobId: string | null): void {
    this.violation ??= { checker, message, jobId };
  }

  logged(event: string, fields: Readonly<Record<string, unknown>>): void {
    const { error } = fields;
    if (event === "batch.step_failed" && !(error instanceof LedgerAway))
      this.report("no_stage_breaks", `${event}: ${error instanceof Error ? (error.stack ?? "") : String(error)}`, null);
    // It would be answered by the next sweep, and nothing else would tell of it.
    if (event === "stragglers.found") this.report("no_job_lost", `${event}: ${JSON.stringify(fields)}`, null);
    if (BUGS.has(event))
      this.report(
        "no_stage_breaks",
        `${event}: ${error instanceof Error ? (error.stack ?? error.message) : JSON.stringify(fields)}`,
        null,
      );
  }

  #afterCommit(transaction: Transaction): void {
    const { database } = this.#parts;
    for (const key of transaction.touched(database.attempts)) this.#afterAttempt(Number(key));
    for (const key of transaction.touched(database.executions)) this.#afterExecution(Number(key));
    for (const key of transaction.touched(database.jobs)) this.#afterJob(Number(key));
    for (const key of transaction.touched(database.batches)) this.#batches.afterBatch(Number(key));
    for (const key of transaction.touched(database.positions)) this.#afterPosition(key);
    this.#budgets.afterCommit(transaction);
  }

  #afterAttempt(no: number): void {
    const { database } = this.#parts;
    const row = database.attempts.committed.get(no);
    if (row === undefined) return;
    if (row.state === "in_doubt") this.#doubtful.add(attemptId(row.execution.day, no));
    const open = [...database.attempts.committed.values()].filter(
      // What turned up long after it was proved to be absent is stopped, and may have been billed.
      (other) => other.execution.no === row.execution.no && OPEN.has(other.state) && other.outAgain !== true,
    );
    if (row.intent.supersedes !== undefined) this.#batches.checkRescue(row);
    if (open.length > 1 && !isRescuedLine(open)) {
      const numbers = open.map(({ intent }) => String(intent.number)).join(" and ");
      this.report(
        "one_live_attempt",
        `attempts ${numbers} of one execution may both be billed`,
        this.#jobOf(row.execution.no),
      );
    }
  }

  #afterExecution(no: number): void {
    const { executions } = this.#parts.database;
    const key = executions.committed.get(no)?.requestKey ?? null;
    if (key === null) return;
    if (key.endsWith(`:${String(LANE.express)}`)) this.#express.add(no);
    const live = [...executions.committed.values()].filter(
      ({ requestKey, state }) => requestKey === key && EXECUTION_TRANSITIONS[state].length > 0,
    );
    if (live.length > 1)
      this.report(
        "one_execution_a_lane",
        `${String(live.length)} executions of ${key} are unfinished`,
        this.#jobOf(no),
      );
  }

  /** A job whose tries failed, and that had tries and time left for another: somebody else's time was over. */
  #afterJob(no: number): void {
    const { jobs, executions, attempts } = this.#parts.database;
    const job = jobs.committed.get(no);
    if (job?.state !== "failed" || !TRIED_AGAIN.has(job.failureCode ?? "")) return;
    const history = executions.committed.get(job.execution?.no ?? -1)?.history ?? [];
    const last = history.at(-1);
    // By the attempts themselves: the history leaves out a line whose batch ended without it while its rescue was out.
    const tried = [...attempts.committed.values()].filter(
      ({ execution, outcome, state }) =>
        execution.no === job.execution?.no && (outcome !== null || !WITHOUT_END.has(state)),
    );
    if (last === undefined || tried.length >= ATTEMPTS_MAX) return;
    const leftMs = job.deadlineMs - (last.startedAtMs + last.ms);
    if (leftMs > WAIT_MAX_MS)
      this.report(
        "patience_is_its_own",
        `it failed after ${String(tried.length)} tries, ${String(leftMs)} ms before its deadline`,
        job.jobId,
      );
  }

  #jobOf(executionNo: number): string | null {
    return (
      [...this.#parts.database.jobs.committed.values()].find((job) => job.execution?.no === executionNo)?.jobId ?? null
    );
  }

  #afterPosition(key: string | number): void {
    const { database, broker } = this.#parts;
    const before = this.#positions.get(key) ?? 0;
    const next = database.positions.committed.get(key)?.next ?? 0;
    this.#positions.set(key, next);
    // Without a witness it was just opened, or an operator adopted another log.
    const { witness = null } = database.positions.committed.get(key) ?? {};
    if (witness === null || witness === LOG_START_WITNESS) return;
    if (next < before)
      this.report("position_never_goes_back", `${String(key)} went from ${String(before)} to ${String(next)}`, null);
    if (broker.remade) return; // its offsets name records of two logs; at the end each of the second must be there
    const partition = Number(String(key).split(":").at(-1));
    for (const record of (broker.log[partition] ?? []).slice(before, next)) {
      const publication = this.#parts.scenario.publications.find((other) => other.record === record);
      if (publication === undefined || broker.lost.has(record) || this.#isAccepted(publication)) continue;
      this.report(
        "position_skips_nothing",
        `offset ${String(record.offset)} of ${String(key)} was passed and nothing of it is in the ledger`,
        publication.wish?.jobId ?? null,
      );
    }
  }

  #isAccepted({ kind, record, wish }: Scenario["publications"][number]): boolean {
    const { database } = this.#parts;
    if (kind === "cancel") return true;
    const isLetter = [...database.deadLetters.committed.values()].some(
      (letter) => letter.partition === record.partition && letter.offset === record.offset,
    );
    return (
      isLetter ||
      (wish !== null &&
        [...database.jobs.committed.values()].some((job) => job.jobId === wish.jobId && job.tenant === wish.tenant))
    );
  }

  #afterOffset(partition: number, next: number): void {
    const position = this.positionOf(partition);
    if (next > position && !this.#parts.broker.remade)
      this.report(
        "offsets_behind_ledger",
        `Kafka's offset of partition ${String(partition)} is ${String(next)}, the ledger accepted up to ${String(position)}`,
        null,
      );
  }

  /** Of a log that was made anew: a position from the time before may lie beyond it, or name another record. */
  #isReadToTheEnd(partition: number): boolean {
    const { broker, database } = this.#parts;
    const last = broker.log[partition]?.at(-1);
    if (last === undefined) return true;
    const position = database.positions.committed.get(positionKey(JOBS_TOPIC, partition));
    return position?.next === last.offset + 1 && position.witness?.equals(recordWitness(last)) === true;
  }

  /** Next offset that the ledger accepts. */
  positionOf(partition: number): number {
    return this.#parts.database.positions.committed.get(positionKey(JOBS_TOPIC, partition))?.next ?? 0;
  }

  /** Sessions that die, or stop for long enough to be taken for dead: what they had marked may become a suspect. */
  exposeMarks(sessions: readonly number[]): void {
    for (const [key, { mark }] of this.#parts.database.turns.committed)
      for (
        let offset = mark?.offset ?? 0;
        mark !== null && sessions.includes(mark.by) && offset < mark.upto;
        offset += 1
      ) {
        const place = `${String(key)}:${String(offset)}`;
        this.#marked.set(place, (this.#marked.get(place) ?? new Set()).add(mark.by));
      }
  }

  /** Published events of a kind, each once. */
  alertsOf(kind: string): number {
    const { published } = this.#parts.broker;
    const events = published.filter(({ record }) => record.kind === "event" && this.#kindOf(record) === kind);
    return new Set(events.map(({ record }) => record.no)).size;
  }

  #kindOf({ value }: { readonly value: Buffer | null }): string {
    return (JSON.parse(value?.toString("utf8") ?? "{}") as { kind: string }).kind; // written by the renderer
  }

  #checkSuspects(): void {
    const { database, scenario } = this.#parts;
    for (const { code, topic, partition, offset } of database.deadLetters.committed.values()) {
      if (code !== "CRASH_SUSPECT") continue;
      const deadly = scenario.publications.some(
        ({ record }) => isDeadly(record) && record.partition === partition && record.offset === offset,
      );
      const key = `${positionKey(topic, partition)}:${String(offset)}`;
      if (!deadly && (this.#marked.get(key)?.size ?? 0) < 2) {
        const message = `offset ${String(offset)} of partition ${String(partition)} is a suspect, and no two died reading it`;
        this.report("suspects_are_deadly", message, null);
      }
    }
    if ([...database.jobs.committed.values()].some(({ jobId }) => jobId === "deadly"))
      this.report("suspects_are_deadly", "a record that nobody survives became a job", "deadly");
  }

  #checkAlerts(): void {
    const { broker } = this.#parts;
    const stops = this.alertsOf("position.truncated") + this.alertsOf("position.other_topic");
    if (stops > 0 && !broker.remade) this.report("alerts_are_true", "a partition stopped whose log is whole", null);
    if (this.alertsOf("position.gap") > 0 && broker.lost.size === 0)
      this.report("alerts_are_true", "a gap was told where no record is missing", null);
  }

  #atCall(id: string, calledMs: number): void {
    const key = parseAttemptId(id);
    const row = key === null ? undefined : this.#parts.database.attempts.committed.get(key.no);
    if (row !== undefined) this.#batches.checkFirst(row.intent.no);
    if (row?.state === "sending") {
      this.#checkCall(row, id, calledMs);
      return;
    }
    this.report(
      "calls_only_with_intent",
      `a call went out for attempt ${id}, which is ${row?.state ?? "not in the ledger"}`,
      row === undefined ? null : this.#jobOf(row.execution.no),
    );
  }

  /** Of a call with its intent: somebody still has time for its answer, nobody forbade to pay again, and it is not one try too many. */
  #checkCall({ execution, intent }: AttemptRow, id: string, calledMs: number): void {
    const { database, scenario } = this.#parts;
    const jobs = [...database.jobs.committed.values()].filter((job) => job.execution?.no === execution.no);
    const deadlineMs = Math.max(...jobs.map((job) => job.deadlineMs));
    if (calledMs >= deadlineMs)
      this.report(
        "calls_in_time",
        `a call went out for attempt ${id}, ${String(calledMs - deadlineMs)} ms after the last deadline`,
        this.#jobOf(execution.no),
      );
    const isForbidden =
      scenario.doubtPolicy === "fail" || database.executions.committed.get(execution.no)?.policy.onDoubt === "fail";
    const doubtful = [...database.attempts.committed.values()].find(
      (other) => other.execution.no === execution.no && (other.state === "in_doubt" || other.state === "settled"),
    );
    if (isForbidden && doubtful !== undefined)
      this.report(
        "fail_never_pays_twice",
        `a call went out for attempt ${id}, and attempt ${String(doubtful.intent.number)} may have been billed`,
        this.#jobOf(execution.no),
      );
    if (intent.number > ATTEMPTS_MAX + (intent.supersedes === undefined ? 0 : 1))
      this.report("tries_are_bounded", `attempt ${id} is number ${String(intent.number)}`, this.#jobOf(execution.no));
  }

  isDrained(): boolean {
    const { database, broker } = this.#parts;
    if (database.outboxReady.committed.size > 0 || database.ready.committed.size > 0) return false;
    // Of records that are gone nobody hears before the next one comes.
    const isUnread = (partition: number): boolean => {
      const { low, high } = broker.bounds(partition);
      return Math.max(low, this.positionOf(partition)) < high;
    };
    if (broker.log.some((_log, partition) => isUnread(partition))) return false;
    if (broker.remade && broker.log.some((_log, partition) => !this.#isReadToTheEnd(partition))) return false;
    for (const job of database.jobs.committed.values()) if (job.state === "active") return false;
    for (const { state } of database.attempts.committed.values())
      if (state === "sending" || state === "batched") return false;
    for (const { batch } of database.batches.committed.values()) if (batch.nextAtMs !== null) return false;
    return database.pools.committed.size === 0;
  }

  /** Whether each batch that was made is known to the ledger. */
  knowsBatches(): boolean {
    return this.#batches.unknown().length === 0;
  }

  atTheEnd(drained: boolean): void {
    const { books } = this.#parts;
    const report = this.report.bind(this);
    checkResults(this.#parts, report);
    checkBill(this.#parts, report);
    this.#batches.atTheEnd();
    this.#checkSuspects();
    this.#checkAlerts();
    for (const id of this.#doubtful) {
      if (this.exposed.has(id) || books.unclear.has(id)) continue;
      report("doubt_is_bounded", `attempt ${id} came in doubt, and its router lived and its call ended`, null);
    }
    if (!drained) report("everything_drains", "work is left although nothing has been broken for minutes", null);
  }
}
