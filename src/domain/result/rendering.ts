import { ERROR_CODES, type Failure } from "../failure.js";

/** What rendered records say of this installation. */
export interface RenderSettings {
  readonly environment: string;
  readonly cluster: string;
  readonly group: string;
  readonly costsTopic: string;
  readonly eventsTopic: string;
}

/** Times leave as ISO 8601 UTC. */
export const iso = (ms: number): string => new Date(ms).toISOString();

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
