import { nanoUsdFromText } from "../cost/decimal-money.js";
import { bodyHashOf, executionKey, jobIdHash, requestDigest } from "../dedupe/request-hash.js";
import type { EpochMs } from "../ids.js";
import { judgeRules } from "../route/route-rules.js";
import type { ReuseSettings, RoutingTerms, TenantTerms } from "./admission-settings.js";
import { canonicalJson } from "./canonical.js";
import { defaultPolicy, EXPECT_DEFAULT } from "./default-policy.js";
import type { ExpectDocument, JobDocument, RequireDocument } from "./job-document.js";
import {
  TIERS,
  type AdmittedJob,
  type ExpectedAnswer,
  type IncomingRecord,
  type JobRequirements,
  type ReplyEnvelope,
  type RequestFormat,
  type RoutePolicy,
  type Tier,
} from "./job.js";

/** A checked job and what was found out about it on the way. */
export interface JobParts {
  readonly record: IncomingRecord;
  readonly tenant: string;
  readonly terms: TenantTerms;
  readonly jobId: string;
  readonly format: RequestFormat;
  readonly model: string;
  readonly document: JobDocument;
  /** The sender's text of the body, the members about streaming left out. */
  readonly bodyText: string;
  readonly submittedAtMs: EpochMs;
  readonly deadlineMs: EpochMs;
  readonly reply: ReplyEnvelope;
  readonly headersDropped: number;
  readonly configRevision: string;
  readonly reuse: ReuseSettings;
  readonly routing: RoutingTerms;
  readonly nowMs: EpochMs;
}

const PRIORITY_DEFAULT = 5;

/** Fills in the defaults and computes the hashes. */
export function buildJob(parts: JobParts): AdmittedJob {
  const { document, record, tenant, format, reuse } = parts;
  const requirements = requirementsOf(document.require ?? {});
  const tier = lowerTier(parts.terms.tier, document.tier ?? null);
  const labels = labelsOf(parts.terms, document);
  const policy = policyOf(parts, requirements, tier, labels);
  const digest = requestDigest(format, canonicalJson(parts.bodyText));
  const dedupe = reuse.dedupe && (document.dedupe ?? true);
  const job: AdmittedJob = {
    record: { topic: record.topic, partition: record.partition, offset: record.offset },
    tenant,
    jobId: parts.jobId,
    idHash: jobIdHash(parts.jobId),
    format,
    bodyText: parts.bodyText,
    bodyHash: bodyHashOf(digest),
    executionKey: executionKey({
      tenant,
      requestDigest: digest,
      sample: document.sample ?? null,
      policy,
      configRevision: parts.configRevision,
    }),
    mode: document.mode ?? "auto",
    submittedAtMs: parts.submittedAtMs,
    deadlineMs: parts.deadlineMs,
    priority: document.priority ?? PRIORITY_DEFAULT,
    tier,
    labels,
    requirements,
    policy,
    dedupe,
    // A call of its own that is lent to nobody neither takes a stored answer nor leaves one.
    cacheRead: dedupe && reuse.cache && (document.cache?.read ?? true),
    cacheWrite: dedupe && reuse.cache && (document.cache?.write ?? true),
    cacheMaxAgeMs: document.cache?.maxAgeMs ?? reuse.cacheMaxAgeMs,
    explain: document.explain ?? false,
    reply: parts.reply,
  };
  return parts.headersDropped === 0 ? job : { ...job, headersDropped: parts.headersDropped };
}

/** The job's labels over those of its tenant. `fromEntries` makes `__proto__` a label like another. */
export function labelsOf(terms: TenantTerms, document: JobDocument): Readonly<Record<string, string>> {
  const own = document.labels ?? {};
  return terms.labels === undefined
    ? own
    : Object.fromEntries([...Object.entries(terms.labels), ...Object.entries(own)]);
}

function lowerTier(highest: Tier, asked: Tier | null): Tier {
  if (asked === null) return highest;
  return TIERS.indexOf(asked) < TIERS.indexOf(highest) ? asked : highest;
}

function requirementsOf(require: RequireDocument): JobRequirements {
  return {
    capabilities: sortedSet(require.capabilities) ?? [],
    providers: sortedSet(require.providers),
    selfHostedOnly: require.selfHostedOnly ?? false,
    regions: sortedSet(require.regions),
    maxCostNanoUsd: typeof require.maxCostUsd === "string" ? nanoUsdFromText(require.maxCostUsd) : null,
    maxLatencyMs: require.maxLatencyMs ?? null,
  };
}

function policyOf(
  parts: JobParts,
  requirements: JobRequirements,
  tier: Tier,
  labels: Readonly<Record<string, string>>,
): RoutePolicy {
  const { document, terms, routing, tenant, model, bodyText } = parts;
  const rules = judgeRules(routing.rules, { tenant, tier, model, labels, bodyText }, parts.nowMs);
  const byDefault = defaultPolicy(parts.model);
  return {
    ...byDefault,
    chain: document.chain ?? byDefault.chain,
    providers: requirements.providers,
    capabilities: requirements.capabilities,
    selfHostedOnly: requirements.selfHostedOnly,
    regions: requirements.regions,
    expect: expectOf(document.expect ?? {}),
    onDoubt: document.onDoubt ?? null,
    ...(terms.providers === undefined ? {} : { allowed: terms.providers }),
    ...(rules === null ? {} : { rules }),
    ...(tier === "standard" || !(routing.limitsByTier || routing.scored.has(model)) ? {} : { tier }),
    ...(requirements.maxLatencyMs === null ? {} : { maxLatencyMs: requirements.maxLatencyMs }),
  };
}

function expectOf(expect: ExpectDocument): ExpectedAnswer {
  return {
    jsonSchema: expect.jsonSchema ?? EXPECT_DEFAULT.jsonSchema,
    notEmpty: expect.notEmpty ?? EXPECT_DEFAULT.notEmpty,
    complete: expect.complete ?? EXPECT_DEFAULT.complete,
  };
}

/** Sets have no order, so two jobs that write one differently share a call. An empty one asks for nothing, like an absent one. */
function sortedSet(words: readonly string[] | null | undefined): readonly string[] | null {
  return words === null || words === undefined || words.length === 0 ? null : [...new Set(words)].sort();
}
