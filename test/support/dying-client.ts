import type { Duplex } from "node:stream";
import type pg from "pg";
import type { Pools } from "../../src/adapters/postgres/connection.js";

type Query = (...asked: unknown[]) => Promise<unknown>;
type Callback = (error: Error | null, result?: unknown) => void;

/**
 * A process that dies between two statements: PostgreSQL does the first `diesBehind` of them, then the connection is gone. Nobody hears the
 * last one's answer, and nothing that this process asks later leaves it.
 */
export class DyingClient {
  /** That PostgreSQL was asked, BEGIN and COMMIT among them. */
  statements = 0;
  readonly #diesBehind: number;
  readonly #died: Promise<void>;
  readonly #wrapped = new WeakSet<pg.PoolClient>();
  #die: () => void = () => undefined;

  /** @param diesBehind 0: before the first; Infinity: never, to count them. */
  constructor({ durable, relaxed }: Pools, diesBehind: number) {
    this.#diesBehind = diesBehind;
    this.#died = new Promise((resolve) => {
      this.#die = resolve;
    });
    if (diesBehind === 0) this.#die();
    for (const pool of [durable, relaxed])
      pool.on("acquire", (client) => {
        this.#wrap(client);
      });
  }

  #wrap(client: pg.PoolClient): void {
    if (this.#wrapped.has(client)) return;
    this.#wrapped.add(client);
    const query = client.query.bind(client) as Query;
    const asked = (...values: unknown[]): Promise<unknown> | undefined => {
      const last = values.at(-1);
      if (typeof last !== "function") return this.#ask(client, query, values);
      // pg's pool asks with a callback.
      const told = last as Callback;
      this.#ask(client, query, values.slice(0, -1)).then(
        (result) => {
          told(null, result);
        },
        (error: unknown) => {
          told(error as Error);
        },
      );
      return undefined;
    };
    Object.assign(client, { query: asked });
  }

  async #ask(client: pg.PoolClient, query: Query, values: readonly unknown[]): Promise<unknown> {
    if (this.statements >= this.#diesBehind) {
      await this.#died;
      throw new Error("the process dies here");
    }
    this.statements += 1;
    const isLast = this.statements === this.#diesBehind;
    const answer = await query(...values);
    if (!isLast) return answer;
    (client as unknown as { connection: { stream: Duplex } }).connection.stream.destroy(); // as src's connection.ts knows it
    this.#die();
    throw new Error("the process dies here");
  }
}
