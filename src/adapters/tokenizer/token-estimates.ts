import { countTextTokens, estimatePromptTokens, type CountTokens } from "../../domain/batch/estimate-tokens.js";
import type { RequestFacts } from "../../domain/route/request-facts.js";
import type { Route } from "../../domain/route/route.js";
import {
  atLeastTokens,
  learnCorrection,
  type ModelAt,
  type TokenCorrection,
} from "../../domain/tokens/prompt-estimate.js";
import type { TokenEstimates } from "../../ports/token-estimates.js";

/** Models whose corrections are kept; names of models come from callers, so there must be a bound. */
const MODELS_MAX = 1_000;
/** Bodies whose estimates wait for their answers. */
const BODIES_MAX = 2_000;

/**
 * One tokenizer for all models, and a correction for each that its own counts teach: most providers publish no tokenizer. Which body
 * an answer belongs to is told by its length and a piece of its middle: two that agree in both have about as many tokens. By the same mark a
 * request that comes up again, such as one that waits for a limit, is not counted again.
 */
export class LearnedTokenEstimates implements TokenEstimates {
  readonly #count: CountTokens;
  readonly #counts = new WeakMap<RequestFacts, number>();
  readonly #bodies = new Map<string, number>();
  readonly #corrections = new Map<string, TokenCorrection>();

  constructor(count: CountTokens) {
    this.#count = count;
  }

  readonly atLeast = (facts: RequestFacts): number => atLeastTokens(this.#counted(facts) ?? 0);

  readonly promptTokens = (facts: RequestFacts, at: ModelAt & Pick<Route, "unseen">): number => {
    const { imageTokensMax } = at.unseen;
    const counted = this.#countedLately(facts) ?? this.#counted(facts);
    if (counted === null) return estimatePromptTokens(facts, imageTokensMax);
    const ratio = this.#corrections.get(nameOf(at))?.ratio ?? 1;
    return Math.max(1, Math.ceil(counted * ratio) + facts.images * imageTokensMax);
  };

  readonly learn = (bodyText: string, at: ModelAt, inputTokens: number): void => {
    if (this.#bodies.size === 0 || inputTokens <= 0) return;
    const counted = this.#bodies.get(markOf(bodyText));
    if (counted === undefined) return;
    const name = nameOf(at);
    keep(this.#corrections, name, learnCorrection(this.#corrections.get(name), counted, inputTokens), MODELS_MAX);
  };

  /** Good enough for an estimate; what must be the same each time is counted. */
  #countedLately(facts: RequestFacts): number | undefined {
    if (facts.images > 0) return undefined;
    return this.#counts.get(facts) ?? this.#bodies.get(markOf(facts.bodyText));
  }

  /** Several routes ask about one request. */
  #counted(facts: RequestFacts): number | null {
    const known = this.#counts.get(facts);
    if (known !== undefined) return known;
    const counted = countTextTokens(facts, this.#count);
    if (counted === null) return null;
    this.#counts.set(facts, counted);
    // Pictures are in the provider's count and not in ours.
    if (facts.images === 0 && counted > 0) keep(this.#bodies, markOf(facts.bodyText), counted, BODIES_MAX);
    return counted;
  }
}

function nameOf({ account, model }: ModelAt): string {
  return `${account}\n${model}`;
}

const MARK_CHARACTERS = 64;

function markOf(text: string): string {
  const middle = text.length >> 1;
  return `${String(text.length)}:${text.slice(middle, middle + MARK_CHARACTERS)}`;
}

/** What was not set for longest goes when there is no room. */
function keep<Value>(map: Map<string, Value>, key: string, value: Value, max: number): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > max && oldest !== undefined) map.delete(oldest);
}
