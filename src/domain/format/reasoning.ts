/**
 * How much a model should reason before it answers.
 *
 * | here   | openai.chat `reasoning_effort` | anthropic.messages                                  | gemini.generate `thinkingConfig` |
 * |--------|--------------------------------|-----------------------------------------------------|----------------------------------|
 * | off    | none                           | `thinking: disabled`                                | `thinkingBudget: 0`              |
 * | auto   | -                              | `thinking: adaptive`                                | `thinkingBudget: -1`             |
 * | effort | minimal low medium high xhigh max | adaptive + `output_config.effort`: low medium high xhigh max | `thinkingLevel`: MINIMAL LOW MEDIUM HIGH |
 * | budget | -                              | `thinking: enabled`, `budget_tokens`, at least 1,024 | `thinkingBudget`                |
 *
 * Words of the same name are taken for the same effort; a word that the target lacks is a reason and no nearest one is chosen. Which of
 * them a single model takes is the model's own affair (Gemini 3 takes levels, 2.5 budgets; Claude 4.6 and later adaptive, older ones budgets).
 * Source: types of openai 6.49.0 (ReasoningEffort), @anthropic-ai/sdk 1.13.0 (ThinkingConfigParam, OutputConfig) and @google/genai
 * 2.32.0 (ThinkingConfig, ThinkingLevel), read 2026-11-24.
 */
export type Reasoning =
  | { readonly kind: "off" }
  | { readonly kind: "auto" }
  | { readonly kind: "effort"; readonly effort: Effort }
  | { readonly kind: "budget"; readonly tokens: number };

export type Effort = "minimal" | "low" | "medium" | "high" | "xhigh" | "max";

/** The word of each format; an effort that is not listed does not exist there. */
export type EffortWords = Readonly<Partial<Record<Effort, string>>>;

export const OPENAI_EFFORTS: EffortWords = {
  minimal: "minimal",
  low: "low",
  medium: "medium",
  high: "high",
  xhigh: "xhigh",
  max: "max",
};
export const ANTHROPIC_EFFORTS: EffortWords = {
  low: "low",
  medium: "medium",
  high: "high",
  xhigh: "xhigh",
  max: "max",
};
export const GEMINI_EFFORTS: EffortWords = { minimal: "MINIMAL", low: "LOW", medium: "MEDIUM", high: "HIGH" };

/** Null for a word that the format does not have. */
export function effortOf(words: EffortWords, word: string): Effort | null {
  const found = Object.entries(words).find(([, one]) => one === word);
  return found === undefined ? null : (found[0] as Effort); // keys of the table are efforts
}
