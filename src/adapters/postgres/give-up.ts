import type pg from "pg";
import { undeliverableState } from "../../domain/dead-letter/replay.js";
import { jobIdHash } from "../../domain/dedupe/request-hash.js";
import type { SessionNo } from "../../domain/ids.js";
import { parseEnvelope } from "../../domain/result/envelope.js";
import type { DeadLetterRow, KeptRecord, Outgoing, Renderer, Undeliverable } from "../../domain/result/outgoing.js";
import { isRepeatOf, repeatedJobId } from "../../domain/result/repeated-job.js";
import type { GivenUp, RefusedOutgoing } from "../../ports/ledger.js";
import { int4Array, int8Array, textArray } from "./binary-array.js";
import { run, transaction } from "./connection.js";
import type { LedgerContext } from "./ledger-context.js";
import { insertOutbox } from "./outbox-rows.js";
import { bytesOf, bytesOrNull } from "./stored-body.js";

/** How long a record rests that its topic does not take and nothing can stand for. */
const HELD_MS = 60_000;

/**
 * The transaction that takes records out of their groups because their topic does not take them. The queue row decides who does it: what
 * is no longer in it was given up before, so repeating this after a kill, or in two routers at once, writes no second letter.
 */
export async function giveUpOutgoing(
  context: LedgerContext,
  session: SessionNo,
  refused: readonly RefusedOutgoing[],
  render: Renderer,
): Promise<GivenUp> {
  await context.numbers.reserve(refused.length * 3 + 16);
  // After a COMMIT without an answer it is done again: if it stood, nothing is found, and the sweep publishes the letters.
  return transaction(
    context.pools.durable,
    (client) => giveUpInTransaction(client, context, session, refused, render),
    () => Promise.resolve(null),
    context.commitPoints(["give_up.before_commit"]),
  );
}

async function giveUpInTransaction(
  client: pg.PoolClient,
  context: LedgerContext,
  session: SessionNo,
  refused: readonly RefusedOutgoing[],
  render: Renderer,
): Promise<GivenUp> {
  const outgoing: Outgoing[] = [];
  let letters = 0;
  let held = 0;
  for (const [seq, items] of bySeq(refused)) {
    // Serial, here and below: refusals are rare, and rows are locked in the order of their numbers.
    const taken = await takeFromGroup(client, seq, items);
    for (const item of taken.items) {
      const standIn = await standInFor(client, context, render, item);
      if (standIn === null) {
        await hold(client, context, session, item.record, taken.atMs);
        held += 1;
        continue;
      }
      outgoing.push(standIn.outgoing);
      if (standIn.isLetter) letters += 1;
    }
  }
  const nowMs = await transactionNowMs(client);
  const outbox = insertOutbox(client, context.numbers, session, nowMs, outgoing);
  return { outbox, letters, held };
}

function bySeq(refused: readonly RefusedOutgoing[]): [number, RefusedOutgoing[]][] {
  const groups = new Map<number, RefusedOutgoing[]>();
  for (const item of refused) {
    const group = groups.get(item.seq);
    if (group === undefined) groups.set(item.seq, [item]);
    else group.push(item);
  }
  return [...groups].sort(([a], [b]) => a - b);
}

const keyOf = (kind: string, no: number, day: number): string => `${kind} ${String(no)} ${String(day)}`;

/** @returns those of the records that were still in the group, and since when it waits. */
async function takeFromGroup(
  client: pg.PoolClient,
  seq: number,
  items: readonly RefusedOutgoing[],
): Promise<{ readonly items: readonly RefusedOutgoing[]; readonly atMs: number }> {
  const [row] = await run(
    client,
    "outbox-ready-lock",
    "SELECT at_ms, array_to_json(kinds), array_to_json(nos), array_to_json(days) FROM outbox_ready WHERE seq = $1 FOR UPDATE",
    [seq],
  );
  if (row === undefined) return { items: [], atMs: 0 };
  const kinds = JSON.parse(row[1] ?? "[]") as string[];
  const nos = JSON.parse(row[2] ?? "[]") as number[];
  const days = JSON.parse(row[3] ?? "[]") as number[];
  const keys = kinds.map((kind, place) => keyOf(kind, nos[place] ?? -1, days[place] ?? -1));
  const found = items.filter(({ record }) => keys.includes(keyOf(record.kind, record.no, record.day)));
  const gone = new Set(found.map(({ record }) => keyOf(record.kind, record.no, record.day)));
  const stays = (_value: unknown, place: number): boolean => !gone.has(keys[place] ?? "");
  const left = kinds.filter(stays);
  if (left.length === 0) await run(client, "outbox-ready-delete", "DELETE FROM outbox_ready WHERE seq = $1", [seq]);
  else
    await run(
      client,
      "outbox-ready-shrink",
      "UPDATE outbox_ready SET kinds = $2::text[], nos = $3::int8[], days = $4::int4[] WHERE seq = $1",
      [seq, textArray(left), int8Array(nos.filter(stays)), int4Array(days.filter(stays))],
    );
  return { items: found, atMs: Number(row[0]) };
}

