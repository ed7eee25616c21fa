import { kindFacts } from "../adapters/providers/registry.js";
import { parsePriceTable } from "../domain/cost/price-table.js";
import type { PriceTable } from "../domain/cost/price-table.js";
import { defaultPolicy } from "../domain/job/default-policy.js";
import type { Account } from "../domain/route/catalog.js";
import { planRoutes, routeMaxCostNanoUsd } from "../domain/route/plan-routes.js";
import { readRequestFacts } from "../domain/route/request-facts.js";
import type { RequestFacts } from "../domain/route/request-facts.js";
import { OUTPUT_TOKENS_MAX } from "./demo-config.js";
import type { DemoAccount } from "./demo-config.js";
import { distinctRequestKey } from "./film-jobs.js";
import type { FilmJob } from "./film-jobs.js";
import { dollars } from "./money-text.js";

/** A demo with real providers, worked out before anything is started: whose keys are there, which models, what it may cost. */
export interface RealRun {
  /** In the order of trial: the cheapest first. */
  readonly accounts: readonly DemoAccount[];
  /** For the gateway's processes; it holds no key, they have those of this environment. */
  readonly env: Readonly<Record<string, string>>;
  /** By list price, each distinct request called once, by the dearest of the accounts. */
  readonly maxNanoUsd: bigint;
  readonly distinctRequests: number;
}

/** A provider whose key the demo looks for, and the variable by which its SDK is told another address. */
interface RealProvider {
  readonly kind: string;
  readonly keyName: string;
  readonly baseUrlName: string;
  /** What our address has behind the one that the SDK takes. */
  readonly path: string;
}

const PROVIDERS: readonly RealProvider[] = [
  { kind: "openai", keyName: "OPENAI_API_KEY", baseUrlName: "OPENAI_BASE_URL", path: "" },
  { kind: "anthropic", keyName: "ANTHROPIC_API_KEY", baseUrlName: "ANTHROPIC_BASE_URL", path: "" },
  { kind: "gemini", keyName: "GEMINI_API_KEY", baseUrlName: "GOOGLE_GEMINI_BASE_URL", path: "/v1beta" },
];

/** So few that no account's rate limit is met. */
const CONCURRENCY = 4;

/** What a user has to change before a real run can begin. */
export class RealRunError extends Error {}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * @param pricingJson text of the price list.
 * @param today as `2026-11-26`: a model that the list lets end before is not asked.
 * @throws RealRunError without any of the three keys, or when a provider has no model that could answer every job.
 */
export function planRealRun(env: Environment, jobs: readonly FilmJob[], pricingJson: string, today: string): RealRun {
  const found = PROVIDERS.filter(({ keyName }) => isSet(env[keyName]));
  if (found.length === 0) {
    const names = PROVIDERS.map(({ keyName }) => keyName).join(", ");
    throw new RealRunError(`expected a key in one of ${names}; set one, or run the demo without --real`);
  }
  const requests = distinctRequests(jobs);
  const prices = parsePriceTable(pricingJson);
  const current = currentModels(pricingJson, today);
  const chosen = found
    .map((provider) => ({ provider, ...cheapestModel(provider.kind, current, requests, prices) }))
    .sort((one, other) => (one.maxNanoUsd < other.maxNanoUsd ? -1 : one.maxNanoUsd > other.maxNanoUsd ? 1 : 0));
  return {
    accounts: chosen.map(({ provider, model }) => accountOf(provider, model, env)),
    env: Object.fromEntries(found.flatMap((provider) => ownAddress(provider, env))),
    maxNanoUsd: chosen.at(-1)?.maxNanoUsd ?? 0n,
    distinctRequests: requests.length,
  };
}

/** What the user is told before money is spent. */
export function realRunText(run: RealRun, jobs: number): string {
  const where = run.accounts.map(({ kind, model }) => `${kind} (${model})`).join(", then ");
  return (
    `demo: ${String(jobs)} jobs, ${String(run.distinctRequests)} different requests at ${where}, with your keys. ` +
    `By list price at most ${dollars(run.maxNanoUsd)}, more only if a call is lost on the way and has to be repeated.`
  );
}

function isSet(value: string | undefined): value is string {
  return value !== undefined && value !== "";
}

function accountOf({ kind, keyName, baseUrlName, path }: RealProvider, model: string, env: Environment): DemoAccount {
  return {
    name: `${kind}-real`,
    kind,
    baseUrl: isSet(env[baseUrlName]) ? `\${${baseUrlName}}${path}` : null,
    apiKey: `\${${keyName}}`,
    model,
    concurrency: CONCURRENCY,
  };
}

/** An address may end with a slash for the SDKs; ours goes on behind it. */
function ownAddress({ baseUrlName }: RealProvider, env: Environment): readonly (readonly [string, string])[] {
  const url = env[baseUrlName];
  return isSet(url) ? [[baseUrlName, url.replace(/\/+$/, "")]] : [];
}

function distinctRequests(jobs: readonly FilmJob[]): readonly RequestFacts[] {
  const byKey = new Map(jobs.map((job) => [distinctRequestKey(job), job]));
  return [...byKey.values()].map(({ format, body }) => {
    const text = JSON.stringify(body);
    return readRequestFacts(format, text, Buffer.byteLength(text), null);
  });
}

/** Names that the list calls current, and that are to be there today. */
function currentModels(pricingJson: string, today: string): readonly string[] {
  const list = JSON.parse(pricingJson) as { readonly models: Readonly<Record<string, ListEntry>> }; // parsed and checked before
  return Object.entries(list.models)
    .filter(
      ([, { status, retirementDate }]) =>
        status === "current" && (retirementDate === undefined || retirementDate > today),
    )
    .map(([name]) => name);
}

interface ListEntry {
  readonly status?: string;
  readonly retirementDate?: string;
}

/** By the most that all requests may cost together; a model that can't be asked one of them is none. */
function cheapestModel(
  kind: string,
  current: readonly string[],
  requests: readonly RequestFacts[],
  prices: PriceTable,
): { readonly model: string; readonly maxNanoUsd: bigint } {
  let best: { readonly model: string; readonly maxNanoUsd: bigint } | null = null;
  for (const name of current.filter((one) => one.startsWith(`${kind}/`))) {
    const maxNanoUsd = mostAt(kind, name, requests, prices);
    if (maxNanoUsd !== null && (best === null || maxNanoUsd < best.maxNanoUsd))
      best = { model: name.slice(kind.length + 1), maxNanoUsd };
  }
  if (best === null)
    throw new RealRunError(`the price list has no current model of ${kind} that takes the demo's jobs`);
  return best;
}

/** Null: one of the requests has no route there. */
function mostAt(kind: string, name: string, requests: readonly RequestFacts[], prices: PriceTable): bigint | null {
  let sum = 0n;
  for (const facts of requests) {
    const { first } = planRoutes(defaultPolicy(name), facts, { accounts: [account(kind)], aliases: [], prices });
    if (first === null) return null;
    sum += routeMaxCostNanoUsd(first, facts);
  }
  return sum;
}

function account(kind: string): Account {
  return {
    name: kind,
    facts: kindFacts(kind),
    regions: null,
    prices: null,
    maxOutputTokensDefault: OUTPUT_TOKENS_MAX,
    capabilities: null,
  };
}
