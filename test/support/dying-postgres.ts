import { createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** How a connection ends: with PostgreSQL's farewell or without, by an end of the stream or a reset. */
const ENDS = ["farewell, end", "farewell, reset", "farewell, reset later", "end", "reset"] as const;

export interface DyingPostgresOptions {
  /** Whether the connection ends instead of the answer to its n-th message (from 0: right behind the first "ready"). */
  readonly diesAt: (message: number) => boolean;
  /** In [0, 1). */
  readonly random: () => number;
}

/**
 * Speaks just enough of PostgreSQL's protocol (version 3.0) to serve statements without rows, and dies under its clients: a real server
 * that is killed can't be told to do so between two given bytes.
 */
export class DyingPostgres {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #deaths = 0;

  static async open(options: DyingPostgresOptions): Promise<DyingPostgres> {
    const opened = new DyingPostgres(options);
    await new Promise<void>((resolve) => opened.#server.listen(0, "127.0.0.1", resolve));
    return opened;
  }

  private constructor(options: DyingPostgresOptions) {
    this.#server = createServer({ noDelay: true }, (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket)).on("error", () => undefined);
      serve(socket, options, () => (this.#deaths += 1));
    });
  }

  get url(): string {
    return `postgres://user:secret@127.0.0.1:${String((this.#server.address() as AddressInfo).port)}/ledger`;
  }

  /** Connections that were ended under their clients. */
  get deaths(): number {
    return this.#deaths;
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

function serve(socket: Socket, { diesAt, random }: DyingPostgresOptions, onDeath: () => void): void {
  let unread = Buffer.alloc(0);
  let messages = -1; // the start-up message, which has no type
  let status = "I";
  const die = (before: Buffer): void => {
    onDeath();
    end(socket, before, ENDS[Math.floor(random() * ENDS.length)] ?? "end");
  };
  socket.on("data", (chunk) => {
    unread = Buffer.concat([unread, chunk]);
    for (let head = messages < 0 ? 0 : 1; unread.length >= head + 4; head = 1) {
      const size = head + unread.readInt32BE(head);
      if (unread.length < size || socket.writableEnded) return;
      const type = head === 0 ? "start-up" : String.fromCharCode(unread.readUInt8(0));
      const text = unread.toString("utf8", head + 4, size - 1);
      unread = unread.subarray(size);
      messages += 1;
      if (type === "Q") status = text === "BEGIN" ? "T" : "I";
      const answer = answerTo(type, text, status);
      if (type === "X") socket.end();
      else if (!diesAt(messages)) socket.write(answer);
      else {
        die(messages === 0 ? answer : Buffer.alloc(0));
        return;
      }
    }
  });
}

function answerTo(type: string, text: string, status: string): Buffer {
  const ready = message("Z", status);
  if (type === "start-up") return Buffer.concat([message("R", "\0\0\0\0"), message("K", "\0".repeat(8)), ready]);
  if (type === "Q") return Buffer.concat([message("C", `${text}\0`), ready]);
  if (type === "P") return message("1", "");
  if (type === "B") return message("2", "");
  if (type === "D") return message("n", "");
  if (type === "E") return message("C", "SELECT 0\0");
  return type === "S" ? ready : Buffer.alloc(0);
}

function message(type: string, body: string): Buffer {
  const bytes = Buffer.alloc(5 + body.length);
  bytes.write(type);
  bytes.writeInt32BE(4 + body.length, 1);
  bytes.write(body, 5);
  return bytes;
}

/** As PostgreSQL 18 words it when its postmaster was killed. */
const FAREWELL = message("E", "SFATAL\0VFATAL\0C57P01\0Mterminating connection due to unexpected postmaster exit\0\0");

function end(socket: Socket, before: Buffer, how: (typeof ENDS)[number]): void {
  const last = how.startsWith("farewell") ? Buffer.concat([before, FAREWELL]) : before;
  if (how.endsWith("end")) socket.end(last);
  else if (how === "farewell, reset later") {
    socket.write(last);
    setTimeout(() => socket.resetAndDestroy(), 10);
  } else socket.write(last, () => socket.resetAndDestroy());
}
