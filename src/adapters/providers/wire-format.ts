import type { RequestFormat } from "../../domain/job/job.js";
import type { ProviderAnswer, ProviderCall } from "../../ports/provider.js";
import type { ErrorRow, ErrorWords } from "./error-table.js";
import type { HttpHeaders } from "./http.js";
import type { RateLimitReading } from "./rate-limit-reading.js";

/** What differs between providers in a direct call: small converters, one pair for each format that is spoken, and a table of errors. */
export interface WireFormat {
  /** For messages: "openai answered 429 …". */
  readonly label: string;
  readonly defaultBaseUrl: string | null;
  /** Null: the provider names a call in the body of its answer only. */
  readonly requestIdHeader: string | null;
  /** Name, value, name, value, … of every call with this key. */
  headers(apiKey: string | null): readonly string[];
  /** By the formats that are spoken without translation: the ones that the kind's facts list. */
  readonly calls: Readonly<Partial<Record<RequestFormat, WireCall>>>;
  fromError(bodyText: string | null): ErrorWords;
  readonly errors: readonly ErrorRow[];
  rateLimits(headers: HttpHeaders, nowMs: number): readonly RateLimitReading[];
}

export interface WireCall {
  /** Null when the caller's body is no JSON object. */
  toRequest(call: CallBody): WireRequest | null;
  fromResponse(bodyText: string): ReadAnswer;
}

/** What a request is made of, that of a direct call and that of a batch line. */
export type CallBody = Pick<ProviderCall, "format" | "model" | "bodyText" | "maxOutputTokensDefault">;

export interface WireRequest {
  /** Below the base URL, beginning with a slash. */
  readonly path: string;
  readonly bodyText: string;
}

/** What an answer of status 200 holds; a text instead says why it is none. */
export type ReadAnswer =
  | (Omit<ProviderAnswer, "kind" | "bodyText" | "requestId" | "unfit"> & {
      /** The provider's name of the call, for those that have no header for it. */
      readonly requestId?: string | null;
    })
  | { readonly kind: "unusable"; readonly because: string };

/** The request at a fixed path; null stays null. */
export function at(path: string, bodyText: string | null): WireRequest | null {
  return bodyText === null ? null : { path, bodyText };
}
