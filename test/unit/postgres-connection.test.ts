import { afterEach, describe, expect, test } from "@jest/globals";
import {
  createPools,
  isConnectionTrouble,
  run,
  send,
  transaction,
  type Pools,
} from "../../src/adapters/postgres/connection.js";
import { DyingPostgres, type DyingPostgresOptions } from "../support/dying-postgres.js";
import { SeededRandom } from "../support/simulation/seeded-random.js";

let server: DyingPostgres | null = null;
let pools: Pools | null = null;
afterEach(async () => {
  await pools?.close();
  await server?.close();
  server = null;
  pools = null;
});

async function open(options: DyingPostgresOptions): Promise<{ readonly server: DyingPostgres; readonly pools: Pools }> {
  server = await DyingPostgres.open(options);
  pools = createPools(
    { url: server.url, connectionsMax: 8, connectionTimeoutMs: 5000, statementTimeoutMs: 20_000 },
    { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
  );
  return { server, pools };
}

/** "answered", or the error of PostgreSQL's absence. Whatever else is thrown is passed on. */
async function outcomeOf(work: Promise<unknown>): Promise<"answered" | "trouble"> {
  try {
    await work;
    return "answered";
  } catch (error) {
    if (isConnectionTrouble(error)) return "trouble";
    throw error;
  }
}

describe("a server that dies under its clients never ends the process: every statement is answered or refused as trouble", () => {
  test("in the same breath in which it says that it is ready", async () => {
    const { pools: both, server: dying } = await open({ diesAt: (message) => message === 0, random: () => 0 });
    const outcomes: string[] = [];
    for (let round = 0; round < 40; round += 1) {
      outcomes.push(await outcomeOf(run(both.relaxed, "one", "SELECT 1", [])));
      outcomes.push(await outcomeOf(transaction(both.durable, (client) => run(client, "two", "SELECT 2", []))));
    }
    expect(new Set(outcomes)).toEqual(new Set(["trouble"]));
    expect(dying.deaths).toBe(80);
  });

  test("anywhere in a statement or a transaction, 20 of them at once", async () => {
    const seeded = new SeededRandom(2);
    const random = (): number => seeded.next();
    const { pools: both, server: dying } = await open({ diesAt: () => random() < 0.02, random });
    const counts = { answered: 0, trouble: 0 };
    const work = async (client: number): Promise<void> => {
      for (let round = 0; round < 100; round += 1) {
        const done =
          client < 5
            ? run(both.relaxed, "one", "SELECT 1", [])
            : transaction(both.durable, async (connection) => {
                send(connection, "two", "SELECT 2", []);
                send(connection, "three", "SELECT 3", []);
                await run(connection, "four", "SELECT 4", []);
              });
        counts[await outcomeOf(done)] += 1;
      }
    };
    await Promise.all(Array.from({ length: 20 }, (_unused, client) => work(client)));
    expect(counts.answered + counts.trouble).toBe(2000);
    expect(counts.answered).toBeGreaterThan(200);
    expect(counts.trouble).toBeGreaterThan(100);
    expect(dying.deaths).toBeGreaterThan(100);
  });
});
