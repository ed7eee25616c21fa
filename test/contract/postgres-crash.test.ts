/**
 * A router that is killed between two statements of a transaction, behind each of them in turn. The cases of the suite break off where a
 * record is rendered, on every ledger; this is about PostgreSQL's statements, which only it has.
 */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { createPools, type Pools } from "../../src/adapters/postgres/connection.js";
import { LedgerContext } from "../../src/adapters/postgres/ledger-context.js";
import { PostgresLedger } from "../../src/adapters/postgres/postgres-ledger.js";
import type { Ledger, OutboxGroup } from "../../src/ports/ledger.js";
import { tenantBudget } from "../support/budgets.js";
import { DyingClient } from "../support/dying-client.js";
import { migratedDatabase, type FreshDatabase } from "../support/servers.js";
import { JOBS_TOPIC, RENDER } from "../support/simulation/fixture.js";
import { logInto } from "../support/work.js";
import { answerTo, failureOf, LedgerBench } from "./ledger-bench.js";

const TENANT = "catalogue";
const SETTINGS = { waitersMax: 500, compressAboveBytes: 2048, budgets: [tenantBudget(TENANT, 10n ** 18n)] };
const TIMEOUT_MS = 120_000;

let database: FreshDatabase;
let pools: Pools;
let bench: LedgerBench;

beforeAll(async () => {
  database = await migratedDatabase();
  pools = newPools();
  bench = await LedgerBench.start({ ledger: ledgerOn(pools), nowMs, close: () => Promise.resolve() });
});
afterAll(async () => {
  await pools.close();
  await database.drop();
});

const nowMs = (): number => Date.now();

function newPools(): Pools {
  const settings = { connectionsMax: 8, connectionTimeoutMs: 5000, statementTimeoutMs: 10_000 };
  return createPools({ url: database.url, ...settings }, logInto([]));
}

function ledgerOn(on: Pools): PostgresLedger {
  return new PostgresLedger(new LedgerContext(on, "sim", nowMs, { ...SETTINGS, weights: new Map() }), [TENANT]);
}

/** Rows and their contents by table. */
type Contents = ReadonlyMap<string, { readonly rows: number; readonly print: string }>;

async function contents(): Promise<Contents> {
  const { rows: tables } = await pools.durable.query<{ name: string }>(
    "SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1",
  );
  const one = ({ name }: { readonly name: string }): string =>
    `SELECT '${name}' AS name, count(*)::int AS rows, coalesce(md5(string_agg(t::text, ' ' ORDER BY t::text)), '') AS print FROM ${name} t`;
  const found = await pools.durable.query<{ name: string; rows: number; print: string }>(
    tables.map(one).join(" UNION ALL "),
  );
  return new Map(found.rows.map(({ name, rows, print }) => [name, { rows, print }]));
}

/** How many rows more there are, by table; tables that are as long as before are left out. */
function grown(before: Contents, after: Contents): Readonly<Record<string, number>> {
  const changes = [...after].map(([name, { rows }]) => [name, rows - (before.get(name)?.rows ?? 0)] as const);
  return Object.fromEntries(changes.filter(([, change]) => change !== 0));
}

/** Something that is written in one transaction. */
interface Deed {
  readonly write: (ledger: Ledger) => Promise<unknown>;
  /** What the one who writes is told, in a few words: of the first time, and of a repeat. */
  readonly told: unknown;
  readonly toldAgain: unknown;
}

/** A router of its own on the same ledger, up and about to write. */
class Router {
  readonly #pools: Pools;
  readonly #ledger: PostgresLedger;

  static async open(): Promise<Router> {
    const own = newPools();
    const ledger = ledgerOn(own);
    await ledger.openSession("to die");
    return new Router(own, ledger);
  }

  private constructor(own: Pools, ledger: PostgresLedger) {
    this.#pools = own;
    this.#ledger = ledger;
  }

