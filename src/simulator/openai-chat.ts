/** OpenAI's chat completions: its checks beyond the fields, its answer and its errors. */
import type { IncomingHttpHeaders } from "node:http";
import type { ChatAnswer, ChatCall } from "./chat-call.js";
import type { DirectApi, Refusal, UsageLie } from "./direct-api.js";
import { isObject, parsedObject } from "./field-checks.js";
import type { JsonObject, Problem } from "./field-checks.js";
import { OPENAI_CHAT_BODY, OPENAI_CHAT_NOT_SIMULATED } from "./openai-fields.js";
import type { PricedModel, PriceTable } from "./price-table.js";
import { PromptMeter } from "./token-count.js";

function invalid(message: string, param: string | null, code: string | null, status = 400): Refusal {
  return { status, type: "invalid_request_error", code, param, message };
}

function codeOf({ kind, subject = "string" }: Problem): string {
  const isNumber = subject === "integer" || subject === "decimal";
  switch (kind) {
    case "missing":
      return "missing_required_parameter";
    case "unknown":
      return "unknown_parameter";
    case "type":
      return "invalid_type";
    case "value":
      return "invalid_value";
    case "empty":
      return `empty_${subject}`;
    case "too_small":
      return `${subject}_below_min_${isNumber ? "value" : "length"}`;
    case "too_large":
      return `${subject}_above_max_${isNumber ? "value" : "length"}`;
  }
}

function paramOf(path: Problem["path"]): string {
  let param = "";
  for (const segment of path)
    param += typeof segment === "number" ? `[${String(segment)}]` : param === "" ? segment : `.${segment}`;
  return param;
}

function refusalOf(problem: Problem): Refusal {
  const param = paramOf(problem.path);
  const code = codeOf(problem);
  if (param === "") return invalid(`The body must be ${problem.expected}.`, null, code);
  if (problem.kind === "missing") return invalid(`Missing required parameter: '${param}'.`, param, code);
  if (problem.kind === "unknown") return invalid(`Unknown parameter: '${param}'.`, param, code);
  return invalid(`Invalid '${param}': expected ${problem.expected}.`, param, code);
}

function readKey(headers: IncomingHttpHeaders): { key: string } | { refusal: Refusal } {
  const key = /^Bearer\s+(\S+)$/i.exec(headers.authorization ?? "")?.[1];
  if (key !== undefined) return { key };
  return { refusal: invalid("No API key was given. Send it as 'Authorization: Bearer KEY'.", null, null, 401) };
}

function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function wordOf(body: JsonObject, field: string): string | null {
  const value = body[field];
  return typeof value === "string" ? value : null;
}

function numberOf(body: JsonObject, field: string): number | null {
  const value = body[field];
  return typeof value === "number" ? value : null;
}

function isSet(body: JsonObject, field: string): boolean {
  return body[field] !== undefined && body[field] !== null;
}

/** Rules between messages; each message's own shape is already proven. */
function messagesRefusal(messages: readonly unknown[]): Refusal | null {
  let openToolCalls = false;
  for (const [index, message] of messages.entries()) {
    if (!isObject(message)) continue;
    const param = `messages[${String(index)}]`;
    const role = message["role"];
    if (role === "tool" && !openToolCalls) {
      return invalid(
        "A message of role 'tool' must answer 'tool_calls' of the message before it.",
        `${param}.role`,
        null,
      );
    }
    if (
      role === "assistant" &&
      !isSet(message, "content") &&
      !isSet(message, "tool_calls") &&
      !isSet(message, "refusal")
    ) {
      return invalid("An assistant message needs 'content' or 'tool_calls'.", `${param}.content`, "invalid_type");
    }
    openToolCalls = role === "tool" || isSet(message, "tool_calls");
  }
  return null;
}

function meter(body: JsonObject): PromptMeter {
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
  const texts = parts.flatMap((part) => (isObject(part) && typeof part["text"] === "string" ? [part["text"]] : []));
  prompt.addMessage(texts, parts.length - texts.length);
}

