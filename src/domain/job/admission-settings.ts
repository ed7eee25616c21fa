import type { LifetimeLimits } from "./deadline.js";
import type { JobShapeCheck } from "./job-document.js";
import type { RouteRule } from "../route/route-rules.js";
import { BUILT_IN_CHAINS } from "../route/score-weights.js";
import type { Tier } from "./job.js";

/** What admission needs to know of the config. */
export interface AdmissionSettings {
  /** Name of the Kafka cluster: part of derived job ids and of the ids of refusals. */
  readonly cluster: string;
  readonly tenantFrom: TenantSource;
  /** Jobs topic to the tenant that owns it; only read when `tenantFrom` is `topic`. */
  readonly topicTenants: ReadonlyMap<string, string>;
  readonly tenants: ReadonlyMap<string, TenantTerms>;
  readonly limits: AdmissionLimits;
  readonly copiedHeaders: CopiedHeaderLimits;
  readonly lifetime: LifetimeLimits;
  readonly reuse: ReuseSettings;
  /** Where results go that name no topic; `{tenant}` in it stands for the tenant. Allowed to every tenant. */
  readonly resultsTopic: string;
  /** Part of every execution key: changes with whatever in the config decides about routes. */
  readonly configRevision: string;
  readonly routing: RoutingTerms;
  /** From the published schema: `compileJobShapeCheck`. */
  readonly checkShape: JobShapeCheck;
}

/** Whether jobs may share calls and answers at all; a job can only want less. */
export interface ReuseSettings {
  /** False: every job has a call of its own, and no answer serves a second job. */
  readonly dedupe: boolean;
  /** False: finished answers serve no later job. */
  readonly cache: boolean;
  /** Oldest answer for a job that names no age; null: any age that is still kept. */
  readonly cacheMaxAgeMs: number | null;
}

/** What of routing is settled when a job is accepted. */
export interface RoutingTerms {
  /** Names that a job's `chain` may have. */
  readonly chains: ReadonlySet<string>;
  readonly rules: readonly RouteRule[];
  /** Aliases whose candidates are chosen by score. */
  readonly scored: ReadonlySet<string>;
  /** Whether an account has limits by the tier of jobs. */
  readonly limitsByTier: boolean;
}

/** Where a job's tenant comes from. Signatures are not built yet and are refused by the config. */
export type TenantSource = "topic" | "body";

export interface TenantTerms {
  /** The highest tier its jobs may ask for. */
  readonly tier: Tier;
  /** Topics that its jobs may name for their results. */
  readonly replyTopics: readonly string[];
  /** Accounts, or `account/model`, that its jobs may use; left out: all. Sorted. */
  readonly providers?: readonly string[];
  /** Labels of every job of the tenant that doesn't set them itself. */
  readonly labels?: Readonly<Record<string, string>>;
}

export interface AdmissionLimits {
  readonly valueBytesMax: number;
  /** Containers that may lie in one another. */
  readonly depthMax: number;
  readonly headerCountMax: number;
  /** Names and values together. */
  readonly headerBytesMax: number;
}

/** Reason: a real request stays far below each of these; Kafka's own default limit of a message is 1 MiB. */
export const DEFAULT_ADMISSION_LIMITS: AdmissionLimits = {
  valueBytesMax: 1_048_576,
  depthMax: 64,
  headerCountMax: 256,
  headerBytesMax: 65_536,
};

export interface CopiedHeaderLimits {
  readonly countMax: number;
  /** Names and values together. */
  readonly bytesMax: number;
}

export const DEFAULT_COPIED_HEADER_LIMITS: CopiedHeaderLimits = { countMax: 32, bytesMax: 8_192 };

/** No rules, the chains that are always there, every alias in its written order. */
export const DEFAULT_ROUTING_TERMS: RoutingTerms = {
  chains: new Set(Object.keys(BUILT_IN_CHAINS)),
  rules: [],
  scored: new Set(),
  limitsByTier: false,
};
