import type { EpochMs } from "../ids.js";

/**
 * How long batches take, learned from those that ended. The rule:
 * - A sample is the observed turnarounds of an account and model, the newest `perModelMax` that ended within `windowMs`, and the stated
 *   prior as one observation more. Batches whose models may differ count for every model of their account.
 * - The quantile q of a sample of m values in ascending order is the value of rank floor(q m) + 1, at most the last: more than the share
 *   q of the sample is not above it.
 *
 * So with fewer than 20 observations the p95 is the largest value of the sample, the prior at least; from 20 on the prior is outvoted by
 * batches that were faster.
 */

export interface TurnaroundQuantiles {
  /** Half of the batches end within this time of their submission. */
  readonly medianMs: number;
  /** 95 of 100 batches do. */
  readonly p95Ms: number;
  /** Batches that it was learned from; 0: the prior alone speaks. */
  readonly observed: number;
}

/** What is known of turnarounds at one time. Plain data: a new one is made when batches have ended. */
export interface TurnaroundBook {
  readonly prior: TurnaroundQuantiles;
  /** Only there where a batch of the model, or one of mixed models, has ended. */
  readonly accounts: ReadonlyMap<string, AccountTurnarounds>;
}

interface AccountTurnarounds {
  readonly models: ReadonlyMap<string, TurnaroundQuantiles>;
  /** Of batches with mixed models: for models that have none of their own; null: there was none. */
  readonly mixed: TurnaroundQuantiles | null;
}

/** One batch that ended. */
export interface TurnaroundObservation {
  readonly account: string;
  /** Null: its models may differ. */
  readonly model: string | null;
  readonly ms: number;
  readonly endedAtMs: EpochMs;
}

export interface TurnaroundSettings {
  readonly priorMs: number;
  readonly windowMs: number;
  readonly perModelMax: number;
}

/** @param observations in any order. */
export function turnaroundBook(
  observations: readonly TurnaroundObservation[],
  settings: TurnaroundSettings,
  nowMs: EpochMs,
): TurnaroundBook {
  const newestFirst = observations
    .filter(({ endedAtMs }) => nowMs - endedAtMs <= settings.windowMs)
    .sort((one, other) => other.endedAtMs - one.endedAtMs);
  const byAccount = new Map<string, TurnaroundObservation[]>();
  for (const one of newestFirst) {
    const known = byAccount.get(one.account);
    if (known === undefined) byAccount.set(one.account, [one]);
    else known.push(one);
  }
  return {
    prior: quantilesOf([], settings),
    accounts: new Map([...byAccount].map(([account, its]) => [account, accountTurnarounds(its, settings)])),
  };
}

function accountTurnarounds(
  newestFirst: readonly TurnaroundObservation[],
  settings: TurnaroundSettings,
): AccountTurnarounds {
  const names = new Set(newestFirst.map(({ model }) => model));
  const quantiles = (name: string | null): TurnaroundQuantiles =>
    quantilesOf(
      newestFirst.filter(({ model }) => model === name || model === null).map(({ ms }) => ms),
      settings,
    );
  const models = new Map<string, TurnaroundQuantiles>();
  for (const name of names) if (name !== null) models.set(name, quantiles(name));
  return { models, mixed: names.has(null) ? quantiles(null) : null };
}

function quantilesOf(newestFirstMs: readonly number[], { priorMs, perModelMax }: TurnaroundSettings) {
  const observed = newestFirstMs.slice(0, perModelMax);
  const sample = [...observed, priorMs].sort((one, other) => one - other);
  return {
    medianMs: quantile(sample, 50) ?? priorMs,
    p95Ms: quantile(sample, 95) ?? priorMs,
    observed: observed.length,
  };
}

/** In whole numbers: 0.95 times 20 must be 19 to the last bit. */
function quantile(ascending: readonly number[], percent: number): number | undefined {
  const rank = Math.floor((percent * ascending.length) / 100) + 1;
  return ascending[Math.min(rank, ascending.length) - 1];
}

/** What a batch of the model at the account takes; the prior where nothing is known. */
export function expectedTurnaround(book: TurnaroundBook, account: string, model: string | null): TurnaroundQuantiles {
  const known = book.accounts.get(account);
  if (known === undefined) return book.prior;
  return (model === null ? undefined : known.models.get(model)) ?? known.mixed ?? book.prior;
}
