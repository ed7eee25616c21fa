import type { KindFacts } from "../../../domain/route/kind-facts.js";
import { OPENAI_BATCH_RULES } from "./batch-rules.js";
import { OPENAI_MODELS } from "./models.js";

export const OPENAI: KindFacts = {
  kind: "openai",
  formats: ["openai.chat", "openai.embeddings"],
  selfHosted: false,
  // Its vision guide: 2,833 tokens and 5,667 for each of at most 8 tiles, the most of its models (gpt-4o-mini). Read 2026-08.
  unseen: { overheadTokens: 128, imageTokensMax: 48_169 },
  // "Only the default (1) value is supported", says its error; the table has no mark on them.
  sampling: { neutralTaken: true, reasoningRefuses: true },
  models: OPENAI_MODELS,
  billing: {
    error: "free",
    refused: "by_usage",
    line: { failed: "free", expired: "free", cancelled: "free" },
    source: "OpenAI batch guide (only completed requests are charged when a batch expires or is cancelled), 2026-08",
  },
  batch: OPENAI_BATCH_RULES,
};
