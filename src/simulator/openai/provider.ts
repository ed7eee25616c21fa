/** OpenAI: its key, errors, rate headers and calls. */
import type { IncomingHttpHeaders } from "node:http";
import { retryAfterHeaders } from "../engine/faults.js";
import type { RetryAfterForm } from "../engine/fault-rules.js";
import type { RateState } from "../engine/limits.js";
import type { ProviderApi } from "../engine/provider-api.js";
import type { Refusal } from "../engine/refusal.js";
import { openaiBatchApi } from "./batch-lines.js";
import { OpenAiBatches } from "./batches.js";
import { openaiChat } from "./chat.js";
import { openaiEmbeddings } from "./embeddings.js";
import { errorBody, invalid, refusalFor } from "./errors.js";
import { OpenAiFiles } from "./files.js";

function readKey(headers: IncomingHttpHeaders): { readonly key: string } | { readonly refusal: Refusal } {
  const key = /^Bearer\s+(\S+)$/i.exec(headers.authorization ?? "")?.[1];
  if (key !== undefined) return { key };
  return { refusal: invalid("No API key was given. Send it as 'Authorization: Bearer KEY'.", null, null, 401) };
}

/** A span of whole milliseconds as OpenAI writes it: `20ms`, `1.5s`, `6m0s`. */
export function goDuration(ms: number): string {
  if (ms < 1000) return `${String(ms)}ms`;
  const rest = (ms % 60_000) / 1000;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return minutes === 0 ? `${String(rest)}s` : `${String(minutes)}m${String(rest)}s`;
  return `${String(Math.floor(minutes / 60))}h${String(minutes % 60)}m${String(rest)}s`;
}

function rateHeaders(rates: RateState): readonly string[] {
  return [
    "x-ratelimit-limit-requests",
    String(rates.limitRequests),
    "x-ratelimit-remaining-requests",
    String(rates.remainingRequests),
    "x-ratelimit-reset-requests",
    goDuration(rates.resetRequestsMs),
    "x-ratelimit-limit-tokens",
    String(rates.limitTokens),
    "x-ratelimit-remaining-tokens",
    String(rates.remainingTokens),
    "x-ratelimit-reset-tokens",
    goDuration(rates.resetTokensMs),
  ];
}

function rateRefusal(rates: RateState, form: RetryAfterForm): Refusal {
  const type = rates.exceeded ?? "requests";
  return {
    status: 429,
    type,
    code: "rate_limit_exceeded",
    param: null,
    message: `Rate limit reached on ${type} per minute. Please try again in ${goDuration(rates.retryAfterMs)}.`,
    headers: retryAfterHeaders(form, rates.retryAfterMs),
  };
}

export const openai: ProviderApi = {
  name: "openai",
  requestIdHeader: "x-request-id",
  readKey,
  wrongKey: invalid("The API key given is not correct.", null, "invalid_api_key", 401),
  quotaGone: {
    status: 429,
    type: "insufficient_quota",
    code: "insufficient_quota",
    param: null,
    message: "You exceeded your current quota; check your plan and billing details.",
  },
  refusalFor,
  errorBody,
  rateRefusal,
  rateHeaders,
  claims: () => false,
  direct: [openaiChat, openaiEmbeddings],
  operations: (parts) => [...new OpenAiFiles(parts).operations(), ...new OpenAiBatches(parts).operations()],
  batchApis: [openaiBatchApi],
};
