import { BenchPlace, cpuPer1k, type CpuSeconds, type RouterSetup, type Topics } from "./bench-place.js";
import type { Durability } from "./durability.js";
import { peakRssMb } from "./process-usage.js";

const PAIRS = 3;
const WARM_UP_JOBS = 2000;
const RUN_TIMEOUT_MS = 120_000;
const BARE_IN_FLIGHT = 64;
/** The gateway's places are held from the stored intent on, so more of them cover the same number of open connections. */
const GATEWAY_PLACES = 256;
const SLOW_MS = 50;
const SLOW_IN_FLIGHT = 200;
const PACED_JOBS = 1000;
const PACED_PER_S = 100;

export interface DirectFigures extends Durability {
  readonly jobs: number;
  readonly calls: number;
  readonly ratio: number;
  readonly ratio50Ms: number;
  readonly gatewayJobsPerS: number;
  readonly bareJobsPerS: number;
  readonly routerCpuSPer1k: number;
  readonly postgresCpuSPer1k: number;
  readonly kafkaCpuSPer1k: number;
  readonly mockCpuSPer1k: number;
  /** Of this process, which publishes and waits for the results. */
  readonly benchCpuSPer1k: number;
  /** Of the bare loop alone. */
  readonly bareCpuSPer1k: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly mockP50Ms: number;
  readonly peakRssMb: number;
}

/** What limits and budgets cost that never keep a call back. */
export interface GuardedFigures extends Durability {
  readonly jobs: number;
  readonly calls: number;
  /** Jobs a second with them over those without. */
  readonly guardedRatio: number;
  readonly guardedJobsPerS: number;
  readonly plainJobsPerS: number;
  readonly guardedRouterCpuSPer1k: number;
  readonly plainRouterCpuSPer1k: number;
  readonly guardedPostgresCpuSPer1k: number;
  readonly plainPostgresCpuSPer1k: number;
}

/** Far above what a run needs: requests and tokens by the minute and the day in Redis, budgets of two levels. */
const WIDE = {
  limits: {
    requestsPerMinute: 3_000_000,
    tokensPerMinute: 2_000_000_000,
    requestsPerDay: 1_000_000_000,
    tokensPerDay: 1_000_000_000_000,
  },
  budgets: [
    { tenant: "bench", limitUsd: "1000000", window: "month" },
    { tenant: "bench", limitUsd: "1000000", window: "day" },
  ],
} as const;

interface RunFigures {
  readonly jobsPerS: number;
  readonly cpuSPer1k: CpuSeconds;
  readonly peakRssMb: number;
}

/**
 * Direct calls against the bare loop, in interleaved pairs on the same servers: median of three. Each run publishes jobs that all differ,
 * counts from the first publish to the last result seen in the topic, and begins with a warm-up.
 */
export async function directBench(jobs: number, note: (line: string) => void): Promise<DirectFigures> {
  const place = await BenchPlace.open(note);
  try {
    const fast = await pairs(place, jobs, 0, BARE_IN_FLIGHT, GATEWAY_PLACES, PAIRS, note);
    const slow = await pairs(place, Math.min(jobs, 10_000), SLOW_MS, SLOW_IN_FLIGHT, SLOW_IN_FLIGHT, PAIRS, note);
    const paced = await pacedRun(place, note);
    return {
      jobs,
      calls: fast.calls,
      ratio: round(fast.ratio, 3),
      ratio50Ms: round(slow.ratio, 3),
      gatewayJobsPerS: Math.round(fast.gateway.jobsPerS),
      bareJobsPerS: Math.round(fast.bare.jobsPerS),
      routerCpuSPer1k: fast.gateway.cpuSPer1k.measured,
      postgresCpuSPer1k: fast.gateway.cpuSPer1k.postgres,
      kafkaCpuSPer1k: fast.gateway.cpuSPer1k.kafka,
      mockCpuSPer1k: fast.gateway.cpuSPer1k.provider,
      benchCpuSPer1k: fast.gateway.cpuSPer1k.bench,
      bareCpuSPer1k: fast.bare.cpuSPer1k.measured,
      ...paced,
      peakRssMb: fast.gateway.peakRssMb,
      ...place.durability,
    };
  } finally {
    await place.close();
  }
}

