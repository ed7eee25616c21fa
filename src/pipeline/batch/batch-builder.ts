import { batchId, type Batch } from "../../domain/batch/batch.js";
import type { BatchWayRules } from "../../domain/batch/batch-rules.js";
import { fairOrder } from "../../domain/batch/fair-order.js";
import { deadlineLeadMs, flushAnswer, type AccountRoom } from "../../domain/batch/flush.js";
import { sealed } from "../../domain/batch/life-create.js";
import { packBatch, packLimits, type PackLimits, type Packed } from "../../domain/batch/pack.js";
import { modelOfPool } from "../../domain/batch/queued-line.js";
import { expectedTurnaround } from "../../domain/batch/turnaround.js";
import type { LedgerKey } from "../../domain/ids.js";
import { attemptId } from "../../domain/job/ids.js";
import type { AllowanceLimits, LineBinding, OpenedBatch, PoolLoad, WaitingLine } from "../../ports/batch-ledger.js";
import { wayRules, type BatchStageParts } from "./batch-parts.js";
import type { BatchSaves } from "./batch-saves.js";
import type { LineAccount } from "./line-planner.js";
import type { PoolSizes } from "./pool-sizes.js";
import { freeSize, takenSizes } from "./taken-sizes.js";

export interface BuilderParts {
  readonly parts: BatchStageParts;
  readonly saves: BatchSaves;
  readonly sizes: PoolSizes;
  /** A batch that is worked on here must not be taken for one that a kill left. */
  readonly begin: (batchNo: number) => void;
  readonly end: (batchNo: number) => void;
  readonly stop: AbortSignal;
}

/** Batches that one pool gives in one round: others have their turn. */
const PER_ROUND_MAX = 20;
/** Lines that are looked at for one batch where the provider states no count. */
const LINES_LOOKED_AT_MAX = 100_000;

interface Pool {
  readonly load: PoolLoad;
  readonly name: string;
  readonly account: LineAccount;
  readonly way: BatchWayRules;
  readonly limits: PackLimits;
}

type Full = Extract<OpenedBatch, { readonly kind: "full" }>;

/** Makes batches of what waits in pools: asks when, chooses which lines, reserves at the account, binds, seals. One pool after the other. */
export class BatchBuilder {
  readonly #of: BuilderParts;
  /** What accounts were found to have room for; forgotten when one of their batches ends, and after a while. */
  readonly #rooms = new Map<string, { readonly room: AccountRoom; readonly untilMs: number }>();
  /** Of the last round: lines that it bound are in it still, so it is good for one. */
  #seen: readonly PoolLoad[] | null = null;

  constructor(of: BuilderParts) {
    this.#of = of;
  }

  /** A batch of the account has ended: there may be room again. */
  roomMade(account: string): void {
    this.#rooms.delete(account);
  }

