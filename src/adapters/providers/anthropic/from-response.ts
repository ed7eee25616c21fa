import type { ProviderAnswer } from "../../../ports/provider.js";
import { isJsonObject, parseJsonObject, textIn } from "../json-object.js";
import type { JsonObject } from "../json-object.js";
import type { ReadAnswer } from "../wire-format.js";
import { fromAnthropicUsage } from "./from-usage.js";

const FINISH_REASONS: ReadonlyMap<unknown, ProviderAnswer["finishReason"]> = new Map([
  ["end_turn", "stop"],
  ["stop_sequence", "stop"],
  ["max_tokens", "length"],
  ["model_context_window_exceeded", "length"],
  ["tool_use", "tool_calls"],
  ["refusal", "refusal"],
] as const);

/** Reads what the ledger needs out of a message; the body itself goes to the caller unchanged. New stop reasons are "other". */
export function fromAnthropicResponse(bodyText: string): ReadAnswer {
  const body = parseJsonObject(bodyText);
  if (body === null) return { kind: "unusable", because: "a body that is not a whole JSON object" };
  const content = body["content"];
  if (!Array.isArray(content))
    return { kind: "unusable", because: body["type"] === "error" ? "an error instead of an answer" : "no content" };
  const { usage, suspect } = fromAnthropicUsage(body);
  const finishReason = FINISH_REASONS.get(body["stop_reason"]) ?? "other";
  return {
    finishReason,
    modelVersion: textIn(body, "model"),
    usage,
    usageSuspect: suspect,
    empty: finishReason !== "refusal" && !content.filter(isJsonObject).some(saysSomething),
  };
}

function saysSomething(block: JsonObject): boolean {
  const type = textIn(block, "type") ?? "";
  if (type === "text") return /\S/.test(textIn(block, "text") ?? "");
  return type.endsWith("tool_use");
}