/** The gateway with limits and budgets against itself without, in interleaved pairs: median of three. */
export async function guardedBench(jobs: number, note: (line: string) => void): Promise<GuardedFigures> {
  const place = await BenchPlace.open(note, true);
  try {
    const ran: { readonly plain: GatewayFigures; readonly guarded: GatewayFigures }[] = [];
    const { redisUrl } = place.stack.addresses;
    for (let pair = 1; pair <= PAIRS; pair += 1) {
      // Serial: two runs at once would measure each other. Who goes first changes, since a database that grows slows what comes later.
      const guardedFirst = pair % 2 === 0;
      const first = await gatewayRun(place, jobs, 0, GATEWAY_PLACES, guardedFirst ? { ...WIDE, redisUrl } : {});
      const second = await gatewayRun(place, jobs, 0, GATEWAY_PLACES, guardedFirst ? {} : { ...WIDE, redisUrl });
      const [plain, guarded] = guardedFirst ? [second, first] : [first, second];
      note(
        `pair ${String(pair)}: without ${String(Math.round(plain.jobsPerS))}/s, with ${String(Math.round(guarded.jobsPerS))}/s`,
      );
      ran.push({ plain, guarded });
    }
    const byRatio = [...ran].sort(
      (a, b) => a.guarded.jobsPerS / a.plain.jobsPerS - b.guarded.jobsPerS / b.plain.jobsPerS,
    );
    const median = byRatio[Math.floor(byRatio.length / 2)];
    if (median === undefined) throw new Error("InvariantError: no pair was run");
    const { plain, guarded } = median;
    return {
      jobs,
      calls: guarded.calls,
      guardedRatio: round(guarded.jobsPerS / plain.jobsPerS, 3),
      guardedJobsPerS: Math.round(guarded.jobsPerS),
      plainJobsPerS: Math.round(plain.jobsPerS),
      guardedRouterCpuSPer1k: guarded.cpuSPer1k.measured,
      plainRouterCpuSPer1k: plain.cpuSPer1k.measured,
      guardedPostgresCpuSPer1k: guarded.cpuSPer1k.postgres,
      plainPostgresCpuSPer1k: plain.cpuSPer1k.postgres,
      ...place.durability,
    };
  } finally {
    await place.close();
  }
}

async function pairs(
  place: BenchPlace,
  jobs: number,
  latencyMs: number,
  bareInFlight: number,
  places: number,
  count: number,
  note: (line: string) => void,
) {
  const ran: { readonly bare: RunFigures; readonly gateway: RunFigures; readonly calls: number }[] = [];
  for (let pair = 1; pair <= count; pair += 1) {
    // Serial: two runs at once would measure each other.
    const bare = await bareRun(place, jobs, latencyMs, bareInFlight);
    const gateway = await gatewayRun(place, jobs, latencyMs, places);
    note(
      `${String(latencyMs)} ms mock, pair ${String(pair)}: bare ${String(Math.round(bare.jobsPerS))}/s, gateway ${String(Math.round(gateway.jobsPerS))}/s, ${cpuText(gateway.cpuSPer1k)}`,
    );
    ran.push({ bare, gateway, calls: gateway.calls });
  }
  const byRatio = [...ran].sort((a, b) => a.gateway.jobsPerS / a.bare.jobsPerS - b.gateway.jobsPerS / b.bare.jobsPerS);
  const median = byRatio[Math.floor(byRatio.length / 2)];
  if (median === undefined) throw new Error("InvariantError: no pair was run");
  return { ...median, ratio: median.gateway.jobsPerS / median.bare.jobsPerS };
}

interface GatewayFigures extends RunFigures {
  readonly calls: number;
}

async function bareRun(place: BenchPlace, jobs: number, latencyMs: number, inFlight: number): Promise<RunFigures> {
  const topics = await place.freshTopics();
  const mock = await place.startMock(latencyMs);
  const child = await place.startBareLoop(topics, mock.port, inFlight);
  const figures = await measure(place, topics, jobs, child.pid, mock.process.pid);
  await place.stop(child);
  await place.stop(mock.process);
  return figures;
}

async function gatewayRun(
  place: BenchPlace,
  jobs: number,
  latencyMs: number,
  places: number,
  more: Partial<RouterSetup> = {},
): Promise<GatewayFigures> {
  const topics = await place.freshTopics();
  const mock = await place.startMock(latencyMs);
  const router = await place.startRouter({
    topics,
    mockPort: mock.port,
    concurrency: places,
    callTimeoutMs: 60_000,
    pendingJobsMax: 200_000,
    ...more,
  });
  const figures = await measure(place, topics, jobs, router.pid, mock.process.pid);
  const calls = (await callsOf(mock.port)) - WARM_UP_JOBS;
  if (calls !== jobs)
    throw new Error(`expected ${String(jobs)} calls at the mock for as many different jobs, found ${String(calls)}`);
  await place.stop(router);
  await place.stop(mock.process);
  return { ...figures, calls };
}

