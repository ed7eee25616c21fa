import {
  chooseExecution,
  LANE,
  type Choice,
  type FoundExecution,
  type FoundState,
  type Lane,
} from "../../../src/domain/dedupe/choose-execution.js";
import type { ServedAnswer } from "../../../src/domain/execution/execution.js";
import type { LedgerKey } from "../../../src/domain/ids.js";
import type { AdmittedJob } from "../../../src/domain/job/job.js";
import type { Transaction } from "./memory-database.js";
import { requestKey } from "./memory-accept.js";
import { identityOf, lowerDeadlines } from "./memory-batch-lines.js";
import type { MemoryContext } from "./memory-context.js";
import type { ExecutionRow, ReadyRow } from "./memory-rows.js";

/** What joining needs of a job; a replay has only this. */
type JoiningJob = Pick<
  AdmittedJob,
  "tenant" | "executionKey" | "dedupe" | "cacheRead" | "cacheMaxAgeMs" | "priority" | "deadlineMs" | "mode"
>;

/** A new job looking for the execution that serves it. Left with `execution` null: it opens its own, in `lane`. */
export interface Joining {
  readonly no: number;
  readonly job: JoiningJob;
  readonly riskNanoUsd: bigint | null;
  /** When at the latest it has to be in a batch; null: it may not wait for one. */
  readonly batchUntilMs: number | null;
  execution: LedgerKey | null;
  cached: ServedAnswer | null;
  lane: Lane;
}

interface Found extends FoundExecution {
  readonly key: LedgerKey;
  readonly answer: ServedAnswer | null;
  /** Whether it may come to wait for a batch (again), as far as its jobs so far are concerned. */
  readonly batchable: boolean;
  /** The batch that it is a line of. */
  readonly batchNo: number | null;
}

interface Search {
  readonly context: MemoryContext;
  readonly transaction: Transaction;
  readonly day: number;
  readonly nowMs: number;
  readonly seen: Map<Joining, readonly Found[]>;
}

const TRIES = 4;

/** Finds or takes the execution that serves each job; those it joins are locked until the end. */
export async function joinExecutions(
  context: MemoryContext,
  transaction: Transaction,
  jobs: readonly Joining[],
  day: number,
  nowMs: number,
): Promise<void> {
  const search: Search = { context, transaction, day, nowMs, seen: new Map() };
  const openers = new Map<string, Joining>();
  const followers: { readonly joining: Joining; readonly opener: Joining }[] = [];
  for (const joining of jobs) {
    if (!joining.job.dedupe) continue;
    const key = requestKey(joining.job, LANE.ordinary);
    const opener = openers.get(key);
    if (opener === undefined) openers.set(key, joining);
    else followers.push({ joining, opener });
  }
  let searching: readonly Joining[] = [...openers.values()];
  for (let attempt = 1; searching.length > 0; attempt += 1) {
    if (attempt > TRIES) throw new Error("a request key changed hands four times inside one intake group");
    searching = await searchOnce(search, searching);
  }
  const alone: Joining[] = [];
  for (const { joining, opener } of followers) {
    if (opener.execution === null) joining.execution = { no: opener.no, day };
    else {
      const choice = choose(search, joining, search.seen.get(opener) ?? []);
      if (choice.kind === "take") take(joining, choice.execution);
      else alone.push(joining);
    }
  }
  if (alone.length > 0) await joinExecutions(context, transaction, alone, day, nowMs);
  await pullForward(search, jobs);
}

function choose(
  { nowMs }: Search,
  { job, riskNanoUsd, batchUntilMs }: Joining,
  found: readonly Found[],
): Choice<Found> {
  const { deadlineMs, cacheRead, cacheMaxAgeMs } = job;
  return chooseExecution(
    found,
    { deadlineMs, cacheRead, cacheMaxAgeMs, riskNanoUsd, mayWaitForBatch: batchUntilMs !== null },
    nowMs,
  );
}

function take(joining: Joining, { key, answer }: Found): void {
  joining.execution = key;
  joining.cached = answer;
}

async function searchOnce(search: Search, jobs: readonly Joining[]): Promise<Joining[]> {
  const { context, transaction } = search;
  await context.statement(transaction, "execution-key-insert");
  const taken: Joining[] = [];
  for (const joining of [...jobs].sort((a, b) => Buffer.compare(a.job.executionKey, b.job.executionKey))) {
    // Serial: rows go in key order.
    if (!(await insertKey(search, joining, LANE.ordinary))) taken.push(joining);
  }
  return taken.length === 0 ? [] : joinTaken(search, taken);
}

async function insertKey({ context, transaction, day }: Search, { no, job }: Joining, lane: Lane): Promise<boolean> {
  const { executionKeys } = context.database;
  const key = requestKey(job, lane);
  if (await transaction.probe(executionKeys, key)) return false;
  transaction.insert(executionKeys, key, { execution: { no, day }, answeredMs: null });
  return true;
}

