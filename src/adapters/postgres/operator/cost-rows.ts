import type { CostSums, ReportDimension, Sharer } from "../../../domain/cost/cost-report.js";
import type { ReportClient } from "./report-connection.js";

/** Which cost records are asked for, by when their call began; null: from the first, to the last. */
export interface CostPeriod {
  readonly sinceMs: number | null;
  readonly untilMs: number | null;
}

/** What a line of a report is about: a value for each dimension that was asked for; null: the records name none. */
export type LineOf = readonly (string | null)[];

export interface CostLine {
  readonly of: LineOf;
  readonly sums: CostSums;
}

/** A call that several jobs shared, by lines of a report. */
export interface SharedCall {
  readonly paid: bigint;
  readonly sharers: readonly (Sharer & { readonly of: LineOf })[];
}

const DIMENSION_SQL = {
  tenant: "b.tenant",
  department: "b.envelope::jsonb #>> '{labels,department}'",
  application: "b.envelope::jsonb #>> '{labels,application}'",
  provider: "b.provider",
  model: "b.model",
  mode: "b.mode",
} as const satisfies Record<ReportDimension, string>;

/**
 * Each cost record of a period with the call and the job that it is about. One that no job carries is its execution's, so its opener's. A
 * zero record has no call of its own; the one that answered is named by the answer. A record counts when its call began, and one that was
 * served from an earlier answer when its job was accepted: so a call, all who shared it and what was learned of it later stay together.
 * Only attempts and jobs that are kept can be found: of others the day of the record is all there is.
 */
const RECORDS = `records AS (
  SELECT c.kind, c.billing, c.nano_usd, c.max_nano, c.list_nano, c.attempt_no, c.model, t.name AS tenant, j.envelope,
    coalesce(a.provider, s.provider) AS provider, CASE WHEN coalesce(a.batch_no, s.batch_no) IS NULL THEN 'direct' ELSE 'batch' END AS mode,
    coalesce(c.attempt_no, s.no) AS call_no, a.input_tokens, a.cached_input_tokens, a.output_tokens,
    c.job_no IS NOT NULL AND coalesce(j.state = 'succeeded', c.list_nano > 0) AS served,
    o.billing = 'suspect' AND o.job_no IS NOT NULL AS unlisted,
    coalesce((e.answer_facts::jsonb ->> 'routeListNanoUsd')::numeric, c.list_nano) AS route_list,
    c.nano_usd IS NULL AND c.kind = 'charge' AND NOT EXISTS (
      SELECT 1 FROM costs d WHERE d.kind = 'adjustment' AND d.nano_usd IS NOT NULL AND d.attempt_no = c.attempt_no AND d.day = c.day) AS open
  FROM costs c JOIN tenants t ON t.no = c.tenant_no
    LEFT JOIN attempts a ON a.no = c.attempt_no AND a.day = c.day
    LEFT JOIN costs o ON c.kind = 'adjustment' AND o.no = c.attempt_no AND o.day = c.day
    LEFT JOIN jobs j ON j.no = coalesce(c.job_no, a.execution_no) AND j.day = coalesce(c.job_day, a.day)
    LEFT JOIN executions e ON c.job_no IS NOT NULL AND e.no = j.execution_no AND e.day = j.execution_day
    LEFT JOIN attempts s ON c.attempt_no IS NULL AND s.no = (e.answer_facts::jsonb #>> '{attempt,no}')::int8 AND s.day = e.day
  WHERE CASE WHEN c.billing = 'cached' THEN coalesce(j.accepted_ms, c.day::int8 * 86400000)
    ELSE coalesce(a.started_ms, s.started_ms, j.accepted_ms, c.day::int8 * 86400000) END BETWEEN $1::int8 AND $2::int8 - 1)`;

