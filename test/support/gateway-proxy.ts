import { createServer, connect, type AddressInfo, type Server, type Socket } from "node:net";

/** When to cut: as a COMMIT comes from the client, before it is passed on, or once the server has answered it. */
export type CutAt = "before_commit" | "after_commit";

/** `C`: CommandComplete; its tag is the command's name (PostgreSQL 18 documentation, "Message Formats"). */
const COMMIT_QUERY = Buffer.from("COMMIT\0");
const COMMIT_DONE = Buffer.from("C\0\0\0\x0bCOMMIT\0");

/** A TCP proxy before Postgres that cuts a connection at a COMMIT, as a broken network would. */
export class PostgresProxy {
  readonly #target: { readonly host: string; readonly port: number };
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #armed: { readonly at: CutAt; readonly marker: Buffer; left: number } | null = null;
  /** Connections cut so far. */
  cuts = 0;

  private constructor(target: { readonly host: string; readonly port: number }) {
    this.#target = target;
    this.#server = createServer((client) => {
      this.#serve(client);
    });
  }

  /** @returns the proxy, listening on the loopback address. */
  static async open(databaseUrl: string): Promise<PostgresProxy> {
    const url = new URL(databaseUrl);
    const proxy = new PostgresProxy({ host: url.hostname, port: Number(url.port) });
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  /** The database's URL with the proxy's address in it. */
  urlFor(databaseUrl: string): string {
    const url = new URL(databaseUrl);
    url.hostname = "127.0.0.1";
    url.port = String((this.#server.address() as AddressInfo).port); // it listens on TCP
    return url.href;
  }

  /** Cuts the next `count` connections at their COMMIT, of those that sent `marker` in the same transaction. */
  cutCommits(at: CutAt, marker: string, count: number): void {
    this.#armed = { at, marker: Buffer.from(marker), left: count };
  }

  get cutsLeft(): number {
    return this.#armed?.left ?? 0;
  }

  #serve(client: Socket): void {
    const server = connect(this.#target);
    let marked = false;
    const pair = [client, server];
    for (const socket of pair) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => {
        this.#cut(pair);
      });
      socket.on("close", () => {
        this.#cut(pair);
      });
    }
    client.on("data", (bytes: Buffer) => {
      const armed = this.#armed;
      if (armed !== null && armed.left > 0 && bytes.includes(armed.marker)) marked = true;
      const commits = bytes.includes(COMMIT_QUERY);
      if (marked && commits && this.#strikes("before_commit")) this.#strike(pair);
      else server.write(bytes);
    });
    server.on("data", (bytes: Buffer) => {
      const done = bytes.includes(COMMIT_DONE);
      if (marked && done && this.#strikes("after_commit")) this.#strike(pair);
      else client.write(bytes);
      if (done) marked = false;
    });
  }

  /** Two transactions may be marked at once, when only one more is to be cut. */
  #strikes(at: CutAt): boolean {
    return this.#armed !== null && this.#armed.at === at && this.#armed.left > 0;
  }

  #strike(pair: readonly Socket[]): void {
    this.cuts += 1;
    if (this.#armed !== null) this.#armed.left -= 1;
    this.#cut(pair);
  }

  #cut(pair: readonly Socket[]): void {
    for (const socket of pair) {
      this.#sockets.delete(socket);
      socket.destroy();
    }
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
  }
}
