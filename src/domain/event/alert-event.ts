import { ALERT_RULES, alertName, type Alert } from "../alert/alert.js";
import type { AlertTurn } from "../alert/standing.js";
import type { EpochMs } from "../ids.js";
import type { GatewayEvent } from "./event.js";

/** An alert that was raised, or that recovered. */
export function alertEvent(alert: Alert, turn: AlertTurn, sinceMs: EpochMs, atMs: EpochMs): GatewayEvent {
  const { rule, text } = alert;
  const lastedMs = String(Math.max(0, atMs - sinceMs));
  return {
    kind: turn === "raised" ? "alert.raised" : "alert.recovered",
    ...(turn === "raised" ? { severity: ALERT_RULES[rule] } : {}),
    message: turn === "raised" ? text.message : `over: ${alertName(alert)}; at the last look ${text.message}`,
    tenant: text.tenant ?? null,
    jobId: null,
    generation: null,
    ...(text.batchId === undefined ? {} : { batchId: text.batchId }),
    provider: null,
    account: text.account ?? null,
    details: {
      alert: alertName(alert),
      rule,
      version: String(alert.version),
      ...(turn === "raised" ? {} : { raisedMs: lastedMs }),
      ...text.details,
    },
    atMs,
  };
}
