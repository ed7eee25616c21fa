/** The texts and tokens of a messages request, by the simulator's own rule (engine/token-count.ts). */
import { asList, isObject } from "../engine/field-checks.js";
import type { JsonObject } from "../engine/field-checks.js";
import { PromptMeter } from "../engine/token-count.js";

/** Blocks that count as a part other than text. */
const OTHER_BLOCKS = new Set<unknown>(["image", "document"]);

export function isOtherBlock(block: JsonObject): boolean {
  return OTHER_BLOCKS.has(block["type"]);
}

/** The texts of a content, those inside of tool results included. */
export function textsOf(content: unknown): readonly string[] {
  if (typeof content === "string") return [content];
  return asList(content).flatMap((block) => {
    if (!isObject(block)) return [];
    if (typeof block["text"] === "string") return [block["text"]];
    return block["type"] === "tool_result" ? textsOf(block["content"]) : [];
  });
}

export function meteredPrompt(body: JsonObject): PromptMeter {
  const prompt = new PromptMeter();
  if (body["system"] !== undefined) prompt.addMessage(textsOf(body["system"]));
  for (const message of asList(body["messages"])) {
    if (!isObject(message)) continue;
    const blocks = asList(message["content"]).filter(isObject);
    prompt.addMessage(textsOf(message["content"]), blocks.filter(isOtherBlock).length);
    for (const block of blocks) if (block["type"] === "tool_use") prompt.addJson(block["input"]);
  }
  prompt.addJson(body["tools"]);
  return prompt;
}

/** What the user wrote in the last message, tool results left out; "" when the last message is the assistant's. */
export function lastUserText(body: JsonObject): string {
  const last = asList(body["messages"]).at(-1);
  if (!isObject(last) || last["role"] !== "user") return "";
  if (typeof last["content"] === "string") return last["content"];
  const texts = asList(last["content"]).flatMap((block) => (isObject(block) ? [block["text"]] : []));
  return texts.filter((text) => typeof text === "string").join("\n");
}
