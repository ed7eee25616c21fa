import { isUtf8 } from "node:buffer";
import type { ResultsCursor } from "../../domain/batch/provider-batch.js";
import type { BatchCallFailure, LineOutcome, MalformedLine, ResultItem } from "../../ports/batch-provider.js";
import { textAtHead } from "./cut-member.js";
import type { IncomingBody } from "./incoming-body.js";
import { HEAD_BYTES } from "./result-splitter.js";
import type { ResultRecord, ResultSplitter } from "./result-splitter.js";

/**
 * The results of a batch as items, part after part, from a cursor on. A part is always fetched from its beginning: no provider documents
 * ranges, and one may write its results in another order each time. What lies before the cursor is checked by its CRC and passed over.
 */

/** Where the parts come from. */
export interface ResultSource {
  readonly partCount: number;
  open(part: number): Promise<OpenPart>;
  /** The outcome of a line that is longer than allowed. */
  readonly tooLong: LineOutcome;
}

export type OpenPart =
  | {
      readonly kind: "open";
      readonly body: IncomingBody;
      readonly reading: PartReading;
      /** What the break-off of this body means. */
      readonly failure: () => BatchCallFailure;
    }
  /** The provider has the part no more. */
  | { readonly kind: "gone"; readonly failure: BatchCallFailure }
  | { readonly kind: "broken"; readonly failure: BatchCallFailure };

/** How the records of a part are read. */
export interface PartReading {
  readonly splitter: ResultSplitter;
  readRecord(text: string): ReadRecord;
  /** Where a record's id stands in it, for one that can't be read whole. */
  readonly idPath: readonly string[];
}

export type ReadRecord =
  | { readonly kind: "line"; readonly customId: string; readonly outcome: LineOutcome }
  | { readonly kind: "not_json" | "no_id" };

/** What one part came to. */
type PartEnd = { readonly kind: "read"; readonly cursor: ResultsCursor | null } | { readonly kind: "stopped" };

export async function* readResults(
  source: ResultSource,
  from: ResultsCursor | null,
): AsyncGenerator<ResultItem, void, undefined> {
  let cursor = from;
  for (let part = from?.part ?? 0; part < source.partCount; part += 1) {
    const ended = yield* readPart(source, part, cursor);
    if (ended.kind === "stopped") return;
    cursor = ended.cursor;
  }
  yield { kind: "end", cursor };
}

/** @param before where the parts before left off, or a place in this part. */
async function* readPart(
  source: ResultSource,
  part: number,
  before: ResultsCursor | null,
): AsyncGenerator<ResultItem, PartEnd, undefined> {
  const cursor = before?.part === part ? before : startOf(part);
  const opened = await source.open(part);
  if (opened.kind === "broken") {
    yield { kind: "broken", failure: opened.failure, cursor };
    return { kind: "stopped" };
  }
  if (opened.kind === "gone") {
    yield { kind: "gone", part, failure: opened.failure, cursor };
    return { kind: "read", cursor };
  }
  const place = new Place(cursor);
  try {
    for (let chunk = await opened.body.next(); chunk !== null; chunk = await opened.body.next()) {
      for (const record of opened.reading.splitter.push(chunk)) yield* itemsOf(opened.reading, source, place, record);
      if (place.isLost) break;
    }
    if (!place.isLost && opened.body.broken !== null) {
      yield { kind: "broken", failure: opened.failure(), cursor: place.cursor };
      return { kind: "stopped" };
    }
    for (const record of opened.reading.splitter.end()) yield* itemsOf(opened.reading, source, place, record);
  } finally {
    opened.body.cancel();
  }
  if (!place.isLost && !place.isPassingOver) return { kind: "read", cursor: place.cursor };
  yield { kind: "restarted", part };
  return yield* readPart(source, part, null);
}

/** How far the reading of a part has come, and whether what came up to the cursor is what was read before. */
class Place {
  cursor: ResultsCursor;
  #passOver: ResultsCursor | null;
  #isLost = false;

  constructor(cursor: ResultsCursor) {
    this.cursor = cursor;
    this.#passOver = cursor.byteOffset > 0 ? cursor : null;
  }

  get isPassingOver(): boolean {
    return this.#passOver !== null;
  }

  /** Other bytes than before stand in front of the cursor. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** Whether the record is new. */
  reach(record: ResultRecord): boolean {
    const until = this.#passOver;
    if (until === null) return !this.#isLost;
    if (record.end < until.byteOffset) return false;
    if (record.end === until.byteOffset && record.checksum === until.checksum) this.#passOver = null;
    else this.#isLost = true;
    return false;
  }

  after({ end, number, checksum }: ResultRecord): ResultsCursor {
    this.cursor = { part: this.cursor.part, byteOffset: end, lineNumber: number, checksum };
    return this.cursor;
  }
}

function startOf(part: number): ResultsCursor {
  return { part, byteOffset: 0, lineNumber: 0, checksum: 0 };
}

function* itemsOf(
  reading: PartReading,
  { tooLong }: ResultSource,
  place: Place,
  record: ResultRecord,
): Generator<ResultItem, void, undefined> {
  if (!place.reach(record)) return;
  const read = readBytes(reading, tooLong, record);
  if (read.kind === "line") {
    yield { kind: "line", customId: read.customId, outcome: read.outcome, cursor: place.after(record) };
    return;
  }
  const cut = !record.whole && read.kind === "not_json";
  yield {
    kind: "malformed",
    part: place.cursor.part,
    lineNumber: record.number,
    byteStart: record.start,
    byteEnd: record.end,
    because: cut ? "cut" : read.kind,
    customId: read.customId,
    // A cut line is read again from in front of it.
    cursor: cut ? place.cursor : place.after(record),
  };
}

type Malformed = { readonly kind: Exclude<MalformedLine["because"], "cut">; readonly customId: string | null };

function readBytes(
  reading: PartReading,
  tooLong: LineOutcome,
  { bytes, head }: ResultRecord,
): Extract<ReadRecord, { kind: "line" }> | Malformed {
  // Ids are ASCII, so a text that is damaged as UTF-8 may still show one.
  const idIn = (start: Buffer): string | null => textAtHead(start.toString("latin1"), reading.idPath);
  if (bytes === null) {
    const customId = head === null ? null : idIn(head);
    return customId === null ? { kind: "too_long", customId } : { kind: "line", customId, outcome: tooLong };
  }
  if (!isUtf8(bytes)) return { kind: "not_utf8", customId: idIn(bytes.subarray(0, HEAD_BYTES)) };
  const read = reading.readRecord(bytes.toString("utf8"));
  return read.kind === "line" ? read : { kind: read.kind, customId: idIn(bytes.subarray(0, HEAD_BYTES)) };
}
