/**
 * POST /v1beta/models/{model}:embedContent and :batchEmbedContents (many at once, answered at once).
 * Source: providers.md 5.2 and the API reference of v1beta (usageMetadata of embeddings included), read 2026-11-26.
 */
import { isObject } from "../engine/field-checks.js";
import type { JsonObject } from "../engine/field-checks.js";
import type { DirectOperation, DirectRequest, UsageLie } from "../engine/direct-operation.js";
import { embeddingOperation } from "../engine/embedding-operation.js";
import type { EmbeddingAnswer, EmbeddingApi, EmbeddingCall } from "../engine/embedding-operation.js";
import type { PricedModel, PriceTable } from "../engine/price-table.js";
import type { Refusal } from "../engine/refusal.js";
import { PromptMeter } from "../engine/token-count.js";
import { badRequest, invalidArgument, invalidField, modelNotFound } from "./errors.js";
import { oneContentProblem } from "./generate-rules.js";
import { numberAt, objectAt, objectsAt, textAt } from "./json-reading.js";
import { textsOf } from "./prompt.js";
import { readProto } from "./proto-message.js";
import type { ProtoMessage } from "./proto-message.js";
import { BATCH_EMBED_REQUEST, EMBED_REQUEST } from "./request-fields.js";

const REQUESTS_MAX = 100;

type Checked = { readonly call: EmbeddingCall } | { readonly refusal: Refusal };

/** What is asked of one content, once it has passed. */
type Input = { readonly text: string; readonly tokens: number; readonly dimensions: number };

function inputOf(request: JsonObject, model: PricedModel, message: string): Input | { readonly refusal: Refusal } {
  const refusal = requestProblem(request, model, message);
  if (refusal !== null) return { refusal };
  const prompt = new PromptMeter();
  const texts = textsOf(objectAt(request, "content") ?? {});
  prompt.addMessage(texts);
  const max = model.contextTokensMax;
  if (max !== null && prompt.tokens > max) {
    const what = `exceeds the maximum number of tokens allowed (${String(max)}).`;
    return { refusal: invalidArgument(`The input token count (${String(prompt.tokens)}) ${what}`) };
  }
  const dimensions = numberAt(request, "outputDimensionality") ?? model.dimensions ?? 0;
  return { text: texts.join("\n"), tokens: prompt.tokens, dimensions };
}

function requestProblem(request: JsonObject, model: PricedModel, message: string): Refusal | null {
  const named = textAt(request, "model");
  if (named !== null && named !== `models/${model.name}` && named !== `models/${model.version}`)
    return invalidField(message, "model", "the model in the request must be the model in the address.");
  const content = objectAt(request, "content");
  if (content === null) return invalidField(message, "content", "content is not specified");
  const problem = oneContentProblem(content, model, message);
  if (problem !== null) return problem;
  if (textAt(request, "title") !== null && textAt(request, "taskType") !== "RETRIEVAL_DOCUMENT")
    return invalidField(message, "title", "title is only allowed with task_type RETRIEVAL_DOCUMENT.");
  const dimensions = numberAt(request, "outputDimensionality");
  const max = model.dimensions ?? Infinity;
  if (dimensions === null || (dimensions >= 1 && dimensions <= max)) return null;
  return invalidField(
    message,
    "output_dimensionality",
    `output_dimensionality must be in the range [1, ${String(max)}].`,
  );
}

/** The call and its requests' texts, or why not. `requestsOf` gives the requests that a body holds. */
function checked(
  { params, body: json }: DirectRequest,
  prices: PriceTable,
  method: "embedContent" | "batchEmbedContents",
  message: ProtoMessage,
  requestsOf: (body: JsonObject) => readonly JsonObject[] | Refusal,
): Checked {
  const askedModel = params["model"] ?? "";
  const model = prices.find("gemini", askedModel, "embeddings");
  if (model === null) return { refusal: modelNotFound(askedModel, method) };
  if (!isObject(json)) return { refusal: invalidArgument("Invalid JSON payload received. Expected an object.") };
  const read = readProto(message, json);
  if ("violations" in read) return { refusal: badRequest(read.violations) };
  const requests = requestsOf(read.body);
  if ("status" in requests) return { refusal: requests };
  const inputs: Input[] = [];
  for (const [index, request] of requests.entries()) {
    const place =
      method === "embedContent" ? "EmbedContentRequest" : `BatchEmbedContentsRequest.requests[${String(index)}]`;
    const input = inputOf(request, model, place);
    if ("refusal" in input) return input;
    inputs.push(input);
  }
  return { call: embeddingCall(model, askedModel, inputs) };
}

