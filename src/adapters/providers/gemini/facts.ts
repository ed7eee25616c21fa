import type { KindFacts } from "../../../domain/route/kind-facts.js";
import { GEMINI_BATCH_RULES } from "./batch-rules.js";
import { GEMINI_MODELS } from "./models.js";

export const GEMINI: KindFacts = {
  kind: "gemini",
  formats: ["gemini.generate", "gemini.embed"],
  selfHosted: false,
  // 258 tokens a tile of 768 pixels square, says its media guide; no most is stated, so this is a guess of 62 tiles. Read 2026-08.
  unseen: { overheadTokens: 1024, imageTokensMax: 16_000 },
  sampling: { neutralTaken: false, reasoningRefuses: false },
  models: GEMINI_MODELS,
  billing: {
    error: "free",
    // Its billing page knows only "fails with a 400 or 500 error" as free; a blocked prompt is answered with 200 and counts its tokens.
    refused: "by_usage",
    // What an expired batch did is not said, and its results are never there; a cancelled one may have been worked on.
    line: { failed: "free", expired: "unknown", cancelled: "unknown" },
    source: "Gemini API billing page, 2026-08; batch mode guide, 2026-08",
  },
  batch: GEMINI_BATCH_RULES,
};
