import { setTimeout as sleep } from "node:timers/promises";
import { BenchPlace } from "./bench-place.js";

const ROUTERS = 3;
/** One model is limited by requests, the other by tokens: each limit is what holds its calls back. */
const MODELS = { counted: "gpt-4.1-mini", weighed: "gpt-4.1" } as const;
const REQUESTS_PER_MINUTE = 3000;
const TOKENS_PER_MINUTE = 3_000_000;
/** Of the longest answer; with the prompt about a thousandth of the limit. */
const OUTPUT_TOKENS = 980;
/** Published at twice the rate that is allowed. */
const LOAD = 2;
const WINDOW_MS = 60_000;
const SETTLED_MS = 10_000;
const STEP_MS = 100;

export interface LimitsFigures {
  readonly seconds: number;
  readonly redisKilledAtS: number | null;
  /** Most in any 60 s that begin after the first 10 s, as a share of the limit; of a shorter run, of its share of the limit. */
  readonly requestsWindowShareMax: number;
  readonly tokensWindowShareMax: number;
  /** All that was granted, as a share of limit times time. Less is meant to be granted while Redis is away. */
  readonly requestsGrantedShare: number;
  readonly tokensGrantedShare: number;
  /** Of both models. */
  readonly calls: number;
  readonly refused: number;
  readonly refusedShare: number;
}

interface Granted {
  readonly atMs: readonly number[];
  readonly tokens: readonly number[];
  readonly refused: number;
}

/**
 * Three routers and one Redis at twice the allowed rate, counted at the simulated provider, which refuses by a sliding window of its own.
 * @param killRedis half-way; it stays away.
 */
export async function limitsBench(
  seconds: number,
  killRedis: boolean,
  note: (line: string) => void,
): Promise<LimitsFigures> {
  const place = await BenchPlace.open(note, true);
  try {
    const models = {
      [MODELS.counted]: { requestsPerMinute: REQUESTS_PER_MINUTE },
      [MODELS.weighed]: { tokensPerMinute: TOKENS_PER_MINUTE },
    };
    const stated = JSON.stringify({ slidingWindow: true, models });
    const simulator = await place.startSimulator(["--limits", stated, "--latency-ms", "20"]);
    const topics = await place.freshTopics();
    const setup = {
      topics,
      models: MODELS,
      limits: { models },
      mockPort: 0,
      baseUrl: `${simulator.url}/v1`,
      redisUrl: place.stack.addresses.redisUrl,
    };
    for (let router = 0; router < ROUTERS; router += 1)
      // Serial: they share one config file and one migration.
      await place.startRouter({ ...setup, concurrency: 128, callTimeoutMs: 60_000, pendingJobsMax: 1_000_000 });
    const killedAtS = await load(place, topics.jobs, seconds, killRedis, note);
    const granted = await grantedAt(simulator.url);
    return figures(granted, seconds, killedAtS);
  } finally {
    await place.close();
  }
}

/** @returns when Redis was killed, in seconds from the first publish; null: it was not. */
async function load(
  place: BenchPlace,
  topic: string,
  seconds: number,
  killRedis: boolean,
  note: (line: string) => void,
): Promise<number | null> {
  const perStep = 2 * (REQUESTS_PER_MINUTE / WINDOW_MS) * STEP_MS * LOAD;
  const startMs = performance.now();
  let killedAtS: number | null = null;
  for (let published = 0; performance.now() - startMs < seconds * 1000;) {
    const passedMs = performance.now() - startMs;
    const due = Math.ceil(((passedMs + STEP_MS) / STEP_MS) * perStep);
    if (due > published) await place.publish(topic, published, due - published, bodyOf);
    published = Math.max(published, due);
    if (killRedis && killedAtS === null && passedMs >= (seconds * 1000) / 2) {
      const { redisPid } = place;
      if (redisPid === null) throw new Error("expected a Redis of this bench's own, to kill it");
      process.kill(redisPid, "SIGKILL");
      killedAtS = passedMs / 1000;
      note("Redis was killed");
    }
    await sleep(STEP_MS);
  }
  return killedAtS;
}

const bodyOf = (number: number): Readonly<Record<string, unknown>> => ({
  model: number % 2 === 0 ? "counted" : "weighed",
  max_tokens: OUTPUT_TOKENS,
  messages: [{ role: "user", content: `film ${String(number)}` }],
});

async function grantedAt(url: string): Promise<readonly [Granted, Granted]> {
  const answer = await fetch(`${url}/simulator/limits`);
  const { windows } = (await answer.json()) as { windows: readonly (Granted & { model: string })[] }; // the edge: our own simulator
  const of = (model: string): Granted => {
    const found = windows.filter((window) => window.model === model);
    if (found.length !== 1 || found[0] === undefined) throw new Error(`expected calls of one account for ${model}`);
    return found[0];
  };
  return [of(MODELS.counted), of(MODELS.weighed)];
}

function figures(
  [counted, weighed]: readonly [Granted, Granted],
  seconds: number,
  killedAtS: number | null,
): LimitsFigures {
  const windowMs = Math.min(WINDOW_MS, seconds * 1000 - SETTLED_MS);
  const share = windowMs / WINDOW_MS;
  const ones = counted.atMs.map(() => 1);
  const sum = weighed.tokens.reduce((all, one) => all + one, 0);
  const calls = counted.atMs.length + weighed.atMs.length;
  const refused = counted.refused + weighed.refused;
  return {
    seconds,
    redisKilledAtS: killedAtS === null ? null : Math.round(killedAtS),
    requestsWindowShareMax: round(mostWithin(counted.atMs, ones, windowMs) / (REQUESTS_PER_MINUTE * share)),
    tokensWindowShareMax: round(mostWithin(weighed.atMs, weighed.tokens, windowMs) / (TOKENS_PER_MINUTE * share)),
    requestsGrantedShare: round(counted.atMs.length / (REQUESTS_PER_MINUTE * minutesOf(counted))),
    tokensGrantedShare: round(sum / (TOKENS_PER_MINUTE * minutesOf(weighed))),
    calls,
    refused,
    refusedShare: round(refused / Math.max(1, calls + refused)),
  };
}

function minutesOf({ atMs }: Granted): number {
  return ((atMs.at(-1) ?? 0) - (atMs[0] ?? 0)) / WINDOW_MS;
}

/** Most within any window of so long that begins after the first seconds. */
function mostWithin(atMs: readonly number[], amounts: readonly number[], windowMs: number): number {
  const sinceMs = (atMs[0] ?? 0) + SETTLED_MS;
  let [most, sum, from] = [0, 0, atMs.findIndex((at) => at >= sinceMs)];
  if (from < 0) return 0;
  for (let to = from; to < atMs.length; to += 1) {
    sum += amounts[to] ?? 0;
    for (; (atMs[from] ?? 0) <= (atMs[to] ?? 0) - windowMs; from += 1) sum -= amounts[from] ?? 0;
    most = Math.max(most, sum);
  }
  return most;
}

function round(value: number): number {
  return Number(value.toFixed(4));
}
