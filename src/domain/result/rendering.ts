import { ERROR_CODES, type Failure } from "../failure.js";

/** What rendered records say of this installation. */
export interface RenderSettings {
  readonly environment: string;
  readonly cluster: string;
  readonly group: string;
  readonly costsTopic: string;
}

const SECONDS_KEPT = 64;
const secondTexts = new Map<number, string>();

/** Times leave as ISO 8601 UTC. The part down to the second is kept for a while: a group of records has a handful of them. */
export function iso(ms: number): string {
  const second = Math.floor(ms / 1000);
  let text = secondTexts.get(second);
  if (text === undefined) {
    text = new Date(second * 1000).toISOString().slice(0, -4);
    if (secondTexts.size >= SECONDS_KEPT) secondTexts.clear();
    secondTexts.set(second, text);
  }
  return `${text}${String(ms - second * 1000).padStart(3, "0")}Z`;
}

/** The `error` of a result. */
export function errorOf(failure: Failure): Readonly<Record<string, unknown>> {
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

/** CloudEvents headers in binary mode. */
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
    ["content-type", "application/json"],
  ];
}
