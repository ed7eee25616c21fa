import type { SessionNo } from "../../domain/ids.js";
import { AlertStage } from "../../pipeline/alert/alert-stage.js";
import { NoticeStage } from "../../pipeline/alert/notice-stage.js";
import type { TallyRecorder } from "../../pipeline/alert/tally-recorder.js";
import type { Alerting, SessionParts } from "./session-parts.js";
import type { Stages } from "./stages.js";

export interface AlertLoops {
  /** None of them ever rejects. */
  readonly run: (over: AbortSignal) => readonly Promise<void>[];
}

/** What a session does about alerts, wired together; nothing of it runs yet. */
export function openAlerts(
  { alerting, ports, rules, settings }: SessionParts,
  session: SessionNo,
  stages: Stages,
  recorder: TallyRecorder | null,
): AlertLoops {
  if (alerting === undefined || recorder === null) return { run: () => [] };
  const { ledger, readings } = alerting;
  const { clock, log, metrics } = ports;
  const notices = noticeStage(alerting, ports);
  const accounts = rules.catalog.accounts.map(({ name }) => name);
  const alerts = new AlertStage({
    ...{ ledger, session, clock, log, metrics, recorder, readings },
    render: stages.render,
    terms: () => ({
      settings: alerting.settings,
      accounts,
      turnaround: stages.outlook.turnaround,
      callPriorMs: settings.rescue.callPriorMs,
    }),
    notify: notices !== null,
    publish: (groups) => {
      stages.relay.add(groups);
    },
    told: () => {
      notices?.wake();
    },
  });
  return { run: (over) => [alerts.run(over), ...(notices === null ? [] : [notices.run(over)])] };
}

function noticeStage({ ledger, settings, webhook }: Alerting, ports: SessionParts["ports"]): NoticeStage | null {
  if (webhook === null) return null;
  const { clock, random, log, metrics } = ports;
  return new NoticeStage({ ...webhook, ledger, clock, random, log, metrics, everyMs: settings.everyMs });
}
