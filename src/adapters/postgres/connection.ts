import { Duplex } from "node:stream";
import pg from "pg";
import type { Log } from "../../ports/system.js";

/** PostgreSQL can't be reached, or gave up a statement: pause and try again, never charge it to a job. */
export class DependencyError extends Error {
  readonly dependency: string;
  constructor(dependency: string, message: string, cause: unknown) {
    super(message, { cause });
    this.name = "DependencyError";
    this.dependency = dependency;
  }
}

/** COMMIT was sent and its answer never came: the transaction may stand. */
export class CommitUnknownError extends DependencyError {}

export interface ConnectionSettings {
  readonly url: string;
  readonly connectionsMax: number;
  readonly connectionTimeoutMs: number;
  readonly statementTimeoutMs: number;
}

export interface Pools {
  /** Everything that must be durable when it returns: `synchronous_commit` as the server has it (on). */
  readonly durable: pg.Pool;
  /** Deletions from the outbox queue and heartbeats: losing the last of them repeats identical bytes at worst. */
  readonly relaxed: pg.Pool;
  close(): Promise<void>;
}

/**
 * Planner settings: every hot statement joins a small `unnest` list to a primary key. A generic plan made while the tables were
 * empty would otherwise choose a sequential scan or a hash join and keep it. Bitmap scans are off too: the day of a partition looks like
 * something to search an index for, and is true of all its rows. So no statement may join two lists with each other: see `byCode`; and an
 * order is asked for by an expression, since the wish for an index's order would be a reason to walk all of it.
 *
 * A table's days are bounded from below by parameters or taken from another row, never both. With both, PostgreSQL 18.4 loses its place among
 * the partitions when a row turns out to have been changed by somebody else meanwhile (a job that is being cancelled): it finds none of the
 * rows behind that one, and says nothing. `+ 0` keeps a comparison from choosing partitions.
 */
const PLANNER_OPTIONS =
  "-c jit=off -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c enable_bitmapscan=off";

const RELAXED_CONNECTIONS = 2;

export function createPools(settings: ConnectionSettings, log: Log): Pools {
  const common = {
    connectionString: settings.url,
    connectionTimeoutMillis: settings.connectionTimeoutMs,
    idleTimeoutMillis: 0,
    statement_timeout: settings.statementTimeoutMs,
    query_timeout: settings.statementTimeoutMs + 5000,
    idle_in_transaction_session_timeout: settings.statementTimeoutMs,
    keepAlive: true,
    // Statements whose rows nobody waits for go out together: a transaction then costs as many round trips as it has questions.
    pipeline: true,
  };
  const durable = new pg.Pool({
    ...common,
    max: Math.max(1, settings.connectionsMax - RELAXED_CONNECTIONS),
    options: PLANNER_OPTIONS,
    application_name: "sluice",
  });
  const relaxed = new pg.Pool({
    ...common,
    max: RELAXED_CONNECTIONS,
    options: `${PLANNER_OPTIONS} -c synchronous_commit=off`,
    application_name: "sluice-relaxed",
  });
  for (const pool of [durable, relaxed]) {
    // An idle connection that the server ends emits `error`; without a listener that would end the process.
    pool.on("error", (error) => {
      log.warn("postgres.connection_lost", { message: error.message });
    });
    // Between a connection's first answer and whoever waits for it, pg-pool 3.14 leaves it without a listener for one turn: a server that
    // ends it in the same breath would end the process. The statement that follows is refused, and says so.
    pool.on("connect", (client) => {
      client.on("error", () => undefined);
    });
  }
  return {
    durable,
    relaxed,
    close: async () => {
      await Promise.all([durable.end(), relaxed.end()]);
    },
  };
}

/** A statement with a name is prepared once a connection. Rows come as arrays, columns as text unless said otherwise. */
export async function run(
  client: pg.PoolClient | pg.Pool,
  name: string,
  text: string,
  values: readonly unknown[],
): Promise<readonly (readonly (string | null)[])[]> {
  holdTogether(client);
  const result = await client.query<(string | null)[]>({
    name,
    text,
    values: values as unknown[], // pg's type wants a mutable array, and doesn't change it
    rowMode: "array",
    types: { getTypeParser: () => (value: string) => value },
  });
  return result.rows;
}

