import { kindFacts } from "../../../src/adapters/providers/registry.js";
import { parsePriceTable } from "../../../src/domain/cost/price-table.js";
import type { AttemptOutcome } from "../../../src/domain/failure.js";
import type { BreakerSettings } from "../../../src/domain/health/breaker.js";
import type { Catalog } from "../../../src/domain/route/catalog.js";
import { NO_JOURNAL } from "../../../src/ports/journal.js";
import type {
  Provider,
  ProviderAnswer,
  ProviderCall,
  ProviderFailure,
  ProviderNotSent,
} from "../../../src/ports/provider.js";
import { FakeBroker, FakePublisher } from "./fake-broker.js";
import { FakeDecoder } from "./fake-decoder.js";
import { COSTS_TOPIC, createSimulatedAdmission, EVENTS_TOPIC, recordAt, RESULTS_TOPIC, START_MS } from "./fixture.js";
import { MemoryDatabase } from "./memory-database.js";
import { MemoryLedger } from "./memory-ledger.js";
import { SimulatedRouter } from "./simulated-router.js";
import { Life, World } from "./world.js";
import { metricsInto } from "../work.js";

/**
 * A day, or less of one, of three provider accounts that have their troubles at known times, and routers that serve a steady stream of jobs
 * meanwhile: the product's own sessions on the simulated world, which nothing but the providers troubles. For each account there is a
 * model of jobs that asks for it first and for the other two behind it.
 */

export const DAY_ACCOUNTS = ["alpha", "beta", "gamma"] as const;
type DayAccount = (typeof DAY_ACCOUNTS)[number];

/** From `fromMs` to `toMs` after the start. */
export interface Trouble {
  readonly account: DayAccount;
  readonly fromMs: number;
  readonly toMs: number;
  /**
   * `down`: every call ends at once as overloaded; `hangs`: none ends before it is given up; `slow`: answers take 20 to 40 s; `limits`: no
   * more than so many calls in any minute, far below what it says.
   */
  readonly kind: "down" | "hangs" | "slow" | "limits";
  readonly perMinute?: number;
}

export interface DayWish {
  readonly seed: number;
  readonly lengthMs: number;
  readonly routers: number;
  /** Jobs an hour, by the account that they ask first. */
  readonly perHour: Readonly<Record<DayAccount, number>>;
  readonly troubles: readonly Trouble[];
  readonly ttlMs: { readonly min: number; readonly max: number };
  readonly health?: Partial<BreakerSettings>;
}

export interface DayResult {
  readonly jobs: number;
  readonly succeeded: number;
  /** Jobs that did not: any of the accounts that were well could have served each of them in time. */
  readonly missed: readonly { readonly jobId: string; readonly status: string; readonly attempts: readonly string[] }[];
  /** Jobs by how many attempts they took. */
  readonly attempts: ReadonlyMap<number, number>;
  /** Calls that began in each trouble, in the order of the troubles. */
  readonly callsInTrouble: readonly number[];
  /** Calls that began within so long after the end of each trouble as it lasted. */
  readonly callsAfterTrouble: readonly number[];
  readonly rateLimited: number;
  /** Events about breakers: `kind account/model`, in their order. */
  readonly breakers: readonly string[];
  readonly events: number;
  /** Results by their status, and what their cost records add up to. */
  readonly published: Readonly<Record<string, number>>;
  readonly costNanoUsd: number;
  /** Counters of all routers, by name and labels. */
  readonly counted: ReadonlyMap<string, number>;
  /** Whether all jobs had ended when it was over. */
  readonly drained: boolean;
}

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const PARTITIONS = 4;
/** Long enough for the last jobs, with a doubt's grace. */
const AFTER_MS = 600_000;
const FORGET_EVERY_MS = 300_000;
const FAR = 1_000_000_000;

/** As the config has them when it says nothing. */
const HEALTH = {
  degradedAfter: 2,
  openAfter: 5,
  failureRate: 0.5,
  rateCallsMin: 20,
  rateWindowMs: 60_000,
  cooldownMs: 5000,
  accountCooldownMs: 60_000,
  cooldownMaxMs: 300_000,
  rampMs: 30_000,
  lookEveryMs: 2000,
} as const;

