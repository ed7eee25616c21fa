import type { RequestFormat } from "../../../domain/job/job.js";
import type { LineFailure, LineOutcome } from "../../../ports/batch-provider.js";
import { failedLine, lineAnswer, lineError } from "../batch-line.js";
import type { ReadRecord } from "../batch-records.js";
import { cutMember } from "../cut-member.js";
import { errorWord } from "../error-table.js";
import { isJsonObject, objectIn, parseJsonObject, textIn } from "../json-object.js";
import type { JsonObject } from "../json-object.js";
import type { WireFormat } from "../wire-format.js";

/** Where the id stands in a line. */
export const OPENAI_ID_PATH = ["custom_id"] as const;

/** Codes of lines that were never answered. Source: copies of OpenAI's API reference, batch output object, 2026-08; not all documented. */
const LINE_CODES: Readonly<Record<string, { readonly outcome: LineFailure["outcome"]; readonly says: string }>> = {
  batch_expired: { outcome: "line_expired", says: "the batch's window ran out before it" },
  batch_cancelled: { outcome: "cancelled", says: "the batch was cancelled before it" },
  request_timeout: { outcome: "overloaded", says: "the provider's call to the model timed out" },
};

/**
 * A line of either result file. An HTTP failure of the line stands in `response` with its status and `error` null; what never ran has `error`
 * and no response.
 */
export function fromOpenaiBatchLine(wire: WireFormat, lineFormat: RequestFormat, text: string): ReadRecord {
  const { value, rest } = cutMember(text, ["response", "body"]);
  const line = parseJsonObject(rest);
  if (line === null) return { kind: "not_json" };
  const customId = textIn(line, "custom_id");
  if (customId === null || customId === "") return { kind: "no_id" };
  return { kind: "line", customId, outcome: outcomeOf(wire, lineFormat, line, value) };
}

function outcomeOf(wire: WireFormat, lineFormat: RequestFormat, line: JsonObject, body: string | null): LineOutcome {
  const { response } = line;
  if (!isJsonObject(response)) return errorOf(wire, objectIn(line, "error"));
  const requestId = textIn(response, "request_id");
  const status = response["status_code"];
  if (typeof status === "number" && status >= 200 && status < 300) return lineAnswer(wire, lineFormat, body, requestId);
  return lineError(wire, typeof status === "number" ? status : 0, wire.fromError(body), requestId);
}

function errorOf(wire: WireFormat, error: JsonObject): LineFailure {
  const code = errorWord(error["code"]);
  const known = code !== null && Object.hasOwn(LINE_CODES, code) ? LINE_CODES[code] : undefined;
  const { outcome, says } = known ?? {
    outcome: "unclassified",
    says: "no answer, for a reason this version does not know",
  };
  return failedLine(wire, outcome, says, { status: null, code, requestId: null });
}
