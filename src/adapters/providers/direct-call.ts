import type { AttemptOutcome } from "../../domain/failure.js";
import type { Provider, ProviderAnswer, ProviderCall, ProviderFailure, ProviderNotSent } from "../../ports/provider.js";
import { classifyError, errorWord } from "./error-table.js";
import type { ErrorRow, ErrorWords } from "./error-table.js";
import { createHttpCaller, headerOf } from "./http.js";
import type { HttpAnswer, HttpHeaders, HttpOptions, HttpReply } from "./http.js";
import type { RateLimitReading } from "./rate-limit-reading.js";
import { retryAfterMs } from "./retry-after.js";

/**
 * The way of a direct call that all providers share: build the request, post it, tell what came back. What differs between
 * providers is a `WireFormat`: small converters and a table of errors. Nothing here throws for provider trouble, nothing is repeated.
 */

/** An account of the config, as its adapter needs it. */
export interface ProviderSettings {
  readonly account: string;
  /** Null: the provider's own address. */
  readonly baseUrl: string | null;
  /** Asked at each call, since keys are re-read on change. Null: no key is sent (a server of one's own). */
  readonly apiKey: () => string | null;
  readonly connectionsMax: number;
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly responseBytesMax: number;
  /** Wall clock, for Retry-After given as a date. */
  readonly nowMs: () => number;
  /** Told what the provider says of its limits, with each answer that says something. Left out: not looked at. */
  readonly onRateLimits?: (readings: readonly RateLimitReading[]) => void;
}

/** What an answer of status 200 holds; a text instead says why it is none. */
export type ReadAnswer =
  Omit<ProviderAnswer, "kind" | "bodyText" | "requestId"> | { readonly kind: "unusable"; readonly because: string };

export interface WireFormat {
  /** For messages: "openai answered 429 …". */
  readonly label: string;
  readonly defaultBaseUrl: string | null;
  readonly path: string;
  readonly requestIdHeader: string;
  /** Name, value, name, value, … of every call with this key. */
  headers(apiKey: string | null): readonly string[];
  /** Null when the caller's body is no JSON object. */
  toRequest(call: ProviderCall): string | null;
  fromResponse(bodyText: string): ReadAnswer;
  fromError(bodyText: string | null): ErrorWords;
  readonly errors: readonly ErrorRow[];
  rateLimits(headers: HttpHeaders, nowMs: number): readonly RateLimitReading[];
}

export function createDirectProvider(settings: ProviderSettings, wire: WireFormat): Provider {
  const http = createHttpCaller(httpOptions(settings, wire));
  // A key changes once in months; the headers are the same from call to call until then.
  let known: { readonly apiKey: string | null; readonly headers: readonly string[] } | null = null;
  const headersFor = (attemptId: string): string[] => {
    const apiKey = settings.apiKey();
    if (known === null || known.apiKey !== apiKey) known = { apiKey, headers: wire.headers(apiKey) };
    return [...known.headers, "x-client-request-id", attemptId];
  };
  return {
    account: settings.account,
    call: async (call, signal) => {
      const bodyText = wire.toRequest(call);
      if (bodyText === null) return notAskedFor(wire);
      const headers = headersFor(call.attemptId);
      const { timeoutMs, sendWithinMs, maySend } = call;
      const reply = await http.post({ path: wire.path, headers, bodyText, timeoutMs, sendWithinMs, maySend }, signal);
      if (settings.onRateLimits !== undefined) reportLimits(settings, wire, reply);
      return reply.kind === "answer" ? readAnswer(reply, wire, settings) : brokenCall(reply, wire);
    },
    close: () => http.close(),
  };
}

function httpOptions(settings: ProviderSettings, wire: WireFormat): HttpOptions {
  const baseUrl = settings.baseUrl ?? wire.defaultBaseUrl;
  if (baseUrl === null)
    throw new TypeError(`The account ${settings.account} needs a baseUrl: its kind has no address of its own.`);
  return { ...settings, baseUrl };
}

function reportLimits(settings: ProviderSettings, wire: WireFormat, reply: HttpReply): void {
  const readings = wire.rateLimits(reply.headers, settings.nowMs());
  if (readings.length > 0) settings.onRateLimits?.(readings);
}

function readAnswer(reply: HttpAnswer, wire: WireFormat, settings: ProviderSettings): ProviderAnswer | ProviderFailure {
  if (reply.status < 200 || reply.status >= 400) return errorAnswer(reply, wire, settings);
  const because = problemOf(reply);
  if (because !== null) {
    const bad = badResponse(reply, wire, because);
    return reply.problem === "too_long" ? { ...bad, cutOffBytes: settings.responseBytesMax } : bad;
  }
  const bodyText = reply.bodyText ?? "";
  const read = wire.fromResponse(bodyText);
  if ("kind" in read) return badResponse(reply, wire, read.because);
  return { kind: "answered", bodyText, requestId: headerOf(reply.headers, wire.requestIdHeader), ...read };
}

