import { setTimeout as sleep } from "node:timers/promises";
import type { Fault } from "../evidence/evidence.js";
import type { LedgerView } from "../ledger-view.js";
import type { CrashPointBook } from "./crash-point-book.js";
import type { OwnEnd, RouterSlot } from "./router-slot.js";

export interface RouterPoolOptions {
  readonly slots: readonly RouterSlot[];
  readonly points: CrashPointBook;
  readonly ledger: LedgerView;
  /** Whether there have been fewer kills than the plan wants by now, so that one more armed router is welcome. */
  readonly wantsKills: (kills: number) => boolean;
  readonly onFault: (fault: Fault) => void;
  readonly say: (line: string) => void;
}

/** A router that ended with an exit code of its own, as one does whose servers are away at its start; whoever runs it starts it again. */
export interface RouterExit {
  readonly router: string;
  readonly atMs: number;
  readonly words: string;
}

const RESTART_MS = 300;
/** After an exit of its own, as an operator's process manager waits. */
const RESTART_AFTER_EXIT_MS = 1000;

/** The routers that the run keeps alive: whoever of them ends is started again, armed or not. */
export class RouterPool {
  readonly #options: RouterPoolOptions;
  readonly #exits: RouterExit[] = [];
  #kills = 0;
  #arming = true;
  #keeping = true;

  constructor(options: RouterPoolOptions) {
    this.#options = options;
  }

  get slots(): readonly RouterSlot[] {
    return this.#options.slots;
  }

  /** By SIGKILL: from outside, and by themselves at crash points. */
  get kills(): number {
    return this.#kills;
  }

  get exits(): readonly RouterExit[] {
    return this.#exits;
  }

  startAll(): void {
    for (const slot of this.slots) slot.start(null);
  }

  /** From now on no router is armed; those that are go on until they are killed. */
  disarm(): void {
    this.#arming = false;
  }

  /** From now on whoever ends stays away. */
  letGo(): void {
    this.#keeping = false;
  }

  /** SIGKILL of a running router that is not stopped: this one, else another. @returns null: there is none. */
  async kill(wanted: number): Promise<Fault | null> {
    const slot = this.#victim(wanted);
    if (slot === null) return null;
    const atMs = Date.now();
    const openBefore = slot.paths.traffic;
    const lost = await slot.kill();
    if (lost === null) return null;
    this.#kills += 1;
    const fault = await this.#killFault(slot, { ...lost, atMs, point: null, exchanges: openBefore.exchangesOpen });
    await this.#restart(slot, RESTART_MS);
    return fault;
  }

  /** Told by each slot. */
  async onOwnEnd(slot: RouterSlot, { pid, end, crash, callsLost }: OwnEnd): Promise<void> {
    const { points, onFault, say } = this.#options;
    const atMs = Date.now();
    if (crash !== null) {
      this.#kills += 1;
      points.hit(crash.point);
      onFault(await this.#killFault(slot, { pid, callsLost, atMs, point: crash.point, exchanges: 0 }));
      await this.#restart(slot, RESTART_MS);
      return;
    }
    const words = slot.endWords(end);
    this.#exits.push({ router: slot.name, atMs, words });
    if (this.#keeping) say(words);
    await this.#restart(slot, RESTART_AFTER_EXIT_MS);
  }

  start(slot: RouterSlot): void {
    const { points, wantsKills } = this.#options;
    slot.start(this.#arming && wantsKills(this.#kills) ? points.next() : null);
  }

  async stopAll(graceMs: number): Promise<void> {
    this.letGo();
    await Promise.all(this.slots.map((slot) => slot.stop(graceMs)));
  }

  #victim(wanted: number): RouterSlot | null {
    const { slots } = this;
    const inTurn = slots.map((_slot, index) => slots[(wanted + index) % slots.length]);
    return inTurn.find((slot) => slot !== undefined && slot.isRunning && !slot.isStopped) ?? null;
  }

  async #killFault(
    slot: RouterSlot,
    kill: {
      readonly pid: number;
      readonly callsLost: number;
      readonly atMs: number;
      readonly point: string | null;
      readonly exchanges: number;
    },
  ): Promise<Fault> {
    const left = await this.#options.ledger.leftBy(slot.name);
    const leftAny = left !== null && left.calls + left.outboxGroups + left.batches > 0;
    const lefts = left === null ? "the ledger did not answer" : `left ${JSON.stringify(left)}`;
    return {
      kind: kill.point === null ? "router_kill" : "crash_point",
      atMs: kill.atMs,
      untilMs: Date.now(),
      target: slot.name,
      pid: kill.pid,
      signal: "SIGKILL",
      point: kill.point,
      callsInAir: kill.callsLost,
      workInFlight: kill.callsLost + kill.exchanges > 0 || leftAny,
      detail: lefts,
    };
  }

  async #restart(slot: RouterSlot, afterMs: number): Promise<void> {
    await sleep(afterMs);
    if (this.#keeping) this.start(slot);
  }
}
