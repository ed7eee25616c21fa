import { undeliverableState } from "../../../src/domain/dead-letter/replay.js";
import type { LedgerKey, SessionNo } from "../../../src/domain/ids.js";
import { parseEnvelope } from "../../../src/domain/result/envelope.js";
import type { Outgoing, Renderer, Undeliverable } from "../../../src/domain/result/outgoing.js";
import { isRepeatOf, repeatedJobId } from "../../../src/domain/result/repeated-job.js";
import type { GivenUp, RefusedOutgoing } from "../../../src/ports/ledger.js";
import { insertOutbox, outboxKey, type MemoryContext } from "./memory-context.js";
import type { Transaction } from "./memory-database.js";
import type { JobRow } from "./memory-rows.js";

const HELD_MS = 60_000;

/** Records that their topic does not take leave their groups; the queue row decides who does it. */
export function giveUpOutgoing(
  context: MemoryContext,
  session: SessionNo,
  refused: readonly RefusedOutgoing[],
  render: Renderer,
): Promise<GivenUp> {
  const { outboxReady, nowMs } = context.database;
  return context.transaction("give-up", async (transaction) => {
    const outgoing: Outgoing[] = [];
    const counts = { letters: 0, held: 0 };
    for (const item of refused) {
      // Serial: rows are locked one after the other, as on Postgres.
      await context.statement(transaction, "outbox-ready-lock");
      await transaction.lock(outboxReady, [item.seq], "exclusive");
      const atMs = takeFromGroup(context, transaction, item);
      if (atMs === null) continue;
      const standIn = standInFor(context, transaction, render, item);
      if (standIn === null) {
        const seq = context.nextNumber();
        const { topic } = item.record;
        const keys = [outboxKey(item.record)];
        transaction.insert(outboxReady, seq, { seq, session, topic, atMs, afterMs: nowMs() + HELD_MS, keys });
        counts.held += 1;
        continue;
      }
      if (item.record.kind !== "dead_letter") counts.letters += 1;
      outgoing.push(standIn);
    }
    return { ...counts, outbox: await insertOutbox(context, transaction, session, nowMs(), outgoing) };
  });
}

/** @returns since when the group waits; null when the record is no longer in it. */
function takeFromGroup(context: MemoryContext, transaction: Transaction, item: RefusedOutgoing): number | null {
  const { outboxReady } = context.database;
  const row = transaction.get(outboxReady, item.seq);
  const key = outboxKey(item.record);
  if (row?.keys.includes(key) !== true) return null;
  const keys = row.keys.filter((other) => other !== key);
  if (keys.length === 0) transaction.remove(outboxReady, item.seq);
  else transaction.update(outboxReady, item.seq, { keys });
  return row.atMs;
}

function standInFor(
  context: MemoryContext,
  transaction: Transaction,
  render: Renderer,
  { record, reason }: RefusedOutgoing,
): Outgoing | null {
  if (record.kind === "event") return null;
  const [no, day] = [context.nextNumber(), context.today()];
  if (record.kind === "dead_letter") return render.shortened(record, no, day);
  const about = causeOf(context, transaction, record);
  if (about === null) return null;
  const { deadLetters } = context.database;
  const redeliveries = transaction.all(deadLetters).filter((older) => older.outboxKey === outboxKey(record)).length;
  const letter = render.undeliverable({ ...about, no, day, refused: record, reason, redeliveries });
  transaction.insert(deadLetters, no, {
    no,
    code: letter.code,
    ...about.source,
    job: about.job,
    state: undeliverableState(redeliveries),
    outboxKey: outboxKey(record),
  });
  return letter.outgoing;
}

type About = Pick<Undeliverable, "source" | "key" | "record" | "attempts" | "generation"> & {
  readonly job: LedgerKey | null;
};

function causeOf(context: MemoryContext, transaction: Transaction, record: Outgoing): About | null {
  const { jobs, deadLetters, executions } = context.database;
  const job = jobOf(context, transaction, record);
  if (job !== undefined) {
    const { source, reply } = parseEnvelope(job.envelope);
    return {
      source,
      key: reply.key === null ? null : Buffer.from(reply.key, "base64"),
      record: job.record,
      attempts: transaction.get(executions, job.execution?.no ?? -1)?.attempts ?? 0,
      generation: job.generation,
      job: job.key,
    };
  }
  const letter = transaction.get(deadLetters, record.no);
  if (record.kind !== "result" || letter === undefined || transaction.get(jobs, record.no) !== undefined) return null;
  const { topic, partition, offset } = letter;
  const kept = { value: null, headersText: "[]" }; // this ledger keeps no bytes of records that became no job
  return { source: { topic, partition, offset }, key: record.key, record: kept, attempts: 0, generation: 0, job: null };
}

function jobOf(context: MemoryContext, transaction: Transaction, record: Outgoing): JobRow | undefined {
  const { jobs, costs, attempts } = context.database;
  if (record.kind === "result") return transaction.get(jobs, record.no);
  if (record.kind === "cost") {
    const cost = transaction.get(costs, record.no);
    if (cost?.job !== null) return transaction.get(jobs, cost?.job.no ?? -1);
    const execution = transaction.get(attempts, cost.attemptNo ?? -1)?.execution ?? null;
    const paying = transaction.all(jobs).filter((job) => execution !== null && job.execution?.no === execution.no);
    return paying.sort((a, b) => a.key.no - b.key.no)[0];
  }
  const repeated = transaction.all(jobs).filter((job) => job.jobId === repeatedJobId(record));
  return repeated.sort((a, b) => b.generation - a.generation).find((job) => isRepeatOf(record, job));
}
