import type { Command } from "commander";
import type { JobView } from "../../app/operator/job-view.js";
import type { JobLine, SeenState } from "../../adapters/postgres/operator/job-rows.js";
import type { CommandContext, CommandGroup } from "../command-context.js";
import { dollarsText, safeText, timeText } from "../display-text.js";
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

const isoOrNull = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

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
  const job = onlyOne(await withOperator(context.config(), (operator) => viewJobs(operator, jobId, tenant)), jobId);
  const sentence = jobSentence(job, Date.now());
  context.show(viewJson(job, sentence), () => [safeText(sentence), ...viewLines(job)]);
  return EXIT.done;
}

function viewJson(job: JobView, sentence: string): Readonly<Record<string, unknown>> {
  const { waitsFor, acceptedMs, endedMs, deadlineMs, attempts, ...rest } = job;
  return {
    sentence,
    ...rest,
    waitsFor:
      waitsFor === null ? null : { reason: waitsFor.reason, until: isoOrNull(waitsFor.untilMs), limit: waitsFor.limit },
    acceptedAt: isoOrNull(acceptedMs),
    endedAt: isoOrNull(endedMs),
    deadline: isoOrNull(deadlineMs),
    attempts: attempts.map(({ key: _key, startedMs, endedMs: attemptEndedMs, ...attempt }) => ({
      ...attempt,
      startedAt: isoOrNull(startedMs),
      endedAt: isoOrNull(attemptEndedMs),
    })),
  };
}

function viewLines(job: JobView): readonly string[] {
  const attempts = job.attempts.map((attempt) => [
    String(attempt.number),
    attempt.attemptId,
    `${attempt.account}/${attempt.model}`,
    attempt.state,
    attempt.outcome ?? "-",
    timeText(attempt.startedMs),
    attempt.endedMs === null ? "-" : `${String(attempt.endedMs - attempt.startedMs)} ms`,
    attempt.requestId === null ? "-" : safeText(attempt.requestId),
  ]);
  const costs = job.costs.map((cost) => [
    cost.kind,
    cost.billing,
    cost.nanoUsd === null ? "unknown" : dollarsText(BigInt(cost.nanoUsd)),
    dollarsText(BigInt(cost.maxNanoUsd)),
  ]);
  return [
    `job ${safeText(job.jobId)} of tenant ${job.tenant}, generation ${String(job.generation)}, record ${job.source}`,
    `accepted ${timeText(job.acceptedMs)}, deadline ${timeText(job.deadlineMs)}, execution ${job.executionId ?? "none"}, delivery ${job.delivery}`,
    ...(attempts.length === 0
      ? []
      : ["", ...tableLines(["attempt", "id", "route", "state", "outcome", "started", "took", "request"], attempts)]),
    ...(costs.length === 0 ? [] : ["", ...tableLines(["cost", "billing", "paid", "at most"], costs)]),
  ];
}

async function cancel(context: CommandContext, jobId: string, tenant: string | null): Promise<ExitCode> {
  const [{ withOperator }, { findJobs }] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../adapters/postgres/operator/job-rows.js"),
  ]);
  return withOperator(context.config(), async (operator) => {
    const job = onlyOne(await findJobs(operator.pools.durable, jobId, tenant), jobId);
    const render = await operator.render();
    const outcome = await operator.ledger.cancel(
      await operator.session(),
      [{ tenant: job.tenant, jobId }],
      { byWhom: operator.byWhom, atMs: operator.nowMs() },
      render,
    );
    const cancelled = outcome.ended.length > 0;
    context.show({ jobId, tenant: job.tenant, cancelled }, () => [
      cancelled
        ? `cancelled ${safeText(jobId)}; a router publishes its result`
        : `${safeText(jobId)} had ended: nothing was changed`,
    ]);
    return cancelled ? EXIT.done : EXIT.partly;
  });
}
