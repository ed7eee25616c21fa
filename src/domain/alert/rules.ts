import { batchId } from "../batch/batch.js";
import { expectedTurnaround, type TurnaroundBook } from "../batch/turnaround.js";
import { levelText } from "../budget/budget.js";
import type { EpochMs } from "../ids.js";
import { limitGroups, type AccountLimits, type LimitRule, type LimitSubject } from "../limit/limits.js";
import { iso } from "../result/rendering.js";
import type { AlertRule } from "./alert.js";
import type { AlertReadings, BatchReading, BudgetReading } from "./readings.js";
import type { AlertSettings } from "./settings.js";
import { spendOf } from "./spend-pattern.js";
import type { Measure } from "./standing.js";
import { durationsIn, quantileMs, type CallCounts, type LimitUse, type Tally } from "./tally.js";

/** All that a rule may look at. */
export interface AlertScene {
  readonly nowMs: EpochMs;
  readonly settings: AlertSettings;
  readonly readings: AlertReadings;
  /** What all routers counted in the window, and how much of the window that is. */
  readonly window: Tally;
  readonly countedMs: number;
  /** When a job ended last, as far as anybody looked; null: none did. */
  readonly lastEndedAtMs: EpochMs | null;
  /** Since when somebody looks without a gap. */
  readonly watchingSinceMs: EpochMs;
  /** Accounts of the config. */
  readonly accounts: readonly string[];
  /** By account, what its config says that it may do; none: not limited. */
  readonly limits: ReadonlyMap<string, AccountLimits>;
  readonly turnaround: TurnaroundBook;
  /** The p95 of a call until enough are known. */
  readonly callPriorMs: number;
}

/** Pure. Null: what it needs was not read. */
export type Rule = (scene: AlertScene) => readonly Measure[] | null;

const PERCENT = 100;
const MINUTE_MS = 60_000;
/** What is good again has come down by a part, so that a value at its threshold is not told over and over. */
const CLEAR_SHARE = 0.7;
const SPENT_PERCENTS = [50, 80, 95] as const;
/** A budget counts as used up when less than this is left: the last call hardly ever fits exactly. */
const USED_UP_PERCENT = 99;
const PERCENT_BACK = 5;
/** Durations below which a quantile says little. */
const DURATIONS_MIN = 20;

