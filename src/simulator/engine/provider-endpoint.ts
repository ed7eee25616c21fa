/**
 * A call's way through the server, the same for every provider: route, key, checks, limits, fault, latency, work, bill, answer.
 * Direct calls are the hot way and run without a promise; files and batches (operations) may take their time.
 */
import { randomBytes } from "node:crypto";
import type { Accounts } from "./accounts.js";
import type { BillFile, BillRow } from "./bill-file.js";
import { billedNanoUsd } from "./bill-price.js";
import type { CallRequest, CallResponse } from "./call-messages.js";
import { digestNumber, digestOf } from "./chat-answer.js";
import { deliver } from "./deliver.js";
import type { DirectAnswer, DirectCall, DirectOperation } from "./direct-operation.js";
import type { CallFault, FaultBook } from "./fault-rules.js";
import { answered, operated, refused, struckBy } from "./faults.js";
import type { Outcome, Worked } from "./faults.js";
import { isoTime } from "./iso-time.js";
import type { EngineParts, Operation, OperationCall } from "./operation.js";
import type { PricedModel } from "./price-table.js";
import type { ProviderApi } from "./provider-api.js";
import { BODY_BYTES_MAX, parseJsonBody, readBody } from "./read-body.js";
import type { Refusal } from "./refusal.js";
import { Router } from "./router.js";
import { tooDeepOr } from "./too-deep.js";
import type { OpenCall, Traffic } from "./traffic.js";

/** How long the work of a call takes: fixed by its prompt and the seed, between ms - jitterMs and ms + jitterMs. */
export type Latency = { readonly ms: number; readonly jitterMs: number };

export type ProviderEndpointParts = {
  /** The first one answers what nobody claims. */
  readonly providers: readonly ProviderApi[];
  readonly engine: EngineParts;
  readonly bill: BillFile;
  readonly faults: FaultBook;
  readonly accounts: Accounts;
  readonly traffic: Traffic;
};

/** One request with what is needed to answer it. */
type Exchange = {
  readonly provider: ProviderApi;
  readonly request: CallRequest;
  readonly response: CallResponse;
  readonly open: OpenCall;
  readonly requestId: string;
  readonly path: string;
  readonly params: Readonly<Record<string, string>>;
};

/** A direct call that passed. */
type Accepted = {
  readonly direct: DirectOperation;
  readonly call: DirectCall;
  readonly account: string;
  readonly body: Buffer;
  readonly rateHeaders: readonly string[];
};

/** The account of calls whose key is no matter. */
const ANYBODY = "anybody";

export class ProviderEndpoint {
  latency: Latency;
  readonly #parts: ProviderEndpointParts;
  readonly #router: Router;
  readonly #run = randomBytes(8).toString("hex");
  #lastId = 0;

  constructor(parts: ProviderEndpointParts, latency: Latency) {
    this.#parts = parts;
    this.#router = new Router(parts.providers, parts.engine);
    this.latency = latency;
  }

  /** @param path the request's path without its query. */
  handle(request: CallRequest, response: CallResponse, path: string): void {
    const found = this.#router.find(request.method ?? "", path);
    const provider =
      found.kind === "route"
        ? found.route.provider
        : found.kind === "other_method"
          ? found.provider
          : this.#claimant(path, request);
    const params = found.kind === "route" ? found.params : {};
    const open = this.#begin(request, response);
    const exchange: Exchange = { provider, request, response, open, requestId: this.#newRequestId(), path, params };
    if (found.kind === "route") {
      const { call } = found.route;
      if (call.kind === "direct") this.#readDirect(exchange, call.direct);
      else this.#operate(exchange, call.operation);
      return;
    }
    const refusal =
      found.kind === "unknown"
        ? provider.refusalFor(404, `There is nothing at ${String(request.method)} ${path}.`)
        : otherMethod(provider, request, found.methods);
    readBody(request, () => {
      this.#refuse(exchange, refusal);
    });
  }

  /** Whose a call to an unknown path is. */
  #claimant(path: string, request: CallRequest): ProviderApi {
    const { providers } = this.#parts;
    const provider = providers.find((one) => one.claims(path, request.headers)) ?? providers[0];
    if (provider === undefined) throw new Error("expected the simulator to play at least one provider");
    return provider;
  }

