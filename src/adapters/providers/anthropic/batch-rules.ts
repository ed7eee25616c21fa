import type { BatchRules } from "../../../domain/batch/batch-rules.js";

/** The create call around its requests. */
export const CREATE_BEFORE = '{"requests":[';
export const CREATE_AFTER = "]}";

/** Source: Anthropic message batches guide and reference, 2026-09. Sizes are read as decimal: the smaller of the two meanings is never refused. */
export const ANTHROPIC_BATCH_RULES: BatchRules = {
  ways: [
    {
      way: "inline",
      fence: "none",
      linesMax: 100_000,
      bytesMax: 256_000_000,
      // The limit of a single message; a longer request would come back as a failed line.
      lineBytesMax: 32_000_000,
      // One separator fewer than lines.
      frameBytes: CREATE_BEFORE.length + CREATE_AFTER.length - 1,
      embeddingInputsMax: null,
    },
  ],
  formats: ["anthropic.messages"],
  alike: { format: true, model: false },
  customIdForm: /^[\w-]{1,64}$/,
  markCharactersMax: null,
  listFilter: "none",
  windowMs: 24 * 3_600_000,
  expiredKeepsResults: true,
  resultsKeptMs: 29 * 24 * 3_600_000,
  allowance: "queued_lines",
  openBatchesMax: null,
  createsPerHourMax: null,
  discount: { percent: 50, cachedInput: "discounted" },
};
