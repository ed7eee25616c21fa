/**
 * What is done to a run and when, as data: it follows from the seed and the length of the run alone. A lane's faults come one after the
 * other, lanes go side by side.
 */
import { seededRandom, type RandomSource } from "../../demo/seeded-random.js";
import type { PathMode } from "../network/network-proxy.js";
import type { PathName } from "../network/router-paths.js";
import { minimumsFor, type CountedFault } from "./minimums.js";
import { PROVIDER_TROUBLES, type ProviderTrouble } from "./provider-troubles.js";

export type PlannedFault =
  /** A router is killed; or one that was armed kills itself before. */
  | { readonly kind: "router_kill"; readonly router: number; readonly moment: KillMoment }
  /** A router is stopped for longer than its session lives, and goes on. */
  | { readonly kind: "router_stop"; readonly router: number; readonly forMs: number }
  /** Asked to stop in order, and another started. */
  | { readonly kind: "router_restart"; readonly router: number }
  | { readonly kind: "clock_jump"; readonly router: number; readonly byMs: number; readonly forMs: number }
  | { readonly kind: "broker_kill"; readonly broker: number; readonly downMs: number }
  | { readonly kind: "postgres_kill" | "redis_kill"; readonly downMs: number }
  | { readonly kind: "redis_flush" }
  | { readonly kind: "network"; readonly path: NetworkPath; readonly trouble: NetworkTrouble; readonly forMs: number }
  | { readonly kind: "provider_fault"; readonly trouble: ProviderTrouble; readonly forMs: number }
  /** One more router of the group comes, and goes again. */
  | { readonly kind: "rebalance"; readonly forMs: number }
  | { readonly kind: "replay" }
  | { readonly kind: "cancel" };

/** Most kills wait for a router with calls in the air, the others meet whoever is there, be it in the middle of its start. */
export type KillMoment = "calls" | "any";

/** A broker's path is shared by all routers; the others are a router's own. */
export type NetworkPath =
  { readonly to: "kafka"; readonly broker: number } | { readonly to: PathName; readonly router: number };

/** `cut` resets what stands and takes new connections; the others last. */
export type NetworkTrouble = { readonly kind: "cut" } | Exclude<PathMode, { readonly kind: "pass" }>;

export const LANES = ["kills", "pauses", "servers", "network", "provider", "operators"] as const;
export type Lane = (typeof LANES)[number];

export interface ScheduledFault {
  readonly atMs: number;
  readonly lane: Lane;
  readonly fault: PlannedFault;
}

export interface FaultPlanOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly routers: number;
  readonly brokers: number;
  /** Router kills at least; else by the length of the run. */
  readonly kills: number | null;
  readonly clockJumps: boolean;
}

/** Routers have to be up, and the first jobs there. */
const FIRST_MS = 4000;
/** A lane that runs late still ends with the run. */
const LAST_BEFORE_END_MS = 8000;

/** @returns the faults in order of time. */
export function planFaults(options: FaultPlanOptions): readonly ScheduledFault[] {
  const { seed, minutes } = options;
  const endMs = minutes * 60_000 - LAST_BEFORE_END_MS;
  const counts = plannedCounts(options);
  return LANES.flatMap((lane, index) => {
    // Of its own, so that another number of faults in one lane leaves the others as they are.
    const random = seededRandom(seed * LANES.length + index);
    const faults = shuffled(faultsOf(lane, counts, options, random), random);
    const stepMs = (endMs - FIRST_MS) / Math.max(1, faults.length);
    return faults.map((fault, number) => ({
      atMs: Math.round(FIRST_MS + (number + random() * 0.8) * stepMs),
      lane,
      fault,
    }));
  }).sort((one, other) => one.atMs - other.atMs);
}

/** A few more than the minimum, since a fault may meet a server that another has taken down. */
function plannedCounts(options: FaultPlanOptions): Readonly<Record<CountedFault, number>> {
  const minimums = minimumsFor(options);
  const planned = Object.entries(minimums).map(([kind, minimum]) => [
    kind,
    minimum === 0 ? 0 : Math.floor(minimum * 1.1) + 1,
  ]);
  return Object.fromEntries(planned) as Record<CountedFault, number>; // the keys of minimums
}

