import { jobIdHash } from "../../../src/domain/dedupe/request-hash.js";
import type { Renderer } from "../../../src/domain/result/outgoing.js";
import type { CancelRequest } from "../../../src/ports/ledger.js";
import type { Transaction } from "./memory-database.js";
import { endJobs, writeEnds, type MemoryContext, type WrittenEnds } from "./memory-context.js";

/** Ends active jobs as `cancelled`; executions are left alone. */
export async function cancelJobs(
  context: MemoryContext,
  transaction: Transaction,
  requests: readonly CancelRequest[],
  nowMs: number,
  render: Renderer,
): Promise<WrittenEnds> {
  const all: WrittenEnds = { outgoing: [], ended: [] };
  const { jobKeys } = context.database;
  for (const request of requests) {
    // Serial: each needs its own row lock, in the order they came.
    await context.statement(transaction, "jobs-cancel");
    const hash = jobIdHash(request.jobId).toString("hex");
    const keys = [...jobKeys.committed.keys(), ...transaction.touched(jobKeys)].map(String);
    const wanted = new Set(
      keys.filter((key) => (request.tenant === null ? key.endsWith(`:${hash}`) : key === `${request.tenant}:${hash}`)),
    );
    const nos = [...wanted].flatMap((key) => transaction.get(jobKeys, key)?.key.no ?? []);
    const ended = await endJobs(
      context,
      transaction,
      nos.map((no) => ({ no, status: "cancelled", code: "CANCELLED" })),
      nowMs,
    );
    const failure = {
      code: "CANCELLED",
      message: "cancelled on request before it had ended",
      provider: null,
      retryAtMs: null,
    } as const;
    const written = await writeEnds(
      context,
      transaction,
      render,
      ended.map((job) => ({
        job,
        end: { answer: null, failure, served: "call", payer: null, history: [], endedAtMs: nowMs },
      })),
    );
    all.outgoing.push(...written.outgoing);
    all.ended.push(...written.ended);
  }
  return all;
}
