import { batchId, type Batch } from "../../domain/batch/batch.js";
import { reportEnds } from "../finish/finish-stage.js";
import { Nap } from "../nap.js";
import { BatchBuilder } from "./batch-builder.js";
import type { BatchStageParts } from "./batch-parts.js";
import { BatchSaves } from "./batch-saves.js";
import { BatchWorker } from "./batch-worker.js";
import { GroupWorker } from "./group-worker.js";
import { LineJudge } from "./line-judge.js";
import { LineRoutes } from "./line-routes.js";
import { LineSource } from "./line-source.js";
import { LineWriter } from "./line-writer.js";
import { OrphanScan } from "./orphan-scan.js";
import { PoolSizes } from "./pool-sizes.js";

/** Rows that one sweep moves or ends; a full one is followed by the next at once. */
const SWEEP_MAX = 500;

/**
 * Makes batches of what waits, and takes them through their lives: four loops that look, act and sleep. Everything that matters stands in
 * the ledger, so that any router may go on with what another began.
 */
export class BatchStage {
  readonly #parts: BatchStageParts;
  readonly #stop = new AbortController();
  readonly #cut = new AbortController();
  readonly #worker: BatchWorker;
  readonly #groups: GroupWorker;
  readonly #builder: BatchBuilder;
  readonly #scan: OrphanScan;
  /** Batches that are built or worked on here, by number. */
  readonly #busy = new Set<number>();
  readonly #steps = new Set<Promise<void>>();
  /** Batches whose step failed here, with the time before which they are left alone. */
  readonly #resting = new Map<number, number>();
  /** Between two looks for steps: until a place is free or a batch was made. */
  readonly #nap: Nap;

  constructor(parts: BatchStageParts) {
    this.#parts = parts;
    this.#nap = new Nap(parts.clock);
    const { ledger, planRoutes, settings } = parts;
    const [stop, cut] = [this.#stop.signal, this.#cut.signal];
    const sizes = new PoolSizes();
    const saves = new BatchSaves(parts, sizes, cut);
    const routes = new LineRoutes(planRoutes);
    const source = new LineSource(ledger, routes, settings.groupSizeMax);
    const lines = { judge: new LineJudge(parts, routes), writer: new LineWriter(parts) };
    this.#worker = new BatchWorker({ parts, saves, source, ...lines, stop, cut });
    this.#groups = new GroupWorker({ parts, saves, source, stop });
    this.#scan = new OrphanScan(parts, saves, cut);
    this.#builder = new BatchBuilder({
      ...{ parts, saves, sizes, stop },
      begin: (no) => this.#busy.add(no),
      end: (no) => this.#busy.delete(no),
    });
  }

  /** Batches that are worked on now. */
  get inAir(): number {
    return this.#steps.size;
  }

  /** Begins nothing new; steps that are under way end at the next place that is stored. */
  stop(): void {
    this.#stop.abort();
    this.#nap.wake();
  }

  /** Cuts what is still under way: what was sent and not answered is looked for by whoever takes the batch over. */
  cut(): void {
    this.stop();
    this.#cut.abort();
  }

  /** Runs until it is stopped and its steps have ended. */
  async run(): Promise<void> {
    const { settings, accounts, groups } = this.#parts;
    const { lookEveryMs, pollMaxMs } = settings;
    // Without accounts only what an earlier config left in pools is sent elsewhere.
    const none = accounts.size + groups.size === 0;
    const loops = [this.#every(none ? pollMaxMs : lookEveryMs, "batch.house_failed", () => this.#keepHouse())];
    if (!none) {
      loops.push(
        this.#every(lookEveryMs, "batch.claim_failed", () => this.#startSteps()),
        this.#every(lookEveryMs, "batch.build_failed", () => this.#build()),
        this.#every(pollMaxMs, "batch.scan_failed", () => this.#lookForOrphans()),
      );
    }
    await Promise.all(loops);
    await Promise.all(this.#steps);
  }

  /** Ends it within this time, what is under way included. */
  async drain(withinMs: number): Promise<void> {
    const { clock } = this.#parts;
    this.stop();
    const timer = new AbortController();
    const ended = Promise.all(this.#steps).finally(() => {
      timer.abort();
    });
    await Promise.race([ended, clock.sleep(withinMs, timer.signal)]);
    this.cut();
    await ended;
  }

  /** @param look tells whether the next one is worth it at once. */
  async #every(ms: number, trouble: string, look: () => Promise<boolean>): Promise<void> {
    const { clock, log } = this.#parts;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      let again = false;
      try {
        again = this.#parts.mayStart() && (await look());
      } catch (error) {
        log.warn(trouble, { message: error instanceof Error ? error.message : String(error) });
      }
      // Serial: the pause is between the end of a look and the next.
      if (!again) await clock.sleep(ms, signal);
    }
  }

  /** Lines whose time for a batch is over, and jobs whose deadline passes in one. */
  async #keepHouse(): Promise<boolean> {
    const { ledger, session, render, clock, metrics } = this.#parts;
    const moved = await ledger.sweepPools(session, clock.nowMs(), SWEEP_MAX);
    const expired = await ledger.expireBatched(session, clock.nowMs(), SWEEP_MAX, render);
    reportEnds(metrics, expired);
    this.#parts.publish(expired.outbox);
    return moved >= SWEEP_MAX || expired.ended.length >= SWEEP_MAX;
  }

  async #lookForOrphans(): Promise<boolean> {
    if ((await this.#scan.round()) > 0) this.#nap.wake();
    return false;
  }

  async #build(): Promise<boolean> {
    const made = await this.#builder.round();
    if (made > 0) this.#nap.wake();
    return false;
  }

  /** Takes up batches that are due, as many as there are places. */
  async #startSteps(): Promise<boolean> {
    const { ledger, session, clock, settings } = this.#parts;
    const free = settings.stepsAtOnce - this.#steps.size;
    if (free > 0) {
      // Its own that are worked on come back too.
      const due = await ledger.claimBatches(session, clock.nowMs(), free + this.#busy.size + this.#resting.size);
      const taken = due.filter((one) => this.#isFree(one)).slice(0, free);
      if (taken.length > 0) this.#parts.reach?.("batch.claimed");
      for (const batch of taken) this.#start(batch);
    }
    await this.#nap.sleep(settings.lookEveryMs);
    return true;
  }

  #isFree({ no }: Batch): boolean {
    const restsUntilMs = this.#resting.get(no) ?? 0;
    if (restsUntilMs > this.#parts.clock.nowMs()) return false;
    this.#resting.delete(no);
    return !this.#busy.has(no);
  }

  #start(batch: Batch): void {
    this.#busy.add(batch.no);
    const step: Promise<void> = this.#work(batch).finally(() => {
      this.#busy.delete(batch.no);
      this.#steps.delete(step);
      this.#builder.roomMade(batch.account);
      this.#nap.wake();
    });
    this.#steps.add(step);
  }

  /** A step that fails leaves its batch as it was stored last; it is tried again after a while. */
  async #work(batch: Batch): Promise<void> {
    const { log, clock, settings, mendable } = this.#parts;
    try {
      await (batch.way === "calls" ? this.#groups : this.#worker).work(batch);
    } catch (error) {
      log.error("batch.step_failed", { batch: batchId(batch.no), state: batch.state, error });
      this.#resting.set(batch.no, clock.nowMs() + (mendable(error) ? settings.pollMinMs : settings.pollMaxMs));
    }
  }
}
