import { isUtf8 } from "node:buffer";
import { request as httpRequest } from "node:http";
import type { ClientRequest, IncomingMessage, RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { urlToHttpOptions } from "node:url";
import { watchAbort } from "./abort-watch.js";
import { CallClock } from "./call-clock.js";
import type { PassedLimit } from "./call-clock.js";
import { errorCodeOf } from "./http.js";
import type { HttpHeaders, HttpReply } from "./http.js";
import { IncomingBody } from "./incoming-body.js";
import { SocketLine } from "./socket-line.js";

/**
 * Requests whose bodies are too large to be held: batch files up, result files down. The bounds are those of `http.ts` (total deadline,
 * idle limit, byte cap, no redirect, nothing sent again, nothing decompressed), and so is the line between "not sent" and "perhaps sent":
 * it is drawn when the connection, TLS included, is there. Nothing is written before.
 *
 * Node's own client and not undici: bodies are paused here while their reader is slower, and undici 7 ends the process when a paused body's
 * connection is closed by the other side (nodejs/undici#5360, mended in 8, which Node 20 does not run).
 *
 * Each request has a socket of its own: calls about batches are few, and a kept one that the server has just closed would turn a create
 * into doubt. The idle limit counts only while the provider is waited for: not while the caller's own source makes the next lines, not while
 * the reader is slower than the socket.
 */

export interface StreamOptions {
  /** Scheme, host and port. */
  readonly origin: string;
  readonly connectionsMax: number;
  readonly connectTimeoutMs: number;
  /** Longest silence of the provider while it should take or send bytes. */
  readonly idleTimeoutMs: number;
}

export interface StreamBody {
  readonly bytes: number;
  readonly chunks: AsyncIterable<Uint8Array>;
}

export interface StreamRequest {
  readonly method: "GET" | "POST" | "DELETE";
  /** From the origin's root, query included. */
  readonly path: string;
  /** Name, value, name, value, … */
  readonly headers: readonly string[];
  readonly body: string | StreamBody | null;
  readonly timeoutMs: number;
  readonly sendWithinMs: number;
  readonly maySend: () => boolean;
}

type Broken = Extract<HttpReply, { readonly kind: "broken" }>;

export interface OpenAnswer {
  readonly kind: "open";
  readonly status: number;
  readonly headers: HttpHeaders;
  /** To be pulled to its end or cancelled. */
  readonly body: IncomingBody;
}

export interface StreamCaller {
  /** Settles with the answer's head. @throws what the request's own chunks throw. */
  open(request: StreamRequest, signal: AbortSignal): Promise<OpenAnswer | Broken>;
  /** The answer with its whole body, cut off at `bytesMax`. @throws what the request's own chunks throw. */
  call(request: StreamRequest, bytesMax: number, signal: AbortSignal): Promise<HttpReply>;
  close(): Promise<void>;
}

/** A wait for an answer may last minutes, and what stands in between forgets connections that are silent for so long. */
const PROBE_AFTER_MS = 60_000;

export function createStreamCaller(options: StreamOptions): StreamCaller {
  const inTheAir = new Map<Exchange, Promise<void>>();
  let closed = false;
  const line = new SocketLine<Exchange>(options.connectionsMax, (exchange) => {
    inTheAir.set(exchange, fly(exchange));
  });
  const fly = async (exchange: Exchange) => {
    await exchange.start();
    inTheAir.delete(exchange);
    line.ended();
  };
  const open = (request: StreamRequest, signal: AbortSignal) =>
    new Promise<OpenAnswer | Broken>((resolve, reject) => {
      const exchange = new Exchange(request, options, signal, {
        resolve,
        reject,
        leaveLine: () => {
          line.leave(exchange);
        },
      });
      if (signal.aborted || closed) exchange.giveUp("aborted");
      else line.enter(exchange);
    });
  return {
    open,
    call: async (request, bytesMax, signal) => {
      const answer = await open(request, signal);
      return answer.kind === "broken" ? answer : await wholeAnswer(answer, bytesMax);
    },
    close: async () => {
      closed = true;
      for (const exchange of [...line.empty(), ...inTheAir.keys()]) exchange.giveUp("aborted");
      await Promise.all(inTheAir.values());
    },
  };
}

/** Reads the body to its end. The head of an error is enough to know what it means, so a broken body of one is none. */
export async function wholeAnswer(answer: OpenAnswer, bytesMax: number): Promise<HttpReply> {
  const { status, headers, body } = answer;
  const chunks: Buffer[] = [];
  let bytes = 0;
  for (let chunk = await body.next(); chunk !== null; chunk = await body.next()) {
    bytes += chunk.length;
    if (bytes > bytesMax) {
      body.cancel();
      return { kind: "answer", status, headers, bodyText: null, problem: "too_long" };
    }
    chunks.push(chunk);
  }
  if (body.broken !== null)
    return status < 300 ? body.broken : { kind: "answer", status, headers, bodyText: null, problem: null };
  const whole = Buffer.concat(chunks);
  if (!isUtf8(whole)) return { kind: "answer", status, headers, bodyText: null, problem: "not_utf8" };
  return { kind: "answer", status, headers, bodyText: whole.toString("utf8"), problem: null };
}

interface Caller {
  resolve(answer: OpenAnswer | Broken): void;
  reject(error: unknown): void;
  leaveLine(): void;
}

/** One request on its way. Its head settles once; then its body ends once. */
class Exchange {
  readonly #request: StreamRequest;
  readonly #origin: URL;
  readonly #caller: Caller;
  readonly #clock: CallClock;
  readonly #stopWatching: () => void;
  readonly #body: IncomingBody;
  #outgoing: ClientRequest | null = null;
  #incoming: IncomingMessage | null = null;
  #sent = false;
  #receivedBytes = 0;
  #over = false;

  constructor(request: StreamRequest, options: StreamOptions, signal: AbortSignal, caller: Caller) {
    this.#request = request;
    this.#origin = new URL(options.origin);
    this.#caller = caller;
    const { connectTimeoutMs, idleTimeoutMs } = options;
    const { timeoutMs, sendWithinMs } = request;
    this.#clock = new CallClock({ timeoutMs, sendWithinMs, connectTimeoutMs, idleTimeoutMs }, (limit) => {
      this.giveUp(limit);
    });
    this.#stopWatching = watchAbort(signal, () => {
      this.giveUp("aborted");
    });
    this.#body = new IncomingBody({
      pause: () => {
        this.#clock.providerNotDue();
        this.#incoming?.pause();
      },
      resume: () => {
        this.#clock.providerDue();
        this.#incoming?.resume();
      },
      cancel: () => {
        this.giveUp("aborted");
      },
    });
  }

  /** Opens the socket. @returns when it is gone; never rejects. */
  start(): Promise<void> {
    this.#clock.connecting();
    const isSecure = this.#origin.protocol === "https:";
    let outgoing: ClientRequest;
    try {
      outgoing = (isSecure ? httpsRequest : httpRequest)(this.#requestOptions());
    } catch (error) {
      this.#end("not_built", errorCodeOf(error));
      return Promise.resolve();
    }
    this.#outgoing = outgoing;
    outgoing.on("socket", (socket) => {
      socket.setKeepAlive(true, PROBE_AFTER_MS);
      socket.once(isSecure ? "secureConnect" : "connect", () => {
        this.#send(outgoing);
      });
    });
    outgoing.on("response", (incoming) => {
      this.#receive(incoming);
    });
    outgoing.on("error", (error) => {
      const code = errorCodeOf(error);
      this.#end(code?.startsWith("HPE_") === true ? "not_http" : "connection", code);
    });
    return new Promise((resolve) => {
      outgoing.once("close", () => {
        // An answer may still lie with its reader; one that asks to speak another protocol has no event of its own.
        if (this.#incoming === null) this.#end("connection", null);
        resolve();
      });
    });
  }

  giveUp(because: "aborted" | PassedLimit): void {
    if (this.#outgoing === null) this.#caller.leaveLine();
    if (because === "connect_timeout") this.#end("connection", "ETIMEDOUT");
    else this.#end(because, null);
  }

  #requestOptions(): RequestOptions {
    const { method, path, headers, body } = this.#request;
    const bytes = body === null || typeof body === "string" ? Buffer.byteLength(body ?? "") : body.bytes;
    const length = body === null && method !== "POST" ? [] : ["content-length", String(bytes)];
    return {
      ...urlToHttpOptions(this.#origin),
      method,
      path,
      headers: ["host", this.#origin.host, ...headers, ...length],
      agent: false,
    };
  }

  /** The connection is there, and nothing was written to it yet. */
  #send(outgoing: ClientRequest): void {
    if (this.#clock.isTooLateToSend()) this.giveUp("no_connection");
    else if (!this.#over && !this.#request.maySend()) this.giveUp("aborted");
    if (this.#over) return;
    this.#sent = true;
    this.#clock.sent();
    const { body } = this.#request;
    if (body === null) outgoing.end();
    else if (typeof body === "string") outgoing.end(body);
    else void this.#sendChunks(outgoing, body);
  }

  /** Silence of the caller's own source is not the provider's. */
  async #sendChunks(outgoing: ClientRequest, body: StreamBody): Promise<void> {
    let bytes = 0;
    try {
      this.#clock.providerNotDue();
      for await (const chunk of body.chunks) {
        if (outgoing.destroyed) return;
        bytes += chunk.length;
        if (bytes > body.bytes) throw wrongLength(body.bytes, `at least ${String(bytes)}`);
        this.#clock.providerDue();
        if (!outgoing.write(chunk)) await drained(outgoing);
        this.#clock.providerNotDue();
      }
      if (bytes !== body.bytes) throw wrongLength(body.bytes, String(bytes));
      this.#clock.providerDue();
      outgoing.end();
    } catch (error) {
      if (this.#incoming === null && !this.#over) this.#caller.reject(error);
      this.#end("connection", null);
    }
  }

  #receive(incoming: IncomingMessage): void {
    if (this.#over) return;
    this.#incoming = incoming;
    this.#clock.providerDue();
    incoming.on("data", (chunk: Buffer) => {
      this.#take(chunk);
    });
    incoming.on("end", () => {
      this.#end("whole", null);
    });
    incoming.on("error", (error) => {
      this.#end("connection", errorCodeOf(error));
    });
    const { statusCode: status = 0, headersDistinct: headers } = incoming;
    this.#caller.resolve({ kind: "open", status, headers, body: this.#body });
  }

  #take(chunk: Buffer): void {
    if (this.#over) return;
    this.#receivedBytes += chunk.length;
    this.#clock.providerDue();
    this.#body.push(chunk);
  }

  /** What Node still holds of a body that breaks off. */
  #takeRest(incoming: IncomingMessage): void {
    incoming.removeAllListeners("data");
    for (let chunk = incoming.read() as Buffer | null; chunk !== null; chunk = incoming.read() as Buffer | null)
      this.#take(chunk);
  }

  #end(because: Broken["because"] | "whole", errorCode: string | null): void {
    if (this.#over) return;
    if (this.#incoming !== null) this.#takeRest(this.#incoming);
    this.#over = true;
    this.#clock.stop();
    this.#stopWatching();
    const broken = because === "whole" ? null : this.#broken(because, errorCode);
    if (this.#incoming !== null) this.#body.end(broken);
    else if (broken !== null) this.#caller.resolve(broken);
    this.#outgoing?.destroy(); // also behind a whole answer, which may have come before the whole request was taken
  }

  #broken(because: Broken["because"], errorCode: string | null): Broken {
    return {
      kind: "broken",
      because,
      sent: this.#sent ? "perhaps" : "no",
      status: this.#incoming?.statusCode ?? null,
      headers: this.#incoming?.headersDistinct ?? {},
      receivedBytes: this.#receivedBytes,
      errorCode,
    };
  }
}

/** Resolves when more can be written, or never again. */
function drained(outgoing: ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      outgoing.off("drain", done).off("close", done);
      resolve();
    };
    outgoing.on("drain", done).on("close", done);
  });
}

function wrongLength(expected: number, came: string): RangeError {
  return new RangeError(`expected ${String(expected)} bytes to send, the source gave ${came}`);
}