export async function providerDay(wish: DayWish): Promise<DayResult> {
  return new ProviderDay(wish).run();
}

class ProviderDay {
  readonly #wish: DayWish;
  readonly #world: World;
  readonly #database: MemoryDatabase;
  readonly #broker: FakeBroker;
  readonly #callsIn: number[];
  readonly #callsAfter: number[];
  readonly #recent = new Map<string, number[]>();
  readonly #attempts = new Map<number, number>();
  readonly #missed: { jobId: string; status: string; attempts: readonly string[] }[] = [];
  readonly #breakers: string[] = [];
  readonly #published: Record<string, number> = {};
  readonly #counted = new Map<string, number>();
  #costNanoUsd = 0;
  #jobs = 0;
  #ended = 0;
  #rateLimited = 0;
  #isOver = false;

  constructor(wish: DayWish) {
    this.#wish = wish;
    this.#world = new World(wish.seed, START_MS);
    this.#database = new MemoryDatabase(() => this.#world.nowMs);
    this.#broker = new FakeBroker(this.#world, PARTITIONS, { valueBytesMax: FAR, isMissing: () => false });
    this.#callsIn = wish.troubles.map(() => 0);
    this.#callsAfter = wish.troubles.map(() => 0);
  }

  async run(): Promise<DayResult> {
    const { routers, lengthMs, perHour } = this.#wish;
    for (let no = 1; no <= routers; no += 1) this.#start(`router-${String(no)}`);
    for (const account of DAY_ACCOUNTS) if (perHour[account] > 0) this.#produce(account);
    this.#world.at(lengthMs, "the end of the day", null, () => {
      this.#isOver = true;
    });
    this.#forgetLater();
    const drained = await this.#world.run(
      () => this.#isOver && this.#ended === this.#jobs,
      START_MS + lengthMs + AFTER_MS,
    );
    this.#read();
    return {
      jobs: this.#jobs,
      succeeded: this.#ended - this.#missed.length,
      missed: this.#missed,
      attempts: this.#attempts,
      callsInTrouble: this.#callsIn,
      callsAfterTrouble: this.#callsAfter,
      rateLimited: this.#rateLimited,
      breakers: this.#breakers,
      events: this.#world.events,
      published: this.#published,
      costNanoUsd: this.#costNanoUsd,
      counted: this.#counted,
      drained,
    };
  }

  /** One job after another, at random distances. */
  #produce(account: DayAccount): void {
    const { perHour, ttlMs } = this.#wish;
    const { random } = this.#world;
    const meanMs = HOUR_MS / perHour[account];
    this.#world.at(-Math.log(1 - random.next()) * meanMs, "produce", null, () => {
      if (this.#isOver) return;
      this.#jobs += 1;
      const document = {
        jobId: `job-${String(this.#jobs)}`,
        tenant: "catalogue",
        ttlMs: random.between(ttlMs.min, ttlMs.max),
        dedupe: false,
        cache: { read: false },
        body: { model: `sim-${account}`, messages: [{ role: "user", content: `question ${String(this.#jobs)}` }] },
      };
      const partition = this.#jobs % PARTITIONS;
      this.#broker.append(recordAt(partition, 0, this.#world.nowMs, Buffer.from(JSON.stringify(document))));
      this.#produce(account);
    });
  }

  #start(name: string): void {
    const world = this.#world;
    const life = new Life(name);
    const wire = { step: (label: string) => world.step(life, label), breaks: () => "no" as const };
    const providers = DAY_ACCOUNTS.map((account) => [account, this.#provider(account, life)] as const);
    const router = new SimulatedRouter({
      ...{ world, life, broker: this.#broker, catalog: CATALOG, admission: createSimulatedAdmission() },
      ledger: new MemoryLedger(this.#database, wire),
      publisher: new FakePublisher(world, life, this.#broker, () => 0),
      providers: new Map(providers),
      accounts: DAY_ACCOUNTS,
      batchProviders: new Map(),
      grouped: [],
      rescues: false,
      createGraceMs: 0,
      doubtPolicy: "retry",
      openJournal: () => Promise.resolve(NO_JOURNAL),
      decoder: new FakeDecoder(
        world,
        life,
        () => 0,
        () => undefined,
      ),
      marks: { jobsMax: FAR, bytesMax: FAR, outboxRowsMax: FAR, resumeAt: 0.8 },
      aheadChance: () => 0,
      diesOf: () => false,
      turned: () => undefined,
      paused: () => undefined,
      wasSecond: () => undefined,
      opened: () => undefined,
      logged: (event, fields) => {
        if (event !== "attempt.failed") throw new Error(`${event}: ${JSON.stringify(fields)}`);
      },
      metrics: metricsInto(this.#counted),
      account: { concurrency: 64, callTimeoutMs: 60_000 },
      settings: { health: { ...HEALTH, ...this.#wish.health } },
    });
    void router.run();
  }

  #provider(account: DayAccount, life: Life): Provider {
    return {
      account,
      call: (call, signal) => this.#call(account, life, call, signal),
      close: () => Promise.resolve(),
    };
  }

  async #call(
    account: DayAccount,
    life: Life,
    call: ProviderCall,
    signal: AbortSignal,
  ): Promise<ProviderAnswer | ProviderFailure | ProviderNotSent> {
    const world = this.#world;
    await world.step(life, "connect");
    if (signal.aborted || !call.maySend()) return { kind: "not_sent", because: "stopped", message: "stopped" };
    const trouble = this.#note(account);
    if (trouble?.kind === "down") {
      await world.wait(life, "answer", 50);
      return failed("overloaded", "answered", 503, null);
    }
    if (trouble?.kind === "hangs") {
      await world.wait(life, "answer", call.timeoutMs);
      return failed("timed_out", "perhaps", null, null);
    }
    const calls = (this.#recent.get(account) ?? []).filter((at) => at > world.nowMs - MINUTE_MS);
    if (trouble?.kind === "limits" && calls.length >= (trouble.perMinute ?? 0)) {
      this.#rateLimited += 1;
      const freeInMs = (calls[0] ?? world.nowMs) + MINUTE_MS - world.nowMs;
      await world.wait(life, "answer", 50);
      return failed("rate_limited", "answered", 429, Math.ceil(freeInMs));
    }
    this.#recent.set(account, [...calls, world.nowMs]);
    const slow = trouble?.kind === "slow";
    await world.wait(life, "answer", slow ? world.random.between(20_000, 40_000) : world.random.between(500, 3000));
    return ANSWER;
  }

  /** Counts the call. @returns what troubles the account now. */
  #note(account: DayAccount): Trouble | null {
    const atMs = this.#world.nowMs - START_MS;
    let found: Trouble | null = null;
    this.#wish.troubles.forEach((trouble, index) => {
      const { fromMs, toMs } = trouble;
      if (trouble.account !== account) return;
      if (atMs >= fromMs && atMs < toMs) {
        found = trouble;
        this.#callsIn[index] = (this.#callsIn[index] ?? 0) + 1;
      } else if (atMs >= toMs && atMs < toMs + (toMs - fromMs))
        this.#callsAfter[index] = (this.#callsAfter[index] ?? 0) + 1;
    });
    return found;
  }

  /** Reads what was published since, and forgets what is over: a day's rows would make each statement slow. */
  #forgetLater(): void {
    this.#world.at(FORGET_EVERY_MS, "forget", null, () => {
      this.#read();
      const { jobs, executions, attempts, outbox, outboxReady, costs, jobKeys, executionKeys } = this.#database;
      const live = new Set([...outboxReady.committed.values()].flatMap(({ keys }) => keys));
      drop(jobs.committed, ({ state }) => state !== "active");
      drop(executions.committed, ({ state }) => state === "succeeded" || state === "failed" || state === "dropped");
      drop(attempts.committed, ({ state }) => state === "answered" || state === "failed" || state === "not_sent");
      drop(outbox.committed, (_row, key) => !live.has(key as never));
      costs.committed.clear();
      jobKeys.committed.clear();
      executionKeys.committed.clear();
      this.#forgetLater();
    });
  }

  #read(): void {
    for (const { topic, record } of this.#broker.published.splice(0)) {
      const text = record.value?.toString("utf8") ?? "null";
      if (topic === RESULTS_TOPIC) this.#readResult(JSON.parse(text) as ReadResult); // our own
      if (topic === COSTS_TOPIC)
        this.#costNanoUsd += Number((JSON.parse(text) as { readonly nanoUsd: string | null }).nanoUsd); // our own
      if (topic === EVENTS_TOPIC) this.#readEvent(JSON.parse(text) as ReadEvent); // our own
    }
  }

  #readResult({ jobId, status, attempts }: ReadResult): void {
    this.#ended += 1;
    this.#published[status] = (this.#published[status] ?? 0) + 1;
    this.#attempts.set(attempts.length, (this.#attempts.get(attempts.length) ?? 0) + 1);
    if (status === "succeeded") return;
    this.#missed.push({
      jobId,
      status,
      attempts: attempts.map((one) => `${one.account ?? one.provider} ${one.outcome}`),
    });
  }

  #readEvent({ kind, account, detailsJson }: ReadEvent): void {
    if (!kind.startsWith("breaker.")) return;
    const { model } = JSON.parse(detailsJson ?? "{}") as { readonly model?: string }; // our own
    this.#breakers.push(`${kind} ${account ?? ""}${model === undefined ? "" : `/${model}`}`);
  }
}

