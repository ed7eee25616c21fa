import type { AttemptOutcome } from "../domain/failure.js";
import type { ProviderKind } from "../domain/route/route.js";
import type { FaultRule } from "./simulated.js";

type Outcome = Exclude<AttemptOutcome, "succeeded">;

/** An error as the provider documents it, and the class that it must be read as. */
export interface ErrorCase {
  readonly name: string;
  readonly fault: FaultRule["fault"];
  readonly outcome: Outcome;
  /** Left out: not looked at. */
  readonly retryAfterMs?: number | null;
}

const TEN_DAYS_MS = 864_000_000;
const answer = (
  name: string,
  status: number,
  body: unknown,
  outcome: Outcome,
  retryAfterMs?: number | null,
): ErrorCase => ({
  name,
  fault: { kind: "status", status, body },
  outcome,
  ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
});

const openai = (type: string, code: string | null, message = "The request failed."): unknown => ({
  error: { message, type, param: null, code },
});
const anthropic = (type: string, message = "The request failed.", errorCode?: string): unknown => ({
  type: "error",
  error: { type, message, ...(errorCode === undefined ? {} : { details: { error_code: errorCode } }) },
  request_id: "req_1",
});
const gemini = (
  code: number,
  status: string,
  message = "The request failed.",
  details?: readonly unknown[],
): unknown => ({
  error: { code, message, status, ...(details === undefined ? {} : { details }) },
});
const quota = (quotaId: string): unknown => ({
  "@type": "type.googleapis.com/google.rpc.QuotaFailure",
  violations: [
    { quotaMetric: "generativelanguage.googleapis.com/generate_content_requests", quotaId, quotaValue: "10" },
  ],
});
const retryIn = (retryDelay: string): unknown => ({ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay });

/** Each form in which a wait is told, for the kinds that tell it by a header. */
const WAITS: readonly ErrorCase[] = [
  {
    name: "429, wait told in seconds",
    fault: { kind: "rate_limited", retryAfter: "seconds", waitMs: 2_000 },
    outcome: "rate_limited",
    retryAfterMs: 2_000,
  },
  {
    name: "429, wait told as a date",
    fault: { kind: "rate_limited", retryAfter: "date", waitMs: 5_000 },
    outcome: "rate_limited",
    retryAfterMs: 5_000,
  },
  {
    name: "429, a wait of ten days",
    fault: { kind: "rate_limited", retryAfter: "absurd" },
    outcome: "rate_limited",
    retryAfterMs: TEN_DAYS_MS,
  },
];
const NO_WAIT: ErrorCase = {
  name: "429, no wait told",
  fault: { kind: "rate_limited", retryAfter: "missing" },
  outcome: "rate_limited",
  retryAfterMs: null,
};

const OPENAI: readonly ErrorCase[] = [
  answer("400, the caller's fault", 400, openai("invalid_request_error", null), "refused"),
  answer(
    "400, a parameter that the model refuses",
    400,
    openai("invalid_request_error", "unsupported_parameter"),
    "refused",
  ),
  answer("400, prompt too long", 400, openai("invalid_request_error", "context_length_exceeded"), "context_too_long"),
  answer("400, content policy", 400, openai("invalid_request_error", "content_policy_violation"), "content_refused"),
  answer("400, invalid prompt", 400, openai("invalid_request_error", "invalid_prompt"), "content_refused"),
  answer("401, key not accepted", 401, openai("invalid_request_error", "invalid_api_key"), "auth_failed"),
  answer("403, country or permission", 403, openai("invalid_request_error", null), "auth_failed"),
  answer("404, no such model", 404, openai("invalid_request_error", "model_not_found"), "auth_failed"),
  answer("408, timed out", 408, openai("timeout", null), "overloaded"),
  answer("409, conflict", 409, openai("conflict", null), "overloaded"),
  answer("413, too large", 413, openai("invalid_request_error", null), "refused"),
  answer("422, unprocessable", 422, openai("invalid_request_error", null), "refused"),
  ...WAITS,
  {
    name: "429, wait told in milliseconds",
    fault: { kind: "rate_limited", retryAfter: "ms", waitMs: 1_500 },
    outcome: "rate_limited",
    retryAfterMs: 1_500,
  },
  NO_WAIT,
  answer("429, slow down", 429, openai("rate_limit_error", "slow_down"), "rate_limited"),
  ...[
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
  ].map((code) => answer(`429, ${code}`, 429, openai("insufficient_quota", code), "quota_exhausted")),
  answer("500, server error", 500, openai("server_error", null), "overloaded"),
  answer("502, a page", 502, "<html>bad gateway</html>", "overloaded"),
  answer("503, overloaded", 503, openai("service_unavailable_error", "server_is_overloaded"), "overloaded"),
  answer("504, timed out", 504, openai("server_error", null), "overloaded"),
  answer("418, unknown", 418, openai("teapot", "teapot"), "unclassified"),
];

