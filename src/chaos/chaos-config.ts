import { parse, stringify } from "yaml";
import { demoConfig, simulatedAccounts, type DemoTopics } from "../demo/demo-config.js";
import { DEMO_SCOPE } from "../demo/demo-scope.js";
import { POOR_TENANTS, RICH_TENANTS } from "./publishing/chaos-jobs.js";

export interface ChaosConfigOptions {
  readonly environment: string;
  readonly topics: DemoTopics;
  readonly doubt: "retry" | "fail";
  readonly jobs: number;
  readonly journalFolder: string;
  /** Of health and metrics; 0 for commands. */
  readonly httpPort: number;
}

/** The longest call of a router to a provider. */
export const CALL_TIMEOUT_MS = 8000;
const CREATE_GRACE_MS = 20_000;
const GRACE_MS = 10_000;

/** Far above what a run calls: they are there so that routers share grants in Redis, and that Redis is missed. */
const RATE_LIMITS = { requestsPerMinute: 60_000, tokensPerMinute: 60_000_000 };

/** What everything may cost without ever being short of money. */
const RICH_LIMIT_USD = "50";
/** A call of the poor tenants costs some 60 micro-dollars and is held against its budget with some 850. */
const POOR_LIMIT_MIN_MICRO_USD = 2000;
/** A poor tenant has one job in eighty, and money for about half of them. */
const POOR_LIMIT_PER_JOB_MICRO_USD = 0.4;

/** Limits of money in dollars, by tenant; for all time. */
export function budgetsUsd(jobs: number): Readonly<Record<string, string>> {
  const poorMicroUsd = Math.max(POOR_LIMIT_MIN_MICRO_USD, Math.ceil(jobs * POOR_LIMIT_PER_JOB_MICRO_USD));
  return Object.fromEntries([
    ...RICH_TENANTS.map((tenant) => [tenant, RICH_LIMIT_USD]),
    ...POOR_TENANTS.map((tenant) => [tenant, (poorMicroUsd / 1e6).toFixed(6)]),
  ]) as Readonly<Record<string, string>>; // pairs of text
}

interface DemoSections {
  readonly tenants: Readonly<Record<string, unknown>>;
  readonly providers: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/**
 * The demo's config with what a run of chaos has of its own: budgets, and times short enough that everything settles within a minute of the
 * last fault. Batches are made at one account only: Anthropic's are told apart by their numbers of lines, and kills leave many small ones.
 */
export function chaosConfig(options: ChaosConfigOptions): string {
  const { environment, topics, doubt, journalFolder } = options;
  const accounts = simulatedAccounts(DEMO_SCOPE);
  const demo = { environment, topics, doubt, accounts, mix: "mixed", shopElsewhere: false, journalFolder } as const;
  // Our own text of a moment ago, so the shape is known.
  const base = parse(demoConfig(demo)) as DemoSections & Readonly<Record<string, unknown>>;
  const inDoubt = { policy: doubt, graceMs: GRACE_MS, createGraceMs: CREATE_GRACE_MS };
  const times = { callTimeoutMs: CALL_TIMEOUT_MS, idleTimeoutMs: CALL_TIMEOUT_MS, connectTimeoutMs: 2000 };
  return stringify({
    ...base,
    tenants: { ...base.tenants, ...Object.fromEntries(POOR_TENANTS.map((tenant) => [tenant, { tier: "standard" }])) },
    providers: Object.fromEntries(
      Object.entries(base.providers).map(([name, { batch, ...account }]) => [
        name,
        {
          ...account,
          ...times,
          limits: { ...(account["limits"] as object), ...RATE_LIMITS }, // the demo's own section
          inDoubt,
          ...(account["kind"] === "openai" ? { batch } : {}),
        },
      ]),
    ),
    kafka: {
      brokers: ["${KAFKA_BROKERS}"],
      // A rebalance waits so long for a killed router; with 6 s it seldom ended before the next kill, and nobody read meanwhile.
      ...{ sessionTimeoutMs: 3000, heartbeatMs: 750 },
      ...{ requestTimeoutMs: 10_000, sendTimeoutMs: 10_000, watchdogMs: 15_000 },
    },
    postgres: {
      url: "${DATABASE_URL}",
      statementTimeoutMs: 10_000,
      connectionTimeoutMs: 3000,
      session: { beatMs: 2000, stopAfterMs: 6000, deadAfterMs: 10_000 },
    },
    health: { cooldownMs: 1000, cooldownMaxMs: 10_000, accountCooldownMs: 5000, rampMs: 5000, lookEveryMs: 1000 },
    delivery: { backoffMaxMs: 5000, retryAfterMaxMs: 5000, attemptsMax: 8 },
    budgets: Object.entries(budgetsUsd(options.jobs)).map(([tenant, limitUsd]) => ({ tenant, limitUsd })),
    http: { port: options.httpPort },
  });
}
