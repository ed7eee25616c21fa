import { parseAttemptId } from "../../../src/domain/job/ids.js";
import { INLINE_GRACE_MS, isAnswered, type CreateCall, type ServedBatch, type ServedLine } from "./batch-service.js";
import type { CheckedParts, CheckerName } from "./checkers.js";
import type { AttemptRow } from "./memory-rows.js";

type Report = (checker: CheckerName, message: string, jobId: string | null) => void;

/** Promises about batches: some are checked as a create leaves or a batch is stored, the others when all is quiet. */
export class BatchChecks {
  readonly #parts: CheckedParts;
  readonly #report: Report;

  constructor(parts: CheckedParts, report: Report) {
    this.#parts = parts;
    this.#report = report;
    parts.batches.onCreate = (call) => {
      this.#atCreate(call);
    };
  }

  #attemptOf(customId: string): AttemptRow | undefined {
    const no = parseAttemptId(customId)?.no;
    return no === undefined ? undefined : this.#parts.database.attempts.committed.get(no);
  }

  #jobOf(executionNo: number | undefined): string | null {
    const jobs = [...this.#parts.database.jobs.committed.values()];
    return jobs.find((job) => job.execution?.no === executionNo)?.jobId ?? null;
  }

  #atCreate(call: CreateCall): void {
    const rows = call.ids.map((id) => this.#attemptOf(id));
    this.#checkIntent(call, rows);
    for (const row of rows) if (row !== undefined) this.#checkFirst(row, call);
  }

  /** The intent of this very create is stored, and nothing is known of it yet. */
  #checkIntent({ mark, fileId, ids }: CreateCall, rows: readonly (AttemptRow | undefined)[]): void {
    const { batches, batchCreates } = this.#parts.database;
    const batchNo = rows[0]?.intent.batchNo ?? -1;
    const row = batches.committed.get(batchNo);
    const intent = batchCreates.committed.get(`${String(batchNo)}:${String(row?.batch.creates ?? -1)}`);
    const isStored = intent?.mark === mark && intent.fileId === fileId && intent.settled === null;
    if (row?.batch.state !== "creating" || !isStored)
      this.#report("creates_only_with_intent", `a create for ${mark} left without its intent`, null);
    const strange = ids.filter((_id, at) => !isLineOf(rows[at], batchNo));
    if (strange.length > 0)
      this.#report("creates_only_with_intent", `${mark} has lines that are not its own: ${strange.join()}`, null);
  }

  /** A call or a create goes out for this attempt: no other create of its execution may still run. */
  checkFirst(attemptNo: number): void {
    const row = this.#parts.database.attempts.committed.get(attemptNo);
    if (row !== undefined) this.#checkFirst(row, null);
  }

  #checkFirst(row: AttemptRow, now: CreateCall | null): void {
    for (const call of this.#parts.batches.creates) {
      if (call === now) continue;
      const id = call.ids.find((other) => this.#attemptOf(other)?.execution.no === row.execution.no);
      // The one call that may be made beside a line.
      if (id !== undefined && parseAttemptId(id)?.no === row.intent.supersedes) continue;
      if (id === undefined || this.#isOver(call, id, parseAttemptId(id)?.no === row.intent.no)) continue;
      const age = String(Math.round(this.#parts.world.nowMs - call.leftMs));
      const message = `line ${id} of ${call.mark} is sent again, and its create ${age} ms ago is not proved to be absent`;
      this.#report("no_line_submitted_twice", message, this.#jobOf(row.execution.no));
    }
  }

  /** @param isSame the attempt itself is sent again, which only the absence of its batch allows. */
  #isOver(call: CreateCall, id: string, isSame: boolean): boolean {
    if (call.told === "refused") return true;
    const { batch, fileId } = call;
    if (batch !== null) {
      if (isOrphan(call, batch)) return true;
      if (batch.endedMs === null) return false;
      if (batch.state === "failed") return true;
      const line = batch.lines.find(({ customId }) => customId === id);
      return !isSame && (line === undefined || !isTold(batch, line));
    }
    if (fileId !== null) return this.#parts.batches.files.get(fileId)?.deleted === true;
    return this.#parts.world.nowMs - call.leftMs >= INLINE_GRACE_MS;
  }

  /** After a commit that changed a rescue: allowed, and the only one of its execution. */
  checkRescue({ execution, intent }: AttemptRow): void {
    const { database, scenario } = this.#parts;
    const all = [...database.attempts.committed.values()].filter(
      (row) => row.execution.no === execution.no && row.intent.supersedes !== undefined && row.state !== "not_sent",
    );
    const job = this.#jobOf(execution.no);
    if (all.length > 1) this.#report("rescued_once", `an execution was rescued ${String(all.length)} times`, job);
    if (scenario.batches?.rescues !== true) this.#report("rescued_once", "a line was rescued without leave", job);
    if (database.attempts.committed.get(intent.supersedes ?? -1)?.intent.batchNo === undefined)
      this.#report("rescued_once", `attempt ${String(intent.no)} rescues what is no line`, job);
  }

  /** Of a rescue and its line, both answered, one serves at most, and what the other cost is waste. */
  #checkRescued(): void {
    const { attempts, costs, executions } = this.#parts.database;
    for (const row of attempts.committed.values()) {
      const line = attempts.committed.get(row.intent.supersedes ?? -1);
      if (line?.state !== "answered" || row.state !== "answered") continue;
      const servedBy = executions.committed.get(row.execution.no)?.answer?.facts.attempt.no;
      for (const { intent } of [row, line]) {
        const own = [...costs.committed.values()].filter(
          ({ attemptNo, kind }) => attemptNo === intent.no && kind === "charge",
        );
        const isWaste = own.every(({ billing }) => billing === "waste" || billing === "in_doubt");
        if (intent.no !== servedBy && !isWaste)
          this.#report(
            "second_answer_is_waste",
            `attempt ${String(intent.no)} did not serve and is booked as ${own.map(({ billing }) => billing).join()}`,
            this.#jobOf(row.execution.no),
          );
      }
    }
  }

  /** After a commit that changed this batch. */
  afterBatch(no: number): void {
    const { database, batches } = this.#parts;
    const batch = database.batches.committed.get(no)?.batch;
    if (batch === undefined) return;
    if (batch.providerBatchId !== null) {
      const served = batches.batches.get(batch.providerBatchId);
      const strange = served?.lines.find(({ customId }) => this.#attemptOf(customId)?.intent.batchNo !== no);
      if (served === undefined || strange !== undefined)
        this.#report("adopts_its_own", `b-${String(no)} took ${batch.providerBatchId} for its own`, null);
    }
    if (batch.state === "done") this.#checkDone(no);
  }

  #checkDone(no: number): void {
    const { attempts } = this.#parts.database;
    const open = [...attempts.committed.values()].find(
      ({ intent, state }) =>
        intent.batchNo === no && (state === "batched" || state === "sending" || state === "in_doubt"),
    );
    if (open !== undefined)
      this.#report(
        "every_line_ends",
        `b-${String(no)} is done, and a line of it has no outcome`,
        this.#jobOf(open.execution.no),
      );
  }

  /** Batches at a provider that no batch of the ledger is. */
  unknown(): readonly ServedBatch[] {
    const { database, batches } = this.#parts;
    const named = new Set([...database.batches.committed.values()].map(({ batch }) => batch.providerBatchId));
    return [...batches.batches.values()].filter(({ id }) => !named.has(id));
  }

  atTheEnd(): void {
    const { database, batches } = this.#parts;
    this.#checkRescued();
    for (const { batch } of database.batches.committed.values())
      if ((batch.state !== "done" && batch.state !== "failed") || batch.nextAtMs !== null)
        this.#report("every_line_ends", `b-${String(batch.no)} stays ${batch.state}`, null);
    for (const { state, intent, execution } of database.attempts.committed.values())
      if (state === "batched")
        this.#report("every_line_ends", `attempt ${String(intent.no)} stays batched`, this.#jobOf(execution.no));
    const unknown = new Set(this.unknown());
    for (const served of batches.batches.values()) {
      if (unknown.has(served)) this.#report("no_batch_is_lost", `nobody knows of ${served.id}`, null);
      else this.#checkOutcomes(served);
    }
    for (const { id, deleted, name } of batches.files.values())
      if (!deleted) this.#report("files_are_deleted", `file ${id} (${name}) is still at its provider`, null);
  }

  /** What the ledger says of each line is what its provider told. */
  #checkOutcomes(served: ServedBatch): void {
    if (served.state === "failed") return;
    for (const line of served.lines) {
      const row = this.#attemptOf(line.customId);
      if (row === undefined) continue;
      const told = isTold(served, line);
      if ((row.state === "answered") === told) continue;
      const message = `line ${line.customId} of ${served.id} is ${line.outcome}, told ${line.telling}; the ledger has it as ${row.state}`;
      this.#report("line_outcome_is_true", message, this.#jobOf(row.execution.no));
    }
  }
}

function isLineOf(row: AttemptRow | undefined, batchNo: number): boolean {
  return row?.state === "batched" && row.intent.batchNo === batchNo;
}

/** Nobody could know of it any more when it could be seen at last. */
function isOrphan({ fileId, leftMs }: CreateCall, { visibleMs }: ServedBatch): boolean {
  return fileId === null && visibleMs - leftMs >= INLINE_GRACE_MS;
}

/** Whether the results show the line's answer. */
export function isTold(batch: ServedBatch, line: ServedLine): boolean {
  const isGone = batch.gone && batch.parts[0]?.part !== "errors";
  return isAnswered(line) && line.telling !== "never" && line.telling !== "garbled" && !isGone;
}