function embeddingCall(model: PricedModel, askedModel: string, inputs: readonly Input[]): EmbeddingCall {
  return {
    model,
    askedModel,
    inputs: inputs.map((input) => input.text),
    inputTokens: inputs.reduce((sum, input) => sum + input.tokens, 0),
    dimensions: inputs[0]?.dimensions ?? 0,
  };
}

/** All requests of one call give vectors of one length: by the simulator's own rule, since a mix is not documented. */
function requestsOfMany(body: JsonObject): readonly JsonObject[] | Refusal {
  const requests = objectsAt(body, "requests");
  const message = "BatchEmbedContentsRequest";
  if (requests.length === 0) return invalidField(message, "requests", "requests is not specified");
  if (requests.length > REQUESTS_MAX)
    return invalidField(message, "requests", `at most ${String(REQUESTS_MAX)} requests can be in one batch`);
  const nameless = requests.findIndex((request) => textAt(request, "model") === null);
  if (nameless >= 0) return invalidField(message, `requests[${String(nameless)}].model`, "model is not specified");
  const lengths = new Set(requests.map((request) => numberAt(request, "outputDimensionality")));
  return lengths.size > 1
    ? invalidField(message, "requests", "requests of several lengths are not simulated.")
    : requests;
}

function usageJson({ usage }: EmbeddingAnswer): Record<string, unknown> {
  const tokenCount = usage.inputTokens;
  return { promptTokenCount: tokenCount, promptTokenDetails: [{ modality: "TEXT", tokenCount }] };
}

function lyingUsage(answer: EmbeddingAnswer, lie: UsageLie): unknown {
  const usage = usageJson(answer);
  switch (lie) {
    case "missing":
      return undefined;
    case "negative":
      return { ...usage, promptTokenCount: -answer.usage.inputTokens };
    case "huge":
      return { ...usage, promptTokenCount: 1e18 };
    case "not_a_number":
      return { ...usage, promptTokenCount: "NaN" };
    case "wrong_total":
      // There is no total here; the sum that can be wrong is that of the modalities.
      return { ...usage, promptTokenDetails: [{ modality: "TEXT", tokenCount: answer.usage.inputTokens + 17 }] };
  }
}

function valuesJson(vector: Float32Array): string {
  return `{"values":[${vector.join(",")}]}`;
}

const one: EmbeddingApi<EmbeddingCall> = {
  name: "gemini.embedContent",
  path: "/v1beta/models/{model}:embedContent",
  usageField: "usageMetadata",
  check: (request, prices) => checked(request, prices, "embedContent", EMBED_REQUEST, (body) => [body]),
  answerJson: (answer) => {
    const [vector] = answer.vectors;
    const embedding = vector === undefined ? "{}" : valuesJson(vector);
    return `{"embedding":${embedding},"usageMetadata":${JSON.stringify(usageJson(answer))}}`;
  },
  lyingUsage,
};

const many: EmbeddingApi<EmbeddingCall> = {
  name: "gemini.batchEmbedContents",
  path: "/v1beta/models/{model}:batchEmbedContents",
  usageField: "usageMetadata",
  check: (request, prices) => checked(request, prices, "batchEmbedContents", BATCH_EMBED_REQUEST, requestsOfMany),
  answerJson: (answer) =>
    `{"embeddings":[${answer.vectors.map(valuesJson).join(",")}],"usageMetadata":${JSON.stringify(usageJson(answer))}}`,
  lyingUsage,
};

export const embedContent: DirectOperation = embeddingOperation(one);
export const batchEmbedContents: DirectOperation = embeddingOperation(many);
