/**
 * What models of one kind take of the things that their format has for all of them. The first row whose pattern fits the model's name
 * counts. What a row leaves out, and a model without a row, is not judged: then the provider says no itself.
 */
export interface ModelRule {
  readonly models: RegExp;
  /** The words of effort (Gemini: levels) that it takes, in lower case; an empty list: none. */
  readonly efforts?: readonly string[];
  /** How it thinks when the request says nothing. */
  readonly effortByDefault?: string;
  /** Sampling parameters are taken at these efforts only. */
  readonly samplingEfforts?: readonly string[];
  /** Tokens that it may be told to think for; null: it can't be told. */
  readonly budget?: { readonly min: number; readonly max: number } | null;
  /** False: it can't be left to it how much it thinks. */
  readonly adaptive?: boolean;
  /** False: it thinks whatever it is told. */
  readonly off?: boolean;
  /** False: its answers keep to no JSON schema, whatever the price table says. */
  readonly schema?: boolean;
}

export function ruleOf(rules: readonly ModelRule[], model: string): ModelRule | null {
  return rules.find(({ models }) => models.test(model)) ?? null;
}
