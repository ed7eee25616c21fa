import type { KindFacts } from "../../../domain/route/kind-facts.js";

export const COMPATIBLE: KindFacts = {
  kind: "openai-compatible",
  formats: ["openai.chat", "openai.embeddings"],
  selfHosted: true,
  unseen: { overheadTokens: 1024, imageTokensMax: 16_384 },
  sampling: { neutralTaken: true, reasoningRefuses: false },
  models: [],
  // Whoever states a price for a server of one's own pays for its answers; there is no batch queue behind HTTP.
  billing: {
    error: "free",
    refused: "by_usage",
    line: { failed: "free", expired: "free", cancelled: "free" },
    source: "the operator's own prices",
  },
};
