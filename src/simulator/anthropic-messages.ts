/** Anthropic's messages: its checks beyond the fields, its answer and its errors. */
import type { IncomingHttpHeaders } from "node:http";
import { ANTHROPIC_BODY_BY_VERSION, ANTHROPIC_NOT_SIMULATED } from "./anthropic-fields.js";
import type { ChatAnswer, ChatCall, FinishReason } from "./chat-call.js";
import type { DirectApi, Refusal, UsageLie } from "./direct-api.js";
import { isObject, parsedObject } from "./field-checks.js";
import type { JsonObject, Problem } from "./field-checks.js";
import type { PricedModel, PriceTable } from "./price-table.js";
import { PromptMeter } from "./token-count.js";

function refuse(status: number, type: string, message: string): Refusal {
  return { status, type, code: null, param: null, message };
}

function invalid(message: string): Refusal {
  return refuse(400, "invalid_request_error", message);
}

function refusalOf(problem: Problem): Refusal {
  const path = problem.path.length === 0 ? "body" : problem.path.join(".");
  if (problem.kind === "missing") return invalid(`${path}: Field required`);
  if (problem.kind === "unknown") return invalid(`${path}: Extra inputs are not permitted`);
  return invalid(`${path}: Input should be ${problem.expected}`);
}

/** The key comes as x-api-key; a bearer token is accepted in its place. */
function readKey(headers: IncomingHttpHeaders): { key: string } | { refusal: Refusal } {
  const own = headers["x-api-key"];
  const key = typeof own === "string" && own !== "" ? own : /^Bearer\s+(\S+)$/i.exec(headers.authorization ?? "")?.[1];
  if (key !== undefined) return { key };
  return { refusal: refuse(401, "authentication_error", "the header x-api-key is required") };
}

function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function textsOf(content: unknown): readonly string[] {
  if (typeof content === "string") return [content];
  return asList(content).flatMap((block) => {
    if (!isObject(block)) return [];
    if (typeof block["text"] === "string") return [block["text"]];
    return block["type"] === "tool_result" ? textsOf(block["content"]) : [];
  });
}

function meter(body: JsonObject): PromptMeter {
  const prompt = new PromptMeter();
  if (body["system"] !== undefined) prompt.addMessage(textsOf(body["system"]));
  for (const message of asList(body["messages"])) {
    if (!isObject(message)) continue;
    const blocks = asList(message["content"]).filter(isObject);
    const ofType = (...types: readonly string[]): JsonObject[] =>
      blocks.filter((block) => types.includes(String(block["type"])));
    prompt.addMessage(textsOf(message["content"]), blocks.length === 0 ? 0 : ofType("image", "document").length);
    for (const block of ofType("tool_use")) prompt.addJson(block["input"]);
  }
  prompt.addJson(body["tools"]);
  return prompt;
}

/** Sampling parameters that this version or model does not take. */
function samplingRefusal(body: JsonObject, version: string, model: PricedModel): Refusal | null {
  for (const field of ["temperature", "top_p", "top_k"]) {
    const value = body[field];
    if (value === undefined) continue;
    if (version === "2026-10-21") return invalid(`${field}: not permitted with anthropic-version ${version}`);
    const harmless =
      field === "temperature" ? value === 1 : field === "top_p" && typeof value === "number" && value >= 0.99;
    if (!model.samplingParams && !harmless) return invalid(`${field}: not supported by ${model.name}`);
  }
  return null;
}

/** Rules between fields, and those of the model. */
function combinationRefusal(body: JsonObject, model: PricedModel): Refusal | null {
  if (body["stream"] === true) return invalid("stream: streaming is not simulated");
  const config = body["output_config"];
  if (isObject(config) && isObject(config["format"]))
    return invalid("output_config.format: answers by a JSON schema are not simulated");
  if (body["tool_choice"] !== undefined && asList(body["tools"]).length === 0)
    return invalid("tool_choice: may only be given together with tools");
  const first = asList(body["messages"])[0];
  if (isObject(first) && first["role"] === "assistant")
    return invalid("messages: the first message must have the role user");
  const asked = body["max_tokens"];
  if (typeof asked === "number" && model.outputTokensMax !== null && asked > model.outputTokensMax) {
    return invalid(
      `max_tokens: ${String(asked)} > ${String(model.outputTokensMax)}, the most output tokens of ${model.name}`,
    );
  }
  return null;
}

