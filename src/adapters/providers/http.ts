import { isUtf8 } from "node:buffer";
import { Pool } from "undici";
import type { Dispatcher } from "undici";
import { watchAbort } from "./abort-watch.js";
import { SocketLine } from "./socket-line.js";

/**
 * One POST to a provider, with our own bounds: total deadline, idle limit, byte cap; no redirect followed, nothing sent again,
 * nothing decompressed. Client libraries are not trusted with this: their time-outs do not bound a body that trickles, and they
 * repeat a POST by themselves, which can be paid twice.
 *
 * The line that money depends on is drawn by undici's `onRequestStart`: it is called right before the first byte is written to a
 * connected socket. Trouble before it (refused, name not found, TLS, waiting for a connection) means that nothing was sent; after
 * it something may have been, also when a kept-alive socket turns out to be closed. Whether the call still may go is asked there.
 *
 * undici can't be asked to forget a request that waits for a connection: given up, it stays until its socket is there or fails. That
 * has its good side, since the next call finds the socket; so such a request is refused with an exception, which keeps the socket, and
 * not aborted, which destroys it (tried with undici 7.30). And it needs a bound: see `SocketLine`.
 *
 * `dispatch` is used instead of `request` because the body is collected here anyway, without a stream in between. Never pause it: undici 7
 * ends the process when the other side closes a connection whose body is paused (nodejs/undici#5360), and what bounds memory here is
 * the byte cap. Bodies that have to wait for their reader go through `http-stream.ts`, on Node's own client.
 */

export interface HttpOptions {
  /** Scheme, host, port and path prefix, such as `https://api.openai.com/v1`. */
  readonly baseUrl: string;
  /** Most sockets at once; further calls wait for one inside their own limits. */
  readonly connectionsMax: number;
  readonly connectTimeoutMs: number;
  /** Longest silence before the answer's first byte and between two of them. */
  readonly idleTimeoutMs: number;
  readonly responseBytesMax: number;
}

export interface HttpRequest {
  /** Below the base URL, beginning with a slash. */
  readonly path: string;
  /** Name, value, name, value, …: undici takes a flat list as it is. */
  readonly headers: string[];
  readonly bodyText: string;
  /** Total time, waiting for a socket included. */
  readonly timeoutMs: number;
  /** Longest wait for a socket. */
  readonly sendWithinMs: number;
  /** Asked right before the first byte: whether it may still leave. */
  readonly maySend: () => boolean;
}

export type HttpHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

export type HttpReply =
  | HttpAnswer
  /** No whole answer came. `status` when its head did. `no_connection`: none was there within `sendWithinMs`; `aborted`: also when `maySend` said no. */
  | {
      readonly kind: "broken";
      readonly because: "aborted" | "no_connection" | "deadline" | "idle" | "connection" | "not_http" | "not_built";
      readonly sent: "no" | "perhaps";
      readonly status: number | null;
      readonly headers: HttpHeaders;
      readonly receivedBytes: number;
      /** Error code of the operating system or of undici; null when there is none. */
      readonly errorCode: string | null;
    };

export interface HttpAnswer {
  readonly kind: "answer";
  readonly status: number;
  readonly headers: HttpHeaders;
  /** Null when the body is longer than allowed or is no UTF-8. */
  readonly bodyText: string | null;
  readonly problem: "too_long" | "not_utf8" | null;
}

export interface HttpCaller {
  post(request: HttpRequest, signal: AbortSignal): Promise<HttpReply>;
  close(): Promise<void>;
}

/** More of an error's body is not needed to classify it. */
const ERROR_BODY_BYTES_MAX = 65_536;

/** undici's own end of an idle socket, below the 5 s of a Node server, so that it is seldom the server who closes first. */
const KEEP_ALIVE_MS = 4_000;

export function createHttpCaller(options: HttpOptions): HttpCaller {
  const base = new URL(options.baseUrl);
  const prefix = base.pathname.replace(/\/+$/, "");
  const pool = new Pool(base.origin, {
    connections: options.connectionsMax,
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    headersTimeout: options.idleTimeoutMs,
    bodyTimeout: options.idleTimeoutMs,
    connect: { timeout: options.connectTimeoutMs },
  });
  const line = new SocketLine<Exchange>(options.connectionsMax, (exchange) => {
    const { path, headers, bodyText } = exchange.request;
    pool.dispatch({ path: prefix + path, method: "POST", headers, body: bodyText }, exchange);
  });
  return {
    post: (request, signal) =>
      new Promise((resolve) => {
        const exchange = new Exchange(request, options.responseBytesMax, signal, line, resolve);
        if (signal.aborted) exchange.giveUp("aborted");
        else line.enter(exchange);
      }),
    close: async () => {
      for (const exchange of line.empty()) exchange.giveUp("aborted");
      await pool.destroy();
    },
  };
}

type Broken = Extract<HttpReply, { readonly kind: "broken" }>;

