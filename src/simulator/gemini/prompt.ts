/** A Gemini request's prompt, by the simulator's own rule for counting tokens (engine/token-count.ts). */
import type { JsonObject } from "../engine/field-checks.js";
import { PromptMeter } from "../engine/token-count.js";
import { objectAt, objectsAt, textAt } from "./json-reading.js";

/** Parts that are neither text nor a function's call or response count as one other part each. */
const OTHER_PARTS = ["inlineData", "fileData", "executableCode", "codeExecutionResult"];

export function textsOf(content: JsonObject): readonly string[] {
  return objectsAt(content, "parts").flatMap((part) => textAt(part, "text") ?? []);
}

function addContent(prompt: PromptMeter, content: JsonObject): void {
  const parts = objectsAt(content, "parts");
  const others = parts.filter((part) => OTHER_PARTS.some((name) => part[name] !== undefined));
  prompt.addMessage(textsOf(content), others.length);
  for (const part of parts) {
    prompt.addJson(objectAt(part, "functionCall")?.["args"]);
    prompt.addJson(objectAt(part, "functionResponse")?.["response"]);
  }
}

/** @param request as proto-message.ts reads it. */
export function meteredPrompt(request: JsonObject): PromptMeter {
  const prompt = new PromptMeter();
  const instruction = objectAt(request, "systemInstruction");
  if (instruction !== null) addContent(prompt, instruction);
  for (const content of objectsAt(request, "contents")) addContent(prompt, content);
  prompt.addJson(request["tools"]);
  return prompt;
}
