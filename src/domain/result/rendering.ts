import { ERROR_CODES, type ErrorClass, type ErrorCode, type Failure, type ProviderError } from "../failure.js";

/** What rendered records say of this installation. */
export interface RenderSettings {
  readonly environment: string;
  readonly cluster: string;
  readonly group: string;
  readonly costsTopic: string;
  readonly eventsTopic: string;
  /** How values leave that are not JSON; left out: all are. */
  readonly encoders?: ValueEncoders;
}

/** One for all results, wherever they go, one for all cost records and one for all events; null: JSON. */
export interface ValueEncoders {
  readonly result: ValueEncoder | null;
  readonly cost: ValueEncoder | null;
  readonly event: ValueEncoder | null;
}

/** A record as schemas/result.avsc, cost.avsc and event.avsc lay it out: one level, whole numbers, times in milliseconds, JSON text for the rest. */
export type FlatRecord = Readonly<Record<string, string | number | bigint | boolean | null>>;

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

const SECONDS_KEPT = 64;
const secondTexts = new Map<number, string>();

/** Times leave as ISO 8601 UTC. The part down to the second is kept for a while: a group of records has a handful of them. */
export function iso(timeMs: number): string {
  const ms = Math.floor(timeMs);
  const second = Math.floor(ms / 1000);
  let text = secondTexts.get(second);
  if (text === undefined) {
    text = new Date(second * 1000).toISOString().slice(0, -4);
    if (secondTexts.size >= SECONDS_KEPT) secondTexts.clear();
    secondTexts.set(second, text);
  }
  return `${text}${String(ms - second * 1000).padStart(3, "0")}Z`;
}

export interface ResultError {
  readonly code: ErrorCode;
  readonly class: ErrorClass;
  readonly message: string;
  readonly replayable: boolean;
  readonly retryAt: string | null;
  readonly provider: ProviderError | null;
}

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

/** What a record is, for its `ce_type`, and whose encoder made its value. */
const ENCODER_OF = { "sluice.result.v1": "result", "sluice.event.v1": "event" } as const;

/** CloudEvents headers in binary mode. */
export function cloudEvent(
  settings: RenderSettings,
  id: string,
  type: keyof typeof ENCODER_OF,
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
    contentTypeHeader(settings.encoders?.[ENCODER_OF[type]]),
  ];
}
