import { afterFailedTry, type NoticeLimits } from "../../domain/alert/notice.js";
import type { AlertLedger, Notice } from "../../ports/alert-ledger.js";
import type { Metrics } from "../../ports/metrics.js";
import type { Clock, Log, Random } from "../../ports/system.js";
import type { Webhook } from "../../ports/webhook.js";

export interface NoticeStageParts {
  readonly ledger: Pick<AlertLedger, "takeNotices" | "endNotice" | "retryNotice">;
  readonly webhook: Pick<Webhook, "send">;
  readonly limits: NoticeLimits;
  readonly timeoutMs: number;
  /** How often it looks for notices that others left, or whose next try is due. */
  readonly everyMs: number;
  readonly clock: Pick<Clock, "sleep">;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Beyond a try's own time, before another router may try the same notice. */
const HOLD_MARGIN_MS = 5000;

/** Delivers notices to the webhook, one after the other: at least once each, until the receiver has it or it is given up. */
export class NoticeStage {
  readonly #parts: NoticeStageParts;
  #wake = new AbortController();

  constructor(parts: NoticeStageParts) {
    this.#parts = parts;
  }

  /** There is something to deliver. */
  wake(): void {
    this.#wake.abort();
  }

  async run(over: AbortSignal): Promise<void> {
    over.addEventListener(
      "abort",
      () => {
        this.wake();
      },
      { once: true },
    );
    for (;;) {
      // Serial: one round after another.
      await this.#parts.clock.sleep(this.#parts.everyMs, this.#wake.signal);
      if (over.aborted) return;
      this.#wake = new AbortController();
      await this.round(over);
    }
  }

  /** Until nothing is due or a try has failed: a receiver that is away is not asked again for each notice. Never rejects. */
  async round(over: AbortSignal): Promise<void> {
    const { ledger, log, timeoutMs } = this.#parts;
    try {
      for (;;) {
        if (over.aborted) return;
        // Serial: notices go out in their order as far as they can.
        const [notice] = await ledger.takeNotices(1, timeoutMs + HOLD_MARGIN_MS);
        if (notice === undefined || !(await this.#deliver(notice))) return;
      }
    } catch (error) {
      log.warn("webhook.ledger_away", { message: error instanceof Error ? error.message : String(error) });
    }
  }

  /** @returns whether it was delivered. */
  async #deliver(notice: Notice): Promise<boolean> {
    const { ledger, webhook, log, metrics, limits, random } = this.#parts;
    const answer = await webhook.send(notice);
    if (answer.kind === "delivered") {
      metrics.count("sluice_alert_notices_total", { outcome: "delivered" });
      await ledger.endNotice(notice.no);
      return true;
    }
    const fields = { eventId: notice.eventId, tries: notice.tries, reason: answer.reason };
    const next = afterFailedTry(notice, limits, random.next());
    if (next.kind === "retry") {
      metrics.count("sluice_alert_notices_total", { outcome: "failed" });
      log.warn("webhook.failed", { ...fields, retryAfterMs: next.afterMs });
      await ledger.retryNotice(notice, next.afterMs, answer.reason);
    } else {
      metrics.count("sluice_alert_notices_total", { outcome: "given_up" });
      log.error("webhook.given_up", fields);
      await ledger.endNotice(notice.no);
    }
    return false;
  }
}
