import type pg from "pg";
import { chooseExecution, LANE, type Choice, type Joiner, type Lane } from "../../domain/dedupe/choose-execution.js";
import type { EpochMs, LedgerKey } from "../../domain/ids.js";
import type { AdmittedJob } from "../../domain/job/job.js";
import { byteaColumn, columnsOf, firstNumber, int4Column, int8Column } from "./columns.js";
import { run } from "./connection.js";
import { findExecutions, type Found, type StoredAnswer } from "./found-executions.js";
import { pullForward, type Joined } from "./pull-forward.js";
import type { LedgerContext } from "./ledger-context.js";

/** What joining needs of a job; a replay has only this. */
export type JoiningJob = Pick<
  AdmittedJob,
  "tenant" | "executionKey" | "dedupe" | "cacheRead" | "cacheMaxAgeMs" | "priority" | "deadlineMs" | "mode"
>;

/** A new job looking for the execution that serves it. Left with `execution` null: it opens its own, in `lane`. */
export interface Joining {
  readonly no: number;
  readonly tenantNo: number;
  readonly job: JoiningJob;
  /** As in `Joiner`. */
  readonly riskNanoUsd: bigint | null;
  /** When at the latest it has to be in a batch; null: it may not wait for one. */
  readonly batchUntilMs: EpochMs | null;
  execution: LedgerKey | null;
  cached: StoredAnswer | null;
  lane: Lane;
}

/** What one call works on. */
interface Search {
  readonly client: pg.PoolClient;
  readonly context: LedgerContext;
  readonly day: number;
  readonly nowMs: number;
  /** What each key's first job found, for the others of the key. */
  readonly seen: Map<Joining, readonly Found[]>;
}

const TRIES = 4;

/**
 * Finds or takes the execution that serves each job, by the rule of `chooseExecution`.
 *
 * A key is taken by inserting it. Where it is there already, its executions are locked `FOR SHARE`: finish changes such a row first
 * and reads its waiters in a later statement, so either this job is seen by it, or this transaction waits and finds the execution
 * ended. The key of an ended one is moved to a new execution on condition that it still names the old one; when somebody else was
 * first, the search begins again. An execution that waits is asked how long, in a later statement than the lock: until the transaction
 * ends, no claim can take it up.
 */
export async function joinExecutions(
  client: pg.PoolClient,
  context: LedgerContext,
  jobs: readonly Joining[],
  day: number,
  nowMs: number,
): Promise<void> {
  const search: Search = { client, context, day, nowMs, seen: new Map() };
  const { openers, followers } = pairUp(jobs);
  let searching: readonly Joining[] = openers;
  for (let attempt = 1; searching.length > 0; attempt += 1) {
    if (attempt > TRIES)
      throw new Error("InvariantError: a request key changed hands four times inside one intake group");
    searching = await searchOnce(search, searching);
  }
  // Whoever what the opener found does not serve looks for itself: its deadline is nearer, or a stored answer is too old for it.
  const alone = followers.filter(({ joining, opener }) => !follows(search, joining, opener));
  if (alone.length > 0)
    await joinExecutions(
      client,
      context,
      alone.map(({ joining }) => joining),
      day,
      nowMs,
    );
  if (search.seen.size === 0) return;
  const found = new Map([...search.seen.values()].flat().map((execution) => [execution.key.no, execution]));
  await pullForward(
    client,
    jobs.flatMap(({ execution, batchUntilMs, job: { priority, deadlineMs, mode } }): Joined[] => {
      const joined = found.get(execution?.no ?? -1);
      return joined === undefined ? [] : [{ found: joined, priority, deadlineMs, mode, batchUntilMs }];
    }),
    nowMs,
  );
}

interface Follower {
  readonly joining: Joining;
  readonly opener: Joining;
}

