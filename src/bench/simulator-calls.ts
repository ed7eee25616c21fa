import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Client } from "undici";
import { endText, startProcess, stopProcess } from "../demo/child-process.js";
import type { SimulatorProcess } from "../demo/simulator-process.js";
import { cpuSecondsOfTree } from "./process-usage.js";

const BARE_SCRIPT = fileURLToPath(new URL("bare-server-main.js", import.meta.url));
const BODY_BYTES = 1024;
const WARM_UP_CALLS = 10_000;
/** Everybody's calls are spread over so many turns, so that a machine that others keep busy for a while does so for all alike. */
const ROUNDS = 5;
const CONNECTIONS = 16;
const STOP_MS = 5000;

/** Rules that every call is held against and that as good as none of them fits for good: what a run with rare faults costs. */
const FAULT_RULES = [
  { match: { path: "/v1/embeddings", rate: 0.01 }, fault: { kind: "status", status: 529 } },
  { match: { operation: "openai.batches.create" }, fault: { kind: "drop_after_billed" } },
  { match: { model: "gpt-4o", key: "other" }, fault: { kind: "rate_limited" } },
  { match: { operation: "openai.chat", nth: 1_000_000_000 }, fault: { kind: "hang" } },
  { match: { operation: "anthropic.messages", nth: 1_000_000_000 }, fault: { kind: "hang" } },
  { match: { operation: "gemini.generateContent", nth: 1_000_000_000 }, fault: { kind: "hang" } },
];

/** A provider's direct call as the benchmarks send it. */
export interface Wire {
  readonly name: "openai" | "anthropic" | "gemini";
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The body around a prompt. */
  readonly body: (prompt: string) => object;
}

export const BENCH_KEY = "sk-bench";
const JSON_TYPE = { "content-type": "application/json" };

export const WIRES: readonly Wire[] = [
  {
    name: "openai",
    path: "/v1/chat/completions",
    headers: { ...JSON_TYPE, authorization: `Bearer ${BENCH_KEY}` },
    body: (content) => ({
      model: "gpt-4.1-mini",
      messages: [{ role: "user", content }],
      max_completion_tokens: 200,
    }),
  },
  {
    name: "anthropic",
    path: "/v1/messages",
    headers: { ...JSON_TYPE, "x-api-key": BENCH_KEY, "anthropic-version": "2023-06-01" },
    body: (content) => ({ model: "claude-haiku-4-5", max_tokens: 200, messages: [{ role: "user", content }] }),
  },
  {
    name: "gemini",
    path: "/v1beta/models/gemini-2.5-flash:generateContent",
    headers: { ...JSON_TYPE, "x-goog-api-key": BENCH_KEY },
    body: (text) => ({ contents: [{ role: "user", parts: [{ text }] }], generationConfig: { maxOutputTokens: 200 } }),
  },
];

/** Call number `n` as JSON text of that many bytes; no two numbers give the same prompt. */
export function bodyOf(wire: Wire, n: number, bytes: number): string {
  const around = JSON.stringify(wire.body("")).length;
  return JSON.stringify(wire.body(`call ${String(n)} `.padEnd(bytes - around, "words to be read ")));
}

/** What 1,000 calls cost a server, and how fast they went with everything on the same machine. */
export interface CallFigures {
  readonly cpuSPer1k: number;
  readonly callsPerS: number;
}

export interface DirectFigures {
  /** Node's HTTP server without anything behind it. */
  readonly bare: CallFigures;
  readonly providers: Readonly<Record<Wire["name"], CallFigures>>;
}

interface Target {
  readonly url: string;
  readonly pid: number;
  readonly wire: Wire;
}

interface Sum {
  cpuS: number;
  seconds: number;
}

