import { Partitioners } from "kafkajs";
import { BenchPlace } from "../bench/bench-place.js";
import { loadConfig, loadGroupId, SIMULATOR_FLAGS } from "./load-config.js";
import { JOB_KINDS } from "./job-kinds.js";
import { LatencyHistogram, quantilesOf, type Quantiles } from "./latency-histogram.js";
import { OpenLoop } from "./open-loop.js";
import { ResultReader } from "./result-reader.js";
import { RouterWatch, type Sample } from "./router-watch.js";
import { loadTimes, nextRate, overloadRate, stepVerdict, type LoadTimes } from "./steps.js";

export interface LoadRequest {
  /** Jobs a second of the first step. */
  readonly rate: number;
  readonly minutes: number;
  /** Jobs without an end from which on the router leaves records with the broker. */
  readonly pendingJobsMax: number;
  readonly signal: AbortSignal;
  readonly note: (line: string) => void;
}

export interface StepReport extends Quantiles {
  readonly rate: number;
  readonly seconds: number;
  readonly published: number;
  readonly answeredPerS: number;
  readonly open: number;
  readonly lag: number | null;
  readonly rssMb: number | null;
  readonly verdict: "holds" | "breaks";
  readonly because: string | null;
  readonly kinds: Readonly<Record<string, Quantiles>>;
}

/** Past the rate that was too much. */
export interface OverloadReport {
  readonly rate: number;
  readonly seconds: number;
  readonly answeredPerS: number;
  readonly openMax: number;
  readonly lagMax: number | null;
  /** How often the router stopped to fetch, and in how many of the looks it did not. */
  readonly pauses: number;
  readonly pausedShare: number;
  readonly rssStartMb: number | null;
  readonly rssMaxMb: number | null;
}

export interface LoadReport {
  readonly rate: number;
  readonly minutes: number;
  readonly pendingJobsMax: number;
  readonly published: number;
  readonly notPublished: number;
  readonly answered: number;
  readonly failed: number;
  /** Published, and without a result at the end. */
  readonly lost: number;
  /** The highest rate that held; null: not even the first. */
  readonly heldRate: number | null;
  /** The first that did not; null: all held, in the time there was. */
  readonly brokeAtRate: number | null;
  readonly because: string | null;
  readonly peakRssMb: number | null;
  readonly steps: readonly StepReport[];
  readonly overload: OverloadReport | null;
  /** From the end of the load to the last result; null: not within its time. */
  readonly recoveryMs: number | null;
  /** Over all steps that held. */
  readonly kinds: Readonly<Record<string, Quantiles>>;
}

const WARM_UP_MS = 3000;
const WARM_UP_WAIT_MS = 20_000;
const SETTLE_LOOK_MS = 100;

/** Steps of load on real servers of its own and one router, until one is too much; then beyond it, and back. */
export async function runLoad(request: LoadRequest): Promise<LoadReport> {
  const place = await BenchPlace.open(request.note);
  try {
    return await new LoadRun(place, request).run();
  } finally {
    await place.close();
  }
}

class LoadRun {
  readonly #place: BenchPlace;
  readonly #request: LoadRequest;
  readonly #times: LoadTimes;
  readonly #held = new Map<string, LatencyHistogram>();
  readonly #steps: StepReport[] = [];

  constructor(place: BenchPlace, request: LoadRequest) {
    this.#place = place;
    this.#request = request;
    this.#times = loadTimes(request.minutes);
  }

  async run(): Promise<LoadReport> {
    const place = this.#place;
    const { note, pendingJobsMax } = this.#request;
    const topics = await place.freshTopics();
    const simulator = await place.startSimulator(SIMULATOR_FLAGS);
    const router = await place.startRouterOn(loadConfig(topics, simulator.url, pendingJobsMax));
    const producer = place.kafka.producer({
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
    });
    await producer.connect();
    const reader = await ResultReader.open(place.kafka, topics.results);
    const loop = new OpenLoop(producer, topics.jobs, Date.now().toString(36));
    const { admin } = place;
    const watch = new RouterWatch({
      router,
      admin,
      jobsTopic: topics.jobs,
      groupId: loadGroupId(topics),
      loop,
      reader,
    });
    try {
      watch.start();
      note("warming up");
      await loop.run(this.#request.rate, Math.min(WARM_UP_MS, this.#times.stepMs));
      await this.#drained(loop, reader, WARM_UP_WAIT_MS);
      reader.takeDirect();
      reader.takeKinds();
      const broke = await this.#runSteps(loop, reader, watch);
      const overload = broke === null ? null : await this.#overload(broke, loop, reader, watch);
      const endMs = performance.now();
      const isDrained = await this.#drained(loop, reader, this.#times.recoveryMaxMs);
      const recoveryMs = isDrained ? Math.round(performance.now() - endMs) : null;
      note(recoveryMs === null ? "not all was answered in time" : `all was answered ${String(recoveryMs)} ms later`);
      await watch.look();
      return this.#report(loop, reader, watch, { broke, overload, recoveryMs });
    } finally {
      watch.stop();
      await Promise.all([reader.close(), producer.disconnect()]);
      await place.stop(router);
      await place.stop(simulator.process);
    }
  }

  /** @returns the rate that was too much; null: none was. */
  async #runSteps(loop: OpenLoop, reader: ResultReader, watch: RouterWatch): Promise<number | null> {
    const { stepMs, stepsMs } = this.#times;
    let { rate } = this.#request;
    for (let passedMs = 0; passedMs + stepMs <= stepsMs && !this.#request.signal.aborted; passedMs += stepMs) {
      // Serial: a step begins where the last one ended.
      const step = await this.#step(rate, loop, reader, watch);
      this.#steps.push(step);
      if (step.verdict === "breaks") return rate;
      rate = nextRate(rate);
    }
    return null;
  }

