import type { EpochMs } from "../ids.js";
import { isWithin, type WeekHours } from "./week-hours.js";

/** A rule of the config: which jobs it speaks of, and what it does to their routes. */
export interface RouteRule {
  readonly name: string;
  readonly match: RuleMatch;
  readonly effect: RuleEffect;
}

/** All of it must hold; null or empty: not looked at. Bounds are included. */
export interface RuleMatch {
  readonly tenants: readonly string[];
  readonly tiers: readonly string[];
  /** As jobs name them. */
  readonly models: readonly string[];
  /** The job has each of these labels with this value. */
  readonly labels: Readonly<Record<string, string>>;
  /** Of the request's body as text. */
  readonly bytesMin: number;
  readonly bytesMax: number;
  /** Of the prompt, estimated. */
  readonly tokensMin: number;
  readonly tokensMax: number;
  /** Of its acceptance. */
  readonly time: WeekHours | null;
}

/** Routes are named by account, or by account and model: `openai/gpt-4.1-mini`. */
export type RuleEffect =
  | { readonly kind: "force"; readonly routes: readonly string[] }
  | { readonly kind: "forbid"; readonly routes: readonly string[] }
  /** Their score is multiplied; only counts where scores do. */
  | { readonly kind: "weight"; readonly routes: readonly string[]; readonly factor: number };

/** What rules look at. */
export interface RuledJob {
  readonly tenant: string;
  readonly tier: string;
  readonly model: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly bodyText: string;
}

/** A rule that spoke of the job: part of its policy. */
export interface RuleOutcome {
  readonly rule: string;
  readonly effect: RuleEffect;
}

/** As for batches: tokenizers in use average three to five bytes a token, and rules should not need one. */
const BYTES_PER_TOKEN = 3;

/** The rules that speak of a job, in the order of the config; null: none does. All of them hold together. */
export function judgeRules(rules: readonly RouteRule[], job: RuledJob, nowMs: EpochMs): readonly RuleOutcome[] | null {
  if (rules.length === 0) return null;
  const bytes = Buffer.byteLength(job.bodyText);
  const found = rules.filter(({ match }) => matches(match, job, bytes, nowMs));
  return found.length === 0 ? null : found.map(({ name, effect }) => ({ rule: name, effect }));
}

function matches(match: RuleMatch, job: RuledJob, bytes: number, nowMs: EpochMs): boolean {
  return (
    names(match.tenants, job.tenant) &&
    names(match.tiers, job.tier) &&
    names(match.models, job.model) &&
    Object.entries(match.labels).every(
      ([name, value]) => Object.hasOwn(job.labels, name) && job.labels[name] === value,
    ) &&
    isBetween(bytes, match.bytesMin, match.bytesMax) &&
    isBetween(Math.ceil(bytes / BYTES_PER_TOKEN), match.tokensMin, match.tokensMax) &&
    (match.time === null || isWithin(match.time, nowMs))
  );
}

function names(list: readonly string[], one: string): boolean {
  return list.length === 0 || list.includes(one);
}

function isBetween(value: number, min: number, max: number): boolean {
  return value >= min && value <= max;
}

/** Whether a name of a rule or an allow-list means the route: its account, or account and model. */
export function namesRoute(name: string, account: string, model: string): boolean {
  return (
    name === account ||
    (name.length === account.length + model.length + 1 && name.startsWith(account) && name === `${account}/${model}`)
  );
}

/** Why a rule keeps the route from the job, in words; null: none does. */
export function reasonOfRules(outcomes: readonly RuleOutcome[], account: string, model: string): string | null {
  for (const { rule, effect } of outcomes) {
    if (effect.kind === "weight") continue;
    const named = effect.routes.some((name) => namesRoute(name, account, model));
    if (effect.kind === "force" && !named) return `the rule ${rule} allows only ${effect.routes.join(", ")}`;
    if (effect.kind === "forbid" && named) return `the rule ${rule} forbids it`;
  }
  return null;
}

/** What the rules multiply the route's score by. */
export function ruleFactor(outcomes: readonly RuleOutcome[] | undefined, account: string, model: string): number {
  if (outcomes === undefined) return 1;
  let factor = 1;
  for (const { effect } of outcomes) {
    if (effect.kind === "weight" && effect.routes.some((name) => namesRoute(name, account, model)))
      factor *= effect.factor;
  }
  return factor;
}