const SUMS = `
  count(*) FILTER (WHERE b.kind = 'charge' AND b.served),
  count(*) FILTER (WHERE b.kind = 'charge' AND b.attempt_no IS NOT NULL),
  coalesce(sum(b.nano_usd), 0),
  coalesce(sum(b.list_nano) FILTER (WHERE b.nano_usd IS NOT NULL), 0),
  coalesce(sum(b.list_nano) FILTER (WHERE b.served AND b.billing = 'shared'), 0)
    - coalesce(sum(b.nano_usd) FILTER (WHERE b.kind = 'adjustment' AND b.billing = 'charged' AND b.unlisted IS NOT TRUE), 0),
  coalesce(sum(b.list_nano) FILTER (WHERE b.served AND b.billing = 'cached'), 0),
  coalesce(sum(b.route_list - b.nano_usd) FILTER (WHERE b.served AND b.billing = 'charged' AND b.mode = 'batch'), 0),
  coalesce(sum(b.route_list - b.nano_usd) FILTER (WHERE b.served AND b.billing = 'charged' AND b.mode = 'direct'), 0),
  coalesce(sum(b.list_nano - b.route_list) FILTER (WHERE b.served AND b.billing = 'charged'), 0),
  coalesce(sum(b.nano_usd) FILTER (WHERE b.unlisted IS NOT TRUE AND (CASE WHEN b.kind = 'charge' THEN NOT b.served ELSE b.billing <> 'charged' END)), 0),
  coalesce(sum(b.nano_usd) FILTER (WHERE b.unlisted), 0),
  count(*) FILTER (WHERE b.open AND b.billing = 'in_doubt'), coalesce(sum(b.max_nano) FILTER (WHERE b.open AND b.billing = 'in_doubt'), 0),
  count(*) FILTER (WHERE b.open AND b.billing = 'suspect'), coalesce(sum(b.max_nano) FILTER (WHERE b.open AND b.billing = 'suspect'), 0)`;

/** The lines in the order of what they are about. At most `linesMax` and one more. */
export async function costLines(
  client: ReportClient,
  by: readonly ReportDimension[],
  period: CostPeriod,
  linesMax: number,
): Promise<readonly CostLine[]> {
  const places = by.map((_, place) => String(place + 1)).join(", ");
  const rows = await client.rows(
    "",
    `WITH ${RECORDS} SELECT ${dimensionsSql(by)} ${SUMS} FROM records b
     ${by.length === 0 ? "" : `GROUP BY ${places} ORDER BY ${places}`} LIMIT ${String(linesMax + 1)}`,
    bounds(period),
  );
  return rows.map((row) => ({ of: row.slice(0, by.length), sums: readSums(row.slice(by.length)) }));
}

function readSums(row: readonly (string | null)[]): CostSums {
  const whole = (place: number): number => Number(row[place] ?? 0);
  const nano = (place: number): bigint => BigInt(row[place] ?? 0);
  return {
    jobs: whole(0),
    calls: whole(1),
    paid: nano(2),
    list: nano(3),
    saved: { coalesced: nano(4), cached: nano(5), batch: nano(6), promptCache: nano(7), routing: nano(8) },
    waste: nano(9),
    unlisted: nano(10),
    inDoubt: { calls: whole(11), max: nano(12) },
    suspect: { calls: whole(13), max: nano(14) },
  };
}

/** Calls that several jobs shared, one after another. */
export async function* sharedCalls(
  client: ReportClient,
  by: readonly ReportDimension[],
  period: CostPeriod,
): AsyncGenerator<SharedCall> {
  const rows = client.stream(
    `WITH ${RECORDS},
     members AS (
       SELECT ${dimensionsSql(by, true)} b.call_no, b.list_nano, b.nano_usd, b.billing = 'charged' AS pays FROM records b
       WHERE b.kind = 'charge' AND b.served AND b.call_no IS NOT NULL AND b.billing IN ('charged', 'shared'))
     SELECT m.call_no, bool_or(m.pays), count(*), sum(m.list_nano), sum(m.nano_usd) ${by.map((_, place) => `, d${String(place)}`).join("")}
     FROM members m WHERE EXISTS (SELECT 1 FROM members x WHERE x.call_no = m.call_no AND NOT x.pays)
     GROUP BY m.call_no ${by.map((_, place) => `, d${String(place)}`).join("")} ORDER BY m.call_no`,
    bounds(period),
  );
  let call: { readonly no: string | null; paid: bigint; readonly sharers: SharedCall["sharers"][number][] } | null =
    null;
  for await (const [no = null, pays, jobs, list, paid, ...of] of rows) {
    if (call !== null && call.no !== no) yield call;
    if (call === null || call.no !== no) call = { no, paid: 0n, sharers: [] };
    call.paid += BigInt(paid ?? 0);
    call.sharers.push({ of, key: keyOfLine(of), pays: pays === "t", jobs: Number(jobs), list: BigInt(list ?? 0) });
  }
  if (call !== null) yield call;
}

/** Names a line of a report. */
export function keyOfLine(of: LineOf): string {
  return JSON.stringify(of);
}

function dimensionsSql(by: readonly ReportDimension[], named = false): string {
  return by.map((name, place) => `${DIMENSION_SQL[name]}${named ? ` AS d${String(place)}` : ""}, `).join("");
}

function bounds({ sinceMs, untilMs }: CostPeriod): readonly number[] {
  return [sinceMs ?? 0, untilMs ?? Number.MAX_SAFE_INTEGER];
}