async function joinTaken(search: Search, jobs: readonly Joining[]): Promise<Joining[]> {
  const found = await findExecutions(search, jobs);
  const again: Joining[] = [];
  for (const joining of jobs) {
    const executions = found.get(joining) ?? [];
    search.seen.set(joining, executions);
    const choice = choose(search, joining, executions);
    if (choice.kind === "take") take(joining, choice.execution);
    // Serial: as on Postgres.
    else if (choice.kind === "again" || !(await takeKey(search, joining, choice))) again.push(joining);
    else joining.lane = choice.lane;
  }
  return again;
}

async function findExecutions(search: Search, jobs: readonly Joining[]): Promise<Map<Joining, Found[]>> {
  const { context, transaction } = search;
  const { executionKeys, executions } = context.database;
  await context.statement(transaction, "execution-join");
  const named = jobs.flatMap((joining) =>
    [LANE.ordinary, LANE.express].flatMap((lane) => {
      const row = transaction.get(executionKeys, requestKey(joining.job, lane));
      const execution = row === undefined ? undefined : transaction.get(executions, row.execution.no);
      return execution === undefined ? [] : [{ joining, lane, key: execution.key }];
    }),
  );
  named.sort((a, b) => a.key.no - b.key.no);
  await transaction.lock(
    executions,
    named.map(({ key }) => key.no),
    "share",
  );
  const rows = named.map(({ key }) => transaction.get(executions, key.no));
  if (rows.some((row) => row?.state === "ready" || row?.state === "in_doubt"))
    await context.statement(transaction, "ready-of-joined");
  await shareBatches(
    search,
    rows.flatMap((row) => batchOf(search, row) ?? []),
  );
  const found = new Map<Joining, Found[]>();
  for (const [index, { joining, lane }] of named.entries()) {
    const row = rows[index];
    if (row === undefined) continue;
    found.set(joining, [...(found.get(joining) ?? []), foundOf(search, lane, row)]);
  }
  return found;
}

function foundOf(search: Search, lane: Lane, row: ExecutionRow): Found {
  const { context, transaction } = search;
  const { key } = row;
  const now = stateOf(search, row, transaction.get(context.database.ready, key.no));
  const batchNo = batchOf(search, row);
  const mayBeBatched = row.decision !== null || batchNo !== null || now.kind === "pooled";
  const answer = now.kind === "answered" ? row.answer : null;
  return { lane, key, now, answer, batchNo, batchable: row.mode !== "direct" && mayBeBatched };
}

/** A replay takes the unfinished execution of its job, as a job that joins and may not wait for a batch. */
export async function bringForward(
  context: MemoryContext,
  transaction: Transaction,
  row: ExecutionRow,
  joining: Joining,
  nowMs: number,
): Promise<void> {
  const search: Search = { context, transaction, day: row.key.day, nowMs, seen: new Map() };
  if (row.state !== "running") await context.statement(transaction, "ready-of-joined");
  const batchNo = batchOf(search, row);
  await shareBatches(search, batchNo === null ? [] : [batchNo]);
  search.seen.set(joining, [foundOf(search, LANE.ordinary, row)]);
  joining.execution = row.key;
  await pullForward(search, [joining]);
}

function batchOf({ context, transaction }: Search, row: ExecutionRow | undefined): number | null {
  if (row?.state !== "running" || row.session !== null) return null;
  return transaction.get(context.database.attempts, row.attemptNo ?? -1)?.intent.batchNo ?? null;
}

/** Whoever works out a batch's nearest deadline anew waits for the jobs that join now. */
async function shareBatches({ context, transaction }: Search, batchNos: readonly number[]): Promise<void> {
  if (batchNos.length === 0) return;
  await context.statement(transaction, "batches-of-lines");
  for (const no of [...new Set(batchNos)].sort((a, b) => a - b))
    await transaction.lock(context.database.batches, [identityOf(no)], "share");
}

function stateOf(search: Search, row: ExecutionRow, waiting: ReadyRow | undefined): FoundState {
  const { context, transaction } = search;
  const { state, answer, endedMs, attemptNo } = row;
  const { attempts, batches, pools } = context.database;
  if (state === "running") {
    const batch = transaction.get(batches, batchOf(search, row) ?? -1)?.batch;
    if (batch === undefined) return { kind: "running" };
    // One that the provider does not have yet counts from its beginning: none could end sooner.
    return { kind: "batched", untilMs: batch.endedAtMs ?? batch.expectedAtMs ?? batch.createdAtMs };
  }
  if (state === "succeeded" && answer !== null) return { kind: "answered", atMs: endedMs ?? 0 };
  if (state !== "ready" && state !== "in_doubt") return { kind: "over" };
  if (waiting === undefined && transaction.get(pools, row.key.no) !== undefined) return { kind: "pooled" };
  if (waiting === undefined) return { kind: "running" };
  const attempt = state === "ready" ? undefined : transaction.get(attempts, attemptNo ?? -1);
  return { kind: "waits", untilMs: waiting.runAtMs, doubtMaxNanoUsd: attempt?.intent.maxNanoUsd ?? null };
}

