import type { EpochMs } from "../../../src/domain/ids.js";
import type { PoolLoad, WaitingLine } from "../../../src/ports/batch-ledger.js";
import { insertReady, type MemoryContext } from "./memory-context.js";
import type { Transaction } from "./memory-database.js";
import type { PoolRow } from "./memory-rows.js";

/** Lines that wait for a batch, statement by statement as in the real ledger. */

export function insertPooled(context: MemoryContext, transaction: Transaction, rows: readonly PoolRow[]): void {
  for (const row of rows) transaction.insert(context.database.pools, row.key.no, row);
}

export function sweepPools(context: MemoryContext, session: number, nowMs: EpochMs, limit: number): Promise<number> {
  const { pools, routers } = context.database;
  return context.single("pools-sweep", (transaction) => {
    if (transaction.get(routers, session)?.endedMs !== null) return 0;
    const lookAt = ({ line, expiresMs }: PoolRow): number => Math.min(line.lookAtMs, expiresMs);
    const over = transaction
      .all(pools)
      .filter((row) => lookAt(row) <= nowMs)
      .sort((a, b) => lookAt(a) - lookAt(b) || a.key.no - b.key.no)
      .filter(({ key }) => transaction.tryLock(pools, key.no, "exclusive"))
      .slice(0, limit);
    for (const { key, priority, expiresMs } of over) {
      transaction.remove(pools, key.no);
      insertReady(context, transaction, [{ key, priority, runAtMs: nowMs, expiresMs, waitsFor: "concurrency" }]);
    }
    return over.length;
  });
}

export function poolLoads(context: MemoryContext): Promise<readonly PoolLoad[]> {
  return context.single("pools-load", (transaction) => {
    const loads = new Map<string, PoolLoad>();
    for (const { pool, line, addedMs } of transaction.all(context.database.pools)) {
      const known = loads.get(pool);
      loads.set(pool, {
        pool,
        lines: (known?.lines ?? 0) + 1,
        bytes: (known?.bytes ?? 0) + line.bytes + 1,
        tokens: (known?.tokens ?? 0) + line.tokens,
        oldestAtMs: Math.min(known?.oldestAtMs ?? addedMs, addedMs),
        nearestLookAtMs: Math.min(known?.nearestLookAtMs ?? line.lookAtMs, line.lookAtMs),
      });
    }
    return [...loads.values()].sort((a, b) => a.oldestAtMs - b.oldestAtMs || (a.pool < b.pool ? -1 : 1));
  });
}

/** Each tenant's nearest deadlines first, and the tenants in turn. */
export function waitingLines(context: MemoryContext, pool: string, limit: number): Promise<readonly WaitingLine[]> {
  return context.single("pool-lines", (transaction) => {
    const rows = transaction
      .all(context.database.pools)
      .filter((row) => row.pool === pool)
      .sort((a, b) => a.expiresMs - b.expiresMs || a.key.no - b.key.no);
    const turns = new Map<string, number>();
    const inTurn = rows.map((row) => {
      const turn = turns.get(row.tenant) ?? 0;
      turns.set(row.tenant, turn + 1);
      return { row, turn };
    });
    return inTurn
      .sort((a, b) => a.turn - b.turn || a.row.expiresMs - b.row.expiresMs || a.row.key.no - b.row.key.no)
      .slice(0, limit)
      .map(({ row: { key, tenant, line, addedMs, attempts } }) => ({
        ...{ execution: key, tenant, line, attempts },
        addedAtMs: addedMs,
      }));
  });
}