function lengthRefusal(tokens: number, model: PricedModel): Refusal | null {
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

function check(
  headers: IncomingHttpHeaders,
  body: unknown,
  prices: PriceTable,
): { call: ChatCall } | { refusal: Refusal } {
  const version = headers["anthropic-version"];
  if (typeof version !== "string") return { refusal: invalid("anthropic-version: header is required") };
  const bodyCheck = ANTHROPIC_BODY_BY_VERSION.get(version);
  if (bodyCheck === undefined) return { refusal: invalid(`anthropic-version: "${version}" is not a valid version`) };
  const problem = bodyCheck(body);
  if (problem !== null || !isObject(body)) {
    return {
      refusal:
        notSimulated(body) ?? (problem === null ? invalid("body: Input should be an object") : refusalOf(problem)),
    };
  }
  const askedModel = typeof body["model"] === "string" ? body["model"] : "";
  const model = prices.find("anthropic", askedModel);
  if (model === null) return { refusal: refuse(404, "not_found_error", `model: ${askedModel}`) };
  const prompt = meter(body);
  const refusal =
    combinationRefusal(body, model) ?? samplingRefusal(body, version, model) ?? lengthRefusal(prompt.tokens, model);
  return refusal === null ? { call: callOf(body, askedModel, model, prompt) } : { refusal };
}

function callOf(body: JsonObject, askedModel: string, model: PricedModel, prompt: PromptMeter): ChatCall {
  return {
    model,
    askedModel,
    texts: prompt.texts,
    inputTokens: prompt.tokens,
    outputTokensMax: typeof body["max_tokens"] === "number" ? body["max_tokens"] : 1,
    stopSequences: asList(body["stop_sequences"]).filter((one): one is string => typeof one === "string"),
    choices: 1,
    wantsJson: false,
    thinks: false,
  };
}

const STOP_REASONS = {
  stop: "end_turn",
  length: "max_tokens",
  stop_sequence: "stop_sequence",
  refusal: "refusal",
} as const satisfies Record<FinishReason, string>;

function answerJson(answer: ChatAnswer): string {
  const refused = answer.finish === "refusal";
  const text = JSON.stringify(answer.text);
  const content = refused || answer.text === "" ? "[]" : `[{"type":"text","text":${text}}]`;
  const details = refused ? `"stop_details":{"type":"refusal","category":null,"explanation":${text}},` : "";
  return (
    `{"id":"msg_${answer.requestId.slice(4)}","type":"message","role":"assistant","model":${JSON.stringify(answer.model.version)},` +
    `"content":${content},"stop_reason":"${STOP_REASONS[answer.finish]}","stop_sequence":${JSON.stringify(answer.stopSequence)},` +
    `${details}"usage":${usageJson(answer)}}`
  );
}

/** `input_tokens` leaves out what came from the cache. */
function usageJson(answer: ChatAnswer): string {
  const { inputTokens, cachedInputTokens, cacheWriteTokens, outputTokens } = answer.usage;
  const writes = String(cacheWriteTokens);
  return (
    `{"input_tokens":${String(inputTokens - cachedInputTokens - cacheWriteTokens)},"cache_creation_input_tokens":${writes},` +
    `"cache_read_input_tokens":${String(cachedInputTokens)},` +
    `"cache_creation":{"ephemeral_5m_input_tokens":${writes},"ephemeral_1h_input_tokens":0},` +
    `"output_tokens":${String(outputTokens)},"service_tier":"standard"}`
  );
}

function lyingUsage(answer: ChatAnswer, lie: UsageLie): unknown {
  const usage = parsedObject(usageJson(answer));
  switch (lie) {
    case "missing":
      return undefined;
    case "negative":
      return { ...usage, output_tokens: -answer.usage.outputTokens };
    case "huge":
      return { ...usage, input_tokens: 1e18 };
    case "not_a_number":
      return { ...usage, input_tokens: "NaN" };
    case "wrong_total":
      // There is no total here; the sum that can be wrong is that of the cache writes.
      return { ...usage, cache_creation: { ephemeral_5m_input_tokens: 17, ephemeral_1h_input_tokens: 0 } };
  }
}

/** Source: Anthropic's page on errors, read 2026-11-24. */
const STATUS_TYPES: Readonly<Record<number, string>> = {
  401: "authentication_error",
  402: "billing_error",
  403: "permission_error",
  404: "not_found_error",
  409: "conflict_error",
  413: "request_too_large",
  429: "rate_limit_error",
  500: "api_error",
  502: "api_error",
  503: "api_error",
  504: "timeout_error",
  529: "overloaded_error",
};

export const anthropicMessages: DirectApi = {
  provider: "anthropic",
  path: "/v1/messages",
  requestIdHeader: "request-id",
  readKey,
  wrongKey: refuse(401, "authentication_error", "the x-api-key given is not valid"),
  check,
  answerJson,
  lyingUsage,
  errorBody: (refusal, requestId) => ({
    type: "error",
    error: { type: refusal.type, message: refusal.message },
    request_id: requestId,
  }),
  refusalFor: (status, message) => refuse(status, STATUS_TYPES[status] ?? "invalid_request_error", message),
};
