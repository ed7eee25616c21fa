import type { BatchRules } from "../../src/domain/batch/batch-rules.js";
import { fairOrder } from "../../src/domain/batch/fair-order.js";
import { deadlineLeadMs, flushAnswer, type AccountRoom } from "../../src/domain/batch/flush.js";
import { packBatch, packLimits } from "../../src/domain/batch/pack.js";
import type { QueuedLine } from "../../src/domain/batch/queued-line.js";
import { expectedTurnaround, turnaroundBook, type TurnaroundBook } from "../../src/domain/batch/turnaround.js";
import { attemptId } from "../../src/domain/job/ids.js";
import {
  LinePlanner,
  type LineAccount,
  type LinePlan,
  type ServiceWish,
} from "../../src/pipeline/batch/line-planner.js";
import type { PoolLoad, Turnaround, WaitingLine } from "../../src/ports/batch-ledger.js";
import { fillFaults, limitFaults, metByOracle, type OracleJob, type SeenLine } from "./packing-oracle.js";
import { LINE_OPENING_BYTES, randomStream, type StreamAccount, type StreamJob } from "./packing-stream.js";

/**
 * A gateway of decisions alone on a simulated clock: jobs arrive, the line planner decides, pools are flushed and packed, batches end when
 * the world says so. No ledger, no calls: what is tried here are the decisions.
 */

/** The decisions under test. A planted mistake takes the place of one. */
export interface PackingRules {
  readonly pack: typeof packBatch;
  readonly flush: typeof flushAnswer;
  readonly plan: (planner: LinePlanner, wish: ServiceWish) => LinePlan;
  readonly priorShare: number;
}

export const OUR_RULES: PackingRules = {
  pack: packBatch,
  flush: flushAnswer,
  plan: (planner, wish) => planner.plan(wish),
  priorShare: 1,
};

export interface PackingRun {
  readonly seed: number;
  readonly faults: readonly string[];
  /** How often what happened, so that a test can see that its worlds hold what it is about. */
  readonly seen: Readonly<Record<string, number>>;
}

interface LiveBatch {
  readonly account: StreamAccount;
  readonly lines: readonly WaitingLine[];
  readonly tokens: number;
  readonly submittedAtMs: number;
  readonly endsAtMs: number;
}

interface Pooled extends WaitingLine {
  readonly pool: string;
  readonly job: StreamJob;
}

const DAY = 20_000;
const SIZES_KEPT_MS = 48 * 3_600_000;

export function runPackingWorld(seed: number, rules: PackingRules = OUR_RULES): PackingRun {
  return new PackingWorld(seed, rules).run();
}

class PackingWorld {
  readonly #seed: number;
  readonly #rules: PackingRules;
  readonly #stream: ReturnType<typeof randomStream>;
  readonly #accounts: ReadonlyMap<string, StreamAccount>;
  readonly #planner: LinePlanner;
  readonly #faults: string[] = [];
  readonly #seen: Record<string, number> = {};
  readonly #waiting = new Map<number, Pooled>();
  readonly #finishedAtMs = new Map<number, number>();
  readonly #sizes: { readonly account: string; readonly lines: number; readonly atMs: number }[] = [];
  readonly #turnarounds: Turnaround[] = [];
  /** When the last create of an account that makes one at a time is over. */
  readonly #creatingUntilMs = new Map<string, number>();
  #live: LiveBatch[] = [];
  #book: TurnaroundBook;
  #attempts = 0;
  /** Lines have come since the last look. */
  #changed = false;

