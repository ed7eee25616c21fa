import type { KillRound, PlannedKill } from "./kill-plan.js";
import type { LedgerState } from "./ledger-look.js";
import type { PublishingPhase } from "./publishing-pace.js";

/** What the kills met. `callsInAirAtKills` bounds the attempts that may stay in doubt. */
export interface KillTally {
  readonly kills: number;
  /** Kills with calls in the air or batches that the provider works on, both by the provider's own word. */
  readonly killsWithWorkInFlight: number;
  readonly callsInAirAtKills: number;
  /** By state of a batch: kills at whose instant the ledger held one in it. */
  readonly killsByBatchState: Readonly<Record<string, number>>;
}

/** What the conductor acts on; the demo gives real processes, tests give a script. */
export interface KillStage {
  readonly nowMs: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  readonly publish: (phase: PublishingPhase) => void;
  readonly openCalls: () => Promise<number>;
  /** Calls open now or answered within the last `ms`. */
  readonly callsInAir: (answeredWithinMs: number) => Promise<number>;
  /** Batches that the provider works on. */
  readonly openBatches: () => Promise<number>;
  readonly ledger: () => Promise<LedgerState>;
  readonly stopRouter: () => void;
  /** It goes on as if it had never been stopped. */
  readonly resumeRouter: () => void;
  readonly killRouter: () => Promise<void>;
  readonly startRouter: () => void;
  readonly onKill: (tally: KillTally) => void;
}

/** A router is up within a second or two, and reads once the brokers have given up its predecessors: 6 s after the last of them joined. */
const READING_WAIT_MS = 20_000;
const SESSION_WAIT_MS = 10_000;
/** How long a kill waits for what it is aimed at. After that any work is enough, and after the same time again none is needed. */
const CALLS_WAIT_MS = 3000;
const STATE_WAIT_MS = 2000;
/** A router that has begun to read moves on within milliseconds, on a busy machine within seconds. */
const SUSPICION_WAIT_MS = 10_000;
const LOOK_EVERY_MS = 25;
/** States of a batch pass in some ten milliseconds. */
const LOOK_AT_STATES_EVERY_MS = 4;
/** Bytes that the router wrote before it was stopped reach the simulator over loopback in this time. */
const ARRIVAL_MS = 20;
/** An answer on its way into the ledger is still in the air: the router needs a moment from its last byte to the commit. */
const ANSWERED_WITHIN_MS = 50;
/** The provider does not know of them yet, or nobody knows whether it does. */
const STATES_IN_THE_MAKING: readonly string[] = ["building", "sealed", "uploading", "uploaded", "creating"];
/** In the order of its life. */
const BATCH_STATES = [...STATES_IN_THE_MAKING, "submitted", "cancelling", "ended", "ingesting"];

const NOTHING_MET: KillTally = {
  kills: 0,
  killsWithWorkInFlight: 0,
  callsInAirAtKills: 0,
  killsByBatchState: {},
};

/**
 * Kills the router as planned and starts a new one each time. The router is stopped (SIGSTOP) before the calls are counted, so
 * the count is of that very moment; then it is killed without a chance to finish anything.
 *
 * One thing is not done: a router is not killed while a record is marked. The gateway takes a record for one that ends its readers when two in
 * a row die with it marked, whatever killed them, and puts it aside as a dead letter: by design, and tested elsewhere.
 */
export async function conductKills(plan: readonly KillRound[], stage: KillStage): Promise<KillTally> {
  const conductor = new Conductor(stage);
  // Strictly one after the other: there is one router.
  for (const [first, ...others] of plan) {
    await conductor.beginRound();
    await conductor.kill(first);
    stage.publish("nothing");
    for (const kill of others) await conductor.kill(kill);
  }
  stage.publish("rest");
  return conductor.tally;
}

class Conductor {
  readonly #stage: KillStage;
  /** Of the router killed last. */
  #lastSession = 0;
  /** Batches by number and state. */
  readonly #met = new Set<string>();
  #tally = NOTHING_MET;

  constructor(stage: KillStage) {
    this.#stage = stage;
  }

  get tally(): KillTally {
    return this.#tally;
  }

  /** Jobs come once a router reads them, so that none of those with little time waits for one. */
  async beginRound(): Promise<void> {
    const { recordsRead } = await this.#stage.ledger();
    this.#stage.publish("pilot");
    await this.#until(
      READING_WAIT_MS,
      LOOK_EVERY_MS,
      async () => (await this.#stage.ledger()).recordsRead > recordsRead,
    );
    this.#stage.publish("flow");
  }

