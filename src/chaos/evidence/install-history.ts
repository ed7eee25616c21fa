import type pg from "pg";

/**
 * Lets the database itself write down each change of a state, in a table of its own, so that checkers see the way of a row and not only its
 * end. Installed in the run's database after the migrations and before the first router; the gateway knows nothing of it.
 *
 * What PostgreSQL forgets at a crash is exactly what the gateway's transaction loses too: the row is written by the same one.
 */
export async function installHistory(client: pg.ClientBase): Promise<void> {
  await client.query(TABLE);
  for (const [table, session] of SESSIONS) {
    await client.query(noteFunction(table, session));
    await client.query(
      `CREATE TRIGGER chaos_note_${table} AFTER INSERT OR UPDATE OF state ON ${table} FOR EACH ROW EXECUTE FUNCTION chaos_note_${table}()`,
    );
  }
}

const TABLE = `CREATE TABLE chaos_history (
  seq bigint GENERATED ALWAYS AS IDENTITY,
  about text NOT NULL,
  no bigint NOT NULL,
  from_state text,
  to_state text NOT NULL,
  session_no bigint,
  transaction bigint NOT NULL,
  at timestamptz NOT NULL
)`;

/** The tables with a state, and where a row says which session holds it. */
const SESSIONS = [
  ["jobs", "NULL::bigint"],
  ["executions", "NEW.session_no"],
  ["attempts", "NEW.session_no"],
  ["batches", "NEW.session_no"],
] as const;

function noteFunction(table: string, session: string): string {
  return `CREATE FUNCTION chaos_note_${table}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO chaos_history (about, no, from_state, to_state, session_no, transaction, at)
      VALUES ('${table}', NEW.no, NULL, NEW.state, ${session}, txid_current(), clock_timestamp());
  ELSIF OLD.state <> NEW.state THEN
    INSERT INTO chaos_history (about, no, from_state, to_state, session_no, transaction, at)
      VALUES ('${table}', NEW.no, OLD.state, NEW.state, ${session}, txid_current(), clock_timestamp());
  END IF;
  RETURN NULL;
END $$`;
}
