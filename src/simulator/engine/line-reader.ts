import { isUtf8 } from "node:buffer";
import { closeSync, openSync, readSync } from "node:fs";

const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 10;

/**
 * Reads a file line by line, holding one chunk and the line at hand. Synchronous, since its users work in short turns and the bytes were
 * just written by this process. A line end is "\n"; a last line without one counts.
 */
export class LineReader {
  readonly #fd: number;
  readonly #chunk = Buffer.alloc(CHUNK_BYTES);
  #from = 0;
  #to = 0;
  #at: number;
  #ended = false;

  /** @param at the byte to begin at. */
  constructor(path: string, at = 0) {
    this.#fd = openSync(path, "r");
    this.#at = at;
  }

  /** The file's byte after the last line given. */
  get position(): number {
    return this.#at - (this.#to - this.#from);
  }

  /** The next line without its end; null at the end of the file. Bytes that are not UTF-8 give one replacement character. */
  next(): string | null {
    const pieces: Buffer[] = [];
    for (;;) {
      const end = this.#chunk.subarray(0, this.#to).indexOf(NEWLINE, this.#from);
      if (end >= 0) {
        const piece = this.#chunk.subarray(this.#from, end);
        this.#from = end + 1;
        return textOf(pieces, piece);
      }
      // The chunk is used again, so what is kept of it has to be copied.
      if (this.#from < this.#to) pieces.push(Buffer.from(this.#chunk.subarray(this.#from, this.#to)));
      if (!this.#fill()) return pieces.length === 0 ? null : textOf(pieces, null);
    }
  }

  /** Passes over so many lines. */
  skip(lines: number): void {
    for (let line = 0; line < lines && this.next() !== null; line += 1);
  }

  close(): void {
    if (!this.#ended) closeSync(this.#fd);
    this.#ended = true;
  }

  #fill(): boolean {
    this.#from = 0;
    this.#to = readSync(this.#fd, this.#chunk, 0, CHUNK_BYTES, this.#at);
    this.#at += this.#to;
    return this.#to > 0;
  }
}

function textOf(pieces: readonly Buffer[], last: Buffer | null): string {
  const bytes =
    pieces.length === 0 ? (last ?? Buffer.alloc(0)) : Buffer.concat(last === null ? pieces : [...pieces, last]);
  return isUtf8(bytes) ? bytes.toString("utf8") : "\u{fffd}";
}