  async kill(kill: PlannedKill): Promise<void> {
    if (kill.aim === "calls") {
      await this.#stage.sleep(kill.delayMs);
      await this.#untilWork(
        CALLS_WAIT_MS,
        LOOK_EVERY_MS,
        async () => (await this.#stage.openCalls()) >= kill.openCallsAtLeast,
      );
    } else {
      await this.#until(
        SESSION_WAIT_MS,
        LOOK_EVERY_MS,
        async () => (await this.#stage.ledger()).session > this.#lastSession,
      );
      await this.#untilWork(STATE_WAIT_MS, LOOK_AT_STATES_EVERY_MS, () => this.#holdsNew(kill.state));
      await this.#stage.sleep(kill.delayMs);
    }
    await this.#killNow();
  }

  async #holdsNew(state: string): Promise<boolean> {
    const { batches } = await this.#stage.ledger();
    return batches.some((batch) => batch.state === state && !this.#met.has(keyOf(batch)));
  }

  async #untilWork(waitMs: number, lookEveryMs: number, isAsWished: () => Promise<boolean>): Promise<void> {
    if (await this.#until(waitMs, lookEveryMs, isAsWished)) return;
    await this.#until(waitMs, LOOK_EVERY_MS, () => this.#anyWork());
  }

  async #anyWork(): Promise<boolean> {
    const { openCalls, openBatches, ledger } = this.#stage;
    return (await openCalls()) > 0 || (await openBatches()) > 0 || areInTheMaking(await ledger());
  }

  /** @returns whether it came about within this time. */
  async #until(waitMs: number, lookEveryMs: number, holds: () => Promise<boolean>): Promise<boolean> {
    const { nowMs, sleep } = this.#stage;
    const startMs = nowMs();
    while (!(await holds())) {
      if (nowMs() - startMs >= waitMs) return false;
      await sleep(lookEveryMs);
    }
    return true;
  }

  async #killNow(): Promise<void> {
    const { inAir, openBatches, ledger } = await this.#meet();
    this.#stage.startRouter();
    const states = new Set(ledger.batches.map(({ state }) => state));
    for (const batch of ledger.batches) this.#met.add(keyOf(batch));
    this.#lastSession = ledger.session;
    const { kills, killsWithWorkInFlight, callsInAirAtKills, killsByBatchState } = this.#tally;
    const metWork = inAir + openBatches > 0;
    this.#tally = {
      kills: kills + 1,
      killsWithWorkInFlight: killsWithWorkInFlight + (metWork ? 1 : 0),
      callsInAirAtKills: callsInAirAtKills + inAir,
      killsByBatchState: withStates(killsByBatchState, states),
    };
    this.#stage.onKill(this.#tally);
  }

  async #meet(): Promise<Met> {
    try {
      return await this.#stopUnsuspected();
    } finally {
      await this.#stage.killRouter();
    }
  }

  async #stopUnsuspected(): Promise<Met> {
    const { nowMs, sleep, resumeRouter } = this.#stage;
    const untilMs = nowMs() + SUSPICION_WAIT_MS;
    for (;;) {
      const met = await this.#stop();
      if (!met.ledger.nearlySuspects || nowMs() >= untilMs) return met;
      resumeRouter();
      await sleep(LOOK_EVERY_MS);
      await this.#until(CALLS_WAIT_MS, LOOK_EVERY_MS, () => this.#anyWork());
    }
  }

  /** @returns what is in flight at the moment of the stop. */
  async #stop(): Promise<Met> {
    const { nowMs, sleep, stopRouter, callsInAir, openBatches, ledger } = this.#stage;
    const stoppedMs = nowMs();
    stopRouter();
    await sleep(ARRIVAL_MS);
    const inAir = await callsInAir(ANSWERED_WITHIN_MS + (nowMs() - stoppedMs));
    return { inAir, openBatches: await openBatches(), ledger: await ledger() };
  }
}

/** What a kill meets. */
interface Met {
  readonly inAir: number;
  readonly openBatches: number;
  readonly ledger: LedgerState;
}

function keyOf({ no, state }: { readonly no: number; readonly state: string }): string {
  return `${String(no)} ${state}`;
}

function areInTheMaking({ batches }: LedgerState): boolean {
  return batches.some(({ state }) => STATES_IN_THE_MAKING.includes(state));
}

function withStates(
  counts: Readonly<Record<string, number>>,
  states: ReadonlySet<string>,
): Readonly<Record<string, number>> {
  const next = BATCH_STATES.map((state) => [state, (counts[state] ?? 0) + (states.has(state) ? 1 : 0)] as const);
  return Object.fromEntries(next.filter(([, count]) => count > 0));
}
