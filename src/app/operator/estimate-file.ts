import { createAdmission, type JobAdmission } from "../../domain/job/admit.js";
import {
  DEFAULT_ADMISSION_LIMITS,
  DEFAULT_COPIED_HEADER_LIMITS,
  DEFAULT_ROUTING_TERMS,
  type TenantTerms,
} from "../../domain/job/admission-settings.js";
import type { AdmittedJob } from "../../domain/job/job.js";
import { estimateRequest, type EstimatedCost } from "../../domain/cost/estimate-request.js";
import { createRoutePlanner, type PlanRoutes } from "../../domain/route/plan-routes.js";
import { readRequestFacts } from "../../domain/route/request-facts.js";
import { lazyTokenizer } from "../../adapters/tokenizer/lazy-tokenizer.js";
import { LearnedTokenEstimates } from "../../adapters/tokenizer/token-estimates.js";
import { compileJobShapeCheck } from "../../adapters/registry/job-schema.js";
import type { Config } from "../../config/config.js";
import { buildCatalog, listCatalog } from "../build-domain.js";
import { buildRoutingTerms } from "../build-routing.js";
import { readJobLines, type JobLineText } from "./job-lines.js";
import { SeenNumbers } from "./seen-numbers.js";

/** Money in nano-dollars: what each step beyond the one before leaves. */
export interface EstimatedSums {
  readonly requests: number;
  /** Of these, unlike all before them. */
  readonly distinct: number;
  /** Of all requests, as they are. */
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** Each request by a call of its own, on the first route of its model. */
  readonly direct: bigint;
  /** Each distinct one once. */
  readonly deduped: bigint;
  /** And in a batch, where it may wait. */
  readonly batched: bigint;
  /** And on the cheapest route that can serve it. */
  readonly routed: bigint;
}

export interface BadLine {
  readonly line: number;
  readonly message: string;
}

export interface FileEstimate {
  /** By model as the requests name it; those beyond `MODELS_MAX` together, under null. */
  readonly models: ReadonlyMap<string | null, EstimatedSums>;
  readonly total: EstimatedSums;
  readonly bad: number;
  /** The first of them. */
  readonly badLines: readonly BadLine[];
}

const NONE: EstimatedSums = {
  requests: 0,
  distinct: 0,
  promptTokens: 0,
  outputTokens: 0,
  direct: 0n,
  deduped: 0n,
  batched: 0n,
  routed: 0n,
};
const MODELS_MAX = 1_000;
const BAD_LINES_MAX = 100;
/** Of lines that name no tenant. */
const NO_TENANT = "estimate";

/**
 * What the requests of a file would cost, from the config and the price list alone; without a config, at list prices with every provider. The
 * file is read line by line; of each request a number is kept, so that a repeat is known. A line that is no job stands in nobody's way.
 * @param outputTokens of each answer; null: as many as its cap allows.
 * @throws what opening the file throws; PriceTableError.
 */
export async function estimateFile(
  file: string,
  config: Config | null,
  outputTokens: number | null,
  nowMs: number,
): Promise<FileEstimate> {
  const estimator = new FileEstimator(config, outputTokens, nowMs);
  for await (const line of readJobLines(file, { tenant: null, mode: null, ttlMs: null }))
    if (line.kind === "bad") estimator.leave(line.number, line.message);
    else estimator.add(line.job);
  return estimator.found();
}

class FileEstimator {
  readonly #estimates = new LearnedTokenEstimates(lazyTokenizer());
  readonly #planRoutes: PlanRoutes;
  readonly #terms = new AnyTenant();
  readonly #admission: JobAdmission;
  readonly #dedupe: boolean;
  readonly #outputTokens: number | null;
  readonly #nowMs: number;
  readonly #seen = new SeenNumbers();
  readonly #models = new Map<string | null, EstimatedSums>();
  readonly #badLines: BadLine[] = [];
  #bad = 0;
  #total = NONE;

  constructor(config: Config | null, outputTokens: number | null, nowMs: number) {
    const catalog = config === null ? listCatalog() : buildCatalog(config);
    this.#planRoutes = createRoutePlanner(catalog, this.#estimates.atLeast);
    this.#admission = admissionFor(config, this.#terms);
    this.#dedupe = config?.dedupe.enabled !== false;
    this.#outputTokens = outputTokens;
    this.#nowMs = nowMs;
  }

