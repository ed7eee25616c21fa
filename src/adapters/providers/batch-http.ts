import type { BatchCallFailure, CallLimits, CreateReply, SendLimits } from "../../ports/batch-provider.js";
import type { LineFault, ProviderBatch } from "../../domain/batch/provider-batch.js";
import { refusalOf } from "./batch-refusal.js";
import type { RefusalRow } from "./batch-refusal.js";
import { badResponse, brokenCall, errorAnswer, problemOf } from "./direct-call.js";
import type { ErrorWords } from "./error-table.js";
import type { HttpAnswer, HttpReply } from "./http.js";
import { createStreamCaller, wholeAnswer } from "./http-stream.js";
import type { OpenAnswer, StreamBody, StreamCaller, StreamRequest } from "./http-stream.js";
import { parseJsonObject } from "./json-object.js";
import type { JsonObject } from "./json-object.js";
import type { WireFormat } from "./wire-format.js";

/** An account of the config, as the batch side of its adapter needs it. */
export interface BatchSettings {
  readonly account: string;
  /** Null: the provider's own address. */
  readonly baseUrl: string | null;
  /** Asked at each call, since keys are re-read on change. */
  readonly apiKey: () => string | null;
  readonly connectionsMax: number;
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Longest answer about a batch, or page of them. */
  readonly answerBytesMax: number;
  /** Longest line of results that is read; of a longer one only the id. */
  readonly resultLineBytesMax: number;
  /** Wall clock, for Retry-After given as a date. */
  readonly nowMs: () => number;
}

export interface BatchRequest {
  readonly method: "GET" | "POST" | "DELETE";
  /** Below the base URL's path, beginning with a slash. */
  readonly path: string;
  readonly headers?: readonly string[];
  readonly body?: string | StreamBody;
}

type Broken = Extract<HttpReply, { readonly kind: "broken" }>;
/** What an answer was read as. */
export interface Read<Value> {
  readonly kind: "read";
  readonly value: Value;
}
type Body = { readonly kind: "body"; readonly body: JsonObject; readonly answer: HttpAnswer };

const ALWAYS = (): boolean => true;

/** Calls about batches to one account: where they go, with which headers, and what an answer means that is not the one hoped for. */
export class BatchHttp {
  readonly wire: WireFormat;
  readonly origin: string;
  /** Path of the base URL without a slash at its end. */
  readonly basePath: string;
  readonly settings: BatchSettings;
  readonly #http: StreamCaller;

  /** @throws TypeError for an account without a base URL whose kind has none, or one that is no URL. */
  constructor(settings: BatchSettings, wire: WireFormat) {
    const baseUrl = settings.baseUrl ?? wire.defaultBaseUrl;
    if (baseUrl === null)
      throw new TypeError(`The account ${settings.account} needs a baseUrl: its kind has no address of its own.`);
    const url = new URL(baseUrl);
    this.settings = settings;
    this.wire = wire;
    this.origin = url.origin;
    this.basePath = url.pathname.replace(/\/+$/, "");
    this.#http = createStreamCaller({ ...settings, origin: url.origin });
  }

  call(request: BatchRequest, limits: CallLimits | SendLimits, signal: AbortSignal): Promise<HttpReply> {
    return this.#http.call(this.#streamRequest(request, limits), this.settings.answerBytesMax, signal);
  }

  /** The body is to be pulled to its end or cancelled. */
  open(request: BatchRequest, limits: CallLimits, signal: AbortSignal): Promise<OpenAnswer | Broken> {
    return this.#http.open(this.#streamRequest(request, limits), signal);
  }

  /** The JSON object of a good answer. */
  bodyOf(reply: HttpReply): Body | BatchCallFailure {
    if (reply.kind === "broken" || problemOf(reply) !== null || reply.status >= 300) return this.failureOf(reply);
    const body = parseJsonObject(reply.bodyText ?? "");
    return body === null
      ? this.unusable(reply, "a body that is not a whole JSON object")
      : { kind: "body", body, answer: reply };
  }

  /** What the answer holds, read by `read`; null of it is an answer that is none. */
  read<Value>(
    reply: HttpReply,
    what: string,
    read: (body: JsonObject) => Value | null,
  ): Read<Value> | BatchCallFailure {
    const got = this.bodyOf(reply);
    if (got.kind === "failed") return got;
    const value = read(got.body);
    return value === null ? this.unusable(got.answer, `JSON that is no ${what}`) : { kind: "read", value };
  }

