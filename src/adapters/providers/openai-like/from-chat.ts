import type { ProviderAnswer } from "../../../ports/provider.js";
import { isJsonObject, objectIn, parseJsonObject, textIn } from "../json-object.js";
import type { JsonObject } from "../json-object.js";
import type { ReadAnswer } from "../wire-format.js";
import { fromChatUsage } from "./from-usage.js";

const FINISH_REASONS: ReadonlyMap<unknown, ProviderAnswer["finishReason"]> = new Map([
  ["stop", "stop"],
  ["length", "length"],
  ["tool_calls", "tool_calls"],
  ["function_call", "tool_calls"],
  ["content_filter", "content_filter"],
] as const);

/**
 * Reads what the ledger needs out of a chat completion; the body itself goes to the caller unchanged. Fields that servers of one's own leave
 * out are unknown, not wrong; only an answer without a choice is none. With several choices the first gives the finish reason.
 */
export function fromChat(bodyText: string): ReadAnswer {
  const body = parseJsonObject(bodyText);
  if (body === null) return { kind: "unusable", because: "a body that is not a whole JSON object" };
  const choices = Array.isArray(body["choices"]) ? body["choices"].filter(isJsonObject) : [];
  const [first] = choices;
  if (first === undefined)
    return { kind: "unusable", because: "error" in body ? "an error instead of an answer" : "no choices" };
  const { usage, suspect } = fromChatUsage(body);
  return {
    finishReason: finishReasonOf(first),
    modelVersion: textIn(body, "model"),
    usage,
    usageSuspect: suspect,
    empty: !choices.some(saysSomething),
  };
}

function finishReasonOf(choice: JsonObject): ProviderAnswer["finishReason"] {
  if (isText(objectIn(choice, "message")["refusal"])) return "refusal";
  return FINISH_REASONS.get(choice["finish_reason"]) ?? "other";
}

function saysSomething(choice: JsonObject): boolean {
  const message = objectIn(choice, "message");
  if (isText(message["content"]) || isText(message["refusal"]) || isJsonObject(message["audio"])) return true;
  return isFilled(message["content"]) || isFilled(message["tool_calls"]) || isJsonObject(message["function_call"]);
}

function isFilled(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0;
}

function isText(value: unknown): boolean {
  return typeof value === "string" && /\S/.test(value);
}
