import pg from "pg";
import type { OwnProcess } from "../demo/child-process.js";
import { BenchPlace, type PublishedBody, type Topics } from "./bench-place.js";

const ROUTERS = 3;
const PLACES = 64;
const LATENCY_MS = 20;
const WARM_UP_JOBS = 3000;
const RUN_TIMEOUT_MS = 180_000;
const SAMPLE_EVERY_MS = 10;
/** What the mock's one answer costs: 42 prompt tokens and 14 answer tokens of gpt-4.1-mini, in nano-dollars. */
const ANSWER_NANO_USD = 42n * 400n + 14n * 1600n;
/** The limit is this part of what all jobs would cost, so that its end lies in the run. */
const LIMIT_PERCENT = 95n;

export interface BudgetFigures {
  readonly jobs: number;
  /** What a call cost of what it was reserved at. */
  readonly actualShareOfMaximum: number;
  /** Most that was settled and reserved at any sample, as a share of the limit, over all runs. */
  readonly mostUsedShare: number;
  readonly samples: number;
  /** Limit minus settled at the end, as a share of the limit; the largest of all runs. */
  readonly unusedShare: number;
  /** Ended jobs by time: with the budget by without, the median of the pairs. */
  readonly throughputRatio: number;
  readonly jobsPerS: number;
  readonly jobsPerSWithout: number;
  /** The same by calls that were made and paid, with the budget. */
  readonly callsPerS: number;
  /** Jobs that the budget refused, in the median pair. */
  readonly refused: number;
}

interface Run {
  readonly jobsPerS: number;
  readonly callsPerS: number;
  readonly calls: number;
}

interface BudgetRun extends Run {
  readonly mostUsedShare: number;
  readonly samples: number;
  readonly unusedShare: number;
  readonly actualShareOfMaximum: number;
}

/**
 * Jobs of one tenant that all differ, from three routers, against a hard budget that pays for most of them, and the same without a budget, in
 * turn. A sampler reads the budget's row all the while.
 * @throws Error when what is settled at the end is not what the mock's answers cost.
 */
export async function budgetBench(
  { jobs, pairs }: { readonly jobs: number; readonly pairs: number },
  note: (line: string) => void,
): Promise<BudgetFigures> {
  const place = await BenchPlace.open(note);
  try {
    const ran: { readonly without: Run; readonly within: BudgetRun; readonly ratio: number }[] = [];
    for (let pair = 1; pair <= pairs; pair += 1) {
      // Serial: two runs at once would measure each other.
      const without = await plainRun(place, jobs);
      const within = await budgetRun(place, jobs);
      const ratio = within.jobsPerS / without.jobsPerS;
      note(
        `pair ${String(pair)}: without ${String(Math.round(without.jobsPerS))}/s, with ${String(Math.round(within.jobsPerS))}/s (${String(within.calls)} calls), ratio ${ratio.toFixed(3)}, most ${within.mostUsedShare.toFixed(4)} of the limit at ${String(within.samples)} samples, ${within.unusedShare.toFixed(4)} unused`,
      );
      ran.push({ without, within, ratio });
    }
    const median = [...ran].sort((a, b) => a.ratio - b.ratio)[Math.floor(ran.length / 2)];
    if (median === undefined) throw new Error("InvariantError: no pair was run");
    return {
      jobs,
      actualShareOfMaximum: round(median.within.actualShareOfMaximum),
      mostUsedShare: Math.max(...ran.map(({ within }) => within.mostUsedShare)),
      samples: ran.reduce((sum, { within }) => sum + within.samples, 0),
      unusedShare: round(Math.max(...ran.map(({ within }) => within.unusedShare))),
      throughputRatio: round(median.ratio),
      jobsPerS: Math.round(median.within.jobsPerS),
      jobsPerSWithout: Math.round(median.without.jobsPerS),
      callsPerS: Math.round(median.within.callsPerS),
      refused: jobs - median.within.calls,
    };
  } finally {
    await place.close();
  }
}

function plainRun(place: BenchPlace, jobs: number): Promise<Run> {
  return withRouters(place, [], (topics, mockPort) => measure(place, topics, mockPort, jobs));
}

async function budgetRun(place: BenchPlace, jobs: number): Promise<BudgetRun> {
  const limitNanoUsd = BigInt(WARM_UP_JOBS) * ANSWER_NANO_USD + (BigInt(jobs) * ANSWER_NANO_USD * LIMIT_PERCENT) / 100n;
  const budget = { tenant: "bench", limitUsd: dollars(limitNanoUsd) };
  return withRouters(place, [budget], async (topics, mockPort) => {
    const sampler = await BudgetSampler.start(place.databaseUrl, limitNanoUsd);
    try {
      const run = await measure(place, topics, mockPort, jobs);
      const settledNanoUsd = await sampler.settled();
      const paidNanoUsd = BigInt(WARM_UP_JOBS + run.calls) * ANSWER_NANO_USD;
      if (settledNanoUsd !== paidNanoUsd)
        throw new Error(
          `expected ${String(paidNanoUsd)} settled, what the mock answered costs, found ${String(settledNanoUsd)}`,
        );
      return {
        ...run,
        ...sampler.seen,
        unusedShare: Number(limitNanoUsd - settledNanoUsd) / Number(limitNanoUsd),
        actualShareOfMaximum: Number(ANSWER_NANO_USD) / (await sampler.meanMaximum()),
      };
    } finally {
      await sampler.stop();
    }
  });
}

