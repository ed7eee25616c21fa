import type { ProviderAnswer } from "../../../ports/provider.js";
import { errorWord } from "../error-table.js";
import { isJsonObject, objectIn, parseJsonObject, textIn } from "../json-object.js";
import type { JsonObject } from "../json-object.js";
import type { ReadAnswer } from "../wire-format.js";
import { fromGenerateUsage } from "./from-usage.js";

const FINISH_REASONS: ReadonlyMap<unknown, ProviderAnswer["finishReason"]> = new Map([
  ["STOP", "stop"],
  ["MAX_TOKENS", "length"],
  ["SAFETY", "content_filter"],
  ["RECITATION", "content_filter"],
  ["BLOCKLIST", "content_filter"],
  ["PROHIBITED_CONTENT", "content_filter"],
  ["SPII", "content_filter"],
  ["IMAGE_SAFETY", "content_filter"],
  ["IMAGE_PROHIBITED_CONTENT", "content_filter"],
  ["IMAGE_RECITATION", "content_filter"],
] as const);

/** Parts that say something without text. */
const SPEAKING_PARTS = ["functionCall", "inlineData", "fileData", "executableCode", "codeExecutionResult"] as const;

/**
 * Reads what the ledger needs out of an answer; the body itself goes to the caller unchanged. A blocked prompt is an answer without
 * candidates that names its `blockReason`; a candidate may lack its content. New finish reasons are "other"; with several candidates
 * the first gives it. Source: generateContent reference, 2026-08.
 */
export function fromGenerate(bodyText: string): ReadAnswer {
  const body = parseJsonObject(bodyText);
  if (body === null) return { kind: "unusable", because: "a body that is not a whole JSON object" };
  const candidates = Array.isArray(body["candidates"]) ? body["candidates"].filter(isJsonObject) : [];
  const blocked = textIn(objectIn(body, "promptFeedback"), "blockReason") !== null;
  if (candidates.length === 0 && !blocked && !isJsonObject(body["usageMetadata"]))
    return { kind: "unusable", because: "error" in body ? "an error instead of an answer" : "no candidates" };
  const { usage, suspect } = fromGenerateUsage(body);
  return {
    finishReason: blocked ? "content_filter" : finishReasonOf(candidates[0] ?? {}),
    modelVersion: textIn(body, "modelVersion")?.replace(/^models\//, "") ?? null,
    usage,
    usageSuspect: suspect,
    empty: !candidates.flatMap(partsOf).some(saysSomething),
    requestId: errorWord(body["responseId"]),
  };
}

/** A call of a function ends with STOP like a text. */
function finishReasonOf(candidate: JsonObject): ProviderAnswer["finishReason"] {
  const reason = FINISH_REASONS.get(candidate["finishReason"]) ?? "other";
  const calls = partsOf(candidate).some((part) => isJsonObject(part["functionCall"]));
  return reason === "stop" && calls ? "tool_calls" : reason;
}

function partsOf(candidate: JsonObject): readonly JsonObject[] {
  const parts = objectIn(candidate, "content")["parts"];
  return Array.isArray(parts) ? parts.filter(isJsonObject) : [];
}

function saysSomething(part: JsonObject): boolean {
  if (SPEAKING_PARTS.some((name) => isJsonObject(part[name]))) return true;
  return part["thought"] !== true && /\S/.test(textIn(part, "text") ?? "");
}
