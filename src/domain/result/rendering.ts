import { ERROR_CODES, type Failure } from "../failure.js";
import type { FlatRecord } from "./flat-record.js";
import type { ResultError } from "./result-document.js";

/** What rendered records say of this installation. */
export interface RenderSettings {
  readonly environment: string;
  readonly cluster: string;
  readonly group: string;
  readonly costsTopic: string;
  /** How values leave that are not JSON; left out: all are. */
  readonly encoders?: ValueEncoders;
}

/** One for all results, wherever they go, and one for all cost records; null: JSON. */
export interface ValueEncoders {
  readonly result: ValueEncoder | null;
  readonly cost: ValueEncoder | null;
}

/** Turns a flat record into the bytes of a value. */
export interface ValueEncoder {
  /** What the header `content-type` says of such a value. */
  readonly contentType: string;
  /** Pure. @param topic where the value goes: each topic has a schema subject of its own. */
  readonly encode: (topic: string, record: FlatRecord) => Buffer;
}

const JSON_CONTENT_TYPE = "application/json";

/** The header that names a value's encoding. */
export function contentTypeHeader(encoder: ValueEncoder | null | undefined): [string, string] {
  return ["content-type", encoder?.contentType ?? JSON_CONTENT_TYPE];
}

/** Times leave as ISO 8601 UTC. */
export const iso = (ms: number): string => new Date(ms).toISOString();

/** The `error` of a result. */
export function errorOf(failure: Failure): ResultError {
  const facts = ERROR_CODES[failure.code];
  return {
    code: failure.code,
    class: facts.class,
    message: failure.message,
    replayable: facts.replayable,
    retryAt: failure.retryAtMs === null ? null : iso(failure.retryAtMs),
    provider: failure.provider,
  };
}

/** CloudEvents headers of a result, in binary mode. */
export function cloudEvent(
  settings: RenderSettings,
  id: string,
  type: string,
  atMs: number,
  subject: string,
): [string, string][] {
  return [
    ["ce_specversion", "1.0"],
    ["ce_id", id],
    ["ce_source", `/sluice/${settings.environment}`],
    ["ce_type", type],
    ["ce_time", iso(atMs)],
    ["ce_subject", subject],
    contentTypeHeader(settings.encoders?.result),
  ];
}
