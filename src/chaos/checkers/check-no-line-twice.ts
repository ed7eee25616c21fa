import type { AttemptRow, BillRow, CreateRow, Evidence, StateChange, Violation } from "../evidence/evidence.js";
import { numberInId } from "../evidence/attempt-number.js";
import { attemptsByExecution, attemptsByNo, changesOfAttempts, groupBy, jobsByExecution, ownerOf } from "./lookups.js";
import { NOBODY, Violations } from "./violations.js";

/** Rules whose violations mean that a line of a batch was submitted twice without a proof that the first was absent. */
export const SUBMITTED_TWICE: ReadonlySet<string> = new Set([
  "line_billed_twice",
  "batch_created_twice",
  "created_without_proof",
]);

/**
 * The bill has each attempt at most once; an execution has at most one attempt that may still be billed, except a rescue or a retry of doubt;
 * a batch is created again only after the provider refused it or was proved not to have it.
 */
export function checkNoLineTwice(evidence: Evidence): readonly Violation[] {
  const found = new Violations("no_line_twice");
  checkBill(evidence, found);
  for (const attempts of attemptsByExecution(evidence).values()) checkAttempts(evidence, attempts, found);
  checkCreates(evidence, found);
  return found.list;
}

function checkBill(evidence: Evidence, found: Violations): void {
  for (const [attempt, rows] of groupBy(evidence.bill, (row) => row.attempt)) {
    const row = attemptsByNo(evidence).get(numberInId(attempt) ?? -1);
    if (row === undefined) {
      found.add(
        "call_without_intent",
        NOBODY,
        `the bill has attempt ${attempt ?? "(not named)"}, ${rowName(rows[0])}; the ledger has none`,
      );
      continue;
    }
    if (rows.length === 1) continue;
    const isLine = rows.some(({ mode }) => mode === "batch");
    found.add(
      isLine ? "line_billed_twice" : "call_billed_twice",
      ownerOf(evidence, row),
      `attempt ${attempt ?? ""} is on the bill ${String(rows.length)} times: ${rows.map(rowName).join(", ")}`,
    );
  }
}

function rowName(row: BillRow | undefined): string {
  if (row === undefined) return "no row";
  return row.batch === null ? `request ${row.requestId ?? "without id"}` : `line ${String(row.line)} of ${row.batch}`;
}

/** When an attempt was one that may be billed, in one clock. Ends are null while it may be still. */
interface OpenTime {
  readonly attempt: AttemptRow;
  readonly fromMs: number;
  readonly toMs: number | null;
  /** The transaction that ended it and the one that began it, where a history tells. */
  readonly begunBy: string | null;
  readonly endedBy: string | null;
}

function checkAttempts(evidence: Evidence, attempts: readonly AttemptRow[], found: Violations): void {
  const times = attempts.filter(({ state }) => state !== "not_sent").map((attempt) => openTime(evidence, attempt));
  times.forEach((later, place) => {
    for (const earlier of times.slice(0, place)) {
      if (isRescue(earlier.attempt, later.attempt)) continue;
      if (overlaps(evidence, earlier, later))
        found.add(
          "two_open",
          ownerOf(evidence, later.attempt),
          `${describe(earlier)} may still be billed when ${describe(later)} began`,
        );
      else if (
        evidence.run.doubtPolicy === "fail" &&
        earlier.attempt.settledMs !== null &&
        !isReplayed(evidence, later.attempt)
      )
        found.add(
          "retried_against_policy",
          ownerOf(evidence, later.attempt),
          `${describe(earlier)} was in doubt and ${describe(later)} followed, though doubt is to fail`,
        );
    }
  });
  const rescues = attempts.filter(({ supersedes }) => supersedes !== null);
  const [first] = rescues;
  if (first !== undefined && rescues.length > 1)
    found.add(
      "rescued_twice",
      ownerOf(evidence, first),
      `attempts ${rescues.map(({ no }) => String(no)).join(" and ")} are rescues of one execution`,
    );
}