  /** @returns how many batches were made. */
  async round(): Promise<number> {
    const loads = await this.#of.parts.pools.read();
    if (loads === this.#seen) return 0;
    this.#seen = loads;
    let made = 0;
    for (const load of loads) {
      const pool = this.#poolOf(load);
      // Serial: pools of one account share its allowance.
      if (pool !== null && this.#isCalled(pool.name)) made += await this.#buildFrom(pool);
      if (this.#isOver()) break;
    }
    return made;
  }

  /** A pool's name begins with its account and way; see `poolOf`. Null: no account here makes batches of it. */
  #poolOf(load: PoolLoad): Pool | null {
    const { accounts, groups } = this.#of.parts;
    for (const [name, account] of [...accounts, ...groups]) {
      const way = wayRules(account, load.pool.slice(name.length + 1).split("|")[0] ?? "");
      if (way === null || !load.pool.startsWith(`${name}|${way.way}|`)) continue;
      const { settings } = account;
      const limits = packLimits(way, settings, settings.enqueuedTokensMax, this.#of.sizes.linesMax(load.pool));
      return { load, name, account, way, limits };
    }
    return null;
  }

  async #buildFrom(pool: Pool): Promise<number> {
    let { load } = pool;
    for (let made = 0; made < PER_ROUND_MAX; made += 1) {
      if (this.#isOver() || !this.#isDue({ ...pool, load })) return made;
      // Serial: each takes what the last one left.
      const left = await this.#build(pool);
      if (left === null) return made;
      load = left;
    }
    return PER_ROUND_MAX;
  }

  /** A batch that nobody could be given would hold its lines: in the pool they may still go elsewhere. */
  #isCalled(account: string): boolean {
    const { health, clock } = this.#of.parts;
    return health.batchWaitUntilMs(account, clock.nowMs()) === null;
  }

  #isOver(): boolean {
    return this.#of.stop.aborted || !this.#of.parts.mayStart();
  }

  #isDue({ load, name, account, limits }: Pool): boolean {
    const { clock } = this.#of.parts;
    const times = { flushAfterMs: account.settings.flushAfterMs, leadMs: this.#leadMs(name, load.pool) };
    return flushAnswer(load, limits, this.#roomOf(name), times, clock.nowMs()).kind === "flush";
  }

  #leadMs(account: string, pool: string): number {
    const { turnaround, settings } = this.#of.parts;
    return deadlineLeadMs(settings.lookEveryMs, expectedTurnaround(turnaround(), account, modelOfPool(pool)).p95Ms);
  }

  #roomOf(account: string): AccountRoom {
    const known = this.#rooms.get(account);
    if (known === undefined) return NO_LIMIT;
    if (known.untilMs > this.#of.parts.clock.nowMs()) return known.room;
    this.#rooms.delete(account);
    return NO_LIMIT;
  }

  /** @returns what it left in the pool; null: none could be made. */
  async #build(pool: Pool): Promise<PoolLoad | null> {
    const { ledger, numbers, clock } = this.#of.parts;
    await numbers.reserve(1);
    const no = numbers.next();
    const idBytes = attemptId(0, no * NUMBERS_AHEAD).length;
    const limit = Math.min(pool.limits.linesMax ?? LINES_LOOKED_AT_MAX, LINES_LOOKED_AT_MAX);
    const waiting = fairOrder(await ledger.waitingLines(pool.load.pool, limit));
    const taken = await takenSizes(ledger, pool.name, pool.account.provider, clock.nowMs());
    const urgentUntilMs = clock.nowMs() + this.#leadMs(pool.name, pool.load.pool);
    const pack = (limits: PackLimits): Packed<WaitingLine> =>
      packBatch({ lines: waiting, limits, idBytes, urgentUntilMs, takenSizes: taken });
    this.#of.begin(no);
    try {
      const opened = await this.#open(pool, no, pack);
      if (opened === null || !(await this.#fill(opened.batch, opened.packed, taken))) return null;
      if (waiting.length >= limit) return await this.#readAgain(pool);
      return loadWithout(pool.load.pool, waiting, opened.packed.lines);
    } finally {
      this.#of.end(no);
    }
  }

  /** There is more than was looked at. */
  async #readAgain({ load: { pool } }: Pool): Promise<PoolLoad> {
    const loads = await this.#of.parts.ledger.pools();
    return loads.find((one) => one.pool === pool) ?? loadWithout(pool, [], []);
  }

  /** Reserves at the account, once more with less when it has less room. */
  async #open(
    pool: Pool,
    no: number,
    pack: (limits: PackLimits) => Packed<WaitingLine>,
  ): Promise<{ readonly batch: Batch; readonly packed: Packed<WaitingLine> } | null> {
    const packed = pack(pool.limits);
    const answer = await this.#reserve(pool, no, packed);
    if (answer?.kind === "opened") return { batch: answer.batch, packed };
    if (answer === null || answer.tokensLeft === null || answer.tokensLeft <= 0 || !this.#isDue(pool)) return null;
    const smaller = pack({ ...pool.limits, tokensMax: answer.tokensLeft });
    const second = await this.#reserve(pool, no, smaller);
    return second?.kind === "opened" ? { batch: second.batch, packed: smaller } : null;
  }

  /** @returns null: there is nothing to reserve for, or nobody here may. */
  async #reserve(
    pool: Pool,
    no: number,
    { lines, tokens }: Packed<WaitingLine>,
  ): Promise<Exclude<OpenedBatch, { readonly kind: "fenced" }> | null> {
    const { ledger, session, clock, fenced } = this.#of.parts;
    const [first] = lines;
    if (first === undefined) return null;
    const { account, provider, way, lineFormat, model } = first.line;
    const { rules } = pool.account.provider;
    const wanted = {
      ...{ no, account, provider, way, lineFormat, tokens },
      pool: pool.load.pool,
      model: rules.alike.model ? model : null,
      createdAtMs: clock.nowMs(),
      lines: lines.length,
    };
    this.#of.parts.reach?.("batch.before_open");
    const opened = await ledger.openBatch(session, wanted, allowanceOf(pool.account));
    if (opened.kind === "fenced") {
      fenced();
      return null;
    }
    if (opened.kind === "full") this.#noteFull(account, opened);
    return opened;
  }

