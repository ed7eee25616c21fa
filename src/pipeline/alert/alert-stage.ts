import { ALERT_RULES, alertName, type Alert } from "../../domain/alert/alert.js";
import { judgeAlerts, raisedByRule, type AlertTerms } from "../../domain/alert/judge.js";
import type { AlertReadings } from "../../domain/alert/readings.js";
import { sumOf, type Tally } from "../../domain/alert/tally.js";
import type { SessionNo } from "../../domain/ids.js";
import type { Renderer } from "../../domain/result/outgoing.js";
import type { AlertLedger, AlertLook } from "../../ports/alert-ledger.js";
import type { OutboxGroup } from "../../ports/ledger.js";
import type { Metrics } from "../../ports/metrics.js";
import type { Clock, Log } from "../../ports/system.js";
import type { TallyRecorder } from "./tally-recorder.js";

export interface AlertStageParts {
  readonly ledger: Pick<AlertLedger, "addTally" | "look" | "alerts">;
  readonly session: SessionNo;
  readonly render: Renderer;
  readonly clock: Pick<Clock, "sleep">;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly recorder: Pick<TallyRecorder, "take">;
  readonly terms: () => AlertTerms;
  /** What this router reads outside of the ledger. Rejects: not read this time. */
  readonly readings: () => Promise<Partial<AlertReadings>>;
  /** Whether a webhook wants to hear of alerts. */
  readonly notify: boolean;
  readonly publish: (groups: readonly OutboxGroup[]) => void;
  /** Notices were written. */
  readonly told: () => void;
}

/** The part of an interval after which a look is due: routers that all wait a whole one would miss each other's turn by a little. */
const DUE_SHARE = 0.9;

/**
 * Hands the ledger what this router counted, and looks for all routers when it is time: who comes first in an interval does. Nothing
 * waits for it, and trouble with it stops nothing.
 */
export class AlertStage {
  readonly #parts: AlertStageParts;
  /** Counted, and not in the ledger yet. */
  #unsaid: Tally | null = null;

  constructor(parts: AlertStageParts) {
    this.#parts = parts;
  }

  async run(over: AbortSignal): Promise<void> {
    const { clock, terms } = this.#parts;
    for (;;) {
      await clock.sleep(terms().settings.everyMs, over);
      if (over.aborted) return;
      // Serial: one round after another.
      await this.round();
    }
  }

  /** Never rejects. */
  async round(): Promise<void> {
    const { log } = this.#parts;
    try {
      await this.#sayCounts();
      await this.#look();
    } catch (error) {
      log.warn("alerts.look_failed", { message: error instanceof Error ? error.message : String(error) });
    }
  }

  async #sayCounts(): Promise<void> {
    const { ledger, session, recorder } = this.#parts;
    const counted = recorder.take();
    if (counted !== null) this.#unsaid = this.#unsaid === null ? counted : sumOf([this.#unsaid, counted]);
    if (this.#unsaid === null) return;
    await ledger.addTally(session, this.#unsaid);
    this.#unsaid = null;
  }

  async #look(): Promise<void> {
    const { ledger, session, render, terms, notify } = this.#parts;
    const known = terms();
    const everyMs = Math.floor(known.settings.everyMs * DUE_SHARE);
    const request = { session, everyMs, notify, readings: await this.#readings() };
    const look = await ledger.look(request, (sight) => judgeAlerts(sight, known), render);
    if (look === null) this.#show(await ledger.alerts());
    else this.#report(look);
  }

  async #readings(): Promise<Partial<AlertReadings>> {
    try {
      return await this.#parts.readings();
    } catch (error) {
      this.#parts.log.warn("alerts.unread", { message: error instanceof Error ? error.message : String(error) });
      return {};
    }
  }

  #report({ alerts, changes, outbox }: AlertLook): void {
    const { log, publish, told, notify } = this.#parts;
    publish(outbox);
    this.#show(alerts, changes);
    const turned = changes.flatMap(({ after, turn }) => (turn === null || after === null ? [] : [{ after, turn }]));
    for (const { after, turn } of turned) {
      const fields = { alert: alertName(after), note: after.text.message, ...after.text.details };
      if (turn === "recovered") log.info("alert.recovered", fields);
      else if (ALERT_RULES[after.rule] === "critical") log.error("alert.raised", fields);
      else log.warn("alert.raised", fields);
    }
    if (notify && turned.length > 0) told();
  }

  #show(alerts: readonly Alert[], changes: AlertLook["changes"] = []): void {
    for (const [rule, raised] of raisedByRule(alerts, changes))
      this.#parts.metrics.set("sluice_alerts", { rule }, raised);
  }
}
