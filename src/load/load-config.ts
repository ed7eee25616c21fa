import type { Topics } from "../bench/bench-place.js";
import { JOB_KINDS } from "./job-kinds.js";

/** Flags of the simulated providers: an answer takes a while, and a day of a batch passes in a second. */
export const SIMULATOR_FLAGS: readonly string[] = [
  ...["--latency-ms", "50", "--jitter-ms", "20", "--time-scale", "86400"],
  ...["--batch-times", JSON.stringify({ turnaroundMs: 43_200_000, jitterMs: 3_600_000 })],
];
const PATHS = { openai: "/v1", anthropic: "", gemini: "/v1beta" } as const;
const CONCURRENCY = 128;

export function loadGroupId({ jobs }: Topics): string {
  return `load-${jobs}`;
}

/** The router's config: an account for each kind of job, named as the kind is, and an alias of the same name. */
export function loadConfig(topics: Topics, simulatorUrl: string, pendingJobsMax: number): unknown {
  const accounts = JOB_KINDS.map(({ name, provider, mode }) => {
    const account = {
      ...{ kind: provider, baseUrl: `${simulatorUrl}${PATHS[provider]}`, apiKey: "${OPENAI_API_KEY}" },
      ...{ limits: { concurrency: CONCURRENCY }, callTimeoutMs: 60_000 },
      ...(mode === "batch" ? { batch: { flushAfterMs: 1000 } } : {}),
    };
    return [name, account] as const;
  });
  const models = JOB_KINDS.map(({ name, model }) => [name, { candidates: [{ provider: name, model }] }] as const);
  return {
    environment: "load",
    kafka: { brokers: ["${KAFKA_BROKERS}"], groupId: loadGroupId(topics) },
    topics: { jobs: [topics.jobs], results: topics.results, costs: topics.costs, events: topics.events },
    postgres: { url: "${DATABASE_URL}" },
    auth: { tenantFrom: "body" },
    tenants: { load: { tier: "standard" } },
    providers: Object.fromEntries(accounts),
    models: Object.fromEntries(models),
    limits: { pending: { jobsMax: pendingJobsMax } },
    batching: { lookEveryMs: 200, pollMinMs: 250, pollMaxMs: 2000, turnaroundPriorMs: 60_000, callTimeoutMs: 10_000 },
    http: { port: 0 },
  };
}
