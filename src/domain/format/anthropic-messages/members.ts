import type { SamplingMembers } from "../sampling.js";

/**
 * Members that no answer depends on: the model is chosen by the route, the answer comes whole, caching is a matter of cost that each
 * provider handles in its own way.
 */
export const OPERATIONAL = ["model", "stream", "cache_control"] as const;

/**
 * As version 2023-06-01 of the API takes them; models after Opus 4.6 refuse most values.
 * Source: Anthropic Messages API reference, 2026-09.
 */
export const ANTHROPIC_SAMPLING: SamplingMembers = {
  temperature: { name: "temperature", min: 0, max: 1 },
  topP: { name: "top_p", min: 0, max: 1 },
  topK: { name: "top_k", min: 0, max: Number.MAX_SAFE_INTEGER },
  seed: null,
  frequencyPenalty: null,
  presencePenalty: null,
};

/** Source: types of @anthropic-ai/sdk 1.13.0, Base64ImageSource and Base64PDFSource. */
export const IMAGE_TYPES: ReadonlySet<string> = new Set(["image/jpeg", "image/png", "image/gif", "image/webp"]);
export const DOCUMENT_TYPE = "application/pdf";

/** Source: Anthropic Messages API reference, tools and tool_use, 2026-09. */
export const TOOL_NAME = /^[a-zA-Z0-9_-]{1,128}$/;
export const CALL_ID = /^[a-zA-Z0-9_-]+$/;

/** Fewest tokens of a thinking budget. Source: ThinkingConfigEnabled of the SDK. */
export const BUDGET_MIN = 1_024;

/** What ids of messages begin with. */
export const ID_PREFIX = "msg_";
