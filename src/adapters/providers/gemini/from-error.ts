import { errorWord, NO_WORDS } from "../error-table.js";
import type { ErrorRow, ErrorWords } from "../error-table.js";
import { isJsonObject, objectIn, textIn } from "../json-object.js";
import type { JsonObject } from "../json-object.js";

/**
 * Source: Gemini API error guide, 2026-08, and what users see of it. The type is the status in words, the code the reason or the quota
 * that its details name. Order counts: the first row that matches.
 */
export const GEMINI_ERRORS: readonly ErrorRow[] = [
  { status: 400, words: ["API_KEY_INVALID"], outcome: "auth_failed", says: "the key is not accepted; check apiKey" },
  { status: 400, message: /^API key /, outcome: "auth_failed", says: "the key is not accepted; check apiKey" },
  {
    status: 400,
    message: /token count\b.*\bexceeds/i,
    outcome: "context_too_long",
    says: "the prompt is longer than the model's window",
  },
  {
    status: 400,
    words: ["FAILED_PRECONDITION"],
    outcome: "auth_failed",
    says: "the account can't use this: check billing and whether the country is supported",
  },
  { status: 400, outcome: "refused", says: "the request is not valid for this model" },
  { status: 401, outcome: "auth_failed", says: "the key is not accepted; check apiKey" },
  { status: 402, outcome: "quota_exhausted", says: "payment is required; check billing" },
  { status: 403, words: ["BILLING_DISABLED"], outcome: "quota_exhausted", says: "billing is off; check the project" },
  { status: 403, outcome: "auth_failed", says: "the key lacks permission" },
  {
    status: 404,
    words: ["NOT_FOUND"],
    outcome: "auth_failed",
    says: "the model does not exist or the account has no access to it",
  },
  { status: 408, outcome: "overloaded", says: "the provider timed out" },
  { status: 409, outcome: "overloaded", says: "a conflict at the provider" },
  { status: 413, outcome: "refused", says: "the request is too large" },
  {
    status: 429,
    codeLike: /PerDay/,
    outcome: "quota_exhausted",
    says: "the quota of the day is used up; it comes back at midnight Pacific time",
  },
  { status: 429, outcome: "rate_limited", says: "too many requests or tokens" },
  { status: 499, outcome: "overloaded", says: "the provider cancelled the call" },
  { status: 500, outcome: "overloaded", says: "a fault at the provider" },
  { status: 501, outcome: "auth_failed", says: "the provider does not offer this call for the model" },
  { status: 502, outcome: "overloaded", says: "a fault at the provider's edge" },
  { status: 503, outcome: "overloaded", says: "the model is overloaded" },
  { status: 504, outcome: "overloaded", says: "the provider timed out" },
];

/** `{"error":{code,message,status,details}}` of google.rpc; some edges wrap it in a list. */
export function fromGeminiError(bodyText: string | null): ErrorWords {
  const error = objectIn(firstObject(bodyText), "error");
  const details = Array.isArray(error["details"]) ? error["details"].filter(isJsonObject) : [];
  const quota = quotaOf(details);
  return {
    ...NO_WORDS,
    type: textIn(error, "status"),
    code: quota ?? reasonOf(details),
    message: textIn(error, "message"),
    // Beside a quota of the day the delay is the one of the minute and says nothing.
    retryAfterMs: quota !== null && /PerDay/.test(quota) ? null : retryDelayMs(details),
  };
}

function firstObject(bodyText: string | null): JsonObject {
  try {
    const body: unknown = JSON.parse(bodyText ?? "null");
    const first: unknown = Array.isArray(body) ? body[0] : body;
    return isJsonObject(first) ? first : {};
  } catch {
    return {};
  }
}

function ofType(details: readonly JsonObject[], name: string): JsonObject {
  return details.find((detail) => textIn(detail, "@type")?.endsWith(`/google.rpc.${name}`) === true) ?? {};
}

/** The quota that was passed; of several the day's, which is the one that does not come back soon. */
function quotaOf(details: readonly JsonObject[]): string | null {
  const violations = ofType(details, "QuotaFailure")["violations"];
  const ids = (Array.isArray(violations) ? violations.filter(isJsonObject) : []).flatMap(
    (violation) => errorWord(violation["quotaId"]) ?? [],
  );
  return ids.find((id) => id.includes("PerDay")) ?? ids[0] ?? null;
}

function reasonOf(details: readonly JsonObject[]): string | null {
  return textIn(ofType(details, "ErrorInfo"), "reason");
}

/** Decimal seconds with up to nine digits after the point, such as `45.837906927s`; milliseconds, rounded up. */
function retryDelayMs(details: readonly JsonObject[]): number | null {
  const delay = textIn(ofType(details, "RetryInfo"), "retryDelay");
  return delay !== null && /^\d{1,9}(?:\.\d{1,9})?s$/.test(delay) ? Math.ceil(Number(delay.slice(0, -1)) * 1000) : null;
}