interface ReadResult {
  readonly jobId: string;
  readonly status: string;
  readonly attempts: readonly { readonly provider: string; readonly account?: string; readonly outcome: string }[];
}

interface ReadEvent {
  readonly kind: string;
  readonly account: string | null;
  readonly detailsJson: string | null;
}

function drop<Key, Row>(rows: Map<Key, Row>, isOver: (row: Row, key: Key) => boolean): void {
  for (const [key, row] of rows) if (isOver(row, key)) rows.delete(key);
}

const MODEL = {
  inputPerMTok: 1,
  outputPerMTok: 4,
  contextWindow: 100_000,
  maxOutputTokens: 4096,
  capabilities: ["chat"],
};

const CATALOG: Catalog = {
  prices: parsePriceTable({
    asOf: "2026-12-01",
    models: Object.fromEntries(DAY_ACCOUNTS.map((account) => [`openai/at-${account}`, MODEL])),
  }),
  accounts: DAY_ACCOUNTS.map((name) => {
    const { batch: _batch, ...facts } = kindFacts("openai");
    return { name, facts, regions: null, prices: null, maxOutputTokensDefault: 256, capabilities: null };
  }),
  aliases: DAY_ACCOUNTS.map((first, at) => ({
    name: `sim-${first}`,
    maxOutputTokensDefault: 256,
    candidates: [...DAY_ACCOUNTS.slice(at), ...DAY_ACCOUNTS.slice(0, at)].map((account) => ({
      account,
      model: `at-${account}`,
    })),
  })),
};

const ANSWER: ProviderAnswer = {
  kind: "answered",
  bodyText: '{"text":"an answer"}',
  finishReason: "stop",
  modelVersion: null,
  usage: {
    inputTokens: 20,
    cachedInputTokens: null,
    cacheWriteTokens: null,
    cacheWrite1hTokens: null,
    outputTokens: 10,
    reasoningTokens: null,
  },
  usageSuspect: false,
  requestId: "request",
  empty: false,
};

function failed(
  outcome: Exclude<AttemptOutcome, "succeeded">,
  sent: ProviderFailure["sent"],
  status: number | null,
  retryAfterMs: number | null,
): ProviderFailure {
  const provider = { status, code: null, requestId: null };
  return { kind: "failed", outcome, sent, message: outcome, retryAfterMs, provider };
}
