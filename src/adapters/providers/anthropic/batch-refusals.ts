import type { LineFault } from "../../../domain/batch/provider-batch.js";
import type { RefusalRow } from "../batch-refusal.js";
import { errorWord } from "../error-table.js";
import type { ErrorWords } from "../error-table.js";

/** Source: Anthropic message batches guide and error reference, 2026-09. */
export const ANTHROPIC_REFUSALS: readonly RefusalRow[] = [
  { status: 413, because: "too_large", says: "the batch is larger than 256 MB" },
  {
    status: 400,
    message: /^requests(?:\.\d+)?: (?:list|array) should have at most|too many requests/i,
    because: "too_large",
    says: "the batch has too many requests",
  },
  {
    status: 400,
    message: /^requests\.\d+\.|duplicate/i,
    because: "bad_line",
    says: "a request of it breaks the rules",
  },
  {
    status: 429,
    message: /(?:queue|processing)/i,
    because: "queue_full",
    says: "the workspace's limit of queued batch requests is reached; smaller batches, or when others have ended",
  },
  {
    words: ["organization_on_hold", "cmek_key_disabled", "workspace_human_review_disabled"],
    because: "auth_failed",
    says: "the organization or workspace may not make batches; check the console",
  },
];

/** A message about a request begins with its place, counted from 0: `requests.0.custom_id: …`. */
export function anthropicFaults({ message, code, type }: ErrorWords): readonly LineFault[] {
  const index = /^requests\.(\d{1,6})\./.exec(message ?? "")?.[1];
  return index === undefined ? [] : [{ lineNumber: Number(index) + 1, code: errorWord(code) ?? errorWord(type) }];
}
