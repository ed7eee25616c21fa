import { crc32 } from "node:zlib";
import { RecordBytes } from "./result-splitter.js";
import type { ResultRecord, ResultSplitter } from "./result-splitter.js";

/**
 * Elements of one list inside a large JSON document, cut out while it streams in; what stands around them (`skeleton`) is kept with the list
 * empty. Only brackets, quotes and keys are looked at: each element is parsed by whoever gets it.
 */

/** What becomes of a list: its elements are records, or they are left out. Null: it is part of the skeleton. */
export type ListRole = "records" | "left_out" | null;

export interface ElementSplitterOptions {
  readonly elementBytesMax: number;
  /** A longer skeleton is given up: `skeleton` is null. */
  readonly skeletonBytesMax: number;
  /** @param name the member that holds the list. @param parent the member that holds the object around it; empty when there is none. */
  readonly roleOf: (name: string, parent: string) => ListRole;
}

interface Frame {
  /** The member that holds this object or list; empty in a list. */
  readonly name: string;
  readonly isObject: boolean;
  /** The member being read; only in an object. */
  key: string;
  expectsKey: boolean;
}

type Event = "list_opened" | "element_ended" | "list_closed" | null;

const QUOTE = 34;
const COMMA = 44;
const COLON = 58;
const OPEN_BRACKET = 91;
const BACKSLASH = 92;
const CLOSE_BRACKET = 93;
const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;
/** No member that is looked for has a longer name. */
const KEY_CHARACTERS_MAX = 64;

/** A document whose list of records stands in two places gives the first one that is not empty. */
export class ElementSplitter implements ResultSplitter {
  readonly #options: ElementSplitterOptions;
  readonly #frames: Frame[] = [];
  readonly #element: RecordBytes;
  readonly #skeleton: RecordBytes;
  #quoted: "no" | "yes" | "escaped" = "no";
  #key: string | null = null;
  #role: ListRole = null;
  /** Open brackets of the element. */
  #depth = 0;
  #began = false;
  #lists = 0;
  #number = 0;
  #start = 0;
  #at = 0;
  #checksum = 0;

  constructor(options: ElementSplitterOptions) {
    this.#options = options;
    this.#element = new RecordBytes(options.elementBytesMax);
    this.#skeleton = new RecordBytes(options.skeletonBytesMax);
  }

  /** Whether a list of records was there, be it an empty one. */
  get sawList(): boolean {
    return this.#lists > 0;
  }

  push(chunk: Buffer): readonly ResultRecord[] {
    const records: ResultRecord[] = [];
    let from = 0;
    let counted = 0;
    const count = (end: number): void => {
      this.#checksum = crc32(chunk.subarray(counted, end), this.#checksum);
      this.#at += end - counted;
      counted = end;
    };
    for (let at = 0; at < chunk.length; at += 1) {
      const event = this.#step(chunk[at] ?? 0);
      if (event === null) continue;
      const end = event === "list_closed" ? at : at + 1;
      this.#keep(chunk.subarray(from, event === "element_ended" ? at : end), event);
      from = end;
      count(at + 1);
      if (event !== "list_opened") this.#pushRecord(records, true);
      else this.#start = this.#at;
      if (event === "list_closed") this.#role = null;
    }
    this.#keep(chunk.subarray(from), null);
    count(chunk.length);
    return records;
  }

  /** A document that did not close is cut, wherever that happened. */
  end(): readonly ResultRecord[] {
    if (this.#began && this.#frames.length === 0 && this.#role === null) return [];
    const records: ResultRecord[] = [];
    this.#pushRecord(records, false);
    return records;
  }

  /** The document without the elements; null when it is longer than allowed. */
  skeleton(): string | null {
    return this.#skeleton.take().bytes?.toString("utf8") ?? null;
  }

  #keep(bytes: Buffer, event: Event): void {
    // The opening bracket itself is of the skeleton, though the list has begun with it.
    if (this.#role === null || event === "list_opened") this.#skeleton.add(bytes);
    else if (this.#role === "records") this.#element.add(bytes);
  }

  #pushRecord(records: ResultRecord[], whole: boolean): void {
    const start = this.#start;
    this.#start = this.#at;
    if (this.#role !== "records" && whole) return;
    const { bytes, head } = this.#element.take();
    if (whole && bytes !== null && bytes.every((byte) => byte <= 32)) return;
    this.#number += 1;
    records.push({ bytes, head, number: this.#number, start, end: this.#at, checksum: this.#checksum, whole });
  }

  #step(byte: number): Event {
    if (this.#quoted !== "no") {
      this.#stepInString(byte);
      return null;
    }
    if (byte === QUOTE) {
      this.#quoted = "yes";
      this.#key = this.#frames.at(-1)?.expectsKey === true && this.#role === null ? "" : null;
      return null;
    }
    return this.#role === null ? this.#stepOutside(byte) : this.#stepInList(byte);
  }

  #stepInString(byte: number): void {
    if (this.#quoted === "escaped") this.#quoted = "yes";
    else if (byte === BACKSLASH) this.#quoted = "escaped";
    else if (byte === QUOTE) {
      this.#quoted = "no";
      const frame = this.#frames.at(-1);
      if (this.#key !== null && frame !== undefined) frame.key = this.#key;
      this.#key = null;
      return;
    }
    if (this.#key !== null && this.#key.length < KEY_CHARACTERS_MAX) this.#key += String.fromCharCode(byte);
  }

  #stepInList(byte: number): Event {
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) this.#depth += 1;
    else if (byte === COMMA && this.#depth === 0) return "element_ended";
    else if (byte === CLOSE_BRACKET && this.#depth === 0) return "list_closed";
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) this.#depth -= 1;
    return null;
  }

  #stepOutside(byte: number): Event {
    const frame = this.#frames.at(-1);
    if (byte === COLON && frame !== undefined) frame.expectsKey = false;
    else if (byte === COMMA && frame?.isObject === true) frame.expectsKey = true;
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) this.#frames.pop();
    else if (byte === OPEN_BRACE) this.#open(frame, true);
    else if (byte === OPEN_BRACKET) return this.#openList(frame);
    return null;
  }

  #openList(frame: Frame | undefined): Event {
    const role = frame?.isObject === true ? this.#options.roleOf(frame.key, frame.name) : null;
    if (role === null) {
      this.#open(frame, false);
      return null;
    }
    if (role === "records") this.#lists += 1;
    this.#role = role === "records" && this.#number > 0 ? "left_out" : role;
    this.#depth = 0;
    return "list_opened";
  }

  #open(frame: Frame | undefined, isObject: boolean): void {
    this.#began = true;
    const name = frame?.isObject === true ? frame.key : "";
    this.#frames.push({ name, isObject, key: "", expectsKey: isObject });
  }
}
