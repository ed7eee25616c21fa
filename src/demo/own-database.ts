import pg from "pg";

/** A database made for one run on a server that others use too. */
export interface OwnDatabase {
  readonly url: string;
  readonly drop: () => Promise<void>;
}

/** @param name lower-case letters, digits and underscores only. @throws Error when the server refuses. */
export async function createOwnDatabase(serverUrl: string, name: string): Promise<OwnDatabase> {
  if (!/^[a-z][a-z0-9_]*$/.test(name)) throw new RangeError(`expected a plain database name, got ${name}`);
  await query(serverUrl, `CREATE DATABASE ${name}`);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return { url: url.toString(), drop: () => query(serverUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) };
}

async function query(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