/** What is wrong with an answer before its JSON is looked at. Bodies are never quoted: they may hold an answer. */
function problemOf(reply: HttpAnswer): string | null {
  if (reply.status >= 300) return "a redirect, which is not followed: the key must not go to another place";
  if (reply.status !== 200) return "no whole answer";
  const encoding = headerOf(reply.headers, "content-encoding");
  if (encoding !== null && encoding !== "identity") return "a compressed body, though none was asked for";
  if (reply.problem === "too_long") return "an answer longer than responseBytesMax";
  if (reply.problem === "not_utf8") return "a body that is not UTF-8";
  const contentType = headerOf(reply.headers, "content-type");
  // Some servers of one's own send no type; then the body has to prove itself.
  return contentType === null || /[/+]json\b/i.test(contentType)
    ? null
    : `a body that is not JSON (${errorWord(contentType.split(";")[0]?.replace("/", ".")) ?? "unknown"})`;
}

function badResponse(reply: HttpAnswer, wire: WireFormat, because: string): ProviderFailure {
  return {
    kind: "failed",
    outcome: "bad_response",
    sent: "answered",
    message: `${wire.label} answered ${String(reply.status)} with ${because}`,
    retryAfterMs: null,
    provider: { status: reply.status, code: null, requestId: headerOf(reply.headers, wire.requestIdHeader) },
  };
}

function errorAnswer(reply: HttpAnswer, wire: WireFormat, settings: ProviderSettings): ProviderFailure {
  const words = wire.fromError(reply.bodyText);
  const { outcome, says } = classifyError(wire.errors, reply.status, words);
  const code = errorWord(words.code) ?? errorWord(words.type);
  return {
    kind: "failed",
    outcome,
    sent: "answered",
    message: `${wire.label} answered ${String(reply.status)}${code === null ? "" : ` ${code}`}: ${says}`,
    retryAfterMs: retryAfterMs(reply.headers, settings.nowMs()),
    provider: { status: reply.status, code, requestId: headerOf(reply.headers, wire.requestIdHeader) },
  };
}

type BrokenReply = Extract<HttpReply, { readonly kind: "broken" }>;

function brokenCall(reply: BrokenReply, wire: WireFormat): ProviderFailure | ProviderNotSent {
  const { because } = reply;
  const message = `${wire.label}: ${brokenWords(reply)}`;
  if (because === "no_connection") return { kind: "not_sent", because, message };
  if (because === "aborted" && reply.sent === "no") return { kind: "not_sent", because: "stopped", message };
  return {
    kind: "failed",
    outcome: brokenOutcome(because, reply.status),
    sent: reply.status === null ? reply.sent : "answered",
    message,
    retryAfterMs: null,
    provider: {
      status: reply.status,
      code: errorWord(reply.errorCode),
      requestId: headerOf(reply.headers, wire.requestIdHeader),
    },
  };
}

function brokenOutcome(
  because: Exclude<BrokenReply["because"], "no_connection">,
  status: number | null,
): Exclude<AttemptOutcome, "succeeded"> {
  switch (because) {
    case "aborted":
      return "in_doubt";
    case "deadline":
    case "idle":
      return "timed_out";
    case "connection":
      return status === null ? "connection_failed" : "bad_response";
    case "not_http":
      return "bad_response";
    case "not_built":
      return "auth_failed";
  }
}

function brokenWords(reply: BrokenReply): string {
  const code = errorWord(reply.errorCode);
  const how = code === null ? "" : ` (${code})`;
  const sent = reply.sent === "no" ? "before anything was sent" : "after the request was sent";
  switch (reply.because) {
    case "aborted":
      return `the router gave the call up ${sent}`;
    case "no_connection":
      return "no connection was there in time, nothing was sent";
    case "deadline":
      return `the call's time was over ${sent}`;
    case "idle":
      return `silence for longer than idleTimeoutMs ${sent}`;
    case "connection":
      return reply.status === null
        ? `the connection failed ${sent}${how}`
        : `the answer broke off after ${String(reply.receivedBytes)} bytes${how}`;
    case "not_http":
      return `the answer is not HTTP${how}`;
    case "not_built":
      return "the request could not be built: check the account's key for line breaks and other characters a header can't hold";
  }
}

function notAskedFor(wire: WireFormat): ProviderFailure {
  return {
    kind: "failed",
    outcome: "refused",
    sent: "no",
    message: `${wire.label}: the job's body is no JSON object, nothing was sent`,
    retryAfterMs: null,
    provider: { status: null, code: null, requestId: null },
  };
}
