import type { AttemptIntent } from "../../../src/domain/execution/execution.js";
import { doubtBegan } from "../../../src/domain/event/doubt-event.js";
import { subjectOf } from "../../../src/domain/event/event.js";
import type { LedgerKey } from "../../../src/domain/ids.js";
import type { Renderer } from "../../../src/domain/result/outgoing.js";
import { insertOutbox, insertReady, waitersOf, type MemoryContext } from "./memory-context.js";
import { payerOf } from "./memory-finish.js";

interface Recovery {
  readonly session: number;
  readonly graceMs: (account: string) => number;
  readonly render: Renderer;
}

/** Declares silent sessions dead and puts their calls in doubt; any router may go on with what another began. */
export async function recoverDeadSessions(
  context: MemoryContext,
  recovery: Recovery,
  deadAfterMs: number | null,
): Promise<number> {
  const { database } = context;
  if (deadAfterMs !== null) await declareDead(context, deadAfterMs);
  const dead = await context.single("sessions-unrecovered", (transaction) =>
    transaction.all(database.routers).filter((row) => row.endedMs !== null && row.recoveredMs === null),
  );
  let doubts = 0;
  for (const { no, lowMark } of dead) {
    // Serial: one session after another.
    doubts += await recoverSession(context, recovery, no, lowMark);
    await context.single("session-recovered", (transaction) => {
      // What another transaction held is still open: the next round takes it.
      const left = transaction
        .all(database.attempts)
        .some((row) => row.session === no && row.state === "sending" && row.intent.no >= lowMark);
      if (!left) transaction.update(database.routers, no, { recoveredMs: database.nowMs() });
    });
  }
  return doubts;
}

function declareDead(context: MemoryContext, deadAfterMs: number): Promise<void> {
  const { database } = context;
  return context.single("sessions-declare-dead", (transaction) => {
    for (const row of transaction.all(database.routers)) {
      if (row.endedMs !== null || row.beatMs >= database.nowMs() - deadAfterMs) continue;
      if (transaction.tryLock(database.routers, row.no, "exclusive"))
        transaction.update(database.routers, row.no, { endedMs: database.nowMs(), died: true });
    }
  });
}

function recoverSession(context: MemoryContext, recovery: Recovery, session: number, lowMark: number): Promise<number> {
  const { attempts, executions } = context.database;
  return context.transaction("recover", async (transaction) => {
    await context.statement(transaction, "attempts-to-doubt");
    const open = transaction
      .all(attempts)
      .filter((row) => row.session === session && row.state === "sending" && row.intent.no >= lowMark);
    const rows = open.filter((row) => transaction.tryLock(attempts, row.intent.no, "exclusive"));
    const nowMs = Math.floor(context.database.nowMs());
    for (const row of rows) transaction.update(attempts, row.intent.no, { state: "in_doubt" });
    await context.statement(transaction, "executions-to-doubt");
    for (const row of rows) {
      await transaction.lock(executions, [row.execution.no], "exclusive");
      const execution = transaction.get(executions, row.execution.no);
      if (execution?.state === "running" && execution.attemptNo === row.intent.no)
        transaction.update(executions, execution.key.no, { state: "in_doubt" });
      // Also for an execution that a late answer has ended meanwhile: the claim that takes the row settles the doubt.
      const waiters = waitersOf(context, transaction, row.execution.no);
      const runAtMs = nowMs + recovery.graceMs(row.intent.account);
      insertReady(context, transaction, [
        {
          key: row.execution,
          priority: waiters?.priority ?? 5,
          runAtMs,
          expiresMs: waiters?.nearestDeadlineMs ?? nowMs,
          waitsFor: "doubt",
        },
      ]);
    }
    const events = rows.map(({ intent, execution }) => {
      const subject = subjectOf(payerOf(context, transaction, execution));
      const doubt = { attempt: intent, execution, subject, atMs: nowMs };
      return recovery.render.event(doubtBegan(doubt, "its router's session ended"), intent.no, execution.day);
    });
    await insertOutbox(context, transaction, recovery.session, nowMs, events);
    return rows.length;
  });
}

/** Intents whose bytes never left wait as rows again. */
export async function giveBack(
  context: MemoryContext,
  session: number,
  given: readonly { readonly execution: LedgerKey; readonly attempt: AttemptIntent }[],
  nowMs: number,
): Promise<void> {
  if (given.length === 0) return;
  const { attempts, executions } = context.database;
  const ordered = [...given].sort((a, b) => a.execution.no - b.execution.no);
  await context.transaction("give-back", async (transaction) => {
    await context.statement(transaction, "attempts-not-sent");
    await transaction.lock(
      attempts,
      ordered.map(({ attempt }) => attempt.no),
      "exclusive",
    );
    const notSent: number[] = [];
    for (const { attempt } of ordered) {
      if (transaction.get(attempts, attempt.no)?.state !== "sending") continue;
      transaction.update(attempts, attempt.no, { state: "not_sent", outcome: "cancelled" });
      notSent.push(attempt.no);
    }
    await context.statement(transaction, "executions-give-back");
    await transaction.lock(
      executions,
      ordered.map(({ execution }) => execution.no),
      "exclusive",
    );
    for (const { execution, attempt } of ordered) {
      const row = transaction.get(executions, execution.no);
      if (row?.state !== "running" || row.session !== session || row.attemptNo !== attempt.no) continue;
      transaction.update(executions, execution.no, { state: "ready" });
      const waiters = waitersOf(context, transaction, execution.no);
      insertReady(context, transaction, [
        {
          key: execution,
          priority: waiters?.priority ?? 5,
          runAtMs: nowMs,
          expiresMs: waiters?.nearestDeadlineMs ?? nowMs,
          waitsFor: "concurrency",
        },
      ]);
    }
    await context.budgets.release(transaction, notSent, nowMs);
  });
}
