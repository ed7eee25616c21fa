import type { Ledger } from "../../ports/ledger.js";

/**
 * Deletes queue rows, one statement at a time for all topics together: what is asked for meanwhile goes with the next one. Results and their
 * costs are acknowledged at about the same time, so this halves the statements of a quiet router.
 */
export class RowDrops {
  readonly #ledger: Pick<Ledger, "dropOutbox">;
  #running: Promise<void> = Promise.resolve();
  #next: { readonly seqs: number[]; readonly dropped: Promise<void> } | null = null;

  constructor(ledger: Pick<Ledger, "dropOutbox">) {
    this.#ledger = ledger;
  }

  /** Rejects when the ledger did not delete them. */
  drop(seqs: readonly number[]): Promise<void> {
    if (this.#next !== null) {
      this.#next.seqs.push(...seqs);
      return this.#next.dropped;
    }
    const asked = [...seqs];
    const dropped = this.#running.then(() => {
      this.#next = null;
      return this.#ledger.dropOutbox(asked);
    });
    this.#next = { seqs: asked, dropped };
    this.#running = dropped.catch(() => undefined); // told to those who asked; the next ones are asked all the same
    return dropped;
  }
}
