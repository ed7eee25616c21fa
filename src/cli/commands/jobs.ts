import type { Command } from "commander";
import type { JobAttempt, JobBatch, JobView } from "../../app/operator/job-view.js";
import type { JobLine, SeenState } from "../../adapters/postgres/operator/job-rows.js";
import { comparisonLines } from "../route-text.js";
import type { RouteDecision } from "../../domain/route/route-decision.js";
import type { CommandContext, CommandGroup } from "../command-context.js";
import { dollarsText, isoOrNull, safeText, spanText, timeText } from "../display-text.js";
import { CommandError, EXIT, type ExitCode } from "../exit-code.js";
import { oneOf, wholeNumber } from "../option-values.js";
import { tableLines } from "../text-table.js";

interface ListFlags {
  readonly tenant?: string;
  readonly state?: SeenState;
  readonly limit: number;
}
interface TenantFlags {
  readonly tenant?: string;
}

const LIST_MAX = 10_000;
const STATES = [
  "waiting",
  "running",
  "batched",
  "in_doubt",
  "succeeded",
  "failed",
  "expired",
  "cancelled",
] as const satisfies readonly SeenState[];

export const addJobsCommands: CommandGroup = (program, context) => {
  const jobs = program.command("jobs").description("jobs in the ledger: list, show, cancel");
  jobs
    .command("ls")
    .description("list jobs, the newest first")
    .option("--tenant <name>", "only of this tenant")
    .option("--state <state>", `only in this state: ${STATES.join(", ")}`, oneOf(STATES))
    .option("--limit <number>", "at most so many", wholeNumber(1, LIST_MAX), 50)
    .action(context.action((flags: ListFlags) => list(context, flags)));
  addOne(
    jobs,
    context,
    "show",
    "show the newest generation of a job; begins with one sentence that says how it stands",
    show,
  );
  addOne(
    jobs,
    context,
    "cancel",
    "end a job that has not ended as cancelled; a call that is out is not stopped",
    cancel,
  );
};

type OneJob = (context: CommandContext, jobId: string, tenant: string | null) => Promise<ExitCode>;

function addOne(jobs: Command, context: CommandContext, name: string, description: string, run: OneJob): void {
  jobs
    .command(name)
    .description(description)
    .argument("<id>", "the job's id")
    .option("--tenant <name>", "the job's tenant; needed where several have the id")
    .action(context.action(({ tenant }: TenantFlags, [jobId]) => run(context, jobId ?? "", tenant ?? null)));
}

async function list(context: CommandContext, { tenant, state, limit }: ListFlags): Promise<ExitCode> {
  const [{ withOperator }, { newestJobs }] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../adapters/postgres/operator/job-rows.js"),
  ]);
  const jobs = await withOperator(context.config(), ({ pools }) =>
    newestJobs(pools.durable, { tenant: tenant ?? null, state: state ?? null, limit }),
  );
  context.show(jobs.map(lineJson), () =>
    tableLines(["job", "tenant", "gen", "state", "code", "accepted", "deadline", "ended"], jobs.map(lineCells)),
  );
  return EXIT.done;
}

function lineJson({ key: _key, acceptedMs, deadlineMs, endedMs, ...job }: JobLine): Readonly<Record<string, unknown>> {
  return { ...job, acceptedAt: isoOrNull(acceptedMs), deadline: isoOrNull(deadlineMs), endedAt: isoOrNull(endedMs) };
}

function lineCells(job: JobLine): readonly string[] {
  const ended = job.endedMs === null ? "-" : timeText(job.endedMs);
  return [
    safeText(job.jobId),
    job.tenant,
    String(job.generation),
    job.state,
    job.code ?? "-",
    timeText(job.acceptedMs),
    timeText(job.deadlineMs),
    ended,
  ];
}

/** @throws CommandError when no tenant has the job, or several have. */
function onlyOne<Found extends { readonly tenant: string }>(found: readonly Found[], jobId: string): Found {
  const [job, second] = found;
  if (job === undefined)
    throw new CommandError(
      EXIT.notFound,
      `no job ${safeText(jobId)} is in the ledger; ids are remembered for retention.jobIdDays`,
    );
  if (second !== undefined)
    throw new CommandError(
      EXIT.usage,
      `job ${safeText(jobId)} is there in several tenants (${found.map(({ tenant }) => tenant).join(", ")}); expected --tenant`,
    );
  return job;
}

async function show(context: CommandContext, jobId: string, tenant: string | null): Promise<ExitCode> {
  const [{ withOperator }, { viewJobs }, { jobSentence }] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../app/operator/job-view.js"),
    import("../../app/operator/job-sentence.js"),
  ]);
  const { jobs, nowMs } = await withOperator(context.config(), async (operator) => ({
    jobs: await viewJobs(operator, jobId, tenant),
    nowMs: operator.nowMs(),
  }));
  const job = onlyOne(jobs, jobId);
  const sentence = jobSentence(job, nowMs);
  context.show(viewJson(job, sentence), () => [safeText(sentence), ...viewLines(job)]);
  return EXIT.done;
}

