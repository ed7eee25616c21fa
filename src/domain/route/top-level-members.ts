/**
 * Where the members of a JSON object stand in its text. Request bodies are changed by cutting and inserting text, never by
 * parsing and printing: a number of twenty digits, `1.0` or `1e400` must reach the provider as the caller wrote it.
 *
 * The text was validated when the job was accepted; here only as much is looked at as finding the members needs. Strings are skipped
 * with `indexOf`, so a long prompt costs next to nothing.
 */

export interface TopLevelMember {
  /** Decoded name. */
  readonly name: string;
  /** Index of the name's opening quote. */
  readonly start: number;
  readonly valueStart: number;
  /** One past the value's last character. */
  readonly end: number;
}

const QUOTE = 34;
const COMMA = 44;
const COLON = 58;
const OPEN_BRACKET = 91;
const BACKSLASH = 92;
const CLOSE_BRACKET = 93;
const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;

/** The members of the object in order, repeated names included; null when the text is no JSON object. */
export function topLevelMembers(text: string): readonly TopLevelMember[] | null {
  let at = skipSpace(text, 0);
  if (text.charCodeAt(at) !== OPEN_BRACE) return null;
  at = skipSpace(text, at + 1);
  const members: TopLevelMember[] = [];
  if (text.charCodeAt(at) === CLOSE_BRACE) return skipSpace(text, at + 1) === text.length ? members : null;
  for (;;) {
    const member = memberAt(text, at);
    if (member === null) return null;
    members.push(member);
    at = skipSpace(text, member.end);
    const next = text.charCodeAt(at);
    if (next === CLOSE_BRACE) return skipSpace(text, at + 1) === text.length ? members : null;
    if (next !== COMMA) return null;
    at = skipSpace(text, at + 1);
  }
}

/** Where the items of a JSON list stand in its text; null when the text is no list. */
export function arrayItems(text: string): readonly { readonly start: number; readonly end: number }[] | null {
  let at = skipSpace(text, 0);
  if (text.charCodeAt(at) !== OPEN_BRACKET) return null;
  at = skipSpace(text, at + 1);
  const items: { readonly start: number; readonly end: number }[] = [];
  if (text.charCodeAt(at) === CLOSE_BRACKET) return skipSpace(text, at + 1) === text.length ? items : null;
  for (;;) {
    const end = valueEnd(text, at);
    if (end <= at) return null;
    items.push({ start: at, end });
    at = skipSpace(text, end);
    const next = text.charCodeAt(at);
    if (next === CLOSE_BRACKET) return skipSpace(text, at + 1) === text.length ? items : null;
    if (next !== COMMA) return null;
    at = skipSpace(text, at + 1);
  }
}

function memberAt(text: string, start: number): TopLevelMember | null {
  if (text.charCodeAt(start) !== QUOTE) return null;
  const nameEnd = stringEnd(text, start);
  if (nameEnd === -1) return null;
  const colon = skipSpace(text, nameEnd);
  if (text.charCodeAt(colon) !== COLON) return null;
  const valueStart = skipSpace(text, colon + 1);
  const end = valueEnd(text, valueStart);
  return end <= valueStart ? null : { name: decodedName(text.slice(start, nameEnd)), start, valueStart, end };
}

function decodedName(quoted: string): string {
  if (!quoted.includes("\\")) return quoted.slice(1, -1);
  try {
    return String(JSON.parse(quoted)); // a quoted string parses to a string
  } catch {
    return quoted;
  }
}

/** One past the closing quote of the string that opens at `start`; -1 when it does not close. */
function stringEnd(text: string, start: number): number {
  let close = text.indexOf('"', start + 1);
  while (close !== -1) {
    let before = close - 1;
    while (text.charCodeAt(before) === BACKSLASH) before -= 1;
    if ((close - before) % 2 === 1) return close + 1;
    close = text.indexOf('"', close + 1);
  }
  return -1;
}

/** One past the value that begins at `start`; -1 when it does not end. */
function valueEnd(text: string, start: number): number {
  const first = text.charCodeAt(start);
  if (first === QUOTE) return stringEnd(text, start);
  if (first === OPEN_BRACE || first === OPEN_BRACKET) return nestedEnd(text, start);
  let at = start;
  while (at < text.length && !endsScalar(text.charCodeAt(at))) at += 1;
  return at;
}

function nestedEnd(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = stringEnd(text, at) - 1;
      if (at < 0) return -1;
    } else if (code === OPEN_BRACE || code === OPEN_BRACKET) depth += 1;
    else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return -1;
}

function endsScalar(code: number): boolean {
  return code === COMMA || code === CLOSE_BRACE || code === CLOSE_BRACKET || isSpace(code);
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (isSpace(text.charCodeAt(at))) at += 1;
  return at;
}

function isSpace(code: number): boolean {
  return code === 32 || code === 10 || code === 13 || code === 9;
}
