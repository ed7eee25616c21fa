import pg from "pg";

/** What PostgreSQL says of its promise that what is committed stays. */
export interface Durability {
  readonly fsync: string;
  readonly synchronousCommit: string;
  readonly fullPageWrites: string;
}

/** By the server's own names. */
const SETTINGS = {
  fsync: "fsync",
  synchronousCommit: "synchronous_commit",
  fullPageWrites: "full_page_writes",
} as const satisfies Record<keyof Durability, string>;

/**
 * Asks the database that a benchmark runs on: figures of one that may lose what it has committed are figures of something else.
 * @throws Error as `requireDurable`, and when the database can't be reached.
 */
export async function durabilityOf(databaseUrl: string): Promise<Durability> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const show = async (name: string): Promise<string> => {
      const { rows } = await client.query<Record<string, string>>(`SHOW ${name}`);
      return rows[0]?.[name] ?? "unknown";
    };
    // Serial: one connection answers in order.
    const found = {
      fsync: await show(SETTINGS.fsync),
      synchronousCommit: await show(SETTINGS.synchronousCommit),
      fullPageWrites: await show(SETTINGS.fullPageWrites),
    };
    requireDurable(found);
    return found;
  } finally {
    await client.end();
  }
}

/** @throws Error unless all three are on, naming those that are not. */
export function requireDurable(found: Durability): void {
  const wrong = Object.entries(SETTINGS).flatMap(([name, setting]) => {
    const value = found[name as keyof Durability]; // the keys of SETTINGS
    return value === "on" ? [] : [`${setting} = ${value}`];
  });
  if (wrong.length > 0)
    throw new Error(`expected a PostgreSQL that keeps what it has committed, found ${wrong.join(", ")}; set it to on`);
}