const ANTHROPIC: readonly ErrorCase[] = [
  answer("400, the caller's fault", 400, anthropic("invalid_request_error"), "refused"),
  answer(
    "400, prompt too long",
    400,
    anthropic("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
    "context_too_long",
  ),
  answer("401, key not accepted", 401, anthropic("authentication_error"), "auth_failed"),
  answer("402, billing", 402, anthropic("billing_error"), "quota_exhausted"),
  answer("403, permission", 403, anthropic("permission_error"), "auth_failed"),
  answer("404, no such model", 404, anthropic("not_found_error"), "auth_failed"),
  answer("409, conflict", 409, anthropic("conflict_error"), "overloaded"),
  answer("413, too large", 413, anthropic("request_too_large"), "refused"),
  answer("413, too large, from the edge", 413, "<html>too large</html>", "refused"),
  ...WAITS,
  answer(
    "429, spend limit reached",
    429,
    anthropic("rate_limit_error", "The spend limit is reached.", "enforced_spend_limit_reached"),
    "quota_exhausted",
  ),
  answer(
    "429, contract spend limit reached",
    429,
    anthropic("rate_limit_error", "The spend limit is reached.", "contract_spend_limit_reached"),
    "quota_exhausted",
  ),
  answer(
    "429, ramp too steep",
    429,
    anthropic("rate_limit_error", "Slower, please.", "ramp_limit_exceeded"),
    "rate_limited",
  ),
  answer("500, server error", 500, anthropic("api_error"), "overloaded"),
  answer("502, a page", 502, "<html>bad gateway</html>", "overloaded"),
  answer("504, timed out", 504, anthropic("timeout_error"), "overloaded"),
  answer("529, overloaded", 529, anthropic("overloaded_error"), "overloaded"),
  answer("418, unknown", 418, anthropic("teapot"), "unclassified"),
];

const GEMINI: readonly ErrorCase[] = [
  answer("400, the caller's fault", 400, gemini(400, "INVALID_ARGUMENT"), "refused"),
  answer(
    "400, prompt too long",
    400,
    gemini(
      400,
      "INVALID_ARGUMENT",
      "The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).",
    ),
    "context_too_long",
  ),
  answer(
    "400, malformed key",
    400,
    gemini(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    "auth_failed",
  ),
  answer("401, not authenticated", 401, gemini(401, "UNAUTHENTICATED"), "auth_failed"),
  answer("403, permission", 403, gemini(403, "PERMISSION_DENIED"), "auth_failed"),
  answer("404, no such model", 404, gemini(404, "NOT_FOUND"), "auth_failed"),
  answer(
    "429, per minute, with its wait",
    429,
    gemini(429, "RESOURCE_EXHAUSTED", "Too fast.", [
      quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier"),
      retryIn("2.5s"),
    ]),
    "rate_limited",
    2_500,
  ),
  answer(
    "429, per day",
    429,
    gemini(429, "RESOURCE_EXHAUSTED", "Used up.", [quota("GenerateRequestsPerDayPerProjectPerModel"), retryIn("3s")]),
    "quota_exhausted",
  ),
  answer("429, no details", 429, gemini(429, "RESOURCE_EXHAUSTED"), "rate_limited", null),
  answer("500, internal", 500, gemini(500, "INTERNAL"), "overloaded"),
  answer("502, a page", 502, "<html>bad gateway</html>", "overloaded"),
  answer("503, unavailable", 503, gemini(503, "UNAVAILABLE"), "overloaded"),
  answer("504, deadline", 504, gemini(504, "DEADLINE_EXCEEDED"), "overloaded"),
  answer("418, unknown", 418, gemini(418, "TEAPOT"), "unclassified"),
];

const COMPATIBLE: readonly ErrorCase[] = [
  answer(
    "400, the caller's fault (vLLM)",
    400,
    { error: { message: "Bad value.", type: "BadRequestError", param: null, code: 400 } },
    "refused",
  ),
  answer(
    "400, prompt too long (vLLM)",
    400,
    {
      error: {
        message: "This model's maximum context length is 4096 tokens.",
        type: "BadRequestError",
        param: null,
        code: 400,
      },
    },
    "context_too_long",
  ),
  answer(
    "400, prompt too long (older vLLM, flat)",
    400,
    {
      object: "error",
      message: "This model's maximum context length is 4096 tokens.",
      type: "BadRequestError",
      param: null,
      code: 400,
    },
    "context_too_long",
  ),
  answer(
    "400, prompt too long (llama.cpp)",
    400,
    {
      error: { code: 400, message: "too long", type: "exceed_context_size_error", n_prompt_tokens: 9000, n_ctx: 4096 },
    },
    "context_too_long",
  ),
  answer("401, key not accepted", 401, { error: "Unauthorized" }, "auth_failed"),
  answer(
    "404, model not pulled (Ollama)",
    404,
    openai("not_found_error", null, "model 'own' not found"),
    "auth_failed",
  ),
  ...WAITS,
  answer("500, server error", 500, openai("server_error", null), "overloaded"),
  answer(
    "503, still loading (llama.cpp)",
    503,
    { error: { code: 503, message: "Loading model", type: "unavailable_error" } },
    "overloaded",
  ),
  answer("503, server busy (Ollama)", 503, { error: "server busy, please try again" }, "overloaded"),
  answer("418, unknown", 418, openai("teapot", null), "unclassified"),
];

const BY_KIND: Readonly<Partial<Record<ProviderKind, readonly ErrorCase[]>>> = {
  openai: OPENAI,
  anthropic: ANTHROPIC,
  gemini: GEMINI,
  "openai-compatible": COMPATIBLE,
};

export function errorCases(kind: ProviderKind): readonly ErrorCase[] {
  return BY_KIND[kind] ?? [];
}
