import { availableParallelism } from "node:os";
import { cutDown, minimise, type Kept } from "./cut-down.js";
import { SCENARIO_KINDS, scenarioOf, type ScenarioKind } from "./scenario.js";
import { seenTooSeldom, summed } from "./seed-report.js";
import { countsOf, SEEN_AT_LEAST } from "./seen-at-least.js";
import { SeedsThread } from "./simulate-seeds.js";
import { simulate, type SimulationResult } from "./simulation.js";

export interface SimulateWish {
  /** In all; each kind has its share. */
  readonly seeds: number;
  readonly first: number;
  readonly kinds: readonly ScenarioKind[];
  /** Seeds that have not begun after so long are left out; null: none. */
  readonly minutes: number | null;
  readonly say: (line: string) => void;
}

/** What the last line of `npm run simulate` says. */
export interface SimulateReport {
  /** That were run. */
  readonly seeds: number;
  readonly first: number;
  readonly kinds: Readonly<Partial<Record<ScenarioKind, number>>>;
  readonly violations: number;
  readonly failing: readonly FailingSeed[];
  readonly seconds: number;
  readonly seedsPerMinute: number;
  readonly events: number;
  readonly simulatedHours: number;
  /** Seeds that were run twice, and those of them whose traces differ. */
  readonly tracesCompared: number;
  readonly tracesDiffer: number;
  /** Faults that were seen less often than they have to be, as `kind: name count`. */
  readonly seenTooSeldom: readonly string[];
}

export interface FailingSeed {
  readonly kind: ScenarioKind;
  readonly seed: number;
  readonly checker: string;
  readonly message: string;
}

interface Share {
  readonly kind: ScenarioKind;
  readonly seeds: readonly number[];
  /** Runs that are only compared with those that were made before. */
  readonly again: boolean;
}

/** Seeds that a thread is given at once. */
const SHARE_SIZE = 40;
/** One seed of so many is run twice. */
const AGAIN_EVERY = 50;
/** With fewer seeds of a kind chance decides what is seen. */
const JUDGED_FROM = 300;
const FAILING_SHOWN = 20;
const SAY_EVERY_MS = 5000;
const CUTS_MAX = 400;

/** Runs the seeds on all processors, and some of them again. Goes on after a violation. @throws what breaks the simulation itself. */
export async function simulateAll(wish: SimulateWish): Promise<SimulateReport> {
  const run = new SimulateRun(wish);
  return run.report(await run.all());
}

class SimulateRun {
  readonly #wish: SimulateWish;
  readonly #seedsOf: ReadonlyMap<ScenarioKind, readonly number[]>;
  readonly #traces = new Map<string, string>();
  readonly #counts = new Map<ScenarioKind, Readonly<Record<string, number>>[]>();
  readonly #failing: FailingSeed[] = [];
  readonly #ran = new Map<ScenarioKind, number>();
  #done = 0;
  #events = 0;
  #simulatedMs = 0;
  #compared = 0;
  #differ = 0;

