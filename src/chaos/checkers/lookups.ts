import type {
  AttemptRow,
  Evidence,
  ExecutionRow,
  InputRecord,
  JobRow,
  PublishedRecord,
  ResultRecord,
  StateChange,
} from "../evidence/evidence.js";
import { isResent } from "../evidence/record.js";

/** Views of the evidence that several checkers ask for, each made once. */
function once<View>(make: (evidence: Evidence) => View): (evidence: Evidence) => View {
  const made = new WeakMap<Evidence, View>();
  return (evidence) => {
    const known = made.get(evidence);
    if (known !== undefined) return known;
    const view = make(evidence);
    made.set(evidence, view);
    return view;
  };
}

/** A job's identity as one map key. */
export function jobKey(tenant: string, jobId: string): string {
  return JSON.stringify([tenant, jobId]);
}

export function generationKey(tenant: string, jobId: string, generation: number): string {
  return JSON.stringify([tenant, jobId, generation]);
}

/** As the ledger writes where a job's record lies. */
export function sourceOf({ topic, partition, offset }: Pick<InputRecord, "topic" | "partition" | "offset">): string {
  return `${topic}:${String(partition)}:${offset}`;
}

export function groupBy<Item, Key>(items: Iterable<Item>, keyOf: (item: Item) => Key): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}

export const publishedByNumber = once(
  ({ published }): ReadonlyMap<number, PublishedRecord> => new Map(published.map((record) => [record.number, record])),
);

export const inputsBySource = once(
  ({ topics }): ReadonlyMap<string, InputRecord> => new Map(topics.inputs.map((input) => [sourceOf(input), input])),
);

/** Generations of each job, oldest first. */
export const jobsByKey = once(({ ledger }): ReadonlyMap<string, readonly JobRow[]> => {
  const groups = groupBy(ledger.jobs, ({ tenant, jobId }) => jobKey(tenant, jobId));
  for (const generations of groups.values()) generations.sort((a, b) => a.generation - b.generation || a.no - b.no);
  return groups;
});

export const jobsByNo = once(
  ({ ledger }): ReadonlyMap<number, JobRow> => new Map(ledger.jobs.map((job) => [job.no, job])),
);

export const jobsByExecution = once(({ ledger }): ReadonlyMap<number | null, readonly JobRow[]> =>
  groupBy(ledger.jobs, ({ executionNo }) => executionNo),
);

export const executionsByNo = once(
  ({ ledger }): ReadonlyMap<number, ExecutionRow> => new Map(ledger.executions.map((row) => [row.no, row])),
);

export const attemptsByNo = once(
  ({ ledger }): ReadonlyMap<number, AttemptRow> => new Map(ledger.attempts.map((row) => [row.no, row])),
);

/** For whom an attempt was made: the first job of its execution. */
export function ownerOf(
  evidence: Evidence,
  { executionNo }: AttemptRow,
): { readonly tenant: string | null; readonly jobId: string | null } {
  return {
    tenant: executionsByNo(evidence).get(executionNo)?.tenant ?? null,
    jobId: jobsByExecution(evidence).get(executionNo)?.[0]?.jobId ?? null,
  };
}

/** Attempts of each execution, in the order of their numbers. */
export const attemptsByExecution = once(({ ledger }): ReadonlyMap<number, readonly AttemptRow[]> => {
  const groups = groupBy(ledger.attempts, ({ executionNo }) => executionNo);
  for (const attempts of groups.values()) attempts.sort((a, b) => a.number - b.number || a.no - b.no);
  return groups;
});

/** Results as they went out when their jobs ended, by generation from 0 up; those sent again for newer records are left out. */
export const resultsByGeneration = once(({ topics }): ReadonlyMap<string, readonly ResultRecord[]> =>
  groupBy(
    topics.results.filter(({ record, generation }) => generation >= 0 && !isResent(record)),
    ({ tenant, jobId, generation }) => generationKey(tenant, jobId, generation),
  ),
);

/** The record that became generation 0 of each job. */
export const acceptedRecords = once((evidence): ReadonlyMap<string, PublishedRecord> => {
  const accepted = new Map<string, PublishedRecord>();
  for (const [key, generations] of jobsByKey(evidence)) {
    const number = inputsBySource(evidence).get(generations[0]?.source ?? "")?.number ?? null;
    const record = number === null ? undefined : publishedByNumber(evidence).get(number);
    if (record !== undefined) accepted.set(key, record);
  }
  return accepted;
});

/**
 * How many records of each number repeat a job that another record became: those with its id and request, at another place. A record that
 * its producer's client sent twice lies at two places under one number, and repeats itself.
 */
export const repeatsByNumber = once((evidence): ReadonlyMap<number, number> => {
  const repeats = new Map<number, number>();
  for (const input of evidence.topics.inputs) {
    const record = input.number === null ? undefined : publishedByNumber(evidence).get(input.number);
    if (record === undefined || record.jobId === null || record.requestKey === null) continue;
    const key = jobKey(record.tenant, record.jobId);
    if (acceptedRecords(evidence).get(key)?.requestKey !== record.requestKey) continue;
    if (jobsByKey(evidence).get(key)?.[0]?.source === sourceOf(input)) continue;
    repeats.set(record.number, (repeats.get(record.number) ?? 0) + 1);
  }
  return repeats;
});

/** Changes of attempts by the attempt's number, in order; null where no history was kept. */
export const changesOfAttempts = once(({ ledger }): ReadonlyMap<number, readonly StateChange[]> | null => {
  if (ledger.history === null) return null;
  return groupBy(
    ledger.history.filter(({ table }) => table === "attempts"),
    ({ no }) => no,
  );
});

/** How often something could have come between a publication and what the ledger heard of it. */
export const publishInterruptions = once(({ faults }) => faults.filter(({ kind }) => MAY_INTERRUPT.has(kind)).length);

const MAY_INTERRUPT: ReadonlySet<string> = new Set([
  "router_kill",
  "crash_point",
  "router_stop",
  "router_restart",
  "broker_kill",
  "postgres_kill",
  "network_cut",
  "network_slow",
]);
