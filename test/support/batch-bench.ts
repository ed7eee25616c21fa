import type { BatchState } from "../../src/domain/batch/batch.js";
import { poolOf, type PooledLine } from "../../src/domain/batch/queued-line.js";
import { turnaroundBook } from "../../src/domain/batch/turnaround.js";
import type { SessionNo } from "../../src/domain/ids.js";
import type { JobState } from "../../src/domain/execution/execution.js";
import type { BatchRules } from "../../src/domain/batch/batch-rules.js";
import { BatchStage } from "../../src/pipeline/batch/batch-stage.js";
import { PoolReadings } from "../../src/pipeline/batch/pool-readings.js";
import type { BatchStageParts } from "../../src/pipeline/batch/batch-parts.js";
import type { BatchAccountSettings, BatchingSettings } from "../../src/pipeline/batch/batch-settings.js";
import { NumberSource } from "../../src/pipeline/dispatch/number-source.js";
import type { BatchProvider } from "../../src/ports/batch-provider.js";
import type { ReachPoint } from "../../src/ports/crash-points.js";
import type { ClaimVerdict, OutboxGroup } from "../../src/ports/ledger.js";
import type { WaitingExecution } from "../../src/domain/execution/execution.js";
import { eventsIn, LedgerBench } from "../contract/ledger-bench.js";
import { BatchBooks, BatchService, FILE_RULES, LATE_MS } from "./simulation/batch-service.js";
import { FakeBatchProvider } from "./simulation/fake-batch-provider.js";
import { PLAN_ROUTES, RENDER, START_MS } from "./simulation/fixture.js";
import { LedgerAway, MemoryDatabase } from "./simulation/memory-database.js";
import { MemoryLedger } from "./simulation/memory-ledger.js";
import { Life, World } from "./simulation/world.js";
import { JUDGED_BY, logInto, metricsInto } from "./work.js";

export const BATCHING: BatchingSettings = {
  lookEveryMs: 250,
  turnaroundPriorMs: 3_600_000,
  turnaroundWindowMs: 86_400_000,
  turnaroundsMax: 100,
  pollMinMs: 200,
  pollMaxMs: 2_000,
  stepsAtOnce: 4,
  callTimeoutMs: 5_000,
  transferTimeoutMs: 60_000,
  resultLineBytesMax: 20_000,
  groupSizeMax: 4,
  eraseAfterMs: 500,
  scanForMs: 600_000,
};

export const ACCOUNT: BatchAccountSettings = {
  way: null,
  linesMax: null,
  bytesMax: null,
  enqueuedTokensMax: null,
  openBatchesMax: 20,
  flushAfterMs: 300,
  createGraceMs: 10_000,
};

export interface BenchOptions {
  readonly rules?: BatchRules;
  readonly account?: Partial<BatchAccountSettings>;
  readonly batching?: Partial<BatchingSettings>;
  /** Puts something in front of the provider. */
  readonly wrap?: (provider: BatchProvider) => BatchProvider;
  /** Told of each place that has a name. */
  readonly reach?: ReachPoint;
  /** Left out: every account is called. */
  readonly health?: BatchStageParts["health"];
}

/** One router's stage on the simulated clock, ledger and provider, with lines that come back put into their pool again. */
export class BatchBench {
  readonly world = new World(1, START_MS);
  readonly database = new MemoryDatabase(() => this.world.nowMs);
  readonly books = new BatchBooks();
  readonly lines: string[] = [];
  readonly counted = new Map<string, number>();
  readonly outbox: OutboxGroup[] = [];
  readonly service: BatchService;
  readonly #options: BenchOptions;
  life = new Life("first");
  ledger: MemoryLedger;
  stage: BatchStage | null = null;
  #bench: LedgerBench | null = null;
  #session: SessionNo | null = null;

  constructor(options: BenchOptions = {}) {
    this.#options = options;
    this.service = new BatchService({
      account: "alpha",
      rules: options.rules ?? FILE_RULES,
      world: this.world,
      bill: [],
      books: this.books,
      trouble: () => 0,
      late: LATE_MS,
    });
    this.ledger = this.#openLedger();
  }

  /** Jobs that wait for a batch; one execution each. */
  async accept(prompts: readonly string[], ttlMs = 3_600_000): Promise<void> {
    const ledger = new MemoryLedger(this.database, { step: () => Promise.resolve(), breaks: () => "no" });
    this.#bench ??= await LedgerBench.start({ ledger, nowMs: () => this.world.nowMs, close: () => Promise.resolve() });
    for (const prompt of prompts) {
      // Serial: one record after another.
      const item = await this.#bench.job({ jobId: prompt, tenant: "catalogue", prompt, ttlMs, mode: "batch" }, false);
      await this.#bench.accept([{ ...item, pooled: this.#pooled(prompt, ttlMs) }]);
    }
  }

