import { batchId } from "../../domain/batch/batch.js";
import { budgetKey } from "../../domain/budget/budget.js";
import { seenWait, type SeenWait } from "../../domain/execution/waits.js";
import { attemptId } from "../../domain/job/ids.js";
import { parseEnvelope } from "../../domain/result/envelope.js";
import type { RouteDecision } from "../../domain/route/route-decision.js";
import {
  deliveryOf,
  findJobs,
  letterOfJob,
  letterOfResult,
  loadAttempts,
  loadCosts,
  type AttemptLine,
  type CostLine,
  type Delivery,
  type JobDetail,
  type JobLetter,
  type AttemptBatch,
  type SeenState,
  type WaitingRow,
} from "../../adapters/postgres/operator/job-rows.js";
import { loadBatch } from "../../adapters/postgres/operator/batch-rows.js";
import { loadRequests } from "../../adapters/postgres/operator/letter-rows.js";
import { allBudgets, buildRoutePlanner } from "../build-domain.js";
import { summaryOf, type BatchSummary } from "./batch-view.js";
import type { Operator } from "./open-operator.js";
import { routesOf } from "./stored-routes.js";

/** What a job that has not ended waits for; `until` is when it is looked at again. */
export interface WaitsFor {
  readonly reason: SeenWait;
  readonly untilMs: number;
  /** Key in the config of the limit that it waits for; null where no limit of ours is the reason. */
  readonly limit: string | null;
  /** Account and model whose batch it waits for; null where another thing is the reason. */
  readonly batchAt: WaitingRow["batchAt"];
}

/** The batch that a job's line is in. */
export interface JobBatch extends Pick<
  BatchSummary,
  "batchId" | "provider" | "account" | "state" | "done" | "percent" | "lines" | "expectedMs" | "providerBatchId"
> {
  /** Place of the line in it, from 1. */
  readonly line: number;
}

/** A try, with how it was made. */
export interface JobAttempt extends Omit<AttemptLine, "batch" | "supersedes"> {
  readonly attemptId: string;
  readonly mode: "direct" | "batch";
  readonly batchId: string | null;
  readonly line: number | null;
  readonly providerBatchId: string | null;
  /** The line beside which the call was made, since its deadline was near; null: it is no rescue. */
  readonly rescueOf: { readonly batchId: string; readonly line: number } | null;
}

/** A job as `jobs show` tells it: the newest generation of its id. */
export interface JobView {
  readonly jobId: string;
  readonly tenant: string;
  readonly generation: number;
  readonly state: SeenState;
  readonly code: string | null;
  /** Why it failed, from its dead letter. */
  readonly message: string | null;
  readonly waitsFor: WaitsFor | null;
  readonly delivery: Delivery;
  readonly acceptedMs: number;
  readonly endedMs: number | null;
  readonly deadlineMs: number;
  readonly source: string;
  readonly executionId: string | null;
  /** Only in state `batched`. */
  readonly batch: JobBatch | null;
  readonly attempts: readonly JobAttempt[];
  /** Number of the attempt whose answer serves it; null: none does, or it was served without. */
  readonly servedBy: number | null;
  /** Why it was given to a batch or to a call of its own, with the numbers; null where there was nothing to choose. */
  readonly decision: RouteDecision | null;
  readonly costs: readonly CostLine[];
  readonly letter: { readonly no: number; readonly state: string } | null;
  /** Why the result is not delivered; null unless `delivery` is `undeliverable`. */
  readonly undeliverable: JobLetter | null;
  readonly labels: Readonly<Record<string, string>>;
}

/** The jobs of an id, one a tenant that has it. */
export async function viewJobs(operator: Operator, jobId: string, tenant: string | null): Promise<readonly JobView[]> {
  const found = await findJobs(operator.pools.durable, jobId, tenant);
  return Promise.all(found.map((job) => viewOf(operator, job)));
}

