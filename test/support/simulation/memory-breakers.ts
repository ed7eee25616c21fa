import type { GatewayEvent } from "../../../src/domain/event/event.js";
import type { SessionNo } from "../../../src/domain/ids.js";
import type { Renderer } from "../../../src/domain/result/outgoing.js";
import type { BreakerSave, StoredBreaker } from "../../../src/ports/health-store.js";
import type { OutboxGroup } from "../../../src/ports/ledger.js";
import { insertOutbox, type MemoryContext } from "./memory-context.js";
import type { BreakerRow } from "./memory-rows.js";

const FORGET_AFTER_MS = 86_400_000;
const keyOf = (account: string, model: string | null): string => JSON.stringify([account, model]);

export function breakersOf(context: MemoryContext): Promise<readonly StoredBreaker[]> {
  const { breakers, routers, nowMs } = context.database;
  return context.single("breakers-read", (transaction) => {
    const now = nowMs();
    return transaction.all(breakers).map(({ sinceMs, untilMs, changedMs, ...row }) => {
      const isLost = row.state === "half_open" && (transaction.get(routers, row.session)?.endedMs ?? null) !== null;
      return {
        ...row,
        openMs: now - sinceMs,
        leftMs: isLost ? Math.min(untilMs - now, 0) : untilMs - now,
        changedAgoMs: now - changedMs,
      };
    });
  });
}

export function saveBreaker(
  context: MemoryContext,
  session: SessionNo,
  save: BreakerSave,
  event: GatewayEvent | null,
  render: Renderer,
): Promise<{ readonly saved: boolean; readonly outbox: readonly OutboxGroup[] }> {
  const { breakers, nowMs } = context.database;
  const key = keyOf(save.account, save.model);
  const record = event === null ? null : render.event(event, context.nextNumber(), context.today());
  return context.transaction(
    "breaker-save",
    async (transaction) => {
      await context.statement(transaction, "breaker-save");
      await transaction.lock(breakers, [key], "exclusive");
      const known = transaction.get(breakers, key);
      if (known !== undefined && known.version !== save.version) return { saved: false, outbox: [] };
      const now = nowMs();
      const { account, model, state, openings, because, openMs, leftMs } = save;
      const row: BreakerRow = {
        ...{ account, model, state, openings, because, session },
        version: save.version + 1,
        sinceMs: now - openMs,
        untilMs: now + leftMs,
        changedMs: now,
      };
      if (known === undefined) transaction.insert(breakers, key, row);
      else transaction.update(breakers, key, row);
      if (state === "open")
        for (const old of transaction.all(breakers))
          if (old.state === "closed" && old.changedMs < now - FORGET_AFTER_MS)
            transaction.remove(breakers, keyOf(old.account, old.model));
      if (event === null || record === null) return { saved: true, outbox: [] };
      return { saved: true, outbox: await insertOutbox(context, transaction, session, event.atMs, [record]) };
    },
    async (result) => {
      if (!result.saved) return result;
      const row = await context.single("breaker-check", (transaction) => transaction.get(breakers, key));
      return row?.version === save.version + 1 && row.session === session ? result : null;
    },
  );
}
