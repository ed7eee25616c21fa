import { alertName } from "../../domain/alert/alert.js";
import { alertJson } from "../alert-text.js";
import type { OperatorStatus } from "../../app/operator/status.js";
import type { CommandGroup } from "../command-context.js";
import { dollarsText } from "../display-text.js";
import { EXIT } from "../exit-code.js";

export const addStatusCommand: CommandGroup = (program, context) => {
  program
    .command("status")
    .description("one screen of how the gateway stands; exit 6 when something needs a person")
    .action(
      context.action(async () => {
        const [{ withOperator }, { statusOf }] = await Promise.all([
          import("../../app/operator/open-operator.js"),
          import("../../app/operator/status.js"),
        ]);
        const status = await withOperator(context.config(), statusOf);
        context.show(statusJson(status), () => statusLines(status));
        status.needs.forEach((need) => {
          context.note(`needs a person: ${need}`);
        });
        return status.needs.length === 0 ? EXIT.done : EXIT.partly;
      }),
    );
};

function statusJson(status: OperatorStatus): Readonly<Record<string, unknown>> {
  const age = (ms: number | null): number | null => (ms === null ? null : Math.max(0, status.nowMs - ms));
  return {
    at: new Date(status.nowMs).toISOString(),
    routers: status.routers,
    stoppedPartitions: status.stopped.map(({ sinceMs, ...partition }) => ({ ...partition, ageMs: age(sinceMs) })),
    waiting: { rows: status.readyRows, oldestRunnableAgeMs: age(status.oldestRunnableMs) },
    batches: {
      live: status.batches.live,
      inDoubt: status.batches.inDoubt,
      overdue: status.batches.overdue,
      waitingLines: status.batchReadyRows,
      heldAccounts: status.batches.held.map(({ untilMs, ...held }) => ({
        ...held,
        until: new Date(untilMs).toISOString(),
      })),
    },
    breakers: status.breakers.map(({ account, model, state, because, openMs, leftMs, openings }) => ({
      ...{ account, model, state, because, openings, openMs },
      nextTrialInMs: Math.max(0, leftMs),
    })),
    outbox: { records: status.outboxRecords, oldestAgeMs: age(status.outboxOldestMs) },
    inDoubt: {
      open: status.inDoubt.open,
      settled: status.inDoubt.settled,
      oldestAgeMs: age(status.inDoubt.oldestMs),
      maxNanoUsd: status.inDoubt.maxNanoUsd,
    },
    deadLetters: status.letters,
    unansweredExecutions: status.unansweredExecutions,
    alerts: status.alerts.map(alertJson),
    consumerLag: null, // the ledger knows positions, only a broker knows the ends of its logs
    needs: status.needs,
  };
}

function statusLines(status: OperatorStatus): readonly string[] {
  const { batches, inDoubt, letters, routers, stopped } = status;
  const ago = (ms: number | null): string => (ms === null ? "" : `, the oldest ${secondsText(status.nowMs - ms)}`);
  return [
    `routers      ${routers.length === 0 ? "none lives" : routers.map(({ name, session, beatAgeMs }) => `${name} (session ${String(session)}, beat ${secondsText(beatAgeMs)} ago)`).join(", ")}`,
    ...(stopped.length === 0
      ? []
      : [
          `stopped      ${stopped.map(({ topic, partition, cause, next, sinceMs }) => `${topic} ${String(partition)} at ${String(next)} (${cause}, ${secondsText(status.nowMs - sinceMs)} ago)`).join(", ")}`,
        ]),
    `waiting      ${String(status.readyRows)} executions${ago(status.oldestRunnableMs)}${status.oldestRunnableMs === null ? "" : " overdue"}`,
    `batches      ${String(batches.live)} live, ${String(batches.inDoubt)} in doubt, ${String(batches.overdue)} overdue; ${String(status.batchReadyRows)} executions wait for one`,
    ...(status.breakers.length === 0 ? [] : [`breakers     ${status.breakers.map(breakerText).join("; ")}`]),
    `outbox       ${String(status.outboxRecords)} records${ago(status.outboxOldestMs)}`,
    `in doubt     ${String(inDoubt.open)} in their grace, ${String(inDoubt.settled)} settled with open cost, at most ${dollarsText(BigInt(inDoubt.maxNanoUsd))}${ago(inDoubt.oldestMs)}`,
    `dead letters ${letters.length === 0 ? "none open" : letters.map(({ code, state, count }) => `${String(count)} ${code}${state === "parked" ? " (parked)" : ""}`).join(", ")}`,
    `alerts       ${status.alerts.length === 0 ? "none raised" : status.alerts.map(alertName).join(", ")}`,
    "lag          unknown without a broker",
  ];
}

function breakerText({ account, model, state, openMs, leftMs, because }: OperatorStatus["breakers"][number]): string {
  const name = model === null ? `account ${account}` : `${account}/${model}`;
  const next = state === "half_open" ? "on trial" : `next trial in ${secondsText(leftMs)}`;
  return `${name} open for ${secondsText(openMs)}, ${next}: ${because}`;
}

function secondsText(ms: number): string {
  return `${String(Math.max(0, Math.round(ms / 100)) / 10)} s`;
}
