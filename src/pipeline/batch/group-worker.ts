import { batchId, type Batch } from "../../domain/batch/batch.js";
import { sealed } from "../../domain/batch/life-create.js";
import { groupGivenUp, groupOpens, groupSeen, groupStops, groupTask } from "../../domain/batch/life-group.js";
import { expectedTurnaround } from "../../domain/batch/turnaround.js";
import type { LedgerKey } from "../../domain/ids.js";
import type { BatchStageParts } from "./batch-parts.js";
import type { BatchSaves } from "./batch-saves.js";
import type { LineSource } from "./line-source.js";

export interface GroupWorkerParts {
  readonly parts: BatchStageParts;
  readonly saves: BatchSaves;
  readonly source: LineSource;
  /** No further step is begun. */
  readonly stop: AbortSignal;
}

/** A look at a group is one small query: the one that follows it is opened soon after it has ended. */
const LOOK_MS_MAX = 2_000;

/**
 * Takes a group through its life: opens it for calls, sees how far they are, ends it with the last. The calls themselves are made and
 * judged like any other, each with an intent of its own; here is only what holds them together.
 */
export class GroupWorker {
  readonly #of: GroupWorkerParts;

  constructor(of: GroupWorkerParts) {
    this.#of = of;
  }

  /** @param found a group that this session holds. @throws trouble with the ledger, after which the group is as it was stored last. */
  async work(found: Batch): Promise<void> {
    let batch: Batch | null = found;
    while (batch !== null && this.#isDue(batch) && this.#of.parts.mayStart() && !this.#of.stop.aborted)
      // Serial: each step begins with what the last one stored.
      batch = await this.#step(batch);
  }

  #isDue({ nextAtMs }: Batch): boolean {
    return nextAtMs !== null && nextAtMs <= this.#nowMs();
  }

  #step(batch: Batch): Promise<Batch | null> {
    switch (groupTask(batch)) {
      case "seal":
        return this.#seal(batch);
      case "open":
        return this.#open(batch);
      case "watch":
        return this.#watch(batch);
      case "stop":
        return this.#stop(batch);
      case "give_up":
        return this.#giveUp(batch);
    }
  }

  /** Lines that can't be sent any more go back; without an account all do. */
  async #seal(batch: Batch): Promise<Batch | null> {
    const { parts, saves, source } = this.#of;
    const account = parts.groups.get(batch.account);
    if (account === undefined) return this.#giveUp(batch);
    const { lines, linesBytes, unfit } = await source.measure(account.provider, batch);
    await this.#return(batch, unfit);
    return saves.save(sealed(batch, { lines, linesBytes, tokens: batch.tokens }, this.#nowMs()));
  }

  async #open(batch: Batch): Promise<Batch | null> {
    const { parts, saves } = this.#of;
    const expectedMs = expectedTurnaround(parts.turnaround(), batch.account, batch.model).p95Ms;
    const opened = await saves.save(groupOpens(batch, expectedMs, this.#nowMs()));
    if (opened !== null) parts.reach?.("group.opened");
    return opened;
  }

  async #watch(batch: Batch): Promise<Batch | null> {
    const { parts, saves } = this.#of;
    const { groups, groupCalls, ledger, settings } = parts;
    // Of one that was cancelled, or whose account has no groups any more, what was not called goes back; what is out stays out.
    if (batch.state === "cancelling" || !groups.has(batch.account)) await this.#return(batch, null);
    else groupCalls.add(batch);
    const lookMs = Math.min(settings.pollMinMs, LOOK_MS_MAX);
    const seen = await saves.save(groupSeen(batch, await ledger.lineCounts(batch.no), lookMs, this.#nowMs()));
    if (seen?.state === "done") this.#ended(seen);
    return seen;
  }

  #stop(batch: Batch): Promise<Batch | null> {
    this.#of.parts.groupCalls.drop(batch.no);
    return this.#of.saves.save(groupStops(batch, this.#nowMs()));
  }

  async #giveUp(batch: Batch): Promise<Batch | null> {
    await this.#return(batch, null);
    return this.#of.saves.save(groupGivenUp(batch, this.#nowMs()));
  }

  #ended(batch: Batch): void {
    const { parts } = this.#of;
    const { account, outcomes, lines } = batch;
    parts.reach?.("group.done");
    parts.groupCalls.drop(batch.no);
    for (const [outcome, count] of Object.entries(outcomes))
      parts.metrics.count("sluice_batch_lines_total", { account, outcome }, count);
    parts.metrics.count("sluice_batches_total", { account, became: "done" });
    parts.log.info("batch.done", { batch: batchId(batch.no), account, lines, ...outcomes });
  }

  /** @param attempts null: all that were not called. */
  async #return(batch: Batch, attempts: readonly LedgerKey[] | null): Promise<void> {
    const { ledger, session, settings } = this.#of.parts;
    const size = settings.groupSizeMax;
    if (attempts === null) {
      // Serial: a group a transaction.
      while ((await ledger.returnLines(session, batch.no, null, size, this.#nowMs())) > 0);
      return;
    }
    for (let from = 0; from < attempts.length; from += size)
      await ledger.returnLines(session, batch.no, attempts.slice(from, from + size), size, this.#nowMs()); // serial: the same
  }

  #nowMs(): number {
    return this.#of.parts.clock.nowMs();
  }
}
