import { locateJsonError } from "./locate-json-error.js";
import type { ReadHeaders } from "./record-headers.js";
import { scanJson } from "./scan-json.js";
import type { BodyPlace, JsonScan, JsonShape } from "./scan-json.js";
import { kindOf, quoted } from "./wording.js";

/** Codes of bytes that are no job at all, and of a job that is no object. */
export type ReadCode = "BAD_JSON" | "BAD_UTF8" | "BAD_UNICODE" | "BAD_AVRO" | "TOO_DEEP" | "BAD_JOB";

export interface ReadProblem {
  readonly kind: "problem";
  readonly code: ReadCode;
  readonly message: string;
  /** Only there where the fields beside the body were read. */
  readonly document?: Readonly<Record<string, unknown>>;
}

/** A job whose members are not checked yet. */
export interface ReadDocument {
  readonly kind: "document";
  readonly document: Readonly<Record<string, unknown>>;
  /** The text that holds the body, and where. */
  readonly text: string;
  readonly shape: JsonShape;
  /** Fields of the writer's Avro schema that the job doesn't have. */
  readonly unknownFields: readonly UnknownField[];
}

export interface UnknownField {
  /** Of the field that it lies in: `require`; empty for the job itself. */
  readonly path: string;
  readonly name: string;
  /** The names that are known at that place. */
  readonly known: readonly string[];
}

/** A job decoded from Avro: its fields by name, the body as JSON text in `bodyJson`. */
export interface DecodedJob {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly unknownFields: readonly UnknownField[];
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }); // a BOM stays and is refused by JSON.parse

/** Reads the value of a JSON record. With the header `llm-format` the value is the bare body. */
export function readJsonDocument(value: Buffer, headers: ReadHeaders, depthMax: number): ReadDocument | ReadProblem {
  const first = value[0] ?? 0;
  if (first < 0x20 && first !== 0x09 && first !== 0x0a && first !== 0x0d) return notJson(first);
  let text: string;
  try {
    text = decoder.decode(value);
  } catch {
    return problem("BAD_UTF8", "value: expected UTF-8, got bytes that are not; nothing was replaced");
  }
  const isBare = headers.format !== null;
  const read = parse(text, isBare ? "whole" : "member", depthMax, "value");
  if (read.kind === "problem") return read;
  if (!isObject(read.parsed)) return problem("BAD_JOB", `value: expected a JSON object, got ${kindOf(read.parsed)}`);
  const document = isBare ? bareDocument(read.parsed, headers) : read.parsed;
  return { kind: "document", document, text, shape: read.shape, unknownFields: [] };
}

/** Reads a job decoded from Avro. Fields that are null count as absent. */
export function readAvroDocument(decoded: DecodedJob, depthMax: number): ReadDocument | ReadProblem {
  const { bodyJson, ...others } = decoded.fields;
  const document: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(others)) {
    if (value !== null) document[name] = value;
  }
  if (typeof bodyJson !== "string") {
    const shape: JsonShape = { kind: "scanned", body: null, members: [] };
    return { kind: "document", document, text: "", shape, unknownFields: decoded.unknownFields };
  }
  const illFormed = Object.values(document).some((value) => typeof value === "string" && !value.isWellFormed());
  if (illFormed) return problem("BAD_UNICODE", "expected well-formed text in each field, got a lone surrogate");
  const read = parse(bodyJson, "whole", depthMax, "bodyJson");
  if (read.kind === "problem") return { ...read, document };
  document["body"] = read.parsed;
  return { kind: "document", document, text: bodyJson, shape: read.shape, unknownFields: decoded.unknownFields };
}

function parse(
  text: string,
  place: BodyPlace,
  depthMax: number,
  where: string,
): { readonly kind: "parsed"; readonly parsed: unknown; readonly shape: JsonShape } | ReadProblem {
  const scan = scanJson(text, place, depthMax);
  if (scan.kind !== "scanned") return scanProblem(scan, text, depthMax, where);
  try {
    return { kind: "parsed", parsed: JSON.parse(text), shape: scan };
  } catch {
    return syntaxProblem(text, where);
  }
}

function scanProblem(scan: Exclude<JsonScan, JsonShape>, text: string, depthMax: number, where: string): ReadProblem {
  const place = byteWords(text, scan.at);
  switch (scan.kind) {
    case "too_deep":
      return problem(
        "TOO_DEEP",
        `${where}: expected at most ${String(depthMax)} objects and lists in one another, got more ${place}`,
      );
    case "repeated_key":
      return problem(
        "BAD_JSON",
        `${where}: expected each key once in an object, got ${quoted(scan.key)} again ${place}`,
      );
    case "lone_surrogate":
      return problem("BAD_UNICODE", `${where}: expected well-formed Unicode, got half a surrogate pair ${place}`);
  }
}

function syntaxProblem(text: string, where: string): ReadProblem {
  if (text.startsWith("\ufeff"))
    return problem("BAD_JSON", `${where}: expected JSON text, got a byte order mark at byte 0; send it without`);
  const found = locateJsonError(text);
  if (found === null) return problem("BAD_JSON", `${where}: expected JSON text, got something else`);
  const got = found.at >= text.length ? "the end of the text" : "something else";
  return problem("BAD_JSON", `${where}: expected ${found.expected}, got ${got} ${byteWords(text, found.at)}`);
}

function byteWords(text: string, index: number): string {
  return `at byte ${String(Buffer.byteLength(text.slice(0, index)))}`;
}

/** No JSON text begins with such a byte, and 0 begins a value of a schema registry. */
function notJson(firstByte: number): ReadProblem {
  const message =
    firstByte === 0
      ? "value: expected JSON, got the first byte 0 of a schema registry's encoding, and no registry is configured; set registry.url"
      : `value: expected JSON, or 0 as first byte of a schema registry's encoding, got the first byte ${String(firstByte)}`;
  return problem("BAD_AVRO", message);
}

/** The headers stand for the members; a priority that is no number is left as text for the shape check to name. */
function bareDocument(
  body: Readonly<Record<string, unknown>>,
  headers: ReadHeaders,
): Readonly<Record<string, unknown>> {
  const priority =
    headers.priority !== null && /^\d{1,9}$/.test(headers.priority) ? Number(headers.priority) : headers.priority;
  const { format, mode, deadline, chain } = headers;
  return { format, mode, deadline, chain, priority, body };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function problem(code: ReadCode, message: string): ReadProblem {
  return { kind: "problem", code, message };
}
