import type pg from "pg";
import type { LedgerKey } from "../../domain/ids.js";
import type { CostRow, LateCost, Outgoing, Renderer } from "../../domain/result/outgoing.js";
import { run } from "./connection.js";
import { insertCosts } from "./ending.js";
import type { LedgerContext } from "./ledger-context.js";
import type { NewCall } from "./new-call.js";

/** A billed attempt whose cost record no served job carries: nobody waited any more, or its execution had ended otherwise. */
export function owesLateCost(call: NewCall, moved: boolean, served: boolean): boolean {
  if (call.verdict.kind === "doubt") return false;
  if (call.nanoUsd === 0n && call.chargeIsFirst) return false;
  return !(moved && served);
}

interface LateCosts {
  readonly outgoing: readonly Outgoing[];
  readonly costs: readonly CostRow[];
}

export async function writeLateCosts(
  client: pg.PoolClient,
  context: LedgerContext,
  render: Renderer,
  calls: readonly NewCall[],
  moved: ReadonlySet<NewCall>,
  nowMs: number,
): Promise<LateCosts> {
  const outgoing: Outgoing[] = [];
  const costs: CostRow[] = [];
  for (const call of calls) {
    // Serial: rare, and the reads are by primary key.
    const earlier = await run(client, "costs-of-attempt", "SELECT 1 FROM costs WHERE no = $1 AND day = $2", [
      call.attempt.no,
      call.execution.day,
    ]);
    const input: LateCost = {
      ...(await payerOf(client, context, call.execution)),
      execution: call.execution,
      attempt: call.attempt,
      providerBatchId: call.summary.batch?.providerBatchId ?? null,
      billing: moved.has(call) ? "charged" : "waste",
      nanoUsd: call.nanoUsd,
      usage: call.usage,
      modelVersion: call.modelVersion,
      priceVersion: call.priceVersion,
      correctsNo: earlier.length > 0 ? call.attempt.no : null,
      no: earlier.length > 0 ? context.numbers.next() : call.attempt.no,
      atMs: nowMs,
    };
    const rendered = render.lateCost(input);
    outgoing.push(rendered.outgoing);
    costs.push(rendered.cost);
  }
  insertCosts(client, context, costs);
  return { outgoing, costs };
}

/** Tenant of an execution and the job that opened it, for cost records that no ending job carries. */
export async function payerOf(
  client: pg.PoolClient,
  context: LedgerContext,
  execution: LedgerKey,
): Promise<Pick<LateCost, "tenant" | "payer">> {
  const rows = await run(
    client,
    "execution-payer",
    `SELECT e.tenant_no, j.job_id, j.generation, j.envelope FROM executions e LEFT JOIN jobs j ON j.no = e.no AND j.day = e.day
     WHERE e.no = $1 AND e.day = $2`,
    [execution.no, execution.day],
  );
  const [tenantNo, jobId, generation, envelope] = rows[0] ?? [];
  return {
    tenant: context.tenants.nameOf(Number(tenantNo)),
    payer:
      jobId === null || jobId === undefined
        ? null
        : {
            jobId: Buffer.from(jobId.slice(2), "hex").toString("utf8"),
            generation: Number(generation),
            envelope: envelope ?? "{}",
          },
  };
}
