import type { EndedState } from "../../domain/execution/execution.js";
import type { SessionNo } from "../../domain/ids.js";
import type { Renderer, Outgoing } from "../../domain/result/outgoing.js";
import type { Journal } from "../../ports/journal.js";
import { reachSoon, type ReachPoint } from "../../ports/crash-points.js";
import type { FinishedCall, FinishOutcome, Ledger, OutboxGroup } from "../../ports/ledger.js";
import type { Metrics } from "../../ports/metrics.js";
import type { FinishListener } from "../alert/tally-recorder.js";
import type { Clock, Log, Random } from "../../ports/system.js";
import type { NumberSource } from "../dispatch/number-source.js";
import { GroupQueue } from "../group-queue.js";
import { persist } from "../persist.js";
import { asDoubt } from "./refused-call.js";
import { writeHalving } from "./write-halving.js";

export interface FinishParts {
  readonly ledger: Pick<Ledger, "finish">;
  readonly session: SessionNo;
  readonly render: Renderer;
  readonly numbers: Pick<NumberSource, "close">;
  readonly journal: Pick<Journal, "keep" | "stored">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly groupSizeMax: number;
  readonly groupWaitMs: number;
  /** While one group's transaction waits for the ledger the next is rendered and sent: an answer that is not stored yet is lost by a kill. */
  readonly writesAtOnce: number;
  readonly mendable: (error: unknown) => boolean;
  readonly publish: (groups: readonly OutboxGroup[]) => void;
  /** Executions that waited for the money of these calls are due. */
  readonly woken: () => void;
  /** True once waiting for the ledger any longer is pointless: the shutdown's grace is over. */
  readonly givenUp: () => boolean;
  readonly graceMs: (account: string) => number;
  /** The session must end: then the recovery puts in doubt what could not be written at all. */
  readonly endSession: (reason: string) => void;
  /** Only there when somebody counts. */
  readonly listener?: FinishListener;
  readonly reach?: ReachPoint;
}

const DOUBT_TRIES = 3;
const DOUBT_WAIT_MS = 100;

/**
 * Writes what calls came to, in groups, a few transactions at once. A call whose row the ledger refuses is written as a doubt instead;
 * when that is refused too, the session ends. What is not written by its end stays `sending` and ends in doubt.
 */
export class FinishStage {
  readonly #parts: FinishParts;
  readonly #queue: GroupQueue<FinishedCall>;
  #busy = 0;

  constructor(parts: FinishParts) {
    this.#parts = parts;
    this.#queue = new GroupQueue(parts.clock, parts.groupSizeMax, parts.groupWaitMs, () => this.#busy > 0);
  }

  /** Calls that ended and are not written yet. */
  get waiting(): number {
    return this.#queue.length + this.#busy;
  }

