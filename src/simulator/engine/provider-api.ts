/** What a provider is to the server: its key, its errors, its rate headers and its calls. One a folder; providers.ts lists them. */
import type { IncomingHttpHeaders } from "node:http";
import type { BatchApi } from "./batch-api.js";
import type { DirectOperation } from "./direct-operation.js";
import type { RetryAfterForm } from "./fault-rules.js";
import type { RateState } from "./limits.js";
import type { EngineParts, Operation } from "./operation.js";
import type { ProviderName } from "./price-table.js";
import type { Refusal } from "./refusal.js";

export type ProviderApi = {
  readonly name: ProviderName;
  /** null: answers carry no id in their headers. */
  readonly requestIdHeader: string | null;
  /** The key a request carries, or why it carries none. `url` is the request's path and query. */
  readKey(headers: IncomingHttpHeaders, url: string): { readonly key: string } | { readonly refusal: Refusal };
  /** true: keys are no matter here, even when the simulator is told which are right. */
  readonly takesAnyKey?: boolean;
  readonly wrongKey: Refusal;
  /** 429 or 402 for money or quota that is gone: waiting does not help. */
  readonly quotaGone: Refusal;
  /** This provider's own error for a plain fault of the server, the key or the transport. */
  refusalFor(status: number, message: string): Refusal;
  errorBody(refusal: Refusal, requestId: string): Record<string, unknown>;
  /** 429 for a call over its limits, with the time to wait in this form where the provider has a place for it (retryAfterHeaders in faults.ts). */
  rateRefusal(rates: RateState, form: RetryAfterForm): Refusal;
  /** Header names and values that a direct call's answer carries, one after the other; none where the provider sends none. */
  rateHeaders(rates: RateState): readonly string[];
  /** Whether a call to a path that nobody knows is meant for this provider. The first provider that says so answers it. */
  claims(path: string, headers: IncomingHttpHeaders): boolean;
  readonly direct: readonly DirectOperation[];
  operations(parts: EngineParts): readonly Operation[];
  readonly batchApis: readonly BatchApi[];
};
