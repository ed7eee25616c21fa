import type { EpochMs } from "../ids.js";
import { parseRfc3339 } from "../job/deadline.js";
import { parseDurationMs } from "./duration.js";

/** What an operator changes for the new generation of each replayed job; null leaves it as it was. */
export interface ReplaySettings {
  /** The new deadline: `afterMs` from the replay, or a fixed time. Null: the job's original time to live anew. */
  readonly deadline: { readonly afterMs: number } | { readonly atMs: EpochMs } | null;
  readonly chain: string | null;
}

export const NO_SETTINGS: ReplaySettings = { deadline: null, chain: null };

export type ReplaySettingsReading =
  { readonly kind: "settings"; readonly settings: ReplaySettings } | { readonly kind: "bad"; readonly message: string };

/** What the config allows. */
export interface ReplayTerms {
  /** The longest life of a job (delivery.maxTtlMs), which holds for replays too. */
  readonly maxTtlMs: number;
  readonly chains: readonly string[];
}

/**
 * Reads `deadline=+2h,chain=standard`.
 */
export function parseReplaySettings(text: string, nowMs: EpochMs, terms: ReplayTerms): ReplaySettingsReading {
  let settings = NO_SETTINGS;
  for (const part of text.split(",")) {
    const at = part.indexOf("=");
    const [name, value] = at < 0 ? [part.trim(), ""] : [part.slice(0, at).trim(), part.slice(at + 1).trim()];
    const read = readSetting(name, value, nowMs, terms);
    if (typeof read === "string") return { kind: "bad", message: `--set: ${read}` };
    settings = { ...settings, ...read };
  }
  return { kind: "settings", settings };
}

function readSetting(
  name: string,
  value: string,
  nowMs: EpochMs,
  { maxTtlMs, chains }: ReplayTerms,
): Partial<ReplaySettings> | string {
  if (name === "deadline") return readDeadline(value, nowMs, maxTtlMs);
  if (name !== "chain") return `expected deadline or chain, got "${name}"`;
  return chains.includes(value) ? { chain: value } : `chain: expected one of ${chains.join(", ")}, got "${value}"`;
}

function readDeadline(value: string, nowMs: EpochMs, maxTtlMs: number): Partial<ReplaySettings> | string {
  const afterMs = value.startsWith("+") ? parseDurationMs(value.slice(1)) : null;
  const atMs = afterMs === null ? parseRfc3339(value) : nowMs + afterMs;
  if (atMs === null)
    return `deadline: expected a duration from now like +2h or a time like 2026-12-01T12:00:00Z, got "${value}"`;
  if (atMs <= nowMs) return `deadline: expected a time to come, got "${value}"`;
  if (atMs - nowMs > maxTtlMs)
    return `deadline: expected at most ${String(maxTtlMs)} ms from now (delivery.maxTtlMs), got "${value}"`;
  return { deadline: afterMs === null ? { atMs } : { afterMs } };
}
