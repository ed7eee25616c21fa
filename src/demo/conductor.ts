import type { RandomSource } from "./seeded-random.js";

/** When one kill comes. All times in milliseconds. */
export interface PlannedKill {
  /** Not sooner after the kill before it, or after the start: a killed router's partitions stay unread for about 5 s. */
  readonly gapMs: number;
  /** Wait until this many calls are open at the provider. */
  readonly openCallsAtLeast: number;
  /** Then this much longer, so that kills meet every phase of the work; and then until a call is open. */
  readonly delayMs: number;
}

/** What the kills met; batches that had not ended are work in flight too. `callsInAirAtKills` bounds the attempts that may stay in doubt. */
export interface KillTally {
  readonly kills: number;
  readonly killsWithWorkInFlight: number;
  readonly callsInAirAtKills: number;
}

/** What the conductor acts on; the demo gives real processes, tests give a script. */
export interface KillStage {
  readonly nowMs: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  readonly openCalls: () => Promise<number>;
  /** Calls open now or answered within the last `ms`. */
  readonly callsInAir: (answeredWithinMs: number) => Promise<number>;
  /** Batches that the provider works on. */
  readonly openBatches: () => Promise<number>;
  readonly stopRouter: () => void;
  readonly killRouter: () => Promise<void>;
  readonly startRouter: () => void;
  readonly onKill: (tally: KillTally) => void;
}

const GAP_MIN_MS = 6500;
const GAP_SPREAD_MS = 1000;
const OPEN_CALLS_MIN = 3;
const OPEN_CALLS_SPREAD = 8;
/** With fewer jobs around each kill there are never as many calls open at once. */
const JOBS_PER_OPEN_CALL = 40;
const DELAY_SPREAD_MS = 1200;
/** How long a kill waits for the wished calls, and after its delay for one. After the half of it one is enough, after all of it none is needed. */
const WORK_WAIT_MS = 6000;
const LOOK_EVERY_MS = 25;
/** Bytes that the router wrote before it was stopped reach the simulator over loopback in this time. */
const ARRIVAL_MS = 20;
/** An answer on its way into the ledger is still in the air: the router needs a moment from its last byte to the commit. */
const ANSWERED_WITHIN_MS = 50;

/** The kills of a run, the same for the same random source. */
export function planKills(jobs: number, kills: number, random: RandomSource): readonly PlannedKill[] {
  const openCallsMax = Math.max(1, Math.floor(portionOf(jobs, kills) / JOBS_PER_OPEN_CALL));
  return Array.from({ length: kills }, () => ({
    gapMs: GAP_MIN_MS + Math.floor(random() * GAP_SPREAD_MS),
    openCallsAtLeast: Math.min(openCallsMax, OPEN_CALLS_MIN + Math.floor(random() * OPEN_CALLS_SPREAD)),
    delayMs: Math.floor(random() * DELAY_SPREAD_MS),
  }));
}

/**
 * Kills the router as planned and starts a new one each time. The router is stopped (SIGSTOP) before the calls are counted, so
 * the count is of that very moment; then it is killed without a chance to finish anything.
 */
export async function conductKills(plan: readonly PlannedKill[], stage: KillStage): Promise<KillTally> {
  let tally: KillTally = { kills: 0, killsWithWorkInFlight: 0, callsInAirAtKills: 0 };
  let lastMs = stage.nowMs();
  // Strictly one after the other: there is one router.
  for (const kill of plan) {
    await stage.sleep(Math.max(0, lastMs + kill.gapMs - stage.nowMs()));
    await waitForWork(kill.openCallsAtLeast, stage);
    await stage.sleep(kill.delayMs);
    await waitForWork(1, stage);
    const { inAir, batches } = await killOnce(stage);
    lastMs = stage.nowMs();
    stage.startRouter();
    tally = {
      kills: tally.kills + 1,
      killsWithWorkInFlight: tally.killsWithWorkInFlight + (inAir + batches > 0 ? 1 : 0),
      callsInAirAtKills: tally.callsInAirAtKills + inAir,
    };
    stage.onKill(tally);
  }
  return tally;
}

/** Batches that the provider works on will do when no call is seen for a while: a kill that meets a call meets more. */
async function waitForWork(openCalls: number, stage: KillStage): Promise<void> {
  const startMs = stage.nowMs();
  for (;;) {
    const waitedMs = stage.nowMs() - startMs;
    if (waitedMs >= WORK_WAIT_MS) return;
    const isEarly = waitedMs < WORK_WAIT_MS / 2;
    if ((await stage.openCalls()) >= (isEarly ? openCalls : 1)) return;
    if (!isEarly && (await stage.openBatches()) > 0) return;
    await stage.sleep(LOOK_EVERY_MS);
  }
}

async function killOnce(stage: KillStage): Promise<{ readonly inAir: number; readonly batches: number }> {
  const stoppedMs = stage.nowMs();
  stage.stopRouter();
  try {
    await stage.sleep(ARRIVAL_MS);
    const inAir = await stage.callsInAir(ANSWERED_WITHIN_MS + (stage.nowMs() - stoppedMs));
    return { inAir, batches: await stage.openBatches() };
  } finally {
    await stage.killRouter();
  }
}

/**
 * How many jobs may be published at a moment, so that there is work around every kill: an equal portion before each kill and
 * after the last, spread over `spreadMs` from the kill before it. `killedMs` are the times of the kills so far.
 */
export function allowedJobs(
  jobs: number,
  kills: number,
  startMs: number,
  killedMs: readonly number[],
  nowMs: number,
): number {
  const done = killedMs.length;
  if (done >= kills) return jobs;
  const portion = portionOf(jobs, kills);
  const sinceMs = nowMs - (killedMs.at(-1) ?? startMs);
  return Math.floor(portion * (done + Math.min(1, Math.max(0, sinceMs / PORTION_SPREAD_MS))));
}

function portionOf(jobs: number, kills: number): number {
  return jobs / (kills + 1);
}

/** A little longer than the longest gap and delay, so that publishing goes on until the kill. */
const PORTION_SPREAD_MS = 9000;
