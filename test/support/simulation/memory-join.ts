import type { ServedAnswer } from "../../../src/domain/execution/execution.js";
import type { LedgerKey } from "../../../src/domain/ids.js";
import type { AdmittedJob } from "../../../src/domain/job/job.js";
import type { Transaction } from "./memory-database.js";
import { requestKey } from "./memory-accept.js";
import type { MemoryContext } from "./memory-context.js";

/** What joining needs of a job; a replay has only this. */
type JoiningJob = Pick<
  AdmittedJob,
  "tenant" | "executionKey" | "dedupe" | "cacheRead" | "cacheMaxAgeMs" | "priority" | "deadlineMs"
>;

/** A new job looking for the execution that serves it. Left with `execution` null: it opens its own. */
export interface Joining {
  readonly no: number;
  readonly job: JoiningJob;
  execution: LedgerKey | null;
  cached: ServedAnswer | null;
  /** When that answer came. */
  answeredMs: number | null;
}

const TRIES = 4;

/** Finds or takes the one live execution of each request key; the executions it joins are locked until the end. */
export async function joinExecutions(
  context: MemoryContext,
  transaction: Transaction,
  jobs: readonly Joining[],
  day: number,
  nowMs: number,
): Promise<void> {
  const openers = new Map<string, Joining>();
  const followers: { readonly joining: Joining; readonly opener: Joining }[] = [];
  let searching: Joining[] = [];
  for (const joining of jobs) {
    if (!joining.job.dedupe) continue;
    const opener = openers.get(requestKey(joining.job));
    if (opener === undefined) {
      openers.set(requestKey(joining.job), joining);
      searching.push(joining);
    } else followers.push({ joining, opener });
  }
  for (let attempt = 1; searching.length > 0; attempt += 1) {
    if (attempt > TRIES) throw new Error("a request key changed hands four times inside one intake group");
    searching = await searchOnce(context, transaction, searching, day, nowMs);
  }
  const alone: Joining[] = [];
  for (const { joining, opener } of followers) {
    if (opener.cached !== null && !usable(joining, nowMs, opener.answeredMs)) {
      alone.push(joining); // the execution has ended and its answer will not do: one of its own
      continue;
    }
    joining.execution = opener.execution ?? { no: opener.no, day };
    joining.cached = opener.cached;
    joining.answeredMs = opener.answeredMs;
  }
  if (alone.length > 0) await joinExecutions(context, transaction, alone, day, nowMs);
}

function usable(joining: Joining, nowMs: number, answeredMs: number | null): boolean {
  const { cacheRead, cacheMaxAgeMs } = joining.job;
  return cacheRead && (cacheMaxAgeMs === null || nowMs - (answeredMs ?? 0) <= cacheMaxAgeMs);
}

async function searchOnce(
  context: MemoryContext,
  transaction: Transaction,
  jobs: readonly Joining[],
  day: number,
  nowMs: number,
): Promise<Joining[]> {
  const { executionKeys } = context.database;
  await context.statement(transaction, "execution-key-insert");
  const taken: Joining[] = [];
  for (const joining of [...jobs].sort((a, b) => Buffer.compare(a.job.executionKey, b.job.executionKey))) {
    const key = requestKey(joining.job);
    // Serial: rows go in key order.
    if (await transaction.probe(executionKeys, key)) taken.push(joining);
    else transaction.insert(executionKeys, key, { execution: { no: joining.no, day }, answeredMs: null });
  }
  return taken.length === 0 ? [] : joinTaken(context, transaction, taken, day, nowMs);
}

async function joinTaken(
  context: MemoryContext,
  transaction: Transaction,
  jobs: readonly Joining[],
  day: number,
  nowMs: number,
): Promise<Joining[]> {
  const { executionKeys, executions, ready } = context.database;
  await context.statement(transaction, "execution-join");
  const found = jobs.flatMap((joining) => {
    const row = transaction.get(executionKeys, requestKey(joining.job));
    return row === undefined || transaction.get(executions, row.execution.no) === undefined
      ? []
      : [{ joining, key: row.execution }];
  });
  found.sort((a, b) => a.key.no - b.key.no);
  await transaction.lock(
    executions,
    found.map(({ key }) => key.no),
    "share",
  );
  const again = new Set(jobs);
  const pulled: Joining[] = [];
  for (const { joining, key } of found) {
    const execution = transaction.get(executions, key.no);
    if (execution === undefined) continue;
    const { state } = execution;
    if (state === "ready" || state === "running" || state === "in_doubt") {
      joining.execution = key;
      again.delete(joining);
      if (state === "ready") pulled.push(joining);
    } else if (state === "succeeded" && execution.answer !== null && usable(joining, nowMs, execution.endedMs)) {
      joining.execution = key;
      joining.cached = execution.answer;
      joining.answeredMs = execution.endedMs;
      again.delete(joining);
    } else if (await replaceKey(context, transaction, joining, key, day)) again.delete(joining);
  }
  if (pulled.length === 0) return [...again];
  await context.statement(transaction, "ready-pull-forward");
  const waiting = pulled.filter(({ execution }) => transaction.get(ready, execution?.no ?? -1) !== undefined);
  await transaction.lock(
    ready,
    waiting.map(({ execution }) => execution?.no ?? -1),
    "exclusive",
  );
  for (const { execution, job } of waiting) {
    const row = transaction.get(ready, execution?.no ?? -1);
    if (row === undefined) continue;
    transaction.update(ready, row.key.no, {
      priority: Math.max(row.priority, job.priority),
      expiresMs: Math.min(row.expiresMs, job.deadlineMs),
    });
  }
  return [...again];
}

async function replaceKey(
  context: MemoryContext,
  transaction: Transaction,
  joining: Joining,
  old: LedgerKey,
  day: number,
): Promise<boolean> {
  const { executionKeys } = context.database;
  await context.statement(transaction, "execution-key-replace");
  const key = requestKey(joining.job);
  await transaction.lock(executionKeys, [key], "exclusive");
  if (transaction.get(executionKeys, key)?.execution.no !== old.no) return false;
  transaction.update(executionKeys, key, { execution: { no: joining.no, day }, answeredMs: null });
  return true;
}
