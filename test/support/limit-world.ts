import { bucketRules, LimitBucket } from "../../src/domain/limit/bucket.js";
import { sessionNo } from "../../src/domain/ids.js";
import { lease, type KeptLimit, type Lease } from "../../src/domain/limit/lease.js";
import type { AccountLimits } from "../../src/domain/limit/limits.js";
import { readRequestFacts, type RequestFacts } from "../../src/domain/route/request-facts.js";
import type { Route } from "../../src/domain/route/route.js";
import { CallGate } from "../../src/pipeline/dispatch/call-gate.js";
import { RateLimits } from "../../src/pipeline/dispatch/rate-limits.js";
import { Slots } from "../../src/pipeline/dispatch/slots.js";
import type { LimitStore, StoreAsk } from "../../src/ports/limit-store.js";
import { counts, fullestMinute, sumBetween, type SeenCall, type SeenKind, type SeenLimit } from "./limit-oracle.js";
import { ACCOUNT, PHASES_MS, randomScene, type Phase, type Scene, type SceneKind } from "./limit-scene.js";
import { SeededRandom } from "./simulation/seeded-random.js";
import { settled } from "./simulation/settled.js";
import { logInto, metricsInto, workOf } from "./work.js";

/**
 * Routers with their rate limits on a simulated clock: calls come in, pass the gate or wait as rows, and reach a provider that counts. The
 * limits are the product's; Redis is the domain's model of the script, which test/contract/redis-limits.test.ts holds against the real one.
 *
 * One world is kept out: a router that alone loses Redis takes its share on top of what the others share there, so all lose it together.
 */

/** The parts in whose place a planted mistake can be put. */
export interface LimitParts {
  readonly bucket: typeof LimitBucket;
  readonly lease: typeof lease;
  /** What a router sees of the common store. */
  readonly seen: (store: LimitStore) => LimitStore;
  /** What the ledger says of the routers that live. */
  readonly routers: (routers: number) => number;
  /** Whether a router hears of the provider's refusals. */
  readonly hears: boolean;
  /** What a router takes a call for, by what it is. */
  readonly takenFor: (call: TakenFor) => TakenFor;
}

export interface TakenFor extends Pick<SeenKind, "endpoint" | "tier"> {
  /** That it counts. */
  readonly tokens: number;
}

export const OUR_PARTS: LimitParts = {
  bucket: LimitBucket,
  lease,
  seen: (store) => store,
  routers: (routers) => routers,
  hears: true,
  takenFor: (call) => call,
};

export interface LimitRun {
  readonly seed: number;
  readonly kind: SceneKind;
  readonly faults: readonly string[];
  /** How often what happened, so that a test can see that its worlds hold what it is about. */
  readonly seen: Readonly<Record<string, number>>;
}

export async function runLimitWorld(seed: number, mistake: Partial<LimitParts> = {}): Promise<LimitRun> {
  return new LimitWorld(seed, { ...OUR_PARTS, ...mistake }).run();
}

/** A call that came in, until its bytes leave. */
interface Job extends SeenKind {
  readonly tokens: number;
  readonly cameAtMs: number;
}

const BODY = '{"model":"m","messages":[]}';
const FACTS = readRequestFacts("openai.chat", BODY, BODY.length, null);
const { route: ROUTE, intent: CALL } = workOf(1, 0);
const BYTES_A_TOKEN = 3;
const ANSWER_TOKENS = 10;
/** Rows are looked at so often when nothing wakes a router. */
const IDLE_MS = 250;
/** What a claim takes. */
const CLAIM_MS = 5;
const CONCURRENCY = 200;
/** A row whose call could not be stored is there again within this. */
const COMES_BACK_MS = 1500;
/** After the last call came in, rows get the time that the limits need for them, and so much more. */
const DRAIN_EXTRA_MS = 30_000;