function viewJson(job: JobView, sentence: string): Readonly<Record<string, unknown>> {
  const { waitsFor, acceptedMs, endedMs, deadlineMs, attempts, batch, ...rest } = job;
  return {
    sentence,
    ...rest,
    waitsFor:
      waitsFor === null ? null : { reason: waitsFor.reason, until: isoOrNull(waitsFor.untilMs), limit: waitsFor.limit },
    acceptedAt: isoOrNull(acceptedMs),
    endedAt: isoOrNull(endedMs),
    deadline: isoOrNull(deadlineMs),
    batch: batch === null ? null : batchJson(batch),
    attempts: attempts.map(({ key: _key, startedMs, endedMs: attemptEndedMs, ...attempt }) => ({
      ...attempt,
      startedAt: isoOrNull(startedMs),
      endedAt: isoOrNull(attemptEndedMs),
    })),
  };
}

function batchJson({ expectedMs, ...batch }: JobBatch): Readonly<Record<string, unknown>> {
  return { ...batch, expectedAt: isoOrNull(expectedMs) };
}

function viewLines(job: JobView): readonly string[] {
  const attempts = job.attempts.map(attemptCells);
  const costs = job.costs.map((cost) => [
    cost.kind,
    cost.billing,
    cost.nanoUsd === null ? "unknown" : dollarsText(BigInt(cost.nanoUsd)),
    dollarsText(BigInt(cost.maxNanoUsd)),
  ]);
  return [
    `job ${safeText(job.jobId)} of tenant ${job.tenant}, generation ${String(job.generation)}, record ${job.source}`,
    `accepted ${timeText(job.acceptedMs)}, deadline ${timeText(job.deadlineMs)}, execution ${job.executionId ?? "none"}, delivery ${job.delivery}`,
    ...decisionLines(job.decision),
    ...(attempts.length === 0
      ? []
      : [
          "",
          ...tableLines(["attempt", "id", "route", "mode", "state", "outcome", "started", "took", "request"], attempts),
        ]),
    ...(costs.length === 0 ? [] : ["", ...tableLines(["cost", "billing", "paid", "at most"], costs)]),
  ];
}

function attemptCells(attempt: JobAttempt): readonly string[] {
  return [
    String(attempt.number),
    attempt.attemptId,
    `${attempt.account}/${attempt.model}`,
    modeText(attempt),
    attempt.state,
    attempt.outcome ?? "-",
    timeText(attempt.startedMs),
    attempt.endedMs === null ? "-" : spanOfCall(attempt.endedMs - attempt.startedMs, attempt.mode),
    attempt.requestId === null ? "-" : safeText(attempt.requestId),
  ];
}

function modeText({ mode, batchId, line, rescueOf }: JobAttempt): string {
  if (rescueOf !== null) return `${mode}, rescue of line ${String(rescueOf.line)} of ${rescueOf.batchId}`;
  return batchId === null ? mode : `${mode} ${batchId} line ${String(line ?? 0)}`;
}

/** A call takes milliseconds, a line of a batch hours. */
function spanOfCall(ms: number, mode: JobAttempt["mode"]): string {
  return mode === "batch" ? spanText(ms) : `${String(ms)} ms`;
}

/** Only what is known of the numbers. */
function decisionLines(decision: RouteDecision | null): readonly string[] {
  if (decision === null) return [];
  const { leftMs, turnaroundP95Ms, fillMs, directMaxNanoUsd, batchMaxNanoUsd, tokens, headroomTokens } =
    decision.numbers;
  const span = (name: string, ms: number | null): readonly string[] =>
    ms === null ? [] : [`${name} ${spanText(Math.max(0, ms))}`];
  const money = (name: string, nanoUsd: string | null): readonly string[] =>
    nanoUsd === null ? [] : [`${name} at most ${dollarsText(BigInt(nanoUsd))}`];
  const numbers = [
    ...span("time left", leftMs),
    ...span("turnaround p95", turnaroundP95Ms),
    ...span("fill", fillMs),
    ...money("direct", directMaxNanoUsd),
    ...money("batch", batchMaxNanoUsd),
    ...(tokens === null ? [] : [`tokens ${String(tokens)}`]),
    ...(headroomTokens === null ? [] : [`headroom ${String(headroomTokens)} tokens`]),
  ];
  return [
    `decision ${decision.mode} at ${decision.account}/${decision.model}: ${safeText(decision.because)}`,
    ...(numbers.length === 0 ? [] : [`         ${numbers.join(", ")}`]),
    ...(decision.routes === undefined ? [] : comparisonLines(decision.routes)),
  ];
}

async function cancel(context: CommandContext, jobId: string, tenant: string | null): Promise<ExitCode> {
  const [{ withOperator }, { findJobs }] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../adapters/postgres/operator/job-rows.js"),
  ]);
  return withOperator(
    context.config(),
    async (operator) => {
      const job = onlyOne(await findJobs(operator.pools.durable, jobId, tenant), jobId);
      const render = await operator.render();
      const outcome = await operator.ledger.cancel(
        await operator.session(),
        [{ tenant: job.tenant, jobId }],
        { byWhom: operator.byWhom, atMs: operator.nowMs() },
        render,
      );
      const cancelled = outcome.ended.length > 0;
      operator.context.reach("cancel.after");
      context.show({ jobId, tenant: job.tenant, cancelled }, () => [
        cancelled
          ? `cancelled ${safeText(jobId)}; a router publishes its result`
          : `${safeText(jobId)} had ended: nothing was changed`,
      ]);
      return cancelled ? EXIT.done : EXIT.partly;
    },
    context.reach(),
  );
}