  #begin(request: CallRequest, response: CallResponse): OpenCall {
    const attempt = request.headers["x-client-request-id"];
    const traffic = this.#parts.traffic;
    const open = traffic.begin(typeof attempt === "string" && attempt !== "" ? attempt : null);
    response.on("close", () => {
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

  #accountOf({ provider, request }: Exchange): { readonly account: string } | { readonly refusal: Refusal } {
    const carried = provider.readKey(request.headers, request.url ?? "/");
    if ("refusal" in carried) return carried;
    const account = this.#parts.accounts.labelOf(carried.key) ?? (provider.takesAnyKey === true ? ANYBODY : null);
    return account === null ? { refusal: provider.wrongKey } : { account };
  }

  // Direct calls

  #readDirect(exchange: Exchange, direct: DirectOperation): void {
    readBody(exchange.request, (body) => {
      this.#guarded(exchange, () => {
        const accepted = body === null ? { refusal: tooLong(exchange.provider) } : this.#accept(exchange, direct, body);
        if ("refusal" in accepted) this.#refuse(exchange, accepted.refusal, accepted.rateHeaders);
        else this.#work(exchange, accepted);
      });
    });
  }

  /** Whatever a request makes go wrong is that call's trouble, not the process's. */
  #guarded(exchange: Exchange, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#refuse(exchange, ownFailure(exchange.provider, error));
    }
  }

  #accept(
    exchange: Exchange,
    direct: DirectOperation,
    body: Buffer,
  ): Accepted | { readonly refusal: Refusal; readonly rateHeaders?: readonly string[] } {
    const { provider, request, params } = exchange;
    const known = this.#accountOf(exchange);
    if ("refusal" in known) return known;
    const parsed = parseJsonBody(request, body);
    if ("wrong" in parsed) return { refusal: provider.refusalFor(400, parsed.wrong) };
    const { prices, limits } = this.#parts.engine;
    const checked = direct.check({ headers: request.headers, params, body: parsed.json }, prices);
    if ("refusal" in checked) return checked;
    const { call } = checked;
    const rates = limits.take(
      known.account,
      call.model.name,
      call.inputTokens,
      performance.now(),
      call.outputTokensMax,
    );
    const rateHeaders = provider.rateHeaders(rates);
    if (rates.exceeded !== null) return { refusal: provider.rateRefusal(rates, "seconds"), rateHeaders };
    return { direct, call, account: known.account, body, rateHeaders };
  }

  #work(exchange: Exchange, accepted: Accepted): void {
    const { call, account, direct } = accepted;
    const target = {
      provider: exchange.provider.name,
      operation: direct.name,
      path: exchange.path,
      model: call.askedModel,
      key: account,
    };
    const fault = this.#parts.faults.pick(target, true);
    const delayMs = this.#delayMs(call.promptDigest);
    if (delayMs === 0) this.#finish(exchange, accepted, fault);
    else
      setTimeout(() => {
        this.#guarded(exchange, () => {
          this.#finish(exchange, accepted, fault);
        });
      }, delayMs);
  }

  #finish(exchange: Exchange, accepted: Accepted, fault: CallFault | null): void {
    if (fault === null) {
      this.#settle(exchange, accepted, answered(this.#answer(exchange, accepted), accepted.rateHeaders));
      return;
    }
    const work = (): Worked => {
      const answer = this.#answer(exchange, accepted);
      return { outcome: answered(answer, accepted.rateHeaders), answer };
    };
    const outcome = struckBy(fault, this.#struck(exchange, work));
    if (outcome instanceof Promise)
      outcome.then(
        (late) => {
          this.#settle(exchange, accepted, late);
        },
        (error: unknown) => {
          this.#refuse(exchange, ownFailure(exchange.provider, error));
        },
      );
    else this.#settle(exchange, accepted, outcome);
  }

  #answer({ requestId }: Exchange, { call, body }: Accepted): DirectAnswer {
    const { seed } = this.#parts.engine;
    return call.answer({ bodyDigest: digestOf(body), seed, requestId, nowMs: Date.now(), mode: "direct" });
  }

  #struck({ provider, requestId }: Exchange, work: () => Worked | Promise<Worked>): Parameters<typeof struckBy>[1] {
    const { prices } = this.#parts.engine;
    const otherModel = (current: PricedModel, asked: string | null): PricedModel | null => {
      const capability = current.capabilities.has("embeddings") ? "embeddings" : "chat";
      const names = asked === null ? prices.names(provider.name).filter((name) => name !== current.name) : [asked];
      for (const name of names) {
        const model = prices.find(provider.name, name, capability);
        if (model !== null) return model;
      }
      return null;
    };
    return { provider, requestId, work, otherModel };
  }

  #delayMs(promptDigest: string): number {
    const { ms, jitterMs } = this.latency;
    if (jitterMs === 0) return ms;
    const spread = digestNumber(promptDigest, 5, 4) + this.#parts.engine.seed;
    return Math.max(0, ms - jitterMs + (spread % (2 * jitterMs + 1)));
  }

  /** Bills, then answers: never the other way round. */
  #settle(exchange: Exchange, accepted: Accepted, outcome: Outcome): void {
    if (outcome.billed === null) {
      this.#send(exchange, outcome);
      return;
    }
    const { billed } = outcome;
    const nanoUsd = billedNanoUsd(billed.model, billed.usage, "direct");
    this.#parts.bill.append(billRow(exchange, accepted, billed, nanoUsd), nanoUsd, (failure) => {
      if (failure === null) this.#send(exchange, outcome);
      else this.#refuse(exchange, exchange.provider.refusalFor(500, failure.message));
    });
  }

  // Files, batches and the like

  #operate(exchange: Exchange, operation: Operation): void {
    const known = this.#accountOf(exchange);
    if ("refusal" in known) {
      this.#refuse(exchange, known.refusal);
      return;
    }
    if (operation.body === "stream") {
      this.#perform(exchange, operation, known.account, undefined);
      return;
    }
    readBody(exchange.request, (body) => {
      const read = readOperationBody(exchange, operation, body);
      if ("refusal" in read) this.#refuse(exchange, read.refusal);
      else this.#perform(exchange, operation, known.account, read.json);
    });
  }

  #perform(exchange: Exchange, operation: Operation, account: string, body: unknown): void {
    const { provider, request, requestId, path, params } = exchange;
    const target = { provider: provider.name, operation: operation.name, path, model: modelIn(body), key: account };
    const fault = this.#parts.faults.pick(target, false);
    const url = request.url ?? "/";
    const call: OperationCall = {
      requestId,
      account,
      params,
      query: new URLSearchParams(url.slice(path.length + 1)),
      headers: request.headers,
      baseUrl: `http://${request.headers.host ?? "127.0.0.1"}`,
      body,
      request,
    };
    const work = async (): Promise<Worked> => {
      const answer = await operation.handle(call);
      return { outcome: operated(provider, answer, requestId), answer: null };
    };
    const outcome =
      fault === null
        ? work().then((worked) => worked.outcome)
        : Promise.resolve(struckBy(fault, this.#struck(exchange, work)));
    outcome.then(
      (done) => {
        this.#send(exchange, done);
      },
      (error: unknown) => {
        this.#refuse(exchange, ownFailure(provider, error));
      },
    );
  }

  #send({ provider, request, response, open, requestId }: Exchange, outcome: Outcome): void {
    const answers = outcome.delivery.kind !== "cut" && outcome.delivery.kind !== "hold";
    this.#parts.traffic.worked(open, answers ? outcome.status : null);
    // What is left of a body that nobody read is not worth reading.
    const sent = request.complete ? outcome : { ...outcome, headers: [...outcome.headers, "connection", "close"] };
    // The caller may have gone while the work went on; it is billed all the same.
    if (!response.destroyed) deliver(response, sent, provider.requestIdHeader, requestId);
  }

  #refuse(exchange: Exchange, refusal: Refusal, headers: readonly string[] = []): void {
    this.#send(exchange, refused(exchange.provider, refusal, exchange.requestId, headers));
  }
}

