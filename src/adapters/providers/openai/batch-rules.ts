import type { BatchRules } from "../../../domain/batch/batch-rules.js";

/** Source: OpenAI batch guide and API specification, 2026-08-21. "200 MB" is read as decimal: the smaller of the two meanings is never refused. */
export const OPENAI_BATCH_RULES: BatchRules = {
  ways: [
    {
      way: "file",
      fence: "delete_file",
      linesMax: 50_000,
      bytesMax: 200_000_000,
      lineBytesMax: 200_000_000 - 1,
      frameBytes: 0,
      embeddingInputsMax: 50_000,
    },
  ],
  formats: ["openai.chat", "openai.embeddings"],
  alike: { format: true, model: true },
  // No rule is published; these fit every provider.
  customIdForm: /^[\w-]{1,64}$/,
  // A value of its metadata.
  markCharactersMax: 512,
  listFilter: "none",
  windowMs: 24 * 3_600_000,
  expiredKeepsResults: true,
  resultsKeptMs: 30 * 24 * 3_600_000,
  allowance: "enqueued_tokens",
  openBatchesMax: null,
  createsPerHourMax: 2_000,
  discount: { percent: 50, cachedInput: "listed" },
};