const RETRYABLE = new Set(["40001", "40P01"]);
const TRANSACTION_TRIES = 5;

/** Told around the COMMIT of a transaction, for tests of kills. */
export interface CommitPoints {
  /** All statements were sent. */
  readonly before: (result: unknown) => void;
  /** The COMMIT is with the system; its answer was not read. */
  readonly sent: (result: unknown) => void;
}

/**
 * Runs `work` in one transaction; serialization failures and deadlocks are tried again, at most five times.
 * @throws CommitUnknownError when the connection broke at COMMIT; DependencyError when PostgreSQL is away; else what `work` threw.
 */
export async function transaction<Result>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<Result>,
  onCommitUnknown?: (result: Result) => Promise<Result | null>,
  points?: CommitPoints,
): Promise<Result> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await tryTransaction(pool, work, points);
    } catch (error) {
      if (error instanceof CommitUnknownWith && onCommitUnknown !== undefined) {
        const known = await untilAnswered(() => onCommitUnknown(error.result as Result)); // the class below can't be generic over what it carries
        if (known !== null) return known;
      } else if (!isRetryable(error) || attempt >= TRANSACTION_TRIES) {
        throw error;
      }
    }
  }
}

const ASK_AGAIN_MS = 200;

/**
 * Whether a transaction stands must be known before anything else is decided: taken for undone, its intents would stay with a living
 * session and nobody would call. So this asks until PostgreSQL answers.
 */
async function untilAnswered<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!isConnectionTrouble(error)) throw error;
      // Serial: one question at a time.
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
    }
  }
}

class CommitUnknownWith extends CommitUnknownError {
  readonly result: unknown;
  constructor(result: unknown, cause: unknown) {
    super("postgres", "the connection broke at COMMIT", cause);
    this.result = result;
  }
}

const corked = new WeakSet<object>();

/** What is sent to a connection in one turn of the event loop leaves in one write: a system call costs more than copying some statements. */
function holdTogether(client: pg.PoolClient | pg.Pool): void {
  const stream = "connection" in client ? streamOf(client.connection) : null;
  if (stream === null || corked.has(stream)) return;
  corked.add(stream);
  stream.cork();
  process.nextTick(() => {
    corked.delete(stream);
    stream.uncork();
  });
}

/** pg's connection keeps its socket under this name, which its types leave out (pg 8.23, lib/connection.js). Null: send as it comes. */
function streamOf(connection: unknown): Duplex | null {
  const stream = (connection as { stream?: unknown } | null)?.stream;
  return stream instanceof Duplex ? stream : null;
}

/** Statements in the air that nobody waits for yet, by connection; there only while a transaction is open on it. */
const unawaited = new WeakMap<pg.PoolClient, Promise<unknown>[]>();

/**
 * Sends a statement of a transaction whose rows nobody needs, without waiting. The transaction's end waits for it: when it fails, all of
 * it is rolled back and `transaction` throws its error.
 */
export function send(client: pg.PoolClient, name: string, text: string, values: readonly unknown[]): void {
  void sendAndCount(client, name, text, values);
}

/** The same. @returns how many rows it gives, for whoever looks after the transaction's end. */
export function sendAndCount(
  client: pg.PoolClient,
  name: string,
  text: string,
  values: readonly unknown[],
): Promise<number> {
  const sent = unawaited.get(client);
  if (sent === undefined) throw new Error("InvariantError: a statement was sent outside a transaction");
  const answered = run(client, name, text, values);
  answered.catch(() => undefined); // looked at by the transaction's end, which may come later than the refusal
  sent.push(answered);
  const counted = answered.then((rows) => rows.length);
  counted.catch(() => undefined); // the same
  return counted;
}

