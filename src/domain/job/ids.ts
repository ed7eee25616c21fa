import { uuidV5 } from "../dedupe/request-hash.js";
import type { LedgerKey } from "../ids.js";
import type { RecordCoordinates } from "./job.js";

/** Where a record lies, over all clusters. */
export interface ClusterCoordinates extends RecordCoordinates {
  readonly cluster: string;
}

/**
 * Id of a result, equal on every repeat: UUIDv5 of tenant, job id and generation.
 * @param refusedAt for generation -1 only: a refused record uses up no id, so its place in Kafka is part of the name.
 */
export function resultId(tenant: string, jobId: string, generation: number, refusedAt?: ClusterCoordinates): string {
  const place = refusedAt === undefined ? [] : placeParts(refusedAt);
  return uuidV5(["result", tenant, jobId, String(generation), ...place]);
}

/** Id of a cost record: `kind` is what it books (`charge`, `shared`, an adjustment's reason), `key` what it is about. */
export function costId(kind: string, ...key: readonly (string | null)[]): string {
  return uuidV5(["cost", kind, ...key]);
}

/** Id of an event: equal kind and key, equal id, so that a repeat is known as one. */
export function eventId(kind: string, ...key: readonly (string | null)[]): string {
  return uuidV5(["event", kind, ...key]);
}

/** Id of a job that was sent without one: its place in Kafka, so redelivery finds the same job. */
export function derivedJobId(place: ClusterCoordinates, timestampMs: number): string {
  return uuidV5(["job", ...placeParts(place), String(timestampMs)]);
}

function placeParts(place: ClusterCoordinates): string[] {
  return [place.cluster, place.topic, String(place.partition), String(place.offset)];
}

const DAY_DIGITS = 4;
const DAYS_MAX = 32 ** DAY_DIGITS - 1; // until the year 4840
const DIGIT_0 = 48;
const LETTER_A = 97;
const ATTEMPT_ID_FORM = /^[0-9a-v]{4}-[0-9a-v]{2,12}$/;

/**
 * Id of an attempt as providers see it (`custom_id` of a batch line): four digits of the day, a hyphen, the number, and one
 * check digit. Digits are those of RFC 4648 base32hex in lower case (0-9, a-v), most significant first, without padding.
 * At most 17 characters of `[0-9a-v-]`; never holds anything of the caller's.
 * @throws RangeError for a day or number that no ledger row has.
 */
export function attemptId(day: number, no: number): string {
  if (!Number.isSafeInteger(day) || day < 0 || day > DAYS_MAX) {
    throw new RangeError(`expected a day from 0 to ${String(DAYS_MAX)}, got ${String(day)}`);
  }
  if (!Number.isSafeInteger(no) || no < 0) throw new RangeError(`expected a number from 0 up, got ${String(no)}`);
  const dayDigits = day.toString(32).padStart(DAY_DIGITS, "0");
  const noDigits = no.toString(32);
  return `${dayDigits}-${noDigits}${checkDigit(dayDigits + noDigits)}`;
}

/** The ledger key that `attemptId` wrote, or null for any other text. One wrong digit or two exchanged ones are always noticed. */
export function parseAttemptId(text: string): LedgerKey | null {
  if (!ATTEMPT_ID_FORM.test(text)) return null;
  const day = Number.parseInt(text.slice(0, DAY_DIGITS), 32);
  const no = Number.parseInt(text.slice(DAY_DIGITS + 1, -1), 32);
  if (!Number.isSafeInteger(no)) return null;
  return attemptId(day, no) === text ? { day, no } : null; // written back: covers the check digit and leading zeros
}

/**
 * A linear code over the field of 32 elements (modulus x^5 + x^2 + 1): each digit is weighted with another power of x, so
 * any one wrong digit and any two exchanged digits change the sum.
 */
function checkDigit(digits: string): string {
  let sum = 0;
  for (let at = 0; at < digits.length; at += 1) {
    const code = digits.charCodeAt(at);
    sum = timesX(sum) ^ (code < LETTER_A ? code - DIGIT_0 : code - LETTER_A + 10);
  }
  return timesX(sum).toString(32);
}

function timesX(element: number): number {
  const shifted = element << 1;
  return shifted >= 32 ? shifted ^ 0b100101 : shifted;
}
