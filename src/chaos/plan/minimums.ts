/** Faults that a run must have had a number of, else it proves nothing. */
export type CountedFault =
  | "router_kill"
  | "router_stop"
  | "router_restart"
  | "clock_jump"
  | "broker_kill"
  | "postgres_kill"
  | "redis_kill"
  | "redis_flush"
  | "network"
  | "provider_fault"
  | "rebalance"
  | "replay"
  | "cancel";

export interface RunLength {
  readonly minutes: number;
  /** Router kills at least, in the place of those by the length of the run; null: by that. */
  readonly kills: number | null;
  /** Whether clocks can be jumped on this machine. */
  readonly clockJumps: boolean;
}

const FULL_MINUTES = 20;

/** Of a run of twenty minutes. */
const FULL: Readonly<Record<CountedFault, number>> = {
  router_kill: 150,
  router_stop: 8,
  router_restart: 5,
  clock_jump: 5,
  broker_kill: 10,
  postgres_kill: 15,
  redis_kill: 15,
  redis_flush: 5,
  network: 100,
  provider_fault: 40,
  rebalance: 8,
  replay: 6,
  cancel: 10,
};
/** Of the kills, so many in a hundred and fifty must meet work in flight. */
const WITH_WORK_OF_FULL = 100;

/** What a run of this length must have had of each kind, at least one of each. */
export function minimumsFor({ minutes, kills, clockJumps }: RunLength): Readonly<Record<CountedFault, number>> {
  const scaled = Object.entries(FULL).map(([kind, count]) => [
    kind,
    Math.max(1, Math.round((count * minutes) / FULL_MINUTES)),
  ]);
  const minimums = Object.fromEntries(scaled) as Record<CountedFault, number>; // the keys of FULL
  return {
    ...minimums,
    router_kill: kills ?? minimums.router_kill,
    clock_jump: clockJumps ? minimums.clock_jump : 0,
  };
}

export function killsWithWorkMin(killsMin: number): number {
  return Math.floor((killsMin * WITH_WORK_OF_FULL) / FULL.router_kill);
}
