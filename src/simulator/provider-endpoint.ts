/** One direct call's way: key, checks, fault, latency, bill, answer. The same for every provider. */
import { randomBytes } from "node:crypto";
import { isUtf8 } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Accounts } from "./accounts.js";
import { anthropicMessages } from "./anthropic-messages.js";
import type { BillFile } from "./bill-file.js";
import { billedNanoUsd } from "./bill-price.js";
import { composeAnswer, digestNumber, digestOf } from "./chat-answer.js";
import type { ChatAnswer, ChatCall } from "./chat-call.js";
import { deliver } from "./deliver.js";
import type { DirectApi, Refusal } from "./direct-api.js";
import type { FaultBook } from "./fault-rules.js";
import { answered, struck } from "./faults.js";
import type { Outcome } from "./faults.js";
import { openaiChat } from "./openai-chat.js";
import type { PriceTable } from "./price-table.js";
import { BODY_BYTES_MAX, readBody } from "./read-body.js";
import type { OpenCall, Traffic } from "./traffic.js";

/** How long the work of a call takes: fixed by its prompt and the seed, between ms - jitterMs and ms + jitterMs. */
export type Latency = { readonly ms: number; readonly jitterMs: number };

export type ProviderEndpointParts = {
  readonly prices: PriceTable;
  readonly bill: BillFile;
  readonly faults: FaultBook;
  readonly accounts: Accounts;
  readonly traffic: Traffic;
  readonly seed: number;
};

const APIS: ReadonlyMap<string, DirectApi> = new Map([openaiChat, anthropicMessages].map((api) => [api.path, api]));

/** One request with what is needed to answer it. */
type Exchange = {
  readonly api: DirectApi;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly open: OpenCall;
  readonly requestId: string;
};

/** A request that passed: what it asks for, and whose it is. */
type Accepted = { readonly call: ChatCall; readonly account: string };

export class ProviderEndpoint {
  latency: Latency;
  readonly #parts: ProviderEndpointParts;
  readonly #run = randomBytes(8).toString("hex");
  #lastId = 0;

  constructor(parts: ProviderEndpointParts, latency: Latency) {
    this.#parts = parts;
    this.latency = latency;
  }

  /** @param path the request's path without its query. */
  handle(request: IncomingMessage, response: ServerResponse, path: string): void {
    const known = APIS.get(path);
    const exchange: Exchange = {
      api: known ?? apiOfUnknownPath(request),
      request,
      response,
      open: this.#begin(request, response),
      requestId: this.#newRequestId(),
    };
    readBody(request, (body) => {
      const refusal = known === undefined ? unknownPath(exchange.api, request, path) : this.#serve(exchange, body);
      if (refusal !== null) this.#refuse(exchange, refusal);
    });
  }