/** What this model refuses although the API knows the field. */
function modelRefusal(body: JsonObject, model: PricedModel): Refusal | null {
  const unsupported = (field: string, why: string): Refusal =>
    invalid(`Unsupported parameter: '${field}' ${why}`, field, "unsupported_parameter");
  if (model.reasoning && isSet(body, "max_tokens")) {
    return unsupported("max_tokens", "is not supported with this model. Use 'max_completion_tokens' instead.");
  }
  if (!model.reasoning && isSet(body, "reasoning_effort"))
    return unsupported("reasoning_effort", "is not supported with this model.");
  if (!model.samplingParams) {
    for (const field of ["temperature", "top_p"])
      if (isSet(body, field)) return unsupported(field, "is not supported with this model.");
  }
  const field = isSet(body, "max_completion_tokens") ? "max_completion_tokens" : "max_tokens";
  const asked = numberOf(body, field);
  if (asked !== null && model.outputTokensMax !== null && asked > model.outputTokensMax) {
    return invalid(
      `${field} is too large: ${String(asked)}. This model gives at most ${String(model.outputTokensMax)} tokens.`,
      field,
      "invalid_value",
    );
  }
  return null;
}

/** Rules between fields. */
function combinationRefusal(body: JsonObject, texts: readonly string[]): Refusal | null {
  if (body["stream"] === true)
    return invalid("Streaming is not simulated; leave out 'stream'.", "stream", "unsupported_value");
  if (isSet(body, "stream_options")) return invalid("'stream_options' needs 'stream'.", "stream_options", null);
  for (const field of ["tool_choice", "parallel_tool_calls"]) {
    if (isSet(body, field) && !isSet(body, "tools"))
      return invalid(`'${field}' is only allowed when 'tools' are given.`, field, null);
  }
  if (isSet(body, "top_logprobs") && body["logprobs"] !== true)
    return invalid("'top_logprobs' needs 'logprobs'.", "top_logprobs", null);
  if (isSet(body, "max_tokens") && isSet(body, "max_completion_tokens")) {
    return invalid("'max_tokens' and 'max_completion_tokens' can't both be given.", "max_tokens", null);
  }
  const format = body["response_format"];
  if (isObject(format) && format["type"] === "json_object" && !texts.some((piece) => /json/i.test(piece))) {
    return invalid(
      "With 'response_format' of type 'json_object' the messages must contain the word 'json'.",
      "messages",
      null,
    );
  }
  if (isObject(format) && format["type"] === "json_schema") {
    return invalid("Answers by a JSON schema are not simulated.", "response_format", "unsupported_value");
  }
  return null;
}

function notSimulated(body: unknown): Refusal | null {
  if (!isObject(body)) return null;
  const field = Object.keys(body).find((name) => OPENAI_CHAT_NOT_SIMULATED.has(name) && isSet(body, name));
  return field === undefined ? null : invalid(`'${field}' is not simulated.`, field, "unsupported_parameter");
}

function check(
  _headers: IncomingHttpHeaders,
  body: unknown,
  prices: PriceTable,
): { call: ChatCall } | { refusal: Refusal } {
  const problem = OPENAI_CHAT_BODY(body);
  if (problem !== null || !isObject(body)) {
    return {
      refusal:
        notSimulated(body) ??
        (problem === null ? invalid("The body must be an object.", null, null) : refusalOf(problem)),
    };
  }
  const askedModel = wordOf(body, "model") ?? "";
  const model = prices.find("openai", askedModel);
  if (model === null) {
    return {
      refusal: invalid(
        `The model '${askedModel}' does not exist or you do not have access to it.`,
        null,
        "model_not_found",
        404,
      ),
    };
  }
  const prompt = meter(body);
  const refusal =
    messagesRefusal(asList(body["messages"])) ??
    combinationRefusal(body, prompt.texts) ??
    modelRefusal(body, model) ??
    lengthRefusal(prompt.tokens, model);
  return refusal === null ? { call: callOf(body, askedModel, model, prompt) } : { refusal };
}

