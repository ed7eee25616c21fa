import type { Batch, BatchState } from "../../src/domain/batch/batch.js";
import type { QueuedLine } from "../../src/domain/batch/queued-line.js";
import type { JobMode } from "../../src/domain/job/job.js";
import type { RouteDecision } from "../../src/domain/route/route-decision.js";
import type { SessionNo } from "../../src/domain/ids.js";
import type { IntakeJob } from "../../src/domain/result/outgoing.js";
import type {
  AllowanceLimits,
  BatchChange,
  BatchLedger,
  BatchLine,
  NewBatch,
  WaitingLine,
} from "../../src/ports/batch-ledger.js";
import type { FinishedCall, Ledger } from "../../src/ports/ledger.js";
import type { ProviderAnswer, ProviderFailure } from "../../src/ports/provider.js";
import { RENDER, type JobWish } from "../support/simulation/fixture.js";
import type { Held, LedgerBench } from "./ledger-bench.js";

/** A ledger of both sides. */
export type WholeLedger = Ledger & BatchLedger;

export const POOL = "alpha|file|openai.chat|sim-alpha";
export const HOUR_MS = 3_600_000;
export const UNLIMITED: AllowanceLimits = {
  tokensMax: null,
  linesMax: null,
  openBatchesMax: null,
  oneAtATime: false,
};

export const TO_BATCH: RouteDecision = {
  mode: "batch",
  account: "alpha",
  model: "sim-alpha",
  because: "a batch is half the price and ends in time",
  numbers: {
    leftMs: 86_400_000,
    turnaroundP95Ms: 21_600_000,
    fillMs: 2000,
    directMaxNanoUsd: "2000000",
    batchMaxNanoUsd: "1000000",
    tokens: 40,
    headroomTokens: null,
  },
};

/** Which states lead a batch to one. */
const WAYS: Readonly<Partial<Record<BatchState, readonly BatchState[]>>> = {
  sealed: ["sealed"],
  creating: ["sealed", "creating"],
  submitted: ["sealed", "creating", "submitted"],
  ended: ["sealed", "creating", "submitted", "ended"],
  done: ["sealed", "creating", "submitted", "ended", "ingesting", "done"],
  failed: ["failed"],
};

/** How a job waits for a batch in a case. */
interface PoolWish {
  /** From now on. */
  readonly lookInMs?: number;
  readonly pool?: string;
  readonly mode?: JobMode;
  readonly line?: Partial<QueuedLine>;
}

/** Does with lines and batches what the batch stage would. */
export class BatchBench {
  readonly bench: LedgerBench;
  readonly ledger: WholeLedger;

  constructor(bench: LedgerBench, ledger: WholeLedger) {
    this.bench = bench;
    this.ledger = ledger;
  }

  get session(): SessionNo {
    return this.bench.session;
  }

  line(lookAtMs: number, changes: Partial<QueuedLine> = {}): QueuedLine {
    return {
      account: "alpha",
      provider: "openai",
      model: "sim-alpha",
      routeIndex: 0,
      way: "file",
      lineFormat: "openai.chat",
      bytes: 99,
      tokens: 40,
      embeddingInputs: 0,
      prefix: 7,
      maxNanoUsd: 1_000_000n,
      lookAtMs,
      ...changes,
    };
  }

  /** A job that the planner gave to a batch. */
  async job(
    wish: JobWish,
    { lookInMs = HOUR_MS, pool = POOL, mode = "auto", line = {} }: PoolWish = {},
  ): Promise<IntakeJob> {
    const item = await this.bench.job({ ttlMs: 24 * HOUR_MS, ...wish }, false);
    const pooled = { pool, line: this.line(this.bench.nowMs() + lookInMs, line) };
    return { ...item, job: { ...item.job, mode }, pooled, decision: TO_BATCH };
  }

  /** Accepts jobs for a batch, each with a request of its own unless it says another. */
  async pool(...wishes: readonly (JobWish & PoolWish)[]): Promise<readonly IntakeJob[]> {
    const jobs: IntakeJob[] = [];
    // Serial: each takes the next offset.
    for (const wish of wishes) jobs.push(await this.job(wish, wish));
    const { kinds } = await this.bench.accept(jobs);
    if (kinds.some((kind) => kind !== "pooled")) throw new Error(`expected pooled jobs, got ${kinds.join()}`);
    return jobs;
  }

  async wanted(changes: Partial<NewBatch> = {}): Promise<NewBatch> {
    return {
      no: await this.bench.number(),
      account: "alpha",
      provider: "openai",
      pool: POOL,
      way: "file",
      lineFormat: "openai.chat",
      model: "sim-alpha",
      createdAtMs: this.bench.nowMs(),
      lines: 10,
      tokens: 1000,
      ...changes,
    };
  }