  constructor(seed: number, rules: PackingRules) {
    this.#seed = seed;
    this.#rules = rules;
    this.#stream = randomStream(seed);
    this.#accounts = new Map(this.#stream.accounts.map((account) => [account.name, account]));
    this.#book = this.#learned(0);
    const batching = this.#stream.accounts.filter(({ hasBatches }) => hasBatches);
    this.#planner = new LinePlanner({
      accounts: new Map(batching.map((account) => [account.name, lineAccount(account)])),
      turnaround: () => this.#book,
      headroomTokens: (name) => this.#headroom(name),
    });
  }

  run(): PackingRun {
    const arrivals = [...this.#stream.jobs].sort((one, other) => one.arrivesAtMs - other.arrivesAtMs);
    let nowMs = 0;
    while (arrivals.length > 0 || this.#waiting.size > 0 || this.#live.length > 0) {
      const next = arrivals[0];
      const lookAtMs = this.#nextLookMs(nowMs);
      if (next !== undefined && next.arrivesAtMs < lookAtMs) {
        arrivals.shift();
        nowMs = next.arrivesAtMs;
        this.#decide(next, nowMs, false);
        continue;
      }
      nowMs = lookAtMs;
      this.#look(nowMs);
    }
    this.#checkDeadlines();
    return { seed: this.#seed, faults: this.#faults, seen: this.#seen };
  }

  /** The stage looks at fixed times; those at which nothing can have changed are left out. */
  #nextLookMs(nowMs: number): number {
    const { lookEveryMs } = this.#stream;
    let dueMs = this.#changed ? nowMs : Number.POSITIVE_INFINITY;
    for (const { addedAtMs, line } of this.#waiting.values()) {
      const { flushAfterMs } = this.#accountOf(line.account);
      const flushAtMs = line.lookAtMs - this.#leadMs(line);
      for (const atMs of [addedAtMs + flushAfterMs, flushAtMs, line.lookAtMs])
        if (atMs > nowMs) dueMs = Math.min(dueMs, atMs);
    }
    for (const { endsAtMs } of this.#live) dueMs = Math.min(dueMs, endsAtMs);
    for (const untilMs of this.#creatingUntilMs.values()) if (untilMs > nowMs) dueMs = Math.min(dueMs, untilMs);
    return Math.ceil(Math.max(dueMs, nowMs + 1) / lookEveryMs) * lookEveryMs;
  }

  #look(nowMs: number): void {
    this.#endBatches(nowMs);
    for (const { line, execution, job } of [...this.#waiting.values()]) {
      if (line.lookAtMs > nowMs) continue;
      this.#waiting.delete(execution.no);
      this.#count("decided anew");
      this.#decide(job, nowMs, true);
    }
    this.#changed = false;
    const pools = new Set([...this.#waiting.values()].map(({ pool }) => pool));
    for (const pool of pools) while (this.#flush(pool, nowMs)) this.#count("batches");
  }

  #endBatches(nowMs: number): void {
    const ended = this.#live.filter(({ endsAtMs }) => endsAtMs <= nowMs);
    if (ended.length === 0) return;
    this.#live = this.#live.filter(({ endsAtMs }) => endsAtMs > nowMs);
    for (const { account, lines, submittedAtMs, endsAtMs } of ended) {
      const model = account.rules.alike.model ? (lines[0]?.line.model ?? null) : null;
      const ms = endsAtMs - submittedAtMs;
      this.#turnarounds.push({ account: account.name, model, lines: lines.length, ms, endedAtMs: endsAtMs });
      for (const { execution } of lines) this.#finish(execution.no, nowMs + account.storeMs);
    }
    this.#book = this.#learned(nowMs);
  }

  #learned(nowMs: number): TurnaroundBook {
    const { turnaroundMs } = this.#stream;
    const priorMs = Math.round(turnaroundMs * this.#rules.priorShare);
    return turnaroundBook(this.#turnarounds, { priorMs, windowMs: 7 * 86_400_000, perModelMax: 200 }, nowMs);
  }

  #decide(job: StreamJob, nowMs: number, again: boolean): void {
    const { mode, deadlineMs, facts, plan } = job;
    const wish = { mode, nowMs, deadlineMs, facts, plan, routeIndex: 0, again };
    const chosen = this.#rules.plan(this.#planner, wish);
    this.#count(chosen.kind);
    if (chosen.kind === "direct") {
      const account = plan.first?.account ?? "";
      this.#finish(job.no, nowMs + this.#accountOf(account).directMs);
    } else if (chosen.kind === "pool") {
      const { pool, line } = chosen.pooled;
      const execution = { day: DAY, no: job.no };
      this.#changed = true;
      this.#waiting.set(job.no, { pool, line, execution, job, tenant: job.tenant, addedAtMs: nowMs, attempts: 0 });
    }
  }

  /** @returns whether a batch was made. */
  #flush(pool: string, nowMs: number): boolean {
    const waiting = [...this.#waiting.values()].filter((one) => one.pool === pool);
    const [first] = waiting;
    if (first === undefined) return false;
    const account = this.#accountOf(first.line.account);
    const times = { flushAfterMs: account.flushAfterMs, leadMs: this.#leadMs(first.line) };
    const limits = packLimits(account.way, account, account.tokensMax);
    const room = this.#room(account);
    const answer = this.#rules.flush(loadOf(pool, waiting), limits, room, times, nowMs);
    this.#count(
      answer.kind === "flush" ? `flush: ${answer.because}` : answer.kind === "held" ? `held: ${answer.limit}` : "wait",
    );
    if (answer.kind !== "flush") return false;
    const takenSizes = this.#takenSizes(account, nowMs);
    const packed = this.#rules.pack({
      lines: fairOrder(waiting),
      limits: { ...limits, tokensMax: room.tokensLeft },
      idBytes: this.#idBytes(waiting.length),
      urgentUntilMs: nowMs + this.#leadMs(first.line),
      takenSizes,
    });
    if (packed.lines.length === 0) return false;
    this.#check(account, waiting, packed.lines, takenSizes, packed.linesBytes);
    this.#submit(account, packed.lines, nowMs);
    return true;
  }

  #leadMs(line: QueuedLine): number {
    return deadlineLeadMs(this.#stream.lookEveryMs, this.#p95Ms(line));
  }

  #p95Ms({ account, model }: QueuedLine): number {
    return expectedTurnaround(this.#book, account, model).p95Ms;
  }

  /** Of the longest id that the next attempts may get. */
  #idBytes(count: number): number {
    return attemptId(DAY, this.#attempts + count).length;
  }

  #check(
    account: StreamAccount,
    waiting: readonly Pooled[],
    packed: readonly WaitingLine[],
    takenSizes: ReadonlySet<number>,
    linesBytes: number,
  ): void {
    const idBytes = this.#idBytes(waiting.length);
    const taken = new Set(packed.map(({ execution }) => execution.no));
    const seenLine = (one: WaitingLine, bytes: number): SeenLine => ({
      no: one.execution.no,
      bytes: one.line.bytes + bytes,
      tokens: one.line.tokens,
      embeddingInputs: one.line.embeddingInputs,
    });
    const lines = packed.map((one, index) => seenLine(one, attemptId(DAY, this.#attempts + index + 1).length));
    // Before a line has its number nobody can count on a shorter id than the longest of them.
    const promised = packed.map((one) => seenLine(one, idBytes));
    const left = waiting.filter(({ execution }) => !taken.has(execution.no)).map((one) => seenLine(one, idBytes));
    const limits = {
      linesMax: account.linesMax,
      bytesMax: account.bytesMax,
      frameBytes: account.way.frameBytes,
      lineBytesMax: account.way.lineBytesMax,
      embeddingInputsMax: account.way.embeddingInputsMax,
      tokensLeft: this.#room(account).tokensLeft,
    };
    const seen = { lines, left, limits, takenSizes };
    const sum = lines.reduce((bytes, line) => bytes + line.bytes + 1, 0);
    if (sum > linesBytes) this.#faults.push(`${String(sum)} bytes in a batch that promises ${String(linesBytes)}`);
    if (packed.some(({ execution }) => !this.#waiting.has(execution.no))) this.#faults.push("a line is in two batches");
    this.#faults.push(...limitFaults(seen), ...fillFaults({ ...seen, lines: promised }));
    if (left.length > 0) this.#count("left behind");
  }

  #submit(account: StreamAccount, lines: readonly WaitingLine[], nowMs: number): void {
    this.#attempts += lines.length;
    for (const { execution } of lines) this.#waiting.delete(execution.no);
    const submittedAtMs = nowMs + account.uploadMs;
    const endsAtMs = submittedAtMs + this.#stream.turnaroundOf(account);
    const tokens = lines.reduce((sum, { line }) => sum + line.tokens, 0);
    this.#live.push({ account, lines, tokens, submittedAtMs, endsAtMs });
    this.#sizes.push({ account: account.name, lines: lines.length, atMs: nowMs });
    if (account.rules.markCharactersMax === null) this.#creatingUntilMs.set(account.name, submittedAtMs);
    const room = this.#room(account);
    if ((room.tokensLeft ?? 0) < 0) this.#faults.push(`${account.name} has more tokens in batches than it may`);
    if ((room.batchesLeft ?? 0) < 0) this.#faults.push(`${account.name} has more open batches than it may`);
  }

  #room(account: StreamAccount): AccountRoom {
    const live = this.#live.filter((one) => one.account === account);
    const { tokensMax, openBatchesMax } = account;
    return {
      tokensLeft: tokensMax === null ? null : tokensMax - live.reduce((sum, { tokens }) => sum + tokens, 0),
      linesLeft: null,
      batchesLeft: openBatchesMax - live.length,
      heldUntilMs: this.#creatingUntilMs.get(account.name) ?? null,
    };
  }

  #headroom(name: string): number | null {
    const { tokensLeft } = this.#room(this.#accountOf(name));
    if (tokensLeft === null) return null;
    const waiting = [...this.#waiting.values()].filter(({ line }) => line.account === name);
    return tokensLeft - waiting.reduce((sum, { line }) => sum + line.tokens, 0);
  }

  #takenSizes(account: StreamAccount, nowMs: number): ReadonlySet<number> {
    if (account.rules.markCharactersMax !== null) return new Set();
    const young = this.#sizes.filter((one) => one.account === account.name && nowMs - one.atMs <= SIZES_KEPT_MS);
    return new Set(young.map(({ lines }) => lines));
  }

  #finish(no: number, atMs: number): void {
    if (this.#finishedAtMs.has(no)) this.#faults.push(`job ${String(no)} is served twice`);
    this.#finishedAtMs.set(no, atMs);
  }

  #checkDeadlines(): void {
    const { jobs } = this.#stream;
    const met = metByOracle(jobs.map((job) => this.#oracleJob(job)));
    for (const job of jobs) {
      if (!met.has(job.no)) continue;
      this.#count("oracle met");
      if (job.mode === "batch") this.#count("oracle met by batch");
      const atMs = this.#finishedAtMs.get(job.no);
      if (atMs !== undefined && atMs <= job.deadlineMs) continue;
      const when = atMs === undefined ? "not at all" : `${String(atMs - job.deadlineMs)} ms too late`;
      this.#faults.push(`${job.mode} job ${String(job.no)} is done ${when}, the oracle had it in time`);
    }
  }

  /** What the world takes by each way, told in plain numbers. A line that no batch takes has no route by batch. */
  #oracleJob(job: StreamJob): OracleJob {
    const { turnaroundMs, lookEveryMs } = this.#stream;
    const routes = job.plan.routes.flatMap(({ account: name }, index) => {
      const account = this.#accountOf(name);
      const limits = { account: name, tokens: job.tokens, tokensMax: account.tokensMax };
      const byBatch = {
        ...limits,
        by: "batch" as const,
        latencyMs: lookEveryMs + account.uploadMs + turnaroundMs + lookEveryMs + account.storeMs,
        batchesMax: account.openBatchesMax,
      };
      const direct = { ...limits, by: "direct" as const, latencyMs: account.directMs, batchesMax: null };
      return [...(index === 0 ? [direct] : []), ...(account.hasBatches && job.fitsBatch ? [byBatch] : [])];
    });
    return { ...job, routes };
  }

  #accountOf(name: string): StreamAccount {
    const account = this.#accounts.get(name);
    if (account === undefined) throw new Error(`the world has no account ${name}`);
    return account;
  }

  #count(what: string): void {
    this.#seen[what] = (this.#seen[what] ?? 0) + 1;
  }
}

function loadOf(pool: string, waiting: readonly Pooled[]): PoolLoad {
  const sum = (of: (line: QueuedLine) => number) => waiting.reduce((all, { line }) => all + of(line), 0);
  return {
    pool,
    lines: waiting.length,
    bytes: sum(({ bytes }) => bytes + 1),
    tokens: sum(({ tokens }) => tokens),
    oldestAtMs: Math.min(...waiting.map(({ addedAtMs }) => addedAtMs)),
    nearestLookAtMs: Math.min(...waiting.map(({ line }) => line.lookAtMs)),
  };
}

/** Its lines are as long as the job says, behind an opening of their own. */
function lineAccount(account: StreamAccount): LineAccount {
  const { linesMax, bytesMax, tokensMax, openBatchesMax, flushAfterMs } = account;
  const rules: BatchRules = account.rules;
  return {
    provider: {
      rules,
      encodeLine: ({ attemptId: id, bodyText, format }) => ({
        kind: "encoded",
        bytes: Buffer.alloc(LINE_OPENING_BYTES + id.length + bodyText.length),
        lineFormat: format,
        embeddingInputs: format === "openai.embeddings" ? bodyText.length % 7 : 0,
      }),
    },
    settings: {
      way: null,
      linesMax,
      bytesMax,
      enqueuedTokensMax: tokensMax,
      openBatchesMax,
      flushAfterMs,
      createGraceMs: 0,
    },
  };
}
