import { errorWord, NO_WORDS } from "../error-table.js";
import type { ErrorRow, ErrorWords } from "../error-table.js";
import { objectIn, parseJsonObject, textIn } from "../json-object.js";

/** The organisation's own state, which no other request changes. */
const ON_HOLD_WORDS = ["organization_on_hold", "cmek_key_disabled", "workspace_human_review_disabled"];
const SPEND_LIMIT_WORDS = ["enforced_spend_limit_reached", "contract_spend_limit_reached"];

/** Source: Anthropic error reference, 2026-09. Order counts: the first row that matches. */
export const ANTHROPIC_ERRORS: readonly ErrorRow[] = [
  {
    status: 400,
    message: /^prompt is too long/i,
    outcome: "context_too_long",
    says: "the prompt is longer than the model's window",
  },
  {
    status: 400,
    words: [...SPEND_LIMIT_WORDS, "billing_error"],
    outcome: "quota_exhausted",
    says: "a spend limit is reached; check billing",
  },
  {
    status: 400,
    message: /spend limit|usage limits|credit balance/i,
    outcome: "quota_exhausted",
    says: "a spend limit is reached; check billing",
  },
  { status: 400, words: ON_HOLD_WORDS, outcome: "auth_failed", says: "the organisation is held; ask the provider" },
  { status: 400, outcome: "refused", says: "the request is not valid for this model" },
  { status: 401, outcome: "auth_failed", says: "the key is not accepted; check apiKey" },
  { status: 402, outcome: "quota_exhausted", says: "the account can't pay; check billing" },
  {
    status: 403,
    words: SPEND_LIMIT_WORDS,
    outcome: "quota_exhausted",
    says: "a spend limit is reached; check billing",
  },
  { status: 403, outcome: "auth_failed", says: "the key lacks permission" },
  {
    status: 404,
    words: ["not_found_error"],
    outcome: "auth_failed",
    says: "the model does not exist or the account has no access to it",
  },
  { status: 409, outcome: "overloaded", says: "a conflict at the provider" },
  { status: 413, outcome: "refused", says: "the request is too large" },
  {
    status: 429,
    words: SPEND_LIMIT_WORDS,
    outcome: "quota_exhausted",
    says: "a spend limit is reached; check billing",
  },
  { status: 429, outcome: "rate_limited", says: "too many requests or tokens" },
  { status: 500, outcome: "overloaded", says: "a fault at the provider" },
  { status: 502, outcome: "overloaded", says: "a fault at the provider's edge" },
  { status: 503, outcome: "overloaded", says: "the provider is overloaded" },
  { status: 504, outcome: "overloaded", says: "the provider timed out" },
  { status: 529, outcome: "overloaded", says: "the provider is overloaded" },
];

/** `{"type":"error","error":{type,message,details:{error_code}}}`; the error code says more than the type where it is there. */
export function fromAnthropicError(bodyText: string | null): ErrorWords {
  const body = bodyText === null ? null : parseJsonObject(bodyText);
  if (body === null) return NO_WORDS;
  const error = objectIn(body, "error");
  return {
    ...NO_WORDS,
    type: textIn(error, "type"),
    code: textIn(objectIn(error, "details"), "error_code"),
    message: textIn(error, "message"),
    requestId: errorWord(body["request_id"]),
  };
}
