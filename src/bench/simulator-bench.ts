import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startSimulator, type SimulatorProcess } from "../demo/simulator-process.js";
import { type BatchFigures, oneBatch } from "./simulator-batches.js";
import { BENCH_KEY, type CallFigures, directCalls, type Wire, WIRES } from "./simulator-calls.js";

const SCRIPT = fileURLToPath(new URL("../simulator/simulator-main.js", import.meta.url));
const PRICING_FILE = fileURLToPath(new URL("../../schemas/pricing.json", import.meta.url));
const AT_ONCE = { validatingMs: 0, turnaroundMs: 0, jitterMs: 0, finalizingMs: 0 };
const LIMITS = { default: { requestsPerMinute: 100_000_000, tokensPerMinute: 100_000_000_000 } };

type ByProvider<T> = Readonly<Record<Wire["name"], T>>;

export interface SimulatorFigures {
  readonly calls: number;
  /** CPU seconds of the simulator for 1,000 direct calls with distinct bodies of 1 KB. */
  readonly cpuSPer1k: ByProvider<number>;
  /** The same of Node's HTTP server alone, in the same run. */
  readonly bareCpuSPer1k: number;
  /** The first as multiples of the second. */
  readonly timesBare: ByProvider<number>;
  readonly callsPerS: ByProvider<number>;
  readonly bareCallsPerS: number;
  /** What a batch of full size costs a simulator of its own. Memory is its process's, seen from outside. */
  readonly batches: ByProvider<BatchFigures>;
}

/** What the simulator costs: direct calls with keys, checks, bill, rate headers, limits and fault rules on; and batches of full size. */
export async function simulatorBench(
  calls: number,
  batchLines: number,
  note: (line: string) => void,
): Promise<SimulatorFigures> {
  const folder = await mkdtemp(join(tmpdir(), "sluice-bench-"));
  try {
    const direct = await withSimulator(folder, "direct", (simulator) => directCalls(simulator, folder, calls));
    const { bare, providers } = direct;
    note(`bare server: ${bare.cpuSPer1k.toFixed(3)} CPU-s per 1,000 calls`);
    const timesBare = (one: CallFigures): number => Number((one.cpuSPer1k / bare.cpuSPer1k).toFixed(2));
    for (const [name, one] of Object.entries(providers))
      note(
        `${name}: ${one.cpuSPer1k.toFixed(3)} CPU-s per 1,000 calls, ${String(timesBare(one))} times the bare server`,
      );
    return {
      calls,
      cpuSPer1k: each((name) => rounded(providers[name].cpuSPer1k)),
      bareCpuSPer1k: rounded(bare.cpuSPer1k),
      timesBare: each((name) => timesBare(providers[name])),
      callsPerS: each((name) => Math.round(providers[name].callsPerS)),
      bareCallsPerS: Math.round(bare.callsPerS),
      batches: await batchesOfAll(folder, batchLines, note),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function rounded(value: number): number {
  return Number(value.toFixed(3));
}

function each<T>(of: (name: Wire["name"]) => T): ByProvider<T> {
  // WIRES has each name once.
  return Object.fromEntries(WIRES.map(({ name }) => [name, of(name)])) as ByProvider<T>;
}

async function batchesOfAll(
  folder: string,
  lines: number,
  note: (line: string) => void,
): Promise<ByProvider<BatchFigures>> {
  const figures = new Map<string, BatchFigures>();
  // Serial, each at a simulator of its own: what is measured is one batch's memory.
  for (const { name } of WIRES) {
    const one = await withSimulator(folder, `batch-${name}`, (simulator) => oneBatch(simulator, name, lines));
    const { inputMb, idleRssMb, peakRssMb } = one;
    const memory = `${String(peakRssMb)} MiB at most, ${String(idleRssMb)} before`;
    note(`${name}: ${String(one.lines)} lines of ${String(inputMb)} MB, memory ${memory}`);
    figures.set(name, one);
  }
  return each((name) => {
    const found = figures.get(name);
    if (found === undefined) throw new Error(`expected figures of ${name}`);
    return found;
  });
}

async function withSimulator<T>(
  folder: string,
  name: string,
  use: (simulator: SimulatorProcess) => Promise<T>,
): Promise<T> {
  const keysFile = join(folder, "keys.json");
  await writeFile(keysFile, JSON.stringify({ [BENCH_KEY]: "bench" }));
  const failures: Error[] = [];
  const simulator = await startSimulator({
    script: SCRIPT,
    billFile: join(folder, `${name}.jsonl`),
    pricingFile: PRICING_FILE,
    latencyMs: 0,
    jitterMs: 0,
    seed: 1,
    logFile: join(folder, `${name}.log`),
    moreArgs: ["--keys", keysFile, "--limits", JSON.stringify(LIMITS), "--batch-times", JSON.stringify(AT_ONCE)],
    onUnexpectedEnd: (error) => {
      failures.push(error);
    },
  });
  try {
    const done = await use(simulator);
    for (const failure of failures) throw failure;
    return done;
  } finally {
    await simulator.stop();
  }
}
