import { ERROR_CODES } from "../failure.js";
import type { EpochMs } from "../ids.js";
import { parseRfc3339 } from "../job/deadline.js";
import { parseDurationMs } from "./duration.js";

/**
 * The small language of `sluice dlq --where`: comparisons joined by `and`, as in
 * `code = PROVIDER_UNAVAILABLE and tenant = acme and failedAt > 2026-11-24`.
 *
 * A value is a bare word or a text in quotes (a quote inside is doubled). `failedAt` takes a date, a time as in RFC 3339, or a duration
 * before now (`-2h`). Whoever runs the conditions binds the values as parameters: nothing of the text goes into SQL.
 */

/**
 * States of a dead letter. `parked`: failed for the third time, so that a replay must be asked for by name; it is so from its beginning. A
 * letter is decided once: what fails again after its replay gets a letter of its own. The database refuses every change that is not listed.
 */
export const LETTER_TRANSITIONS = {
  open: ["replayed", "discarded"],
  replayed: [],
  discarded: [],
  parked: ["replayed", "discarded"],
} as const satisfies Record<string, readonly string[]>;
export type LetterState = keyof typeof LETTER_TRANSITIONS;
const LETTER_STATES = Object.keys(LETTER_TRANSITIONS) as readonly LetterState[]; // its keys

const TEXT_FIELDS = ["code", "tenant", "jobId", "topic", "state"] as const;
const NUMBER_FIELDS = ["failedAt", "replayCount"] as const;
const FIELD_LIST = [...TEXT_FIELDS, ...NUMBER_FIELDS].join(", ");

const OPERATORS = ["=", "!=", ">=", "<=", ">", "<"] as const;
export type WhereOperator = (typeof OPERATORS)[number];

export type Condition =
  | {
      readonly kind: "text";
      readonly field: (typeof TEXT_FIELDS)[number];
      readonly operator: "=" | "!=";
      readonly value: string;
    }
  /** `failedAt` in milliseconds since 1970 UTC. */
  | {
      readonly kind: "number";
      readonly field: (typeof NUMBER_FIELDS)[number];
      readonly operator: WhereOperator;
      readonly value: number;
    };

export type WhereReading =
  | { readonly kind: "conditions"; readonly conditions: readonly Condition[] }
  | { readonly kind: "bad"; readonly message: string };

/** No filter that a person writes is longer; each condition is a term of one SQL statement. */
const CONDITIONS_MAX = 32;
const COMPARISON = /\s*([A-Za-z]+)\s*(!=|>=|<=|=|>|<)\s*('(?:[^']|'')*'|"(?:[^"]|"")*"|[^\s'"=<>!]+)\s*/y;
const AND = /and\s+/iy;

/** @param nowMs what a duration before now counts from. */
export function parseWhere(text: string, nowMs: EpochMs): WhereReading {
  const conditions: Condition[] = [];
  let at = 0;
  for (;;) {
    COMPARISON.lastIndex = at;
    const found = COMPARISON.exec(text);
    if (found === null)
      return bad(
        `expected a comparison like code = PROVIDER_UNAVAILABLE${whereIn(text, at)}; fields are ${FIELD_LIST}`,
      );
    const [whole, field, operator, value] = found;
    const condition = readCondition(field ?? "", operator ?? "", unquoted(value ?? ""), nowMs);
    if (typeof condition === "string") return bad(condition);
    conditions.push(condition);
    if (conditions.length > CONDITIONS_MAX) return bad(`expected at most ${String(CONDITIONS_MAX)} comparisons`);
    at += whole.length;
    if (at === text.length) return { kind: "conditions", conditions };
    AND.lastIndex = at;
    const and = AND.exec(text);
    if (and === null) return bad(`expected "and" between comparisons${whereIn(text, at)}`);
    at += and[0].length;
  }
}

function bad(message: string): WhereReading {
  return { kind: "bad", message: `--where: ${message}` };
}

function whereIn(text: string, at: number): string {
  const rest = text.slice(at).trim();
  return rest === "" ? ", got the end" : `, got "${rest.slice(0, 40)}"`;
}

function unquoted(text: string): string {
  const quote = text[0];
  return quote === "'" || quote === '"' ? text.slice(1, -1).replaceAll(quote + quote, quote) : text;
}

/** A string is what is wrong with it. */
function readCondition(field: string, operatorText: string, value: string, nowMs: EpochMs): Condition | string {
  const operator = OPERATORS.find((known) => known === operatorText) ?? "=";
  const textField = TEXT_FIELDS.find((known) => known === field);
  if (textField !== undefined) {
    if (operator !== "=" && operator !== "!=") return `${field}: expected = or !=, got ${operator}`;
    const wrong = textField === "code" ? wrongCode(value) : textField === "state" ? wrongState(value) : null;
    return wrong ?? { kind: "text", field: textField, operator, value };
  }
  const numberField = NUMBER_FIELDS.find((known) => known === field);
  if (numberField === undefined) return `expected one of ${FIELD_LIST}, got "${field}"`;
  const number = numberField === "failedAt" ? readTime(value, nowMs) : readCount(value);
  return typeof number === "string" ? number : { kind: "number", field: numberField, operator, value: number };
}

function wrongCode(value: string): string | null {
  return Object.hasOwn(ERROR_CODES, value)
    ? null
    : `code: expected an error code such as PROVIDER_UNAVAILABLE or DEADLINE_EXCEEDED, got "${value}"`;
}

function wrongState(value: string): string | null {
  return LETTER_STATES.some((state) => state === value)
    ? null
    : `state: expected one of ${LETTER_STATES.join(", ")}, got "${value}"`;
}

function readTime(value: string, nowMs: EpochMs): number | string {
  const ago = value.startsWith("-") ? parseDurationMs(value.slice(1)) : null;
  const time =
    ago !== null ? nowMs - ago : parseRfc3339(/^\d{4}-\d{2}-\d{2}$/.test(value) ? `${value}T00:00:00Z` : value);
  return (
    time ??
    `failedAt: expected a date, a time like 2026-11-24T12:00:00Z or a duration before now like -2h, got "${value}"`
  );
}

function readCount(value: string): number | string {
  return /^\d{1,6}$/.test(value) ? Number(value) : `replayCount: expected a whole number, got "${value}"`;
}