function isRescue(one: AttemptRow, other: AttemptRow): boolean {
  return (
    one.supersedes === other.no || other.supersedes === one.no || one.supersedes !== null || other.supersedes !== null
  );
}

/** A replay may send an execution again that ended in doubt: that is the operator's consent. */
function isReplayed(evidence: Evidence, { executionNo }: AttemptRow): boolean {
  return (jobsByExecution(evidence).get(executionNo) ?? []).some(({ generation }) => generation > 0);
}

function overlaps(evidence: Evidence, earlier: OpenTime, later: OpenTime): boolean {
  if (earlier.toMs === null) return true;
  if (earlier.endedBy !== null && earlier.endedBy === later.begunBy) return false; // one transaction ended it and began the next
  const skewMs = changesOfAttempts(evidence) === null ? evidence.run.limits.clockSkewMs : 0;
  return earlier.toMs > later.fromMs + skewMs;
}

/** The history tells by the database's clock; the rows alone by the clocks of the routers that wrote them. */
function openTime(evidence: Evidence, attempt: AttemptRow): OpenTime {
  const changes = changesOfAttempts(evidence)?.get(attempt.no);
  const [first] = changes ?? [];
  if (changes === undefined || first === undefined) {
    const toMs = OPEN.has(attempt.state) ? null : (attempt.settledMs ?? attempt.endedMs);
    return { attempt, fromMs: attempt.startedMs, toMs, begunBy: null, endedBy: null };
  }
  const end = changes.find(({ to }) => !OPEN.has(to));
  return {
    attempt,
    fromMs: first.atMs,
    toMs: end?.atMs ?? null,
    begunBy: first.transaction,
    endedBy: end?.transaction ?? null,
  };
}

/** States in which an attempt may be billed and nobody has said what follows. */
const OPEN: ReadonlySet<StateChange["to"]> = new Set(["sending", "batched", "in_doubt"]);

function describe({ attempt }: OpenTime): string {
  return `attempt ${String(attempt.number)} (${String(attempt.no)}, ${attempt.state})`;
}

/** What must be known of a create before the next one of the same batch. */
const PROOFS: ReadonlySet<CreateRow["settled"]> = new Set(["refused", "absent", "not_sent"]);

function checkCreates(evidence: Evidence, found: Violations): void {
  const { ledger, bill } = evidence;
  for (const [batchNo, creates] of groupBy(ledger.creates, (create) => create.batchNo)) {
    creates.sort((a, b) => a.number - b.number);
    for (const create of creates.slice(0, -1))
      if (!PROOFS.has(create.settled))
        found.add(
          "created_without_proof",
          NOBODY,
          `batch ${String(batchNo)}: create ${String(create.number)} came to ${create.settled ?? "nothing known"}, and another was made`,
        );
  }
  const theirs = groupBy(
    ledger.creates.filter(({ providerBatchId }) => providerBatchId !== null),
    ({ providerBatchId, account }) => `${account}: ${providerBatchId ?? ""}`,
  );
  for (const [name, creates] of theirs) {
    const batches = new Set(creates.map(({ batchNo }) => batchNo));
    if (batches.size > 1)
      found.add("batch_taken_twice", NOBODY, `${name} is batches ${[...batches].join(" and ")} of the ledger`);
  }
  checkProviderBatches(evidence, bill, found);
}

/** Every batch of ours was run at the provider at most once: its lines are billed in one batch of theirs. */
function checkProviderBatches(evidence: Evidence, bill: readonly BillRow[], found: Violations): void {
  const runs = new Map<number, Set<string>>();
  for (const { attempt, batch } of bill) {
    const batchNo = attemptsByNo(evidence).get(numberInId(attempt) ?? -1)?.batchNo ?? null;
    if (batch === null || batchNo === null) continue;
    const names = runs.get(batchNo) ?? new Set();
    runs.set(batchNo, names.add(batch));
  }
  for (const [batchNo, names] of runs)
    if (names.size > 1)
      found.add(
        "batch_created_twice",
        NOBODY,
        `batch ${String(batchNo)} was run at the provider as ${[...names].join(" and ")}`,
      );
}
