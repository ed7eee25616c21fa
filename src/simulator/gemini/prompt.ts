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
  const texts: string[] = [];
  let others = 0;
  for (const part of objectsAt(content, "parts")) {
    const text = textAt(part, "text");
    // A part holds one kind of thing only.
    if (text !== null) texts.push(text);
    else if (OTHER_PARTS.some((name) => part[name] !== undefined)) others += 1;
    else {
      prompt.addJson(objectAt(part, "functionCall")?.["args"]);
      prompt.addJson(objectAt(part, "functionResponse")?.["response"]);
    }
  }
  prompt.addMessage(texts, others);
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
