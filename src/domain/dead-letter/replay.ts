import { sha256, unambiguous } from "../dedupe/request-hash.js";
import { ERROR_CODES } from "../failure.js";
import type { EpochMs } from "../ids.js";
import type { ReuseSettings } from "../job/admission-settings.js";
import type { AdmittedJob } from "../job/job.js";
import { parseEnvelope, type Envelope } from "../result/envelope.js";
import type { ReplaySettings } from "./replay-settings.js";
import type { LetterState } from "./where.js";

/** Why a dead letter is not replayed. Nothing of it was changed. */
export const REPLAY_REFUSALS = {
  replayed_already: "it was replayed already",
  discarded: "it was discarded",
  parked: "its job or its delivery failed three times; give --parked to replay it all the same",
  no_job: "its record never became a job: send the corrected record to the jobs topic",
  not_replayable: "a replay can't help: correct the job and send it under a new id",
  job_not_failed: "its job did not fail or expire",
  id_forgotten: "the ledger no longer remembers its id, or a newer generation has it: send the record again",
  no_lifetime: "its deadline lay before its own record; give --set deadline=+2h",
  record_forgotten: "the record that could not be delivered is no longer in the ledger",
  no_request: "its request is no longer in the ledger and its record is not accepted any more: send it again",
} as const satisfies Record<string, string>;
export type ReplayRefusal = keyof typeof REPLAY_REFUSALS;

/** What decides whether a letter may be replayed, as far as the letter itself tells. */
export interface LetterFacts {
  readonly state: LetterState;
  readonly hasJob: boolean;
  readonly code: string;
}

/** @param parked whether parked letters were asked for. @returns null when it may be replayed. */
export function refusalOf(letter: LetterFacts, parked: boolean): ReplayRefusal | null {
  if (letter.state === "replayed") return "replayed_already";
  if (letter.state === "discarded") return "discarded";
  if (!isAboutDelivery(letter.code)) {
    if (!letter.hasJob) return "no_job";
    if (!isReplayable(letter.code)) return "not_replayable";
  }
  return letter.state === "parked" && !parked ? "parked" : null;
}

/** The third failure parks. @param redeliveries how often the record was sent again before and refused each time. */
export function undeliverableState(redeliveries: number): LetterState {
  return redeliveries >= 2 ? "parked" : "open";
}

/** A replay of such a letter sends the record out again; its job, if there is one, is left as it is. */
export function isAboutDelivery(code: string): boolean {
  return code === "REPLY_UNDELIVERABLE";
}

/** A code that this build does not know is left to the build that wrote it. */
function isReplayable(code: string): boolean {
  return Object.hasOwn(ERROR_CODES, code) && ERROR_CODES[code as keyof typeof ERROR_CODES].replayable; // it is one of them
}

/** The first life of a job, kept in the envelope of its replays: `--set` for one replay does not change the next. */
interface ReplayedEnvelope extends Envelope {
  readonly originalTtlMs?: number;
}

/** @returns the envelope of the new generation with its deadline; null when the original life was none and no deadline is set. */
export function replayedEnvelope(
  text: string,
  settings: ReplaySettings,
  nowMs: EpochMs,
): { readonly text: string; readonly deadlineMs: EpochMs } | null {
  const envelope: ReplayedEnvelope = parseEnvelope(text);
  const originalTtlMs = envelope.originalTtlMs ?? envelope.deadlineMs - envelope.submittedAtMs;
  if (settings.deadline === null && originalTtlMs <= 0) return null;
  const deadlineMs =
    settings.deadline === null
      ? nowMs + originalTtlMs
      : "atMs" in settings.deadline
        ? settings.deadline.atMs
        : nowMs + settings.deadline.afterMs;
  return { text: JSON.stringify({ ...envelope, deadlineMs, originalTtlMs }), deadlineMs };
}

/** Key of an execution whose chain an operator changed: stands for the old key, which covers all else, and the new chain. */
export function keyWithChain(key: Buffer, chain: string): Buffer {
  return sha256(unambiguous(["replay.1", key.toString("hex"), chain]));
}

export type CacheWishes = Pick<AdmittedJob, "cacheRead" | "cacheMaxAgeMs">;

/**
 * What the job said about answers of others. Read from its record, since the ledger does not keep it; from a record that is no JSON
 * (Avro) it can't be read here, and then only its own answers serve: what a sender forbade is never done.
 */
export function cacheWishesOf(recordValue: Buffer | null, reuse: ReuseSettings): CacheWishes {
  const { cacheMaxAgeMs } = reuse;
  const cache = memberOf(parsed(recordValue), "cache");
  if (cache === undefined || !reuse.dedupe || !reuse.cache) return { cacheRead: false, cacheMaxAgeMs };
  const maxAge = memberOf(cache, "maxAgeMs");
  return {
    cacheRead: memberOf(cache, "read") !== false,
    cacheMaxAgeMs: typeof maxAge === "number" ? maxAge : cacheMaxAgeMs,
  };
}

function parsed(value: Buffer | null): unknown {
  if (value === null) return undefined;
  try {
    return JSON.parse(value.toString("utf8"));
  } catch {
    return undefined; // not JSON: nothing can be read from it
  }
}

/** Undefined: there is nothing to look into. An absent or null member of an object is an empty one. */
function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name] ?? {}; // an object that JSON.parse made
}