export const RULES: Readonly<Record<AlertRule, Rule>> = {
  budget: ({ readings }) => readings.budgets?.flatMap(budgetMeasures) ?? null,

  spend: ({ readings, settings, nowMs }) => {
    if (readings.spend === null) return null;
    const { hourNanoUsd, usualNanoUsd } = spendOf(readings.spend, nowMs);
    const usual = Number(usualNanoUsd ?? 0n);
    const raiseAt = Math.max(usual * settings.spendFactor, Number(settings.spendMinNanoUsd));
    return [
      {
        subject: "",
        value: usualNanoUsd === null ? null : Number(hourNanoUsd),
        raiseAt,
        clearBelow: raiseAt * CLEAR_SHARE,
        text: {
          message: `the last hour cost ${dollars(hourNanoUsd)}, such an hour usually costs ${dollars(usualNanoUsd ?? 0n)}`,
          details: { hourNanoUsd: hourNanoUsd.toString(), usualNanoUsd: (usualNanoUsd ?? 0n).toString() },
        },
      },
    ];
  },

  error_rate: ({ accounts, window, settings, countedMs }) =>
    accounts.map((account) => {
      const { calls, failed } = callsOf(window, account);
      const rate = calls < settings.errorCallsMin ? null : failed / calls;
      return {
        subject: account,
        value: rate,
        raiseAt: settings.errorRate,
        clearBelow: settings.errorRate * CLEAR_SHARE,
        text: {
          message: `${String(failed)} of ${String(calls)} calls of ${account} failed in the last ${minutes(countedMs)}`,
          account,
          details: { calls: String(calls), failed: String(failed) },
        },
      };
    }),

  rate_limit: (scene) =>
    [...scene.limits].flatMap(([account, limits]) =>
      limitGroups(account, limits)
        .flatMap(({ rules }) => rules)
        .filter(({ window }) => window === "minute")
        .map((rule) => limitMeasure(scene, account, rule)),
    ),

  provider_down: (scene) => scene.accounts.map((account) => downMeasure(scene, account)),

  latency: ({ window, settings, countedMs }) => {
    if (settings.latencyP95Ms === null) return [];
    const enough = durationsIn(window.jobMs) >= DURATIONS_MIN;
    const p95Ms = enough ? quantileMs(window.jobMs, 95) : null;
    return [
      {
        subject: "",
        value: p95Ms,
        raiseAt: settings.latencyP95Ms,
        clearBelow: settings.latencyP95Ms * CLEAR_SHARE,
        text: {
          message: `95 of 100 direct jobs of the last ${minutes(countedMs)} took up to ${seconds(p95Ms ?? 0)}, the target is ${seconds(settings.latencyP95Ms)}`,
          details: { p95Ms: String(Math.round(p95Ms ?? 0)), targetMs: String(settings.latencyP95Ms) },
        },
      },
    ];
  },

  standstill: ({ readings, settings, lastEndedAtMs, watchingSinceMs, nowMs }) => {
    if (readings.runnable === null) return null;
    const { oldestAtMs } = readings.runnable;
    const idleMs = oldestAtMs === null ? 0 : nowMs - Math.max(oldestAtMs, lastEndedAtMs ?? 0, watchingSinceMs);
    return [
      {
        subject: "",
        value: idleMs,
        raiseAt: settings.standstillMs,
        clearBelow: settings.standstillMs * CLEAR_SHARE,
        text: {
          message: `no job has ended for ${seconds(idleMs)} although jobs wait that could run`,
          details: {
            lastEndedAt: lastEndedAtMs === null ? "unknown" : iso(lastEndedAtMs),
            oldestRunnableAt: oldestAtMs === null ? "none" : iso(oldestAtMs),
          },
        },
      },
    ];
  },

  deadlines: (scene) => {
    const { nearestDeadlinesMs, batches } = scene.readings;
    if (nearestDeadlinesMs === null || batches === null) return null;
    const callMs = callP95Ms(scene);
    const calls = nearestDeadlinesMs.filter((deadlineMs) => deadlineMs - scene.nowMs < callMs).length;
    const late = batches.filter((batch) => isLate(scene, batch)).length;
    const raiseAt = scene.settings.deadlinesMax + 1;
    return [
      {
        subject: "",
        value: calls + late,
        raiseAt,
        clearBelow: Math.max(1, raiseAt * CLEAR_SHARE),
        text: {
          message: `${String(calls)} waiting jobs and ${String(late)} batches have deadlines nearer than they are counted on to take`,
          details: { waitingJobs: String(calls), batches: String(late), callP95Ms: String(Math.round(callMs)) },
        },
      },
    ];
  },

  in_doubt: ({ readings, settings }) =>
    readings.doubts === null
      ? null
      : [
          {
            subject: "",
            value: readings.doubts,
            raiseAt: settings.inDoubtMax + 1,
            clearBelow: Math.max(1, (settings.inDoubtMax + 1) * CLEAR_SHARE),
            text: {
              message: `${String(readings.doubts)} attempts may have been billed and nobody knows what they came to: sluice in-doubt ls`,
              details: { inDoubt: String(readings.doubts) },
            },
          },
        ],

  dead_letters: ({ window, settings, countedMs }) => {
    // Over less than a minute a few at once would be a high rate.
    const perMinute = (window.deadLetters * MINUTE_MS) / Math.max(countedMs, MINUTE_MS);
    return [
      {
        subject: "",
        value: perMinute,
        raiseAt: settings.deadLettersPerMinute,
        clearBelow: settings.deadLettersPerMinute * CLEAR_SHARE,
        text: {
          message: `${String(window.deadLetters)} dead letters in the last ${minutes(countedMs)}: sluice dlq ls`,
          details: { deadLetters: String(window.deadLetters) },
        },
      },
    ];
  },

  batch_slow: (scene) => scene.readings.batches?.map((batch) => slowMeasure(scene, batch)) ?? null,
};

function budgetMeasures({ budget, settledNanoUsd, reservedNanoUsd }: BudgetReading): readonly Measure[] {
  if (budget.commitment === true) return [];
  const { level: whose, window, limitNanoUsd } = budget;
  const who = levelText(whose);
  const spent = percentOf(settledNanoUsd, limitNanoUsd);
  const committed = percentOf(settledNanoUsd + reservedNanoUsd, limitNanoUsd);
  const measure = (percent: number, value: number, raiseAt: number, what: string): Measure => ({
    subject: `${who}/${window}/${String(percent)}`,
    value,
    raiseAt,
    clearBelow: raiseAt - PERCENT_BACK,
    text: {
      message: `${who} ${what} its budget of ${dollars(limitNanoUsd)} (${window})`,
      ...(whose.of === "tenant" ? { tenant: whose.tenant } : { account: whose.account }),
      details: {
        window,
        percent: String(percent),
        limitNanoUsd: limitNanoUsd.toString(),
        settledNanoUsd: settledNanoUsd.toString(),
        reservedNanoUsd: reservedNanoUsd.toString(),
      },
    },
  });
  return [
    ...SPENT_PERCENTS.map((percent) =>
      measure(percent, spent, percent, `has spent ${percentText(spent / PERCENT)} of`),
    ),
    // What calls may cost that are out counts here: it is what keeps new ones waiting.
    measure(PERCENT, committed, USED_UP_PERCENT, "has used up"),
  ];
}

