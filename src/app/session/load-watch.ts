import type { JobsConsumer } from "../../ports/broker.js";
import type { Ledger } from "../../ports/ledger.js";
import type { Metrics } from "../../ports/metrics.js";
import type { Clock, Log } from "../../ports/system.js";
import type { SessionSettings } from "./session-parts.js";

interface LoadWatchParts {
  readonly ledger: Pick<Ledger, "load">;
  readonly consumer: Pick<JobsConsumer, "pause" | "resume">;
  /** Intents of this session that have not ended. */
  readonly openIntents: () => number;
  /** Topics of tenants that take no records now. */
  readonly refusingTopics: () => readonly string[];
  readonly marks: SessionSettings["pending"];
  readonly clock: Pick<Clock, "nowMs">;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Back-pressure: fetching stops above a high mark and goes on below a part of it; heartbeats never stop. */
export class LoadWatch {
  readonly #parts: LoadWatchParts;
  #paused = false;

  constructor(parts: LoadWatchParts) {
    this.#parts = parts;
  }

  /** One look. Rejects when the ledger can't be asked: then fetching stays as it is. */
  async look(): Promise<void> {
    const { ledger, openIntents, refusingTopics, marks, clock, metrics } = this.#parts;
    const limits = { readyRows: marks.jobsMax + 1, outboxRows: marks.outboxRowsMax + 1 };
    const { readyRows, oldestRunnableMs, ...outbox } = await ledger.load(limits, refusingTopics());
    // What a tenant's refusing topic keeps waiting stops nobody else, until it is as much as all others may have.
    const outboxRecords = outbox.outboxRecords + Math.max(0, outbox.refusedRecords - marks.outboxRowsMax);
    const pending = readyRows + openIntents();
    const waitedMs = oldestRunnableMs === null ? 0 : Math.max(0, clock.nowMs() - oldestRunnableMs);
    metrics.set("sluice_pending_jobs", {}, pending);
    metrics.set("sluice_outbox_rows", {}, outbox.outboxRecords + outbox.refusedRecords);
    metrics.set("sluice_oldest_runnable_seconds", {}, waitedMs / 1000);
    const part = this.#paused ? marks.resumeAt : 1;
    const full = pending > marks.jobsMax * part || outboxRecords > marks.outboxRowsMax * part;
    if (full !== this.#paused) this.#turn(full, { pending, outboxRecords });
  }

  #turn(paused: boolean, load: Readonly<Record<string, number>>): void {
    const { consumer, log, metrics } = this.#parts;
    this.#paused = paused;
    if (paused) consumer.pause();
    else consumer.resume();
    log.warn(paused ? "intake.paused" : "intake.resumed", load);
    metrics.set("sluice_backpressure", { reason: "pending_jobs" }, paused ? 1 : 0);
  }
}
