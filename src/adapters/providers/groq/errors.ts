import type { ErrorRow } from "../error-table.js";

/**
 * Rows before those of OpenAI. Per-minute and per-day limits share their code, so only the message tells them apart, as users reported it; a request
 * that is larger than a minute's tokens will never pass. Source: Groq's guides on errors, rate limits and flex processing, read 2026-11-26.
 */
export const GROQ_ERRORS: readonly ErrorRow[] = [
  {
    status: 400,
    words: ["json_validate_failed", "tool_use_failed"],
    outcome: "bad_answer",
    says: "the model's answer did not keep to the schema or the tools",
  },
  {
    status: 413,
    words: ["rate_limit_exceeded", "tokens"],
    outcome: "context_too_long",
    says: "the request is larger than the account's tokens per minute for this model",
  },
  {
    status: 429,
    message: /per day \([RT]PD\)/,
    outcome: "quota_exhausted",
    says: "the day's requests or tokens are used up",
  },
  { status: 424, outcome: "overloaded", says: "something that the provider depends on failed" },
  { status: 498, outcome: "overloaded", says: "no room in the flex tier" },
];