  async #step(rate: number, loop: OpenLoop, reader: ResultReader, watch: RouterWatch): Promise<StepReport> {
    const { stepMs } = this.#times;
    const before = { published: loop.published, answered: reader.answeredDirect };
    const beganMs = performance.now();
    await loop.run(rate, stepMs / 2);
    const first = reader.takeDirect();
    const half = { published: loop.publishedDirect, answered: reader.answeredDirect };
    await loop.run(rate, stepMs / 2);
    const second = reader.takeDirect();
    const ms = performance.now() - beganMs;
    const answered = reader.answeredDirect - before.answered;
    const verdict = stepVerdict({
      published: loop.publishedDirect - half.published,
      answered: reader.answeredDirect - half.answered,
      openAtStart: half.published - half.answered,
      openAtEnd: loop.publishedDirect - reader.answeredDirect,
      p99FirstMs: first.quantile(0.99),
      p99SecondMs: second.quantile(0.99),
    });
    const kinds = reader.takeKinds();
    if (verdict.kind === "holds") this.#hold(kinds);
    first.merge(second);
    const sample = await watch.look();
    const step = {
      ...{ rate, ...quantilesOf(first) },
      seconds: Math.round(ms / 100) / 10,
      published: loop.published - before.published,
      answeredPerS: Math.round((answered * 1000) / ms),
      ...{ open: sample.open, lag: sample.lag, rssMb: sample.rssMb },
      verdict: verdict.kind,
      because: verdict.kind === "breaks" ? verdict.because : null,
      kinds: Object.fromEntries([...kinds].map(([name, histogram]) => [name, quantilesOf(histogram)])),
    };
    this.#request.note(stepLine(step));
    return step;
  }

  #hold(kinds: ReadonlyMap<string, LatencyHistogram>): void {
    for (const [name, histogram] of kinds) {
      const known = this.#held.get(name) ?? new LatencyHistogram();
      this.#held.set(name, known);
      known.merge(histogram);
    }
  }

  async #overload(broke: number, loop: OpenLoop, reader: ResultReader, watch: RouterWatch): Promise<OverloadReport> {
    const rate = overloadRate(broke);
    const from = watch.samples.length;
    const { pauses } = watch;
    const answeredBefore = reader.answered;
    const beganMs = performance.now();
    this.#request.note(`past it: ${String(rate)}/s for ${String(this.#times.overloadMs / 1000)} s`);
    await loop.run(rate, this.#times.overloadMs);
    const ms = performance.now() - beganMs;
    await watch.look();
    const samples = watch.samples.slice(from);
    return {
      rate,
      seconds: Math.round(ms / 100) / 10,
      answeredPerS: Math.round(((reader.answered - answeredBefore) * 1000) / ms),
      openMax: Math.max(...samples.map(({ open }) => open)),
      lagMax: most(samples, ({ lag }) => lag),
      pauses: watch.pauses - pauses,
      pausedShare: Math.round((samples.filter(({ paused }) => paused).length / samples.length) * 100) / 100,
      rssStartMb: samples[0]?.rssMb ?? null,
      rssMaxMb: most(samples, ({ rssMb }) => rssMb),
    };
  }

  /** @returns whether all that is with the broker was answered within this time. */
  async #drained(loop: OpenLoop, reader: ResultReader, withinMs: number): Promise<boolean> {
    await loop.settled();
    const endMs = performance.now() + withinMs;
    while (reader.answered < loop.published - loop.failed) {
      if (performance.now() > endMs) return false;
      await new Promise((resolve) => setTimeout(resolve, SETTLE_LOOK_MS));
    }
    return true;
  }

  #report(
    loop: OpenLoop,
    reader: ResultReader,
    watch: RouterWatch,
    came: Pick<LoadReport, "overload" | "recoveryMs"> & { readonly broke: number | null },
  ): LoadReport {
    const { rate, minutes, pendingJobsMax } = this.#request;
    const held = this.#steps.filter(({ verdict }) => verdict === "holds").at(-1);
    const kinds = JOB_KINDS.map(({ name }) => [name, quantilesOf(this.#held.get(name) ?? new LatencyHistogram())]);
    return {
      ...{ rate, minutes, pendingJobsMax },
      published: loop.published,
      notPublished: loop.failed,
      answered: reader.answered,
      failed: reader.failed,
      lost: loop.published - loop.failed - reader.answered,
      heldRate: held?.rate ?? null,
      brokeAtRate: came.broke,
      because: this.#steps.at(-1)?.because ?? null,
      peakRssMb: most(watch.samples, ({ rssMb }) => rssMb),
      steps: this.#steps,
      overload: came.overload,
      recoveryMs: came.recoveryMs,
      kinds: Object.fromEntries(kinds) as Readonly<Record<string, Quantiles>>,
    };
  }
}

function most(samples: readonly Sample[], of: (sample: Sample) => number | null): number | null {
  const known = samples.flatMap((sample) => of(sample) ?? []);
  return known.length === 0 ? null : Math.max(...known);
}

function stepLine(step: StepReport): string {
  const ms = (value: number | null): string => (value === null ? "-" : String(Math.round(value)));
  return `${String(step.rate)}/s: ${String(step.answeredPerS)} direct answers/s, p50 ${ms(step.p50Ms)} p95 ${ms(step.p95Ms)} p99 ${ms(step.p99Ms)} ms, ${String(step.open)} open, ${ms(step.rssMb)} MiB: ${step.verdict}${step.because === null ? "" : ` (${step.because})`}`;
}