  /** An answer is a fact, which any session may bring; what follows a failure only this one can decide, so it is not kept. */
  add(call: FinishedCall): void {
    if (call.verdict.kind === "succeed") {
      this.#parts.journal.keep(call);
      reachSoon(this.#parts.reach, "call.kept"); // behind the write, which ends this turn
    }
    this.#queue.push(call);
  }

  close(): void {
    this.#queue.close();
  }

  async run(): Promise<void> {
    await Promise.all(Array.from({ length: this.#parts.writesAtOnce }, () => this.#writeGroups()));
  }

  async #writeGroups(): Promise<void> {
    for (;;) {
      const group = await this.#queue.take();
      if (group === null) return;
      this.#busy += group.length;
      await this.#write(group);
      this.#busy -= group.length;
    }
  }

  #write(calls: readonly FinishedCall[]): Promise<void> {
    return writeHalving(
      calls,
      (group) => this.#tryWrite(group),
      (call, error) => this.#writeAsDoubt(call, error),
    );
  }

  /** @returns why the ledger refused it; null when it is written, or given up because the ledger stays away. */
  async #tryWrite(calls: readonly FinishedCall[]): Promise<{ readonly error: unknown } | null> {
    const { ledger, session, render, clock, log, numbers } = this.#parts;
    const startedMs = clock.monotonicMs();
    this.#parts.reach?.("finish.before_write");
    try {
      const outcome = await persist(
        this.#parts,
        "finish.waits_for_ledger",
        this.#parts.mendable,
        this.#parts.givenUp,
        () => ledger.finish({ session, nowMs: clock.nowMs(), calls }, render),
      );
      this.#parts.reach?.("finish.after_write");
      for (const call of calls) numbers.close(call.attempt.no);
      this.#parts.journal.stored(calls);
      this.#report(calls, outcome, clock.monotonicMs() - startedMs);
      this.#parts.publish(outcome.outbox);
      if ((outcome.woken ?? 0) > 0) this.#parts.woken();
      return null;
    } catch (error) {
      if (!this.#parts.mendable(error)) return { error };
      log.error("finish.given_up", { calls: calls.length, error });
      return null;
    }
  }

  async #writeAsDoubt(call: FinishedCall, error: unknown): Promise<void> {
    const { clock, log, metrics, graceMs, endSession } = this.#parts;
    const { no, account } = call.attempt;
    log.error("finish.refused", { attempt: no, outcome: call.outcome, error });
    metrics.count("sluice_refused_outcomes_total", { account });
    for (let attempt = 1; ; attempt += 1) {
      // Serial: a try only makes sense after the one before.
      const refusal = await this.#tryWrite([asDoubt(call, clock.nowMs(), graceMs(account))]);
      if (refusal === null) return;
      log.error("finish.doubt_refused", { attempt: no, tries: attempt, error: refusal.error });
      if (attempt === DOUBT_TRIES) break;
      await clock.sleep(DOUBT_WAIT_MS * attempt);
    }
    metrics.count("sluice_unwritten_attempts_total", { account });
    endSession("the outcome of a call can't be written");
  }

  #report(calls: readonly FinishedCall[], outcome: FinishOutcome, ms: number): void {
    const { metrics } = this.#parts;
    metrics.observe("sluice_group_size", { stage: "finish" }, calls.length);
    metrics.observe("sluice_group_seconds", { stage: "finish" }, ms / 1000);
    reportEnds(metrics, outcome);
    this.#parts.listener?.finished("calls", calls, outcome, this.#parts.clock.nowMs());
    const doubts = calls.filter((call) => call.verdict.kind === "doubt");
    for (const call of doubts) metrics.count("sluice_in_doubt_total", { account: call.attempt.account });
  }
}

/**
 * Counts what a transaction ended, by the sums of a group: jobs, their times, dead letters and money. For each that ends jobs, once, when it
 * is known to stand; one that stands though its COMMIT was never answered is done again in vain and counted by nobody.
 */
export function reportEnds(
  metrics: Metrics,
  outcome: Pick<FinishOutcome, "ended" | "booked"> & { readonly outbox: readonly OutboxGroup[] },
): void {
  const byStatus = new Map<EndedState, number>();
  for (const { status, acceptedAtMs, endedAtMs } of outcome.ended) {
    byStatus.set(status, (byStatus.get(status) ?? 0) + 1);
    // Two clocks: the ledger's says when it was accepted, the router's when it ended.
    metrics.observe("sluice_job_seconds", {}, Math.max(0, endedAtMs - acceptedAtMs) / 1000);
  }
  for (const [status, count] of byStatus) metrics.count("sluice_jobs_ended_total", { status }, count);
  for (const [tenant, nanoUsd] of outcome.booked ?? [])
    metrics.count("sluice_cost_nano_usd_total", { tenant }, Number(nanoUsd));
  const letters = outcome.outbox
    .flatMap((group): readonly Outgoing[] => group.records)
    .filter((record) => record.kind === "dead_letter");
  for (const letter of letters) {
    const code = letter.headers.find(([name]) => name === "llm-error-code")?.[1];
    metrics.count("sluice_dead_letters_total", { code: String(code ?? "INTERNAL") });
  }
}