/** A call that counts so many tokens, prompt and answer; embeddings have none. */
function factsOf(endpoint: SeenKind["endpoint"], tokens: number): RequestFacts {
  if (endpoint === "embeddings") return { ...FACTS, format: "openai.embeddings", bodyBytes: tokens * BYTES_A_TOKEN };
  return { ...FACTS, bodyBytes: (tokens - ANSWER_TOKENS) * BYTES_A_TOKEN, requestedMaxOutputTokens: ANSWER_TOKENS };
}

class LimitWorld {
  readonly #seed: number;
  readonly #parts: LimitParts;
  readonly #random: SeededRandom;
  readonly #scene: Scene;
  readonly #time = new SimulatedTime();
  readonly #calls: SeenCall[] = [];
  readonly #refusedAtMs: number[] = [];
  readonly #faults: string[] = [];
  readonly #seen: Record<string, number> = {};
  /** The ledger's rows, by the limit that they wait for. */
  readonly #rows = new Map<string, Job[]>();
  readonly #routers: SimulatedRouter[] = [];
  readonly #redis: ModelRedis;

  constructor(seed: number, parts: LimitParts) {
    this.#seed = seed;
    this.#parts = parts;
    this.#random = new SeededRandom(seed * 7919);
    this.#scene = randomScene(seed);
    this.#redis = new ModelRedis(this.#time, parts, this.#random, this.#scene.serverClockMs);
  }