function lengthRefusal(tokens: number, model: PricedModel): Refusal | null {
  const max = model.contextTokensMax;
  if (max === null || tokens <= max) return null;
  const message = `This model's maximum context length is ${String(max)} tokens, but the messages came to ${String(tokens)} tokens.`;
  return invalid(message, "messages", "context_length_exceeded");
}

function callOf(body: JsonObject, askedModel: string, model: PricedModel, prompt: PromptMeter): ChatCall {
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
  };
}

function choiceJson(answer: ChatAnswer, index: number): string {
  const text = JSON.stringify(answer.text);
  const said = answer.finish === "refusal" ? `"content":null,"refusal":${text}` : `"content":${text},"refusal":null`;
  const reason = answer.finish === "length" ? "length" : "stop";
  return `{"index":${String(index)},"message":{"role":"assistant",${said},"annotations":[]},"logprobs":null,"finish_reason":"${reason}"}`;
}

function answerJson(answer: ChatAnswer): string {
  let choices = choiceJson(answer, 0);
  for (let index = 1; index < answer.choices; index += 1) choices += `,${choiceJson(answer, index)}`;
  return (
    `{"id":"chatcmpl-${answer.requestId.slice(4)}","object":"chat.completion","created":${String(answer.createdSeconds)},` +
    `"model":${JSON.stringify(answer.model.version)},"choices":[${choices}],"usage":${usageJson(answer)},` +
    `"service_tier":"default","system_fingerprint":null}`
  );
}

function usageJson(answer: ChatAnswer): string {
  const { inputTokens, cachedInputTokens, outputTokens } = answer.usage;
  return (
    `{"prompt_tokens":${String(inputTokens)},"completion_tokens":${String(outputTokens)},"total_tokens":${String(inputTokens + outputTokens)},` +
    `"prompt_tokens_details":{"cached_tokens":${String(cachedInputTokens)},"audio_tokens":0},` +
    `"completion_tokens_details":{"reasoning_tokens":${String(answer.reasoningTokens)},"audio_tokens":0,` +
    `"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`
  );
}

function lyingUsage(answer: ChatAnswer, lie: UsageLie): unknown {
  const usage = parsedObject(usageJson(answer));
  switch (lie) {
    case "missing":
      return undefined;
    case "negative":
      return { ...usage, completion_tokens: -answer.usage.outputTokens };
    case "huge":
      return { ...usage, prompt_tokens: 1e18, total_tokens: 1e18 };
    case "not_a_number":
      return { ...usage, prompt_tokens: "NaN" };
    case "wrong_total":
      return { ...usage, total_tokens: answer.usage.inputTokens + answer.usage.outputTokens + 17 };
  }
}

/** Source: OpenAI's error code guide, read 2026-11-24. */
const STATUS_ERRORS: Readonly<Record<number, { readonly type: string; readonly code: string | null }>> = {
  401: { type: "invalid_request_error", code: "invalid_api_key" },
  403: { type: "invalid_request_error", code: null },
  429: { type: "requests", code: "rate_limit_exceeded" },
  500: { type: "server_error", code: null },
  502: { type: "server_error", code: null },
  503: { type: "service_unavailable_error", code: "server_is_overloaded" },
  504: { type: "server_error", code: null },
};

function refusalFor(status: number, message: string): Refusal {
  const known = STATUS_ERRORS[status];
  return { status, type: known?.type ?? "invalid_request_error", code: known?.code ?? null, param: null, message };
}

export const openaiChat: DirectApi = {
  provider: "openai",
  path: "/v1/chat/completions",
  requestIdHeader: "x-request-id",
  readKey,
  wrongKey: invalid("The API key given is not correct.", null, "invalid_api_key", 401),
  check,
  answerJson,
  lyingUsage,
  errorBody: (refusal) => ({
    error: { message: refusal.message, type: refusal.type, param: refusal.param, code: refusal.code },
  }),
  refusalFor,
};
