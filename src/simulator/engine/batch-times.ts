/** How long the stretches of a batch's life take, in simulated time. */
import { digestNumber, digestOf } from "./chat-answer.js";
import { integer, isObject, shape } from "./field-checks.js";

/** Simulated milliseconds. */
export type BatchTimesOption = {
  /** From its creation until it is in progress, at least. Default a minute. */
  readonly validatingMs?: number;
  /** From then until its last line is done, at least; its lines are spread over it. Default an hour. */
  readonly turnaroundMs?: number;
  /** Spread around `turnaroundMs`, by batch and seed. Default half an hour, and never more than the turnaround itself. */
  readonly jitterMs?: number;
  /** From its last line until its results stand, at least. Default a minute. */
  readonly finalizingMs?: number;
  /** From the call to cancel until it is cancelled, at least and at most 10 minutes. Default a minute. */
  readonly cancellingMs?: number;
};

export type BatchTimetable = Required<BatchTimesOption>;

const MINUTE_MS = 60_000;
const MS_MAX = 30 * 86_400_000;

const TIMES = shape(
  {},
  {
    validatingMs: integer(0, MS_MAX),
    turnaroundMs: integer(0, MS_MAX),
    jitterMs: integer(0, MS_MAX),
    finalizingMs: integer(0, MS_MAX),
    cancellingMs: integer(0, 10 * MINUTE_MS),
  },
);

/**
 * Reads the times from parsed JSON and fills in the defaults.
 * @throws Error naming the place that is wrong.
 */
export function parseBatchTimes(json: unknown): BatchTimetable {
  const problem = TIMES(json);
  if (problem !== null || !isObject(json))
    throw new Error(`batch times: at "${problem?.path.join(".") ?? ""}" expected ${problem?.expected ?? "an object"}`);
  // The check above proves the shape; this is the parsing edge.
  const stated: BatchTimesOption = json;
  const turnaroundMs = stated.turnaroundMs ?? 60 * MINUTE_MS;
  return {
    validatingMs: stated.validatingMs ?? MINUTE_MS,
    turnaroundMs,
    jitterMs: Math.min(turnaroundMs, stated.jitterMs ?? 30 * MINUTE_MS),
    finalizingMs: stated.finalizingMs ?? MINUTE_MS,
    cancellingMs: stated.cancellingMs ?? MINUTE_MS,
  };
}

/** One batch's turnaround: turnaroundMs - jitterMs + (bytes 0 to 3 of the digest of `<seed> <serial>`) mod (2 jitterMs + 1). */
export function turnaroundOf(times: BatchTimetable, seed: number, serial: number): number {
  const spread = digestNumber(digestOf(`${String(seed)} ${String(serial)}`), 0, 4) % (2 * times.jitterMs + 1);
  return times.turnaroundMs - times.jitterMs + spread;
}
