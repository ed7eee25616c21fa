import type pg from "pg";
import type { EndedState } from "../../domain/execution/execution.js";
import { parseEnvelope } from "../../domain/result/envelope.js";
import type {
  CostRow,
  EndingJob,
  JobEnd,
  KeptRecord,
  Outgoing,
  RenderedEnd,
  Renderer,
} from "../../domain/result/outgoing.js";
import type { EndedJob } from "../../ports/ledger.js";
import { byteaArray, int4Array, int8Array, textArray } from "./binary-array.js";
import { columnsOf, int4Column, int8Column, textColumn } from "./columns.js";
import { run, send } from "./connection.js";
import { bytesOf, bytesOrNull } from "./stored-body.js";
import { loadOutgoing } from "./outbox-rows.js";
import type { LedgerContext } from "./ledger-context.js";

/** The columns that `readEndingJob` reads, for every UPDATE of jobs that ends some. `j` is the table's alias. */
export const ENDING_COLUMNS =
  "j.no, j.day, j.tenant_no, j.job_id, j.generation, j.execution_no, j.execution_day, j.state, j.accepted_ms, j.envelope";

type Row = readonly (string | null)[];

export function readEndingJob(context: LedgerContext, row: Row): EndingJob {
  const [no, day, tenantNo, jobId, generation, executionNo, executionDay, state, acceptedMs, envelope] = row;
  return {
    key: { no: Number(no), day: Number(day) },
    tenant: context.tenants.nameOf(Number(tenantNo)),
    jobId: bytesOf(jobId ?? "").toString("utf8"),
    generation: Number(generation),
    execution: executionNo === null ? null : { no: Number(executionNo), day: Number(executionDay) },
    status: state as EndedState, // the UPDATE set it to one of these
    acceptedAtMs: Number(acceptedMs),
    envelope: envelope ?? "{}",
    record: null,
  };
}

export interface EndingWithReason {
  readonly job: EndingJob;
  readonly end: JobEnd;
}

export interface WrittenEnds {
  readonly outgoing: Outgoing[];
  readonly ended: EndedJob[];
  readonly costs: readonly CostRow[];
}

/**
 * Renders jobs that this transaction ended and writes their cost rows, dead letters and repeats. The outgoing records are the caller's to
 * insert. @param taken repeats that were taken before, for all jobs that were asked about; the others' are taken here.
 */
export async function writeEnds(
  client: pg.PoolClient,
  context: LedgerContext,
  render: Renderer,
  ends: readonly EndingWithReason[],
  taken: TakenRepeats = NONE_TAKEN,
): Promise<WrittenEnds> {
  if (ends.length === 0) return { outgoing: [], ended: [], costs: [] };
  const unasked: number[] = [];
  for (const { job } of ends) if (!taken.jobNos.has(job.key.no)) unasked.push(job.key.no);
  const rest = takeRepeats(client, unasked);
  rest.catch(() => undefined); // looked at below, after the rendering that fills the wait
  const failed = ends.filter(hasFailed);
  const records =
    failed.length === 0
      ? new Map<number, KeptRecord>()
      : await keptRecords(
          client,
          failed.map(({ job }) => job),
        );
  const outgoing: Outgoing[] = [];
  const costs: CostRow[] = [];
  const letters: { readonly item: EndingWithReason; readonly rendered: RenderedEnd; readonly record: KeptRecord }[] =
    [];
  for (const item of ends) {
    const record = records.get(item.job.key.no) ?? null;
    const rendered = render.end(record === null ? item.job : { ...item.job, record }, item.end);
    outgoing.push(...rendered.outgoing);
    if (rendered.cost !== null) costs.push(rendered.cost);
    if (rendered.deadLetter !== null && record !== null) {
      letters.push({ item, rendered, record });
      outgoing.push(rendered.deadLetter.outgoing);
    }
  }
  insertCosts(client, context, costs);
  if (letters.length > 0) insertJobLetters(client, context, letters);
  const repeats = [...taken.rows, ...(await rest).rows];
  outgoing.push(...repeatResults(context, render, repeats, outgoing));
  return { outgoing, ended: ends.map(endedJob), costs };
}

