import type { EventSeverity } from "../event/event.js";
import type { EpochMs } from "../ids.js";

/** What an alert can be about, and how loud it is. Critical ones need a person now: `sluice status` ends with 6 while one is raised. */
export const ALERT_RULES = {
  /** A budget: what was spent passed 50, 80 or 95 % of it, or nothing of note fits any more (100). */
  budget: "warning",
  /** An hour costs far more than the same hour on earlier days. */
  spend: "warning",
  /** Too many of an account's calls fail. */
  error_rate: "warning",
  /** An account's calls come near a limit of its provider. */
  rate_limit: "warning",
  /** All of an account's calls fail. */
  provider_down: "critical",
  /** Jobs take longer than the target. */
  latency: "warning",
  /** Nothing finishes although jobs wait that could run. */
  standstill: "critical",
  /** Jobs whose deadlines are nearer than a call or their batch is counted on to take. */
  deadlines: "warning",
  /** Many attempts may have been billed and nobody knows. */
  in_doubt: "critical",
  dead_letters: "warning",
  /** A batch is out for longer than twice what batches of its kind take. */
  batch_slow: "warning",
} as const satisfies Record<string, Exclude<EventSeverity, "info">>;
export type AlertRule = keyof typeof ALERT_RULES;
export const ALERT_RULE_NAMES = Object.keys(ALERT_RULES) as readonly AlertRule[]; // the keys of the line above

/** What an alert is about, for people and as facts. */
export interface AlertText {
  /** A sentence. */
  readonly message: string;
  readonly tenant?: string;
  readonly account?: string;
  readonly batchId?: string;
  /** Facts as text, as in events. */
  readonly details: Readonly<Record<string, string>>;
}

/** One alert as it is remembered: of a rule about a subject, of which there is one row in the ledger. */
export interface Alert {
  readonly rule: AlertRule;
  /** Within the rule, such as an account's name; empty: all of the gateway. */
  readonly subject: string;
  /** Grows with each change, from 1. */
  readonly version: number;
  readonly state: "clear" | "raised";
  /** Since when it is in this state. */
  readonly sinceMs: EpochMs;
  /** Since when all readings have pointed to the other state; null: the last one did not. */
  readonly turningSinceMs: EpochMs | null;
  /** Whether it was ever raised: one that was not is forgotten as soon as its readings are good. */
  readonly wasRaised: boolean;
  /** Of the last reading that changed it. */
  readonly text: AlertText;
}

export function alertName({ rule, subject }: Pick<Alert, "rule" | "subject">): string {
  return subject === "" ? rule : `${rule}:${subject}`;
}
