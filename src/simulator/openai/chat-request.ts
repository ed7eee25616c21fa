/** What a chat request says, once its fields are proven: prompt, tools, schema, limits. The same for OpenAI and the servers that speak as it does. */
import type { ChatCall, ToolUse } from "../engine/chat-call.js";
import { asList, isObject, numberOf, wordOf } from "../engine/field-checks.js";
import type { JsonObject } from "../engine/field-checks.js";
import type { PricedModel } from "../engine/price-table.js";
import { PromptMeter, TOKENS_PER_DETAILED_IMAGE } from "../engine/token-count.js";

/** Collects the prompt's texts and counts its tokens. */
export function promptOf(body: JsonObject): PromptMeter {
  const prompt = new PromptMeter();
  for (const message of asList(body["messages"])) {
    if (!isObject(message)) continue;
    const content = message["content"];
    if (typeof content === "string") prompt.addMessage([content]);
    else addParts(prompt, asList(content));
    prompt.addJson(message["tool_calls"]);
  }
  prompt.addJson(body["tools"]);
  return prompt;
}

function addParts(prompt: PromptMeter, parts: readonly unknown[]): void {
  const texts: string[] = [];
  let others = 0;
  for (const part of parts) {
    if (!isObject(part)) continue;
    if (typeof part["text"] === "string") texts.push(part["text"]);
    else if (isDetailedImage(part)) prompt.addTokens(TOKENS_PER_DETAILED_IMAGE);
    else others += 1;
  }
  prompt.addMessage(texts, others);
}

function isDetailedImage(part: JsonObject): boolean {
  const image = part["image_url"];
  return isObject(image) && image["detail"] === "high";
}

/** The schema that the answer must satisfy; null when none is stated. */
export function schemaOf(body: JsonObject): JsonObject | null {
  const format = body["response_format"];
  const stated = isObject(format) && format["type"] === "json_schema" ? format["json_schema"] : null;
  const schema = isObject(stated) ? stated["schema"] : null;
  return isObject(schema) ? schema : null;
}

const NO_FUNCTIONS: readonly JsonObject[] = [];

/** The functions among the tools. */
export function functionsOf(body: JsonObject): readonly JsonObject[] {
  if (body["tools"] === undefined) return NO_FUNCTIONS;
  return asList(body["tools"]).flatMap((tool) =>
    isObject(tool) && isObject(tool["function"]) ? [tool["function"]] : [],
  );
}

/** The tool that must be called, by its name. */
export function namedTool(body: JsonObject): string | null {
  const choice = body["tool_choice"];
  const wanted = isObject(choice) ? choice["function"] : null;
  return isObject(wanted) ? wordOf(wanted, "name") : null;
}

/** The text of the last message when the user wrote it. */
function lastUserText(body: JsonObject): string {
  const last = asList(body["messages"]).at(-1);
  if (!isObject(last) || last["role"] !== "user") return "";
  if (typeof last["content"] === "string") return last["content"];
  return asList(last["content"])
    .flatMap((part) => (isObject(part) && typeof part["text"] === "string" ? [part["text"]] : []))
    .join("\n");
}

function toolUseOf(body: JsonObject): ToolUse | null {
  const functions = functionsOf(body);
  if (functions.length === 0) return null;
  const named = namedTool(body);
  const choice = body["tool_choice"];
  return {
    tools: functions.map((one) => ({
      name: wordOf(one, "name") ?? "",
      parameters: isObject(one["parameters"]) ? one["parameters"] : null,
    })),
    choice: named !== null ? { name: named } : choice === "none" ? "none" : choice === "required" ? "forced" : "asked",
    parallel: body["parallel_tool_calls"] !== false,
    lastUserText: lastUserText(body),
  };
}

/** What is needed to answer a request that passed all checks. */
export function callOf(body: JsonObject, askedModel: string, model: PricedModel, prompt: PromptMeter): ChatCall {
  const stop = body["stop"];
  const format = body["response_format"];
  return {
    model,
    askedModel,
    texts: prompt.texts,
    inputTokens: prompt.tokens,
    outputTokensMax:
      numberOf(body, "max_completion_tokens") ?? numberOf(body, "max_tokens") ?? model.outputTokensMax ?? 4096,
    stopSequences:
      typeof stop === "string" ? [stop] : asList(stop).filter((one): one is string => typeof one === "string"),
    choices: numberOf(body, "n") ?? 1,
    wantsJson: isObject(format) && format["type"] === "json_object",
    thinks: model.reasoning && body["reasoning_effort"] !== "none",
    jsonSchema: schemaOf(body),
    toolUse: toolUseOf(body),
  };
}
