/** A mark of a record is a beat: else a router that has just come back to the ledger would be declared dead, and the record be blamed. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import type { SessionNo } from "../../src/domain/ids.js";
import { createPools, type Pools } from "../../src/adapters/postgres/connection.js";
import { LedgerContext } from "../../src/adapters/postgres/ledger-context.js";
import { beat, openSession } from "../../src/adapters/postgres/sessions.js";
import { beginTurn, markRecords, readMark } from "../../src/adapters/postgres/turns.js";
import { migratedDatabase } from "../support/servers.js";
import { logInto } from "../support/work.js";

const PLACE = { topic: "jobs", partition: 0 };

let database: Awaited<ReturnType<typeof migratedDatabase>>;
let pools: Pools;
let context: LedgerContext;

beforeAll(async () => {
  database = await migratedDatabase();
  const limits = { connectionsMax: 2, connectionTimeoutMs: 5000, statementTimeoutMs: 60_000 };
  pools = createPools({ url: database.url, ...limits }, logInto([]));
  context = new LedgerContext(pools, "sim", () => Date.now(), {
    waitersMax: 500,
    compressAboveBytes: 2048,
    budgets: [],
  });
  await pools.durable.query(
    "INSERT INTO inbox_position (cluster, topic, partition, next) VALUES ('sim', 'jobs', 0, 5)",
  );
}, 120_000);

afterAll(async () => {
  await pools.close();
  await database.drop();
});

test("[A16] a session that was silent for long beats with its mark, one that has ended does not", async () => {
  const session = await openSession(context, "reader");
  await beginTurn(context, session, "jobs", 0);
  await pools.durable.query("UPDATE routers SET beat_at = beat_at - interval '1 hour' WHERE session_no = $1", [
    session,
  ]);
  expect(await markRecords(context, session, { ...PLACE, offset: 5, upto: 6 })).toBe(true);
  const silentForMs = (beatAtMs: number | undefined): number => Date.now() - (beatAtMs ?? 0);
  expect(silentForMs((await readMark(context, "jobs", 0))?.last.beatAtMs)).toBeLessThan(600_000);
  await pools.durable.query(
    "UPDATE routers SET ended_at = clock_timestamp(), beat_at = beat_at - interval '1 hour' WHERE session_no = $1",
    [session],
  );
  expect(await markRecords(context, session, { ...PLACE, offset: 6, upto: 7 })).toBe(false);
  expect(await readMark(context, "jobs", 0)).toMatchObject({ offset: 5, last: { fate: "left" } });
  expect(silentForMs((await readMark(context, "jobs", 0))?.last.beatAtMs)).toBeGreaterThan(3_000_000);
});

test("[A16] a mark tells when another came to the records of the one before, so that a later beat shows that it lived on", async () => {
  const [first, second] = [await openSession(context, "first"), await openSession(context, "second")];
  await markRecords(context, first, { ...PLACE, offset: 5, upto: 55 });
  await markRecords(context, second, { ...PLACE, offset: 5, upto: 6 });
  const earlier = async () => (await readMark(context, "jobs", 0))?.earlier;
  const before = await earlier();
  expect(before?.by).toBe(first);
  expect(before?.beatAtMs).toBeLessThanOrEqual(before?.followedAtMs ?? Number.NaN);
  await pools.durable.query("SELECT pg_sleep(0.01)");
  expect(await beat(context, first, 0)).toBe(true);
  await pools.durable.query("SELECT pg_sleep(0.01)");
  await markRecords(context, second, { ...PLACE, offset: 6, upto: 7 }); // on its way through them
  const after = await earlier();
  expect(after?.followedAtMs).toBe(before?.followedAtMs);
  expect(after?.beatAtMs).toBeGreaterThan(after?.followedAtMs ?? Number.NaN);
});

test("[A16] a mark tells how many others have died since the one before last beat", async () => {
  const open = () => openSession(context, "reader");
  const end = (session: SessionNo, died: boolean) =>
    pools.durable.query("UPDATE routers SET ended_at = clock_timestamp(), died = $2 WHERE session_no = $1", [
      session,
      died,
    ]);
  const othersDied = async () => (await readMark(context, "jobs", 0))?.othersDied;
  const before = await open();
  const [first, second] = [await open(), await open()];
  await markRecords(context, first, { ...PLACE, offset: 7, upto: 8 });
  await markRecords(context, second, { ...PLACE, offset: 7, upto: 8 });
  for (const session of [before, first, second]) await end(session, true);
  expect(await othersDied()).toBe(0); // those two, and one that was silent before
  const [lives, left, died] = [await open(), await open(), await open()];
  await end(left, false);
  await end(died, true);
  expect(await othersDied()).toBe(1);
  await end(lives, true);
  expect(await othersDied()).toBe(2);
});
