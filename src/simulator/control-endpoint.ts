/** The paths under /simulator/: the bill, what is in the air, latency and faults. For tests and operators, never for the gateway. */
import { Readable } from "node:stream";
import { rowsWith, wantedRows } from "./engine/bill-filter.js";
import type { BillFile } from "./engine/bill-file.js";
import type { CallRequest, CallResponse } from "./engine/call-messages.js";
import { integer, shape } from "./engine/field-checks.js";
import type { EngineParts } from "./engine/operation.js";
import { parseFaultRules } from "./engine/fault-rules.js";
import type { FaultBook, FaultRuleState } from "./engine/fault-rules.js";
import type { Latency, ProviderEndpoint } from "./engine/provider-endpoint.js";
import { readBody } from "./engine/read-body.js";
import type { RecentCalls, Traffic } from "./engine/traffic.js";

/** Money is decimal text. `calls` and `billedNanoUsd` are the whole bill file's; all else counts since the start. */
export type SimulatorStats = {
  /** Billed calls = rows of the bill. */
  readonly calls: number;
  /** Requests that reached a provider's paths, refused ones included. */
  readonly requests: number;
  /** Received at least in part, and not yet both worked and answered (or cut off). */
  readonly open: number;
  /** The most of them at once, since the start. */
  readonly openMax: number;
  readonly openAttempts: readonly string[];
  readonly billedNanoUsd: string;
  /** Answers by status; "none" for calls that got no answer. */
  readonly byStatus: Readonly<Record<string, number>>;
  readonly latency: Latency;
  /** Strikes by kind of fault, under all rules since the start. */
  readonly faults: Readonly<Record<string, number>>;
  /** The rules in force now. */
  readonly faultRules: readonly FaultRuleState[];
};

export type ControlParts = {
  readonly bill: BillFile;
  readonly faults: FaultBook;
  readonly traffic: Traffic;
  readonly endpoint: ProviderEndpoint;
  readonly engine: EngineParts;
};

const LATENCY_MS_MAX = 3_600_000;
const LATENCY = shape({ ms: integer(0, LATENCY_MS_MAX) }, { jitterMs: integer(0, LATENCY_MS_MAX) });
const ADVANCE = shape({ advanceMs: integer(0, 366 * 86_400_000) });
const RECENT_MS_DEFAULT = 1000;

/**
 * Reads a latency from parsed JSON.
 * @throws Error naming what is wrong; a jitter above the latency itself is.
 */
export function parseLatency(json: unknown): Latency {
  const problem = LATENCY(json);
  if (problem !== null) throw new Error(`latency: at "${problem.path.join(".")}" expected ${problem.expected}`);
  // The check above proves the shape; this is the parsing edge.
  const { ms, jitterMs = 0 } = json as { ms: number; jitterMs?: number };
  if (jitterMs > ms) throw new Error("latency: expected jitterMs to be at most ms");
  return { ms, jitterMs };
}

export function simulatorStats({ bill, faults, traffic, endpoint }: ControlParts): SimulatorStats {
  return {
    calls: bill.rows,
    requests: traffic.requests,
    open: traffic.openCount,
    openMax: traffic.openMax,
    openAttempts: traffic.openAttempts,
    billedNanoUsd: bill.nanoUsd.toString(),
    byStatus: traffic.byStatus,
    latency: endpoint.latency,
    faults: faults.fired,
    faultRules: faults.rules,
  };
}

export class ControlEndpoint {
  readonly #parts: ControlParts;
  readonly #routes: ReadonlyMap<string, (query: URLSearchParams, body: Buffer) => unknown>;