/** Of an error that nothing foresaw, a request that is nested too deeply apart. */
function ownFailure(provider: ProviderApi, error: unknown): Refusal {
  try {
    return provider.refusalFor(400, tooDeepOr(error));
  } catch {
    return provider.refusalFor(500, error instanceof Error ? error.message : String(error));
  }
}

function tooLong(provider: ProviderApi): Refusal {
  return provider.refusalFor(413, `The body is longer than ${String(BODY_BYTES_MAX)} bytes.`);
}

function otherMethod(provider: ProviderApi, request: CallRequest, methods: readonly string[]): Refusal {
  const refusal = provider.refusalFor(
    405,
    `${String(request.method)} is not allowed here; use ${methods.join(" or ")}.`,
  );
  return { ...refusal, headers: ["allow", methods.join(", ")] };
}

function readOperationBody(
  { provider, request }: Exchange,
  operation: Operation,
  body: Buffer | null,
): { readonly json: unknown } | { readonly refusal: Refusal } {
  if (operation.body === "none" || (operation.body === "optional_json" && body?.length === 0))
    return { json: undefined };
  if (body === null) return { refusal: tooLong(provider) };
  const parsed = parseJsonBody(request, body);
  return "wrong" in parsed ? { refusal: provider.refusalFor(400, parsed.wrong) } : parsed;
}

function modelIn(body: unknown): string {
  const model = typeof body === "object" && body !== null && "model" in body ? body.model : null;
  return typeof model === "string" ? model : "";
}

function billRow(exchange: Exchange, accepted: Accepted, answer: DirectAnswer, nanoUsd: bigint): BillRow {
  const { inputTokens, cachedInputTokens, cacheWriteTokens, outputTokens } = answer.usage;
  return {
    requestId: exchange.requestId,
    attempt: exchange.open.attempt,
    key: accepted.account,
    provider: exchange.provider.name,
    model: accepted.call.askedModel,
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
