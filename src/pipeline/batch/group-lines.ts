import { groupRules } from "../../domain/batch/group-rules.js";
import type { RequestFormat } from "../../domain/job/job.js";
import type { BatchLineRequest, BatchProvider, EncodedLine } from "../../ports/batch-provider.js";

/**
 * Lines for an account whose provider has no batch API: nothing is encoded, since each is called as its job is. What the route can serve a
 * group can hold.
 */
export function groupLines(formats: readonly RequestFormat[]): Pick<BatchProvider, "rules" | "encodeLine"> {
  return { rules: groupRules(formats), encodeLine };
}

/** The job's body, as the measure of what a line takes; its id counts as in any line. */
function encodeLine({ attemptId, format, bodyText }: BatchLineRequest): EncodedLine {
  return { kind: "encoded", bytes: Buffer.from(`${attemptId}${bodyText}`), lineFormat: format, embeddingInputs: 0 };
}
