import type { RequestFormat } from "../../../domain/job/job.js";
import type { LineFailure } from "../../../ports/batch-provider.js";
import { failedLine, lineAnswer, lineError } from "../batch-line.js";
import type { ReadRecord } from "../batch-records.js";
import { cutMember } from "../cut-member.js";
import { isJsonObject, objectIn, parseJsonObject, textIn } from "../json-object.js";
import type { JsonObject } from "../json-object.js";
import type { WireFormat } from "../wire-format.js";
import { CANCELLED_STATUS, statusOfCode } from "./rpc-status.js";

/** Where the id stands, in a line of a file and in an inline response. */
export const GEMINI_ID_PATHS = { file: ["key"], inline: ["metadata", "key"] } as const;

/** `{"key","response" | "error"}`, or the same with the key in `metadata`: file batches were seen answered inline. */
export function fromGeminiBatchLine(wire: WireFormat, lineFormat: RequestFormat, text: string): ReadRecord {
  const { value, rest } = cutMember(text, ["response"]);
  const line = parseJsonObject(rest);
  if (line === null) return { kind: "not_json" };
  const customId = textIn(line, "key") ?? textIn(objectIn(line, "metadata"), "key");
  if (customId === null || customId === "") return { kind: "no_id" };
  const { error } = line;
  if (isJsonObject(error)) return { kind: "line", customId, outcome: errorOf(wire, error) };
  const outcome =
    value === null || value === "null"
      ? failedLine(wire, "unclassified", "neither an answer nor an error", NOBODY)
      : lineAnswer(wire, lineFormat, value, null);
  return { kind: "line", customId, outcome };
}

const NOBODY = { status: null, code: null, requestId: null };

function errorOf(wire: WireFormat, error: JsonObject): LineFailure {
  const status = statusOfCode(error["code"]);
  const words = wire.fromError(JSON.stringify({ error }));
  if (status !== CANCELLED_STATUS) return lineError(wire, status, words, null);
  return failedLine(wire, "cancelled", "the batch was cancelled before it", { ...NOBODY, status });
}
