import { refusalOf, type ReplayRefusal } from "../../../domain/dead-letter/replay.js";
import type { LetterState } from "../../../domain/dead-letter/where.js";
import { operatorEvent } from "../../../domain/event/operator-event.js";
import type { SessionNo } from "../../../domain/ids.js";
import type { Renderer } from "../../../domain/result/outgoing.js";
import { run, transaction } from "../connection.js";
import type { LedgerContext } from "../ledger-context.js";
import { insertOutbox } from "../outbox-rows.js";
import { bytesOrNull } from "../stored-body.js";
import { numberOrNull } from "./letter-rows.js";

export interface Redelivery {
  readonly letterNo: number;
  readonly byWhom: string;
  readonly session: SessionNo;
  /** Whether parked letters were asked for. */
  readonly parked: boolean;
}

export type RedeliverOutcome =
  { readonly kind: "redelivered" } | { readonly kind: "refused"; readonly why: ReplayRefusal };

/**
 * Sends the record that a letter is about once more, the same bytes to the same topic: no new generation and no call, an event beside it.
 * The letter's row is locked, so it happens once whoever asks; refused again, the record gets a new letter, the third time a parked one.
 */
export async function redeliverLetter(
  context: LedgerContext,
  { letterNo, byWhom, session, parked }: Redelivery,
  render: Renderer,
): Promise<RedeliverOutcome> {
  await context.numbers.reserve(4);
  // A COMMIT without an answer is tried again: if it stood, the letter is found replayed, by us.
  return transaction(
    context.pools.durable,
    async (client) => {
      const [row] = await run(
        client,
        "letter-redeliver-lock",
        `SELECT d.state, o.topic, d.outbox_kind, d.outbox_no, d.outbox_day, (SELECT t.name FROM tenants t WHERE t.no = d.tenant_no), d.job_id,
           d.generation, floor(extract(epoch FROM clock_timestamp()) * 1000)::int8
         FROM dead_letters d
         LEFT JOIN outbox o ON o.no = d.outbox_no AND o.kind = d.outbox_kind AND o.day = d.outbox_day WHERE d.no = $1 FOR UPDATE OF d`,
        [letterNo],
      );
      const [state, topic, kind, no, day, tenant, jobId, generation, nowMs] = row ?? [];
      const facts = { state: (state ?? "discarded") as LetterState, hasJob: true, code: "REPLY_UNDELIVERABLE" }; // the table's CHECK
      const why = refusalOf(facts, parked);
      if (why !== null) return { kind: "refused", why };
      if (topic === null || topic === undefined) return { kind: "refused", why: "record_forgotten" };
      await run(
        client,
        "outbox-ready-again",
        `INSERT INTO outbox_ready (seq, session_no, topic, at_ms, kinds, nos, days)
         VALUES ($1, $2, $3, $4, ARRAY[$5::text], ARRAY[$6::int8], ARRAY[$7::int4])`,
        [context.numbers.next(), session, topic, nowMs, kind, no, day],
      );
      await run(client, "letter-redelivered", "UPDATE dead_letters SET state = 'replayed' WHERE no = $1", [letterNo]);
      const event = operatorEvent(
        "operator.replayed",
        { byWhom, atMs: Number(nowMs) },
        `replayed dead letter ${String(letterNo)}: its record goes out again to topic ${topic}`,
        {
          tenant: tenant ?? null,
          jobId: bytesOrNull(jobId ?? null)?.toString("utf8") ?? null,
          generation: numberOrNull(generation),
        },
        { letter: String(letterNo), how: "redelivered" },
      );
      const outgoing = [render.event(event, context.numbers.next(), context.today())];
      insertOutbox(client, context.numbers, session, Number(nowMs), outgoing);
      return { kind: "redelivered" };
    },
    () => Promise.resolve(null),
    context.commitPoints(["redeliver.before_commit"]),
  );
}
