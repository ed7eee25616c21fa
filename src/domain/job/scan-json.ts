/**
 * One pass over JSON text that finds what JSON.parse keeps silent about: depth, repeated keys, lone surrogates, and where
 * the request body lies in the text. Syntax errors are left to JSON.parse: on malformed text the scan ends without harm and
 * its findings mean nothing.
 *
 * Strings are skipped with indexOf, so a long prompt costs a memory search, not a loop.
 */

/** A part of a text, end exclusive, in UTF-16 code units. */
export interface TextSpan {
  readonly start: number;
  readonly end: number;
}

/** One member of the request body: `start` is its key's opening quote, `valueStart` to `end` its value as sent. */
export interface MemberSpan extends TextSpan {
  readonly key: string;
  readonly valueStart: number;
}

export interface JsonShape {
  readonly kind: "scanned";
  /** The body's own text; null when there is none. */
  readonly body: TextSpan | null;
  /** Members at the top level of the body, in the sender's order. */
  readonly members: readonly MemberSpan[];
}

export type JsonScan =
  | JsonShape
  | { readonly kind: "too_deep"; readonly at: number }
  | { readonly kind: "repeated_key"; readonly key: string; readonly at: number }
  | { readonly kind: "lone_surrogate"; readonly at: number };

/** Where the request body is: the whole text, or the value of the top-level member `body`. */
export type BodyPlace = "whole" | "member";