  constructor(wish: SimulateWish) {
    this.#wish = wish;
    const { kinds, seeds, first } = wish;
    this.#seedsOf = new Map(
      kinds.map((kind, place) => {
        const own = Math.floor(seeds / kinds.length) + (place < seeds % kinds.length ? 1 : 0);
        return [kind, Array.from({ length: own }, (_unused, index) => first + index)];
      }),
    );
  }

  /** @returns how long it took, in milliseconds. */
  async all(): Promise<number> {
    const startedMs = Date.now();
    let saidMs = startedMs;
    const shares = this.#shares();
    const endMs = startedMs + (this.#wish.minutes ?? Infinity) * 60_000;
    const sayHowFar = (): void => {
      if (Date.now() - saidMs < SAY_EVERY_MS) return;
      saidMs = Date.now();
      const perMinute = Math.round((this.#done * 60_000) / (saidMs - startedMs));
      this.#wish.say(
        `${String(this.#done)} seeds, ${String(perMinute)} a minute, ${String(this.#failing.length)} violations`,
      );
    };
    const work = async (): Promise<void> => {
      const thread = new SeedsThread();
      try {
        for (let share = shares.shift(); share !== undefined; share = shares.shift()) {
          const { kind, seeds, again } = share;
          if (!again && Date.now() >= endMs) continue;
          const left = again ? seeds.filter((seed) => this.#traces.has(keyOf(kind, seed))) : seeds;
          // Serial: a thread has one run at a time.
          await thread.run(left, kind, (result) => {
            this.#take(kind, result, again);
            sayHowFar();
            return true;
          });
        }
      } finally {
        await thread.end();
      }
    };
    await Promise.all(Array.from({ length: availableParallelism() }, work));
    return Date.now() - startedMs;
  }

  /** Those that are run again come last: then what they are compared with is there. */
  #shares(): Share[] {
    const shares: Share[] = [];
    const again: Share[] = [];
    const longest = Math.max(...[...this.#seedsOf.values()].map(({ length }) => length));
    for (let from = 0; from < longest; from += SHARE_SIZE)
      for (const [kind, seeds] of this.#seedsOf)
        if (from < seeds.length) shares.push({ kind, seeds: seeds.slice(from, from + SHARE_SIZE), again: false });
    for (const [kind, seeds] of this.#seedsOf)
      again.push({ kind, seeds: seeds.filter((_seed, place) => place % AGAIN_EVERY === 0), again: true });
    return [...shares, ...again];
  }

  #take(kind: ScenarioKind, result: SimulationResult, again: boolean): void {
    const { seed, violation, traceHash, events } = result;
    const key = keyOf(kind, seed);
    const trace = `${String(events)} ${traceHash}`;
    if (again) {
      this.#compared += 1;
      if (this.#traces.get(key) !== trace) this.#differ += 1;
      return;
    }
    this.#traces.set(key, trace);
    this.#done += 1;
    this.#ran.set(kind, (this.#ran.get(kind) ?? 0) + 1);
    this.#events += events;
    this.#simulatedMs += result.simulatedMs;
    this.#counts.set(kind, [...summedWith(this.#counts.get(kind), countsOf(kind, result))]);
    if (violation === null) return;
    const { checker, message } = violation;
    this.#failing.push({ kind, seed, checker, message: message.slice(0, 500) });
    this.#wish.say(`${key}: ${checker}: ${message}\n${result.history}`);
  }

  report(ms: number): SimulateReport {
    const kinds = [...this.#ran];
    return {
      seeds: this.#done,
      first: this.#wish.first,
      kinds: Object.fromEntries(kinds),
      violations: this.#failing.length,
      failing: [...this.#failing].sort((one, other) => one.seed - other.seed).slice(0, FAILING_SHOWN),
      seconds: Math.round(ms / 100) / 10,
      seedsPerMinute: Math.round((this.#done * 60_000) / ms),
      events: this.#events,
      simulatedHours: Math.round(this.#simulatedMs / 360_000) / 10,
      tracesCompared: this.#compared,
      tracesDiffer: this.#differ,
      seenTooSeldom: kinds.flatMap(([kind, seeds]) => this.#tooSeldom(kind, seeds)),
    };
  }

  #tooSeldom(kind: ScenarioKind, seeds: number): readonly string[] {
    if (seeds < JUDGED_FROM) return [];
    const found = seenTooSeldom(summed(this.#counts.get(kind) ?? []), SEEN_AT_LEAST[kind], seeds);
    return found.map(([name]) => `${kind}: ${name} ${String(this.#sum(kind, name))}`);
  }

  #sum(kind: ScenarioKind, name: string): number {
    return summed(this.#counts.get(kind) ?? []).get(name) ?? 0;
  }
}

function keyOf(kind: ScenarioKind, seed: number): string {
  return `${kind} ${String(seed)}`;
}

/** One record in the place of many. */
function summedWith(
  before: readonly Readonly<Record<string, number>>[] | undefined,
  next: Readonly<Record<string, number>>,
): readonly Readonly<Record<string, number>>[] {
  return [Object.fromEntries(summed([...(before ?? []), next]))];
}

/** Cuts a failing seed's scenario down. @returns what to paste into test/simulation/pinned-seeds.ts, and the history of what went wrong. */
export async function pinned({ kind, seed, checker }: FailingSeed): Promise<string> {
  const run = (kept: Kept): Promise<SimulationResult> => simulate(seed, {}, kind, kept);
  const scenario = scenarioOf(seed, kind);
  const kept = await minimise(scenario, async (one) => (await run(one)).violation?.checker === checker, CUTS_MAX);
  const { violation, history } = await run(kept);
  const { publications, kills } = cutDown(scenario, kept);
  const left = `${String(publications.length)} records, ${String(kills.length)} kills`;
  const was = `${checker}: ${violation?.message.split("\n")[0] ?? ""}`;
  return `${history}\npin it in test/simulation/pinned-seeds.ts (${left} are left):\n  ${JSON.stringify({ kind, seed, kept, was })},`;
}

/** @returns the kinds that a word of the command line means; null: none. */
export function kindsOf(word: string): readonly ScenarioKind[] | null {
  if (word === "all") return SCENARIO_KINDS;
  const named: Readonly<Record<string, ScenarioKind>> = {
    direct: "direct",
    batch: "mixed",
    group: "grouped",
    storm: "stormy",
    sweep: "swept",
  };
  const kind = named[word];
  return kind === undefined ? null : [kind];
}
