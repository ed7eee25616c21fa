import { refusalOf, type ReplayRefusal } from "../../../domain/dead-letter/replay.js";
import type { LetterState } from "../../../domain/dead-letter/where.js";
import type { SessionNo } from "../../../domain/ids.js";
import { run, transaction } from "../connection.js";
import type { LedgerContext } from "../ledger-context.js";

export type RedeliverOutcome =
  { readonly kind: "redelivered" } | { readonly kind: "refused"; readonly why: ReplayRefusal };

/**
 * Sends the record that a letter is about once more, the same bytes to the same topic: no new generation and no call. The letter's row is
 * locked, so it happens once whoever asks; refused again, the record gets a new letter.
 */
export async function redeliverLetter(
  context: LedgerContext,
  letterNo: number,
  session: SessionNo,
): Promise<RedeliverOutcome> {
  await context.numbers.reserve(2);
  // A COMMIT without an answer is tried again: if it stood, the letter is found replayed, by us.
  return transaction(
    context.pools.durable,
    async (client) => {
      const [row] = await run(
        client,
        "letter-redeliver-lock",
        `SELECT d.state, o.topic, d.outbox_kind, d.outbox_no, d.outbox_day FROM dead_letters d
         LEFT JOIN outbox o ON o.no = d.outbox_no AND o.kind = d.outbox_kind AND o.day = d.outbox_day WHERE d.no = $1 FOR UPDATE OF d`,
        [letterNo],
      );
      const [state, topic, kind, no, day] = row ?? [];
      const facts = { state: (state ?? "discarded") as LetterState, hasJob: true, code: "REPLY_UNDELIVERABLE" }; // the table's CHECK
      const why = refusalOf(facts, true);
      if (why !== null) return { kind: "refused", why };
      if (topic === null || topic === undefined) return { kind: "refused", why: "record_forgotten" };
      await run(
        client,
        "outbox-ready-again",
        `INSERT INTO outbox_ready (seq, session_no, topic, at_ms, kinds, nos, days)
         VALUES ($1, $2, $3, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, ARRAY[$4::text], ARRAY[$5::int8], ARRAY[$6::int4])`,
        [context.numbers.next(), session, topic, kind, no, day],
      );
      await run(client, "letter-redelivered", "UPDATE dead_letters SET state = 'replayed' WHERE no = $1", [letterNo]);
      return { kind: "redelivered" };
    },
    () => Promise.resolve(null),
    context.commitPoints(["redeliver.before_commit"]),
  );
}
