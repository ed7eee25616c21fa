import type { ModelRule } from "../../../domain/route/model-rule.js";

/**
 * Which words of `reasoning_effort` each line of models takes, and when it takes sampling parameters. Source: OpenAI's model guides and
 * reasoning guide, and the words of its own refusals, read 2026-11-26.
 */
export const OPENAI_MODELS: readonly ModelRule[] = [
  { models: /^o\d/, efforts: ["low", "medium", "high"] },
  { models: /^gpt-5(?:-mini|-nano)?(?:-\d{4}|$)/, efforts: ["minimal", "low", "medium", "high"] },
  {
    models: /^gpt-5\.1(?:-\d{4}|$)/,
    efforts: ["none", "low", "medium", "high"],
    effortByDefault: "none",
    samplingEfforts: ["none"],
  },
  {
    models: /^gpt-5\.[24](?:-mini)?(?:-\d{4}|$)/,
    efforts: ["none", "low", "medium", "high", "xhigh"],
    effortByDefault: "none",
    samplingEfforts: ["none"],
  },
  {
    models: /^gpt-5\.6-/,
    efforts: ["none", "low", "medium", "high", "xhigh", "max"],
    effortByDefault: "medium",
    samplingEfforts: ["none"],
  },
  { models: /^gpt-(?:5\.5|6)/, effortByDefault: "medium", samplingEfforts: ["none"] },
];