/** Three routers of one group on topics of their own, beside a mock. */
async function withRouters<Result>(
  place: BenchPlace,
  budgets: readonly Readonly<Record<string, unknown>>[],
  work: (topics: Topics, mockPort: number) => Promise<Result>,
): Promise<Result> {
  const topics = await place.freshTopics();
  const mock = await place.startMock(LATENCY_MS);
  const setup = { topics, mockPort: mock.port, concurrency: PLACES, callTimeoutMs: 60_000, pendingJobsMax: 200_000 };
  const routers: OwnProcess[] = [];
  // Serial: the first brings the ledger's schema up to date.
  for (let no = 0; no < ROUTERS; no += 1) routers.push(await place.startRouter({ ...setup, budgets }));
  const result = await work(topics, mock.port);
  await Promise.all(routers.map((router) => place.stop(router)));
  await place.stop(mock.process);
  return result;
}

async function measure(place: BenchPlace, topics: Topics, mockPort: number, jobs: number): Promise<Run> {
  await place.publish(topics.jobs, 0, WARM_UP_JOBS, bodyOf);
  await place.waitForRecords(topics.results, WARM_UP_JOBS, RUN_TIMEOUT_MS);
  const startMs = Date.now();
  await place.publish(topics.jobs, WARM_UP_JOBS, jobs, bodyOf);
  const endMs = await place.waitForRecords(topics.results, WARM_UP_JOBS + jobs, RUN_TIMEOUT_MS);
  const calls = (await callsOf(mockPort)) - WARM_UP_JOBS;
  return { jobsPerS: (jobs * 1000) / (endMs - startMs), callsPerS: (calls * 1000) / (endMs - startMs), calls };
}

/** Asks for an answer about twice as long as it gets, as people do; the prompt's bytes count as its most tokens. */
const bodyOf: PublishedBody = (number) => ({
  model: "cheap",
  messages: [
    { role: "user", content: `What is the style of the director of film number ${String(number)} in the list?` },
  ],
  max_tokens: 32,
});

async function callsOf(port: number): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${String(port)}/calls`);
  return ((await answer.json()) as { calls: number }).calls; // the edge: our own mock
}

/** Reads the budget's row from the outside, as an accountant would. */
class BudgetSampler {
  readonly #client: pg.Client;
  readonly #limitNanoUsd: bigint;
  #most = 0n;
  #samples = 0;
  #stopped = false;
  #loop: Promise<void> = Promise.resolve();

  /** The ledger is empty of budgets then. */
  static async start(databaseUrl: string, limitNanoUsd: bigint): Promise<BudgetSampler> {
    const client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    await client.query("DELETE FROM budgets");
    const sampler = new BudgetSampler(client, limitNanoUsd);
    sampler.#loop = sampler.#sample();
    return sampler;
  }

  private constructor(client: pg.Client, limitNanoUsd: bigint) {
    this.#client = client;
    this.#limitNanoUsd = limitNanoUsd;
  }

  get seen(): { readonly mostUsedShare: number; readonly samples: number } {
    return { mostUsedShare: Number(this.#most) / Number(this.#limitNanoUsd), samples: this.#samples };
  }

  async #sample(): Promise<void> {
    while (!this.#stopped) {
      const used = await this.#ask("SELECT coalesce(sum(settled_nano + reserved_nano), 0) AS nano FROM budgets");
      if (used > this.#most) this.#most = used;
      this.#samples += 1;
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_EVERY_MS));
    }
  }

  settled(): Promise<bigint> {
    return this.#ask("SELECT coalesce(sum(settled_nano), 0) AS nano FROM budgets");
  }

  /** Of attempts of the last run. */
  async meanMaximum(): Promise<number> {
    return Number(await this.#ask("SELECT avg(max_nano)::int8 AS nano FROM attempts"));
  }

  async #ask(text: string): Promise<bigint> {
    const { rows } = await this.#client.query<{ readonly nano: string }>(text);
    return BigInt(rows[0]?.nano ?? 0);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#loop.catch(() => undefined);
    await this.#client.end();
  }
}

function dollars(nanoUsd: bigint): string {
  const digits = nanoUsd.toString().padStart(10, "0");
  return `${digits.slice(0, -9)}.${digits.slice(-9)}`;
}

function round(value: number): number {
  return Number(value.toFixed(4));
}