/** The first job of each key searches; the others follow it. */
function pairUp(jobs: readonly Joining[]): { readonly openers: Joining[]; readonly followers: Follower[] } {
  const openers = new Map<string, Joining>();
  const followers: Follower[] = [];
  for (const joining of jobs) {
    if (!joining.job.dedupe) continue;
    const key = `${joining.job.tenant}\0${joining.job.executionKey.toString("latin1")}`;
    const opener = openers.get(key);
    if (opener === undefined) openers.set(key, joining);
    else followers.push({ joining, opener });
  }
  return { openers: [...openers.values()], followers };
}

/** @returns false when it has to search for itself. */
function follows({ seen, day, nowMs }: Search, joining: Joining, opener: Joining): boolean {
  if (opener.execution === null) {
    joining.execution = { no: opener.no, day };
    return true;
  }
  const choice = chooseExecution(seen.get(opener) ?? [], joinerOf(joining), nowMs);
  if (choice.kind !== "take") return false;
  take(joining, choice.execution);
  return true;
}

function joinerOf({ job, riskNanoUsd, batchUntilMs }: Joining): Joiner {
  const { deadlineMs, cacheRead, cacheMaxAgeMs } = job;
  return { deadlineMs, cacheRead, cacheMaxAgeMs, riskNanoUsd, mayWaitForBatch: batchUntilMs !== null };
}

function take(joining: Joining, { key, answer }: Found): void {
  joining.execution = key;
  joining.cached = answer;
}

function byKey(one: Joining, other: Joining): number {
  return Buffer.compare(one.job.executionKey, other.job.executionKey);
}

/** @returns those whose key slipped away between two statements. */
async function searchOnce(search: Search, jobs: readonly Joining[]): Promise<Joining[]> {
  const ordered = [...jobs].sort(byKey);
  const took = await insertKeys(search, ordered, LANE.ordinary);
  if (took.size === ordered.length) return [];
  const taken = ordered.filter(({ no }) => !took.has(no));
  const found = await findExecutions(
    search.client,
    taken.map(({ tenantNo, job }) => ({ tenantNo, hash: job.executionKey })),
  );
  const again: Joining[] = [];
  for (const [place, joining] of taken.entries()) {
    const executions = found[place] ?? [];
    search.seen.set(joining, executions);
    const choice = chooseExecution(executions, joinerOf(joining), search.nowMs);
    if (choice.kind === "take") take(joining, choice.execution);
    // Serial: rows go in key order, and an ended or a late execution is rare among those that are found.
    else if (choice.kind === "again" || !(await takeKey(search, joining, choice))) again.push(joining);
    else joining.lane = choice.lane;
  }
  return again;
}

const KEY_COLUMNS = [
  int4Column(({ tenantNo }: Joining) => tenantNo),
  byteaColumn(({ job }: Joining) => job.executionKey),
  int8Column(({ no }: Joining) => no),
];

/** @returns numbers of the jobs whose keys were free. */
async function insertKeys({ client, day }: Search, jobs: readonly Joining[], lane: Lane): Promise<Set<number>> {
  const inserted = await run(
    client,
    "execution-key-insert",
    `INSERT INTO execution_key (tenant_no, key, lane, execution_day, execution_no)
     SELECT u.t, u.k, $5::int2, $4, u.n FROM unnest($1::int4[], $2::bytea[], $3::int8[]) AS u(t, k, n)
     ON CONFLICT DO NOTHING RETURNING execution_no`,
    [...columnsOf(KEY_COLUMNS, jobs), day, lane],
  );
  return new Set(inserted.map(firstNumber));
}

/** The key's new execution in this lane, if nobody was faster. */
async function takeKey(
  search: Search,
  joining: Joining,
  { lane, instead }: Extract<Choice<Found>, { readonly kind: "open" }>,
): Promise<boolean> {
  if (instead === null) return (await insertKeys(search, [joining], lane)).size === 1;
  const { client, day } = search;
  const rows = await run(
    client,
    "execution-key-replace",
    `UPDATE execution_key SET execution_no = $1, execution_day = $2
     WHERE tenant_no = $3 AND key = $4 AND lane = $6 AND execution_no = $5 RETURNING 1`,
    [joining.no, day, joining.tenantNo, joining.job.executionKey, instead.key.no, lane],
  );
  return rows.length === 1;
}
