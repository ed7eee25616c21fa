import type { Batch } from "../../domain/batch/batch.js";
import { batchId } from "../../domain/batch/batch.js";
import type { FinishedCall } from "../../ports/ledger.js";
import { reportEnds } from "../finish/finish-stage.js";
import { asUnreadable } from "../finish/refused-line.js";
import { writeHalving } from "../finish/write-halving.js";
import type { BatchStageParts } from "./batch-parts.js";

/** What became of a group of lines in the ledger. */
export interface Written {
  /** Stored, by outcome. */
  readonly outcomes: ReadonlyMap<string, number>;
  /** Lines that the ledger refuses in every form: they stay open. */
  readonly refused: number;
}

type WriterParts = Pick<
  BatchStageParts,
  "ledger" | "session" | "render" | "clock" | "log" | "metrics" | "mendable" | "publish" | "listener"
>;

/** Writes what lines came to, a group a transaction. What an outcome says is read again after a kill, so nothing is kept here. */
export class LineWriter {
  readonly #parts: WriterParts;

  constructor(parts: WriterParts) {
    this.#parts = parts;
  }

  /** Safe to repeat: the first outcome of a line stands. @throws what waiting may mend. */
  async write(batch: Batch, calls: readonly FinishedCall[]): Promise<Written> {
    const outcomes = new Map<string, number>();
    let refused = 0;
    const tryWrite = async (group: readonly FinishedCall[]): Promise<{ readonly error: unknown } | null> => {
      const refusal = await this.#tryWrite(group);
      if (refusal === null) for (const { outcome } of group) outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      return refusal;
    };
    await writeHalving(calls, tryWrite, async (call, error) => {
      if (!(await this.#writeReduced(batch, call, error, tryWrite))) refused += 1;
    });
    const { metrics } = this.#parts;
    for (const [outcome, count] of outcomes)
      metrics.count("sluice_batch_lines_total", { account: batch.account, outcome }, count);
    return { outcomes, refused };
  }

  async #tryWrite(calls: readonly FinishedCall[]): Promise<{ readonly error: unknown } | null> {
    const { ledger, session, render, clock, metrics, mendable } = this.#parts;
    const startedMs = clock.monotonicMs();
    try {
      const outcome = await ledger.finish({ session, nowMs: clock.nowMs(), calls }, render);
      metrics.observe("sluice_group_size", { stage: "batch" }, calls.length);
      metrics.observe("sluice_group_seconds", { stage: "batch" }, (clock.monotonicMs() - startedMs) / 1000);
      reportEnds(metrics, outcome);
      this.#parts.listener?.finished(calls, outcome, clock.nowMs());
      this.#parts.publish(outcome.outbox);
      return null;
    } catch (error) {
      if (mendable(error)) throw error;
      return { error };
    }
  }

  async #writeReduced(
    batch: Batch,
    call: FinishedCall,
    error: unknown,
    tryWrite: (group: readonly FinishedCall[]) => Promise<{ readonly error: unknown } | null>,
  ): Promise<boolean> {
    const { log, metrics } = this.#parts;
    const { no, account } = call.attempt;
    log.error("batch.line_refused", { batch: batchId(batch.no), attempt: no, outcome: call.outcome, error });
    metrics.count("sluice_refused_outcomes_total", { account });
    const refusal = await tryWrite([asUnreadable(call)]);
    if (refusal === null) return true;
    log.error("batch.line_unwritten", { batch: batchId(batch.no), attempt: no, error: refusal.error });
    metrics.count("sluice_unwritten_attempts_total", { account });
    return false;
  }
}
