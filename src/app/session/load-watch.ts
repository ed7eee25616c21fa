import type { JobsConsumer } from "../../ports/broker.js";
import type { Ledger, LedgerLoad } from "../../ports/ledger.js";
import type { BackpressureReason, Metrics } from "../../ports/metrics.js";
import type { Clock, Log } from "../../ports/system.js";
import type { SessionSettings } from "./session-parts.js";

interface LoadWatchParts {
  readonly ledger: Pick<Ledger, "load">;
  readonly consumer: Pick<JobsConsumer, "pause" | "resume">;
  /** By account, calls that could start now. */
  readonly freeSlots: () => ReadonlyMap<string, number>;
  /** Intents of this session that have not ended. */
  readonly openIntents: () => number;
  /** Topics of tenants that take no records now. */
  readonly refusingTopics: () => readonly string[];
  readonly marks: SessionSettings["pending"];
  readonly clock: Pick<Clock, "nowMs">;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** What is compared with the marks. */
interface Load {
  readonly pending: number;
  /** Without the bodies of calls under way: places at the accounts bound those. */
  readonly pendingBytes: number;
  readonly outboxRecords: number;
}

/** Back-pressure: fetching stops above a high mark and goes on below a part of each; heartbeats never stop. */
export class LoadWatch {
  readonly #parts: LoadWatchParts;
  #paused = false;

  constructor(parts: LoadWatchParts) {
    this.#parts = parts;
  }

  /** One look. Rejects when the ledger can't be asked: then fetching stays as it is. */
  async look(): Promise<void> {
    const { ledger, refusingTopics, marks, freeSlots, metrics } = this.#parts;
    for (const [account, calls] of freeSlots()) metrics.set("sluice_free_slots", { account }, calls);
    const limits = { readyRows: marks.jobsMax + 1, outboxRows: marks.outboxRowsMax + 1 };
    const found = await ledger.load(limits, refusingTopics());
    const load = this.#loadOf(found);
    this.#report(found, load);
    this.#judge(load);
  }

  #loadOf({ readyRows, readyBytes, outboxRecords, refusedRecords }: LedgerLoad): Load {
    const { openIntents, marks } = this.#parts;
    return {
      pending: readyRows + openIntents(),
      pendingBytes: readyBytes,
      // What a tenant's refusing topic keeps waiting stops nobody else, until it is as much as all others may have.
      outboxRecords: outboxRecords + Math.max(0, refusedRecords - marks.outboxRowsMax),
    };
  }

  #report({ outboxRecords, refusedRecords, oldestRunnableMs, liveRouters }: LedgerLoad, load: Load): void {
    const { clock, metrics } = this.#parts;
    const waitedMs = oldestRunnableMs === null ? 0 : Math.max(0, clock.nowMs() - oldestRunnableMs);
    metrics.set("sluice_pending_jobs", {}, load.pending);
    metrics.set("sluice_pending_bytes", {}, load.pendingBytes);
    metrics.set("sluice_outbox_rows", {}, outboxRecords + refusedRecords);
    metrics.set("sluice_oldest_runnable_seconds", {}, waitedMs / 1000);
    metrics.set("sluice_live_routers", {}, liveRouters);
  }

  #judge(load: Load): void {
    const { marks, metrics } = this.#parts;
    const part = this.#paused ? marks.resumeAt : 1;
    const looks: readonly (readonly [BackpressureReason, boolean])[] = [
      ["pending_jobs", load.pending > marks.jobsMax * part],
      ["pending_bytes", load.pendingBytes > marks.bytesMax * part],
      ["outbox_rows", load.outboxRecords > marks.outboxRowsMax * part],
    ];
    for (const [reason, full] of looks) metrics.set("sluice_backpressure", { reason }, full ? 1 : 0);
    const reasons = looks.filter(([, full]) => full).map(([reason]) => reason);
    if (reasons.length > 0 !== this.#paused) this.#turn(reasons, load);
  }

  #turn(reasons: readonly BackpressureReason[], load: Load): void {
    const { consumer, log } = this.#parts;
    this.#paused = reasons.length > 0;
    if (this.#paused) consumer.pause();
    else consumer.resume();
    log.warn(this.#paused ? "intake.paused" : "intake.resumed", { reasons, ...load });
  }
}