async function callsOf(port: number): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${String(port)}/calls`);
  return ((await answer.json()) as { calls: number }).calls; // the edge: our own mock
}

async function measure(
  place: BenchPlace,
  topics: Topics,
  jobs: number,
  pid: number,
  mockPid: number,
): Promise<RunFigures> {
  await place.publish(topics.jobs, 0, WARM_UP_JOBS);
  await place.waitForRecords(topics.results, WARM_UP_JOBS, RUN_TIMEOUT_MS);
  const before = place.cpuSeconds(pid, mockPid);
  const startMs = Date.now();
  await place.publish(topics.jobs, WARM_UP_JOBS, jobs);
  const endMs = await place.waitForRecords(topics.results, WARM_UP_JOBS + jobs, RUN_TIMEOUT_MS);
  return {
    jobsPerS: (jobs * 1000) / (endMs - startMs),
    cpuSPer1k: cpuPer1k(before, place.cpuSeconds(pid, mockPid), jobs),
    peakRssMb: peakRssMb(pid),
  };
}

function cpuText({ measured, postgres, kafka, provider, bench }: CpuSeconds): string {
  const parts = { router: measured, postgres, kafka, mock: provider, bench };
  const texts = Object.entries(parts).map(([name, seconds]) => `${name} ${seconds.toFixed(3)}`);
  return `CPU-s per 1,000: ${texts.join(", ")}`;
}

/** A quiet gateway: jobs one by one, from the publish to the result's arrival at a reader. */
async function pacedRun(
  place: BenchPlace,
  note: (line: string) => void,
): Promise<Pick<DirectFigures, "p50Ms" | "p99Ms" | "mockP50Ms">> {
  const topics = await place.freshTopics();
  const mock = await place.startMock(SLOW_MS);
  const router = await place.startRouter({
    topics,
    mockPort: mock.port,
    concurrency: SLOW_IN_FLIGHT,
    callTimeoutMs: 60_000,
    pendingJobsMax: 200_000,
  });
  const sent = new Map<string, number>();
  const took: number[] = [];
  const consumer = place.kafka.consumer({ groupId: `${topics.results}.reader`, maxWaitTimeInMs: 50 });
  await consumer.connect();
  await consumer.subscribe({ topic: topics.results, fromBeginning: true });
  await consumer.run({
    eachMessage: ({ message }) => {
      const start = sent.get(message.key?.toString("utf8") ?? "");
      if (start !== undefined) took.push(performance.now() - start);
      return Promise.resolve();
    },
  });
  // As in the other runs, then at the pace: the client's first sends of one record each are not the gateway's time.
  await place.publish(topics.jobs, 0, WARM_UP_JOBS);
  await place.waitForRecords(topics.results, WARM_UP_JOBS, RUN_TIMEOUT_MS);
  const warmUp = WARM_UP_JOBS + 300;
  for (let number = WARM_UP_JOBS; number < warmUp + PACED_JOBS; number += 1) {
    if (number >= warmUp) sent.set(`film-${String(number)}`, performance.now());
    void place.publish(topics.jobs, number, 1);
    await new Promise((resolve) => setTimeout(resolve, 1000 / PACED_PER_S));
  }
  await place.waitForRecords(topics.results, warmUp + PACED_JOBS, RUN_TIMEOUT_MS);
  await new Promise((resolve) => setTimeout(resolve, 500));
  await consumer.disconnect();
  const mockP50Ms = await mockLatency(mock.port);
  await place.stop(router);
  await place.stop(mock.process);
  took.sort((a, b) => a - b);
  note(`100 jobs/s: ${String(took.length)} results seen`);
  return {
    p50Ms: round(took[Math.floor(took.length / 2)] ?? Number.NaN, 1),
    p99Ms: round(took[Math.floor(took.length * 0.99)] ?? Number.NaN, 1),
    mockP50Ms,
  };
}

async function mockLatency(port: number): Promise<number> {
  const took: number[] = [];
  for (let call = 0; call < 50; call += 1) {
    const start = performance.now();
    const answer = await fetch(`http://127.0.0.1:${String(port)}/v1/chat/completions`, { method: "POST", body: "{}" });
    await answer.text();
    took.push(performance.now() - start);
  }
  took.sort((a, b) => a - b);
  return round(took[25] ?? Number.NaN, 1);
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
