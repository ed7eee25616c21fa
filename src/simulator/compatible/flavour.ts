/**
 * A server that speaks OpenAI's chat and embeddings in its own way: what all of them share, and what tells them apart.
 *
 * All: fields that OpenAI has not are ignored, models are those that the simulator is started with, calls need no key unless keys are
 * stated, there are no rate headers, no files and no batches. Source: providers.md 13 and the servers' documentation, read 2026-11-24.
 */
import type { IncomingHttpHeaders } from "node:http";
import { chatOperation } from "../engine/chat-operation.js";
import type { ChatAnswer, ChatCall } from "../engine/chat-call.js";
import type { DirectOperation, DirectRequest } from "../engine/direct-operation.js";
import { asList, isObject, wordOf } from "../engine/field-checks.js";
import type { JsonObject } from "../engine/field-checks.js";
import type { EngineParts, Operation, OperationAnswer } from "../engine/operation.js";
import type { PricedModel, PriceTable } from "../engine/price-table.js";
import type { ProviderApi } from "../engine/provider-api.js";
import type { Refusal } from "../engine/refusal.js";
import { OPENAI_CHAT_BODY, OPENAI_CHAT_FIELDS } from "../openai/chat-fields.js";
import { lieAbout } from "../openai/chat-json.js";
import { callOf, promptOf } from "../openai/chat-request.js";
import { combinationRefusal, messagesRefusal } from "../openai/chat-rules.js";
import { embeddingsOf } from "../openai/embeddings.js";
import { invalid, refusalOf } from "../openai/errors.js";

export type Flavour = {
  /** In paths and the names of operations: "vllm". */
  readonly name: string;
  /** false: any key will do, and none. */
  readonly takesKeys: boolean;
  /** Chat fields that are read over. */
  readonly ignoredFields: readonly string[];
  /** true: any name calls the one model. */
  readonly anyModel: boolean;
  /** A prompt longer than the context: refused so, or null: cut without a word. */
  readonly tooLong: ((tokens: number, tokensMax: number) => Refusal) | null;
  /** Refuses what this server can't do; null = it passes. */
  readonly refuses: (body: JsonObject) => Refusal | null;
  readonly unknownModel: (model: string) => Refusal;
  readonly wrongKey: Refusal;
  readonly busy: Refusal;
  readonly errorBody: (refusal: Refusal) => Record<string, unknown>;
  readonly answerJson: (answer: ChatAnswer) => string;
};

/** Where a flavour's paths begin; its `baseURL` is this and `/v1`. */
export function rootOf(flavour: string): string {
  return `/${flavour}`;
}

/** The model a call names; with `anyModel` the first one there is, under the name it was called by. */
function modelOf(flavour: Flavour, asked: string, prices: PriceTable, use: "chat" | "embeddings"): PricedModel | null {
  const known = prices.find("compatible", asked, use);
  if (known !== null || !flavour.anyModel) return known;
  for (const name of prices.names("compatible")) {
    const model = prices.find("compatible", name, use);
    if (model !== null) return { ...model, version: asked };
  }
  return null;
}

/** The body without what this server reads over. */
function readFields(flavour: Flavour, body: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(body).filter(([name]) => OPENAI_CHAT_FIELDS.has(name) && !flavour.ignoredFields.includes(name)),
  );
}

/** Cuts a prompt from its beginning, so that it fits: what the model never sees is not in the answer's digest either. */
function cutToFit(call: ChatCall, tokensMax: number): ChatCall {
  const bytes = Buffer.from(call.texts.join("\n"));
  const seen = bytes.subarray(Math.max(0, bytes.length - tokensMax * 4)).toString("utf8");
  return { ...call, texts: [seen], inputTokens: tokensMax };
}

