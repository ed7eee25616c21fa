import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startSimulator, type SimulatorProcess } from "../demo/simulator-process.js";
import type { OwnProcess } from "../demo/child-process.js";
import { BenchPlace, cpuPer1k, type RouterSetup } from "./bench-place.js";
import { peakRssMb } from "./process-usage.js";

const RUN_TIMEOUT_MS = 240_000;
const SIMULATOR = fileURLToPath(new URL("../simulator/simulator-main.js", import.meta.url));
const PRICING = fileURLToPath(new URL("../../schemas/pricing.json", import.meta.url));
const NO_TIME = { validatingMs: 0, turnaroundMs: 0, jitterMs: 0, finalizingMs: 0, cancellingMs: 0 };

export interface BatchFigures {
  readonly lines: number;
  readonly batches: number;
  readonly linesPerS: number;
  readonly routerCpuSPer1k: number;
  readonly postgresCpuSPer1k: number;
  /** The provider's side, the broker, and the publisher with the reader run on the same processors. */
  readonly simulatorCpuSPer1k: number;
  readonly kafkaCpuSPer1k: number;
  readonly benchCpuSPer1k: number;
  readonly peakRssMb: number;
}

/**
 * Lines through a provider's batch API that is done at once, from the first publish to the last result in its topic. Each line is
 * billed once, by the simulated provider's own count.
 */
export async function batchBench(lines: number, note: (line: string) => void): Promise<BatchFigures> {
  const place = await BenchPlace.open(note);
  let simulator: SimulatorProcess | null = null;
  try {
    simulator = await startBatchSimulator(place, note);
    return await measured(place, simulator, lines, note);
  } finally {
    await simulator?.stop();
    await place.close();
  }
}

/** A provider whose batches need no time but their work's. */
export async function startBatchSimulator(place: BenchPlace, note: (line: string) => void): Promise<SimulatorProcess> {
  return startSimulator({
    script: SIMULATOR,
    billFile: join(place.folder, "bill.jsonl"),
    pricingFile: PRICING,
    latencyMs: 0,
    jitterMs: 0,
    seed: 1,
    logFile: join(place.folder, "simulator.log"),
    moreArgs: ["--batch-times", await place.file("batch-times.json", JSON.stringify(NO_TIME))],
    onUnexpectedEnd: (error) => {
      note(error.message);
    },
  });
}

export interface BatchRouterSetup extends Pick<RouterSetup, "topics" | "kind" | "models"> {
  readonly lines: number;
  readonly flushAfterMs: number;
}

/** A router whose one account has batches at that provider; warnings of its log are noted. */
export async function startBatchRouter(
  place: BenchPlace,
  simulator: SimulatorProcess,
  { lines, flushAfterMs, ...setup }: BatchRouterSetup,
  note: (line: string) => void,
): Promise<OwnProcess> {
  const router = await place.startRouter({
    ...setup,
    mockPort: Number(new URL(simulator.url).port),
    concurrency: 64,
    callTimeoutMs: 60_000,
    pendingJobsMax: lines * 2,
    batches: {
      account: { flushAfterMs },
      batching: { lookEveryMs: 100, pollMinMs: 200, turnaroundPriorMs: 3_600_000 },
    },
  });
  router.onStdoutLine((line) => {
    if (/"level":"(?:warn|error)"/.test(line)) note(line);
  });
  return router;
}

/** @throws Error unless the provider counts as many billed lines as there were jobs. */
export async function expectBilledOnce(simulator: SimulatorProcess, lines: number): Promise<void> {
  const billed = await simulator.calls();
  if (billed !== lines)
    throw new Error(`expected ${String(lines)} billed lines for as many jobs, found ${String(billed)}`);
}

async function measured(
  place: BenchPlace,
  simulator: SimulatorProcess,
  lines: number,
  note: (line: string) => void,
): Promise<BatchFigures> {
  const topics = await place.freshTopics();
  const router = await startBatchRouter(place, simulator, { topics, lines, flushAfterMs: 2000 }, note);
  const before = place.cpuSeconds(router.pid, simulator.child.pid);
  const startMs = Date.now();
  await place.publish(topics.jobs, 0, lines);
  note(`${String(lines)} jobs published in ${String(Date.now() - startMs)} ms`);
  const endMs = await place.waitForRecords(topics.results, lines, RUN_TIMEOUT_MS);
  const cpu = cpuPer1k(before, place.cpuSeconds(router.pid, simulator.child.pid), lines);
  await expectBilledOnce(simulator, lines);
  return {
    lines,
    batches: await batchesAt(simulator.url),
    linesPerS: Math.round((lines * 1000) / (endMs - startMs)),
    routerCpuSPer1k: cpu.measured,
    postgresCpuSPer1k: cpu.postgres,
    simulatorCpuSPer1k: cpu.provider,
    kafkaCpuSPer1k: cpu.kafka,
    benchCpuSPer1k: cpu.bench,
    peakRssMb: peakRssMb(router.pid),
  };
}

async function batchesAt(url: string): Promise<number> {
  const answer = await fetch(`${url}/simulator/batches`);
  return ((await answer.json()) as { readonly batches: readonly unknown[] }).batches.length; // the edge: our own simulator
}
