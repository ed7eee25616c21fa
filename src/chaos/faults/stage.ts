import type { RunningServer } from "../../stack/stack.js";
import type { SimulatorProcess } from "../../demo/simulator-process.js";
import type { Fault, PublishedRecord } from "../evidence/evidence.js";
import type { LedgerView } from "../ledger-view.js";
import type { NetworkProxy } from "../network/network-proxy.js";
import type { Arming, CrashLine, CrashPointBook } from "../routers/crash-point-book.js";
import type { RouterPool } from "../routers/router-pool.js";
import type { RouterSlot } from "../routers/router-slot.js";

/** What faults are done to, and by what their effect is seen. */
export interface ChaosStage {
  readonly routers: RouterPool;
  /** A router of the group that is not always there. */
  readonly guest: RouterSlot;
  readonly brokers: readonly RunningServer[];
  readonly postgres: RunningServer;
  readonly redis: RunningServer;
  readonly brokerProxies: readonly NetworkProxy[];
  readonly simulator: SimulatorProcess;
  readonly ledger: LedgerView;
  /** Members of the intake group now; null when nobody answers. */
  readonly groupMembers: () => Promise<number | null>;
  readonly published: () => readonly PublishedRecord[];
  /** A command of the operator's, with addresses that are past all proxies. */
  readonly command: (args: readonly string[], armed: Arming | null) => Promise<CommandEnd>;
  /** Points that commands are killed at. */
  readonly commandPoints: { readonly replay: CrashPointBook; readonly cancel: CrashPointBook };
  readonly sleep: (ms: number) => Promise<void>;
}

export interface CommandEnd {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly pid: number;
  /** What it wrote before it killed itself; null: it did not. */
  readonly crash: CrashLine | null;
}

/** What a fault came to: what was seen of it, or in words why nothing was. */
export type FaultEnd = { readonly seen: readonly Fault[] } | { readonly unseen: string };

export function seen(fault: FaultFacts): FaultEnd {
  return { seen: [withDefaults(fault)] };
}

export function unseen(why: string): FaultEnd {
  return { unseen: why };
}

type FaultFacts = Pick<Fault, "kind" | "atMs" | "target"> & Partial<Fault>;

export function withDefaults(fault: FaultFacts): Fault {
  const nothing = { untilMs: Date.now(), pid: null, signal: null, point: null, callsInAir: null, workInFlight: false };
  return { ...nothing, detail: null, ...fault };
}

/** Asks again and again. @returns whether it came about within this time. */
export async function comesAbout(
  stage: Pick<ChaosStage, "sleep">,
  waitMs: number,
  holds: () => Promise<boolean> | boolean,
): Promise<boolean> {
  const untilMs = performance.now() + waitMs;
  while (!(await holds())) {
    if (performance.now() >= untilMs) return false;
    await stage.sleep(LOOK_EVERY_MS);
  }
  return true;
}

const LOOK_EVERY_MS = 25;
