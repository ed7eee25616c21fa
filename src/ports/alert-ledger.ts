import type { Alert } from "../domain/alert/alert.js";
import type { AlertChange, AlertSight, AlertVerdict } from "../domain/alert/judge.js";
import type { AlertReadings } from "../domain/alert/readings.js";
import type { Tally } from "../domain/alert/tally.js";
import type { EpochMs, SessionNo } from "../domain/ids.js";
import type { Renderer } from "../domain/result/outgoing.js";
import type { OutboxGroup } from "./ledger.js";

/** The ledger's side of alerts: what routers counted, which alerts there are, and which of them a webhook has still to hear of. */
export interface AlertLedger {
  /** What a router counted since it last said so. Counted once each by whichever look is next; the newest may be lost with the database. */
  addTally(session: SessionNo, tally: Tally): Promise<void>;

  /**
   * One look for all routers, unless another was made within `everyMs` or is being made. Reads, asks `judge`, and stores in one transaction what
   * follows: the memory, each changed alert on condition of its version, an event for each turn, and with `notify` a notice for the webhook.
   * @param judge pure; asked again when the transaction has to be repeated.
   * @returns null: it is not time, or somebody else looks.
   */
  look(
    request: AlertLookRequest,
    judge: (sight: AlertSight) => AlertVerdict,
    render: Renderer,
  ): Promise<AlertLook | null>;

  /** All that are remembered, raised ones and others. */
  alerts(): Promise<readonly Alert[]>;

  /** Notices that are due, oldest first; nobody else gets them for `holdMs`. Each counts as tried. */
  takeNotices(limit: number, holdMs: number): Promise<readonly Notice[]>;
  /** It was delivered, or is given up. */
  endNotice(no: number): Promise<void>;
  /** It could not be delivered and is due again after this time; nothing happens if somebody else has taken it meanwhile. */
  retryNotice(notice: Notice, afterMs: number, reason: string): Promise<void>;
}

export interface AlertLookRequest {
  readonly session: SessionNo;
  readonly everyMs: number;
  readonly notify: boolean;
  /** What the router reads elsewhere; takes the place of what the ledger has not. */
  readonly readings: Partial<AlertReadings>;
}

export interface AlertLook {
  readonly nowMs: EpochMs;
  /** As they were before. */
  readonly alerts: readonly Alert[];
  readonly changes: readonly AlertChange[];
  readonly outbox: readonly OutboxGroup[];
}

/** An event that the webhook has to hear of. */
export interface Notice {
  /** Of its event. */
  readonly no: number;
  /** Equal on every try. */
  readonly eventId: string;
  /** The bytes to send, JSON. */
  readonly body: string;
  /** This one included. */
  readonly tries: number;
  /** How long ago the event was, milliseconds. */
  readonly ageMs: number;
}
