import { seenWait, type SeenWait } from "../../domain/execution/waits.js";
import { attemptId } from "../../domain/job/ids.js";
import { parseEnvelope } from "../../domain/result/envelope.js";
import { createRoutePlanner } from "../../domain/route/plan-routes.js";
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
  type SeenState,
} from "../../adapters/postgres/operator/job-rows.js";
import { loadRequests } from "../../adapters/postgres/operator/letter-rows.js";
import { buildCatalog } from "../build-domain.js";
import type { Operator } from "./open-operator.js";
import { routesOf } from "./stored-routes.js";

/** What a job that has not ended waits for; `until` is when it is looked at again. */
export interface WaitsFor {
  readonly reason: SeenWait;
  readonly untilMs: number;
  /** Key in the config of the limit that it waits for; null where no limit of ours is the reason. */
  readonly limit: string | null;
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
  readonly attempts: readonly (AttemptLine & { readonly attemptId: string })[];
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
    attempts: attempts.map((attempt) => ({ ...attempt, attemptId: attemptId(attempt.key.day, attempt.key.no) })),
    costs,
    letter: letter === null ? null : { no: letter.no, state: letter.state },
    undeliverable: delivery === "undeliverable" ? refusal : null,
    labels: parseEnvelope(job.envelope).labels,
  };
}

async function waitsOf(operator: Operator, job: JobDetail): Promise<WaitsFor | null> {
  const { endedMs, waits } = job;
  const reason = endedMs !== null || waits === null ? null : seenWait(waits.forWhat);
  if (reason === null || waits === null) return null;
  const limit = reason === "concurrency" ? await concurrencyLimit(operator, job) : null;
  return { reason, untilMs: waits.untilMs, limit };
}

/** The limit of the account that a router calls next; null when no route is left. */
async function concurrencyLimit(operator: Operator, job: JobDetail): Promise<string | null> {
  const [request] = await loadRequests(operator.pools.durable, [job.key]);
  if (request === undefined) return null;
  const { routes } = routesOf(createRoutePlanner(buildCatalog(operator.config)), request);
  const next = routes[job.nextRouteIndex] ?? routes[0];
  return next === undefined ? null : `providers.${next.account}.limits.concurrency`;
}

/** All attempts that the ledger names for the execution: the ended ones, the current one, the one that answered. */
function attemptNos(job: JobDetail): readonly number[] {
  const nos = [...job.history.map(({ no }) => no), job.currentAttemptNo, job.answer?.attempt.no ?? null];
  return [...new Set(nos.filter((no) => no !== null))];
}
