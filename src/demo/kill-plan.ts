import type { JobMix } from "./job-mix.js";
import type { RandomSource } from "./seeded-random.js";

/** What one kill is to meet. Times in milliseconds. */
export type PlannedKill =
  /** A router that reads, with calls of its own out. */
  | {
      readonly aim: "calls";
      /** After the round's jobs began to flow, so that kills meet every phase of the work. */
      readonly delayMs: number;
      /** Then until this many calls are open at the provider. */
      readonly openCallsAtLeast: number;
    }
  /** A router that has just begun and goes on with what its predecessor left. */
  | {
      readonly aim: "batch";
      /** Until the ledger holds a batch in this state that no kill has met in it. */
      readonly state: AimedState;
      /** Then this much longer. */
      readonly delayMs: number;
    };

/** Kills that share one flow of jobs. A killed router's partitions stay unread for seconds; the kills after a round's first come meanwhile. */
export type KillRound = readonly [PlannedKill, ...PlannedKill[]];

/**
 * States of a batch of the ledger at which the kills of a round are aimed after its first: the second finds lines that wait for a batch, or one
 * that its predecessor was making; the third what came of it.
 */
const AIMED_STATES = [
  ["creating", "building", "uploading", "sealed", "uploaded"],
  ["ingesting", "submitted"],
] as const;
export type AimedState = (typeof AIMED_STATES)[number][number];

/** A batch is out for seconds, in every other state for milliseconds only. */
const LASTING_STATE: AimedState = "submitted";
const LASTING_DELAY_SPREAD_MS = 800;
/** More of them would find nothing left of what was read before the first. */
const KILLS_PER_MIXED_ROUND = 1 + AIMED_STATES.length;
/** A router whose code is cold takes long over an answer that it has: nobody could tell whether that was still in the air. */
const FLOW_DELAY_MIN_MS = 1500;
const FLOW_DELAY_SPREAD_MS = 2000;
const OPEN_CALLS_MIN = 3;
const OPEN_CALLS_SPREAD = 8;
/** With fewer jobs around a kill there are never as many calls open at once. */
const JOBS_PER_OPEN_CALL = 40;
/** In a mixed run only three of ten jobs want a call of their own. */
const CALLING_PERCENT: Readonly<Record<JobMix, number>> = { plain: 100, mixed: 30 };

/** The kills of a run, the same for the same random source. Only a run with batches has something for a router that does not read yet. */
export function planKills(
  { jobs, kills, mix }: { readonly jobs: number; readonly kills: number; readonly mix: JobMix },
  random: RandomSource,
): readonly KillRound[] {
  const perRound = mix === "mixed" ? KILLS_PER_MIXED_ROUND : 1;
  const rounds = Math.ceil(kills / perRound);
  const callsPerRound = ((jobs / (rounds + 1)) * CALLING_PERCENT[mix]) / 100;
  const openCallsMax = Math.max(1, Math.floor(callsPerRound / JOBS_PER_OPEN_CALL));
  return Array.from({ length: rounds }, (_unused, round): KillRound => {
    const first: PlannedKill = {
      aim: "calls",
      delayMs: FLOW_DELAY_MIN_MS + Math.floor(random() * FLOW_DELAY_SPREAD_MS),
      openCallsAtLeast: Math.min(openCallsMax, OPEN_CALLS_MIN + Math.floor(random() * OPEN_CALLS_SPREAD)),
    };
    const more = Math.min(perRound, kills - round * perRound) - 1;
    return [first, ...AIMED_STATES.slice(0, more).map((states) => killAtBatch(states, round, random))];
  });
}

function killAtBatch(states: readonly AimedState[], round: number, random: RandomSource): PlannedKill {
  const state = states[round % states.length] ?? LASTING_STATE;
  return { aim: "batch", state, delayMs: state === LASTING_STATE ? Math.floor(random() * LASTING_DELAY_SPREAD_MS) : 0 };
}
