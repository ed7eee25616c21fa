import type { ModelFacts } from "./catalog.js";
import type { KindFacts } from "./kind-facts.js";
import type { ModelAsks } from "./model-asks.js";
import type { ModelRule } from "./model-rule.js";
import { reasonOfMembers } from "./refused-members.js";

/** A model, as far as it decides what may be asked of it. */
export interface AskedModel {
  readonly name: string;
  readonly facts: Pick<ModelFacts, "samplingParams" | "capabilities" | "rule">;
  readonly kind: Pick<KindFacts, "kind" | "sampling" | "refuses">;
}

/** Why provider or model would refuse a body in the provider's format, in words; null when nothing is known against it. */
export function reasonOfBody(model: AskedModel, bodyText: string, asks: ModelAsks): string | null {
  const { kind, refuses = null } = model.kind;
  return reasonOfMembers(kind, refuses, bodyText) ?? reasonOfThinking(model, asks) ?? reasonOfSampling(model, asks);
}

function reasonOfThinking({ name, facts }: AskedModel, { effort, thinking }: ModelAsks): string | null {
  const isAsked = effort !== null || (thinking !== null && thinking !== "off");
  if (isAsked && facts.capabilities?.includes("reasoning") === false)
    return `${name} does not reason: it takes no effort, level or budget for it`;
  if (facts.rule === null) return null;
  const { efforts, adaptive, off } = facts.rule;
  if (effort !== null && efforts?.includes(effort) === false) return effortsOf(name, effort, efforts);
  if (thinking === "off") return off === false ? `${name} can't be told not to reason` : null;
  if (thinking === "auto") return adaptive === false ? `${name} takes no adaptive thinking` : null;
  return thinking === null ? null : reasonOfBudget(name, facts.rule, thinking);
}

function effortsOf(name: string, effort: string, taken: readonly string[]): string {
  return taken.length === 0
    ? `${name} takes no reasoning effort or level`
    : `${name} takes the reasoning efforts ${taken.join(", ")}, not ${effort}`;
}

function reasonOfBudget(name: string, { budget }: ModelRule, tokens: number): string | null {
  if (budget === undefined) return null;
  if (budget === null) return `${name} takes no thinking budget`;
  const { min, max } = budget;
  if (tokens >= min && tokens <= max) return null;
  return `${name} takes a thinking budget of ${String(min)} to ${String(max)} tokens, not ${String(tokens)}`;
}

function reasonOfSampling(model: AskedModel, asks: ModelAsks): string | null {
  if (asks.sampling.length === 0 || takesSampling(model, asks.effort)) return null;
  const refused = asks.sampling.filter(({ neutral }) => !(neutral && model.kind.sampling.neutralTaken));
  return refused.length === 0 ? null : `${model.name} takes no ${refused.map(({ name }) => name).join(", ")}`;
}

function takesSampling({ facts, kind }: AskedModel, effort: string | null): boolean {
  if (!facts.samplingParams) return false;
  const { rule } = facts;
  if (rule?.samplingEfforts !== undefined)
    return rule.samplingEfforts.includes(effort ?? rule.effortByDefault ?? "unknown");
  return !(kind.sampling.reasoningRefuses && facts.capabilities?.includes("reasoning") === true);
}
