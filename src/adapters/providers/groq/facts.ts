import type { KindFacts } from "../../../domain/route/kind-facts.js";
import { GROQ_MODELS } from "./models.js";

export const GROQ: KindFacts = {
  kind: "groq",
  // It has no embeddings.
  formats: ["openai.chat"],
  selfHosted: false,
  // Its vision guide names no tokens for a picture; as for OpenAI, the most of whose models is the larger.
  unseen: { overheadTokens: 1024, imageTokensMax: 48_169 },
  sampling: { neutralTaken: true, reasoningRefuses: false },
  models: GROQ_MODELS,
  // "Will result in a 400 error if they are supplied", says its page on OpenAI compatibility, read 2026-11-26.
  refuses: { body: ["logprobs", "top_logprobs", "logit_bias"], messages: ["name"], choicesMax: 1 },
  billing: {
    error: "free",
    refused: "by_usage",
    line: { failed: "free", expired: "free", cancelled: "free" },
    source: "Groq batch guide (only completed requests of an expired batch are charged), 2026-11",
  },
};
