import type { BatchRules } from "../../../domain/batch/batch-rules.js";

/** Longest mark that we put into a display name; no length is documented. */
const MARK_CHARACTERS_MAX = 64;

/** The create call around inline requests. */
export function createBefore(mark: string): string {
  return `{"batch":{"displayName":${JSON.stringify(mark)},"inputConfig":{"requests":{"requests":[`;
}
export const CREATE_AFTER = "]}}}}";

/**
 * Source: Gemini API batch mode and files guides, 2026-08. Files go first: deleting one is a fence, and their results carry the ids, which
 * inline ones were seen without. Kept results: not documented, so as long as other files are.
 */
export const GEMINI_BATCH_RULES: BatchRules = {
  ways: [
    {
      way: "file",
      fence: "delete_file",
      linesMax: null,
      bytesMax: 2_000_000_000,
      lineBytesMax: 2_000_000_000 - 1,
      frameBytes: 0,
      embeddingInputsMax: null,
    },
    {
      way: "inline",
      fence: "none",
      linesMax: null,
      // "Below 20 MB."
      bytesMax: 20_000_000 - 1,
      lineBytesMax: 19_000_000,
      frameBytes: createBefore("m".repeat(MARK_CHARACTERS_MAX)).length + CREATE_AFTER.length - 1,
      embeddingInputsMax: null,
    },
  ],
  formats: ["gemini.generate", "gemini.embed"],
  alike: { format: true, model: true },
  // No rule is published; these fit every provider.
  customIdForm: /^[\w-]{1,64}$/,
  markCharactersMax: MARK_CHARACTERS_MAX,
  listFilter: "none",
  windowMs: 48 * 3_600_000,
  expiredKeepsResults: false,
  resultsKeptMs: 48 * 3_600_000,
  allowance: "enqueued_tokens",
  openBatchesMax: 100,
  createsPerHourMax: null,
  discount: { percent: 50, cachedInput: "undiscounted" },
};
