import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startSimulator, type SimulatorProcess } from "../demo/simulator-process.js";
import { BenchPlace } from "./bench-place.js";
import { cpuSecondsOfTree, peakRssMb } from "./process-usage.js";

const RUN_TIMEOUT_MS = 240_000;
/** Before the measured ones, as in the bench of direct calls: what compilers and first plans take is paid once in a router's life. */
const WARM_UP_LINES = 5000;
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
 * Lines through a provider's batch API that is done at once, from the first publish to the last result in its topic, behind a
 * warm-up. Each line is billed once, by the simulated provider's own count.
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

async function measured(
  place: BenchPlace,
  simulator: SimulatorProcess,
  lines: number,
  note: (line: string) => void,
): Promise<BatchFigures> {
  const topics = await place.freshTopics();
  const router = await place.startRouter({
    topics,
    mockPort: Number(new URL(simulator.url).port),
    concurrency: 64,
    callTimeoutMs: 60_000,
    pendingJobsMax: (WARM_UP_LINES + lines) * 2,
    batches: {
      account: { flushAfterMs: 2000 },
      batching: { lookEveryMs: 100, pollMinMs: 200, turnaroundPriorMs: 3_600_000 },
    },
  });
  router.onStdoutLine((line) => {
    if (/"level":"(?:warn|error)"/.test(line)) note(line);
  });
  await place.publish(topics.jobs, 0, WARM_UP_LINES);
  await place.waitForRecords(topics.results, WARM_UP_LINES, RUN_TIMEOUT_MS);
  const warmUpBatches = await batchesAt(simulator.url);
  const before = cpuSeconds(place, router.pid, simulator);
  const startMs = Date.now();
  await place.publish(topics.jobs, WARM_UP_LINES, lines);
  note(`${String(lines)} jobs published in ${String(Date.now() - startMs)} ms`);
  const endMs = await place.waitForRecords(topics.results, WARM_UP_LINES + lines, RUN_TIMEOUT_MS);
  const after = cpuSeconds(place, router.pid, simulator);
  const billed = (await simulator.calls()) - WARM_UP_LINES;
  if (billed !== lines)
    throw new Error(`expected ${String(lines)} billed lines for as many jobs, found ${String(billed)}`);
  const per1k = (of: keyof CpuSeconds): number => Number((((after[of] - before[of]) * 1000) / lines).toFixed(3));
  return {
    lines,
    batches: (await batchesAt(simulator.url)) - warmUpBatches,
    linesPerS: Math.round((lines * 1000) / (endMs - startMs)),
    routerCpuSPer1k: per1k("router"),
    postgresCpuSPer1k: per1k("postgres"),
    simulatorCpuSPer1k: per1k("simulator"),
    kafkaCpuSPer1k: per1k("kafka"),
    benchCpuSPer1k: per1k("bench"),
    peakRssMb: peakRssMb(router.pid),
  };
}

/** So far, by process; NaN for a server that is not ours. */
type CpuSeconds = Readonly<Record<"router" | "postgres" | "simulator" | "kafka" | "bench", number>>;

function cpuSeconds(place: BenchPlace, routerPid: number, simulator: SimulatorProcess): CpuSeconds {
  const of = (pid: number | null): number => (pid === null ? Number.NaN : cpuSecondsOfTree(pid));
  const own = process.cpuUsage(); // all others run below this one
  return {
    router: of(routerPid),
    postgres: of(place.postgresPid),
    simulator: of(simulator.child.pid),
    kafka: of(place.kafkaPid),
    bench: (own.user + own.system) / 1e6,
  };
}

async function batchesAt(url: string): Promise<number> {
  const answer = await fetch(`${url}/simulator/batches`);
  return ((await answer.json()) as { readonly batches: readonly unknown[] }).batches.length; // the edge: our own simulator
}
