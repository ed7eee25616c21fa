/** What OpenAI refuses in a chat request beyond single fields: between messages, between fields, by the model. */
import { asList, isObject, isSet, numberOf, wordOf } from "../engine/field-checks.js";
import type { JsonObject } from "../engine/field-checks.js";
import type { PricedModel } from "../engine/price-table.js";
import type { Refusal } from "../engine/refusal.js";
import { schemaProblem } from "../engine/schema-value.js";
import { functionsOf, namedTool, schemaOf } from "./chat-request.js";
import { invalid } from "./errors.js";
import { reasoningRefusal } from "./reasoning-rules.js";

/** Rules between messages; each message's own shape is already proven. */
export function messagesRefusal(messages: readonly unknown[]): Refusal | null {
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

/** Rules between fields. */
export function combinationRefusal(body: JsonObject): Refusal | null {
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
  const schema = schemaOf(body);
  const problem = schema === null ? null : schemaProblem(schema);
  if (problem !== null) return invalid(`Invalid schema for response_format: ${problem}.`, "response_format", null);
  return toolsRefusal(body);
}

function toolsRefusal(body: JsonObject): Refusal | null {
  const functions = functionsOf(body);
  for (const [index, one] of functions.entries()) {
    const problem = isObject(one["parameters"]) ? schemaProblem(one["parameters"]) : null;
    const param = `tools[${String(index)}].function.parameters`;
    if (problem !== null)
      return invalid(
        `Invalid schema for function '${wordOf(one, "name") ?? ""}': ${problem}.`,
        param,
        "invalid_function_parameters",
      );
  }
  const named = namedTool(body);
  if (named !== null && !functions.some((one) => one["name"] === named))
    return invalid(`Tool choice '${named}' was not found in 'tools'.`, "tool_choice", null);
  return null;
}

/** OpenAI's own rule for its JSON mode; other servers have none. */
export function jsonModeRefusal(body: JsonObject, texts: readonly string[]): Refusal | null {
  const format = body["response_format"];
  if (!isObject(format) || format["type"] !== "json_object" || texts.some((piece) => /json/i.test(piece))) return null;
  return invalid(
    "With 'response_format' of type 'json_object' the messages must contain the word 'json'.",
    "messages",
    null,
  );
}

/** What this model refuses although the API knows the field. */
export function modelRefusal(body: JsonObject, model: PricedModel): Refusal | null {
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
  return reasoningRefusal(body, model) ?? outputRefusal(body, model) ?? capabilityRefusal(body, model);
}

function outputRefusal(body: JsonObject, model: PricedModel): Refusal | null {
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

/** Parts of a message by the capability that they need, as the price list names it. */
const PART_NEEDS: ReadonlyMap<unknown, string> = new Map([
  ["image_url", "vision"],
  ["input_audio", "audio"],
  ["file", "pdf"],
]);

function capabilityRefusal(body: JsonObject, { capabilities }: PricedModel): Refusal | null {
  if (isSet(body, "tools") && !capabilities.has("tools"))
    return invalid("'tools' is not supported with this model.", "tools", "unsupported_parameter");
  if (schemaOf(body) !== null && !capabilities.has("json_schema"))
    return invalid(
      "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
      "response_format",
      null,
    );
  for (const [index, message] of asList(body["messages"]).entries()) {
    const content = isObject(message) ? message["content"] : null;
    if (!Array.isArray(content)) continue;
    for (const [at, part] of asList(content).entries()) {
      const type = isObject(part) ? part["type"] : null;
      const need = PART_NEEDS.get(type);
      if (need === undefined || capabilities.has(need)) continue;
      const param = `messages[${String(index)}].content[${String(at)}].type`;
      return invalid(`Invalid content type. '${String(type)}' is only supported by certain models.`, param, null);
    }
  }
  return null;
}

export function lengthRefusal(tokens: number, model: PricedModel): Refusal | null {
  const max = model.contextTokensMax;
  if (max === null || tokens <= max) return null;
  const message = `This model's maximum context length is ${String(max)} tokens, but the messages came to ${String(tokens)} tokens.`;
  return invalid(message, "messages", "context_length_exceeded");
}
