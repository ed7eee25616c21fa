import type { AttemptOutcome } from "../../domain/failure.js";
import type { Provider, ProviderAnswer, ProviderCall, ProviderFailure, ProviderNotSent } from "../../ports/provider.js";
import { classifyError, errorWord } from "./error-table.js";
import { createHttpCaller, headerOf } from "./http.js";
import type { HttpAnswer, HttpHeaders, HttpOptions, HttpReply } from "./http.js";
import type { RateLimitReading } from "./rate-limit-reading.js";
import { retryAfterMs } from "./retry-after.js";
import { translatedCall, unsent } from "./translated-call.js";
import type { WireCall, WireFormat } from "./wire-format.js";

/**
 * The way of a direct call that all providers share: build the request, post it, tell what came back. What differs between
 * providers is a `WireFormat`. A job in a format that the provider doesn't speak is translated on the way out and back; in its own it
 * is text that is edited, never parsed. Nothing here throws for provider trouble, nothing is repeated.
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
  readonly onRateLimits?: (readings: readonly RateLimitReading[], model: string) => void;
}

type Outcome = ProviderAnswer | ProviderFailure | ProviderNotSent;
type Post = (own: WireCall, call: ProviderCall, signal: AbortSignal) => Promise<Outcome>;

export function createDirectProvider(settings: ProviderSettings, wire: WireFormat): Provider {
  const http = createHttpCaller(httpOptions(settings, wire));
  // A key changes once in months; the headers are the same from call to call until then.
  let known: { readonly apiKey: string | null; readonly headers: readonly string[] } | null = null;
  const headersFor = (attemptId: string): string[] => {
    const apiKey = settings.apiKey();
    if (known === null || known.apiKey !== apiKey) known = { apiKey, headers: wire.headers(apiKey) };
    return [...known.headers, "x-client-request-id", attemptId];
  };
  const post: Post = async (own, call, signal) => {
    const request = own.toRequest(call);
    if (request === null) return unsent(wire, "the job's body is no JSON object");
    const { path, bodyText } = request;
    const headers = headersFor(call.attemptId);
    const { timeoutMs, sendWithinMs, maySend } = call;
    const reply = await http.post({ path, headers, bodyText, timeoutMs, sendWithinMs, maySend }, signal);
    if (settings.onRateLimits !== undefined) reportLimits(settings, wire, reply, call.model);
    return reply.kind === "answer" ? readAnswer(reply, wire, own, settings) : brokenCall(reply, wire);
  };
  return {
    account: settings.account,
    call: (call, signal) => {
      const own = wire.calls[call.format];
      return own === undefined
        ? translatedCall(wire, call, (other, spoken) => post(other, spoken, signal))
        : post(own, call, signal);
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

function reportLimits(settings: ProviderSettings, wire: WireFormat, reply: HttpReply, model: string): void {
  const readings = wire.rateLimits(reply.headers, settings.nowMs());
  if (readings.length > 0) settings.onRateLimits?.(readings, model);
}

/** What an answer says, or why it is none. Never throws. */
export function readAnswer(
  reply: HttpAnswer,
  wire: WireFormat,
  own: WireCall,
  settings: Pick<ProviderSettings, "nowMs" | "responseBytesMax">,
): ProviderAnswer | ProviderFailure {
  if (reply.status < 200 || reply.status >= 400) return errorAnswer(reply, wire, settings);
  const because = problemOf(reply);
  if (because !== null) {
    const bad = badResponse(reply, wire, because);
    return reply.problem === "too_long" ? { ...bad, cutOffBytes: settings.responseBytesMax } : bad;
  }
  const bodyText = reply.bodyText ?? "";
  const read = own.fromResponse(bodyText);
  if ("kind" in read) return badResponse(reply, wire, read.because);
  const requestId = requestIdOf(reply.headers, wire) ?? read.requestId ?? null;
  return { kind: "answered", bodyText, ...read, requestId };
}

/** What is wrong with an answer before its JSON is looked at. Bodies are never quoted: they may hold an answer. */
export function problemOf(reply: HttpAnswer): string | null {
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

export function badResponse(reply: HttpAnswer, wire: WireFormat, because: string): ProviderFailure {
  return {
    kind: "failed",
    outcome: "bad_response",
    sent: "answered",
    message: `${wire.label} answered ${String(reply.status)} with ${because}`,
    retryAfterMs: null,
    provider: { status: reply.status, code: null, requestId: requestIdOf(reply.headers, wire) },
  };
}

export function errorAnswer(
  reply: HttpAnswer,
  wire: WireFormat,
  settings: Pick<ProviderSettings, "nowMs">,
): ProviderFailure {
  const words = wire.fromError(reply.bodyText);
  const { outcome, says } = classifyError(wire.errors, reply.status, words);
  const code = errorWord(words.code) ?? errorWord(words.type);
  const nowMs = settings.nowMs();
  const resetMs = outcome === "rate_limited" ? resetOf(wire.rateLimits(reply.headers, nowMs)) : null;
  return {
    kind: "failed",
    outcome,
    sent: "answered",
    message: `${wire.label} answered ${String(reply.status)}${code === null ? "" : ` ${code}`}: ${says}`,
    retryAfterMs: retryAfterMs(reply.headers, nowMs) ?? words.retryAfterMs ?? resetMs,
    provider: { status: reply.status, code, requestId: requestIdOf(reply.headers, wire) ?? words.requestId },
  };
}

/** When the limits that are used up are full again: for a provider that does not say how long to stay away. */
function resetOf(readings: readonly RateLimitReading[]): number | null {
  const resets = readings.flatMap(({ remaining, resetMs }) => (remaining === 0 && resetMs !== null ? [resetMs] : []));
  return resets.length === 0 ? null : Math.max(...resets);
}

function requestIdOf(headers: HttpHeaders, wire: WireFormat): string | null {
  return wire.requestIdHeader === null ? null : headerOf(headers, wire.requestIdHeader);
}

type BrokenReply = Extract<HttpReply, { readonly kind: "broken" }>;

export function brokenCall(reply: BrokenReply, wire: WireFormat): ProviderFailure | ProviderNotSent {
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
      requestId: requestIdOf(reply.headers, wire),
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