/** To a hundredth, so that big amounts stay exact enough as numbers. A limit of nothing is used up from the start. */
function percentOf(part: bigint, whole: bigint): number {
  return whole <= 0n ? PERCENT : Number((part * 10_000n) / whole) / PERCENT;
}

/** Of a limit by the minute, over the window; what ended counts, so it is a little late, and a token's share without long answers' rest. */
function limitMeasure({ window, settings, countedMs }: AlertScene, account: string, rule: LimitRule): Measure {
  const { key, unit, limit } = rule;
  const used = usesOf(callsOf(window, account), rule.subject).reduce((sum, use) => sum + use[unit], 0);
  const share = (used * MINUTE_MS) / Math.max(countedMs, MINUTE_MS) / limit;
  return {
    subject: key,
    value: share,
    raiseAt: settings.rateLimitUse,
    clearBelow: settings.rateLimitUse * CLEAR_SHARE,
    text: {
      message: `${key}: ${percentText(share)} of the limit of ${String(limit)} used in the last ${minutes(countedMs)}`,
      account,
      details: { limit: String(limit), unit, usedPercent: String(Math.floor(share * PERCENT)) },
    },
  };
}

function usesOf({ used, usedByKind = {} }: CallCounts, { model, endpoint, tier }: LimitSubject): readonly LimitUse[] {
  const kind = endpoint ?? tier;
  if (kind === null)
    return Object.entries(used).flatMap(([name, use]) => (model === null || model === name ? [use] : []));
  const use = usedByKind[kind];
  return use === undefined ? [] : [use];
}

/**
 * Down: nothing of the account went well in the window, and enough failed or a breaker of it is open, which keeps others from failing; or
 * the breaker of all of it is open.
 */
function downMeasure({ window, settings, readings, countedMs }: AlertScene, account: string): Measure {
  const open = readings.breakers?.filter((breaker) => breaker.account === account && breaker.open) ?? [];
  const whole = open.find(({ model }) => model === null);
  const { calls, failed } = callsOf(window, account);
  const well = calls - failed > 0;
  const down = whole !== undefined || (!well && (failed >= settings.downCallsMin || open.length > 0));
  const shown = whole ?? open[0];
  const message =
    shown === undefined
      ? `all ${String(calls)} calls of ${account} failed in the last ${minutes(countedMs)}`
      : `${shown.model === null ? account : `${account}/${shown.model}`} is not called for now: ${shown.reason}`;
  return {
    subject: account,
    value: down ? 1 : well ? 0 : null,
    raiseAt: 1,
    clearBelow: 1,
    text: { message, account, details: { calls: String(calls), failed: String(failed) } },
  };
}

/** The slowest account's, of those that are known; the prior without any. */
function callP95Ms({ window, callPriorMs }: AlertScene): number {
  const known = Object.values(window.accounts)
    .filter(({ ms }) => durationsIn(ms) >= DURATIONS_MIN)
    .map(({ ms }) => quantileMs(ms, 95) ?? 0);
  return known.length === 0 ? callPriorMs : Math.max(...known);
}

function isLate({ turnaround }: AlertScene, batch: BatchReading): boolean {
  const { p95Ms } = expectedTurnaround(turnaround, batch.account, batch.model);
  return batch.nearestDeadlineMs !== null && batch.submittedAtMs + p95Ms > batch.nearestDeadlineMs;
}

function slowMeasure({ turnaround, settings, nowMs }: AlertScene, batch: BatchReading): Measure {
  const { medianMs } = expectedTurnaround(turnaround, batch.account, batch.model);
  const outMs = nowMs - batch.submittedAtMs;
  const raiseAt = medianMs * settings.batchMedians;
  const id = batchId(batch.no);
  return {
    subject: id,
    value: outMs,
    raiseAt,
    // The median may rise while it is out; only its end makes it good.
    clearBelow: 0,
    text: {
      message: `batch ${id} at ${batch.account} is out for ${minutes(outMs)}, half of its kind take ${minutes(medianMs)} at most`,
      account: batch.account,
      batchId: id,
      details: { lines: String(batch.lines), outMs: String(outMs), medianMs: String(Math.round(medianMs)) },
    },
  };
}

function callsOf(window: Tally, account: string): CallCounts {
  return window.accounts[account] ?? { calls: 0, failed: 0, ms: {}, used: {} };
}

function dollars(nanoUsd: bigint): string {
  return `$${(Number(nanoUsd) / 1e9).toFixed(2)}`;
}

function percentText(share: number): string {
  return `${String(Math.floor(share * PERCENT))} %`;
}

function seconds(ms: number): string {
  return `${String(Math.round(ms / 100) / 10)} s`;
}

function minutes(ms: number): string {
  return ms < MINUTE_MS ? seconds(ms) : `${String(Math.round(ms / MINUTE_MS))} min`;
}
