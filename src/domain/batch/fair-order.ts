import type { EpochMs } from "../ids.js";

/** What of a waiting line decides about its turn. */
export interface Waiting {
  readonly tenant: string;
  readonly execution: { readonly no: number };
  readonly line: { readonly lookAtMs: EpochMs };
}

/**
 * Who gets in first: tenants in turn, each with its most urgent line. In each round the tenant with the most urgent one goes first, so
 * that a batch smaller than the number of tenants is no matter of names: a line becomes the most urgent of all by waiting.
 */
export function fairOrder<Line extends Waiting>(lines: readonly Line[]): readonly Line[] {
  const byTenant = new Map<string, Line[]>();
  for (const line of [...lines].sort(moreUrgent)) {
    const known = byTenant.get(line.tenant);
    if (known === undefined) byTenant.set(line.tenant, [line]);
    else known.push(line);
  }
  const rounds: Line[][] = [];
  for (const its of byTenant.values()) {
    its.forEach((line, round) => {
      (rounds[round] ??= []).push(line);
    });
  }
  return rounds.flatMap((round) => round.sort(moreUrgent));
}

/** The older number breaks a tie. */
export function moreUrgent(one: Waiting, other: Waiting): number {
  return one.line.lookAtMs - other.line.lookAtMs || one.execution.no - other.execution.no;
}
