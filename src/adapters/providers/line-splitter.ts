import { crc32 } from "node:zlib";
import { RecordBytes } from "./result-splitter.js";
import type { ResultRecord, ResultSplitter } from "./result-splitter.js";

const NEWLINE = 10;
const CARRIAGE_RETURN = 13;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/** Lines of a JSONL file. A byte order mark, blank lines and carriage returns before a line's end are no records. */
export class LineSplitter implements ResultSplitter {
  readonly #line: RecordBytes;
  #number = 0;
  #start = 0;
  #at = 0;
  #checksum = 0;

  /** @param lineBytesMax longer lines are reported without their bytes. */
  constructor(lineBytesMax: number) {
    this.#line = new RecordBytes(lineBytesMax);
  }

  push(chunk: Buffer): readonly ResultRecord[] {
    const records: ResultRecord[] = [];
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, from)) {
      this.#line.add(chunk.subarray(from, at));
      this.#count(chunk.subarray(from, at + 1));
      from = at + 1;
      const record = this.#record(true);
      if (record !== null) records.push(record);
    }
    this.#line.add(chunk.subarray(from));
    this.#count(chunk.subarray(from));
    return records;
  }

  end(): readonly ResultRecord[] {
    if (this.#line.length === 0) return [];
    const record = this.#record(false);
    return record === null ? [] : [record];
  }

  #count(bytes: Buffer): void {
    this.#at += bytes.length;
    this.#checksum = crc32(bytes, this.#checksum);
  }

  #record(whole: boolean): ResultRecord | null {
    const start = this.#start;
    this.#number += 1;
    this.#start = this.#at;
    const { bytes, head } = this.#line.take();
    const trimmed = bytes === null ? null : trimmedLine(bytes, start === 0);
    if (trimmed !== null && isBlank(trimmed)) return null;
    return { bytes: trimmed, head, number: this.#number, start, end: this.#at, checksum: this.#checksum, whole };
  }
}

function trimmedLine(line: Buffer, isFirst: boolean): Buffer {
  const start = isFirst && line.subarray(0, 3).equals(BYTE_ORDER_MARK) ? 3 : 0;
  const end = line[line.length - 1] === CARRIAGE_RETURN ? line.length - 1 : line.length;
  return line.subarray(start, end);
}

function isBlank(line: Buffer): boolean {
  return line.every((byte) => byte === 32 || byte === 9 || byte === CARRIAGE_RETURN);
}