function hasFailed({ end }: EndingWithReason): boolean {
  return end.failure !== null;
}

function endedJob({ job, end }: EndingWithReason): EndedJob {
  const { status, acceptedAtMs } = job;
  const code = status === "succeeded" ? null : (end.failure?.code ?? null);
  return { status, code, acceptedAtMs, endedAtMs: end.endedAtMs };
}

async function keptRecords(client: pg.PoolClient, jobs: readonly EndingJob[]): Promise<Map<number, KeptRecord>> {
  const rows = await run(
    client,
    "jobs-kept-records",
    `SELECT j.no, j.record_value, j.record_headers FROM unnest($1::int8[], $2::int4[]) AS k(no, day)
     JOIN jobs j ON j.no = k.no AND j.day = k.day`,
    [int8Array(jobs.map((job) => job.key.no)), int4Array(jobs.map((job) => job.key.day))],
  );
  return new Map(
    rows.map(([no, value, headers]) => [
      Number(no),
      { value: bytesOrNull(value ?? null), headersText: headers ?? "[]" },
    ]),
  );
}

interface PlacedCost {
  readonly cost: CostRow;
  readonly tenantNo: number;
}

const COST_COLUMNS = [
  int4Column(({ cost }: PlacedCost) => cost.day),
  int8Column(({ cost }: PlacedCost) => cost.no),
  textColumn(({ cost }: PlacedCost) => cost.kind),
  textColumn(({ cost }: PlacedCost) => cost.billing),
  int4Column(({ tenantNo }: PlacedCost) => tenantNo),
  int4Column(({ cost }: PlacedCost) => cost.job?.day ?? null),
  int8Column(({ cost }: PlacedCost) => cost.job?.no ?? null),
  int8Column(({ cost }: PlacedCost) => cost.attemptNo),
  textColumn(({ cost }: PlacedCost) => cost.account),
  textColumn(({ cost }: PlacedCost) => cost.model),
  int8Column(({ cost }: PlacedCost) => cost.nanoUsd),
  int8Column(({ cost }: PlacedCost) => cost.maxNanoUsd),
  int8Column(({ cost }: PlacedCost) => cost.listNanoUsd),
];

export function insertCosts(client: pg.PoolClient, context: LedgerContext, costs: readonly CostRow[]): void {
  if (costs.length === 0) return;
  const rows: PlacedCost[] = [];
  for (const cost of costs) rows.push({ cost, tenantNo: context.tenants.noOf(cost.tenant) });
  send(
    client,
    "costs-insert",
    `INSERT INTO costs (day, no, kind, billing, tenant_no, job_day, job_no, attempt_no, account, model, nano_usd, max_nano, list_nano)
     SELECT * FROM unnest($1::int4[], $2::int8[], $3::text[], $4::text[], $5::int4[], $6::int4[], $7::int8[], $8::int8[],
       $9::text[], $10::text[], $11::int8[], $12::int8[], $13::int8[])`,
    columnsOf(COST_COLUMNS, rows),
  );
}

function insertJobLetters(
  client: pg.PoolClient,
  context: LedgerContext,
  letters: readonly { readonly item: EndingWithReason; readonly rendered: RenderedEnd; readonly record: KeptRecord }[],
): void {
  insertDeadLetters(
    client,
    letters.map(({ item, rendered, record }) => {
      const source = parseEnvelope(item.job.envelope).source;
      return {
        no: rendered.deadLetter?.outgoing.no ?? item.job.key.no,
        day: item.job.key.day,
        tenantNo: context.tenants.noOf(item.job.tenant),
        jobId: Buffer.from(item.job.jobId, "utf8"),
        job: item.job.key,
        generation: item.job.generation,
        code: rendered.deadLetter?.code ?? "INTERNAL",
        message: rendered.deadLetter?.message ?? "",
        failedMs: item.end.endedAtMs,
        ...source,
        record,
      };
    }),
  );
}

export interface DeadLetterInsert {
  readonly no: number;
  readonly day: number;
  readonly tenantNo: number | null;
  readonly jobId: Buffer | null;
  readonly job: { readonly no: number; readonly day: number } | null;
  readonly generation: number | null;
  readonly code: string;
  readonly message: string;
  readonly failedMs: number;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly record: KeptRecord;
}

