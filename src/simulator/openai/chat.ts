/** OpenAI's chat completions. */
import { chatOperation } from "../engine/chat-operation.js";
import type { ChatCall } from "../engine/chat-call.js";
import type { DirectOperation, DirectRequest } from "../engine/direct-operation.js";
import { asList, isObject, isSet, wordOf } from "../engine/field-checks.js";
import type { PriceTable } from "../engine/price-table.js";
import type { Refusal } from "../engine/refusal.js";
import { OPENAI_CHAT_BODY, OPENAI_CHAT_NOT_SIMULATED } from "./chat-fields.js";
import { answerJson, lyingUsage } from "./chat-json.js";
import { callOf, promptOf } from "./chat-request.js";
import { combinationRefusal, jsonModeRefusal, lengthRefusal, messagesRefusal, modelRefusal } from "./chat-rules.js";
import { invalid, modelNotFound, refusalOf } from "./errors.js";

function notSimulated(body: unknown): Refusal | null {
  if (!isObject(body)) return null;
  const field = Object.keys(body).find((name) => OPENAI_CHAT_NOT_SIMULATED.has(name) && isSet(body, name));
  return field === undefined ? null : invalid(`'${field}' is not simulated.`, field, "unsupported_parameter");
}

function check(
  { body }: DirectRequest,
  prices: PriceTable,
): { readonly call: ChatCall } | { readonly refusal: Refusal } {
  const problem = OPENAI_CHAT_BODY(body);
  if (problem !== null || !isObject(body)) {
    return {
      refusal:
        notSimulated(body) ??
        (problem === null ? invalid("The body must be an object.", null, null) : refusalOf(problem)),
    };
  }
  const askedModel = wordOf(body, "model") ?? "";
  const model = prices.find("openai", askedModel, "chat");
  if (model === null) return { refusal: modelNotFound(askedModel) };
  const prompt = promptOf(body);
  const refusal =
    messagesRefusal(asList(body["messages"])) ??
    combinationRefusal(body) ??
    jsonModeRefusal(body, prompt.texts) ??
    modelRefusal(body, model) ??
    lengthRefusal(prompt.tokens, model);
  return refusal === null ? { call: callOf(body, askedModel, model, prompt) } : { refusal };
}

export const openaiChat: DirectOperation = chatOperation({
  name: "openai.chat",
  path: "/v1/chat/completions",
  check,
  answerJson,
  usageField: "usage",
  lyingUsage,
});