/** Dead letters are never dropped, so one that goes out even shortened in vain is held; so is what nobody can be told about. */
async function standInFor(
  client: pg.PoolClient,
  context: LedgerContext,
  render: Renderer,
  { record, reason }: RefusedOutgoing,
): Promise<{ readonly outgoing: Outgoing; readonly isLetter: boolean } | null> {
  if (record.kind === "event") return null;
  if (record.kind === "dead_letter") {
    const shortened = render.shortened(record, context.numbers.next(), context.today());
    return shortened === null ? null : { outgoing: shortened, isLetter: false };
  }
  const cause = await causeOf(client, record);
  if (cause === null) return null;
  const input: Undeliverable = {
    ...cause.about,
    no: context.numbers.next(),
    day: context.today(),
    refused: record,
    reason,
    redeliveries: await redeliveriesOf(client, record),
  };
  const letter = render.undeliverable(input);
  await insertLetter(client, input, cause, letter, await transactionNowMs(client));
  return { outgoing: letter.outgoing, isLetter: true };
}

/** Each letter about a record that goes out again was replayed: a discarded one is not. */
async function redeliveriesOf(client: pg.PoolClient, { kind, no, day }: Outgoing): Promise<number> {
  const rows = await run(
    client,
    "letters-of-record",
    "SELECT count(*) FROM dead_letters WHERE outbox_no = $1 AND outbox_kind = $2 AND outbox_day = $3",
    [no, kind, day],
  );
  return Number(rows[0]?.[0]);
}

/** The job's record that led to an outgoing one. */
interface Cause {
  readonly tenantNo: number | null;
  readonly jobId: Buffer | null;
  readonly job: { readonly no: number; readonly day: number } | null;
  readonly about: Pick<Undeliverable, "source" | "key" | "record" | "attempts" | "generation">;
}

const CAUSE_COLUMNS =
  "j.no, j.day, j.tenant_no, j.job_id, j.generation, j.envelope, j.record_value, j.record_headers, coalesce(e.attempts, 0)";
const EXECUTION_OF_JOB = "LEFT JOIN executions e ON e.no = j.execution_no AND e.day = j.execution_day";

/** @returns null when the ledger no longer knows it. */
async function causeOf(client: pg.PoolClient, record: Outgoing): Promise<Cause | null> {
  if (record.kind === "cost") return (await jobOfCost(client, record)) ?? (await jobOfAttempt(client, record));
  if (record.kind === "repeat") return jobOfRepeat(client, record);
  return (await jobOfResult(client, record)) ?? (await refusedRecord(client, record));
}

async function jobOfResult(client: pg.PoolClient, { no, day }: Outgoing): Promise<Cause | null> {
  const [row] = await run(
    client,
    "cause-of-result",
    `SELECT ${CAUSE_COLUMNS} FROM jobs j ${EXECUTION_OF_JOB} WHERE j.no = $1 AND j.day = $2`,
    [no, day],
  );
  return readCause(row);
}

async function jobOfCost(client: pg.PoolClient, { no, day }: Outgoing): Promise<Cause | null> {
  const [row] = await run(
    client,
    "cause-of-cost",
    `SELECT ${CAUSE_COLUMNS} FROM costs c JOIN jobs j ON j.no = c.job_no AND j.day = c.job_day ${EXECUTION_OF_JOB}
     WHERE c.no = $1 AND c.day = $2`,
    [no, day],
  );
  return readCause(row);
}

/** A cost that no ending job carried is about the first job of its execution. */
async function jobOfAttempt(client: pg.PoolClient, { no, day }: Outgoing): Promise<Cause | null> {
  const [row] = await run(
    client,
    "cause-of-late-cost",
    `SELECT ${CAUSE_COLUMNS} FROM costs c JOIN attempts a ON a.no = c.attempt_no AND a.day = c.day
     JOIN jobs j ON j.execution_no = a.execution_no ${EXECUTION_OF_JOB} WHERE c.no = $1 AND c.day = $2 ORDER BY j.no LIMIT 1`,
    [no, day],
  );
  return readCause(row);
}

