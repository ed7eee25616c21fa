import { CANCELLED } from "../../../src/domain/dedupe/opening-fate.js";
import { jobIdHash } from "../../../src/domain/dedupe/request-hash.js";
import type { Renderer } from "../../../src/domain/result/outgoing.js";
import type { CancelRequest } from "../../../src/ports/ledger.js";
import type { Transaction } from "./memory-database.js";
import {
  endJobs,
  historiesOf,
  writeEnds,
  type EndingWithReason,
  type MemoryContext,
  type WrittenEnds,
} from "./memory-context.js";

interface Cancelled extends WrittenEnds {
  readonly requests: readonly CancelRequest[];
}

/** Ends active jobs as `cancelled`; executions are left alone. @returns also the requests that ended one. */
export async function cancelJobs(
  context: MemoryContext,
  transaction: Transaction,
  requests: readonly CancelRequest[],
  nowMs: number,
  render: Renderer,
  except: readonly { readonly no: number }[] = [],
): Promise<Cancelled> {
  if (requests.length === 0) return { outgoing: [], ended: [], costs: [], requests: [] };
  const { jobKeys } = context.database;
  await context.statement(transaction, "jobs-cancel");
  const left = new Set(except.map(({ no }) => no));
  const requestOf = new Map<number, CancelRequest>();
  for (const request of requests) {
    const hash = jobIdHash(request.jobId).toString("hex");
    const no = transaction.get(jobKeys, `${request.tenant}:${hash}`)?.key.no;
    if (no !== undefined && !left.has(no) && !requestOf.has(no)) requestOf.set(no, request);
  }
  const ended = await endJobs(
    context,
    transaction,
    [...requestOf.keys()].sort((a, b) => a - b).map((no) => ({ no, status: "cancelled", code: "CANCELLED" })),
    nowMs,
  );
  const historyOf = await historiesOf(context, transaction, ended);
  const ends = ended.map((job): EndingWithReason => {
    const end = { answer: null, failure: CANCELLED, served: "call", payer: null, history: historyOf(job) } as const;
    return { job, end: { ...end, stage: "intake", endedAtMs: nowMs } };
  });
  const written = await writeEnds(context, transaction, render, ends);
  const effective = new Set(ended.map(({ key }) => requestOf.get(key.no)));
  return { ...written, requests: requests.filter((request) => effective.has(request)) };
}
