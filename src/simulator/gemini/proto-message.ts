/**
 * Reading JSON as the messages of a Google API: fields by either spelling (camelCase or snake_case), null as left out,
 * one value in place of a list, numbers as text, and every problem reported at once in Google's own words.
 *
 * Source: Google's JSON mapping of protocol buffers, and error answers of the Gemini API as users reported them
 * (google-gemini/gemini-cli #13972, zed-industries/zed #44875 and #53919), read 2026-11-26.
 */
import { isObject } from "../engine/field-checks.js";
import type { JsonObject } from "../engine/field-checks.js";

/** One problem. `field` is the snake_case path of the message it is in; null at the top. */
export type Violation = { readonly field: string | null; readonly description: string };

/** Where a value stands: what is before it, and its own name. The path is put together only for a violation. */
type Place = {
  readonly parent: Place | null;
  readonly segment: string;
  readonly depth: number;
  readonly violations: Violation[];
};

/** Reads one value; null when it was wrong, which the place then knows. */
type ValueReader = (value: unknown, at: Place) => unknown;

export type ProtoField = {
  readonly read: ValueReader;
  readonly isList: boolean;
  /** Fields of one message that share a group exclude each other. */
  readonly oneof: string | null;
};

type KnownField = ProtoField & { readonly name: string; readonly snake: string };

export type ProtoMessage = { readonly fields: ReadonlyMap<string, KnownField> };

const PACKAGE = "type.googleapis.com/google.ai.generativelanguage.v1beta";
const STRUCT = "type.googleapis.com/google.protobuf.Struct";
const DEPTH_MAX = 100;
const INT32_MAX = 2 ** 31 - 1;
const NUMBER_TEXT = /^-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function below(at: Place, segment: string): Place {
  return { parent: at, segment, depth: at.depth + 1, violations: at.violations };
}

/** Segments in brackets follow without a dot; the top has no name. */
function pathOf(at: Place): string {
  if (at.parent === null) return "";
  const before = pathOf(at.parent);
  return before === "" || at.segment.startsWith("[") ? `${before}${at.segment}` : `${before}.${at.segment}`;
}

function invalid(at: Place, type: string, shown: string): null {
  const field = pathOf(at);
  at.violations.push({ field, description: `Invalid value at '${field}' (${type}), ${shown}` });
  return null;
}

/** How Google names a wrong value: text in quotes, and the beginning of anything long. */
function shownValue(value: unknown): string {
  const shown = JSON.stringify(value);
  return shown.length > 120 ? `${shown.slice(0, 120)}...` : shown;
}

function field(read: ValueReader): ProtoField {
  return { read, isList: false, oneof: null };
}

export const string: ProtoField = field((value, at) =>
  typeof value === "string" ? value : invalid(at, "TYPE_STRING", shownValue(value)),
);

export const bool: ProtoField = field((value, at) =>
  typeof value === "boolean" ? value : invalid(at, "TYPE_BOOL", shownValue(value)),
);

function numberFrom(value: unknown): number | null {
  if (typeof value === "number") return value;
  return typeof value === "string" && NUMBER_TEXT.test(value) ? Number(value) : null;
}

export const float: ProtoField = field((value, at) => {
  const number = numberFrom(value);
  return number !== null && Number.isFinite(number) ? number : invalid(at, "TYPE_FLOAT", shownValue(value));
});

function wholeNumber(type: string, max: number): ProtoField {
  return field((value, at) => {
    const number = numberFrom(value);
    const fits = number !== null && Number.isInteger(number) && number >= -max - 1 && number <= max;
    return fits ? number : invalid(at, type, shownValue(value));
  });
}

export const int32: ProtoField = wholeNumber("TYPE_INT32", INT32_MAX);
/** Kept as a number: the simulator's own values stay far below 2^53. */
export const int64: ProtoField = wholeNumber("TYPE_INT64", Number.MAX_SAFE_INTEGER);

/** Base64 in either alphabet, with or without its padding; kept as text. */
export const bytes: ProtoField = field((value, at) => {
  if (typeof value !== "string") return invalid(at, "TYPE_BYTES", shownValue(value));
  const isBase64 = /^[A-Za-z0-9+/_-]*={0,2}$/.test(value) && value.replace(/=+$/, "").length % 4 !== 1;
  return isBase64 ? value : invalid(at, "TYPE_BYTES", `Base64 decoding failed for ${shownValue(value)}`);
});

/** Any JSON object, kept as it is. */
export const struct: ProtoField = field((value, at) => {
  if (isObject(value)) return value;
  return Array.isArray(value) ? cannotStartList(at) : invalid(at, STRUCT, shownValue(value));
});

