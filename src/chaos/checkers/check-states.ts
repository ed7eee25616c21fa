import type { Evidence, StateChange, Violation } from "../evidence/evidence.js";
import { generationKey, jobsByNo, resultsByGeneration } from "./lookups.js";
import { NOBODY, Violations } from "./violations.js";

/** The edges as the design draws them, written down here once more; `-` stands for a row that is new. */
const EDGES: Readonly<Record<StateChange["table"], ReadonlySet<string>>> = {
  jobs: edges("- active", "active succeeded failed expired cancelled"),
  executions: edges(
    "- ready running succeeded",
    "ready running succeeded failed dropped",
    "running ready in_doubt succeeded failed",
    "in_doubt ready running succeeded failed dropped",
  ),
  attempts: edges(
    "- sending batched",
    "sending answered failed not_sent in_doubt",
    "batched sending answered failed not_sent",
    "in_doubt answered failed settled",
    "settled answered failed",
    "not_sent batched",
  ),
  batches: edges(
    "- building sealed",
    "building sealed failed",
    "sealed uploading creating submitted failed",
    "uploading uploaded sealed failed",
    "uploaded creating sealed failed",
    "creating submitted sealed failed",
    "submitted cancelling ended done failed",
    "cancelling ended done failed",
    "ended ingesting",
    "ingesting done",
    "failed submitted",
  ),
};

function edges(...lines: readonly string[]): ReadonlySet<string> {
  return new Set(
    lines.flatMap((line) => {
      const [from = "", ...to] = line.split(" ");
      return to.map((state) => `${from} ${state}`);
    }),
  );
}

/**
 * Whether a job may be new and over at once: an earlier answer served it, and its result says so; or its time had passed, or it was cancelled
 * right behind, and it has no execution.
 */
function mayBeBornEnded(evidence: Evidence, { table, no, to }: StateChange): boolean {
  const job = table === "jobs" ? jobsByNo(evidence).get(no) : undefined;
  if (job === undefined) return false;
  if (to === "expired" || to === "cancelled") return job.executionNo === null;
  const results = resultsByGeneration(evidence).get(generationKey(job.tenant, job.jobId, job.generation)) ?? [];
  return to === "succeeded" && results.length > 0 && results.every(({ served }) => served === "exact_cache");
}

/** States in which nothing of a row is left to be done, once all is quiet. */
const FINAL: Readonly<Record<"executions" | "attempts" | "batches", ReadonlySet<string>>> = {
  executions: new Set(["succeeded", "failed", "dropped"]),
  attempts: new Set(["answered", "failed", "not_sent", "settled"]),
  batches: new Set(["done", "failed"]),
};

/**
 * Rows move along the allowed edges only and end where they may end; a session that has ended makes no decision any more. What a call came to
 * is a fact, and may be recorded whoever brings it.
 */
export function checkStates(evidence: Evidence): readonly Violation[] {
  const found = new Violations("states");
  for (const change of evidence.ledger.history ?? []) {
    const edge = `${change.from ?? "-"} ${change.to}`;
    if (!EDGES[change.table].has(edge) && !(change.from === null && mayBeBornEnded(evidence, change)))
      found.add("edge_not_allowed", NOBODY, `${change.table} ${String(change.no)}: ${edge.replace(" ", " to ")}`);
  }
  checkFinal(evidence, found);
  checkFencing(evidence, found);
  checkWay(evidence, found);
  return found.list;
}

function checkFinal({ ledger }: Evidence, found: Violations): void {
  for (const table of ["executions", "attempts", "batches"] as const)
    for (const { no, state } of ledger[table])
      if (!FINAL[table].has(state)) found.add("never_ended", NOBODY, `${table} ${String(no)} is ${state} still`);
}

/** Changes that only the session that is named by the row may make. */
const DECISIONS: Readonly<Record<StateChange["table"], ReadonlySet<string>>> = {
  jobs: new Set(),
  executions: new Set(["running"]),
  attempts: new Set(["sending", "batched"]),
  batches: new Set([
    "sealed",
    "uploading",
    "uploaded",
    "creating",
    "submitted",
    "ended",
    "ingesting",
    "done",
    "failed",
  ]),
};

/** With a history by the database's clock alone; without one by what routers wrote, as far as their clocks can be trusted. */
function checkFencing({ ledger, run }: Evidence, found: Violations): void {
  const ends = new Map(ledger.sessions.map(({ sessionNo, endedMs }) => [sessionNo, endedMs]));
  const check = (sessionNo: number | null, atMs: number, what: string): void => {
    const endedMs = sessionNo === null ? null : (ends.get(sessionNo) ?? null);
    if (endedMs !== null && atMs > endedMs)
      found.add(
        "decided_after_its_end",
        NOBODY,
        `${what} by session ${String(sessionNo)}, ${String(atMs - endedMs)} ms after its end`,
      );
  };
  if (ledger.history === null)
    for (const { no, sessionNo, startedMs } of ledger.attempts)
      check(sessionNo, startedMs - run.limits.clockSkewMs, `attempt ${String(no)} begun`);
  for (const { table, no, to, sessionNo, atMs } of ledger.history ?? [])
    if (DECISIONS[table].has(to)) check(sessionNo, atMs, `${table} ${String(no)} to ${to}`);
}

/** Each row's changes join: one begins where the one before ended, and the last is where the row is. */
function checkWay({ ledger }: Evidence, found: Violations): void {
  const at = new Map<string, string>();
  for (const { table, no, from, to } of ledger.history ?? []) {
    const key = `${table} ${String(no)}`;
    const before = at.get(key) ?? null;
    // The line of a group becomes a call under a number of its own: its first change has a state behind it that is no row's of that number.
    if (before !== from && before !== null)
      found.add("way_broken", NOBODY, `${key}: it was ${before}, and goes from ${from ?? "nothing"} to ${to}`);
    at.set(key, to);
  }
  if (ledger.history === null) return;
  for (const table of ["jobs", "executions", "attempts", "batches"] as const)
    for (const { no, state } of ledger[table]) {
      const last = at.get(`${table} ${String(no)}`);
      if (last !== undefined && last !== state)
        found.add("way_broken", NOBODY, `${table} ${String(no)}: its last change is to ${last}, and it is ${state}`);
    }
}
