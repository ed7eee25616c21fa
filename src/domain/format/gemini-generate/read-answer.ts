import type { AnswerCall, ChatAnswer, Choice, Finish } from "../chat-answer.js";
import { objectIn, objectsIn, textIn, wordIn } from "../fields.js";
import { isJsonObject } from "../json.js";
import type { JsonObject } from "../json.js";
import type { Reasons } from "../reasons.js";
import { readUsage } from "./usage.js";

/** A GenerateContentResponse. A prompt that was blocked has no candidates: it is an answer that was refused. Null, with a reason, without either. */
export function readGeminiAnswer(answer: JsonObject, reasons: Reasons): ChatAnswer | null {
  const id = textIn(answer, "responseId");
  const candidates = objectsIn(answer, "candidates");
  const feedback = objectIn(answer, "promptFeedback");
  const read = candidates.map((one, index) => readCandidate(one, `${id ?? ""}_${String(index)}`, reasons));
  const choices = read.length === 0 && textIn(feedback, "blockReason") !== null ? [blockedChoice(feedback)] : read;
  if (choices.length === 0) reasons.add("the answer has no candidates");
  if (choices.length === 0) return null;
  return { id, model: textIn(answer, "modelVersion"), createdAt: null, choices, usage: readUsage(answer) };
}

function blockedChoice(feedback: JsonObject): Choice {
  return { text: "", calls: [], finish: { kind: "refused", explanation: textIn(feedback, "blockReasonMessage") } };
}

function readCandidate(candidate: JsonObject, idStem: string, reasons: Reasons): Choice {
  const parts = spokenParts(candidate);
  const calls = parts.flatMap((part, index) => readCall(part, `call_${idStem}_${String(index)}`, reasons));
  return { text: candidateText(candidate), calls, finish: readFinish(candidate, calls.length > 0) };
}

/** Thoughts are no part of the answer. A candidate may have no content at all. */
function spokenParts(candidate: JsonObject): readonly JsonObject[] {
  return objectsIn(objectIn(candidate, "content"), "parts").filter((part) => part["thought"] !== true);
}

/** Where a text is cut into parts means nothing. */
function candidateText(candidate: JsonObject): string {
  return spokenParts(candidate)
    .map((part) => textIn(part, "text") ?? "")
    .join("");
}

/** What may stand in a part beside text and calls without being a piece of the answer. */
const REMARKS: ReadonlySet<string> = new Set(["text", "thought", "thoughtSignature", "partMetadata"]);

function readCall(part: JsonObject, idWithout: string, reasons: Reasons): readonly AnswerCall[] {
  for (const name of Object.keys(part))
    if (name !== "functionCall" && !REMARKS.has(name)) reasons.missing(`answers with a part of type ${name}`);
  const call = part["functionCall"];
  if (!isJsonObject(call)) return [];
  return [{ id: textIn(call, "id") ?? idWithout, name: textIn(call, "name") ?? "", arguments: objectIn(call, "args") }];
}

/** Words for an answer that a filter ended. Source: types of @google/genai 2.32.0, FinishReason. */
const FILTERED: ReadonlySet<string> = new Set([
  "SAFETY",
  "RECITATION",
  "BLOCKLIST",
  "PROHIBITED_CONTENT",
  "SPII",
  "IMAGE_SAFETY",
  "IMAGE_PROHIBITED_CONTENT",
  "IMAGE_RECITATION",
]);

function readFinish(candidate: JsonObject, hasCalls: boolean): Finish {
  const word = wordIn(candidate, "finishReason");
  if (word === "STOP") return { kind: hasCalls ? "tool_calls" : "stop" };
  if (word === "MAX_TOKENS") return { kind: "length" };
  if (FILTERED.has(word)) return { kind: "refused", explanation: textIn(candidate, "finishMessage") };
  return { kind: "other", word };
}
