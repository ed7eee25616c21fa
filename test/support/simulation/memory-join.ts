import {
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
import type { MemoryContext } from "./memory-context.js";
import type { ExecutionRow, ReadyRow } from "./memory-rows.js";

/** What joining needs of a job; a replay has only this. */
type JoiningJob = Pick<
  AdmittedJob,
  "tenant" | "executionKey" | "dedupe" | "cacheRead" | "cacheMaxAgeMs" | "priority" | "deadlineMs"
>;

/** A new job looking for the execution that serves it. Left with `execution` null: it opens its own, in `lane`. */
export interface Joining {
  readonly no: number;
  readonly job: JoiningJob;
  readonly riskNanoUsd: bigint | null;
  execution: LedgerKey | null;
  cached: ServedAnswer | null;
  lane: Lane;
}

interface Found extends FoundExecution {
  readonly key: LedgerKey;
  readonly answer: ServedAnswer | null;
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

function choose({ context, nowMs }: Search, { job, riskNanoUsd }: Joining, found: readonly Found[]): Choice<Found> {
  const { deadlineMs, cacheRead, cacheMaxAgeMs } = job;
  return context.rules.choose(found, { deadlineMs, cacheRead, cacheMaxAgeMs, riskNanoUsd }, nowMs);
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
  const { executionKeys, executions, ready } = context.database;
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
  const found = new Map<Joining, Found[]>();
  for (const [index, { joining, lane, key }] of named.entries()) {
    const row = rows[index];
    if (row === undefined) continue;
    const now = stateOf(search, row, transaction.get(ready, key.no));
    const answer = now.kind === "answered" ? row.answer : null;
    found.set(joining, [...(found.get(joining) ?? []), { lane, key, now, answer }]);
  }
  return found;
}

function stateOf({ context, transaction }: Search, row: ExecutionRow, waiting: ReadyRow | undefined): FoundState {
  const { state, answer, endedMs, attemptNo } = row;
  if (state === "running") return { kind: "running" };
  if (state === "succeeded" && answer !== null) return { kind: "answered", atMs: endedMs ?? 0 };
  if (state !== "ready" && state !== "in_doubt") return { kind: "over" };
  if (waiting === undefined) return { kind: "running" };
  const attempt = state === "ready" ? undefined : transaction.get(context.database.attempts, attemptNo ?? -1);
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

async function pullForward({ context, transaction, seen }: Search, jobs: readonly Joining[]): Promise<void> {
  const { ready } = context.database;
  const waiting = new Set([...seen.values()].flat().flatMap(({ key, now }) => (now.kind === "waits" ? [key.no] : [])));
  const pulled = jobs.flatMap(({ execution, job }) => {
    const row = waiting.has(execution?.no ?? -1) ? transaction.get(ready, execution?.no ?? -1) : undefined;
    return row !== undefined && (row.priority < job.priority || row.expiresMs > job.deadlineMs)
      ? [{ no: row.key.no, job }]
      : [];
  });
  if (pulled.length === 0) return;
  await context.statement(transaction, "ready-pull-forward");
  await transaction.lock(
    ready,
    pulled.map(({ no }) => no),
    "exclusive",
  );
  for (const { no, job } of pulled) {
    const row = transaction.get(ready, no);
    if (row === undefined) continue;
    transaction.update(ready, no, {
      priority: Math.max(row.priority, job.priority),
      expiresMs: Math.min(row.expiresMs, job.deadlineMs),
    });
  }
}
