import type { LineFailure, LineOutcome } from "../../../ports/batch-provider.js";
import { failedLine, lineAnswer, lineError } from "../batch-line.js";
import type { ReadRecord } from "../batch-records.js";
import { cutMember } from "../cut-member.js";
import { errorWord } from "../error-table.js";
import { objectIn, parseJsonObject, textIn } from "../json-object.js";
import type { JsonObject } from "../json-object.js";
import type { WireFormat } from "../wire-format.js";

/** Where the id stands in a line. */
export const ANTHROPIC_ID_PATH = ["custom_id"] as const;

/** A failed line has the error's type without its status; the table of errors goes by status. Source: Anthropic error reference, 2026-09. */
const STATUS_OF_TYPE: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  conflict_error: 409,
  request_too_large: 413,
  rate_limit_error: 429,
  api_error: 500,
  timeout_error: 504,
  overloaded_error: 529,
};

/** `{"custom_id","result":{"type":"succeeded","message"} | {"type":"errored","error"} | {"type":"canceled"} | {"type":"expired"}}`. */
export function fromAnthropicBatchLine(wire: WireFormat, text: string): ReadRecord {
  const { value, rest } = cutMember(text, ["result", "message"]);
  const line = parseJsonObject(rest);
  if (line === null) return { kind: "not_json" };
  const customId = textIn(line, "custom_id");
  if (customId === null || customId === "") return { kind: "no_id" };
  return { kind: "line", customId, outcome: outcomeOf(wire, objectIn(line, "result"), value) };
}

function outcomeOf(wire: WireFormat, result: JsonObject, message: string | null): LineOutcome {
  const type = textIn(result, "type");
  const plain = { status: null, code: errorWord(type), requestId: null };
  switch (type) {
    case "succeeded":
      return lineAnswer(wire, "anthropic.messages", message, null);
    case "errored":
      return errorOf(wire, objectIn(result, "error"));
    case "expired":
      return failedLine(wire, "line_expired", "the batch's window ran out before it", plain);
    case "canceled":
    case "cancelled":
      return failedLine(wire, "cancelled", "the batch was cancelled before it", plain);
    case null:
    default:
      return failedLine(wire, "unclassified", "an end that this version does not know", plain);
  }
}

function errorOf(wire: WireFormat, error: JsonObject): LineFailure {
  const words = wire.fromError(JSON.stringify(error));
  const status = words.type !== null && Object.hasOwn(STATUS_OF_TYPE, words.type) ? STATUS_OF_TYPE[words.type] : 0;
  return lineError(wire, status ?? 0, words, textIn(error, "request_id"));
}