function faultsOf(
  lane: Lane,
  counts: Readonly<Record<CountedFault, number>>,
  { routers, brokers }: FaultPlanOptions,
  random: RandomSource,
): PlannedFault[] {
  const times = (kind: CountedFault, make: (number: number) => PlannedFault): PlannedFault[] =>
    Array.from({ length: counts[kind] }, (_unused, number) => make(number));
  const router = (): number => pick(random, routers);
  switch (lane) {
    case "kills":
      return times("router_kill", (number) => ({
        kind: "router_kill",
        router: router(),
        moment: number % ANY_MOMENT_EVERY === 0 ? "any" : "calls",
      }));
    case "pauses":
      return [
        ...times("router_stop", () => ({
          kind: "router_stop",
          router: router(),
          forMs: between(random, 11_000, 14_000),
        })),
        ...times("router_restart", () => ({ kind: "router_restart", router: router() })),
        ...times("clock_jump", (number) => ({
          kind: "clock_jump",
          router: router(),
          byMs: CLOCK_JUMPS_MS[number % CLOCK_JUMPS_MS.length] ?? 0,
          forMs: between(random, 3000, 6000),
        })),
      ];
    case "servers":
      return [
        ...times("broker_kill", () => ({
          kind: "broker_kill",
          broker: pick(random, brokers),
          downMs: between(random, 500, 5000),
        })),
        ...times("postgres_kill", () => ({ kind: "postgres_kill", downMs: between(random, 0, 2500) })),
        ...times("redis_kill", () => ({ kind: "redis_kill", downMs: between(random, 0, 2500) })),
        ...times("redis_flush", () => ({ kind: "redis_flush" })),
      ];
    case "network":
      return times("network", (number) => networkFault(number, { routers, brokers }, random));
    case "provider":
      return times("provider_fault", (number) => ({
        kind: "provider_fault",
        trouble: PROVIDER_TROUBLES[number % PROVIDER_TROUBLES.length] ?? PROVIDER_TROUBLES[0],
        forMs: between(random, 2000, 5000),
      }));
    case "operators":
      return [
        ...times("rebalance", () => ({ kind: "rebalance", forMs: between(random, 3000, 6000) })),
        ...times("replay", () => ({ kind: "replay" })),
        ...times("cancel", () => ({ kind: "cancel" })),
      ];
  }
}

const ANY_MOMENT_EVERY = 5;
const HOUR_MS = 3_600_000;
const CLOCK_JUMPS_MS: readonly number[] = [2, -2, 26, -26].map((hours) => hours * HOUR_MS);

/** Twice as often where calls and the ledger are as elsewhere. */
const PATHS = ["simulator", "postgres", "kafka", "simulator", "postgres", "redis", "kafka", "registry"] as const;
const TROUBLES: readonly NetworkTrouble[] = [
  { kind: "cut" },
  { kind: "delay", ms: 300 },
  { kind: "hold" },
  { kind: "cut" },
  { kind: "refuse" },
  { kind: "throttle", bytesPerS: 20_000 },
  { kind: "delay", ms: 2000 },
];

/** Every trouble meets every path in turn: the two lists have no common factor. */
function networkFault(
  number: number,
  { routers, brokers }: { readonly routers: number; readonly brokers: number },
  random: RandomSource,
): PlannedFault {
  const to = PATHS[number % PATHS.length] ?? PATHS[0];
  const trouble = TROUBLES[number % TROUBLES.length] ?? { kind: "cut" };
  const path: NetworkPath =
    to === "kafka" ? { to, broker: pick(random, brokers) } : { to, router: pick(random, routers) };
  return { kind: "network", path, trouble, forMs: trouble.kind === "cut" ? 0 : between(random, 1000, 5000) };
}

/** The same fault where it may meet somebody when nobody used the path that was planned: at the next router, or broker; others as they are. */
export function elsewhere(
  fault: PlannedFault,
  counts: { readonly routers: number; readonly brokers: number },
): PlannedFault {
  if (fault.kind !== "network") return fault;
  const { path } = fault;
  const next: NetworkPath =
    path.to === "kafka"
      ? { ...path, broker: (path.broker + 1) % counts.brokers }
      : { ...path, router: (path.router + 1) % counts.routers };
  return { ...fault, path: next };
}

function pick(random: RandomSource, count: number): number {
  return Math.floor(random() * count);
}

function between(random: RandomSource, min: number, max: number): number {
  return Math.round(min + random() * (max - min));
}

function shuffled<Item>(items: readonly Item[], random: RandomSource): readonly Item[] {
  const left = [...items];
  return items.flatMap(() => left.splice(pick(random, left.length), 1));
}