function checkChat(
  flavour: Flavour,
  { body }: DirectRequest,
  prices: PriceTable,
): { readonly call: ChatCall } | { readonly refusal: Refusal } {
  if (!isObject(body)) return { refusal: invalid("The body must be an object.", null, null) };
  const read = readFields(flavour, body);
  const problem = OPENAI_CHAT_BODY(read);
  if (problem !== null) return { refusal: refusalOf(problem) };
  const asked = wordOf(read, "model") ?? "";
  const model = modelOf(flavour, asked, prices, "chat");
  if (model === null) return { refusal: flavour.unknownModel(asked) };
  const prompt = promptOf(read);
  const refusal = messagesRefusal(asList(read["messages"])) ?? combinationRefusal(read) ?? flavour.refuses(read);
  if (refusal !== null) return { refusal };
  const call = callOf(read, asked, model, prompt);
  const tokensMax = model.contextTokensMax;
  if (tokensMax === null || prompt.tokens <= tokensMax) return { call };
  return flavour.tooLong === null
    ? { call: cutToFit(call, tokensMax) }
    : { refusal: flavour.tooLong(prompt.tokens, tokensMax) };
}

function chatOf(flavour: Flavour): DirectOperation {
  return chatOperation({
    name: `${flavour.name}.chat`,
    path: `${rootOf(flavour.name)}/v1/chat/completions`,
    check: (request, prices) => checkChat(flavour, request, prices),
    answerJson: flavour.answerJson,
    usageField: "usage",
    lyingUsage: (answer, lie) => lieAbout(usageOf(answer), answer, lie),
  });
}

/** The three counts that all of them give. */
export function usageOf({ usage }: ChatAnswer): JsonObject {
  return {
    prompt_tokens: usage.inputTokens,
    completion_tokens: usage.outputTokens,
    total_tokens: usage.inputTokens + usage.outputTokens,
  };
}

function keyOf(headers: IncomingHttpHeaders): { readonly key: string } {
  return { key: /^Bearer\s+(\S+)$/i.exec(headers.authorization ?? "")?.[1] ?? "none" };
}

function modelsList({ prices, clock }: EngineParts): OperationAnswer {
  const created = Math.floor(clock.now() / 1000);
  const data = prices.names("compatible").map((id) => ({ id, object: "model", created, owned_by: "library" }));
  return { status: 200, json: { object: "list", data } };
}

function operationsOf(flavour: Flavour, parts: EngineParts): readonly Operation[] {
  const root = rootOf(flavour.name);
  const open = { method: "GET", body: "none" } as const;
  return [
    { ...open, name: `${flavour.name}.models`, path: `${root}/v1/models`, handle: () => modelsList(parts) },
    {
      ...open,
      name: `${flavour.name}.health`,
      path: `${root}/health`,
      handle: () => ({ status: 200, json: { status: "ok" } }),
    },
  ];
}

function refusalFor(flavour: Flavour, status: number, message: string): Refusal {
  if (status === 503) return { ...flavour.busy, status };
  const type = status >= 500 ? "server_error" : "invalid_request_error";
  return { status, type, code: null, param: null, message };
}

/** The flavour as a provider. */
export function compatibleProvider(flavour: Flavour): ProviderApi {
  const embeddings = embeddingsOf({
    name: `${flavour.name}.embeddings`,
    path: `${rootOf(flavour.name)}/v1/embeddings`,
    find: (model, prices) => modelOf(flavour, model, prices, "embeddings"),
    unknownModel: flavour.unknownModel,
  });
  return {
    name: "compatible",
    requestIdHeader: null,
    takesAnyKey: !flavour.takesKeys,
    readKey: keyOf,
    wrongKey: flavour.wrongKey,
    quotaGone: refusalFor(flavour, 429, "There is no quota here; the simulator was told to say so."),
    refusalFor: (status, message) => refusalFor(flavour, status, message),
    errorBody: flavour.errorBody,
    rateRefusal: () => flavour.busy,
    rateHeaders: () => [],
    claims: (path) => path.startsWith(`${rootOf(flavour.name)}/`),
    direct: [chatOf(flavour), embeddings],
    operations: (parts) => operationsOf(flavour, parts),
    batchApis: [],
  };
}