  constructor(parts: ControlParts) {
    this.#parts = parts;
    this.#routes = new Map<string, (query: URLSearchParams, body: Buffer) => unknown>([
      ["GET /simulator/stats", () => simulatorStats(parts)],
      ["GET /simulator/recent", (query) => this.#recent(query)],
      [
        "POST /simulator/latency",
        (_query, body) => (parts.endpoint.latency = parseLatency(JSON.parse(body.toString("utf8")))),
      ],
      ["GET /simulator/limits", () => ({ windows: parts.engine.limits.windows })],
      ["GET /simulator/faults", () => ({ rules: parts.faults.rules })],
      ["POST /simulator/faults", (_query, body) => this.#replaceFaults(JSON.parse(body.toString("utf8")))],
      ["DELETE /simulator/faults", () => this.#replaceFaults([])],
      ["GET /simulator/batches", () => ({ batches: parts.engine.batches.summaries() })],
      ["GET /simulator/batch-times", () => parts.engine.batches.timetable],
      [
        "POST /simulator/batch-times",
        (_query, body) => parts.engine.batches.setTimetable(JSON.parse(body.toString("utf8"))),
      ],
      ["GET /simulator/clock", () => this.#clock()],
      ["POST /simulator/clock", (_query, body) => this.#advance(JSON.parse(body.toString("utf8")))],
    ]);
  }

  handle(request: CallRequest, response: CallResponse, path: string): void {
    const query = new URLSearchParams((request.url ?? "").slice(path.length + 1));
    if (request.method === "GET" && path === "/simulator/bill") {
      this.#sendBill(response, query);
      return;
    }
    const route = this.#routes.get(`${String(request.method)} ${path}`);
    readBody(request, (body) => {
      if (route === undefined) sendJson(response, 404, { error: `no control at ${String(request.method)} ${path}` });
      else if (body === null) sendJson(response, 413, { error: "the body is too long" });
      else sendResult(response, () => route(query, body));
    });
  }

  /** `open` and `openAttempts` are of the same instant, so that a checker sees each call in one of the two or in none. */
  #recent(query: URLSearchParams): RecentCalls & { open: number; openAttempts: readonly string[] } {
    const ms = Number(query.get("ms") ?? RECENT_MS_DEFAULT);
    if (!Number.isFinite(ms) || ms < 0) throw new Error("recent: expected ms to be a number of milliseconds");
    const { traffic } = this.#parts;
    return { ...traffic.recent(ms, performance.now()), open: traffic.openCount, openAttempts: traffic.openAttempts };
  }

  #clock(): { readonly nowMs: number; readonly scale: number } {
    const { clock } = this.#parts.engine;
    return { nowMs: clock.now(), scale: clock.scale };
  }

  /** Moves the simulated clock on: what is due by then happens at once. */
  #advance(json: unknown): { readonly nowMs: number; readonly scale: number } {
    const problem = ADVANCE(json);
    if (problem !== null) throw new Error(`clock: at "${problem.path.join(".")}" expected ${problem.expected}`);
    // The check above proves the shape; this is the parsing edge.
    this.#parts.engine.clock.advance((json as { advanceMs: number }).advanceMs);
    return this.#clock();
  }

  #replaceFaults(json: unknown): { rules: readonly FaultRuleState[] } {
    this.#parts.faults.replace(parseFaultRules(json));
    return { rules: this.#parts.faults.rules };
  }

  #sendBill(response: CallResponse, query: URLSearchParams): void {
    let wanted: ReturnType<typeof wantedRows>;
    try {
      wanted = wantedRows(query);
    } catch (error) {
      sendJson(response, 400, { error: wordsOf(error) });
      return;
    }
    const rows = this.#parts.bill.read();
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    if (rows === null) {
      response.end();
      return;
    }
    const sent = wanted.length === 0 ? rows : Readable.from(rowsWith(rows, wanted), { objectMode: true });
    sent.once("error", () => response.destroy());
    response.once("close", () => rows.destroy());
    sent.pipe(response);
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function sendResult(response: CallResponse, produce: () => unknown): void {
  try {
    sendJson(response, 200, produce());
  } catch (error) {
    sendJson(response, 400, { error: wordsOf(error) });
  }
}

function sendJson(response: CallResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value);
  response.writeHead(status, { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)) });
  response.end(body);
}
