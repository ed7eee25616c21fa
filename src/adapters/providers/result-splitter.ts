/**
 * Cutting a part of a batch's results into records while it streams in. Any chunking of the same bytes gives the same records.
 */

/** One record of a part, as bytes. */
export interface ResultRecord {
  /** Null when it is longer than allowed; its length still counts in `end`. */
  readonly bytes: Buffer | null;
  /** The beginning of a record that is too long. */
  readonly head: Buffer | null;
  /** From 1; in a file of lines blank ones are counted. */
  readonly number: number;
  /** Of the part; `end` is one past what belongs to the record, its separator included. */
  readonly start: number;
  readonly end: number;
  /** CRC-32 of all bytes of the part before `end`. */
  readonly checksum: number;
  /** False: the part ended before the record did. */
  readonly whole: boolean;
}

export interface ResultSplitter {
  push(chunk: Buffer): readonly ResultRecord[];
  /** Once, when the part has come to its end. */
  end(): readonly ResultRecord[];
}

/** Enough to find the id of a record that is too long to be read. */
export const HEAD_BYTES = 4_096;

/** The bytes of one record, gathered from chunks; beyond the cap only the head is kept. */
export class RecordBytes {
  readonly #bytesMax: number;
  #pieces: Buffer[] = [];
  #length = 0;
  #head: Buffer | null = null;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get length(): number {
    return this.#length;
  }

  add(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#length += piece.length;
    if (this.#head !== null) return;
    this.#pieces.push(piece);
    if (this.#length <= this.#bytesMax) return;
    this.#head = Buffer.from(Buffer.concat(this.#pieces).subarray(0, HEAD_BYTES)); // a copy: the whole is let go
    this.#pieces = [];
  }

  /** What was gathered, and empty again. */
  take(): { readonly bytes: Buffer | null; readonly head: Buffer | null } {
    const [first] = this.#pieces;
    const bytes = this.#pieces.length === 1 && first !== undefined ? first : Buffer.concat(this.#pieces);
    const head = this.#head;
    this.#pieces = [];
    this.#length = 0;
    this.#head = null;
    return { bytes: head === null ? bytes : null, head };
  }
}
