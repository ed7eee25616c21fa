/** Anthropic: its key, errors and calls. */
import type { IncomingHttpHeaders } from "node:http";
import { retryAfterHeaders } from "../engine/faults.js";
import type { ProviderApi } from "../engine/provider-api.js";
import type { Refusal } from "../engine/refusal.js";
import { batchApi, batchOperations } from "./batches.js";
import { errorBody, refusalFor, refuse } from "./errors.js";
import { anthropicMessages, countTokensOperation } from "./messages.js";
import { modelOperations } from "./models.js";
import { rateHeaders } from "./rate-headers.js";

/** The key comes as x-api-key; a bearer token is accepted in its place. */
function readKey(headers: IncomingHttpHeaders): { readonly key: string } | { readonly refusal: Refusal } {
  const own = headers["x-api-key"];
  const key = typeof own === "string" && own !== "" ? own : /^Bearer\s+(\S+)$/i.exec(headers.authorization ?? "")?.[1];
  if (key !== undefined) return { key };
  return { refusal: refuse(401, "authentication_error", "the header x-api-key is required") };
}

export const anthropic: ProviderApi = {
  name: "anthropic",
  requestIdHeader: "request-id",
  readKey,
  wrongKey: refuse(401, "authentication_error", "the x-api-key given is not valid"),
  quotaGone: refuse(402, "billing_error", "the credit balance is too low to access the API"),
  refusalFor,
  errorBody,
  rateRefusal: (rates, form) => ({
    ...refuse(429, "rate_limit_error", "this request would exceed the rate limit"),
    headers: retryAfterHeaders(form, rates.retryAfterMs),
  }),
  rateHeaders: (rates) => rateHeaders(rates, Date.now()),
  claims: (_path, headers) => headers["anthropic-version"] !== undefined || headers["x-api-key"] !== undefined,
  direct: [anthropicMessages],
  operations: (parts) => [countTokensOperation(parts), ...batchOperations(parts), ...modelOperations(parts)],
  batchApis: [batchApi],
};
