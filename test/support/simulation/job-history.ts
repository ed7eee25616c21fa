import { attemptId } from "../../../src/domain/job/ids.js";
import type { FakeBroker } from "./fake-broker.js";
import type { ProviderBooks } from "./fake-provider.js";
import type { MemoryDatabase } from "./memory-database.js";

/** All that ledger, broker and bill know about a job, as text for a person. */
export function jobHistory(database: MemoryDatabase, broker: FakeBroker, books: ProviderBooks, jobId: string): string {
  const lines: string[] = [`history of ${jobId}:`];
  const say = (what: string, row: unknown): void => {
    lines.push(`  ${what} ${JSON.stringify(row, plain)}`);
  };
  for (const record of broker.log.flat()) {
    const text = record.value?.toString("utf8") ?? "";
    if (text.includes(jobId) || record.headers.some(({ value }) => value.toString() === jobId))
      say(`record ${String(record.partition)}/${String(record.offset)}`, text.slice(-600));
  }
  for (const job of database.jobs.committed.values()) {
    if (job.jobId !== jobId) continue;
    const { envelope: _envelope, record: _record, ...row } = job;
    say("job", row);
    const executionNo = job.execution?.no ?? -1;
    const execution = database.executions.committed.get(executionNo);
    if (execution !== undefined) {
      const { policy: _policy, bodyText: _body, answer, ...shown } = execution;
      say("execution", { ...shown, answer: answer?.bodyText.slice(0, 100) ?? null });
    }
    for (const attempt of database.attempts.committed.values()) {
      if (attempt.execution.no !== executionNo) continue;
      const id = attemptId(attempt.execution.day, attempt.intent.no);
      say(`attempt ${id}`, attempt);
      const batch = database.batches.committed.get(attempt.intent.batchNo ?? -1);
      if (batch !== undefined) say("  batch", batch);
      for (const create of database.batchCreates.committed.values())
        if (create.batchNo === attempt.intent.batchNo) say("  create", create);
      for (const row of books.bill) if (row.attemptId === id) say("  billed", row);
      for (const cost of database.costs.committed.values())
        if (cost.attemptNo === attempt.intent.no) say("  cost", cost);
    }
    const ready = database.ready.committed.get(executionNo) ?? database.pools.committed.get(executionNo);
    if (ready !== undefined) say("waits", ready);
  }
  for (const row of database.outboxReady.committed.values()) say("outbox_ready", row);
  for (const { record } of broker.published) {
    if (record.headers.some(([name, value]) => name === "llm-job-id" && value === jobId))
      say(`published ${record.kind}`, record.value?.toString("utf8").slice(0, 300));
  }
  for (const row of database.routers.committed.values()) say("router", row);
  return lines.join("\n");
}

function plain(_name: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}
