import type { AttemptIntent } from "../../domain/execution/execution.js";
import type { SessionNo } from "../../domain/ids.js";
import { NO_USAGE } from "../../domain/cost/usage.js";
import { defaultPolicy } from "../../domain/job/default-policy.js";
import type { IntakeJob, Renderer } from "../../domain/result/outgoing.js";
import type { FinishedCall } from "../../ports/ledger.js";
import { acceptInTransaction } from "./accept.js";
import { run, transaction } from "./connection.js";
import { finishInTransaction } from "./finish.js";
import type { LedgerContext } from "./ledger-context.js";

/** Enough of them that the code which handles a group is compiled, too. */
const JOBS = 48;

const ANYWHERE = { providers: null, capabilities: [], selfHostedOnly: false, regions: null };

class Over extends Error {}

/**
 * Takes made-up jobs the whole way, from acceptance to their results, in a transaction on each connection that is always rolled back. PostgreSQL
 * plans a statement when a connection first uses it, and Node compiles what runs often; without this a router that has just taken over meets
 * its first answers ten times slower than later ones, and whatever is not stored when it is killed is in doubt. Nothing of it is ever
 * visible: the rows are never committed.
 * @throws what the ledger says against it.
 */
export async function rehearse(
  context: LedgerContext,
  session: SessionNo,
  tenant: string,
  render: Renderer,
  nowMs: number,
): Promise<void> {
  await context.tenants.ensure([tenant]);
  const connections = context.pools.durable.options.max;
  await context.numbers.reserve(connections * JOBS * 8);
  await Promise.all(
    Array.from({ length: connections }, async () => {
      const jobs = Array.from({ length: JOBS }, () => inventJob(context, tenant, nowMs));
      try {
        await transaction(context.pools.durable, async (client) => {
          const group = { session, groupNo: 0, moves: [], jobs, refused: [], cancels: [] };
          const { day } = await acceptInTransaction(client, context, group, render);
          const calls = jobs.map((job) => inventCall(job, day, nowMs));
          await finishInTransaction(client, context, { session, nowMs, calls }, render);
          await run(client, "rehearsal-over", "SELECT 1", []); // refused if a statement that nobody waited for was
          throw new Over();
        });
      } catch (error) {
        if (!(error instanceof Over)) throw error;
      }
    }),
  );
}

function inventJob(
  context: LedgerContext,
  tenant: string,
  nowMs: number,
): IntakeJob & { readonly intent: AttemptIntent } {
  const no = context.numbers.next();
  // Of its own number, so that two rehearsals at once never wait for each other's keys.
  const hash = Buffer.alloc(32, "rehearsal");
  hash.writeBigUInt64BE(BigInt(no), 24);
  return {
    no,
    job: {
      record: { topic: "rehearsal", partition: 0, offset: no },
      tenant,
      jobId: `rehearsal-${String(no)}`,
      idHash: hash.subarray(16),
      format: "openai.chat",
      bodyText: '{"model":"rehearsal","messages":[{"role":"user","content":"Never sent."}]}',
      bodyHash: hash.subarray(16),
      executionKey: hash,
      mode: "auto",
      submittedAtMs: nowMs,
      deadlineMs: nowMs + 86_400_000,
      priority: 0,
      tier: "standard",
      labels: {},
      requirements: { ...ANYWHERE, maxCostNanoUsd: null, maxLatencyMs: null },
      policy: defaultPolicy("rehearsal"),
      dedupe: true,
      cacheRead: true,
      cacheWrite: true,
      cacheMaxAgeMs: null,
      explain: false,
      reply: { topic: "rehearsal", partition: null, key: null, headers: [] },
    },
    record: { value: Buffer.from("{}"), headersText: "[]" },
    intent: {
      no: context.numbers.next(),
      number: 1,
      account: "rehearsal",
      provider: "openai",
      model: "rehearsal",
      routeIndex: 0,
      maxNanoUsd: 0n,
      startedAtMs: nowMs,
    },
    riskNanoUsd: null,
  };
}

function inventCall({ no, intent }: ReturnType<typeof inventJob>, day: number, nowMs: number): FinishedCall {
  const summary = {
    number: 1,
    no: intent.no,
    provider: intent.provider,
    account: intent.account,
    model: intent.model,
    mode: "direct" as const,
    outcome: "succeeded" as const,
    providerRequestId: null,
    startedAtMs: nowMs,
    ms: 0,
    maxNanoUsd: "0",
  };
  const { account, model, provider } = intent;
  const money = { nanoUsd: "0", maxNanoUsd: "0", listNanoUsd: "0", priceVersion: "" };
  const facts = { finishReason: "stop", provider, account, model, modelVersion: null, usage: NO_USAGE, ...money };
  return {
    execution: { no, day },
    attempt: intent,
    outcome: "succeeded",
    endedAtMs: nowMs,
    requestId: null,
    modelVersion: null,
    usage: NO_USAGE,
    priceVersion: "",
    nanoUsd: 0n,
    summary,
    earlier: [],
    verdict: { kind: "succeed", answer: { bodyText: "{}", facts: { ...facts, attempt: summary, cacheable: true } } },
  };
}