  #noteFull(account: string, { limit, tokensLeft, retryAtMs }: Full): void {
    const { clock, settings, log } = this.#of.parts;
    const nowMs = clock.nowMs();
    log.debug("batch.account_full", { account, limit, tokensLeft, retryAtMs });
    // Another router's batch may end at any time, so what was found does not count for long.
    const untilMs = Math.min(retryAtMs ?? Infinity, nowMs + settings.pollMinMs);
    const hasRoom = tokensLeft !== null && tokensLeft > 0;
    const room = { tokensLeft, linesLeft: null, batchesLeft: null, heldUntilMs: hasRoom ? null : untilMs };
    this.#rooms.set(account, { room, untilMs });
  }

  /** @returns false when somebody else has the batch. */
  async #fill(opened: Batch, packed: Packed<WaitingLine>, taken: ReadonlySet<number>): Promise<boolean> {
    const { saves, parts } = this.#of;
    parts.reach?.("batch.opened");
    const bound = await this.#bind(opened, packed.lines);
    parts.reach?.("batch.bound");
    const lines = await this.#ofFreeSize(opened, bound, taken);
    const sums = {
      lines: lines.length,
      linesBytes: lines.reduce((sum, { bytes }) => sum + bytes, 0),
      tokens: lines.reduce((sum, { tokens }) => sum + tokens, 0),
    };
    const batch = await saves.save(sealed(opened, sums, parts.clock.nowMs()));
    if (batch === null) return false;
    const { account, pool } = batch;
    parts.log.info("batch.sealed", { batch: batchId(batch.no), account, pool, ...sums });
    parts.reach?.("batch.sealed");
    return true;
  }

  async #bind(batch: Batch, lines: readonly WaitingLine[]): Promise<Bound[]> {
    const { ledger, session, settings, numbers, clock } = this.#of.parts;
    const bound: Bound[] = [];
    for (let from = 0; from < lines.length; from += settings.groupSizeMax) {
      const group = lines.slice(from, from + settings.groupSizeMax);
      // Serial: numbers grow in the order of the batch.
      await numbers.reserve(group.length);
      const nowMs = clock.nowMs();
      const bindings = group.map((line) => bindingOf(line, numbers.next(), batch.no, nowMs));
      const { attempts } = await ledger.bindLines(session, batch.no, bindings, nowMs);
      const taken = new Set(attempts);
      bindings.forEach(({ execution, intent }, at) => {
        const line = group[at]?.line;
        if (line === undefined || !taken.has(intent.no)) return;
        const bytes = line.bytes + attemptId(execution.day, intent.no).length + 1;
        bound.push({ key: { day: execution.day, no: intent.no }, bytes, tokens: line.tokens });
      });
    }
    return bound;
  }

  /** Some lines were taken meanwhile, and what is left may have a size that another batch has. */
  async #ofFreeSize(batch: Batch, bound: readonly Bound[], taken: ReadonlySet<number>): Promise<readonly Bound[]> {
    const { ledger, session, clock } = this.#of.parts;
    const size = freeSize(bound.length, taken);
    const over = bound.slice(size).map(({ key }) => key);
    if (over.length > 0) await ledger.returnLines(session, batch.no, over, over.length, clock.nowMs());
    return bound.slice(0, size);
  }
}

/** A line that is bound, as far as its batch is the sum of them. */
interface Bound {
  readonly key: LedgerKey;
  readonly bytes: number;
  readonly tokens: number;
}

const NO_LIMIT: AccountRoom = { tokensLeft: null, linesLeft: null, batchesLeft: null, heldUntilMs: null };
/** Numbers of the coming attempts are below so many times that of their batch: a digit more at most. */
const NUMBERS_AHEAD = 32;

/** The load of these lines without those that were taken. */
function loadWithout(pool: string, waiting: readonly WaitingLine[], taken: readonly WaitingLine[]): PoolLoad {
  const gone = new Set(taken);
  let [lines, bytes, tokens, oldestAtMs, nearestLookAtMs] = [0, 0, 0, Infinity, Infinity];
  for (const one of waiting) {
    if (gone.has(one)) continue;
    lines += 1;
    bytes += one.line.bytes + 1;
    tokens += one.line.tokens;
    oldestAtMs = Math.min(oldestAtMs, one.addedAtMs);
    nearestLookAtMs = Math.min(nearestLookAtMs, one.line.lookAtMs);
  }
  return { pool, lines, bytes, tokens, oldestAtMs, nearestLookAtMs };
}

function allowanceOf({ provider: { rules }, settings }: LineAccount): AllowanceLimits {
  return {
    tokensMax: settings.enqueuedTokensMax,
    linesMax: null,
    openBatchesMax: Math.min(settings.openBatchesMax, rules.openBatchesMax ?? settings.openBatchesMax),
    oneAtATime: rules.markCharactersMax === null,
  };
}

function bindingOf(
  { execution, line, attempts }: WaitingLine,
  no: number,
  batchNo: number,
  startedAtMs: number,
): LineBinding {
  const { account, provider, model, routeIndex, maxNanoUsd } = line;
  const number = attempts + 1;
  return {
    execution,
    intent: { no, number, account, provider, model, routeIndex, maxNanoUsd, startedAtMs, batchNo },
  };
}