  async run(): Promise<LimitRun> {
    const { kind, routers, phases } = this.#scene;
    for (let no = 0; no < routers; no += 1) this.#routers.push(this.#router(no));
    this.#trouble();
    for (const phase of phases) this.#arrivals(phase);
    for (const router of this.#routers) router.start();
    await this.#time.runUntil(PHASES_MS);
    this.#count("rows left at the end of demand", this.#waiting());
    const neededMs = this.#neededMs();
    await this.#drain(PHASES_MS + neededMs);
    if (this.#waiting() > 0)
      this.#faults.push(`${String(this.#waiting())} calls still wait ${String(neededMs)} ms after the last came in`);
    for (const router of this.#routers) router.stop();
    await this.#time.runUntil(this.#time.nowMs + 1000);
    this.#judge();
    return { seed: this.#seed, kind, faults: this.#faults, seen: this.#seen };
  }

  #router(no: number): SimulatedRouter {
    const { accounts, shared, clocks, routers, kind } = this.#scene;
    return new SimulatedRouter({
      no,
      accounts,
      shared: shared ? this.#parts.seen(this.#redis) : null,
      ledger: {
        liveRouters: () => Promise.resolve(this.#parts.routers(routers)),
        dayUse: () => Promise.resolve([]),
        limitQueues: () =>
          Promise.resolve(
            [...this.#rows].flatMap(([limit, rows]) => (rows.length === 0 ? [] : [{ limit, rows: rows.length }])),
          ),
      },
      time: this.#time,
      random: this.#random,
      clock: clocks[no] ?? { wallMs: 0, monotonicMs: 0 },
      takenFor: this.#parts.takenFor,
      // What comes back after a second is lost, and would be missed where use is judged.
      unstored: kind === "steady" ? 0 : 0.02,
      rowsOf: (limit) => this.#rowsOf(limit),
      sent: (router, job) => {
        this.#sent(router, job);
      },
      faulty: (fault) => this.#faults.push(fault),
      count: (what) => {
        this.#count(what);
      },
    });
  }

  #rowsOf(limit: string): Job[] {
    const rows = this.#rows.get(limit) ?? [];
    this.#rows.set(limit, rows);
    return rows;
  }

  #waiting(): number {
    return [...this.#rows.values()].reduce((sum, rows) => sum + rows.length, 0);
  }

  /** What the limits need for the rows that wait, and as long again: while a large call waits for room, what is left of it is of no use. */
  #neededMs(): number {
    const jobs = [...this.#rows.values()].flat();
    const { share } = this.#scene;
    const each = this.#scene.limits.map((limit) => {
      const own = jobs.filter((job) => counts(limit, job));
      const amount = limit.unit === "requests" ? own.length : own.reduce((sum, { tokens }) => sum + tokens, 0);
      return (amount / (limit.limit * share)) * 60_000;
    });
    return Math.ceil(2 * Math.max(0, ...each)) + DRAIN_EXTRA_MS;
  }

  /** Until the time is over, or no row has waited for longer than any comes back: nothing happens any more then. */
  async #drain(untilMs: number): Promise<void> {
    let waitedAtMs = this.#time.nowMs;
    while (this.#time.nowMs < untilMs && this.#time.nowMs - waitedAtMs <= COMES_BACK_MS) {
      await this.#time.runUntil(Math.min(untilMs, this.#time.nowMs + IDLE_MS));
      if (this.#waiting() > 0) waitedAtMs = this.#time.nowMs;
    }
  }

  #trouble(): void {
    for (const { atMs, what } of this.#scene.trouble)
      this.#time.at(atMs, () => {
        this.#count(what);
        if (what === "flush") this.#redis.flush();
        if (what === "lost") this.#redis.isLost = true;
        if (what === "back") this.#redis.isLost = false;
        if (what === "clock set back") this.#redis.setBack(1500);
        if (what === "provider says less")
          for (const { limits } of this.#routers)
            limits.learn(ACCOUNT, "m", [{ unit: "requests", window: "minute", limit: this.#scene.learned }]);
      });
  }

  #arrivals({ fromMs, toMs, of, perSecond, tokens, routers }: Phase): void {
    if (perSecond === 0) return;
    const next = (atMs: number): void => {
      const comesMs = atMs - (Math.log(1 - this.#random.next()) * 1000) / perSecond;
      if (comesMs >= toMs) return;
      this.#time.at(comesMs, () => {
        const least = ANSWER_TOKENS + 1;
        const job = { ...of, tokens: Math.max(least, this.#random.between(tokens[0], tokens[1])), cameAtMs: comesMs };
        this.#routers[this.#random.pick(routers)]?.came(job);
        next(comesMs);
      });
    };
    next(fromMs);
  }

  get #largest(): number {
    return Math.max(...this.#scene.phases.map(({ tokens }) => tokens[1]));
  }

  #sent({ limits }: SimulatedRouter, { model, endpoint, tier, tokens }: Job): void {
    const { nowMs } = this.#time;
    this.#calls.push({ atMs: nowMs, model, endpoint, tier, tokens });
    this.#count(endpoint);
    this.#count(tier);
    const [from, to] = this.#scene.refusing ?? [Infinity, 0];
    if (nowMs < from || nowMs >= to) return;
    this.#refusedAtMs.push(nowMs);
    this.#count("refused");
    if (this.#parts.hears) limits.refused({ account: ACCOUNT, model });
  }

  #judge(): void {
    const { limits, share, kind } = this.#scene;
    for (const limit of limits) {
      const { sum, fromMs } = fullestMinute(limit, this.#calls, 10_000);
      if (sum > limit.limit) this.#faults.push(`${limit.name}: ${String(sum)} in the minute from ${String(fromMs)}`);
    }
    this.#count("calls", this.#calls.length);
    if (kind === "steady") this.#judgeUse(share);
    if (kind === "refused") this.#judgeRefusals();
    if (kind === "learned") this.#judgeLearned();
  }

  /** With double demand for everything, the calls of each kind are held by a limit that is used up. */
  #judgeUse(share: number): void {
    const { limits } = this.#scene;
    // A whole window of it: what came out of it at first is of the time before.
    const [fromMs, toMs] = [PHASES_MS - 60_000, PHASES_MS];
    for (const kind of this.#scene.kinds) {
      const uses = limits
        .filter((limit) => counts(limit, kind))
        .map((limit) => {
          const might = (limit.limit * share * (toMs - fromMs)) / 60_000;
          // Of both ends a call may be on the other side.
          const ends = 2 * (limit.unit === "requests" ? 1 : this.#largest);
          const slack = (limit.unit === "requests" ? 0.02 : 0.05) + ends / might;
          return { limit, part: sumBetween(limit, this.#calls, fromMs, toMs) / might, slack };
        });
      if (uses.some(({ part, slack }) => part >= 1 - slack)) continue;
      const words = uses.map(({ limit, part }) => `${limit.name} ${part.toFixed(3)}`).join(", ");
      this.#faults.push(
        `with double demand ${Object.values(kind).join(" ")} is not held by a limit that is used up: ${words}`,
      );
    }
  }

  /** Refused once: half, then a hundredth of the limit more a second. */
  #judgeRefusals(): void {
    const { limits } = this.#scene;
    const [limit] = limits;
    const [firstMs] = this.#refusedAtMs;
    const lastMs = this.#refusedAtMs.at(-1);
    if (limit === undefined || firstMs === undefined || lastMs === undefined) return;
    this.#count("refusals judged");
    const perSecond = limit.limit / 60;
    const after = sumBetween(limit, this.#calls, lastMs + 1000, lastMs + 11_000) / (10 * perSecond);
    if (after > 0.75) this.#faults.push(`${after.toFixed(2)} of ${limit.name} in the ten seconds after a refusal`);
    const later = sumBetween(limit, this.#calls, lastMs + 62_000, lastMs + 82_000) / (20 * perSecond);
    if (later < 0.85) this.#faults.push(`${later.toFixed(2)} of ${limit.name} a minute after a refusal`);
  }

  #judgeLearned(): void {
    const { limits, learned, trouble } = this.#scene;
    const [first] = limits;
    const saidAtMs = trouble[0]?.atMs ?? Infinity;
    if (first === undefined) return;
    const limit: SeenLimit = { ...first, limit: learned };
    const { sum, fromMs } = fullestMinute(limit, this.#calls, saidAtMs + 1000);
    if (sum > learned) this.#faults.push(`${String(sum)} in the minute from ${String(fromMs)}, the provider said less`);
  }

  #count(what: string, by = 1): void {
    this.#seen[what] = (this.#seen[what] ?? 0) + by;
  }
}

interface RouterParts {
  readonly no: number;
  readonly accounts: AccountLimits;
  readonly shared: LimitStore | null;
  readonly ledger: ConstructorParameters<typeof RateLimits>[0]["ledger"];
  readonly time: SimulatedTime;
  readonly random: SeededRandom;
  readonly clock: { readonly wallMs: number; readonly monotonicMs: number };
  readonly takenFor: LimitParts["takenFor"];
  /** Share of the calls whose intent can't be stored. */
  readonly unstored: number;
  readonly rowsOf: (limit: string) => Job[];
  readonly sent: (router: SimulatedRouter, job: Job) => void;
  readonly faulty: (fault: string) => void;
  readonly count: (what: string) => void;
}

/** What intake and dispatch do with the gate, without a ledger. */
class SimulatedRouter {
  readonly limits: RateLimits;
  readonly #parts: RouterParts;
  readonly #slots: Slots;
  readonly #gate: CallGate;
  #wake: () => void = () => undefined;
  #stopped = false;

  constructor(parts: RouterParts) {
    this.#parts = parts;
    const { time, clock } = parts;
    this.#slots = new Slots(new Map([[ACCOUNT, CONCURRENCY]]), () => time.nowMs + clock.monotonicMs);
    this.limits = new RateLimits({
      accounts: new Map([[ACCOUNT, parts.accounts]]),
      session: sessionNo(parts.no + 1),
      shared: parts.shared,
      ledger: parts.ledger,
      slots: this.#slots,
      granted: () => {
        this.#wake();
      },
      clock: {
        nowMs: () => time.nowMs + clock.wallMs,
        monotonicMs: () => time.nowMs + clock.monotonicMs,
        sleep: (ms, signal) => time.sleep(ms, signal),
      },
      log: logInto([]),
      metrics: metricsInto(new Map()),
    });
    this.#gate = new CallGate(this.#slots, undefined, this.limits);
  }

  start(): void {
    void this.limits.run();
    void this.#dispatch();
  }

  stop(): void {
    this.#stopped = true;
    this.limits.stop();
    this.#wake();
  }

  /** A call behind the rows that wait already. */
  came(job: Job): void {
    const limit = this.#try(job, true);
    if (limit === null) return;
    this.#parts.rowsOf(limit).push(job);
    this.#gate.queued(limit, 1);
  }

  /** @returns the name that its row waits by; null: it goes, or never will. */
  #try(job: Job, behind: boolean): string | null {
    const { takenFor, faulty, count, rowsOf, random, time } = this.#parts;
    const route: Route = { ...ROUTE, account: ACCOUNT, model: job.model };
    const nowMs = time.nowMs + this.#parts.clock.wallMs;
    const { endpoint, tier, tokens } = takenFor(job);
    const wish = { route, facts: factsOf(endpoint, tokens), tier, behind };
    const admission = this.#gate.take({ ...wish, nowMs });
    if (admission.kind === "never") {
      count("never fits");
      if (!this.#neverFits(job)) faulty(`a call of ${String(job.tokens)} tokens never fits: ${admission.because}`);
      return null;
    }
    if (this.#neverFits(job)) faulty(`a call of ${String(job.tokens)} tokens is taken for one that fits some day`);
    if (admission.kind === "wait") return admission.limit ?? ACCOUNT;
    const intent = { ...CALL, account: ACCOUNT, model: job.model };
    if (random.chance(this.#parts.unstored)) {
      // Its intent could not be stored.
      time.at(time.nowMs + random.between(0, COMES_BACK_MS), () => {
        count("given back");
        this.#gate.giveBack(intent, admission.pass);
        const limit = this.#gate.limitOf(wish) ?? ACCOUNT;
        rowsOf(limit).unshift(job);
        this.#gate.queued(limit, 1);
      });
      return null;
    }
    const sentMs = time.nowMs + random.between(0, 120);
    time.at(sentMs, () => {
      this.#parts.sent(this, job);
    });
    time.at(sentMs + random.between(50, 800), () => {
      this.#slots.release(ACCOUNT, true);
    });
    return null;
  }

  #neverFits({ model, endpoint, tier, tokens }: Job): boolean {
    const { accounts } = this.#parts;
    const own = [accounts.models[model], accounts.endpoints?.[endpoint], accounts.tiers?.[tier]];
    return [accounts, ...own].some(
      (one) =>
        one !== undefined && (tokens > (one.tokensPerMinute ?? Infinity) || tokens > (one.tokensPerDay ?? Infinity)),
    );
  }

  async #dispatch(): Promise<void> {
    const { time } = this.#parts;
    while (!this.#stopped) {
      const room = this.#gate.room();
      this.#take(room);
      const woken = new AbortController();
      this.#wake = () => {
        woken.abort("woken"); // without a reason it would make an exception, whose trace costs more than the rest
      };
      await time.sleep(room.size > 0 ? CLAIM_MS : IDLE_MS, woken.signal);
    }
  }

  #take(room: ReadonlyMap<string, number>): void {
    const taken = new Map<string, { rows: number; more: boolean }>();
    const back = new Map<string, Job[]>();
    for (const [limit, most] of room) {
      const rows = this.#parts.rowsOf(limit).splice(0, most);
      taken.set(limit, { rows: rows.length, more: rows.length === most });
      back.set(
        limit,
        rows.filter((job) => this.#try(job, false) !== null),
      );
    }
    if (room.size > 0) this.#gate.taken(room, taken);
    for (const [limit, rows] of back) {
      this.#parts.rowsOf(limit).unshift(...rows);
      this.#gate.queued(limit, rows.length);
    }
  }
}

/** Redis as its script would have it, with a clock of its own, an answer that takes a while, and days on which it is away. */
class ModelRedis implements LimitStore {
  isLost = false;
  readonly #time: SimulatedTime;
  readonly #parts: Pick<LimitParts, "bucket" | "lease">;
  readonly #random: SeededRandom;
  #clockMs: number;
  readonly #buckets = new Map<string, LimitBucket>();

  constructor(time: SimulatedTime, parts: Pick<LimitParts, "bucket" | "lease">, random: SeededRandom, clockMs: number) {
    this.#time = time;
    this.#parts = parts;
    this.#random = random;
    this.#clockMs = clockMs;
  }

  async lease(ask: StoreAsk): Promise<Lease> {
    await this.#time.sleep(this.#random.between(0, 3));
    this.#reached();
    const nowMs = Math.floor(this.#time.nowMs + this.#clockMs);
    const kept = ask.scope.rules.map((rule): KeptLimit => {
      const known = this.#buckets.get(rule.key);
      const isNew = known === undefined || ask.anew;
      const bucket = isNew ? new this.#parts.bucket(bucketRules(rule), rule.limit * ask.share, nowMs) : known;
      const note = ask.notes.get(rule.key);
      bucket.learn(rule.limit * ask.share, note?.learned ?? known?.learned ?? null);
      if (note?.tighten === true) bucket.tighten(nowMs);
      this.#buckets.set(rule.key, bucket);
      return { rule, bucket };
    });
    const found = this.#parts.lease(kept, ask, nowMs);
    await this.#time.sleep(this.#random.between(0, 3));
    this.#reached();
    return found;
  }

  flush(): void {
    this.#buckets.clear();
  }

  setBack(ms: number): void {
    this.#clockMs -= ms;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #reached(): void {
    if (this.isLost) throw new Error("away");
  }
}

/** Events in the order of their times; each is followed by all that promises make of it. */
class SimulatedTime {
  nowMs = 0;
  #no = 0;
  /** A heap by time, then by number. */
  readonly #events: { readonly atMs: number; readonly no: number; readonly run: () => void }[] = [];

  at(atMs: number, run: () => void): void {
    const events = this.#events;
    const event = { atMs: Math.max(atMs, this.nowMs), no: (this.#no += 1), run };
    let place = events.push(event) - 1;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const other = events[above];
      if (other === undefined || !isBefore(event, other)) break;
      events[place] = other;
      place = above;
    }
    events[place] = event;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted === true) {
        resolve();
        return;
      }
      signal?.addEventListener(
        "abort",
        () => {
          resolve();
        },
        { once: true },
      );
      this.at(this.nowMs + ms, resolve);
    });
  }

  async runUntil(untilMs: number): Promise<void> {
    let turn = 0;
    for (let first = this.#events[0]; first !== undefined && first.atMs <= untilMs; first = this.#events[0]) {
      this.#pop();
      this.nowMs = first.atMs;
      first.run();
      await settled((turn += 1));
    }
    this.nowMs = untilMs;
  }

  #pop(): void {
    const events = this.#events;
    const last = events.pop();
    if (last === undefined || events.length === 0) return;
    let place = 0;
    for (;;) {
      let below = 2 * place + 1;
      const [left, right] = [events[below], events[below + 1]];
      if (left === undefined) break;
      if (right !== undefined && isBefore(right, left)) below += 1;
      const least = events[below];
      if (least === undefined || !isBefore(least, last)) break;
      events[place] = least;
      place = below;
    }
    events[place] = last;
  }
}

interface Timed {
  readonly atMs: number;
  readonly no: number;
}

function isBefore(one: Timed, other: Timed): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.no < other.no);
}
