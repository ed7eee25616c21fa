import type pg from "pg";
import type { ServedAnswer } from "../../domain/execution/execution.js";
import type { FinishedCall, FinishGroup } from "../../ports/ledger.js";
import { ENDED_COLUMNS, readEnded } from "./budget/ended-attempt.js";
import { boolColumn, byteaColumn, columnsOf, int8Column, textColumn } from "./columns.js";
import { run } from "./connection.js";
import type { LedgerContext } from "./ledger-context.js";
import type { NewCall } from "./new-call.js";
import { toStored, type StoredBody } from "./stored-body.js";

export interface RecordedOutcomes {
  /** Calls whose outcome was not known before. */
  readonly news: readonly NewCall[];
  /** Those of them whose answer ended their execution. */
  readonly succeeded: readonly NewCall[];
}

/** A call and what is stored of its answer, if that ends its execution. */
interface Outcome {
  readonly call: FinishedCall;
  readonly answer: ServedAnswer | null;
  readonly body: StoredBody | null;
}

const OUTCOME_COLUMNS = [
  int8Column(({ call }: Outcome) => call.attempt.no),
  textColumn(({ call }: Outcome) => stateOf(call)),
  textColumn(({ call }: Outcome) => call.outcome),
  int8Column(({ call }: Outcome) => call.endedAtMs),
  textColumn(({ call }: Outcome) => call.requestId),
  textColumn(({ call }: Outcome) => call.modelVersion),
  int8Column(({ call }: Outcome) => call.usage.inputTokens),
  int8Column(({ call }: Outcome) => call.usage.cachedInputTokens),
  int8Column(({ call }: Outcome) => call.usage.outputTokens),
  int8Column(({ call }: Outcome) => call.nanoUsd),
  int8Column(({ call }: Outcome) => call.execution.no),
  byteaColumn(({ body }: Outcome) => body?.bytes ?? null),
  boolColumn(({ body }: Outcome) => body?.gzip ?? null),
  textColumn(({ answer }: Outcome) => (answer === null ? null : JSON.stringify(answer.facts))),
  boolColumn(({ answer }: Outcome) => answer?.facts.cacheable ?? null),
];

/**
 * The outcomes of attempts, and the executions that an answer ends. All executions are of one day.
 *
 * The first outcome of an attempt stands; a second one finds no row. A dead session may not decide what follows a failure, so that
 * attempt stays `sending` until the recovery has put it in doubt: recorded before, nothing would ever move its execution. The session's
 * row is held until the end, so that it is not declared dead in between; nobody waits, declaring dead skips it.
 *
 * An answer is a fact: it ends its execution whatever router brings it. One that ended without an answer before stays as it ended and keeps
 * the first that comes, for a replay. When a newer attempt waits in doubt, its row stays: the claim that takes it settles that doubt.
 */
export async function recordOutcomes(
  client: pg.PoolClient,
  context: LedgerContext,
  { session, nowMs, day, calls }: FinishGroup & { readonly day: number },
): Promise<RecordedOutcomes> {
  const outcomes: Outcome[] = [];
  for (const call of calls) {
    const answer = call.verdict.kind === "succeed" ? call.verdict.answer : null;
    outcomes.push({ call, answer, body: answer === null ? null : toStored(answer.bodyText, context.settings) });
  }
  const rows = await run(
    client,
    "outcomes-record",
    // What an execution needs goes through the attempt's row: a join of two lists would cost their product.
    `WITH fence AS MATERIALIZED (SELECT 1 FROM routers WHERE session_no = $2 AND ended_at IS NULL FOR KEY SHARE),
     recorded AS (
       UPDATE attempts a SET state = u.state, outcome = u.outcome, ended_ms = u.ended, request_id = u.request, model_version = u.version,
         input_tokens = u.input, cached_input_tokens = u.cached, output_tokens = u.output, nano_usd = u.nano,
         reserved_in = CASE WHEN u.state = 'in_doubt' THEN a.reserved_in END,
         counted_in = CASE WHEN u.state <> 'in_doubt' AND u.nano IS NULL THEN a.reserved_in END
       FROM unnest($4::int8[], $5::text[], $6::text[], $7::int8[], $8::text[], $9::text[], $10::int8[], $11::int8[], $12::int8[], $13::int8[],
           $14::int8[], $15::bytea[], $16::bool[], $17::text[], $18::bool[])
         AS u(no, state, outcome, ended, request, version, input, cached, output, nano, execution, answer, gzip, facts, cacheable)
       WHERE a.no = u.no AND a.day = $1 AND ((a.state IN ('sending', 'batched') AND (u.state = 'answered' OR EXISTS (SELECT 1 FROM fence)))
         OR (a.state IN ('in_doubt', 'settled') AND u.state <> 'in_doubt'))
       RETURNING a.no, a.settled_ms IS NOT NULL AS settled, ${ENDED_COLUMNS}, u.execution, u.answer, u.gzip, u.facts, u.cacheable),
     answered AS (
       UPDATE executions e SET answer = r.answer, answer_gzip = r.gzip, answer_facts = r.facts,
         state = CASE WHEN e.state IN ('failed', 'dropped') THEN e.state ELSE 'succeeded' END,
         ended_ms = CASE WHEN e.state IN ('failed', 'dropped') THEN e.ended_ms ELSE $3 END
       FROM recorded r
       WHERE r.facts IS NOT NULL AND e.no = r.execution AND e.day = $1 AND e.answer IS NULL
       RETURNING e.no, e.tenant_no, e.key, e.lane, r.no AS attempt, r.cacheable AND e.cache_write AS keep, OLD.state AS was,
         e.attempt_no = r.no AS newest),
     done AS (SELECT * FROM answered WHERE was NOT IN ('failed', 'dropped')),
     forgotten AS (
       DELETE FROM execution_key k USING done d
       WHERE NOT d.keep AND k.tenant_no = d.tenant_no AND k.key = d.key AND k.lane = d.lane AND k.execution_no = d.no),
     unqueued AS (DELETE FROM ready r USING done d WHERE d.was <> 'running' AND d.newest AND r.no = d.no),
     unpooled AS (DELETE FROM batch_ready r USING done d WHERE d.was = 'ready' AND r.no = d.no)
     SELECT no, settled, false, reserved_in, held_nano FROM recorded UNION ALL SELECT attempt, false, true, NULL, NULL FROM done`,
    [day, session, nowMs, ...columnsOf(OUTCOME_COLUMNS, outcomes)],
  );
  return readOutcomes(rows, calls);
}

function stateOf({ verdict, outcome }: FinishedCall): "in_doubt" | "answered" | "failed" {
  return verdict.kind === "doubt" ? "in_doubt" : outcome === "succeeded" ? "answered" : "failed";
}

function readOutcomes(rows: readonly (readonly (string | null)[])[], calls: readonly FinishedCall[]): RecordedOutcomes {
  const recorded = new Map<number, Pick<NewCall, "chargeIsFirst" | "held">>();
  const ended = new Set<number>();
  for (const [no, wasSettled, endsExecution, reservedIn, heldNano] of rows) {
    if (endsExecution === "t") ended.add(Number(no));
    else recorded.set(Number(no), { chargeIsFirst: wasSettled !== "t", held: readEnded(reservedIn, heldNano) });
  }
  const news: NewCall[] = [];
  const succeeded: NewCall[] = [];
  for (const call of calls) {
    const found = recorded.get(call.attempt.no);
    if (found === undefined) continue;
    const known = { ...call, ...found };
    news.push(known);
    if (ended.has(call.attempt.no)) succeeded.push(known);
  }
  return { news, succeeded };
}