async function takeKey(
  search: Search,
  joining: Joining,
  { lane, instead }: Extract<Choice<Found>, { readonly kind: "open" }>,
): Promise<boolean> {
  const { context, transaction, day } = search;
  const { executionKeys } = context.database;
  await context.statement(transaction, "execution-key-take");
  if (instead === null) return insertKey(search, joining, lane);
  const key = requestKey(joining.job, lane);
  await transaction.lock(executionKeys, [key], "exclusive");
  if (transaction.get(executionKeys, key)?.execution.no !== instead.key.no) return false;
  transaction.update(executionKeys, key, { execution: { no: joining.no, day }, answeredMs: null });
  return true;
}

/** A job that joins, and the execution that it joins. */
interface Joined {
  readonly found: Found;
  readonly joining: Joining;
}

/** An execution takes on what its new jobs need, and a call of its own once one of them can't wait for a batch. */
async function pullForward(search: Search, jobs: readonly Joining[]): Promise<void> {
  const byNo = new Map([...search.seen.values()].flat().map((found) => [found.key.no, found]));
  const joined = jobs.flatMap((joining): Joined[] => {
    const found = byNo.get(joining.execution?.no ?? -1);
    return found === undefined ? [] : [{ found, joining }];
  });
  await turnDirect(search, joined.filter(mustTurnDirect));
  const left = await pullPooled(
    search,
    joined.filter(({ found }) => found.now.kind === "pooled"),
  );
  await pullReady(search, [...joined.filter(({ found }) => found.now.kind === "waits"), ...left]);
  await pullBatches(search, joined);
}

function mustTurnDirect({ found, joining: { job, batchUntilMs } }: Joined): boolean {
  return found.batchable && (job.mode === "direct" || (found.now.kind === "pooled" && batchUntilMs === null));
}

async function turnDirect({ context, transaction }: Search, joined: readonly Joined[]): Promise<void> {
  if (joined.length === 0) return;
  const { executions } = context.database;
  await context.statement(transaction, "executions-turn-direct");
  for (const no of [...new Set(joined.map(({ found }) => found.key.no))].sort((a, b) => a - b)) {
    await transaction.lock(executions, [no], "exclusive");
    transaction.update(executions, no, { mode: "direct" });
  }
}

/** @returns those whose row went to the queue of calls meanwhile: nothing holds it there against the sweep. */
async function pullPooled(
  { context, transaction, nowMs }: Search,
  joined: readonly Joined[],
): Promise<readonly Joined[]> {
  const { pools } = context.database;
  const pulled = joined.filter(({ found, joining: { job, batchUntilMs } }) => {
    const row = transaction.get(pools, found.key.no);
    if (row === undefined) return true;
    const isPressed = row.priority < job.priority || row.expiresMs > job.deadlineMs;
    return isPressed || (batchUntilMs ?? nowMs) < row.line.lookAtMs;
  });
  if (pulled.length === 0) return [];
  await context.statement(transaction, "batch-ready-pull-forward");
  await transaction.lock(
    pools,
    pulled.map(({ found }) => found.key.no),
    "exclusive",
  );
  return pulled.filter(({ found: { key }, joining: { job, batchUntilMs } }) => {
    const row = transaction.get(pools, key.no);
    if (row === undefined) return true;
    transaction.update(pools, key.no, {
      priority: Math.max(row.priority, job.priority),
      expiresMs: Math.min(row.expiresMs, job.deadlineMs),
      line: { ...row.line, lookAtMs: Math.min(row.line.lookAtMs, batchUntilMs ?? nowMs) },
    });
    return false;
  });
}

async function pullReady({ context, transaction }: Search, joined: readonly Joined[]): Promise<void> {
  const { ready } = context.database;
  const pulled = joined.filter(({ found, joining: { job } }) => {
    const row = transaction.get(ready, found.key.no);
    return row !== undefined && (row.priority < job.priority || row.expiresMs > job.deadlineMs);
  });
  if (pulled.length === 0) return;
  await context.statement(transaction, "ready-pull-forward");
  await transaction.lock(
    ready,
    pulled.map(({ found }) => found.key.no),
    "exclusive",
  );
  for (const {
    found: { key },
    joining: { job },
  } of pulled) {
    const row = transaction.get(ready, key.no);
    if (row === undefined) continue;
    transaction.update(ready, key.no, {
      priority: Math.max(row.priority, job.priority),
      expiresMs: Math.min(row.expiresMs, job.deadlineMs),
    });
  }
}

async function pullBatches({ context, transaction }: Search, joined: readonly Joined[]): Promise<void> {
  const nearest = new Map<number, number>();
  for (const { found, joining } of joined) {
    const row = transaction.get(context.database.batches, found.batchNo ?? -1);
    if (row === undefined || (row.nearestDeadlineMs ?? Infinity) <= joining.job.deadlineMs) continue;
    const known = nearest.get(row.batch.no) ?? Infinity;
    nearest.set(row.batch.no, Math.min(known, joining.job.deadlineMs));
  }
  if (nearest.size > 0) await lowerDeadlines(context, transaction, nearest);
}
