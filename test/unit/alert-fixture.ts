import type { Alert, AlertRule } from "../../src/domain/alert/alert.js";
import { judgeAlerts, type AlertMemory, type AlertSight, type AlertVerdict } from "../../src/domain/alert/judge.js";
import { NOTHING_READ, type AlertReadings } from "../../src/domain/alert/readings.js";
import type { AlertSettings } from "../../src/domain/alert/settings.js";
import { EMPTY_TALLY, type Tally } from "../../src/domain/alert/tally.js";
import { turnaroundBook } from "../../src/domain/batch/turnaround.js";

export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;
export const DAY_MS = 86_400_000;
/** A Tuesday, on the hour. */
export const START_MS = Date.UTC(2026, 11, 1, 12);

export const SETTINGS: AlertSettings = {
  everyMs: 15_000,
  windowMs: 5 * MINUTE_MS,
  raiseAfterMs: 30_000,
  clearAfterMs: 60_000,
  againAfterMs: 5 * MINUTE_MS,
  errorRate: 0.2,
  errorCallsMin: 20,
  downCallsMin: 5,
  latencyP95Ms: 2000,
  standstillMs: 2 * MINUTE_MS,
  deadlinesMax: 10,
  inDoubtMax: 50,
  deadLettersPerMinute: 20,
  batchMedians: 2,
  spendFactor: 3,
  spendMinNanoUsd: 1_000_000_000n,
  rateLimitUse: 0.95,
};

const UNLIMITED = { requestsPerMinute: null, tokensPerMinute: null, requestsPerDay: null, tokensPerDay: null } as const;
/** Of account a: 100 calls a minute, 1000 tokens a minute of model m and of embeddings, 100 calls a minute of free jobs. */
const LIMITS = new Map([
  [
    "a",
    {
      ...{
        ...UNLIMITED,
        requestsPerMinute: 100,
        models: { m: { ...UNLIMITED, tokensPerMinute: 1000, tokensPerDay: 5 } },
      },
      endpoints: { embeddings: { ...UNLIMITED, tokensPerMinute: 1000 } },
      tiers: { free: { ...UNLIMITED, requestsPerMinute: 100 } },
    },
  ],
]);

/** What a router counted, with nothing but what is said. */
export function counted(changes: Partial<Tally>): Tally {
  return { ...EMPTY_TALLY, ...changes };
}

export interface Turned {
  readonly atMs: number;
  readonly name: string;
  readonly turn: "raised" | "recovered";
}

/** A gateway that is looked at every interval: readings in, turns out. What is remembered goes through JSON, as in the ledger. */
export class Watch {
  readonly settings: AlertSettings;
  readonly turns: Turned[] = [];
  nowMs = START_MS;
  #memory: string | null = null;
  #alerts: readonly Alert[] = [];
  readonly #turnaround = turnaroundBook(
    [2 * HOUR_MS, 2 * HOUR_MS, 3 * HOUR_MS].map((ms) => ({ account: "a", model: "m", ms, endedAtMs: START_MS })),
    { priorMs: 12 * HOUR_MS, windowMs: 30 * DAY_MS, perModelMax: 20 },
    START_MS,
  );

  constructor(settings: Partial<AlertSettings> = {}) {
    this.settings = { ...SETTINGS, ...settings };
  }

  get alerts(): readonly Alert[] {
    return this.#alerts;
  }

  get memoryBytes(): number {
    return this.#memory?.length ?? 0;
  }

  /** Names of those that are raised. */
  get raised(): readonly string[] {
    return this.#alerts.filter(({ state }) => state === "raised").map(({ rule, subject }) => `${rule}:${subject}`);
  }

  /** One look after an interval. @returns what turned. */
  look(
    readings: Partial<AlertReadings>,
    tally: Partial<Tally> = {},
    afterMs = this.settings.everyMs,
  ): readonly Turned[] {
    this.nowMs += afterMs;
    const sight: AlertSight = {
      nowMs: this.nowMs,
      memory: this.#memory === null ? null : (JSON.parse(this.#memory) as AlertMemory), // written below
      counted: counted(tally),
      alerts: this.#alerts,
      readings: { ...NOTHING_READ, ...readings },
    };
    const verdict = judgeAlerts(sight, {
      settings: this.settings,
      accounts: ["a", "b"],
      limits: LIMITS,
      turnaround: this.#turnaround,
      callPriorMs: 10_000,
    });
    this.#memory = JSON.stringify(verdict.memory);
    this.#alerts = stored(this.#alerts, verdict);
    const turned = verdict.changes.flatMap(({ after, turn }): readonly Turned[] =>
      after === null || turn === null ? [] : [{ atMs: this.nowMs, name: `${after.rule}:${after.subject}`, turn }],
    );
    this.turns.push(...turned);
    return turned;
  }

  /** Looks for so long with the same readings each time. */
  lookFor(ms: number, readings: Partial<AlertReadings>, tally: Partial<Tally> = {}): readonly Turned[] {
    const turned: Turned[] = [];
    for (let left = ms; left > 0; left -= this.settings.everyMs) turned.push(...this.look(readings, tally));
    return turned;
  }
}

/** As a ledger stores them: each on condition of the version before. */
function stored(alerts: readonly Alert[], { changes }: AlertVerdict): readonly Alert[] {
  const rows = new Map(alerts.map((alert) => [keyOf(alert), alert]));
  for (const { before, after } of changes) {
    const key = keyOf(after ?? before ?? { rule: "budget", subject: "" });
    if (rows.get(key)?.version !== before?.version) throw new Error(`${key} was not as it had been read`);
    if (after !== null && after.version !== (before?.version ?? 0) + 1) throw new Error(`${key} skips a version`);
    if (after === null) rows.delete(key);
    else rows.set(key, after);
  }
  return [...rows.values()];
}

function keyOf({ rule, subject }: { readonly rule: AlertRule; readonly subject: string }): string {
  return `${rule}:${subject}`;
}