async function tryTransaction<Result>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<Result>,
  points: CommitPoints | undefined,
): Promise<Result> {
  const client = await connect(pool);
  let broken: Error | null = null;
  // While a client is checked out its own `error` event has no other listener.
  const onError = (error: Error): void => {
    broken = error;
  };
  client.on("error", onError);
  const sent: Promise<unknown>[] = [];
  try {
    holdTogether(client);
    const begun = client.query("BEGIN");
    begun.catch(() => undefined);
    sent.push(begun);
    unawaited.set(client, sent);
    const result = await work(client);
    points?.before(result);
    await commit(client, sent, result, points);
    return result;
  } catch (thrown) {
    const error = await firstRefusal(thrown, sent);
    if (!isConnectionTrouble(error))
      await client.query("ROLLBACK").catch((rollback: unknown) => {
        broken = asError(rollback);
      });
    else broken = asError(error);
    throw isConnectionTrouble(error) && !(error instanceof DependencyError)
      ? new DependencyError("postgres", "PostgreSQL went away in a transaction; it is tried again", error)
      : error;
  } finally {
    unawaited.delete(client);
    client.off("error", onError);
    client.release(broken ?? undefined);
  }
}

/** A statement behind one that nobody waited for and that was refused. Source: PostgreSQL 18 documentation, appendix A. */
const IN_FAILED_TRANSACTION = "25P02";

/** Why the transaction was refused: a statement that says only that it is may stand behind the one that nobody waited for. */
async function firstRefusal(error: unknown, sent: readonly Promise<unknown>[]): Promise<unknown> {
  if (!(error instanceof pg.DatabaseError) || error.code !== IN_FAILED_TRANSACTION) return error;
  for (const answer of sent) {
    // Serial: in the order of the answers, all of which are there by now.
    const refused = await answer.then(
      () => null,
      (refusal: unknown) => ({ refusal }),
    );
    if (refused !== null) return refused.refusal;
  }
  return error;
}

/**
 * COMMIT goes out right behind the statements that nobody waited for. If one of those was refused, PostgreSQL answers the COMMIT with a
 * rollback, so the refusal is what is thrown; without an answer to the COMMIT nobody knows, whatever became of the others.
 */
async function commit(
  client: pg.PoolClient,
  sent: readonly Promise<unknown>[],
  result: unknown,
  points: CommitPoints | undefined,
): Promise<void> {
  holdTogether(client);
  const committed = client.query("COMMIT");
  if (points !== undefined) process.nextTick(points.sent, result); // behind the turn's one write
  const outcomes = await Promise.allSettled([...sent, committed]);
  const refusals = outcomes.flatMap((outcome): unknown[] => (outcome.status === "rejected" ? [outcome.reason] : []));
  const refusal = refusals.find((error) => error instanceof pg.DatabaseError && !isConnectionTrouble(error));
  if (refusal !== undefined) throw asError(refusal);
  const [answer] = outcomes.slice(-1);
  if (answer?.status === "rejected") throw new CommitUnknownWith(result, answer.reason);
  // An answer to the COMMIT after a statement was given up (no room, out of time) is a rollback: nothing of it stands.
  if (refusals.length > 0) throw asError(refusals[0]);
  if ((await committed).command !== "COMMIT")
    throw new Error("InvariantError: PostgreSQL rolled back a transaction none of whose statements it refused");
}

async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    throw new DependencyError("postgres", "no connection to PostgreSQL; check postgres.url and that it runs", error);
  }
}

function isRetryable(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code !== undefined && RETRYABLE.has(error.code);
}

/**
 * What waiting mends, and no record is to blame for: the connection (08), no room or connections left (53), the server going down or a
 * statement given up (57), a lock not had in time (55P03), an idle transaction ended (25P03), trouble with its files (58).
 * Source: PostgreSQL 18 documentation, appendix A.
 */
const MENDABLE_STATES = /^(?:08|53|57|58)|^(?:55P03|25P03)$/;

/** pg's own words for a connection that is gone or does not answer; it gives them no code (pg 8.23, lib/client.js, and pg-pool). */
const CONNECTION_WORDS =
  /Connection terminated|is not queryable|Query read timeout|timeout expired|timeout exceeded when trying to connect/;

/** Whether PostgreSQL is to blame and not what was asked of it. A refusal taken for trouble would be repeated for ever. */
export function isConnectionTrouble(error: unknown): boolean {
  if (error instanceof DependencyError) return true;
  if (error instanceof pg.DatabaseError) return error.code !== undefined && MENDABLE_STATES.test(error.code);
  const code = (error as { code?: unknown } | null)?.code; // Node's socket errors carry a string code
  if (typeof code === "string" && /^E[A-Z]+$/.test(code)) return true;
  return error instanceof Error && CONNECTION_WORDS.test(error.message);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
