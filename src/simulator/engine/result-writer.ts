import type { BatchFault } from "./batch-faults.js";
import type { FileStore, FileWriter, StoredFile } from "./file-store.js";

type Damage = Extract<BatchFault, { kind: "batch_file_damaged" }>["how"];

const BOM = "\u{feff}";
const BUFFERED_BYTES = 64 * 1024;
const BLANK_AFTER_LINES = 3;

/** Writes a file of result lines, damaged if told so. The file is made with its first line. */
export class ResultWriter {
  readonly #store: FileStore;
  readonly #damage: Damage | null;
  #writer: FileWriter | null = null;
  #pending: string[] = [];
  #pendingBytes = 0;
  #lines = 0;

  constructor(store: FileStore, damage: Damage | null) {
    this.#store = store;
    this.#damage = damage;
  }

  write(line: string): void {
    this.#lines += 1;
    for (const piece of this.#damaged(line)) this.#push(piece);
  }

  /** Makes the file; null when there was no line. */
  done(meta: Omit<StoredFile, "bytes" | "sha256" | "createdMs">): StoredFile | null {
    if (this.#damage === "cut") this.#cut();
    this.#flush();
    return this.#writer === null ? null : this.#store.keep(this.#writer.done(), meta);
  }

  abandon(): void {
    this.#writer?.abandon();
    this.#pending = [];
  }

  #damaged(line: string): readonly string[] {
    const isFirst = this.#lines === 1;
    switch (this.#damage) {
      case "bom":
        return [isFirst ? `${BOM}${line}\n` : `${line}\n`];
      case "crlf":
        return [`${line}\r\n`];
      case "blank_lines":
        return this.#lines % BLANK_AFTER_LINES === 1 ? [`${line}\n`, "\n"] : [`${line}\n`];
      case "nul":
        return isFirst ? [`${line}\n`, "\0\0\0\0\n"] : [`${line}\n`];
      case "bad_line":
        return isFirst ? [`${line}\n`, `${line.slice(0, Math.ceil(line.length / 2))}\n`] : [`${line}\n`];
      case "cut":
      case null:
        return [`${line}\n`];
    }
  }

  /** The last line stays half. */
  #cut(): void {
    const last = this.#pending.pop();
    if (last !== undefined) this.#pending.push(last.slice(0, Math.ceil(last.length / 2)));
  }

  #push(piece: string): void {
    // The last piece stays behind, so that it can still be cut.
    if (this.#pendingBytes >= BUFFERED_BYTES) this.#flush();
    this.#pending.push(piece);
    this.#pendingBytes += Buffer.byteLength(piece);
  }

  #flush(): void {
    if (this.#pending.length === 0) return;
    this.#writer ??= this.#store.writer();
    this.#writer.write(Buffer.from(this.#pending.join("")));
    this.#pending = [];
    this.#pendingBytes = 0;
  }
}