/** Any JSON value, kept as it is. */
export const anyValue: ProtoField = field((value) => value);

/** A word of a list, in any case. */
export function enumOf(type: string, ...words: readonly string[]): ProtoField {
  const known = new Set(words);
  return field((value, at) => {
    const word = typeof value === "string" ? value.toUpperCase() : null;
    return word !== null && known.has(word) ? word : invalid(at, `${PACKAGE}.${type}`, shownValue(value));
  });
}

/** A message; given as a function, so that messages may hold themselves. */
export function messageOf(type: string, message: () => ProtoMessage): ProtoField {
  return field((value, at) => {
    if (isObject(value)) return readMessage(message(), value, at);
    return Array.isArray(value) ? cannotStartList(at) : invalid(at, `${PACKAGE}.${type}`, shownValue(value));
  });
}

export function listOf(item: ProtoField): ProtoField {
  return { ...item, isList: true };
}

/** An object of any names; Google's paths call its entries `name[0].value`. */
export function mapOf(item: ProtoField): ProtoField {
  return field((value, at) => {
    if (!isObject(value)) return Array.isArray(value) ? cannotStartList(at) : invalid(at, STRUCT, shownValue(value));
    const entries = Object.entries(value).map(([name, entry], index) => {
      return [name, readField(item, entry, below(at, `[${String(index)}].value`))] as const;
    });
    return Object.fromEntries(entries);
  });
}

/** Of the fields in one group at most one may be given. */
export function inGroup(oneof: string, member: ProtoField): ProtoField {
  return { ...member, oneof };
}

export function protoMessage(fields: Readonly<Record<string, ProtoField>>): ProtoMessage {
  const known = new Map<string, KnownField>();
  for (const [name, each] of Object.entries(fields)) {
    const entry: KnownField = { ...each, name, snake: snakeCase(name) };
    known.set(entry.name, entry);
    known.set(entry.snake, entry);
  }
  return { fields: known };
}

/** The violation names the field and the message it is in, as for an unknown field. */
function cannotStartList(at: Place): null {
  const path = pathOf(at);
  const dot = path.lastIndexOf(".");
  const name = path.slice(dot + 1);
  const parent = dot < 0 ? null : path.slice(0, dot);
  at.violations.push(unknownName(name, parent, "Proto field is not repeating, cannot start list."));
  return null;
}

function unknownName(name: string, parent: string | null, why: string): Violation {
  const where = parent === null || parent === "" ? "" : ` at '${parent}'`;
  const description = `Invalid JSON payload received. Unknown name ${JSON.stringify(name)}${where}: ${why}`;
  return { field: where === "" ? null : parent, description };
}

function readField(known: ProtoField, value: unknown, at: Place): unknown {
  if (!known.isList) return known.read(value, at);
  const items = Array.isArray(value) ? value : [value];
  return items.map((item, index) => known.read(item, below(at, `[${String(index)}]`)));
}

function readMessage(message: ProtoMessage, json: JsonObject, at: Place): JsonObject | null {
  if (at.depth > DEPTH_MAX) {
    at.violations.push({
      field: pathOf(at),
      description: "Message too deep. Max recursion depth reached for the payload.",
    });
    return null;
  }
  const read: Record<string, unknown> = {};
  let chosen: KnownField | null = null;
  for (const name of Object.keys(json)) {
    const value = json[name];
    const known = message.fields.get(name);
    if (known === undefined) at.violations.push(unknownName(name, pathOf(at), "Cannot find field."));
    else if (value !== null) {
      if (known.oneof !== null) chosen = chosenOf(known, chosen, at);
      read[known.name] = readField(known, value, below(at, known.snake));
    }
  }
  return read;
}

/** The member of the message's group; a second one is a violation. A message has one group at most. */
function chosenOf(known: KnownField, chosen: KnownField | null, at: Place): KnownField {
  if (chosen === null || chosen.name === known.name) return known;
  const why = `oneof field '${String(known.oneof)}' is already set. Cannot set '${known.name}'`;
  const field = pathOf(at);
  at.violations.push({ field, description: `Invalid value at '${field}' (oneof), ${why}` });
  return chosen;
}

/**
 * Reads a whole body.
 * @returns the body with every field under its camelCase name and lists as lists, or everything that is wrong with it.
 */
export function readProto(
  message: ProtoMessage,
  json: JsonObject,
): { readonly body: JsonObject } | { readonly violations: readonly Violation[] } {
  const violations: Violation[] = [];
  const body = readMessage(message, json, { parent: null, segment: "", depth: 0, violations });
  return violations.length === 0 && body !== null ? { body } : { violations };
}
