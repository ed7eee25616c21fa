import type { Fault } from "./evidence/evidence.js";
import { carryOut } from "./faults/carry-out.js";
import { comesAbout, type ChaosStage } from "./faults/stage.js";
import { elsewhere, LANES, type Lane, type PlannedFault, type ScheduledFault } from "./plan/fault-plan.js";
import type { CountedFault } from "./plan/minimums.js";

/** A fault that was carried out and whose effect nobody saw: it does not count. */
export interface UnseenFault {
  readonly kind: PlannedFault["kind"];
  readonly atMs: number;
  readonly why: string;
}

/** What was done to a run so far. */
export interface FaultTally {
  readonly seen: Readonly<Partial<Record<CountedFault, number>>>;
  readonly unseen: readonly UnseenFault[];
}

const TRIES_MAX = 3;
const RETRY_PAUSE_MS = 500;
/** So long a router that is armed has to come by its crash point, before a kill from outside. */
const ARMED_WAIT_MS = 2500;

/** Carries a plan out: each lane's faults one after the other at their times, lanes side by side. */
export class Conductor {
  readonly #plan: readonly ScheduledFault[];
  readonly #stage: ChaosStage;
  readonly #onFault: (fault: Fault) => void;
  readonly #seen = new Map<CountedFault, number>();
  readonly #unseen: UnseenFault[] = [];
  #startMs = 0;

  constructor(plan: readonly ScheduledFault[], stage: ChaosStage, onFault: (fault: Fault) => void) {
    this.#plan = plan;
    this.#stage = stage;
    this.#onFault = onFault;
  }

  get tally(): FaultTally {
    return { seen: Object.fromEntries(this.#seen), unseen: this.#unseen };
  }

  /** How many router kills the plan wants by now. */
  get killsDue(): number {
    const nowMs = performance.now() - this.#startMs;
    return this.#plan.filter(({ fault, atMs }) => fault.kind === "router_kill" && atMs <= nowMs).length;
  }

  /** Resolves when the last fault is over. @throws Error when a server does not come back, or the run is ended. */
  async run(): Promise<void> {
    this.#startMs = performance.now();
    await Promise.all(LANES.map((lane) => this.#runLane(lane)));
  }

  async #runLane(lane: Lane): Promise<void> {
    for (const { atMs, fault } of this.#plan.filter((scheduled) => scheduled.lane === lane)) {
      await this.#stage.sleep(Math.max(0, this.#startMs + atMs - performance.now()));
      // A router that killed itself at a crash point has taken this one's place.
      if (fault.kind === "router_kill" && !(await this.#isKillWanted())) continue;
      await this.#carryOut(fault);
    }
  }

  async #isKillWanted(): Promise<boolean> {
    const { routers } = this.#stage;
    const isWanted = (): boolean => routers.kills < this.killsDue;
    const isAnyArmed = (): boolean => routers.slots.some(({ armed }) => armed !== null);
    await comesAbout(this.#stage, ARMED_WAIT_MS, () => !isWanted() || !isAnyArmed());
    return isWanted();
  }

  /** What had no effect is tried again: its moment was a bad one, as with a server that another fault had taken down, or its path was idle. */
  async #carryOut(planned: PlannedFault): Promise<void> {
    const { routers, brokerProxies, sleep } = this.#stage;
    let fault = planned;
    for (let tries = 1; !(await this.#isSeen(fault)) && tries < TRIES_MAX; tries += 1) {
      await sleep(RETRY_PAUSE_MS);
      fault = elsewhere(fault, { routers: routers.slots.length, brokers: brokerProxies.length });
    }
  }

  async #isSeen(fault: PlannedFault): Promise<boolean> {
    const atMs = Date.now();
    const end = await carryOut(fault, this.#stage);
    if ("unseen" in end) {
      this.#unseen.push({ kind: fault.kind, atMs, why: end.unseen });
      return false;
    }
    this.#seen.set(fault.kind, (this.#seen.get(fault.kind) ?? 0) + 1);
    for (const one of end.seen) this.#onFault(one);
    return true;
  }
}
