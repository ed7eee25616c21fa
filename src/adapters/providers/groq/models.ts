import type { ModelRule } from "../../../domain/route/model-rule.js";

/** Source: Groq's guide on reasoning, read 2026-11-26. */
export const GROQ_MODELS: readonly ModelRule[] = [{ models: /^openai\/gpt-oss-/, efforts: ["low", "medium", "high"] }];