  #pooled(prompt: string, ttlMs: number): PooledLine {
    const bodyText = JSON.stringify({ model: "sim", messages: [{ role: "user", content: prompt }] });
    const line = { account: "alpha", provider: "openai", model: "sim-alpha", lineFormat: "openai.chat" } as const;
    const way = this.service.rules.ways[0]?.way ?? "file";
    const request = {
      attemptId: "",
      format: "openai.chat",
      bodyText,
      model: line.model,
      maxOutputTokensDefault: 1,
    } as const;
    const encoded = this.#provider().encodeLine(request, way);
    if (encoded.kind !== "encoded") throw new Error("the bench wrote a line that can't be carried");
    const queued = {
      ...{ ...line, way, routeIndex: 0, tokens: 10, embeddingInputs: 0, prefix: 1, maxNanoUsd: 1_000_000n },
      bytes: encoded.bytes.length,
      lookAtMs: this.world.nowMs + ttlMs,
    };
    return { pool: poolOf(queued, this.service.rules.alike), line: queued };
  }

  #openLedger(): MemoryLedger {
    const { life } = this;
    return new MemoryLedger(this.database, { step: (label) => this.world.step(life, label), breaks: () => "no" });
  }

  #provider(): BatchProvider {
    const provider = new FakeBatchProvider(this.service, this.life);
    return this.#options.wrap?.(provider) ?? provider;
  }

  /** A router begins, with a session of its own. */
  start(): void {
    void this.#run();
  }

  async #run(): Promise<void> {
    const { ledger, life, world } = this;
    const before = this.#session;
    const session = await ledger.openSession(life.name);
    this.#session = session;
    if (before !== null) await ledger.endSession(before);
    const parts = this.#parts(session);
    this.stage = new BatchStage(parts);
    void this.stage.run();
    while (!life.dead) {
      await world.wait(life, "dispatch", 400);
      const claim = { session, nowMs: world.nowMs, pick: "run", limit: 20 } as const;
      await ledger.claim(claim, (waiting) => this.#poolAgain(waiting), RENDER);
    }
  }

  #poolAgain(waiting: WaitingExecution): ClaimVerdict {
    const { messages } = JSON.parse(waiting.bodyText) as { messages: readonly [{ content: string }] }; // the bench's own
    const pooled = this.#pooled(messages[0].content, waiting.latestDeadlineMs - this.world.nowMs);
    const decision = {
      mode: "batch",
      account: "alpha",
      model: "sim-alpha",
      because: "again",
      numbers: NO_NUMBERS,
    } as const;
    return { kind: "pool", pooled, decision };
  }

  #parts(session: SessionNo): BatchStageParts {
    const { ledger, life, world } = this;
    const { account, batching, reach } = this.#options;
    const settings = { ...BATCHING, ...batching };
    const book = { priorMs: settings.turnaroundPriorMs, windowMs: 1, perModelMax: 1 };
    return {
      ledger,
      pools: new PoolReadings(ledger, world.clock(life)),
      session,
      render: RENDER,
      groups: new Map(),
      groupCalls: { add: () => undefined, drop: () => undefined },
      accounts: new Map([["alpha", { provider: this.#provider(), settings: { ...ACCOUNT, ...account } }]]),
      settings,
      planRoutes: PLAN_ROUTES,
      turnaround: () => turnaroundBook([], book, world.nowMs),
      numbers: new NumberSource(() => ledger.takeNumbers()),
      health: this.#options.health ?? { batchWaitUntilMs: () => null, stepBegins: () => undefined },
      judge: {
        retry: { attemptsMax: 4, backoffBaseMs: 10, backoffMaxMs: 100, retryAfterMaxMs: 1000 },
        graceMs: () => 0,
        resultBytesMax: 1_000_000,
        ...JUDGED_BY,
      },
      clock: world.clock(life),
      random: world.random,
      log: logInto(this.lines),
      metrics: metricsInto(this.counted),
      mendable: (error) => error instanceof LedgerAway,
      mayStart: () => true,
      publish: (groups) => {
        this.outbox.push(...groups);
      },
      fenced: () => undefined,
      ...(reach === undefined ? {} : { reach }),
    };
  }

  /** The router dies here; another goes on. */
  kill(): void {
    this.life.dead = true;
    this.ledger.disconnect(true);
    this.life = new Life("next");
    this.ledger = this.#openLedger();
    this.start();
  }

  /** Until all jobs have ended and the batches are cleared away. @returns whether it came so far. */
  settle(forMs = 600_000): Promise<boolean> {
    return this.world.run(() => this.isQuiet(), this.world.nowMs + forMs);
  }

  isQuiet(): boolean {
    const { jobs, batches } = this.database;
    const isOver = [...jobs.committed.values()].every(({ state }) => state !== "active");
    return isOver && [...batches.committed.values()].every(({ batch }) => batch.nextAtMs === null);
  }

  /** Changes with whatever is stored of batches and attempts, and with what the provider has. */
  progress(): string {
    const { batches, attempts } = this.database;
    const versions = [...batches.committed.values()].map(({ batch }) => batch.version);
    const ended = [...attempts.committed.values()].filter(({ state }) => state !== "batched");
    return [...versions, attempts.committed.size, ended.length, this.books.files.size, this.books.batches.size].join();
  }

  /** Job ids with what became of them. */
  jobs(): Readonly<Record<string, JobState>> {
    return Object.fromEntries([...this.database.jobs.committed.values()].map(({ jobId, state }) => [jobId, state]));
  }

  batchStates(): readonly BatchState[] {
    return [...this.database.batches.committed.values()].map(({ batch }) => batch.state);
  }

  /** Attempts' outcomes in the order of their numbers. */
  outcomes(): readonly string[] {
    return [...this.database.attempts.committed.values()]
      .sort((a, b) => a.intent.no - b.intent.no)
      .map(({ state, outcome }) => (state === "not_sent" ? state : (outcome ?? state)));
  }

  events(): readonly string[] {
    return eventsIn(this.outbox).map(({ kind }) => kind);
  }

  /** How often each line ran at the provider, by prompt. */
  runs(): ReadonlyMap<string, number> {
    const runs = new Map<string, number>();
    for (const { lines, state } of this.books.batches.values())
      for (const { prompt, outcome } of lines)
        if (state !== "failed" && outcome === "answered") runs.set(prompt, (runs.get(prompt) ?? 0) + 1);
    return runs;
  }
}

const NO_NUMBERS = {
  leftMs: 0,
  turnaroundP95Ms: null,
  fillMs: null,
  directMaxNanoUsd: null,
  batchMaxNanoUsd: null,
  tokens: null,
  headroomTokens: null,
} as const;
