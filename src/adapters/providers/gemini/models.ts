import type { ModelRule } from "../../../domain/route/model-rule.js";

const BUDGET_OF_3 = { min: 1, max: 32_768 } as const;

/**
 * Gemini 2.5 takes budgets only; 3 takes levels, and budgets as it did before, but can't be kept from thinking. Source: Gemini's guide on
 * thinking and its developer guides for 3.1 and 3.5, read 2026-11-26.
 */
export const GEMINI_MODELS: readonly ModelRule[] = [
  { models: /^gemini-2\.5-pro/, efforts: [], budget: { min: 128, max: 32_768 }, off: false },
  { models: /^gemini-2\.5-flash-lite/, efforts: [], budget: { min: 512, max: 24_576 } },
  { models: /^gemini-2\.5-flash/, efforts: [], budget: { min: 1, max: 24_576 } },
  { models: /^gemini-3\.(?:1-pro|8-flash)/, efforts: ["low", "medium", "high"], budget: BUDGET_OF_3, off: false },
  {
    models: /^gemini-3(?:\.[15])?-flash/,
    efforts: ["minimal", "low", "medium", "high"],
    budget: BUDGET_OF_3,
    off: false,
  },
  { models: /^gemini-3/, budget: BUDGET_OF_3, off: false },
];
