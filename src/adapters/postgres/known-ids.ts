import type pg from "pg";
import { renderEnvelope } from "../../domain/result/envelope.js";
import type { Outgoing, RefusedRecord, Renderer } from "../../domain/result/outgoing.js";
import { byteaArray, int4Array } from "./binary-array.js";
import { run } from "./connection.js";
import { loadResult } from "./ending.js";
import type { LedgerContext } from "./ledger-context.js";
import { sourceOf, type Placing } from "./placing.js";

/**
 * Tells apart the jobs whose ids were there already: redelivered, repeated, in conflict.
 * @param won numbers of those whose ids were new.
 */
export async function placeKnownIds(
  client: pg.PoolClient,
  context: LedgerContext,
  placings: readonly Placing[],
  won: ReadonlySet<number>,
  day: number,
  render: Renderer,
  outgoing: Outgoing[],
): Promise<RefusedRecord[]> {
  if (won.size === placings.length) return [];
  const winners = new Map<string, Placing>();
  for (const placing of placings) if (won.has(placing.no)) winners.set(identity(placing), placing);
  const known = placings.filter((placing) => !won.has(placing.no));
  const conflicts: RefusedRecord[] = [];
  const older: Placing[] = [];
  for (const placing of known) {
    const winner = winners.get(identity(placing));
    if (winner === undefined) older.push(placing);
    else
      await placeKnown(
        client,
        context,
        placing,
        { bodyHash: winner.job.bodyHash, no: winner.no, day, state: "active", source: sourceOf(winner) },
        render,
        outgoing,
        conflicts,
      );
  }
  const found = await loadKnown(client, context, older);
  for (const placing of older) {
    const existing = found.get(identity(placing));
    if (existing === undefined) throw new Error("InvariantError: a job key without its job");
    await placeKnown(client, context, placing, existing, render, outgoing, conflicts);
  }
  return conflicts;
}

function identity(placing: Placing): string {
  return `${placing.job.tenant}\0${placing.job.idHash.toString("latin1")}`;
}

interface KnownJob {
  readonly bodyHash: Buffer;
  readonly no: number;
  readonly day: number;
  readonly state: string;
  readonly source: string;
}

/** `FOR SHARE`: a finish that ends one of these jobs waits, and then sees the repeat written here. */
async function loadKnown(
  client: pg.PoolClient,
  context: LedgerContext,
  placings: readonly Placing[],
): Promise<Map<string, KnownJob>> {
  if (placings.length === 0) return new Map();
  const rows = await run(
    client,
    "job-key-known",
    `SELECT u.place, k.body_hash, j.no, j.day, j.state, j.source
     FROM unnest($1::int4[], $2::bytea[]) WITH ORDINALITY AS u(t, h, place)
     JOIN job_key k ON k.tenant_no = u.t AND k.id_hash = u.h JOIN jobs j ON j.no = k.no AND j.day = k.day FOR SHARE OF j`,
    [
      int4Array(placings.map(({ job }) => context.tenants.noOf(job.tenant))),
      byteaArray(placings.map(({ job }) => job.idHash)),
    ],
  );
  const found = new Map<string, KnownJob>();
  for (const [place, bodyHash, no, day, state, source] of rows) {
    const placing = placings[Number(place) - 1];
    if (placing === undefined) continue;
    found.set(identity(placing), {
      bodyHash: Buffer.from((bodyHash ?? "").slice(2), "hex"),
      no: Number(no),
      day: Number(day),
      state: state ?? "active",
      source: source ?? "",
    });
  }
  return found;
}

async function placeKnown(
  client: pg.PoolClient,
  context: LedgerContext,
  placing: Placing,
  existing: KnownJob,
  render: Renderer,
  outgoing: Outgoing[],
  conflicts: RefusedRecord[],
): Promise<void> {
  // The body first: in a topic that was made anew another record may lie at the same place.
  if (!existing.bodyHash.equals(placing.job.bodyHash)) {
    placing.fate = "conflict";
    conflicts.push(render.conflict(placing.item, context.today()));
  } else if (existing.source === sourceOf(placing)) {
    placing.fate = "redelivered"; // an operator set the position back
  } else {
    placing.fate = "repeated";
    const envelope = renderEnvelope(placing.job);
    const original = existing.state === "active" ? null : await loadResult(client, existing.no, existing.day);
    if (original !== null) outgoing.push(render.repeat(original, envelope, placing.no, context.today()));
    else {
      await run(
        client,
        "repeats-insert",
        "INSERT INTO repeats (no, job_day, job_no, envelope) VALUES ($1, $2, $3, $4)",
        [placing.no, existing.day, existing.no, envelope],
      );
    }
  }
}