  /** Writes, and dies behind so many statements. @returns how many there were, and whether it died. */
  async writes(deed: Deed, diesBehind: number): Promise<{ readonly statements: number; readonly died: boolean }> {
    const client = new DyingClient(this.#pools, diesBehind);
    try {
      const died = await deed.write(this.#ledger).then(
        () => false,
        () => true,
      );
      return { statements: client.statements, died };
    } finally {
      await this.#pools.close();
    }
  }
}

const kindsOf = (outbox: readonly OutboxGroup[]): readonly string[] =>
  outbox.flatMap(({ records }) => records.map(({ kind }) => kind)).sort();

let deeds = 0;
const name = (): string => `crash ${String((deeds += 1))}`;

/**
 * A group with everything that a group can bring: one job that starts, one that joins it, one that waits, one out of time, a refusal.
 * @param cancels also a cancel; where money is held then no job starts at once.
 */
async function anAccept(cancels: boolean): Promise<Deed> {
  const id = name();
  const since = bench.next;
  const wish = (suffix: string, prompt = suffix) => ({
    jobId: `${id} ${suffix}`,
    tenant: TENANT,
    prompt: `${id} ${prompt}`,
  });
  const jobs = [
    await bench.job(wish("starts"), true),
    await bench.job(wish("joins", "starts"), false),
    await bench.job(wish("waits"), false),
    await bench.job({ ...wish("is late"), ttlMs: 0 }, true),
  ];
  const refused = [await bench.refused(bench.next)];
  const group = await bench.group(jobs, {
    refused,
    cancels: cancels ? [{ tenant: TENANT, jobId: `${id} waits`, behind: jobs.length }] : [],
    moves: [{ topic: JOBS_TOPIC, partition: 0, since, upto: bench.next, witness: Buffer.from("12345678") }],
  });
  return {
    write: async (ledger) => {
      const outcome = await ledger.accept(group, RENDER);
      return outcome.kind === "accepted" ? outcome.jobs.map(({ kind }) => kind) : outcome.kind;
    },
    told: cancels ? ["queued", "joined", "cancelled", "expired"] : ["started", "joined", "queued", "expired"],
    toldAgain: "moved",
  };
}

/** Three calls: one answers two jobs, one fails for good, one is to be tried again. */
async function aFinish(): Promise<Deed> {
  const id = name();
  const wish = (suffix: string) => ({ jobId: `${id} ${suffix}`, tenant: TENANT, prompt: `${id} ${suffix}` });
  const held = [
    await bench.start(wish("answered")),
    await bench.start(wish("refused")),
    await bench.start(wish("busy")),
  ];
  await bench.accept([await bench.job({ ...wish("answered"), jobId: `${id} joined` }, false)]);
  const [answered, refused, busy] = held;
  if (answered === undefined || refused === undefined || busy === undefined) throw new Error("three were started");
  const calls = [
    bench.ended(answered, answerTo(`${id} answered`)),
    bench.ended(refused, failureOf("refused", "answered", 400)),
    bench.ended(busy, failureOf("overloaded", "answered", 500)),
  ];
  const group = { session: bench.session, nowMs: nowMs(), calls };
  return {
    write: async (ledger) => kindsOf((await ledger.finish(group, RENDER)).outbox),
    told: ["cost", "cost", "dead_letter", "result", "result", "result"],
    toldAgain: [],
  };
}

async function anOutbox(): Promise<readonly OutboxGroup[]> {
  const id = name();
  const held = await bench.start({ jobId: id, tenant: TENANT, prompt: id });
  return (await bench.finish([bench.ended(held, answerTo(id))])).outbox;
}

/** The relay deletes the rows of what was acknowledged. */
async function aDrop(): Promise<Deed> {
  const seqs = (await anOutbox()).map(({ seq }) => seq);
  return { write: (ledger) => ledger.dropOutbox(seqs), told: undefined, toldAgain: undefined };
}

/** The relay gives up a result that its topic does not take: a dead letter in its place. */
async function aGiveUp(): Promise<Deed> {
  const group = (await anOutbox()).find(({ records }) => records.some(({ kind }) => kind === "result"));
  const record = group?.records.find(({ kind }) => kind === "result");
  if (group === undefined || record === undefined) throw new Error("the outbox holds no result");
  const refused = [{ seq: group.seq, record, reason: "too large" }];
  return {
    write: async (ledger) => (await ledger.giveUpOutgoing(bench.session, refused, RENDER)).letters,
    told: 1,
    toldAgain: 0,
  };
}

describe.each([
  { what: "accept", make: () => anAccept(false), statementsMin: 8 },
  { what: "accept of a group that cancels", make: () => anAccept(true), statementsMin: 8 },
  { what: "finish", make: aFinish, statementsMin: 8 },
  { what: "the relay's delete", make: aDrop, statementsMin: 1 },
  { what: "the relay's giving up", make: aGiveUp, statementsMin: 5 },
])("$what, killed behind each of its statements", ({ make, statementsMin }) => {
  test(
    "leaves nothing before the last and all of it behind that, and a repeat makes it whole",
    async () => {
      await (await make()).write(bench.ledger); // what only the first of its kind writes
      const [counted, lives] = [await make(), await Router.open()];
      const start = await contents();
      const { statements, died } = await lives.writes(counted, Number.POSITIVE_INFINITY);
      const whole = grown(start, await contents());
      expect(died).toBe(false);
      expect(statements).toBeGreaterThanOrEqual(statementsMin);
      expect(whole).not.toEqual({});
      for (let behind = 0; behind <= statements; behind += 1) {
        const [deed, dies] = [await make(), await Router.open()];
        const before = await contents();
        expect(await dies.writes(deed, behind)).toEqual({ statements: behind, died: true });
        const after = await contents();
        const isWritten = behind === statements;
        if (isWritten) expect(grown(before, after)).toEqual(whole);
        else expect([behind, after]).toEqual([behind, before]);
        expect([behind, await deed.write(bench.ledger)]).toEqual([behind, isWritten ? deed.toldAgain : deed.told]);
        expect([behind, grown(before, await contents())]).toEqual([behind, whole]);
      }
    },
    TIMEOUT_MS,
  );
});