/** A letter of a replayed job continues its count: an older letter of the same job tells how often it was replayed. */
export function insertDeadLetters(client: pg.PoolClient, letters: readonly DeadLetterInsert[]): void {
  if (letters.length === 0) return;
  send(
    client,
    "dead-letters-insert",
    `INSERT INTO dead_letters (no, day, tenant_no, job_id, job_no, job_day, generation, code, message, failed_ms, topic, partition,
       source_offset, record_value, record_headers, replay_count, state)
     SELECT u.*, coalesce(u.generation, 0), CASE WHEN coalesce(u.generation, 0) >= 2 THEN 'parked' ELSE 'open' END
     FROM unnest($1::int8[], $2::int4[], $3::int4[], $4::bytea[], $5::int8[], $6::int4[], $7::int4[], $8::text[], $9::text[],
       $10::int8[], $11::text[], $12::int4[], $13::int8[], $14::bytea[], $15::text[])
       AS u(no, day, tenant_no, job_id, job_no, job_day, generation, code, message, failed_ms, topic, partition, source_offset, value, headers)
     ON CONFLICT DO NOTHING`,
    [
      int8Array(letters.map((letter) => letter.no)),
      int4Array(letters.map((letter) => letter.day)),
      int4Array(letters.map((letter) => letter.tenantNo)),
      byteaArray(letters.map((letter) => letter.jobId)),
      int8Array(letters.map((letter) => letter.job?.no ?? null)),
      int4Array(letters.map((letter) => letter.job?.day ?? null)),
      int4Array(letters.map((letter) => letter.generation)),
      textArray(letters.map((letter) => letter.code)),
      textArray(letters.map((letter) => letter.message.replaceAll("\0", "\\0"))),
      int8Array(letters.map((letter) => letter.failedMs)),
      textArray(letters.map((letter) => letter.topic)),
      int4Array(letters.map((letter) => letter.partition)),
      int8Array(letters.map((letter) => letter.offset)),
      byteaArray(letters.map((letter) => letter.record.value)),
      textArray(letters.map((letter) => letter.record.headersText)),
    ],
  );
}

/** Newer records that named the id and body of jobs which this transaction ended; no longer waiting. */
export interface TakenRepeats {
  readonly jobNos: ReadonlySet<number>;
  readonly rows: readonly Row[];
}

const NONE_TAKEN: TakenRepeats = { jobNos: new Set(), rows: [] };

/** Takes the repeats of those jobs that the transaction itself has ended, and no others: it can be sent before it is known which those are. */
export async function takeRepeats(client: pg.PoolClient, jobNos: readonly number[]): Promise<TakenRepeats> {
  if (jobNos.length === 0) return NONE_TAKEN;
  const rows = await run(
    client,
    "repeats-of-ended",
    `DELETE FROM repeats r WHERE r.job_no = ANY($1::int8[])
       AND (SELECT j.xmin FROM jobs j WHERE j.no = r.job_no AND j.day = r.job_day AND j.state <> 'active') = pg_current_xact_id()::xid
     RETURNING no, job_no, envelope`,
    [int8Array(jobNos)],
  );
  return { jobNos: new Set(jobNos), rows };
}

function repeatResults(
  context: LedgerContext,
  render: Renderer,
  repeats: readonly Row[],
  rendered: readonly Outgoing[],
): Outgoing[] {
  if (repeats.length === 0) return [];
  const results = new Map(rendered.filter((record) => record.kind === "result").map((record) => [record.no, record]));
  return repeats.map(([no, jobNo, envelope]) => {
    const original = results.get(Number(jobNo));
    if (original === undefined) throw new Error("InvariantError: a repeat was taken for a job without a result");
    return render.repeat(original, envelope ?? "{}", Number(no), context.today());
  });
}

/** The published result of an ended job, as it is in the outbox. */
export async function loadResult(client: pg.PoolClient | pg.Pool, no: number, day: number): Promise<Outgoing | null> {
  const found = await loadOutgoing(client, { kinds: ["result"], nos: [no], days: [day] });
  return found[0] ?? null;
}
