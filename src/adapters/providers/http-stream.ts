import { isUtf8 } from "node:buffer";
import { Pool } from "undici";
import type { Dispatcher } from "undici";
import { watchAbort } from "./abort-watch.js";
import { brokenReason, errorCodeOf } from "./http.js";
import type { HttpHeaders, HttpReply } from "./http.js";
import { IncomingBody } from "./incoming-body.js";
import { SocketLine } from "./socket-line.js";

/**
 * Requests whose bodies are too large to be held: batch files up, result files down. The bounds are those of `http.ts` (total deadline,
 * idle limit, byte cap, no redirect, nothing sent again, nothing decompressed), and so is the line between "not sent" and "perhaps sent".
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

/** The longest that a timer of Node can wait. */
const TIMER_MS_MAX = 2_147_483_647;

export function createStreamCaller(options: StreamOptions): StreamCaller {
  const pool = new Pool(options.origin, {
    connections: options.connectionsMax,
    pipelining: 0, // no connection is kept
    headersTimeout: 0, // both limits are kept by the exchange, which knows who is waited for
    bodyTimeout: 0,
    connect: { timeout: options.connectTimeoutMs },
  });
  const line = new SocketLine<Exchange>(options.connectionsMax, (exchange) => {
    pool.dispatch(exchange.dispatchOptions(), exchange);
  });
  const open = (request: StreamRequest, signal: AbortSignal) =>
    new Promise<OpenAnswer | Broken>((resolve, reject) => {
      const exchange = new Exchange(request, options.idleTimeoutMs, signal, line, { resolve, reject });
      if (signal.aborted) exchange.giveUp("aborted");
      else line.enter(exchange);
    });
  return {
    open,
    call: async (request, bytesMax, signal) => {
      const answer = await open(request, signal);
      return answer.kind === "broken" ? answer : await wholeAnswer(answer, bytesMax);
    },
    close: async () => {
      for (const exchange of line.empty()) exchange.giveUp("aborted");
      await pool.destroy();
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

interface Settle {
  resolve(answer: OpenAnswer | Broken): void;
  reject(error: unknown): void;
}

/** One request on its way. Its head settles once; then its body ends once. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #request: StreamRequest;
  readonly #idleTimeoutMs: number;
  readonly #line: SocketLine<Exchange>;
  readonly #settle: Settle;
  readonly #body: IncomingBody;
  readonly #startedMs = performance.now();
  readonly #stopWatching: () => void;
  #timer: NodeJS.Timeout;
  #controller: Dispatcher.DispatchController | null = null;
  #sent = false;
  /** Since when the provider is waited for; null while it is not. */
  #waitingSinceMs: number | null = null;
  #status: number | null = null;
  #headers: HttpHeaders = {};
  #receivedBytes = 0;
  #headSettled = false;
  #over = false;
  #sourceError: { readonly error: unknown } | null = null;

  constructor(
    request: StreamRequest,
    idleTimeoutMs: number,
    signal: AbortSignal,
    line: SocketLine<Exchange>,
    settle: Settle,
  ) {
    this.#request = request;
    this.#idleTimeoutMs = idleTimeoutMs;
    this.#line = line;
    this.#settle = settle;
    this.#body = new IncomingBody({
      pause: () => {
        this.#waitingSinceMs = null;
        this.#controller?.pause();
      },
      resume: () => {
        this.#waitForProvider();
        this.#controller?.resume();
      },
      cancel: () => {
        this.giveUp("aborted");
      },
    });
    this.#timer = this.#nextLook();
    this.#stopWatching = watchAbort(signal, () => {
      this.giveUp("aborted");
    });
  }

  dispatchOptions(): Dispatcher.DispatchOptions {
    const { method, path, headers, body } = this.#request;
    if (body === null || typeof body === "string") return { method, path, headers: [...headers], body };
    return {
      method,
      path,
      headers: [...headers, "content-length", String(body.bytes)],
      // undici takes any async iterable; its type names only Node's streams.
      body: this.#chunksOf(body) as unknown as Exclude<Dispatcher.DispatchOptions["body"], undefined>,
    };
  }

  giveUp(because: "aborted" | "no_connection" | "deadline" | "idle"): void {
    if (!this.#sent) this.#line.leave(this);
    this.#end(this.#broken(because, null));
    this.#controller?.abort(new Error(because));
  }

  /** Throwing here is before the first byte. */
  onRequestStart(controller: Dispatcher.DispatchController): void {
    // The timer may be late itself: a process that was stopped comes back here first.
    if (!this.#over && this.#passedMs() > this.#request.sendWithinMs) this.giveUp("no_connection");
    if (!this.#over && !this.#request.maySend()) this.giveUp("aborted");
    if (this.#over) throw new Error("given up before it was sent");
    this.#controller = controller;
    this.#sent = true;
    this.#waitForProvider();
    clearTimeout(this.#timer); // it was set for the wait for a socket
    this.#timer = this.#nextLook();
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: HttpHeaders): void {
    if (status < 200 || this.#over) return; // an informational head; the real one follows
    this.#status = status;
    this.#headers = headers;
    this.#waitForProvider();
    this.#headSettled = true;
    this.#settle.resolve({ kind: "open", status, headers, body: this.#body });
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) return;
    this.#receivedBytes += chunk.length;
    this.#waitForProvider();
    this.#body.push(chunk);
  }

  onResponseEnd(): void {
    this.#line.ended();
    this.#end(null);
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    this.#line.ended();
    this.#end(this.#broken(brokenReason(error), errorCodeOf(error)));
  }

  /** The caller's chunks on their way to undici, counted; silence of the caller's own source is not the provider's. */
  async *#chunksOf(body: StreamBody): AsyncGenerator<Uint8Array> {
    let bytes = 0;
    try {
      this.#waitingSinceMs = null;
      for await (const chunk of body.chunks) {
        bytes += chunk.length;
        if (bytes > body.bytes) throw wrongLength(body.bytes, `at least ${String(bytes)}`);
        this.#waitForProvider();
        yield chunk;
        this.#waitingSinceMs = null;
      }
      if (bytes !== body.bytes) throw wrongLength(body.bytes, String(bytes));
      this.#waitForProvider();
    } catch (error) {
      this.#sourceError ??= { error };
      throw error;
    }
  }

  #waitForProvider(): void {
    this.#waitingSinceMs = performance.now();
  }

  #passedMs(): number {
    return performance.now() - this.#startedMs;
  }

  #nextLook(): NodeJS.Timeout {
    const leftMs = this.#request.timeoutMs - this.#passedMs();
    const otherMs = this.#sent ? this.#idleLeftMs() : this.#request.sendWithinMs - this.#passedMs();
    const waitMs = Math.ceil(Math.min(leftMs, otherMs, TIMER_MS_MAX));
    return setTimeout(
      () => {
        this.#look();
      },
      Math.max(1, waitMs),
    );
  }

  #idleLeftMs(): number {
    const since = this.#waitingSinceMs;
    return since === null ? this.#idleTimeoutMs : this.#idleTimeoutMs - (performance.now() - since);
  }

  #look(): void {
    if (this.#passedMs() >= this.#request.timeoutMs) this.giveUp("deadline");
    else if (!this.#sent && this.#passedMs() >= this.#request.sendWithinMs) this.giveUp("no_connection");
    else if (this.#sent && this.#idleLeftMs() <= 0) this.giveUp("idle");
    else this.#timer = this.#nextLook();
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

  #end(broken: Broken | null): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#stopWatching();
    if (this.#headSettled) this.#body.end(broken);
    else if (this.#sourceError !== null) this.#settle.reject(this.#sourceError.error);
    else this.#settle.resolve(broken ?? this.#broken("connection", null));
  }
}

function wrongLength(expected: number, came: string): RangeError {
  return new RangeError(`expected ${String(expected)} bytes to send, the source gave ${came}`);
}
