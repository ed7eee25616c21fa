import pg from "pg";

/** A batch of the ledger that has not ended there. */
export interface LiveBatch {
  readonly no: number;
  readonly state: string;
}

/** What the ledger says at one moment. */
export interface LedgerState {
  /** The newest session that a router has opened; 0: none so far. */
  readonly session: number;
  /** Records of the jobs topic that were taken in, over all partitions. */
  readonly recordsRead: number;
  readonly batches: readonly LiveBatch[];
  /** Another death here may make the gateway take a record for one that ends its readers: it is marked. */
  readonly nearlySuspects: boolean;
}

/** Looks into the gateway's database, to see what a kill meets. What a run came to is none of its business: that is the reader's. */
export interface LedgerLook {
  readonly now: () => Promise<LedgerState>;
  readonly close: () => Promise<void>;
}

const TIMEOUT_MS = 5000;

/** As in `LedgerState`, in SQL. */
export const NEARLY_SUSPECTS = `EXISTS (SELECT 1 FROM inbox_turns t JOIN inbox_position p ON p.cluster = t.cluster AND p.topic = t.topic AND p.partition = t.partition
    WHERE coalesce(t.marked_upto, t.marked + 1) > p.next)`;

const LOOK = `SELECT (SELECT coalesce(max(session_no), 0) FROM routers) AS session,
  (SELECT coalesce(sum(next), 0) FROM inbox_position) AS "recordsRead",
  (SELECT coalesce(json_agg(json_build_object('no', no, 'state', state)), '[]') FROM batches WHERE state NOT IN ('done', 'failed')) AS batches,
  ${NEARLY_SUSPECTS} AS "nearlySuspects"`;

interface LookRow {
  readonly session: string;
  readonly recordsRead: string;
  readonly batches: readonly LiveBatch[];
  readonly nearlySuspects: boolean;
}

/** @throws Error when the database can't be reached; so does a look later on. */
export async function openLedgerLook(databaseUrl: string): Promise<LedgerLook> {
  const client = new pg.Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: TIMEOUT_MS,
    query_timeout: TIMEOUT_MS,
  });
  // A connection that breaks fails the next look.
  client.on("error", () => undefined);
  await client.connect();
  return {
    now: async () => {
      const { rows } = await client.query<LookRow>(LOOK);
      const [row] = rows;
      if (row === undefined) throw new Error("expected a row from the ledger");
      return { ...row, session: Number(row.session), recordsRead: Number(row.recordsRead) };
    },
    close: () => client.end(),
  };
}
