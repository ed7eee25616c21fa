import { isLosslessNumber, isSafeNumber, LosslessNumber, parse, stringify } from "lossless-json";

/**
 * JSON of request bodies and answers, read so that no number changes: one that a double can't hold (twenty digits, 1e400) stays as it was
 * written. Most texts hold none, and those are read by JSON.parse, which is ten times faster.
 */
export type Json = null | boolean | number | string | LosslessNumber | readonly Json[] | JsonObject;

/** A member that is undefined is not written. */
export interface JsonObject {
  readonly [name: string]: Json | undefined;
}

export type ReadJson =
  { readonly kind: "read"; readonly value: Json } | { readonly kind: "unreadable"; readonly because: string };

/** Bodies are bounded at admission (at most 1,000); answers are not, and what walks a deeper tree would overflow the stack. */
const DEPTH_MAX = 1_000;

/** Any number of so few characters without an exponent is held exactly, in its fifteen digits. */
const SHORT_NUMBER = 15;

/** Never throws. Lexemes of equal value count as equal: `1.0` becomes 1. */
export function readJson(text: string): ReadJson {
  const survey = surveyJson(text);
  if (survey.depth > DEPTH_MAX) return { kind: "unreadable", because: "it is nested too deep" };
  try {
    const value = survey.isExact ? (JSON.parse(text) as Json) : (parse(text, null, exactNumber) as Json); // JSON text gives nothing else
    return { kind: "read", value };
  } catch {
    return { kind: "unreadable", because: "it is no JSON" };
  }
}

/** The shortest text; numbers kept as lexemes come out as they went in. */
export function writeJson(value: Json): string {
  return keepsLexemes(value) ? (stringify(value) ?? "null") : JSON.stringify(value);
}

/** JSON.stringify is ten times faster, and there is mostly nothing that it would spoil. */
function keepsLexemes(value: Json | undefined): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (isJsonList(value)) return value.some(keepsLexemes);
  return isLosslessNumber(value) || Object.values(value).some(keepsLexemes);
}

export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !isJsonList(value) && !isLosslessNumber(value);
}

/** A number, held exactly or kept as it was written. */
export function isJsonNumber(value: Json | undefined): boolean {
  return typeof value === "number" || isLosslessNumber(value);
}

/** Array.isArray alone does not narrow a readonly list. */
export function isJsonList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

function exactNumber(lexeme: string): number | LosslessNumber {
  return isSafeNumber(lexeme) ? Number(lexeme) : new LosslessNumber(lexeme);
}

const QUOTE = 34;
const PLUS = 43;
const MINUS = 45;
const DOT = 46;
const DIGIT_0 = 48;
const DIGIT_9 = 57;
const CAPITAL_E = 69;
const OPEN_BRACKET = 91;
const BACKSLASH = 92;
const CLOSE_BRACKET = 93;
const LETTER_E = 101;
const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;

/** One look over the text, strings skipped: how deep it is nested and whether doubles hold all its numbers. Of no meaning when it is no JSON. */
function surveyJson(text: string): { readonly depth: number; readonly isExact: boolean } {
  let open = 0;
  let depth = 0;
  let isExact = true;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = closingQuote(text, at);
    else if (code === OPEN_BRACE || code === OPEN_BRACKET) depth = Math.max(depth, (open += 1));
    else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) open -= 1;
    else if (code === MINUS || (code >= DIGIT_0 && code <= DIGIT_9)) {
      const end = numberEnd(text, at);
      isExact &&= isHeldExactly(text, at, end);
      at = end - 1;
    }
  }
  return { depth, isExact };
}

/** One past the number's last character. */
function numberEnd(text: string, start: number): number {
  let at = start + 1;
  while (isOfNumber(text.charCodeAt(at))) at += 1;
  return at;
}

function isOfNumber(code: number): boolean {
  if (code <= DIGIT_9) return code >= DIGIT_0 || code === DOT || code === MINUS || code === PLUS;
  return code === LETTER_E || code === CAPITAL_E;
}

function isHeldExactly(text: string, start: number, end: number): boolean {
  const lexeme = text.slice(start, end);
  if (end - start <= SHORT_NUMBER && !lexeme.includes("e") && !lexeme.includes("E")) return true;
  return String(Number(lexeme)) === lexeme || isSafeNumber(lexeme);
}

/** The end of the text when the string does not close. */
function closingQuote(text: string, start: number): number {
  for (let close = text.indexOf('"', start + 1); close !== -1; close = text.indexOf('"', close + 1)) {
    let before = close - 1;
    while (text.charCodeAt(before) === BACKSLASH) before -= 1;
    if ((close - before) % 2 === 1) return close;
  }
  return text.length;
}
