/** POST /v1/messages and POST /v1/messages/count_tokens. Source: providers.md 4.2, read 2026-11-24. */
import type { ChatCall, ToolUse } from "../engine/chat-call.js";
import { chatOperation } from "../engine/chat-operation.js";
import type { DirectOperation, DirectRequest } from "../engine/direct-operation.js";
import { asList, isObject } from "../engine/field-checks.js";
import type { FieldCheck, JsonObject } from "../engine/field-checks.js";
import type { EngineParts, Operation } from "../engine/operation.js";
import type { PricedModel, PriceTable } from "../engine/price-table.js";
import type { Refusal } from "../engine/refusal.js";
import { cacheUseOf } from "./cache-use.js";
import { invalid, refusalOf, refuse } from "./errors.js";
import { adjusted, answerJson, lyingUsage } from "./message-json.js";
import { messageProblem, schemaOf, thinkingAsked, toolsOf } from "./message-rules.js";
import { ANTHROPIC_BODY_BY_VERSION, ANTHROPIC_COUNT_BY_VERSION, ANTHROPIC_NOT_SIMULATED } from "./messages-fields.js";
import { lastUserText, meteredPrompt } from "./prompt.js";
import { versionOf } from "./version.js";

type Checked = {
  readonly body: JsonObject;
  readonly model: PricedModel;
  readonly tokens: number;
  readonly texts: readonly string[];
};

/** Checks a body by the fields of its version, then by the rules. */
function checked(
  { headers, body }: Pick<DirectRequest, "headers" | "body">,
  prices: PriceTable,
  fields: ReadonlyMap<string, FieldCheck>,
): Checked | { readonly refusal: Refusal } {
  const version = versionOf(headers);
  if ("refusal" in version) return version;
  const problem = fields.get(version.version)?.(body) ?? null;
  if (problem !== null || !isObject(body)) {
    const wrong = problem === null ? invalid("body: Input should be an object") : refusalOf(problem);
    return { refusal: notSimulated(body) ?? wrong };
  }
  const asked = typeof body["model"] === "string" ? body["model"] : "";
  const model = prices.find("anthropic", asked, "chat");
  if (model === null) return { refusal: refuse(404, "not_found_error", `model: ${asked}`) };
  const { tokens, texts } = meteredPrompt(body);
  const refusal = messageProblem(body, version.version, model) ?? lengthProblem(tokens, model);
  return refusal === null ? { body, model, tokens, texts } : { refusal };
}

function lengthProblem(tokens: number, model: PricedModel): Refusal | null {
  const max = model.contextTokensMax;
  return max === null || tokens <= max
    ? null
    : invalid(`prompt is too long: ${String(tokens)} tokens > ${String(max)} maximum`);
}

function notSimulated(body: unknown): Refusal | null {
  if (!isObject(body)) return null;
  const field = Object.keys(body).find((name) => ANTHROPIC_NOT_SIMULATED.has(name));
  return field === undefined ? null : invalid(`${field}: not simulated`);
}

function toolUseOf(body: JsonObject): ToolUse | null {
  const tools = toolsOf(body).map((tool) => ({
    name: String(tool["name"]),
    parameters: isObject(tool["input_schema"]) ? tool["input_schema"] : null,
  }));
  if (tools.length === 0) return null;
  const choice = isObject(body["tool_choice"]) ? body["tool_choice"] : {};
  const parallel = choice["disable_parallel_tool_use"] !== true;
  const use = { tools, parallel, lastUserText: lastUserText(body) };
  switch (choice["type"]) {
    case "tool":
      return { ...use, choice: { name: String(choice["name"]) } };
    case "any":
      return { ...use, choice: "forced" };
    case "none":
      return { ...use, choice: "none" };
    default:
      return { ...use, choice: "asked" };
  }
}

function callOf({ body, model, tokens, texts }: Checked): ChatCall {
  const thinking = thinkingAsked(body);
  return {
    model,
    askedModel: String(body["model"]),
    texts,
    inputTokens: tokens,
    outputTokensMax: typeof body["max_tokens"] === "number" ? body["max_tokens"] : 1,
    stopSequences: asList(body["stop_sequences"]).filter((one): one is string => typeof one === "string"),
    choices: 1,
    wantsJson: false,
    thinks: thinking.thinks,
    showsThoughts: thinking.shows,
    cacheUse: cacheUseOf(body),
    jsonSchema: schemaOf(body),
    toolUse: toolUseOf(body),
  };
}

export const anthropicMessages: DirectOperation = chatOperation({
  name: "anthropic.messages",
  path: "/v1/messages",
  check: (request, prices) => {
    const result = checked(request, prices, ANTHROPIC_BODY_BY_VERSION);
    return "refusal" in result ? result : { call: callOf(result) };
  },
  answerJson,
  usageField: "usage",
  lyingUsage,
  adjusted,
});

export function countTokensOperation({ prices }: EngineParts): Operation {
  return {
    name: "anthropic.countTokens",
    method: "POST",
    path: "/v1/messages/count_tokens",
    body: "json",
    handle: (call) => {
      const result = checked(call, prices, ANTHROPIC_COUNT_BY_VERSION);
      return "refusal" in result ? result : { status: 200, json: { input_tokens: result.tokens } };
    },
  };
}
