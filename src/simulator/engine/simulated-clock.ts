/**
 * The clock that batches and files live by: it runs `scale` times as fast as the real one, so that a day passes in seconds. Direct
 * calls keep real time. It never goes back: a restart goes on from where the clock stood, the time in between passed at the old pace.
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { isObject } from "./field-checks.js";

type Epoch = { readonly realMs: number; readonly simulatedMs: number; readonly scale: number };

/** The longest wait of a timer in Node; a later time is waited for in pieces. */
const TIMER_MS_MAX = 2_147_483_647;

export class SimulatedClock {
  readonly scale: number;
  readonly #file: string;
  #epoch: Epoch;
  readonly #jumped: (() => void)[] = [];

  /** @param file where the clock is kept; created when missing. */
  constructor(file: string, scale: number) {
    this.scale = scale;
    this.#file = file;
    const nowMs = Date.now();
    const kept = readEpoch(file);
    this.#epoch = {
      realMs: nowMs,
      simulatedMs: kept === null ? nowMs : Math.max(nowMs, simulatedAt(kept, nowMs)),
      scale,
    };
    this.#keep();
  }

  /** Simulated milliseconds since 1970; at scale 1, and never moved, the real time. */
  now(): number {
    return Math.floor(simulatedAt(this.#epoch, Date.now()));
  }

  /** Real milliseconds until the simulated time is reached, at least 0 and at most what a timer can wait. */
  realMsUntil(simulatedMs: number): number {
    const waitMs = (simulatedMs - simulatedAt(this.#epoch, Date.now())) / this.scale;
    return Math.min(TIMER_MS_MAX, Math.max(0, Math.ceil(waitMs)));
  }

  /** Moves the clock on at once, and tells those who wait. */
  advance(simulatedMs: number): void {
    const nowMs = Date.now();
    this.#epoch = { realMs: nowMs, simulatedMs: simulatedAt(this.#epoch, nowMs) + simulatedMs, scale: this.scale };
    this.#keep();
    for (const tell of this.#jumped) tell();
  }

  onJump(tell: () => void): void {
    this.#jumped.push(tell);
  }

  #keep(): void {
    writeFileSync(`${this.#file}.new`, JSON.stringify(this.#epoch));
    renameSync(`${this.#file}.new`, this.#file);
  }
}

function simulatedAt(epoch: Epoch, realMs: number): number {
  // A real clock that was set back must not take the simulated one with it.
  return epoch.simulatedMs + Math.max(0, realMs - epoch.realMs) * epoch.scale;
}

function readEpoch(file: string): Epoch | null {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return null;
  }
  const value: unknown = JSON.parse(text);
  if (!isObject(value)) throw new Error(`expected ${file} to hold the simulator's clock`);
  const { realMs, simulatedMs, scale } = value;
  if (typeof realMs !== "number" || typeof simulatedMs !== "number" || typeof scale !== "number")
    throw new Error(`expected ${file} to hold the simulator's clock`);
  return { realMs, simulatedMs, scale };
}
