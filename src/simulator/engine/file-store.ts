/**
 * Files on disk, as callers upload them and as batches write them. Bytes come and go in pieces: no file is ever in memory.
 *
 * A file is two on disk, `<serial>.bytes` and `<serial>.json`; the second is renamed into place last, so a file either stands
 * whole or, after a kill, not at all (what is left of it is removed at the next start). An index of all files is in memory.
 */
import { createHash, type Hash } from "node:crypto";
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { ProviderName } from "./price-table.js";
import type { SimulatedClock } from "./simulated-clock.js";

export type StoredFile = {
  readonly provider: ProviderName;
  /** The account's label; ids are unique within provider and account. */
  readonly account: string;
  readonly id: string;
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
  /** Simulated milliseconds. */
  readonly createdMs: number;
  /** Simulated milliseconds; gone from then on. null = never. */
  readonly expiresMs: number | null;
  /** false: the engine's own, such as the requests of a batch that came inline; callers never see it. */
  readonly listed: boolean;
  /** The provider's own part (file name, purpose, type): JSON. */
  readonly details: Readonly<Record<string, unknown>>;
};

/** Bytes that are on disk and not yet a file. */
export type WrittenBytes = { readonly path: string; readonly bytes: number; readonly sha256: string };

type Entry = { readonly file: StoredFile; readonly serial: number };

function keyOf(provider: ProviderName, account: string, id: string): string {
  return `${provider}\n${account}\n${id}`;
}

/** Takes bytes piece by piece. Ends by `done` or by `abandon`. */
export class FileWriter {
  readonly #path: string;
  readonly #fd: number;
  readonly #hash: Hash = createHash("sha256");
  #bytes = 0;

  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, "w");
  }

  get bytes(): number {
    return this.#bytes;
  }

  write(piece: Buffer): void {
    this.#hash.update(piece);
    this.#bytes += piece.length;
    for (let written = 0; written < piece.length;) written += writeSync(this.#fd, piece, written);
  }

  done(): WrittenBytes {
    closeSync(this.#fd);
    return { path: this.#path, bytes: this.#bytes, sha256: this.#hash.digest("hex") };
  }

  abandon(): void {
    closeSync(this.#fd);
    rmSync(this.#path, { force: true });
  }
}

export class FileStore {
  readonly #folder: string;
  readonly #clock: SimulatedClock;
  readonly #entries = new Map<string, Entry>();
  #lastSerial = 0;

  /** Opens or creates the store; what a kill left unfinished is removed. */
  constructor(folder: string, clock: SimulatedClock) {
    this.#folder = folder;
    this.#clock = clock;
    mkdirSync(folder, { recursive: true });
    this.#readExisting();
  }

  writer(): FileWriter {
    this.#lastSerial += 1;
    return new FileWriter(join(this.#folder, `${String(this.#lastSerial)}.incoming`));
  }

  /**
   * Makes the bytes a file, created now.
   * @throws Error when the provider and account have a file of that id.
   */
  keep(written: WrittenBytes, meta: Omit<StoredFile, "bytes" | "sha256" | "createdMs">): StoredFile {
    const key = keyOf(meta.provider, meta.account, meta.id);
    if (this.find(meta.provider, meta.account, meta.id) !== null) throw new Error(`there is a file ${meta.id} already`);
    this.#lastSerial += 1;
    const serial = this.#lastSerial;
    const file: StoredFile = { ...meta, bytes: written.bytes, sha256: written.sha256, createdMs: this.#clock.now() };
    renameSync(written.path, this.#path(serial, "bytes"));
    writeFileSync(this.#path(serial, "new"), JSON.stringify(file));
    renameSync(this.#path(serial, "new"), this.#path(serial, "json"));
    this.#entries.set(key, { file, serial });
    return file;
  }

  /** Throws written bytes away. */
  discard(written: WrittenBytes): void {
    rmSync(written.path, { force: true });
  }

  /** null when there is none, or none any more. */
  find(provider: ProviderName, account: string, id: string): StoredFile | null {
    const entry = this.#entries.get(keyOf(provider, account, id));
    if (entry === undefined) return null;
    if (!this.#isGone(entry.file)) return entry.file;
    this.remove(entry.file);
    return null;
  }

  /** The files that callers may see, newest first. */
  list(provider: ProviderName, account: string): readonly StoredFile[] {
    return [...this.#entries.values()]
      .filter(
        ({ file }) => file.listed && file.provider === provider && file.account === account && !this.#isGone(file),
      )
      .sort((a, b) => b.file.createdMs - a.file.createdMs || b.serial - a.serial)
      .map(({ file }) => file);
  }

  /** Where its bytes are, for reading. */
  pathOf(file: StoredFile): string {
    const entry = this.#entries.get(keyOf(file.provider, file.account, file.id));
    if (entry === undefined) throw new Error(`expected the file ${file.id} to be there`);
    return this.#path(entry.serial, "bytes");
  }

  /** A reader that has the bytes open keeps them. */
  remove(file: StoredFile): void {
    const key = keyOf(file.provider, file.account, file.id);
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    rmSync(this.#path(entry.serial, "json"), { force: true });
    rmSync(this.#path(entry.serial, "bytes"), { force: true });
  }

  #isGone(file: StoredFile): boolean {
    return file.expiresMs !== null && file.expiresMs <= this.#clock.now();
  }

  #path(serial: number, ending: string): string {
    return join(this.#folder, `${String(serial)}.${ending}`);
  }

  #readExisting(): void {
    // What is not the store's own stays as it is.
    const names = readdirSync(this.#folder).filter((name) => /^\d+\.[a-z]+$/.test(name));
    const whole = new Set(names.filter((name) => name.endsWith(".json")).map((name) => Number.parseInt(name, 10)));
    for (const name of names) {
      const serial = Number.parseInt(name, 10);
      this.#lastSerial = Math.max(this.#lastSerial, serial);
      const isOfWhole = whole.has(serial) && (name.endsWith(".json") || name.endsWith(".bytes"));
      if (!isOfWhole) rmSync(join(this.#folder, name), { force: true });
    }
    for (const serial of whole) {
      // Written by `keep` of this or an earlier run: this is the parsing edge.
      const file = JSON.parse(readFileSync(this.#path(serial, "json"), "utf8")) as StoredFile;
      this.#entries.set(keyOf(file.provider, file.account, file.id), { file, serial });
    }
  }
}
