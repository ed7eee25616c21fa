/**
 * The provider simulator: an HTTP server that speaks the providers' direct and batch APIs as strictly as the real ones, answers by
 * fixed rules, and keeps its own bill. It imports nothing from the gateway, so that bill and ledger can disagree.
 *
 * Ways in: the providers' own paths, and those of OpenAI-compatible servers below /vllm, /llama-cpp and /ollama (providers.ts); /simulator/* for
 * tests (control-endpoint.ts); `startSimulator` here, for tests that want it in their own process.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { Server as HttpServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Accounts } from "./engine/accounts.js";
import { BatchEngine } from "./engine/batch-engine.js";
import { BatchShelf } from "./engine/batch-record.js";
import { parseBatchTimes } from "./engine/batch-times.js";
import type { BatchTimesOption } from "./engine/batch-times.js";
import { BillFile } from "./engine/bill-file.js";
import type { BillRow } from "./engine/bill-file.js";
import { CallRequest, CallResponse, KEEP_ALIVE_MS } from "./engine/call-messages.js";
import { ControlEndpoint, parseLatency, simulatorStats } from "./control-endpoint.js";
import type { ControlParts, SimulatorStats } from "./control-endpoint.js";
import { FaultBook, parseFaultRules } from "./engine/fault-rules.js";
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
export type { LimitsOption } from "./engine/limits.js";
export type { BatchTimesOption } from "./engine/batch-times.js";
export type { SelfHostedModel } from "./engine/price-table.js";

export type SimulatorOptions = {
  /** Default 0: a free port. */
  readonly port?: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /**
   * The bill: JSONL, appended to, created when missing. One simulator a file. Default: a folder of its own for the bill and all
   * state, which goes with the simulator.
   */
  readonly billFile?: string;
  /** The price list; default: that of this package (schemas/pricing.json). */
  readonly pricingFile?: string;
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
  /** Takes these fault rules instead of those before, with all counts at 0. */
  setFaults(rules: readonly FaultRule[]): void;
  /** Moves the clock of batches and files on: what is due by then happens at once. Whole milliseconds. */
  advanceClock(simulatedMs: number): void;
  /** The bill's rows so far, oldest first. All of them are in memory: for bills of a test's size. */
  billRows(): readonly BillRow[];
  /** Answers what is in the air for up to a second, then cuts the rest. Safe to call twice. */
  close(): Promise<void>;
};

const PRICING_FILE = fileURLToPath(new URL("../../schemas/pricing.json", import.meta.url));
const FOLDER_PREFIX = `sluice-simulator-${String(process.pid)}-`;
const CLOSE_GRACE_MS = 1000;
/** Connections that were opened and never used count as busy to node; with no call in the air nothing is lost by cutting them. */
const CLOSE_CHECK_MS = 50;
const CONTROL_PREFIX = "/simulator/";

type Server = HttpServer<typeof CallRequest, typeof CallResponse>;
/** A day in less than a second; beyond, the simulated times between two calls say nothing any more. */
const TIME_SCALE_MAX = 1_000_000;

/**
 * Starts a simulator.
 * @throws Error when the price list or the bill can't be read, an option is out of range, or the port is taken.
 */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const ownFolder = options.billFile === undefined ? mkdtempSync(join(tmpdir(), FOLDER_PREFIX)) : null;
  const billFile = options.billFile ?? join(ownFolder ?? "", "bill.jsonl");
  try {
    const parts = assemble(options, billFile);
    return runningSimulator(await listeningServer(options, parts), parts, billFile, ownFolder);
  } catch (error) {
    removeFolder(ownFolder);
    throw error;
  }
}

async function listeningServer(options: SimulatorOptions, parts: ControlParts): Promise<Server> {
  const server = simulatorServer(parts);
  try {
    await listen(server, options.port ?? 0, options.host ?? "127.0.0.1");
    return server;
  } catch (error) {
    closeParts(parts);
    throw error;
  }
}

function removeFolder(folder: string | null): void {
  if (folder !== null) rmSync(folder, { recursive: true, force: true });
}

/** Reads what there is on disk and puts the parts together. */
function assemble(options: SimulatorOptions, billFile: string): ControlParts {
  const seed = options.seed ?? 1;
  if (!Number.isSafeInteger(seed) || seed < 0) throw new Error("expected the seed to be an integer of at least 0");
  const latency = parseLatency({ ms: options.latencyMs ?? 0, jitterMs: options.jitterMs ?? 0 });
  const prices = priceTable(readFileSync(options.pricingFile ?? PRICING_FILE, "utf8"), options.models);
  const bill = new BillFile(billFile);
  const faults = new FaultBook(seed, parseFaultRules(options.faults ?? []));
  const traffic = new Traffic();
  const accounts = new Accounts(options.keys ?? null);
  const played = providers();
  const folder = options.stateFolder ?? `${billFile}.state`;
  const engine = engineParts(options, folder, { seed, prices, bill, faults, played });
  const endpoint = new ProviderEndpoint({ providers: played, engine, bill, faults, accounts, traffic }, latency);
  return { bill, faults, traffic, endpoint, engine };
}

function closeParts({ engine, bill }: ControlParts): void {
  engine.batches.stop();
  bill.close();
}

type Shared = {
  readonly seed: number;
  readonly prices: PriceTable;
  readonly bill: BillFile;
  readonly faults: FaultBook;
  readonly played: readonly ProviderApi[];
};

/** Takes up the files and batches of earlier runs. */
function engineParts(
  options: SimulatorOptions,
  folder: string,
  { seed, prices, bill, faults, played }: Shared,
): EngineParts {
  const scale = options.timeScale ?? 1;
  if (!(scale >= 1 && scale <= TIME_SCALE_MAX))
    throw new Error(`expected the time scale to be from 1 to ${String(TIME_SCALE_MAX)}`);
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
  const messages = { IncomingMessage: CallRequest, ServerResponse: CallResponse };
  const timeouts = { keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 0 };
  const server = createServer({ ...messages, ...timeouts }, (request, response) => {
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

function runningSimulator(server: Server, parts: ControlParts, billFile: string, ownFolder: string | null): Simulator {
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
    setFaults: (rules) => {
      parts.faults.replace(parseFaultRules(rules));
    },
    advanceClock: (simulatedMs) => {
      parts.engine.clock.advance(simulatedMs);
    },
    billRows: () => readRows(parts.bill, billFile),
    close: () => (closing ??= closeAll(server, parts, ownFolder)),
  };
}

function readRows(bill: BillFile, file: string): readonly BillRow[] {
  bill.flush();
  const lines = readFileSync(file, "utf8").split("\n");
  // Written by this simulator or an earlier one: this is the parsing edge.
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as BillRow);
}

function closeAll(server: Server, parts: ControlParts, ownFolder: string | null): Promise<void> {
  const giveUpMs = performance.now() + CLOSE_GRACE_MS;
  return new Promise((resolve) => {
    const cutOff = setInterval(() => {
      if (parts.traffic.openCount === 0 || performance.now() > giveUpMs) server.closeAllConnections();
    }, CLOSE_CHECK_MS);
    server.close(() => {
      clearInterval(cutOff);
      closeParts(parts);
      removeFolder(ownFolder);
      resolve();
    });
  });
}