  /** For a reply that is not the one hoped for. */
  failureOf(reply: HttpReply): BatchCallFailure {
    if (reply.kind === "broken") return brokenFailure(reply, this.wire);
    if (reply.status < 200 || reply.status >= 400) return errorAnswer(reply, this.wire, this.settings);
    return this.unusable(reply, problemOf(reply) ?? "something else than was asked for");
  }

  unusable(answer: HttpAnswer, because: string): BatchCallFailure {
    return badResponse(answer, this.wire, because);
  }

  /** The error's words; none for an answer that is no error. */
  wordsOf(reply: HttpReply): ErrorWords {
    return this.wire.fromError(reply.kind === "answer" ? reply.bodyText : null);
  }

  /** Reads an answer that was opened to its end, for what it says of an error. */
  whole(answer: OpenAnswer): Promise<HttpReply> {
    return wholeAnswer(answer, this.settings.answerBytesMax);
  }

  close(): Promise<void> {
    return this.#http.close();
  }

  #streamRequest(request: BatchRequest, limits: CallLimits | SendLimits): StreamRequest {
    return {
      method: request.method,
      path: request.path,
      headers: mergedHeaders(this.wire.headers(this.settings.apiKey()), request),
      body: request.body ?? null,
      timeoutMs: limits.timeoutMs,
      sendWithinMs: "sendWithinMs" in limits ? limits.sendWithinMs : limits.timeoutMs,
      maySend: "maySend" in limits ? limits.maySend : ALWAYS,
    };
  }
}

/** The request's own headers go before the wire's; what describes a body is left out where there is none. */
function mergedHeaders(general: readonly string[], { headers = [], body }: BatchRequest): readonly string[] {
  const taken = new Set(headers.filter((_value, at) => at % 2 === 0));
  if (body === undefined) taken.add("content-type");
  const kept = general.filter((_value, at) => !taken.has(general[at - (at % 2)] ?? ""));
  return [...kept, ...headers];
}

/** A call that was given up unsent is a failure like any other here: who asks again is the caller. */
function brokenFailure(reply: Broken, wire: WireFormat): BatchCallFailure {
  const broken = brokenCall(reply, wire);
  if (broken.kind === "failed") return broken;
  return {
    kind: "failed",
    outcome: "connection_failed",
    sent: "no",
    message: broken.message,
    retryAfterMs: null,
    provider: { status: null, code: null, requestId: null },
  };
}

export interface CreateReading {
  readonly refusals: readonly RefusalRow[];
  fromBatch(body: JsonObject): ProviderBatch | null;
  /** Lines that the error names. */
  faultsOf(words: ErrorWords): readonly LineFault[];
}

/**
 * What a create came to. Only an answer that says no is a no: a fault at the provider or its edge, a time-out, a redirect or a good answer
 * that can't be read may all stand over a batch that exists.
 */
export function createReply(http: BatchHttp, reply: HttpReply, reading: CreateReading): CreateReply {
  if (reply.kind === "broken") return unsentOrUnclear(http, reply);
  if (mayHaveCreated(reply.status)) return { kind: "unclear", failure: http.failureOf(reply) };
  if (reply.status >= 400) {
    const { retryAfterMs, provider } = http.failureOf(reply);
    const words = { ...http.wordsOf(reply), status: reply.status, retryAfterMs, requestId: provider.requestId };
    const lines = reading.faultsOf(words);
    const { label, errors } = http.wire;
    return { kind: "refused", refusal: refusalOf({ label, errors, refusals: reading.refusals }, { ...words, lines }) };
  }
  const read = http.read(reply, "batch", (body) => reading.fromBatch(body));
  return read.kind === "failed" ? { kind: "unclear", failure: read } : { kind: "created", batch: read.value };
}

function mayHaveCreated(status: number): boolean {
  return (status >= 300 && status < 400) || status === 408 || status === 409 || status >= 500;
}

function unsentOrUnclear(http: BatchHttp, reply: Broken): CreateReply {
  const failure = http.failureOf(reply);
  if (reply.sent !== "no") return { kind: "unclear", failure };
  const because = reply.because === "aborted" ? "stopped" : "no_connection";
  return { kind: "not_sent", because, message: failure.message };
}