async function viewOf(operator: Operator, job: JobDetail): Promise<JobView> {
  const pool = operator.pools.durable;
  const nos = attemptNos(job);
  const day = job.execution?.day ?? job.key.day;
  const [waitsFor, attempts, costs, delivery, letter, refusal] = await Promise.all([
    waitsOf(operator, job),
    loadAttempts(pool, day, nos),
    loadCosts(pool, job.key, job.execution, nos),
    deliveryOf(pool, job.key),
    letterOfJob(pool, job.key),
    letterOfResult(pool, job.key),
  ]);
  const current = attempts.find(({ key }) => key.no === job.currentAttemptNo);
  return {
    jobId: job.jobId,
    tenant: job.tenant,
    generation: job.generation,
    state: job.state,
    code: job.code,
    message: letter?.message ?? null,
    waitsFor,
    delivery,
    acceptedMs: job.acceptedMs,
    endedMs: job.endedMs,
    deadlineMs: job.deadlineMs,
    source: job.source,
    executionId: job.execution === null ? null : attemptId(job.execution.day, job.execution.no),
    batch: job.state === "batched" ? await batchOf(operator, current?.batch ?? null) : null,
    attempts: attempts.map((attempt) => jobAttempt(attempt, attempts)),
    servedBy: job.state === "succeeded" ? (job.answer?.attempt.number ?? null) : null,
    decision: job.decision,
    costs,
    letter: letter === null ? null : { no: letter.no, state: letter.state },
    undeliverable: delivery === "undeliverable" ? refusal : null,
    labels: parseEnvelope(job.envelope).labels,
  };
}

function jobAttempt({ batch, supersedes, ...attempt }: AttemptLine, all: readonly AttemptLine[]): JobAttempt {
  const rescued = supersedes === null ? null : (all.find(({ key }) => key.no === supersedes)?.batch ?? null);
  return {
    ...attempt,
    attemptId: attemptId(attempt.key.day, attempt.key.no),
    mode: batch === null ? "direct" : "batch",
    batchId: batch === null ? null : batchId(batch.no),
    line: batch?.line ?? null,
    providerBatchId: batch?.providerBatchId ?? null,
    rescueOf: rescued === null ? null : { batchId: batchId(rescued.no), line: rescued.line },
  };
}

async function batchOf(operator: Operator, place: AttemptBatch | null): Promise<JobBatch | null> {
  const row = place === null ? null : await loadBatch(operator.pools.durable, place.no);
  if (place === null || row === null) return null;
  const { provider, account, state, done, percent, lines, expectedMs, providerBatchId, ...summary } = summaryOf(
    row,
    operator.nowMs(),
  );
  return {
    batchId: summary.batchId,
    provider,
    account,
    state,
    line: place.line,
    lines,
    done,
    percent,
    expectedMs,
    providerBatchId,
  };
}

async function waitsOf(operator: Operator, job: JobDetail): Promise<WaitsFor | null> {
  const { endedMs, waits } = job;
  const reason = endedMs !== null || waits === null ? null : seenWait(waits.forWhat);
  if (reason === null || waits === null) return null;
  const limit =
    reason === "concurrency"
      ? await concurrencyLimit(operator, job)
      : reason === "budget"
        ? budgetOf(operator, waits.level)
        : reason === "rate_limit"
          ? rateLimitOf(waits.limit)
          : null;
  return { reason, untilMs: waits.untilMs, limit, batchAt: waits.batchAt };
}

/** The budget that keeps it out, by its place in the config; null when it has none there any more. */
function budgetOf({ config }: Operator, key: string | null): string | null {
  const budget = allBudgets(config).find((one) => budgetKey(one) === key);
  if (budget === undefined) return null;
  return budget.level.of === "account"
    ? `providers.${budget.level.account}.dailySpendUsd`
    : `budgets[${String(config.budgets.indexOf(budget))}]`;
}

/** The limits that it waits by, by their place in the config. */
function rateLimitOf(name: string | null): string | null {
  if (name === null) return null;
  const [account = "", ...model] = name.split("/");
  const limits = `providers.${account}.limits`;
  return model.length === 0 ? limits : `${limits}.models.${model.join("/")}`;
}

/** The limit of the account that a router calls next; null when no route is left. */
async function concurrencyLimit(operator: Operator, job: JobDetail): Promise<string | null> {
  const [request] = await loadRequests(operator.pools.durable, [job.key]);
  if (request === undefined) return null;
  const { routes } = routesOf(buildRoutePlanner(operator.config), request);
  const next = routes[job.nextRouteIndex] ?? routes[0];
  return next === undefined ? null : `providers.${next.account}.limits.concurrency`;
}

/** All attempts that the ledger names for the execution: the ended ones, the current one, the one that answered. */
function attemptNos(job: JobDetail): readonly number[] {
  const tried = job.history.map(({ no }) => no);
  const nos = [...tried, ...job.returnedAttemptNos, job.currentAttemptNo, job.answer?.attempt.no ?? null];
  return [...new Set(nos.filter((no) => no !== null))];
}
