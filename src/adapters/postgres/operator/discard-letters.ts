import { operatorEvent, type OperatorAction } from "../../../domain/event/operator-event.js";
import type { SessionNo } from "../../../domain/ids.js";
import type { Renderer } from "../../../domain/result/outgoing.js";
import { run, transaction } from "../connection.js";
import type { LedgerContext } from "../ledger-context.js";
import { insertOutbox } from "../outbox-rows.js";
import { bytesOrNull } from "../stored-body.js";
import { numberOrNull } from "./letter-rows.js";

export interface Discard {
  readonly nos: readonly number[];
  readonly session: SessionNo;
  readonly action: OperatorAction;
}

/**
 * Sets the letters that are still open or parked to discarded, with an event each, in one transaction. Doing it again changes nothing.
 * @returns how many they were.
 */
export async function discardLetters(context: LedgerContext, discard: Discard, render: Renderer): Promise<number> {
  const { nos, session, action } = discard;
  await context.numbers.reserve(nos.length + 8);
  return transaction(context.pools.durable, async (client) => {
    const rows = await run(
      client,
      "letters-discard",
      `UPDATE dead_letters d SET state = 'discarded' WHERE d.no = ANY($1::int8[]) AND d.state IN ('open', 'parked')
       RETURNING d.no, (SELECT t.name FROM tenants t WHERE t.no = d.tenant_no), d.job_id, d.generation, d.code`,
      [nos],
    );
    const events = rows.map(([no, tenant, jobId, generation, code]) => {
      const subject = {
        tenant: tenant ?? null,
        jobId: bytesOrNull(jobId ?? null)?.toString("utf8") ?? null,
        generation: numberOrNull(generation),
      };
      const details = { letter: no ?? "", code: code ?? "" };
      const message = `discarded dead letter ${details.letter} (${details.code})`;
      const event = operatorEvent("operator.discarded", action, message, subject, details);
      return render.event(event, context.numbers.next(), context.today());
    });
    insertOutbox(client, context.numbers, session, action.atMs, events);
    context.reach("discard.before_commit");
    return rows.length;
  });
}
