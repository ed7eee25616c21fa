import { closeSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";

/**
 * The attempts of which a byte may have left, each noted before its first one: eight bytes (little-endian) in a file of the session. Beside
 * it lies a Unix socket on which the process listens and never accepts: a connection to it is refused exactly when the process is over, also
 * when it was only stopped, or lives in another container of this machine. The file counts only on the machine and since the start at which
 * it was written (`bootId`): what the kernel had not brought to the disk is lost with the machine, and a folder that machines share is no
 * proof on another.
 */
export class SendsFile {
  readonly #path: string;
  readonly #start: Buffer;
  readonly #server: Server;
  readonly #note = Buffer.allocUnsafe(NOTE_BYTES);
  #file: number;
  /** Noted, and without an outcome in the ledger. */
  readonly #open = new Set<number>();
  #notes = 0;
  #withdrawn = false;

  /** @throws when the socket or the file can't be made: then nothing was proved. */
  static async create(paths: SendsPaths, head: SendsHead): Promise<SendsFile> {
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(paths.alive, resolve);
    });
    server.unref();
    return new SendsFile(paths.sends, Buffer.from(`${MAGIC} ${JSON.stringify(head)}\n`), server);
  }

  private constructor(path: string, start: Buffer, server: Server) {
    this.#path = path;
    this.#start = start;
    this.#server = server;
    this.#file = openSync(path, "wx", 0o600);
    writeSync(this.#file, start);
  }

  /** @returns false when the note failed and the file stands as a proof. */
  add(attemptNo: number): boolean {
    if (this.#withdrawn) return true;
    try {
      this.#open.add(attemptNo);
      if (this.#notes < NOTES_MAX) this.#write(this.#file, [attemptNo]);
      else this.#renew();
      return true;
    } catch {
      return this.#withdraw();
    }
  }

  /** The ledger has its outcome. */
  done(attemptNo: number): void {
    this.#open.delete(attemptNo);
  }

  /** The process says that it is over: what it left undone was settled in order. */
  close(): void {
    closeSync(this.#file);
    rmSync(this.#path, { force: true });
    this.#server.close(); // removes the socket
  }

  #write(file: number, attempts: Iterable<number>): void {
    for (const no of attempts) {
      this.#note.writeBigUInt64LE(BigInt(no));
      if (writeSync(file, this.#note) !== NOTE_BYTES) throw new Error("a note was cut short");
      this.#notes += 1;
    }
  }

  /** Those with an outcome need no note any more. */
  #renew(): void {
    const path = `${this.#path}.new`;
    rmSync(path, { force: true });
    const file = openSync(path, "wx", 0o600);
    writeSync(file, this.#start);
    this.#notes = 0;
    this.#write(file, this.#open);
    renameSync(path, this.#path);
    closeSync(this.#file);
    this.#file = file;
  }

  /** A file with a note missing would prove what is not so. */
  #withdraw(): boolean {
    try {
      rmSync(this.#path, { force: true });
      this.#withdrawn = true;
    } catch {
      // Neither noted nor withdrawn.
    }
    return this.#withdrawn;
  }
}

export interface SendsPaths {
  readonly sends: string;
  /** Of the socket; at most 107 bytes long (Linux, unix(7)). */
  readonly alive: string;
}

export interface SendsHead {
  readonly session: number;
  readonly stamp: string;
  readonly bootId: string;
}

const MAGIC = "sluice-sends 1";
const NOTE_BYTES = 8;
/** Some days of an idle router, some minutes of a busy one; then the file is written anew with what is still open. */
const NOTES_MAX = 131_072;

export type FoundSends =
  | { readonly kind: "ended"; readonly head: SendsHead; readonly sent: ReadonlySet<number> }
  | { readonly kind: "alive" }
  | { readonly kind: "no_proof" };

/** `ended`: the process that wrote it is proved to be over, on this machine since its last start. @throws when it can't be read. */
export async function readSends(paths: SendsPaths, bootId: string): Promise<FoundSends> {
  const state = await stateOf(paths.alive);
  if (state !== "over") return { kind: state };
  const file = readFileSync(paths.sends);
  const end = file.indexOf("\n");
  if (end < 0 || !file.subarray(0, end).toString().startsWith(`${MAGIC} `)) return { kind: "no_proof" };
  const head = JSON.parse(file.subarray(MAGIC.length + 1, end).toString()) as SendsHead; // written by `create`, before anything else
  if (head.bootId !== bootId) return { kind: "no_proof" };
  const sent = new Set<number>();
  // Of a note that was cut off the byte did not leave.
  for (let at = end + 1; at + NOTE_BYTES <= file.length; at += NOTE_BYTES) sent.add(Number(file.readBigUInt64LE(at)));
  return { kind: "ended", head, sent };
}

/** A connection is refused when nobody listens on a socket that is there. Without a socket nothing is known. */
function stateOf(alive: string): Promise<"over" | "alive" | "no_proof"> {
  return new Promise((resolve) => {
    const socket = connect(alive);
    socket.once("connect", () => {
      socket.destroy();
      resolve("alive");
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      resolve(error.code === "ECONNREFUSED" ? "over" : "no_proof");
    });
  });
}