/** Sends `calls` calls of 1 KB to each provider and to a bare server, in turns. @throws Error when a call is not answered with 200. */
export async function directCalls(simulator: SimulatorProcess, folder: string, calls: number): Promise<DirectFigures> {
  const rules = await fetch(`${simulator.url}/simulator/faults`, { method: "POST", body: JSON.stringify(FAULT_RULES) });
  if (!rules.ok) throw new Error(`expected the fault rules to be taken: ${await rules.text()}`);
  const bare = await startBareServer(folder);
  try {
    const [first] = WIRES;
    if (first === undefined) throw new Error("expected a provider");
    const simulated = WIRES.map((wire) => ({ url: simulator.url, pid: simulator.child.pid, wire }));
    const [bareSum, ...sums] = await inTurns([{ url: bare.url, pid: bare.pid, wire: first }, ...simulated], calls);
    const figures = sums.map((sum, at) => [WIRES[at]?.name, figuresOf(sum, calls)] as const);
    if (bareSum === undefined) throw new Error("expected a figure of the bare server");
    // The names are those of WIRES, which has each once.
    const providers = Object.fromEntries(figures) as DirectFigures["providers"];
    return { bare: figuresOf(bareSum, calls), providers };
  } finally {
    await bare.stop();
  }
}

function figuresOf({ cpuS, seconds }: Sum, calls: number): CallFigures {
  return { cpuSPer1k: (cpuS / calls) * 1000, callsPerS: calls / seconds };
}

async function inTurns(targets: readonly Target[], calls: number): Promise<readonly Sum[]> {
  const sums = targets.map((): Sum => ({ cpuS: 0, seconds: 0 }));
  let next = 0;
  const run = async (target: Target, count: number): Promise<void> => {
    const from = next;
    next += count;
    await send(target, from, count);
  };
  // Serial: one target at a time has the machine.
  for (const target of targets) await run(target, WARM_UP_CALLS);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [at, target] of targets.entries()) {
      const share = Math.floor((calls * (round + 1)) / ROUNDS) - Math.floor((calls * round) / ROUNDS);
      const cpuBefore = cpuSecondsOfTree(target.pid);
      const startedMs = performance.now();
      await run(target, share);
      const sum = sums[at];
      if (sum === undefined) continue;
      sum.seconds += (performance.now() - startedMs) / 1000;
      sum.cpuS += cpuSecondsOfTree(target.pid) - cpuBefore;
    }
  }
  return sums;
}

/** Serial on each connection: that many calls are open at a time. */
async function send({ url, wire }: Target, from: number, count: number): Promise<void> {
  const clients = Array.from({ length: CONNECTIONS }, () => new Client(url));
  const call = async (client: Client, n: number): Promise<void> => {
    const headers = { ...wire.headers, "x-client-request-id": `attempt-${String(n)}` };
    const body = bodyOf(wire, n, BODY_BYTES);
    const answer = await client.request({ path: wire.path, method: "POST", headers, body });
    await answer.body.dump();
    if (answer.statusCode !== 200) throw new Error(`${wire.name}: expected 200, got ${String(answer.statusCode)}`);
  };
  let next = from;
  await Promise.all(
    clients.map(async (client) => {
      while (next < from + count) await call(client, next++);
      await client.close();
    }),
  );
}

async function startBareServer(
  folder: string,
): Promise<{ readonly url: string; readonly pid: number; readonly stop: () => Promise<void> }> {
  const child = startProcess({
    name: "bare server",
    args: [BARE_SCRIPT],
    env: {},
    logFile: join(folder, "bare.log"),
    readStdout: true,
  });
  const line = new Promise<string>((resolve) => {
    child.onStdoutLine(resolve);
  });
  const ended = child.ended.then((end): never => {
    throw new Error(`the bare server ${endText(end)}; see ${child.logFile}`);
  });
  // The edge: our own line.
  const { port } = JSON.parse(await Promise.race([line, ended])) as { port: number };
  ended.catch(() => undefined);
  return { url: `http://127.0.0.1:${String(port)}`, pid: child.pid, stop: () => stopProcess(child, STOP_MS) };
}
