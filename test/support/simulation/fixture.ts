import { createHash } from "node:crypto";
import { kindFacts } from "../../../src/adapters/providers/registry.js";
import { compileJobShapeCheck } from "../../../src/adapters/registry/job-schema.js";
import { createAdmission, type JobAdmission } from "../../../src/domain/job/admit.js";
import {
  DEFAULT_ADMISSION_LIMITS,
  DEFAULT_COPIED_HEADER_LIMITS,
  DEFAULT_ROUTING_TERMS,
} from "../../../src/domain/job/admission-settings.js";
import { parsePriceTable } from "../../../src/domain/cost/price-table.js";
import type { IncomingRecord, JobMode } from "../../../src/domain/job/job.js";
import { createRenderer } from "../../../src/domain/result/render.js";
import type { RenderSettings } from "../../../src/domain/result/rendering.js";
import type { Catalog } from "../../../src/domain/route/catalog.js";
import { createRoutePlanner } from "../../../src/domain/route/plan-routes.js";

/** What the simulated gateway is configured with, and records as a producer writes them. */

export const JOBS_TOPIC = "sim.jobs";
export const RESULTS_TOPIC = "sim.results";
export const COSTS_TOPIC = "sim.costs";
export const EVENTS_TOPIC = "sim.events";
/** A reply topic that tenants may name; the broker lacks it in some seeds, for a while or for good. */
export const SIDE_TOPIC = "sim.side";
export const DLQ_TOPIC = `${JOBS_TOPIC}.dlq`;
/** 2026-12-01T12:00:00Z */
export const START_MS = 1_796_126_400_000;
export const ACCOUNTS = ["alpha", "beta"] as const;
/** 1 and 4 US dollars per million tokens. */
export const INPUT_NANO_PER_TOKEN = 1000n;
export const OUTPUT_NANO_PER_TOKEN = 4000n;
/** Half of it. */
export const BATCH_INPUT_NANO_PER_TOKEN = 500n;
export const BATCH_OUTPUT_NANO_PER_TOKEN = 2000n;

const MODEL = {
  inputPerMTok: 1,
  outputPerMTok: 4,
  batchInputPerMTok: 0.5,
  batchOutputPerMTok: 2,
  contextWindow: 100_000,
  maxOutputTokens: 4096,
  capabilities: ["chat"],
};

export const CATALOG: Catalog = catalogOf(ACCOUNTS);

/**
 * @param candidates the accounts of the alias, in the order in which they are tried.
 * @param grouped accounts whose provider has no batch API.
 */
export function catalogOf(candidates: readonly string[], grouped: readonly string[] = []): Catalog {
  const { batch, ...facts } = kindFacts("openai");
  if (batch === undefined) throw new Error("expected a kind with batches");
  return {
    prices: parsePriceTable({ asOf: "2026-12-01", models: { "openai/sim-alpha": MODEL, "openai/sim-beta": MODEL } }),
    accounts: ACCOUNTS.map((name) => ({
      name,
      facts: grouped.includes(name) ? facts : { ...facts, batch },
      regions: null,
      prices: null,
      maxOutputTokensDefault: 256,
      capabilities: null,
    })),
    aliases: [
      {
        name: "sim",
        maxOutputTokensDefault: 256,
        candidates: candidates.map((account) => ({ account, model: `sim-${account}` })),
      },
    ],
  };
}

export const PLAN_ROUTES = createRoutePlanner(CATALOG);
export const RENDER_SETTINGS: RenderSettings = {
  environment: "simulation",
  cluster: "sim",
  group: "sluice",
  costsTopic: COSTS_TOPIC,
  eventsTopic: EVENTS_TOPIC,
};
export const RENDER = createRenderer(RENDER_SETTINGS);

const checkShape = compileJobShapeCheck();

export function createSimulatedAdmission(): JobAdmission {
  return createAdmission({
    cluster: "sim",
    tenantFrom: "body",
    topicTenants: new Map(),
    tenants: new Map([
      ["catalogue", { tier: "standard", replyTopics: [SIDE_TOPIC] }],
      ["shop", { tier: "free", replyTopics: [SIDE_TOPIC] }],
    ]),
    limits: DEFAULT_ADMISSION_LIMITS,
    copiedHeaders: DEFAULT_COPIED_HEADER_LIMITS,
    lifetime: { defaultTtlMs: 3_600_000, defaultTtlBatchMs: 7_200_000, maxTtlMs: 86_400_000 },
    reuse: { dedupe: true, cache: true, cacheMaxAgeMs: null },
    resultsTopic: RESULTS_TOPIC,
    configRevision: "1",
    routing: DEFAULT_ROUTING_TERMS,
    checkShape,
  });
}

export interface JobWish {
  readonly jobId: string;
  readonly tenant: string;
  readonly prompt: string;
  readonly ttlMs?: number;
  readonly priority?: number;
  readonly dedupe?: boolean;
  readonly cacheRead?: boolean;
  readonly onDoubt?: "retry" | "fail";
  readonly mode?: JobMode;
  readonly replyTo?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly explain?: boolean;
}

/** A prompt that holds this is refused, and with it a whole batch. */
export const POISON = "poison";
/** A prompt that holds this is answered at a length that the broker does not take. */
export const AT_LENGTH = "at length";

export function jobValue(wish: JobWish): Buffer {
  return Buffer.from(JSON.stringify({ ...membersOf(wish), body: bodyOf(wish) }), "utf8");
}

function bodyOf({ prompt }: JobWish): object {
  return { model: "sim", messages: [{ role: "user", content: prompt }] };
}

function membersOf(wish: JobWish): object {
  const { jobId, tenant, ttlMs, priority, dedupe, cacheRead, onDoubt, replyTo, mode, labels, explain } = wish;
  return {
    jobId,
    tenant,
    format: "openai.chat",
    ...(ttlMs === undefined ? {} : { ttlMs }),
    ...(priority === undefined ? {} : { priority }),
    ...(dedupe === undefined ? {} : { dedupe }),
    ...(cacheRead === undefined ? {} : { cache: { read: cacheRead } }),
    ...(onDoubt === undefined ? {} : { onDoubt }),
    ...(replyTo === undefined ? {} : { replyTo }),
    ...(mode === undefined ? {} : { mode }),
    ...(labels === undefined ? {} : { labels }),
    ...(explain === undefined ? {} : { explain }),
  };
}

/** The schema that the simulated registry knows. */
export const SCHEMA_ID = 7;

/** The job in the registry's framing: 0, the schema's id, then the fields. What follows is JSON, as the fake decoder's own encoding. */
export function framedJobValue(wish: JobWish, schemaId = SCHEMA_ID): Buffer {
  const fields = JSON.stringify({ ...membersOf(wish), bodyJson: JSON.stringify(bodyOf(wish)) });
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(schemaId, 1);
  return Buffer.concat([frame, Buffer.from(fields, "utf8")]);
}

export function recordAt(
  partition: number,
  offset: number,
  timestampMs: number,
  value: Buffer | null,
  cancels?: { readonly tenant: string; readonly jobId: string },
): IncomingRecord {
  const headers =
    cancels === undefined
      ? []
      : [
          { name: "llm-action", value: Buffer.from("cancel") },
          { name: "llm-job-id", value: Buffer.from(cancels.jobId) },
          { name: "llm-tenant", value: Buffer.from(cancels.tenant) },
        ];
  return { topic: JOBS_TOPIC, partition, offset, timestampMs, key: null, value, headers };
}

/** What an honest provider puts into its answer to a prompt. */
export function digestOf(prompt: string): string {
  return createHash("sha256").update(prompt).digest("hex").slice(0, 16);
}
