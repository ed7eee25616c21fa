import { ALERT_RULES, alertName, type Alert } from "../domain/alert/alert.js";

/** An alert as commands print it with --json. */
export function alertJson(alert: Alert): Readonly<Record<string, unknown>> {
  const { rule, subject, state, sinceMs, text } = alert;
  return {
    alert: alertName(alert),
    rule,
    subject: subject === "" ? null : subject,
    severity: ALERT_RULES[rule],
    state,
    since: new Date(sinceMs).toISOString(),
    message: text.message,
    details: text.details,
  };
}
