import type { JsonShape, MemberSpan } from "./scan-json.js";

/**
 * Members of a request body that only say how the answer is handed over in pieces. The answer always comes whole, so they
 * are left out of the canonical form and of the body that is sent on.
 */
const STREAM_MEMBERS: ReadonlySet<string> = new Set(["stream", "stream_options"]);

/** The sender's own text of the body, key order and number lexemes kept, without the members that ask for a stream. */
export function bodyTextOf(text: string, shape: JsonShape): string {
  if (shape.body === null) return "";
  if (!shape.members.some(isStreamMember)) return text.slice(shape.body.start, shape.body.end);
  const kept = shape.members.filter((member) => !isStreamMember(member));
  return `{${kept.map((member) => text.slice(member.start, member.end)).join(",")}}`;
}

function isStreamMember(member: MemberSpan): boolean {
  return STREAM_MEMBERS.has(member.key);
}

/**
 * Writes a JSON text in its one canonical form: no space, members sorted by the UTF-16 code units of their decoded keys,
 * strings escaped as JSON.stringify does, numbers exactly as sent. So 1, 1.0 and "1" differ, key order does not count, and
 * nothing is normalised. It works on the text and not on a tree, since a double forgets 1.0 and 2^53 + 1, and a tree of
 * exact numbers costs ten times as much.
 * @param text valid JSON with no repeated key, nested at most as deep as `scanJson` allowed (it recurses).
 */
export function canonicalJson(text: string): string {
  return new CanonicalWriter(text).value();
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const SLASH = 0x2f;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const LETTER_U = 0x75;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const SPACE = 0x20;

class CanonicalWriter {
  private readonly text: string;
  private position = 0;
  private nextBackslash: number;

  constructor(text: string) {
    this.text = text;
    this.nextBackslash = this.indexOrEnd("\\", 0);
  }

  value(): string {
    const code = this.skipSpace();
    if (code === OPEN_OBJECT) return this.object();
    if (code === OPEN_ARRAY) return this.array();
    return code === QUOTE ? this.string() : this.literal();
  }

  private object(): string {
    const members: CanonicalMember[] = [];
    let isSorted = true;
    let keyBefore = "";
    this.position += 1;
    while (this.skipSpace() !== CLOSE_OBJECT) {
      const quotedKey = this.string();
      this.skipSpace();
      this.position += 1; // the colon
      const key = quotedKey.includes("\\") ? String(JSON.parse(quotedKey)) : quotedKey.slice(1, -1);
      members.push({ key, text: `${quotedKey}:${this.value()}` });
      isSorted = isSorted && keyBefore <= key;
      keyBefore = key;
      if (this.skipSpace() === COMMA) this.position += 1;
    }
    this.position += 1;
    if (!isSorted) sortByKey(members);
    let text = "{";
    for (const member of members) text += text === "{" ? member.text : `,${member.text}`;
    return `${text}}`;
  }

  private array(): string {
    let text = "[";
    this.position += 1;
    while (this.skipSpace() !== CLOSE_ARRAY) {
      text += text === "[" ? this.value() : `,${this.value()}`;
      if (this.skipSpace() === COMMA) this.position += 1;
    }
    this.position += 1;
    return `${text}]`;
  }

  /** A valid JSON string is its own canonical form unless an escape in it can be written in another way. */
  private string(): string {
    const start = this.position;
    let from = start + 1;
    let rewrites = false;
    for (;;) {
      const quote = this.indexOrEnd('"', from);
      if (this.nextBackslash < from) this.nextBackslash = this.indexOrEnd("\\", from);
      if (this.nextBackslash >= quote) {
        this.position = quote + 1;
        break;
      }
      const escape = this.text.charCodeAt(this.nextBackslash + 1);
      rewrites ||= escape === LETTER_U || escape === SLASH;
      from = this.nextBackslash + 2;
    }
    const quoted = this.text.slice(start, this.position);
    return rewrites ? JSON.stringify(JSON.parse(quoted)) : quoted;
  }

  /** A number, true, false or null, as sent. */
  private literal(): string {
    const start = this.position;
    while (this.position < this.text.length && !endsLiteral(this.text.charCodeAt(this.position))) this.position += 1;
    return this.text.slice(start, this.position);
  }

  private skipSpace(): number {
    let code = this.text.charCodeAt(this.position);
    while (code <= SPACE) {
      this.position += 1;
      code = this.text.charCodeAt(this.position);
    }
    // NaN at the end of the text: only text that is not JSON gets there, and a loop must not run on for it.
    if (Number.isNaN(code))
      throw new RangeError("expected JSON text that was parsed before, got text that ends too early");
    return code;
  }

  private indexOrEnd(mark: string, from: number): number {
    const at = this.text.indexOf(mark, from);
    return at < 0 ? this.text.length : at;
  }
}

function endsLiteral(code: number): boolean {
  return code <= SPACE || code === COMMA || code === CLOSE_ARRAY || code === CLOSE_OBJECT;
}

interface CanonicalMember {
  /** Decoded. */
  readonly key: string;
  /** Quoted key, colon and value. */
  readonly text: string;
}

/** A list as short as a request's is sorted by insertion: the built-in sort makes two more arrays each time. */
const SHORT_LIST = 16;

/** By the UTF-16 code units of the keys, in place. */
function sortByKey(members: CanonicalMember[]): void {
  if (members.length > SHORT_LIST) {
    members.sort((left, right) => (left.key < right.key ? -1 : left.key > right.key ? 1 : 0));
    return;
  }
  members.forEach((member, place) => {
    let at = place;
    for (let before = members[at - 1]; before !== undefined && before.key > member.key; before = members[at - 1]) {
      members[at] = before;
      at -= 1;
    }
    members[at] = member;
  });
}