  leave(line: number, message: string): void {
    this.#bad += 1;
    if (this.#badLines.length < BAD_LINES_MAX) this.#badLines.push({ line, message });
  }

  add(line: JobLineText): void {
    const job = this.#admitted(line);
    if (typeof job === "string") {
      this.leave(line.number, job);
      return;
    }
    const { bodyText, format, requirements } = job;
    const facts = readRequestFacts(format, bodyText, Buffer.byteLength(bodyText), requirements.maxCostNanoUsd);
    const plan = this.#planRoutes(job.policy, facts);
    const cost = estimateRequest({
      facts,
      routes: plan.routes,
      mayWait: job.mode !== "direct",
      outputTokens: this.#outputTokens,
      promptTokens: this.#estimates.promptTokens,
    });
    if (cost === null)
      this.leave(line.number, plan.failure?.message ?? "no price is known for a prompt of this length");
    else this.#count(job.policy.model, cost, this.#isNew(job));
  }

  found(): FileEstimate {
    return { models: this.#models, total: this.#total, bad: this.#bad, badLines: this.#badLines };
  }

  #admitted({ number, text, tenant, replyTo }: JobLineText): AdmittedJob | string {
    this.#terms.replyTo = replyTo;
    const record = {
      topic: tenant ?? NO_TENANT,
      partition: 0,
      offset: number,
      timestampMs: this.#nowMs,
      key: null,
      headers: [],
      value: Buffer.from(text),
    };
    const admission = this.#admission.admit(record, this.#nowMs);
    if (admission.kind === "job") return admission.job;
    return admission.kind === "refused" ? `${admission.refusal.code}: ${admission.refusal.message}` : "it is no job";
  }

  /** Six bytes of the key: two of a million requests are taken for one, though they are not, once in five hundred files. */
  #isNew(job: AdmittedJob): boolean {
    if (!this.#dedupe || !job.dedupe) return true;
    return this.#seen.add(1 + job.executionKey.readUIntBE(0, 6));
  }

  #count(model: string, cost: EstimatedCost, isNew: boolean): void {
    const name = this.#models.has(model) || this.#models.size < MODELS_MAX ? model : null;
    this.#models.set(name, plus(this.#models.get(name) ?? NONE, cost, isNew));
    this.#total = plus(this.#total, cost, isNew);
  }
}

function plus(sums: EstimatedSums, cost: EstimatedCost, isNew: boolean): EstimatedSums {
  return {
    requests: sums.requests + 1,
    distinct: sums.distinct + (isNew ? 1 : 0),
    promptTokens: sums.promptTokens + cost.promptTokens,
    outputTokens: sums.outputTokens + cost.outputTokens,
    direct: sums.direct + cost.direct,
    deduped: sums.deduped + (isNew ? cost.direct : 0n),
    batched: sums.batched + (isNew ? cost.batched : 0n),
    routed: sums.routed + (isNew ? cost.routed : 0n),
  };
}

/** Nobody is asked who a line is from: each tenant that one names has a topic of its own, and may have its answers sent where it says. */
class AnyTenant extends Map<string, TenantTerms> {
  replyTo: string | null = null;

  override get(): TenantTerms {
    return { tier: "premium", replyTopics: this.replyTo === null ? [] : [this.replyTo] };
  }

  override has(): boolean {
    return true;
  }
}

/** The topic of a tenant has its name. */
class OwnTopics extends Map<string, string> {
  override get(topic: string): string {
    return topic;
  }

  override has(): boolean {
    return true;
  }
}

const WEEK_MS = 604_800_000;
const LIFETIME = { defaultTtlMs: 86_400_000, defaultTtlBatchMs: 172_800_000, maxTtlMs: WEEK_MS };

function admissionFor(config: Config | null, tenants: ReadonlyMap<string, TenantTerms>): JobAdmission {
  return createAdmission({
    cluster: "estimate",
    tenantFrom: "topic",
    topicTenants: new OwnTopics(),
    tenants,
    limits: config?.limits.intake ?? DEFAULT_ADMISSION_LIMITS,
    copiedHeaders: DEFAULT_COPIED_HEADER_LIMITS,
    lifetime: config?.delivery ?? LIFETIME,
    reuse: { dedupe: true, cache: true, cacheMaxAgeMs: null },
    resultsTopic: "results",
    configRevision: "estimate",
    routing: config === null ? DEFAULT_ROUTING_TERMS : buildRoutingTerms(config),
    checkShape: compileJobShapeCheck(),
  });
}
