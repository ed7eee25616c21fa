import type { Clock } from "../../../src/ports/system.js";
import { EventTrace } from "./event-trace.js";
import { SeededRandom } from "./seeded-random.js";
import { settled } from "./settled.js";

/**
 * The simulated world: time, order and chance from one seed. Whatever waits (a sleep, a statement, a call) is an event with a time; the
 * loop runs one event, lets everything that follows from it come to rest, and takes the next. Events of the same millisecond come in an
 * order that the seed decides.
 */

/** One router process. Its events are dropped once it is dead, and wait while it is stopped. */
export class Life {
  readonly name: string;
  dead = false;
  stoppedUntilMs = 0;
  /** How far its wall clock is off; its monotonic one never is. */
  wallOffMs = 0;

  constructor(name: string) {
    this.name = name;
  }
}

interface WorldEvent {
  atMs: number;
  readonly order: number;
  readonly label: string;
  readonly life: Life | null;
  readonly run: () => void;
}

export class World {
  readonly seed: number;
  readonly random: SeededRandom;
  nowMs: number;
  events = 0;
  /** Asked before each event of a router; true: that router is killed there instead. */
  interrupt: (life: Life, label: string) => boolean = () => false;
  readonly #queue: WorldEvent[] = [];
  /** Of routers that are stopped. */
  #parked: WorldEvent[] = [];
  readonly #trace = new EventTrace();

  constructor(seed: number, startMs: number) {
    this.seed = seed;
    this.random = new SeededRandom(seed);
    this.nowMs = startMs;
  }

  at(delayMs: number, label: string, life: Life | null, run: () => void): void {
    this.#push({ atMs: this.nowMs + Math.max(0, delayMs), order: this.random.next(), label, life, run });
  }

  /** Resolves after a delay, unless the router dies before. */
  wait(life: Life | null, label: string, delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.at(delayMs, label, life, resolve);
    });
  }

  /** A short, random delay: the place where a crash or another router may come in between. */
  step(life: Life | null, label: string): Promise<void> {
    return this.wait(life, label, this.random.chance(0.03) ? this.random.between(1, 200) : this.random.next() * 3);
  }

  /** What is due meanwhile waits until it wakes. @param woke at the end of this time, unless something woke it before. */
  stop(life: Life, forMs: number, woke: () => void): void {
    const untilMs = this.nowMs + forMs;
    life.stoppedUntilMs = untilMs;
    this.at(forMs, "thaw", null, () => {
      if (life.stoppedUntilMs !== untilMs) return; // woken, or stopped again meanwhile
      this.wake(life);
      woke();
    });
  }

  wake(life: Life): void {
    life.stoppedUntilMs = this.nowMs;
    const due = this.#parked.filter((event) => event.life === life);
    this.#parked = this.#parked.filter((event) => event.life !== life);
    for (const event of due) this.#push({ ...event, atMs: this.nowMs });
  }

  clock(life: Life): Clock {
    return {
      nowMs: () => Math.floor(this.nowMs + life.wallOffMs),
      monotonicMs: () => Math.floor(this.nowMs),
      sleep: (ms, signal) => this.#sleep(life, ms, signal),
    };
  }

  #sleep(life: Life, ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        signal?.removeEventListener("abort", done);
        resolve();
      };
      signal?.addEventListener("abort", done, { once: true });
      this.at(ms, "sleep", life, done);
    });
  }

  /** Adds a line to the event trace. */
  note(line: string): void {
    this.#trace.add(this.nowMs, "", line);
  }

  traceHash(): string {
    return this.#trace.hash();
  }

  /** Runs until `over` says so or nothing is left, at most to `endMs`. @returns whether `over` said so. */
  async run(over: () => boolean, endMs: number): Promise<boolean> {
    for (let turn = 1; ; turn += 1) {
      await settled(turn);
      if (over()) return true;
      const event = this.#pop();
      if (event === null || event.atMs > endMs) return false;
      this.nowMs = Math.max(this.nowMs, event.atMs);
      const { life } = event;
      if (life !== null) {
        if (life.dead) continue;
        if (life.stoppedUntilMs > this.nowMs) {
          this.#parked.push(event);
          continue;
        }
        if (this.interrupt(life, event.label)) continue;
      }
      this.events += 1;
      this.#trace.add(this.nowMs, life?.name ?? "-", event.label);
      event.run();
    }
  }

  #push(event: WorldEvent): void {
    const queue = this.#queue;
    let at = queue.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(queue[at]!, queue[parent]!)) break;
      [queue[at], queue[parent]] = [queue[parent]!, queue[at]!];
      at = parent;
    }
  }

  #pop(): WorldEvent | null {
    const queue = this.#queue;
    const first = queue[0];
    const last = queue.pop();
    if (first === undefined || last === undefined) return null;
    if (queue.length === 0) return first;
    queue[0] = last;
    for (let at = 0; ;) {
      const left = at * 2 + 1;
      if (left >= queue.length) return first;
      const smaller = left + 1 < queue.length && isBefore(queue[left + 1]!, queue[left]!) ? left + 1 : left;
      if (!isBefore(queue[smaller]!, queue[at]!)) return first;
      [queue[at], queue[smaller]] = [queue[smaller]!, queue[at]!];
      at = smaller;
    }
  }
}

function isBefore(one: WorldEvent, other: WorldEvent): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
}