/** The repeat's headers name the job; its own record is no longer in the ledger. */
async function jobOfRepeat(client: pg.PoolClient, repeat: Outgoing): Promise<Cause | null> {
  const jobId = repeatedJobId(repeat);
  if (jobId === null) return null;
  const rows = await run(
    client,
    "cause-of-repeat",
    `SELECT t.name, j.generation, ${CAUSE_COLUMNS} FROM tenants t JOIN job_key k ON k.tenant_no = t.no
     JOIN jobs j ON j.no = k.no AND j.day = k.day ${EXECUTION_OF_JOB} WHERE k.id_hash = $1`,
    [jobIdHash(jobId)],
  );
  const own = rows.find(([tenant, generation]) =>
    isRepeatOf(repeat, { tenant: tenant ?? "", jobId, generation: Number(generation) }),
  );
  return readCause(own?.slice(2));
}

function readCause(row: readonly (string | null)[] | undefined): Cause | null {
  if (row === undefined) return null;
  const [no, day, tenantNo, jobId, generation, envelopeText, value, headersText, attempts] = row;
  const { source, reply } = parseEnvelope(envelopeText ?? "{}");
  return {
    tenantNo: Number(tenantNo),
    jobId: bytesOf(jobId ?? "\\x"),
    job: { no: Number(no), day: Number(day) },
    about: {
      source,
      key: reply.key === null ? null : Buffer.from(reply.key, "base64"),
      record: keptRecord(value, headersText),
      attempts: Number(attempts),
      generation: Number(generation),
    },
  };
}

/** The failed result of a record that became no job: its first dead letter has the same number. */
async function refusedRecord(client: pg.PoolClient, { no, key }: Outgoing): Promise<Cause | null> {
  const [row] = await run(
    client,
    "cause-of-refused-result",
    "SELECT tenant_no, job_id, topic, partition, source_offset, record_value, record_headers FROM dead_letters WHERE no = $1",
    [no],
  );
  if (row === undefined) return null;
  const [tenantNo, jobId, topic, partition, offset, value, headersText] = row;
  return {
    tenantNo: tenantNo === null || tenantNo === undefined ? null : Number(tenantNo),
    jobId: bytesOrNull(jobId ?? null),
    job: null,
    about: {
      source: { topic: topic ?? "", partition: Number(partition), offset: Number(offset) },
      key, // a result has its record's key
      record: keptRecord(value, headersText),
      attempts: 0,
      generation: 0,
    },
  };
}

function keptRecord(value: string | null | undefined, headersText: string | null | undefined): KeptRecord {
  return { value: bytesOrNull(value ?? null), headersText: headersText ?? "[]" };
}

async function insertLetter(
  client: pg.PoolClient,
  input: Undeliverable,
  cause: Cause,
  letter: DeadLetterRow,
  nowMs: number,
): Promise<void> {
  const { source, record, refused } = input;
  await run(
    client,
    "letter-undeliverable",
    `INSERT INTO dead_letters (no, day, tenant_no, job_id, job_no, job_day, generation, code, message, failed_ms, topic, partition,
       source_offset, record_value, record_headers, replay_count, outbox_kind, outbox_no, outbox_day, state)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)`,
    [
      input.no,
      input.day,
      cause.tenantNo,
      cause.jobId,
      cause.job?.no ?? null,
      cause.job?.day ?? null,
      cause.job === null ? null : input.generation,
      letter.code,
      letter.message,
      nowMs,
      source.topic,
      source.partition,
      source.offset,
      record.value,
      record.headersText,
      input.generation + input.redeliveries,
      refused.kind,
      refused.no,
      refused.day,
      undeliverableState(input.redeliveries),
    ],
  );
}

async function hold(
  client: pg.PoolClient,
  context: LedgerContext,
  session: SessionNo,
  record: Outgoing,
  atMs: number,
): Promise<void> {
  await run(
    client,
    "outbox-ready-hold",
    `INSERT INTO outbox_ready (seq, session_no, topic, at_ms, after_ms, kinds, nos, days)
     VALUES ($1, $2, $3, $4, (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $5, $6::text[], $7::int8[], $8::int4[])`,
    [
      context.numbers.next(),
      session,
      record.topic,
      atMs,
      HELD_MS,
      textArray([record.kind]),
      int8Array([record.no]),
      int4Array([record.day]),
    ],
  );
}

/** The database's clock when the transaction began. */
async function transactionNowMs(client: pg.PoolClient): Promise<number> {
  const rows = await run(client, "transaction-now", "SELECT floor(extract(epoch FROM now()) * 1000)::int8", []);
  return Number(rows[0]?.[0]);
}