  #begin(request: IncomingMessage, response: ServerResponse): OpenCall {
    const attempt = request.headers["x-client-request-id"];
    const traffic = this.#parts.traffic;
    const open = traffic.begin(typeof attempt === "string" && attempt !== "" ? attempt : null);
    response.once("close", () => {
      // A request that never came in whole will not be worked on.
      if (!request.complete) traffic.worked(open, null);
      traffic.closed(open, response.writableFinished, performance.now());
    });
    return open;
  }

  #newRequestId(): string {
    this.#lastId += 1;
    return `req_${this.#run}${this.#lastId.toString(16).padStart(16, "0")}`;
  }

  /** Starts the work, or says why not. */
  #serve(exchange: Exchange, body: Buffer | null): Refusal | null {
    const { api, request } = exchange;
    if (request.method !== "POST")
      return api.refusalFor(405, `${String(request.method)} is not allowed here; use POST.`);
    if (body === null) return api.refusalFor(413, `The body is longer than ${String(BODY_BYTES_MAX)} bytes.`);
    const accepted = this.#accept(exchange, body);
    if ("refusal" in accepted) return accepted.refusal;
    this.#work(exchange, accepted, body);
    return null;
  }

  #accept({ api, request }: Exchange, body: Buffer): Accepted | { readonly refusal: Refusal } {
    const carried = api.readKey(request.headers);
    if ("refusal" in carried) return carried;
    const account = this.#parts.accounts.labelOf(carried.key);
    if (account === null) return { refusal: api.wrongKey };
    const parsed = parseBody(request, body);
    if ("wrong" in parsed) return { refusal: api.refusalFor(400, parsed.wrong) };
    const checked = api.check(request.headers, parsed.json, this.#parts.prices);
    return "refusal" in checked ? checked : { call: checked.call, account };
  }

  #work(exchange: Exchange, { call, account }: Accepted, body: Buffer): void {
    const { api, requestId } = exchange;
    const { prices, faults, seed } = this.#parts;
    const digests = { prompt: digestOf(call.texts.join("\n")), body: digestOf(body) };
    const answer = composeAnswer(call, digests, seed, requestId, Date.now());
    const fault = faults.pick({ path: api.path, model: call.askedModel, key: account });
    const outcome = fault === null ? answered(api, answer) : struck(fault, { api, answer, prices });
    const delayMs = this.#delayMs(digests.prompt);
    if (delayMs === 0) this.#settle(exchange, call, account, outcome);
    else
      setTimeout(() => {
        this.#settle(exchange, call, account, outcome);
      }, delayMs);
  }

  #delayMs(promptDigest: string): number {
    const { ms, jitterMs } = this.latency;
    if (jitterMs === 0) return ms;
    return Math.max(0, ms - jitterMs + ((digestNumber(promptDigest, 5, 4) + this.#parts.seed) % (2 * jitterMs + 1)));
  }

  /** Bills, then answers: never the other way round. */
  #settle(exchange: Exchange, call: ChatCall, account: string, outcome: Outcome): void {
    if (outcome.billed === null) {
      this.#send(exchange, outcome);
      return;
    }
    const billed = outcome.billed;
    const nanoUsd = billedNanoUsd(billed.model, billed.usage);
    this.#parts.bill.append(billRow(exchange, call, account, billed, nanoUsd), nanoUsd, (failure) => {
      if (failure === null) this.#send(exchange, outcome);
      else this.#refuse(exchange, exchange.api.refusalFor(500, failure.message));
    });
  }

  #send({ api, response, open, requestId }: Exchange, outcome: Outcome): void {
    const answers = outcome.delivery.kind !== "cut" && outcome.delivery.kind !== "hold";
    this.#parts.traffic.worked(open, answers ? outcome.status : null);
    // The caller may have gone while the work went on; it is billed all the same.
    if (!response.destroyed) deliver(response, outcome, api.requestIdHeader, requestId);
  }

  #refuse(exchange: Exchange, refusal: Refusal): void {
    const { api, request, requestId } = exchange;
    this.#send(exchange, {
      billed: null,
      status: refusal.status,
      // What is left of a refused body is not worth reading.
      headers: { "content-type": "application/json", ...(request.complete ? {} : { connection: "close" }) },
      body: JSON.stringify(api.errorBody(refusal, requestId)),
      delivery: { kind: "whole" },
    });
  }
}

function apiOfUnknownPath(request: IncomingMessage): DirectApi {
  const isAnthropic = request.headers["anthropic-version"] !== undefined || request.headers["x-api-key"] !== undefined;
  return isAnthropic ? anthropicMessages : openaiChat;
}

function unknownPath(api: DirectApi, request: IncomingMessage, path: string): Refusal {
  return api.refusalFor(404, `There is nothing at ${String(request.method)} ${path}.`);
}

function parseBody(request: IncomingMessage, body: Buffer): { readonly json: unknown } | { readonly wrong: string } {
  const type = request.headers["content-type"]?.split(";", 1)[0]?.trim().toLowerCase();
  if (type !== "application/json") return { wrong: "The header content-type must be application/json." };
  const encoding = request.headers["content-encoding"];
  if (encoding !== undefined && encoding !== "identity")
    return { wrong: `A body with content-encoding ${encoding} is not accepted.` };
  if (!isUtf8(body)) return { wrong: "The body is not valid UTF-8." };
  try {
    return { json: JSON.parse(body.toString("utf8")) };
  } catch {
    return { wrong: "The body is not valid JSON." };
  }
}

const lastTime = { ms: 0, iso: "" };

/** Formatting a time costs more than the rest of a row; calls of one millisecond share it. */
function isoTime(nowMs: number): string {
  if (nowMs !== lastTime.ms) {
    lastTime.ms = nowMs;
    lastTime.iso = new Date(nowMs).toISOString();
  }
  return lastTime.iso;
}

function billRow(
  exchange: Exchange,
  call: ChatCall,
  account: string,
  answer: ChatAnswer,
  nanoUsd: bigint,
): Parameters<BillFile["append"]>[0] {
  const { inputTokens, cachedInputTokens, cacheWriteTokens, outputTokens } = answer.usage;
  return {
    requestId: exchange.requestId,
    attempt: exchange.open.attempt,
    key: account,
    provider: exchange.api.provider,
    model: call.askedModel,
    modelVersion: answer.model.version,
    mode: "direct",
    inputTokens,
    cachedInputTokens,
    cacheWriteTokens,
    outputTokens,
    nanoUsd: nanoUsd.toString(),
    at: isoTime(Date.now()),
  };
}