  async open(changes: Partial<NewBatch> = {}, session = this.session): Promise<Batch> {
    const opened = await this.ledger.openBatch(session, await this.wanted(changes), UNLIMITED);
    if (opened.kind !== "opened") throw new Error(`expected an opened batch, got ${opened.kind}`);
    return opened.batch;
  }

  waiting(pool = POOL): Promise<readonly WaitingLine[]> {
    return this.ledger.waitingLines(pool, 1000);
  }

  /** @returns what binds these lines, in their order. */
  async bindings(lines: readonly WaitingLine[]) {
    const bindings = [];
    // Serial: the numbers grow in the order of the batch.
    for (const { execution, attempts } of lines) {
      const intent = { ...(await this.bench.intent(attempts + 1)), maxNanoUsd: 1_000_000n };
      bindings.push({ execution, intent });
    }
    return bindings;
  }

  /** Binds all that waits to a batch. */
  async bind(batch: Batch, session = this.session): Promise<readonly BatchLine[]> {
    const bindings = await this.bindings(await this.waiting());
    await this.ledger.bindLines(session, batch.no, bindings, this.bench.nowMs());
    return this.lines(batch);
  }

  /** Accepts these jobs and makes them the lines of a new batch. */
  async batchOf(...wishes: readonly (JobWish & PoolWish)[]): Promise<{
    readonly batch: Batch;
    readonly lines: readonly BatchLine[];
  }> {
    await this.pool(...wishes);
    const batch = await this.open();
    return { batch, lines: await this.bind(batch) };
  }

  lines(batch: Batch): Promise<readonly BatchLine[]> {
    return this.ledger.openLines(batch.no, 0, 1000);
  }

  save(batch: Batch, changes: Partial<Batch>, also: BatchChange = {}, session = this.session): Promise<Batch | null> {
    return this.ledger.saveBatch(session, { ...batch, ...changes }, also, RENDER);
  }

  /** Takes a batch that is being built to a state. @param changes stored with the last step. */
  async bring(batch: Batch, state: keyof typeof WAYS, changes: Partial<Batch> = {}): Promise<Batch> {
    const way = WAYS[state] ?? [];
    let at = batch;
    for (const [step, next] of way.entries()) {
      // Serial: one step after another.
      const saved = await this.save(at, { state: next, ...(step === way.length - 1 ? changes : {}) });
      if (saved === null) throw new Error(`expected to bring a batch to ${next}`);
      at = saved;
    }
    return at;
  }

  /** A batch whose creation was given up as absent: its lines are back. */
  async givenUp(...wishes: readonly (JobWish & PoolWish)[]): Promise<{
    readonly batch: Batch;
    readonly lines: readonly BatchLine[];
  }> {
    const { batch, lines } = await this.batchOf(...wishes);
    const nowMs = this.bench.nowMs();
    const creating = await this.bring(batch, "creating", { sealedAtMs: nowMs - 1000, creates: 1, createAtMs: nowMs });
    const failed = await this.save(creating, { state: "failed" });
    await this.ledger.returnLines(this.session, batch.no, null, 1000, nowMs);
    const idle = failed && (await this.save(failed, { doneAtMs: nowMs }));
    if (idle === null) throw new Error("expected a batch that was given up");
    return { batch: idle, lines };
  }

  /** It is there all the same. */
  async turnUp({ no }: Pick<Batch, "no">, providerBatchId = "batch_1"): Promise<Batch> {
    const taken = await this.ledger.takeFailed(this.session, no);
    const submitted = { state: "submitted", providerBatchId, nextAtMs: this.bench.nowMs(), doneAtMs: null } as const;
    const saved = taken && (await this.save(taken, submitted, { linesOut: true }));
    if (saved === null) throw new Error("expected a batch that turns up");
    return saved;
  }

  /** What came of a line, judged as a call that ends now, with the words for lines. */
  ended(batch: Batch, line: BatchLine, outcome: ProviderAnswer | ProviderFailure, leftMs?: number): FinishedCall {
    const held: Held = {
      execution: line.execution,
      intent: line.attempt,
      wish: { jobId: "", tenant: "", prompt: promptOf(line) },
    };
    const call = this.bench.ended(held, outcome, leftMs);
    const words = { mode: "batch" as const, batch: { no: batch.no, providerBatchId: batch.providerBatchId } };
    const summary = { ...call.summary, ...words };
    const { verdict } = call;
    if (verdict.kind !== "succeed") return { ...call, summary };
    const { answer } = verdict;
    const facts = { ...answer.facts, attempt: summary };
    return { ...call, summary, verdict: { ...verdict, answer: { ...answer, facts } } };
  }

  /** Another router, which lives. */
  other(): Promise<SessionNo> {
    return this.ledger.openSession("another");
  }
}

export function promptOf({ bodyText }: Pick<BatchLine, "bodyText">): string {
  const body = JSON.parse(bodyText) as { messages: readonly { content: string }[] }; // our own
  return body.messages[0]?.content ?? "";
}
