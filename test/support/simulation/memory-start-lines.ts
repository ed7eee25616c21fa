import type { LineCounts } from "../../../src/domain/batch/life-group.js";
import type { LineStart } from "../../../src/ports/batch-ledger.js";
import { fenced } from "./memory-batches.js";
import type { MemoryContext } from "./memory-context.js";
import type { AttemptRow } from "./memory-rows.js";

/** Lines of groups that become calls, statement by statement as in the real ledger. */

export function startLines(
  context: MemoryContext,
  session: number,
  batchNo: number,
  starts: readonly LineStart[],
): Promise<ReadonlySet<number>> {
  const { attempts, batches, executions } = context.database;
  if (starts.length === 0) return Promise.resolve(new Set());
  const ordered = [...starts].sort((a, b) => a.execution.no - b.execution.no);
  return context.transaction<ReadonlySet<number>>(
    "lines-start",
    async (transaction) => {
      if (await fenced(context, transaction, session)) return new Set();
      const held = transaction.get(batches, batchNo);
      if (held?.session !== session || held.batch.state !== "submitted") return new Set();
      await context.statement(transaction, "executions-lock");
      await transaction.lock(
        executions,
        ordered.map(({ execution }) => execution.no),
        "exclusive",
      );
      await context.statement(transaction, "lines-start");
      const begun = new Set<number>();
      for (const { execution, lineNo, intent } of ordered) {
        await transaction.lock(attempts, [lineNo], "exclusive");
        const line = transaction.get(attempts, lineNo);
        const row = transaction.get(executions, execution.no);
        if (line?.state !== "batched" || line.intent.batchNo !== batchNo) continue;
        if (row?.state !== "running" || row.attemptNo !== lineNo) continue;
        // The row keeps what it was bound with, and gets another key.
        if (context.rules.startsOnce) transaction.remove(attempts, lineNo);
        const { no, startedAtMs } = intent;
        const started: AttemptRow = { ...line, intent: { ...line.intent, no, startedAtMs }, session, state: "sending" };
        transaction.insert(attempts, no, started);
        transaction.update(executions, execution.no, { session, attemptNo: no });
        begun.add(no);
      }
      await context.budgets.renumber(
        transaction,
        ordered.flatMap(({ lineNo, intent: { no } }) => (begun.has(no) ? [{ from: lineNo, to: no }] : [])),
      );
      return begun;
    },
    () =>
      context.single("lines-started", (transaction) => {
        const there = starts.filter(({ intent }) => transaction.get(attempts, intent.no) !== undefined);
        return there.length === 0 ? null : new Set(there.map(({ intent }) => intent.no));
      }),
  );
}

export function lineCounts(context: MemoryContext, batchNo: number): Promise<LineCounts> {
  return context.single("batch-line-counts", (transaction) => {
    const lines = transaction.all(context.database.attempts).filter(({ intent }) => intent.batchNo === batchNo);
    const outcomes: Record<string, number> = {};
    let open = 0;
    for (const { state, outcome } of lines) {
      if (state === "batched" || state === "in_doubt" || (state === "sending" && context.rules.countsCalls)) open += 1;
      else {
        const name = state === "not_sent" ? state : state === "settled" ? "in_doubt" : (outcome ?? "unclassified");
        outcomes[name] = (outcomes[name] ?? 0) + 1;
      }
    }
    return { open, outcomes };
  });
}
