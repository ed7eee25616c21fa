/**
 * The provider simulator: an HTTP server that speaks OpenAI's chat completions and Anthropic's messages as strictly as the real
 * ones, answers by fixed rules, and keeps its own bill. It imports nothing from the gateway, so that bill and ledger can disagree.
 *
 * Ways in: /v1/chat/completions and /v1/messages as at the providers; /simulator/* for tests (see control-endpoint.ts).
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { Server } from "node:http";
import { Accounts } from "./accounts.js";
import { BillFile } from "./bill-file.js";
import { ControlEndpoint, parseLatency, simulatorStats } from "./control-endpoint.js";
import type { ControlParts, SimulatorStats } from "./control-endpoint.js";
import { FaultBook } from "./fault-rules.js";
import type { FaultRule } from "./fault-rules.js";
import { priceTable } from "./price-table.js";
import type { SelfHostedModel } from "./price-table.js";
import { ProviderEndpoint } from "./provider-endpoint.js";
import { Traffic } from "./traffic.js";

export type { SimulatorStats } from "./control-endpoint.js";
export type { Fault, FaultRule } from "./fault-rules.js";
export type { BillRow } from "./bill-file.js";
export type { SelfHostedModel } from "./price-table.js";

export type SimulatorOptions = {
  /** Default 0: a free port. */
  readonly port?: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** The bill: JSONL, appended to, created when missing. One simulator a file. */
  readonly billFile: string;
  /** The price list (schemas/pricing.json). */
  readonly pricingFile: string;
  /** Shifts the length of answers, latencies and the choice of faults by rate. Default 1. */
  readonly seed?: number;
  readonly latencyMs?: number;
  readonly jitterMs?: number;
  /** API key to account label; any other key is refused. Default: every key is accepted. */
  readonly keys?: Readonly<Record<string, string>>;
  /** Models of OpenAI-compatible servers, with their prices. */
  readonly models?: Readonly<Record<string, SelfHostedModel>>;
  readonly faults?: readonly FaultRule[];
};

export type Simulator = {
  /** Without a slash at the end. */
  readonly url: string;
  /** `baseURL` for OpenAI's clients and OpenAI-compatible ones. */
  readonly openaiBaseUrl: string;
  /** `baseURL` for Anthropic's clients. */
  readonly anthropicBaseUrl: string;
  stats(): SimulatorStats;
  /** Answers what is in the air for up to a second, then cuts the rest. Safe to call twice. */
  close(): Promise<void>;
};

const CLOSE_GRACE_MS = 1000;
/** Connections that were opened and never used count as busy to node; with no call in the air nothing is lost by cutting them. */
const CLOSE_CHECK_MS = 50;
const CONTROL_PREFIX = "/simulator/";
/** Longer than the idle time of common clients, so that it is the client who closes an idle connection. */
const KEEP_ALIVE_MS = 75_000;

/**
 * Starts a simulator.
 * @throws Error when the price list or the bill can't be read, an option is out of range, or the port is taken.
 */
export async function startSimulator(options: SimulatorOptions): Promise<Simulator> {
  const seed = options.seed ?? 1;
  if (!Number.isSafeInteger(seed) || seed < 0) throw new Error("expected the seed to be an integer of at least 0");
  const latency = parseLatency({ ms: options.latencyMs ?? 0, jitterMs: options.jitterMs ?? 0 });
  const prices = priceTable(readFileSync(options.pricingFile, "utf8"), options.models);
  const bill = new BillFile(options.billFile);
  const faults = new FaultBook(seed, options.faults ?? []);
  const traffic = new Traffic();
  const accounts = new Accounts(options.keys ?? null);
  const endpoint = new ProviderEndpoint({ prices, bill, faults, accounts, traffic, seed }, latency);
  const parts = { bill, faults, traffic, endpoint };
  const server = simulatorServer(parts);
  try {
    await listen(server, options.port ?? 0, options.host ?? "127.0.0.1");
  } catch (error) {
    bill.close();
    throw error;
  }
  return runningSimulator(server, parts);
}

function simulatorServer(parts: ControlParts): Server {
  const control = new ControlEndpoint(parts);
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 0 }, (request, response) => {
    const url = request.url ?? "/";
    const queryAt = url.indexOf("?");
    const path = queryAt < 0 ? url : url.slice(0, queryAt);
    if (path.startsWith(CONTROL_PREFIX)) control.handle(request, response, path);
    else parts.endpoint.handle(request, response, path);
  });
  return server;
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function urlOf(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("expected the simulator to listen on a port");
  const host = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return `http://${host}:${String(address.port)}`;
}

function runningSimulator(server: Server, parts: ControlParts): Simulator {
  const url = urlOf(server);
  let closing: Promise<void> | null = null;
  return {
    url,
    openaiBaseUrl: `${url}/v1`,
    anthropicBaseUrl: url,
    stats: () => simulatorStats(parts),
    close: () => (closing ??= closeAll(server, parts)),
  };
}

function closeAll(server: Server, parts: ControlParts): Promise<void> {
  const giveUpMs = performance.now() + CLOSE_GRACE_MS;
  return new Promise((resolve) => {
    const cutOff = setInterval(() => {
      if (parts.traffic.openCount === 0 || performance.now() > giveUpMs) server.closeAllConnections();
    }, CLOSE_CHECK_MS);
    server.close(() => {
      clearInterval(cutOff);
      parts.bill.close();
      resolve();
    });
  });
}
