/**
 * Splits a long JSON object into its members as its bytes come in, and one of them, a list, into its items: a batch of 256 MB
 * is never in memory as a whole, only one item at a time. Whether the pieces are JSON themselves is left to whoever parses them.
 */

export type Split =
  /** An item of the list, in order. */
  | { readonly kind: "item"; readonly bytes: Buffer }
  /** The list has ended; it may have been empty. */
  | { readonly kind: "list" }
  /** Another member, or one of the list's name that is no list. */
  | { readonly kind: "member"; readonly name: string };

/** The body is no JSON object, or a piece of it is longer than allowed. */
export class SplitError extends Error {}

/** What may come next between two pieces, or what the piece being read is. */
type Expected =
  | "object"
  | "name_or_end"
  | "next_name"
  | "name"
  | "colon"
  | "value"
  | "item_or_end"
  | "next_item"
  | "item"
  | "list_comma"
  | "comma_or_end"
  | "nothing";

const QUOTE = 34;
const COMMA = 44;
const COLON = 58;
const OPEN_LIST = 91;
const BACKSLASH = 92;
const CLOSE_LIST = 93;
const OPEN_OBJECT = 123;
const CLOSE_OBJECT = 125;

function isSpace(byte: number): boolean {
  return byte === 32 || byte === 10 || byte === 13 || byte === 9;
}

/** Finds the end of one JSON value, byte by byte. */
class ValueEnd {
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** Where, from `at` on, the next byte stands that is not just more text of a string; most of a long body is such text. */
  afterText(chunk: Buffer, at: number): number {
    if (!this.#inString || this.#escaped) return at;
    const quote = chunk.indexOf(QUOTE, at);
    const end = quote < 0 ? chunk.length : quote;
    const backslash = chunk.subarray(at, end).indexOf(BACKSLASH);
    return backslash < 0 ? end : at + backslash;
  }

  /** "last": the value ends with this byte; "before": it ended before it. */
  feed(byte: number): "inside" | "last" | "before" {
    if (this.#inString) return this.#feedString(byte);
    if (byte === QUOTE) {
      this.#inString = true;
    } else if (byte === OPEN_OBJECT || byte === OPEN_LIST) {
      this.#depth += 1;
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) {
      if (this.#depth === 0) return "before";
      this.#depth -= 1;
      return this.#depth === 0 ? "last" : "inside";
    } else if (this.#depth === 0 && (byte === COMMA || isSpace(byte))) return "before";
    return "inside";
  }

  #feedString(byte: number): "inside" | "last" {
    if (this.#escaped) this.#escaped = false;
    else if (byte === BACKSLASH) this.#escaped = true;
    else if (byte === QUOTE) {
      this.#inString = false;
      if (this.#depth === 0) return "last";
    }
    return "inside";
  }
}

export class MemberSplitter {
  readonly #listName: string;
  readonly #pieceBytesMax: number;
  readonly #tell: (split: Split) => void;
  #expected: Expected = "object";
  #name = "";
  #piece: ValueEnd | null = null;
  /** What earlier chunks held of the piece being read. */
  #held: Buffer[] = [];
  #heldBytes = 0;

  /** @param pieceBytesMax the longest an item or a member may be. */
  constructor(listName: string, pieceBytesMax: number, tell: (split: Split) => void) {
    this.#listName = listName;
    this.#pieceBytesMax = pieceBytesMax;
    this.#tell = tell;
  }

  /** @throws SplitError */
  write(chunk: Buffer): void {
    let start = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      if (this.#piece !== null) at = this.#piece.afterText(chunk, at);
      const byte = chunk[at];
      if (byte === undefined) break;
      if (this.#piece !== null) {
        const end = this.#piece.feed(byte);
        if (end === "inside") continue;
        this.#endPiece(chunk.subarray(start, end === "last" ? at + 1 : at));
        if (end === "last") continue;
      }
      if (isSpace(byte) || !this.#step(byte)) continue;
      start = at;
      this.#piece = new ValueEnd();
      if (this.#piece.feed(byte) !== "inside") throw new SplitError("a value is missing");
    }
    if (this.#piece !== null) this.#hold(chunk.subarray(start));
  }

  /** @throws SplitError when the object has not ended. */
  end(): void {
    if (this.#expected !== "nothing") throw new SplitError("the body ends before its JSON does");
  }

  #hold(bytes: Buffer): void {
    this.#heldBytes += bytes.length;
    if (this.#heldBytes > this.#pieceBytesMax) throw new SplitError("a single value is too long");
    this.#held.push(bytes);
  }

  #endPiece(rest: Buffer): void {
    this.#hold(rest);
    const bytes = this.#held.length === 1 ? rest : Buffer.concat(this.#held);
    this.#held = [];
    this.#heldBytes = 0;
    this.#piece = null;
    if (this.#expected === "name") {
      this.#name = parsedName(bytes);
      this.#expected = "colon";
    } else if (this.#expected === "item") {
      this.#tell({ kind: "item", bytes });
      this.#expected = "list_comma";
    } else {
      this.#tell({ kind: "member", name: this.#name });
      this.#expected = "comma_or_end";
    }
  }

  /** Takes a byte between two pieces; true when a piece begins with it. */
  #step(byte: number): boolean {
    switch (this.#expected) {
      case "object":
        return this.#take(byte, { [OPEN_OBJECT]: "name_or_end" });
      case "name_or_end":
        return this.#take(byte, { [CLOSE_OBJECT]: "nothing", [QUOTE]: "name" });
      case "colon":
        return this.#take(byte, { [COLON]: "value" });
      case "comma_or_end":
        return this.#take(byte, { [CLOSE_OBJECT]: "nothing", [COMMA]: "next_name" });
      case "next_name":
        return this.#take(byte, { [QUOTE]: "name" });
      case "value":
        if (byte !== OPEN_LIST || this.#name !== this.#listName) return true;
        this.#expected = "item_or_end";
        return false;
      case "item_or_end":
        if (byte === CLOSE_LIST) return this.#endList();
        this.#expected = "item";
        return true;
      case "next_item":
        this.#expected = "item";
        return true;
      case "list_comma":
        return byte === CLOSE_LIST ? this.#endList() : this.#take(byte, { [COMMA]: "next_item" });
      case "name":
      case "item":
      case "nothing":
        throw new SplitError("there is something after the end of the JSON");
    }
  }

  #take(byte: number, next: Readonly<Record<number, Expected>>): boolean {
    const expected = next[byte];
    if (expected === undefined) throw new SplitError(`"${String.fromCharCode(byte)}" stands at a wrong place`);
    this.#expected = expected;
    return expected === "name";
  }

  #endList(): false {
    this.#tell({ kind: "list" });
    this.#expected = "comma_or_end";
    return false;
  }
}

function parsedName(bytes: Buffer): string {
  try {
    const name: unknown = JSON.parse(bytes.toString("utf8"));
    if (typeof name === "string") return name;
  } catch {
    // The same answer as for a name that is no string.
  }
  throw new SplitError("a member's name is no string");
}
