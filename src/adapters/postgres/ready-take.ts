import type pg from "pg";
import {
  filledShares,
  QueueTurns,
  takenOfLimits,
  type QueuePart,
  type QueueShare,
  type QueueWish,
  type TakenOfLimit,
} from "../../domain/limit/queue-turns.js";
import { int4Array, int8Array, textArray } from "./binary-array.js";
import { run } from "./connection.js";
import { TAKEN_COLUMNS, takenRow, type TakenRow } from "./taken-row.js";

/** Parts of the queue that one look finds; the next goes on behind them. */
const PARTS_A_LOOK = 256;
/** A row that waits for a limit is taken whatever its time says. */
const ANY_TIME_MS = Number.MAX_SAFE_INTEGER;
const BEGINNING: Behind = { limit: "", tenant: "-1" };

/** One probe of the index a part, and one whether something of it is due. */
const PARTS = `parts AS (
   (SELECT limit_name, tenant_no FROM ready WHERE (limit_name, tenant_no) > ($1, $2::int4) ORDER BY limit_name, tenant_no LIMIT 1)
   UNION ALL
   SELECT n.limit_name, n.tenant_no FROM parts p, LATERAL (
     SELECT r.limit_name, r.tenant_no FROM ready r WHERE (r.limit_name, r.tenant_no) > (p.limit_name, p.tenant_no)
     ORDER BY r.limit_name, r.tenant_no LIMIT 1) n)`;
const DUE_PARTS = `SELECT NULL::int8, NULL::int4, NULL::int8, NULL::text, NULL::int4, NULL::text, p.limit_name, p.tenant_no,
     p.limit_name > '' OR EXISTS (SELECT 1 FROM ready r WHERE r.limit_name = '' AND r.tenant_no = p.tenant_no AND r.run_at_ms <= $3)
   FROM (SELECT limit_name, tenant_no FROM parts LIMIT ${String(PARTS_A_LOOK)}) p`;
const LOOK = `WITH RECURSIVE ${PARTS} ${DUE_PARTS}`;
/** The rows are chosen once: as a part of the join they might be chosen again for each row. */
const TAKE = `WITH RECURSIVE ${PARTS},
   chosen AS MATERIALIZED (
     SELECT q.no FROM unnest($4::text[], $5::int4[], $6::int8[], $7::int4[]) AS u(limit_name, tenant_no, due_ms, most),
       LATERAL (SELECT r.no FROM ready r WHERE r.limit_name = u.limit_name AND r.tenant_no = u.tenant_no AND r.run_at_ms <= u.due_ms
         ORDER BY r.priority DESC, r.expires_ms LIMIT u.most FOR UPDATE SKIP LOCKED) q),
   taken AS (DELETE FROM ready r USING chosen c WHERE r.no = c.no
     RETURNING ${TAKEN_COLUMNS}, r.limit_name, r.tenant_no)
   SELECT t.*, NULL::bool FROM taken t UNION ALL ${DUE_PARTS}`;

/** The last part that was seen. */
type Behind = QueuePart;
type Row = readonly (string | null)[];

interface TakenRows {
  readonly rows: readonly TakenRow[];
  /** There may be more that are due. */
  readonly more: boolean;
  readonly limited: ReadonlyMap<string, TakenOfLimit>;
  /** To be called once the transaction stands. */
  readonly settle: () => void;
}

/**
 * Takes rows off the queue: tenants in turn, of each its highest priority first, and the nearest deadline among those. Which tenants have
 * rows is found on the way, for the next time: that costs a look into the index a tenant, however many rows it has.
 */
export class ReadyTake {
  readonly #turns: QueueTurns;
  #parts: readonly QueuePart[] = [];
  /** Of a look that is not complete yet. */
  #found: QueuePart[] = [];
  #behind: Behind = BEGINNING;

  /** @param weightOf by the tenant's number as text. */
  constructor(weightOf: (tenant: string) => number) {
    this.#turns = new QueueTurns(weightOf);
  }

  async take(client: pg.PoolClient, wish: QueueWish, nowMs: number): Promise<TakenRows> {
    await this.#know(client, wish, nowMs);
    const parts = this.#parts;
    const shares = this.#turns.share(parts, wish);
    if (shares.length === 0)
      return { rows: [], more: false, limited: takenOfLimits(wish, [], []), settle: () => undefined };
    const found = await run(client, "ready-take-run", TAKE, [...this.#from(nowMs), ...sharesArrays(shares, nowMs)]);
    const rows = found.filter(([no]) => no !== null);
    this.#heard(found.filter(([no]) => no === null));
    const taken = rows.map(partOf);
    const asked = new Set(shares.flatMap(({ limit, tenant }) => (limit === "" ? [tenant] : [])));
    const isNew = this.#parts.some(({ limit, tenant }) => limit === "" && !asked.has(tenant));
    return {
      rows: rows.map(takenRow).sort((a, b) => a.no - b.no),
      more: isNew || filledShares(shares, taken).some(({ limit }) => limit === ""),
      limited: takenOfLimits(wish, shares, taken),
      settle: () => {
        this.#turns.took(parts, shares, taken);
      },
    };
  }

  /** Where the row is that a claim of one row takes. Null: nothing is due. */
  async first(client: pg.Pool | pg.PoolClient, wish: QueueWish, nowMs: number): Promise<QueueShare | null> {
    await this.#know(client, wish, nowMs);
    return this.#turns.share(this.#parts, wish)[0] ?? null;
  }

  /** Looks when something is wished for of which nothing is known. */
  async #know(client: pg.Pool | pg.PoolClient, { limit, limits }: QueueWish, nowMs: number): Promise<void> {
    const known = new Set(this.#parts.map((part) => part.limit));
    const names = limit > 0 ? ["", ...(limits?.keys() ?? [])] : [...(limits?.keys() ?? [])];
    if (names.every((name) => known.has(name))) return;
    this.#heard(await run(client, "ready-look", LOOK, [...this.#from(nowMs)]));
  }

  /** A look that found as many parts as it may goes on behind them; what is known stays until it is through. */
  #heard(rows: readonly Row[]): void {
    const last = rows.at(-1);
    this.#found.push(...rows.filter((row) => row[8] === "t").map(partOf));
    if (rows.length >= PARTS_A_LOOK && last !== undefined) {
      this.#behind = partOf(last);
      const there = new Set(this.#parts.map(({ limit, tenant }) => `${tenant}\n${limit}`));
      const more = this.#found.filter(({ limit, tenant }) => !there.has(`${tenant}\n${limit}`));
      this.#parts = [...this.#parts, ...more];
      return;
    }
    this.#parts = this.#found;
    this.#found = [];
    this.#behind = BEGINNING;
  }

  #from(nowMs: number): readonly [string, string, number] {
    return [this.#behind.limit, this.#behind.tenant, nowMs];
  }
}

/** Until when a row of the part must be due to be taken. */
export function dueMs({ limit }: QueuePart, nowMs: number): number {
  return limit === "" ? nowMs : ANY_TIME_MS;
}

function sharesArrays(shares: readonly QueueShare[], nowMs: number): readonly Buffer[] {
  return [
    textArray(shares.map(({ limit }) => limit)),
    int4Array(shares.map(({ tenant }) => Number(tenant))),
    int8Array(shares.map((share) => dueMs(share, nowMs))),
    int4Array(shares.map(({ most }) => most)),
  ];
}

function partOf(row: Row): QueuePart {
  return { limit: row[6] ?? "", tenant: row[7] ?? "" };
}
