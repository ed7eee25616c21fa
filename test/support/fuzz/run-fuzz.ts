import fc from "fast-check";
import { BATCH_RESULTS, PROVIDER_ANSWERS } from "./answer-targets.js";
import { CONFIGS } from "./config-target.js";
import { mustHold, type FuzzTarget } from "./fuzz-target.js";
import { AVRO_RECORDS, JSON_RECORDS } from "./record-targets.js";

/** What one target came to. */
export interface TargetReport {
  readonly name: string;
  readonly inputs: number;
  /** How often each word came, so that nobody takes a run for one that went only one way. */
  readonly outcomes: Readonly<Record<string, number>>;
  readonly slowestMs: number;
  readonly failures: readonly FuzzFailure[];
}

export interface FuzzFailure {
  readonly message: string;
  /** The smallest input that was found, as fast-check writes it. */
  readonly input: string;
  /** For `fc.assert` of the target alone. */
  readonly seed: number;
  readonly path: string | null;
}

export interface FuzzReport {
  readonly inputs: number;
  readonly seed: number;
  readonly failures: number;
  readonly targets: readonly TargetReport[];
  /** Resident memory after the first tenth of the run, when everything has been loaded and compiled, and at its end, bytes. */
  readonly rssBeforeBytes: number;
  readonly rssAfterBytes: number;
  /** The same of JavaScript's heap, after a collection where the process allows one. */
  readonly heapBeforeBytes: number;
  readonly heapAfterBytes: number;
}

interface Share {
  /** Of a hundred inputs. A config takes a hundred times as long as a record. */
  readonly percent: number;
  readonly start: (wanted: number) => Run;
}

/** A target on its way. */
interface Run {
  readonly wanted: number;
  readonly isDone: boolean;
  /** @returns how many inputs were read. */
  readonly next: (seed: number) => Promise<number>;
  readonly report: () => TargetReport;
}

function share<Input>(target: FuzzTarget<Input>, percent: number): Share {
  return { percent, start: (wanted) => new TargetRun(target, wanted) };
}

const SHARES: readonly Share[] = [
  share(JSON_RECORDS, 34),
  share(AVRO_RECORDS, 20),
  share(BATCH_RESULTS, 20),
  share(PROVIDER_ANSWERS, 24),
  share(CONFIGS, 2),
];

/** One property after the other is run with so many inputs: what is between them is measured. */
const INPUTS_AT_ONCE = 1_000;
/** No input takes longer, by the processor's time: it is there to find what never ends, or grows with the square of a length. */
const INPUT_MS_MAX = 5_000;

/**
 * Reads random and broken inputs of every kind that comes from outside. The same seed and number give the same inputs. Failures are
 * collected, each with its smallest input; nothing is thrown for them.
 */
export async function runFuzz(options: {
  readonly inputs: number;
  readonly seed: number;
  readonly onProgress?: (inputs: number) => void;
}): Promise<FuzzReport> {
  const runs = SHARES.map(({ percent, start }) => start(Math.ceil((options.inputs * percent) / 100)));
  const total = runs.reduce((sum, { wanted }) => sum + wanted, 0);
  let done = 0;
  let before: NodeJS.MemoryUsage | null = null;
  for (let round = 0; runs.some((run) => !run.isDone); round += 1) {
    for (const run of runs) done += await run.next(options.seed + round); // one after the other: memory is measured between
    if (done >= total / 10) before ??= memoryNow();
    options.onProgress?.(done);
  }
  const after = memoryNow();
  const targets = runs.map((run) => run.report());
  return {
    inputs: done,
    seed: options.seed,
    failures: targets.reduce((sum, { failures }) => sum + failures.length, 0),
    targets,
    rssBeforeBytes: (before ?? after).rss,
    rssAfterBytes: after.rss,
    heapBeforeBytes: (before ?? after).heapUsed,
    heapAfterBytes: after.heapUsed,
  };
}

function memoryNow(): NodeJS.MemoryUsage {
  (globalThis as { gc?: () => void }).gc?.(); // only there with --expose-gc
  return process.memoryUsage();
}

/** So many different failures of a target are enough to look at. */
const FAILURES_MAX = 10;

class TargetRun<Input> implements Run {
  readonly wanted: number;
  readonly #target: FuzzTarget<Input>;
  readonly #outcomes = new Map<string, number>();
  readonly #failures = new Map<string, FuzzFailure>();
  #inputs = 0;
  #slowestMs = 0;

  constructor(target: FuzzTarget<Input>, wanted: number) {
    this.#target = target;
    this.wanted = wanted;
  }

  get isDone(): boolean {
    return this.#inputs >= this.wanted;
  }

  /** @returns how many inputs were read. */
  async next(seed: number): Promise<number> {
    const numRuns = Math.min(INPUTS_AT_ONCE, this.wanted - this.#inputs);
    if (numRuns <= 0) return 0;
    const property = fc.asyncProperty(this.#target.inputs, (input) => this.#read(input));
    const { failed, errorInstance, counterexample, counterexamplePath } = await fc.check(property, { numRuns, seed });
    this.#inputs += numRuns;
    if (failed) this.#keep(seed, errorInstance, counterexample, counterexamplePath);
    return numRuns;
  }

  async #read(input: Input): Promise<void> {
    const began = process.cpuUsage();
    const outcome = await this.#target.read(input);
    const { user, system } = process.cpuUsage(began);
    const ms = (user + system) / 1000;
    if (ms > this.#slowestMs) this.#slowestMs = ms;
    this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1);
    mustHold(ms <= INPUT_MS_MAX, `${String(Math.round(ms))} ms for one input`);
    mustHold(isUnpolluted(), "a prototype that everybody shares was changed");
  }

  #keep(seed: number, error: unknown, counterexample: unknown, path: string | null): void {
    const message =
      error instanceof Error ? (error.stack ?? error.message).split("\n").slice(0, 4).join(" ") : String(error);
    if (this.#failures.size < FAILURES_MAX && !this.#failures.has(message))
      this.#failures.set(message, { message, input: fc.stringify(counterexample).slice(0, 4_000), seed, path });
  }

  report(): TargetReport {
    return {
      name: this.#target.name,
      inputs: this.#inputs,
      outcomes: Object.fromEntries([...this.#outcomes].sort(([a], [b]) => (a < b ? -1 : 1))),
      slowestMs: Math.round(this.#slowestMs),
      failures: [...this.#failures.values()],
    };
  }
}

const PROTOTYPES = [Object.prototype, Array.prototype, Function.prototype, String.prototype, Map.prototype];
const OWN = PROTOTYPES.map((prototype) => Reflect.ownKeys(prototype).length);

function isUnpolluted(): boolean {
  return PROTOTYPES.every((prototype, index) => Reflect.ownKeys(prototype).length === OWN[index]);
}
