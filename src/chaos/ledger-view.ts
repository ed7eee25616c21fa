import pg from "pg";
import { NEARLY_SUSPECTS } from "../demo/ledger-look.js";

/** What a router that has just been killed left in the ledger. */
export interface LeftWork {
  /** Calls whose intent is stored and whose outcome is not. */
  readonly calls: number;
  /** Groups of records that were not published. */
  readonly outboxGroups: number;
  /** Batches that it worked on. */
  readonly batches: number;
}

/** What is not done yet, all routers together. */
export interface OpenWork {
  readonly activeJobs: number;
  readonly outboxGroups: number;
  readonly unanswered: number;
  readonly openBatches: number;
  /** Attempts that are out, or in doubt without a policy having settled that. */
  readonly inDoubt: number;
  /** Records of the jobs topic that were taken in. */
  readonly recordsRead: bigint;
}

const LEFT_WORK = `SELECT
  (SELECT count(*) FROM attempts a JOIN routers r USING (session_no) WHERE r.name = $1 AND r.ended_at IS NULL AND a.state = 'sending') AS calls,
  (SELECT count(*) FROM outbox_ready o JOIN routers r USING (session_no) WHERE r.name = $1 AND r.ended_at IS NULL) AS "outboxGroups",
  (SELECT count(*) FROM batches b JOIN routers r USING (session_no) WHERE r.name = $1 AND r.ended_at IS NULL AND b.state NOT IN ('done', 'failed')) AS batches`;

const OPEN_WORK = `SELECT
  (SELECT count(*) FROM jobs WHERE state = 'active') AS "activeJobs",
  (SELECT count(*) FROM outbox_ready) AS "outboxGroups",
  (SELECT count(*) FROM unanswered) AS unanswered,
  (SELECT count(*) FROM batches WHERE state NOT IN ('done', 'failed')) AS "openBatches",
  (SELECT count(*) FROM attempts WHERE state IN ('sending', 'in_doubt')) AS "inDoubt",
  (SELECT coalesce(sum(next), 0) FROM inbox_position) AS "recordsRead"`;

const SUSPECTS = `SELECT ${NEARLY_SUSPECTS} AS "nearlySuspects"`;
const SESSION = `SELECT max(session_no) AS session FROM routers WHERE name = $1`;
const DEAD = `SELECT died FROM routers WHERE session_no = $1`;

const TIMEOUT_MS = 3000;

/** Looks into the ledger from outside, past all proxies, with a connection that may break at any time. */
export class LedgerView {
  readonly #pool: pg.Pool;

  constructor(databaseUrl: string) {
    this.#pool = new pg.Pool({
      connectionString: databaseUrl,
      max: 3,
      connectionTimeoutMillis: TIMEOUT_MS,
      query_timeout: TIMEOUT_MS,
    });
    this.#pool.on("error", () => undefined);
    // One that is in use tells its own listeners alone, and nobody listening ends the process.
    this.#pool.on("connect", (client) => client.on("error", () => undefined));
  }

  /** @returns null when the database does not answer. */
  async leftBy(router: string): Promise<LeftWork | null> {
    const row = await this.#row<Record<keyof LeftWork, string>>(LEFT_WORK, [router]);
    if (row === null) return null;
    return { calls: Number(row.calls), outboxGroups: Number(row.outboxGroups), batches: Number(row.batches) };
  }

  async open(): Promise<OpenWork | null> {
    const row = await this.#row<Record<keyof OpenWork, string>>(OPEN_WORK, []);
    if (row === null) return null;
    return {
      activeJobs: Number(row.activeJobs),
      outboxGroups: Number(row.outboxGroups),
      unanswered: Number(row.unanswered),
      openBatches: Number(row.openBatches),
      inDoubt: Number(row.inDoubt),
      recordsRead: BigInt(row.recordsRead),
    };
  }

  /** Whether another death would make the gateway take a record for one that ends its readers; false too when nobody answers. */
  async nearlySuspects(): Promise<boolean> {
    return (await this.#row<{ nearlySuspects: boolean }>(SUSPECTS, []))?.nearlySuspects ?? false;
  }

  /** The newest session of that router; null when there is none or nobody answers. */
  async sessionOf(router: string): Promise<string | null> {
    return (await this.#row<{ session: string | null }>(SESSION, [router]))?.session ?? null;
  }

  /** Whether others have declared that session dead. */
  async died(session: string): Promise<boolean> {
    return (await this.#row<{ died: boolean }>(DEAD, [session]))?.died ?? false;
  }

  /** @returns null when the database, or whatever else the work asks, does not answer: it may be down at this very moment. */
  async use<Value>(work: (client: pg.ClientBase) => Promise<Value>): Promise<Value | null> {
    let client: pg.PoolClient | null = null;
    let broken = true;
    try {
      client = await this.#pool.connect();
      const value = await work(client);
      broken = false;
      return value;
    } catch {
      return null;
    } finally {
      // One whose work failed may be in any state.
      client?.release(broken);
    }
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }

  async #row<Row extends pg.QueryResultRow>(sql: string, values: readonly unknown[]): Promise<Row | null> {
    return this.use(async (client) => (await client.query<Row>(sql, [...values])).rows[0] ?? null);
  }
}
