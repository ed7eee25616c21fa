/** GET /v1/models and /v1/models/{model}. Source: the types of the official SDK 1.13, read 2026-11-26. */
import type { EngineParts, Operation, OperationAnswer, OperationCall } from "../engine/operation.js";
import type { PricedModel } from "../engine/price-table.js";
import { refusalFor } from "./errors.js";
import { readPage } from "./pages.js";
import { versionProblem } from "./version.js";

const PAGE_SIZE = 20;
const LINES = ["haiku", "sonnet", "opus", "fable", "mythos"];
/** The list says nothing of releases; the API states an epoch value for an unknown date. */
const UNKNOWN_DATE = "1970-01-01T00:00:00Z";

type Support = { readonly supported: boolean };

function support(supported: boolean): Support {
  return { supported };
}

function capabilitiesJson({ capabilities, reasoning }: PricedModel): Record<string, unknown> {
  const effort = Object.fromEntries(
    ["low", "medium", "high", "xhigh", "max"].map((level) => [level, support(reasoning)]),
  );
  const management = ["clear_thinking_20251015", "clear_tool_uses_20250919", "compact_20260112"];
  return {
    batch: support(true),
    citations: support(false),
    code_execution: support(false),
    context_management: { ...Object.fromEntries(management.map((name) => [name, support(false)])), supported: false },
    effort: { ...effort, supported: reasoning },
    image_input: support(capabilities.has("vision")),
    pdf_input: support(capabilities.has("pdf")),
    server_tools: { code_execution: support(false), web_search: support(false), supported: false },
    structured_outputs: support(capabilities.has("json_schema")),
    thinking: {
      supported: reasoning,
      types: {
        enabled: support(reasoning),
        adaptive: support(reasoning),
        disabled: support(true),
        between_tools: support(false),
      },
    },
  };
}

function modelJson(model: PricedModel): Record<string, unknown> {
  return {
    type: "model",
    id: model.version,
    display_name: model.name,
    created_at: UNKNOWN_DATE,
    lifecycle: "active",
    deprecated_at: null,
    retires_at: null,
    line: LINES.find((line) => model.name.includes(line)) ?? null,
    max_input_tokens: model.contextTokensMax,
    max_tokens: model.outputTokensMax,
    capabilities: capabilitiesJson(model),
  };
}

export function modelOperations({ prices }: EngineParts): readonly Operation[] {
  const list = (call: OperationCall): OperationAnswer => {
    const all = prices.names("anthropic").flatMap((name) => prices.find("anthropic", name, "chat") ?? []);
    const page = readPage(call.query, all, (model) => model.version, PAGE_SIZE);
    if ("refusal" in page) return page;
    const data = page.items.map(modelJson);
    const ids = { first_id: page.items[0]?.version ?? null, last_id: page.items.at(-1)?.version ?? null };
    return { status: 200, json: { data, has_more: page.hasMore, ...ids } };
  };
  const get = (call: OperationCall): OperationAnswer => {
    const name = call.params["model"] ?? "";
    const model = prices.find("anthropic", name, "chat");
    return model === null ? { refusal: refusalFor(404, `model: ${name}`) } : { status: 200, json: modelJson(model) };
  };
  const operation = (name: string, path: string, handle: (call: OperationCall) => OperationAnswer): Operation => ({
    name: `anthropic.models.${name}`,
    method: "GET",
    path,
    body: "none",
    handle: (call) => {
      const refusal = versionProblem(call.headers);
      return refusal === null ? handle(call) : { refusal };
    },
  });
  return [operation("list", "/v1/models", list), operation("get", "/v1/models/{model}", get)];
}
