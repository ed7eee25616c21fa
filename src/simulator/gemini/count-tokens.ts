/** POST /v1beta/models/{model}:countTokens. Free of charge. Source: API reference of v1beta, read 2026-11-26. */
import { isObject } from "../engine/field-checks.js";
import type { JsonObject } from "../engine/field-checks.js";
import type { EngineParts, Operation, OperationAnswer } from "../engine/operation.js";
import type { PricedModel } from "../engine/price-table.js";
import { badRequest, invalidArgument, modelNotFound } from "./errors.js";
import { contentsProblem, generateProblem } from "./generate-rules.js";
import { objectAt } from "./json-reading.js";
import { meteredPrompt } from "./prompt.js";
import { readProto } from "./proto-message.js";
import { COUNT_TOKENS_REQUEST } from "./request-fields.js";

export function countTokensOperation({ prices }: EngineParts): Operation {
  return {
    name: "gemini.countTokens",
    method: "POST",
    path: "/v1beta/models/{model}:countTokens",
    body: "json",
    handle: ({ params, body }) => {
      const name = params["model"] ?? "";
      const model = prices.find("gemini", name, "chat") ?? prices.find("gemini", name, "embeddings");
      return model === null ? { refusal: modelNotFound(name, "countTokens") } : counted(body, model);
    },
  };
}

function counted(json: unknown, model: PricedModel): OperationAnswer {
  if (!isObject(json)) return { refusal: invalidArgument("Invalid JSON payload received. Expected an object.") };
  const read = readProto(COUNT_TOKENS_REQUEST, json);
  if ("violations" in read) return { refusal: badRequest(read.violations) };
  const inner = objectAt(read.body, "generateContentRequest");
  const refusal =
    inner === null ? contentsProblem(read.body, model, "CountTokensRequest") : innerProblem(read.body, inner, model);
  if (refusal !== null) return { refusal };
  const totalTokens = meteredPrompt(inner ?? read.body).tokens;
  const promptTokensDetails = [{ modality: "TEXT", tokenCount: totalTokens }];
  return { status: 200, json: { totalTokens, promptTokensDetails } };
}

function innerProblem(body: JsonObject, inner: JsonObject, model: PricedModel): ReturnType<typeof generateProblem> {
  if (body["contents"] !== undefined)
    return invalidArgument("Only one of contents and generate_content_request may be set.");
  return generateProblem(inner, model, "CountTokensRequest.generate_content_request");
}
