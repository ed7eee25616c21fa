import type { ModelRule } from "../../../domain/route/model-rule.js";

const UP_TO_HIGH = ["low", "medium", "high"] as const;

/**
 * Which models take `output_config` and which kind of `thinking`: budgets up to the 4.6 line, adaptive from there on. Source: Anthropic's guides
 * on effort, adaptive thinking, extended thinking and structured outputs, read 2026-11-26.
 */
export const ANTHROPIC_MODELS: readonly ModelRule[] = [
  { models: /^claude-(?:3|(?:opus|sonnet)-4-(?:0$|2025))/, efforts: [], adaptive: false, schema: false },
  { models: /^claude-(?:opus-4-1|haiku-4-5|sonnet-4-5)/, efforts: [], adaptive: false },
  { models: /^claude-opus-4-5/, efforts: UP_TO_HIGH, adaptive: false },
  { models: /^claude-(?:opus|sonnet)-4-6/, efforts: [...UP_TO_HIGH, "max"] },
  { models: /^claude-opus-4-[78]/, efforts: [...UP_TO_HIGH, "xhigh", "max"], budget: null },
  { models: /^claude-/, budget: null },
];
