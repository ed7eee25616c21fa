import type { KindFacts } from "../../../domain/route/kind-facts.js";
import { ANTHROPIC_BATCH_RULES } from "./batch-rules.js";
import { ANTHROPIC_MODELS } from "./models.js";

export const ANTHROPIC: KindFacts = {
  kind: "anthropic",
  formats: ["anthropic.messages"],
  selfHosted: false,
  // Its tool use page states a hidden system prompt of up to 804 tokens, its vision page at most 4,784 for a picture. Read 2026-09.
  unseen: { overheadTokens: 1024, imageTokensMax: 4784 },
  sampling: { neutralTaken: true, reasoningRefuses: false },
  models: ANTHROPIC_MODELS,
  billing: {
    error: "free",
    refused: "by_usage",
    line: { failed: "free", expired: "free", cancelled: "free" },
    source: "Anthropic message batches guide (errored, canceled, expired are not billed) and refusals guide, 2026-09",
  },
  batch: ANTHROPIC_BATCH_RULES,
};
