import { batchId, type Batch } from "../../domain/batch/batch.js";
import type { LifeEffect, LifeEvent, LifeStep } from "../../domain/batch/life.js";
import { NO_SUBJECT, type GatewayEvent } from "../../domain/event/event.js";
import { persist } from "../persist.js";
import type { BatchStageParts } from "./batch-parts.js";
import type { PoolSizes } from "./pool-sizes.js";

/** Stores steps of batches, and sees to what follows from them once they are stored. */
export class BatchSaves {
  readonly #parts: BatchStageParts;
  readonly #sizes: PoolSizes;
  readonly #over: AbortSignal;

  /** @param over nothing waits for the ledger any more. */
  constructor(parts: BatchStageParts, sizes: PoolSizes, over: AbortSignal) {
    this.#parts = parts;
    this.#sizes = sizes;
    this.#over = over;
  }

  /** @returns null when somebody was first: then this session has no more to do with the batch. */
  async save({ batch, effects, ...also }: LifeStep): Promise<Batch | null> {
    const { ledger, session, render, log, mendable } = this.#parts;
    const saved = await persist(
      this.#parts,
      "batch.waits_for_ledger",
      mendable,
      () => this.#over.aborted,
      () => ledger.saveBatch(session, batch, also, render),
    );
    if (saved === null) {
      log.warn("batch.save_was_second", { batch: batchId(batch.no), state: batch.state });
      return null;
    }
    log.debug("batch.step", { batch: batchId(saved.no), state: saved.state, trouble: saved.trouble });
    const { create } = also;
    if (create?.kind === "settled" && create.as === "absent") this.#count(saved, "absent");
    for (const effect of effects) await this.#perform(saved, effect); // serial: few, and in the order of the step
    return saved;
  }

  async tell(batch: Batch, told: LifeEvent): Promise<void> {
    await this.note(batch, told.kind, told.message, told.details ?? {});
  }

  /** An event about a batch. It is told after what it tells is stored: a kill in between loses the telling, never the deed. */
  async note(
    batch: Batch,
    kind: GatewayEvent["kind"],
    message: string,
    details: Readonly<Record<string, string>>,
  ): Promise<void> {
    const { clock, log } = this.#parts;
    const { account, provider, model, no } = batch;
    const its = { batchId: batchId(no), providerBatchId: batch.providerBatchId ?? "", model: model ?? "" };
    log.info(kind, { batch: batchId(no), account, note: message, ...details });
    await this.publish({
      kind,
      message: `batch ${batchId(no)} at ${account}: ${message}`,
      ...NO_SUBJECT,
      batchId: batchId(no),
      provider,
      account,
      details: { ...its, ...details },
      atMs: clock.nowMs(),
    });
  }

  async publish(event: GatewayEvent): Promise<void> {
    const { ledger, session, render, log } = this.#parts;
    try {
      this.#parts.publish(await ledger.note(session, event, render));
    } catch (error) {
      log.warn("batch.event_unpublished", { kind: event.kind, error });
    }
  }

  async #perform(batch: Batch, effect: LifeEffect): Promise<void> {
    switch (effect.kind) {
      case "event":
        this.#countEvent(batch, effect.event);
        return this.tell(batch, effect.event);
      case "hold_account":
        return this.#hold(batch, effect);
      case "bisect":
        this.#sizes.refused(batch.pool, effect.linesMax);
        return;
      case "accepted":
        this.#sizes.accepted(batch.pool);
        return;
      case "fault_found":
        this.#sizes.forget(batch.pool);
        return;
      case "cancel_twin":
        return this.#cancelTwin(batch, effect.providerBatchId);
    }
  }

  async #hold(
    batch: Batch,
    { tokensMax, untilMs }: Extract<LifeEffect, { readonly kind: "hold_account" }>,
  ): Promise<void> {
    const { ledger, log } = this.#parts;
    log.info("batch.account_held", { account: batch.account, tokensMax, untilMs });
    await ledger.holdAccount(batch.account, tokensMax, untilMs).catch((error: unknown) => {
      log.warn("batch.hold_unwritten", { account: batch.account, error });
    });
  }

  async #cancelTwin(batch: Batch, twin: string): Promise<void> {
    const { accounts, settings } = this.#parts;
    const details = { providerBatchId: twin };
    this.#count(batch, "orphan");
    await this.note(batch, "batch.orphan_found", "the provider made a second batch of it, which is cancelled", details);
    const provider = accounts.get(batch.account)?.provider;
    await provider?.cancel(twin, { timeoutMs: settings.callTimeoutMs }, this.#over);
  }

  #countEvent(batch: Batch, { kind }: LifeEvent): void {
    if (kind === "batch.submitted") this.#count(batch, "submitted");
    if (kind === "batch.adopted") this.#count(batch, "adopted");
    if (kind === "batch.refused") this.#count(batch, "refused");
    if (kind === "batch.orphan_found") this.#count(batch, "orphan");
    if (kind === "batch.ended") {
      const { account, submittedAtMs, endedAtMs } = batch;
      this.#count(batch, "ended");
      if (submittedAtMs !== null && endedAtMs !== null)
        this.#parts.metrics.observe("sluice_batch_turnaround_seconds", { account }, (endedAtMs - submittedAtMs) / 1000);
    }
  }

  #count({ account }: Batch, became: "submitted" | "adopted" | "refused" | "ended" | "absent" | "orphan"): void {
    this.#parts.metrics.count("sluice_batches_total", { account, became });
  }
}
