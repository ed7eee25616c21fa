import { readFileSync } from "node:fs";
import { asObject, numberField, parseObject, textField } from "../../demo/reader/json-fields.js";
import type { RandomSource } from "../../demo/seeded-random.js";

/** What a router is armed with: it kills itself when it passes the point for the nth time. */
export interface Arming {
  readonly point: string;
  /** From 1. */
  readonly passing: number;
}

/**
 * Each point is to be hit once before any is hit twice, so one that was not hit yet is taken early: something else may end the router before.
 * The later hits go for some passing in the middle of the work.
 */
const PASSINGS = { first: [3, 1], later: [25, 6, 1] } as const;

/** After so many tries in vain a usual point has no right before a seldom one any more. */
const TRIES_AHEAD = 3;

export interface BookedPoints {
  /** Each of them is passed again and again. */
  readonly usual: readonly string[];
  /** They come behind the usual ones. */
  readonly seldom: readonly string[];
  /** How often one life passes the point, about; more is not asked for. */
  readonly passingsOfALife: (point: string) => number;
}

/** Which crash points were hit and which is next. A point counts as hit only by the word of the process that died there. */
export class CrashPointBook {
  readonly #points: readonly string[];
  readonly #usual: ReadonlySet<string>;
  readonly #passingsOfALife: BookedPoints["passingsOfALife"];
  readonly #hits = new Map<string, number>();
  readonly #tries = new Map<string, number>();
  readonly #random: RandomSource;

  constructor({ usual, seldom, passingsOfALife }: BookedPoints, random: RandomSource) {
    this.#points = [...usual, ...seldom];
    this.#usual = new Set(usual);
    this.#passingsOfALife = passingsOfALife;
    this.#random = random;
    for (const point of this.#points) this.#hits.set(point, 0);
  }

  /** Those that were hit least come first, and among them those that were tried least. @returns null: there are no points. */
  next(): Arming | null {
    const [point] = [...this.#points].sort((one, other) => this.#rank(one) - this.#rank(other));
    if (point === undefined) return null;
    const tries = this.#tries.get(point) ?? 0;
    this.#tries.set(point, tries + 1);
    const ranges = this.#hits.get(point) === 0 ? PASSINGS.first : PASSINGS.later;
    const passings = Math.min(ranges[Math.min(tries, ranges.length - 1)] ?? 1, this.#passingsOfALife(point));
    return { point, passing: 1 + Math.floor(this.#random() * passings) };
  }

  hit(point: string): void {
    this.#hits.set(point, (this.#hits.get(point) ?? 0) + 1);
    this.#tries.set(point, 0);
  }

  get hits(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#hits);
  }

  /** How many of the usual ones were hit. */
  get usualHit(): number {
    return this.#usual.size - this.missed.length;
  }

  /** Of the usual ones. */
  get missed(): readonly string[] {
    return [...this.#hits].filter(([point, hits]) => hits === 0 && this.#usual.has(point)).map(([point]) => point);
  }

  #rank(point: string): number {
    const tries = (this.#tries.get(point) ?? 0) + (this.#usual.has(point) ? 0 : TRIES_AHEAD);
    return (this.#hits.get(point) ?? 0) * RANK_OF_A_HIT + tries;
  }
}

/** More than any point is tried. */
const RANK_OF_A_HIT = 1_000_000;

/** In the form that `SLUICE_CRASH_AT` takes. */
export function armingText({ point, passing }: Arming): string {
  return passing === 1 ? point : `${point}:${String(passing)}`;
}

/** The victim's last write. */
export interface CrashLine {
  readonly point: string;
  readonly passing: number;
  readonly pid: number;
  /** By its own wall clock, which may have been jumped; null: it did not say. */
  readonly atMs: number | null;
}

/** @returns what the process wrote just before it killed itself; null: it did not. */
export function readCrashLine(file: string, pid: number): CrashLine | null {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return null; // nobody wrote it
  }
  for (const line of text.split("\n")) {
    const fields = asObject(parseObject(line));
    const point = fields === null ? null : textField(fields, "crashPoint");
    if (fields === null || point === null || numberField(fields, "pid") !== pid) continue;
    return { point, passing: numberField(fields, "passing") ?? 1, pid, atMs: numberField(fields, "atMs") };
  }
  return null;
}
