/** GET /v1beta/models and /v1beta/models/{model}. Source: API reference of v1beta, read 2026-11-26. */
import type { EngineParts, Operation, OperationAnswer } from "../engine/operation.js";
import type { PricedModel } from "../engine/price-table.js";
import { modelNotFound } from "./errors.js";
import { nextPage, readPage, withParameters } from "./pages.js";

const PAGE_SIZE = 50;
const PAGE_SIZE_MAX = 1000;

function modelJson(model: PricedModel): Record<string, unknown> {
  const chats = model.capabilities.has("chat");
  const sampling = model.samplingParams ? { temperature: 1, maxTemperature: 2, topP: 0.95, topK: 64 } : {};
  return {
    name: `models/${model.name}`,
    version: model.version,
    displayName: model.name,
    description: `${model.name}, as the simulator plays it`,
    ...(model.contextTokensMax === null ? {} : { inputTokenLimit: model.contextTokensMax }),
    outputTokenLimit: model.outputTokensMax ?? 1,
    supportedGenerationMethods: chats
      ? ["generateContent", "countTokens", "batchGenerateContent"]
      : ["embedContent", "countTokens", "asyncBatchEmbedContent"],
    ...(chats ? { ...sampling, ...(model.reasoning ? { thinking: true } : {}) } : {}),
  };
}

export function modelOperations({ prices }: EngineParts): readonly Operation[] {
  const find = (name: string): PricedModel | null =>
    prices.find("gemini", name, "chat") ?? prices.find("gemini", name, "embeddings");

  const list = (query: URLSearchParams): OperationAnswer => {
    const page = readPage(query, "ListModelsRequest", PAGE_SIZE, PAGE_SIZE_MAX);
    if ("refusal" in page) return page;
    const models = prices.names("gemini").flatMap((name) => find(name) ?? []);
    const { items, token } = nextPage(models, page);
    return { status: 200, json: { models: items.map(modelJson), ...token } };
  };

  return [
    {
      name: "gemini.models.list",
      method: "GET",
      path: "/v1beta/models",
      body: "none",
      handle: withParameters(["pageSize", "pageToken"], ({ query }) => list(query)),
    },
    {
      name: "gemini.models.get",
      method: "GET",
      path: "/v1beta/models/{model}",
      body: "none",
      handle: withParameters([], ({ params }) => {
        const model = find(params["model"] ?? "");
        if (model === null) return { refusal: modelNotFound(params["model"] ?? "", "getModel") };
        return { status: 200, json: modelJson(model) };
      }),
    },
  ];
}