declare global {
  interface String {
    /** In Node 20, but not in the ES2023 library of TypeScript. */
    isWellFormed(): boolean;
  }
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const LETTER_U = 0x75;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const SPACE = 0x20;

/** Up to here comparing with each earlier key is faster than a Set. */
const KEYS_COMPARED_MAX = 16;

/**
 * @param depthMax how many containers may lie in one another; JSON.parse itself would take any depth, and what walks its
 *   tree afterwards overflows the stack.
 */
export function scanJson(text: string, bodyPlace: BodyPlace, depthMax: number): JsonScan {
  if (!text.isWellFormed()) return { kind: "lone_surrogate", at: firstLoneSurrogate(text) };
  return new Scanner(text, bodyPlace, depthMax).run();
}

class Scanner {
  private readonly text: string;
  private readonly depthMax: number;
  /** Depth at which the body's own members lie. */
  private readonly bodyDepth: number;
  /** Keys of the object open at each depth; null for an array. */
  private readonly open: (ObjectKeys | null)[] = [];
  private readonly members: MemberSpan[] = [];
  private position = 0;
  private keyExpected = false;
  /** End of the last token that is part of a value. */
  private valueEnd = 0;
  private nextBackslash: number;
  private bodyStart = -1;
  private bodyEnd = -1;
  private memberStart = -1;
  private memberKey = "";
  private memberValueStart = 0;
  private finding: JsonScan | null = null;

  constructor(text: string, bodyPlace: BodyPlace, depthMax: number) {
    this.text = text;
    this.depthMax = depthMax;
    this.bodyDepth = bodyPlace === "whole" ? 1 : 2;
    this.nextBackslash = this.indexOrEnd("\\", 0);
    if (bodyPlace === "whole") this.bodyStart = this.skipSpace(0);
  }

  run(): JsonScan {
    const { text } = this;
    while (this.position < text.length && this.finding === null) this.token(text.charCodeAt(this.position));
    if (this.finding !== null) return this.finding;
    if (this.bodyDepth === 1) this.bodyEnd = this.valueEnd;
    const body =
      this.bodyStart >= 0 && this.bodyEnd > this.bodyStart ? { start: this.bodyStart, end: this.bodyEnd } : null;
    return { kind: "scanned", body, members: this.members };
  }

  private token(code: number): void {
    if (code === QUOTE) this.string();
    else if (code === COMMA) {
      this.endMember();
      this.keyExpected = this.keys() !== null;
      this.position += 1;
    } else if (code === COLON) this.position += 1;
    else if (code === OPEN_OBJECT || code === OPEN_ARRAY) this.openContainer(code === OPEN_OBJECT);
    else if (code === CLOSE_OBJECT || code === CLOSE_ARRAY) this.closeContainer();
    else {
      this.position += 1;
      if (code > SPACE) this.valueEnd = this.position;
    }
  }

  private keys(): ObjectKeys | null {
    return this.open[this.open.length - 1] ?? null;
  }

  private openContainer(isObject: boolean): void {
    if (this.open.length === this.depthMax) {
      this.finding = { kind: "too_deep", at: this.position };
      return;
    }
    this.open.push(isObject ? new ObjectKeys() : null);
    this.keyExpected = isObject;
    this.position += 1;
  }

  private closeContainer(): void {
    this.endMember();
    this.open.pop();
    this.keyExpected = false;
    this.position += 1;
    this.valueEnd = this.position;
  }

  private string(): void {
    const start = this.position;
    const end = this.stringEnd(start);
    if (this.finding !== null) return;
    this.position = end;
    this.valueEnd = end;
    const keys = this.keys();
    if (!this.keyExpected || keys === null) return;
    this.keyExpected = false;
    this.key(keys, start, end);
  }

  private key(keys: ObjectKeys, start: number, end: number): void {
    const key = this.decoded(start, end);
    if (key === null) return; // a bad escape: JSON.parse will refuse it
    if (!keys.add(key)) {
      this.finding = { kind: "repeated_key", key, at: start };
      return;
    }
    const depth = this.open.length;
    if (depth > this.bodyDepth) return;
    if (depth === 1 && this.bodyDepth === 2) {
      if (key === "body") this.bodyStart = this.valueAfter(end);
    } else if (this.inBody()) {
      this.memberStart = start;
      this.memberKey = key;
      this.memberValueStart = this.valueAfter(end);
    }
  }

  private inBody(): boolean {
    return this.bodyStart >= 0 && this.bodyEnd < 0;
  }

  /** Called before a comma or a closing bracket is taken: what began at this depth ends here. */
  private endMember(): void {
    const depth = this.open.length;
    if (depth === this.bodyDepth && this.memberStart >= 0) {
      this.members.push({
        key: this.memberKey,
        start: this.memberStart,
        valueStart: this.memberValueStart,
        end: this.valueEnd,
      });
      this.memberStart = -1;
    }
    if (depth === 1 && this.bodyDepth === 2 && this.inBody()) this.bodyEnd = this.valueEnd;
  }

  /** Index after the closing quote, or the text's length when there is none. */
  private stringEnd(start: number): number {
    let from = start + 1;
    for (;;) {
      const quote = this.indexOrEnd('"', from);
      if (this.nextBackslash < from) this.nextBackslash = this.indexOrEnd("\\", from);
      if (this.nextBackslash >= quote) return Math.min(quote + 1, this.text.length);
      from = this.escapeEnd(this.nextBackslash);
      if (this.finding !== null) return from;
    }
  }

  /** Index after the escape at `at`; a surrogate pair in two escapes is taken as one. */
  private escapeEnd(at: number): number {
    if (this.text.charCodeAt(at + 1) !== LETTER_U) return at + 2;
    const unit = this.escapedUnit(at);
    if (unit < 0xd800 || unit > 0xdfff) return at + 6;
    const following = unit < 0xdc00 ? this.escapedUnit(at + 6) : 0;
    if (following >= 0xdc00 && following <= 0xdfff) return at + 12;
    this.finding = { kind: "lone_surrogate", at };
    return at;
  }

  /** Value of a `\uXXXX` at `at`; 0 when there is none. */
  private escapedUnit(at: number): number {
    if (this.text.charCodeAt(at) !== BACKSLASH || this.text.charCodeAt(at + 1) !== LETTER_U) return 0;
    const digits = this.text.slice(at + 2, at + 6);
    return /^[0-9A-Fa-f]{4}$/.test(digits) ? Number.parseInt(digits, 16) : 0;
  }

  private decoded(start: number, end: number): string | null {
    const inner = this.text.slice(start + 1, end - 1);
    if (!inner.includes("\\")) return inner;
    try {
      return String(JSON.parse(`"${inner}"`));
    } catch {
      return null;
    }
  }

  private valueAfter(keyEnd: number): number {
    const colon = this.skipSpace(keyEnd);
    return this.text.charCodeAt(colon) === COLON ? this.skipSpace(colon + 1) : colon;
  }

  private skipSpace(from: number): number {
    let at = from;
    while (at < this.text.length && this.text.charCodeAt(at) <= SPACE) at += 1;
    return at;
  }

  private indexOrEnd(mark: string, from: number): number {
    const at = this.text.indexOf(mark, from);
    return at < 0 ? this.text.length : at;
  }
}

/** The keys seen in one object. */
class ObjectKeys {
  private readonly few: string[] = [];
  private many: Set<string> | null = null;

  /** False when the key was there already. */
  add(key: string): boolean {
    if (this.many !== null) {
      const before = this.many.size;
      return this.many.add(key).size > before;
    }
    if (this.few.includes(key)) return false;
    this.few.push(key);
    if (this.few.length > KEYS_COMPARED_MAX) this.many = new Set(this.few);
    return true;
  }
}

function firstLoneSurrogate(text: string): number {
  const found = /\p{Surrogate}/u.exec(text); // with the u flag a paired surrogate is one code point and never matches
  return found?.index ?? 0;
}