/** One request on its way; settles exactly once. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly request: HttpRequest;
  readonly #responseBytesMax: number;
  readonly #line: SocketLine<Exchange>;
  readonly #resolve: (reply: HttpReply) => void;
  readonly #startedMs = performance.now();
  readonly #stopWatching: () => void;
  #timer: NodeJS.Timeout;
  #controller: Dispatcher.DispatchController | null = null;
  #settled = false;
  #sent = false;
  #status: number | null = null;
  #headers: HttpHeaders = {};
  #chunks: Buffer[] = [];
  #receivedBytes = 0;

  constructor(
    request: HttpRequest,
    responseBytesMax: number,
    signal: AbortSignal,
    line: SocketLine<Exchange>,
    resolve: (reply: HttpReply) => void,
  ) {
    this.request = request;
    this.#responseBytesMax = responseBytesMax;
    this.#line = line;
    this.#resolve = resolve;
    // One timer for both limits, since nearly all calls are over before the first: a long one sets it again.
    this.#timer = this.#lookIn(Math.min(request.sendWithinMs, request.timeoutMs));
    this.#stopWatching = watchAbort(signal, () => {
      this.giveUp("aborted");
    });
  }

  giveUp(because: "aborted" | "no_connection" | "deadline"): void {
    if (!this.#sent) this.#line.leave(this);
    this.#settle(this.#broken(because, null));
    this.#controller?.abort(new Error(because));
  }

  #lookIn(ms: number): NodeJS.Timeout {
    return setTimeout(
      () => {
        this.#lookAtTime();
      },
      Math.max(1, ms),
    );
  }

  #lookAtTime(): void {
    const { timeoutMs, sendWithinMs } = this.request;
    const leftMs = timeoutMs - this.#passedMs();
    if (leftMs < 1) this.giveUp("deadline");
    else if (!this.#sent && sendWithinMs < timeoutMs) this.giveUp("no_connection");
    else this.#timer = this.#lookIn(leftMs);
  }

  #passedMs(): number {
    return performance.now() - this.#startedMs;
  }

  /** Throwing here is before the first byte, and leaves the connection open for the next call. */
  onRequestStart(controller: Dispatcher.DispatchController): void {
    // The timer may be late itself: a process that was stopped comes back here first.
    if (!this.#settled && this.#passedMs() > this.request.sendWithinMs) this.giveUp("no_connection");
    if (!this.#settled && !this.request.maySend()) this.giveUp("aborted");
    if (this.#settled) throw new Error("given up before it was sent");
    this.#controller = controller;
    this.#sent = true;
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: HttpHeaders): void {
    if (status < 200) return; // an informational head; the real one follows
    this.#status = status;
    this.#headers = headers;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#settled) return;
    this.#receivedBytes += chunk.length;
    const bytesMax = this.#isSuccess() ? this.#responseBytesMax : ERROR_BODY_BYTES_MAX;
    if (this.#receivedBytes <= bytesMax) {
      this.#chunks.push(chunk);
      return;
    }
    this.#answer(null, "too_long");
    controller.abort(new Error("too long"));
  }

  onResponseEnd(): void {
    this.#line.ended();
    const body = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks);
    if (body === undefined || !isUtf8(body)) this.#answer(null, "not_utf8");
    else this.#answer(body.toString("utf8"), null);
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    this.#line.ended();
    // The head of an error is enough to know what it means, and an error is not billed.
    if (this.#status !== null && !this.#isSuccess()) this.#answer(null, null);
    else this.#settle(this.#broken(brokenReason(error), errorCodeOf(error)));
  }

  #isSuccess(): boolean {
    return this.#status !== null && this.#status < 300;
  }

  #answer(bodyText: string | null, problem: HttpAnswer["problem"]): void {
    this.#settle({ kind: "answer", status: this.#status ?? 0, headers: this.#headers, bodyText, problem });
  }

  #broken(because: Broken["because"], errorCode: string | null): Broken {
    return {
      kind: "broken",
      because,
      sent: this.#sent ? "perhaps" : "no",
      status: this.#status,
      headers: this.#headers,
      receivedBytes: this.#receivedBytes,
      errorCode,
    };
  }

  #settle(reply: HttpReply): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#chunks = [];
    clearTimeout(this.#timer);
    this.#stopWatching();
    this.#resolve(reply);
  }
}

/** undici and Node put a code on their errors; aggregated connection errors (IPv4 and IPv6) carry one too. */
export function errorCodeOf(error: unknown): string | null {
  if (typeof error !== "object" || error === null || !("code" in error)) return null;
  return typeof error.code === "string" ? error.code : null;
}

function brokenReason(error: Error): Broken["because"] {
  const code = errorCodeOf(error) ?? "";
  if (code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT") return "idle";
  if (code === "UND_ERR_INVALID_ARG") return "not_built";
  // Its parser puts the code of the HTTP error on the error or leaves it out; the name is always there.
  return error.name === "HTTPParserError" || code === "UND_ERR_HEADERS_OVERFLOW" ? "not_http" : "connection";
}

/** A header's value; the first when it was sent more than once. */
export function headerOf(headers: HttpHeaders, name: string): string | null {
  const value = headers[name];
  if (value === undefined) return null;
  return typeof value === "string" ? value : (value[0] ?? null);
}
