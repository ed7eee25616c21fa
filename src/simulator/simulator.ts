/**
 * The provider simulator: an HTTP server that speaks OpenAI's chat completions and Anthropic's messages as strictly as the real
 * ones, answers by fixed rules, and keeps its own bill. It imports nothing from the gateway, so that bill and ledger can disagree.
 *
 * Ways in: /v1/chat/completions and /v1/messages as at the providers; /simulator/* for tests (see control-endpoint.ts).
 */
import { mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { Server } from "node:http";
import { join } from "node:path";
import { Accounts } from "./engine/accounts.js";
import { BatchEngine } from "./engine/batch-engine.js";
import { BatchShelf } from "./engine/batch-record.js";
import { parseBatchTimes } from "./engine/batch-times.js";
import type { BatchTimesOption } from "./engine/batch-times.js";
import { BillFile } from "./engine/bill-file.js";
import { ControlEndpoint, parseLatency, simulatorStats } from "./control-endpoint.js";
import type { ControlParts, SimulatorStats } from "./control-endpoint.js";
import { FaultBook } from "./engine/fault-rules.js";
import type { FaultRule } from "./engine/fault-rules.js";
import { FileStore } from "./engine/file-store.js";
import { Limits } from "./engine/limits.js";
import type { LimitsOption } from "./engine/limits.js";
import type { EngineParts } from "./engine/operation.js";
import { priceTable } from "./engine/price-table.js";
import type { PriceTable, SelfHostedModel } from "./engine/price-table.js";
import type { ProviderApi } from "./engine/provider-api.js";
import { ProviderEndpoint } from "./engine/provider-endpoint.js";
import { SimulatedClock } from "./engine/simulated-clock.js";
import { Traffic } from "./engine/traffic.js";

import { providers } from "./providers.js";

export type { SimulatorStats } from "./control-endpoint.js";
export type { Fault, FaultRule } from "./engine/fault-rules.js";
export type { BillRow } from "./engine/bill-file.js";
export type { SelfHostedModel } from "./engine/price-table.js";

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
  /** Where files and batches are kept; default: beside the bill, its name and `.state`. One simulator a folder. */
  readonly stateFolder?: string;
  /** How many times as fast as real time batches and files live: 86,400 makes a day a second. Default 1. */
  readonly timeScale?: number;
  /** Rate limits and quotas to enforce; default none. */
  readonly limits?: LimitsOption;
  /** How long the stretches of a batch's life take, in simulated time. */
  readonly batchTimes?: BatchTimesOption;
};

export type Simulator = {
  /** Without a slash at the end. */
  readonly url: string;
  /** `baseURL` for OpenAI's clients and OpenAI-compatible ones. */
  readonly openaiBaseUrl: string;
  /** `baseURL` for Anthropic's clients. */
  readonly anthropicBaseUrl: string;
  /** `httpOptions.baseUrl` for Google's clients of the Gemini API. */
  readonly geminiBaseUrl: string;
  /** `baseURL` for clients of OpenAI-compatible servers, each with its own deviations. */
  readonly vllmBaseUrl: string;
  readonly llamaCppBaseUrl: string;
  readonly ollamaBaseUrl: string;
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
/** A day in less than a second; beyond, the simulated times between two calls say nothing any more. */
const TIME_SCALE_MAX = 1_000_000;

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
  const played = providers();
  const engine = engineParts(options, { seed, prices, bill, faults, played });
  const endpoint = new ProviderEndpoint({ providers: played, engine, bill, faults, accounts, traffic }, latency);
  const parts = { bill, faults, traffic, endpoint, engine };
  const server = simulatorServer(parts);
  try {
    await listen(server, options.port ?? 0, options.host ?? "127.0.0.1");
  } catch (error) {
    engine.batches.stop();
    bill.close();
    throw error;
  }
  return runningSimulator(server, parts);
}

type Shared = {
  readonly seed: number;
  readonly prices: PriceTable;
  readonly bill: BillFile;
  readonly faults: FaultBook;
  readonly played: readonly ProviderApi[];
};

/** Takes up the files and batches of earlier runs. */
function engineParts(options: SimulatorOptions, { seed, prices, bill, faults, played }: Shared): EngineParts {
  const scale = options.timeScale ?? 1;
  if (!(scale >= 1 && scale <= TIME_SCALE_MAX))
    throw new Error(`expected the time scale to be from 1 to ${String(TIME_SCALE_MAX)}`);
  const folder = options.stateFolder ?? `${options.billFile}.state`;
  mkdirSync(folder, { recursive: true });
  const clock = new SimulatedClock(join(folder, "clock.json"), scale);
  const files = new FileStore(join(folder, "files"), clock);
  const limits = new Limits(options.limits ?? null);
  const batches = new BatchEngine({
    apis: played.flatMap((provider) => provider.batchApis),
    shelf: new BatchShelf(join(folder, "batches")),
    timetable: parseBatchTimes(options.batchTimes ?? {}),
    ...{ files, bill, faults, limits, clock, prices, seed },
  });
  return { clock, files, batches, prices, limits, seed };
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
    geminiBaseUrl: url,
    vllmBaseUrl: `${url}/vllm/v1`,
    llamaCppBaseUrl: `${url}/llama-cpp/v1`,
    ollamaBaseUrl: `${url}/ollama/v1`,
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
      parts.engine.batches.stop();
      parts.bill.close();
      resolve();
    });
  });
}
