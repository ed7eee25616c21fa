import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** One thing that must hold for the router to be ready: null when it does, else why not, in words. A rejection counts as "why not". */
export type HealthCheck = () => Promise<string | null>;

export interface HealthServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** By name, as `/readyz?verbose` lists them. */
  readonly checks: Readonly<Record<string, HealthCheck>>;
  /** True once the router takes work. */
  readonly started: () => boolean;
  /** True from the first moment of a shutdown: readyz is 503 then, so that nobody sends more. */
  readonly draining: () => boolean;
  readonly metrics: { readonly text: () => Promise<string>; readonly contentType: string };
  /** Longest wait for one check; longer is "does not answer". */
  readonly checkTimeoutMs?: number;
}

export interface HealthServer {
  readonly url: string;
  readonly port: number;
  /** Idempotent; cuts what is still open. */
  close(): Promise<void>;
}

const CHECK_TIMEOUT_MS = 2000;
const REQUEST_TIMEOUT_MS = 10_000;
const HEADER_BYTES_MAX = 8192;
const CONNECTIONS_MAX = 100;
const TEXT = "text/plain; charset=utf-8";

interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly text: string;
}

/**
 * `/livez` (the event loop turns, nothing else: a broker's outage must not restart the process), `/readyz` (every check holds and nothing
 * drains; `?verbose` lists them), `/startupz`, `/metrics`. Only GET and HEAD.
 * @throws when the address can't be listened on.
 */
export async function startHealthServer(options: HealthServerOptions): Promise<HealthServer> {
  const readiness = sharedRun(() => checkAll(options));
  const server = createServer(
    { maxHeaderSize: HEADER_BYTES_MAX, requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => {
      void answer(request, options, readiness).then((found) => {
        send(request, response, found);
      });
    },
  );
  server.maxConnections = CONNECTIONS_MAX;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const { port } = server.address() as AddressInfo; // a TCP server that listens has one
  let closing: Promise<void> | null = null;
  return {
    port,
    url: `http://${options.host.includes(":") ? `[${options.host}]` : options.host}:${String(port)}`,
    close() {
      closing ??= new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      });
      return closing;
    },
  };
}

type Findings = readonly { readonly name: string; readonly trouble: string | null }[];

async function answer(
  request: IncomingMessage,
  options: HealthServerOptions,
  readiness: () => Promise<Findings>,
): Promise<Answer> {
  if (request.method !== "GET" && request.method !== "HEAD") return text(405, "only GET\n");
  const [path = "/", query = ""] = (request.url ?? "/").split("?", 2);
  switch (path) {
    case "/livez":
      return text(200, "ok\n");
    case "/startupz":
      return options.started() ? text(200, "ok\n") : text(503, "starting\n");
    case "/readyz":
      return readyAnswer(await readiness(), new URLSearchParams(query).has("verbose"));
    case "/metrics":
      return options.metrics.text().then(
        (metrics) => ({ status: 200, contentType: options.metrics.contentType, text: metrics }),
        () => text(500, "the metrics can't be collected\n"),
      );
    default:
      return text(404, "there are /livez, /readyz, /startupz and /metrics\n");
  }
}

function readyAnswer(findings: Findings, verbose: boolean): Answer {
  const troubles = findings.filter(({ trouble }) => trouble !== null);
  const ready = troubles.length === 0;
  const listed = verbose ? findings : troubles;
  const lines = listed.map(({ name, trouble }) => (trouble === null ? `[+] ${name} ok` : `[-] ${name}: ${trouble}`));
  return text(ready ? 200 : 503, [...lines, ready ? "ok" : "not ready", ""].join("\n"));
}

async function checkAll(options: HealthServerOptions): Promise<Findings> {
  const timeoutMs = options.checkTimeoutMs ?? CHECK_TIMEOUT_MS;
  const checked = await Promise.all(
    Object.entries(options.checks).map(async ([name, check]) => ({
      name,
      trouble: await withTimeout(check, timeoutMs),
    })),
  );
  return [
    { name: "started", trouble: options.started() ? null : "the router is starting" },
    { name: "not draining", trouble: options.draining() ? "the router is stopping" : null },
    ...checked,
  ];
}

async function withTimeout(check: HealthCheck, timeoutMs: number): Promise<string | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => {
      resolve(`does not answer within ${String(timeoutMs)} ms`);
    }, timeoutMs);
  });
  try {
    return await Promise.race([check(), late]);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    clearTimeout(timer);
  }
}

/** Requests that come while a run is under way share it: probes must not pile up on a slow database. */
function sharedRun<Result>(run: () => Promise<Result>): () => Promise<Result> {
  let current: Promise<Result> | null = null;
  return () => {
    current ??= run().finally(() => {
      current = null;
    });
    return current;
  };
}

function text(status: number, content: string): Answer {
  return { status, contentType: TEXT, text: content };
}

function send(request: IncomingMessage, response: ServerResponse, found: Answer): void {
  response.writeHead(found.status, {
    "content-type": found.contentType,
    "content-length": Buffer.byteLength(found.text),
    "cache-control": "no-store",
    ...(found.status === 405 ? { allow: "GET, HEAD" } : {}),
  });
  response.end(request.method === "HEAD" ? undefined : found.text);
}
