import { NO_WORDS } from "../error-table.js";
import type { ErrorRow, ErrorWords } from "../error-table.js";
import { isJsonObject, parseJsonObject, textIn } from "../json-object.js";
import type { JsonObject } from "../json-object.js";

/** Money is gone: the same status as "too fast", so these rows stand first. */
const QUOTA_WORDS = [
  "insufficient_quota",
  "credit_balance_exhausted",
  "organization_spend_limit_exceeded",
  "project_spend_limit_exceeded",
  "organization_usage_limit_exceeded",
];

/** Source: OpenAI API specification and error guide, 2026-08-21. Order counts: the first row that matches. */
export const OPENAI_LIKE_ERRORS: readonly ErrorRow[] = [
  {
    status: 400,
    words: ["context_length_exceeded"],
    outcome: "context_too_long",
    says: "the prompt is longer than the model's window",
  },
  {
    status: 400,
    words: ["content_policy_violation", "content_filter", "invalid_prompt"],
    outcome: "content_refused",
    says: "the prompt breaks the provider's content rules",
  },
  {
    status: 400,
    words: QUOTA_WORDS,
    outcome: "quota_exhausted",
    says: "the account's money or quota is used up; check plan and billing",
  },
  { status: 400, outcome: "refused", says: "the request is not valid for this model" },
  { status: 401, outcome: "auth_failed", says: "the key is not accepted; check apiKey" },
  { status: 402, outcome: "quota_exhausted", says: "payment is required; check plan and billing" },
  { status: 403, outcome: "auth_failed", says: "the key lacks permission, or the country is not supported" },
  {
    status: 404,
    words: ["model_not_found"],
    outcome: "auth_failed",
    says: "the model does not exist or the account has no access to it",
  },
  { status: 404, words: ["unknown_url"], outcome: "auth_failed", says: "there is no such path; check baseUrl" },
  { status: 408, outcome: "overloaded", says: "the provider timed out" },
  { status: 409, outcome: "overloaded", says: "a conflict at the provider" },
  { status: 413, outcome: "refused", says: "the request is too large" },
  { status: 422, outcome: "refused", says: "the request can't be processed" },
  {
    status: 429,
    words: QUOTA_WORDS,
    outcome: "quota_exhausted",
    says: "the account's money or quota is used up; check plan and billing",
  },
  { status: 429, words: ["resource_unavailable"], outcome: "overloaded", says: "no room in the flex tier" },
  { status: 429, outcome: "rate_limited", says: "too many requests or tokens" },
  { status: 500, outcome: "overloaded", says: "a fault at the provider" },
  { status: 502, outcome: "overloaded", says: "a fault at the provider's edge" },
  { status: 503, outcome: "overloaded", says: "the provider is overloaded" },
  { status: 504, outcome: "overloaded", says: "the provider timed out" },
];

/** `{"error":{message,type,code}}`; older vLLM puts the inner object flat, Ollama's own API sends `{"error":"text"}`. */
export function fromOpenaiLikeError(bodyText: string | null): ErrorWords {
  const body = bodyText === null ? null : parseJsonObject(bodyText);
  if (body === null) return NO_WORDS;
  const error = body["error"];
  if (typeof error === "string") return { ...NO_WORDS, message: error };
  return wordsOf(isJsonObject(error) ? error : body);
}

function wordsOf(error: JsonObject): ErrorWords {
  const code = error["code"];
  return {
    ...NO_WORDS,
    type: textIn(error, "type"),
    code: typeof code === "number" ? String(code) : textIn(error, "code"),
    message: textIn(error, "message"),
  };
}
