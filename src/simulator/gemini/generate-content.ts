/**
 * POST /v1beta/models/{model}:generateContent.
 * Source: providers.md 5.2, the API reference of v1beta and the types of the official SDK 2.32, read 2026-11-26.
 */
import type { ChatAnswer, ChatCall, ChatTool, FinishReason, ToolUse } from "../engine/chat-call.js";
import { chatOperation } from "../engine/chat-operation.js";
import type { DirectOperation, DirectRequest, UsageLie } from "../engine/direct-operation.js";
import { isObject, parsedObject } from "../engine/field-checks.js";
import type { JsonObject } from "../engine/field-checks.js";
import type { PricedModel, PriceTable } from "../engine/price-table.js";
import { quoted } from "../engine/quoted.js";
import type { Refusal } from "../engine/refusal.js";
import { schemaProblem } from "../engine/schema-value.js";
import { badRequest, invalidArgument, invalidField, modelNotFound, payloadTooLarge } from "./errors.js";
import { generateProblem } from "./generate-rules.js";
import { listAt, numberAt, objectAt, objectsAt, textAt } from "./json-reading.js";
import { meteredPrompt, textsOf } from "./prompt.js";
import { readProto } from "./proto-message.js";
import { GENERATE_REQUEST } from "./request-fields.js";

const OUTPUT_TOKENS_DEFAULT = 8192;

type Checked = { readonly call: ChatCall } | { readonly refusal: Refusal };

function check({ params, headers, body: json }: DirectRequest, prices: PriceTable): Checked {
  const askedModel = params["model"] ?? "";
  const model = prices.find("gemini", askedModel, "chat");
  if (model === null) return { refusal: modelNotFound(askedModel, "generateContent") };
  const tooLarge = payloadTooLarge(headers);
  if (tooLarge !== null) return { refusal: tooLarge };
  if (!isObject(json)) return { refusal: invalidArgument("Invalid JSON payload received. Expected an object.") };
  const read = readProto(GENERATE_REQUEST, json);
  if ("violations" in read) return { refusal: badRequest(read.violations) };
  const request = read.body;
  const refusal = modelProblem(request, askedModel) ?? generateProblem(request, model) ?? notSimulated(request);
  if (refusal !== null) return { refusal };
  const prompt = meteredPrompt(request);
  const max = model.contextTokensMax;
  if (max !== null && prompt.tokens > max) {
    const what = `exceeds the maximum number of tokens allowed (${String(max)}).`;
    return { refusal: invalidArgument(`The input token count (${String(prompt.tokens)}) ${what}`) };
  }
  return { call: callOf(request, askedModel, model, prompt) };
}

/** A request may name its model again, as those of a batch do. */
function modelProblem(request: JsonObject, asked: string): Refusal | null {
  const named = textAt(request, "model");
  return named === null || named === `models/${asked}` || named === asked
    ? null
    : invalidField("GenerateContentRequest", "model", "the model in the request must be the model in the address.");
}

/** Schemas for which no answer can be made up. */
function notSimulated(request: JsonObject): Refusal | null {
  const schemas = [schemaOf(request), ...toolsOf(request).map((tool) => tool.parameters)];
  for (const schema of schemas) {
    const problem = schema === null ? null : schemaProblem(schema);
    if (problem !== null) return invalidArgument(`The schema is not simulated: ${problem}.`);
  }
  return null;
}

function configOf(request: JsonObject): JsonObject {
  return objectAt(request, "generationConfig") ?? {};
}

function schemaOf(request: JsonObject): JsonObject | null {
  const config = configOf(request);
  return objectAt(config, "responseSchema") ?? objectAt(config, "responseJsonSchema");
}

function toolsOf(request: JsonObject): readonly ChatTool[] {
  return objectsAt(request, "tools").flatMap((tool) =>
    objectsAt(tool, "functionDeclarations").map((declaration) => ({
      name: textAt(declaration, "name") ?? "",
      parameters: objectAt(declaration, "parameters") ?? objectAt(declaration, "parametersJsonSchema"),
    })),
  );
}

function toolUseOf(request: JsonObject): ToolUse | null {
  const declared = toolsOf(request);
  if (declared.length === 0) return null;
  const calling = objectAt(objectAt(request, "toolConfig") ?? {}, "functionCallingConfig") ?? {};
  const allowed = listAt(calling, "allowedFunctionNames");
  const tools = allowed.length === 0 ? declared : declared.filter((tool) => allowed.includes(tool.name));
  const mode = textAt(calling, "mode") ?? "AUTO";
  const last = objectsAt(request, "contents").at(-1) ?? {};
  return {
    tools,
    choice: mode === "NONE" ? "none" : mode === "ANY" ? "forced" : "asked",
    parallel: true,
    lastUserText: textAt(last, "role") === "model" ? "" : textsOf(last).join("\n"),
  };
}

function callOf(
  request: JsonObject,
  askedModel: string,
  model: PricedModel,
  prompt: { readonly texts: readonly string[]; readonly tokens: number },
): ChatCall {
  const config = configOf(request);
  const thinking = objectAt(config, "thinkingConfig") ?? {};
  return {
    model,
    askedModel,
    texts: prompt.texts,
    inputTokens: prompt.tokens,
    outputTokensMax: numberAt(config, "maxOutputTokens") ?? model.outputTokensMax ?? OUTPUT_TOKENS_DEFAULT,
    stopSequences: listAt(config, "stopSequences").filter((one): one is string => typeof one === "string"),
    choices: numberAt(config, "candidateCount") ?? 1,
    wantsJson: textAt(config, "responseMimeType") === "application/json",
    thinks: model.reasoning && numberAt(thinking, "thinkingBudget") !== 0,
    showsThoughts: thinking["includeThoughts"] === true,
    jsonSchema: schemaOf(request),
    toolUse: toolUseOf(request),
  };
}

const FINISH_REASONS = {
  stop: "STOP",
  length: "MAX_TOKENS",
  stop_sequence: "STOP",
  tool_calls: "STOP",
  refusal: "SAFETY",
} as const satisfies Record<FinishReason, string>;

/** What a thinking model hands out with a function's call, to be handed back in the next turn. */
function signatureOf(answer: ChatAnswer): string {
  return Buffer.from(`thought of ${answer.requestId}`).toString("base64");
}

function partsJson(answer: ChatAnswer): string {
  const text = answer.text === "" ? "" : `{"text":${quoted(answer.text)}}`;
  const shows = answer.showsThoughts && answer.reasoningTokens > 0;
  if (!shows && answer.toolCalls.length === 0) return text;
  const parts: string[] = [];
  if (shows) parts.push(`{"text":"Thinking it over, ${String(answer.reasoningTokens)} tokens long.","thought":true}`);
  if (text !== "") parts.push(text);
  for (const [index, call] of answer.toolCalls.entries()) {
    const signature = index === 0 && answer.reasoningTokens > 0 ? `,"thoughtSignature":"${signatureOf(answer)}"` : "";
    const args = `"id":${JSON.stringify(call.id)},"name":${JSON.stringify(call.name)},"args":${call.argumentsJson}`;
    parts.push(`{"functionCall":{${args}}${signature}}`);
  }
  return parts.join(",");
}

/** A candidate that was stopped has no content; one without a word has no parts. */
function candidateJson(answer: ChatAnswer, index: number): string {
  const reason = answer.stopped?.word ?? FINISH_REASONS[answer.finish];
  const end = `"finishReason":"${reason}","index":${String(index)}}`;
  if (answer.stopped !== undefined) return `{${end}`;
  const parts = partsJson(answer);
  return `{"content":{${parts === "" ? "" : `"parts":[${parts}],`}"role":"model"},${end}`;
}

function answerJson(answer: ChatAnswer): string {
  const tail =
    `"usageMetadata":${usageJson(answer)},"modelVersion":${quoted(answer.model.version)},` +
    `"responseId":"${answer.requestId.slice(4)}"}`;
  if (answer.stopped?.where === "prompt") return `{"promptFeedback":{"blockReason":"${answer.stopped.word}"},${tail}`;
  let candidates = candidateJson(answer, 0);
  for (let index = 1; index < answer.choices; index += 1) candidates += `,${candidateJson(answer, index)}`;
  return `{"candidates":[${candidates}],${tail}`;
}

/** Source: the enums of the official SDK 2.32, read 2026-11-26. */
const BLOCK_REASONS = new Set(["SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY", "MODEL_ARMOR"]);
const STOP_REASONS = new Set([
  ...["SAFETY", "RECITATION", "LANGUAGE", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY"],
  ...["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "FINISH_REASON_UNSPECIFIED"],
]);

/** A blocked prompt was never answered, so no output is sold. */
function stoppedBy(answer: ChatAnswer, where: "prompt" | "answer", word: string): ChatAnswer {
  const stopped: ChatAnswer = { ...answer, text: "", toolCalls: [], stopSequence: null, stopped: { where, word } };
  if (where === "answer") return stopped;
  return { ...stopped, reasoningTokens: 0, usage: { ...answer.usage, outputTokens: 0 } };
}

/** By the simulator's own rule a prompt whose last text says `block REASON` or `finish REASON` is. */
function adjusted(answer: ChatAnswer, { texts }: ChatCall): ChatAnswer {
  const last = texts.at(-1) ?? "";
  if (!last.includes("block ") && !last.includes("finish ")) return answer;
  const [, verb, word = ""] = /\b(block|finish) ([A-Z_]+)\b/.exec(last) ?? [];
  if (verb === "block" && BLOCK_REASONS.has(word)) return stoppedBy(answer, "prompt", word);
  return verb === "finish" && STOP_REASONS.has(word) ? stoppedBy(answer, "answer", word) : answer;
}

/** Declines, by the simulator's own rule: a prompt of an even number of tokens is blocked itself, else its answer is stopped. */
function declined(answer: ChatAnswer): ChatAnswer {
  return answer.usage.inputTokens % 2 === 0
    ? stoppedBy(answer, "prompt", "PROHIBITED_CONTENT")
    : stoppedBy(answer, "answer", "SAFETY");
}

/** Thoughts stand apart from the candidates' tokens, and what is zero is left out. */
function usageJson({ usage, reasoningTokens }: ChatAnswer): string {
  const { inputTokens, cachedInputTokens, outputTokens } = usage;
  const said = outputTokens - reasoningTokens;
  const count = (name: string, tokens: number): string => (tokens === 0 ? "" : `"${name}":${String(tokens)},`);
  const cached =
    cachedInputTokens === 0
      ? ""
      : `,"cacheTokensDetails":[{"modality":"TEXT","tokenCount":${String(cachedInputTokens)}}]`;
  return (
    `{"promptTokenCount":${String(inputTokens)},${count("candidatesTokenCount", said)}` +
    `"totalTokenCount":${String(inputTokens + outputTokens)},${count("cachedContentTokenCount", cachedInputTokens)}` +
    count("thoughtsTokenCount", reasoningTokens) +
    `"promptTokensDetails":[{"modality":"TEXT","tokenCount":${String(inputTokens)}}]${cached}}`
  );
}

function lyingUsage(answer: ChatAnswer, lie: UsageLie): unknown {
  const usage = parsedObject(usageJson(answer));
  switch (lie) {
    case "missing":
      return undefined;
    case "negative":
      return { ...usage, candidatesTokenCount: -answer.usage.outputTokens };
    case "huge":
      return { ...usage, promptTokenCount: 1e18, totalTokenCount: 1e18 };
    case "not_a_number":
      return { ...usage, promptTokenCount: "NaN" };
    case "wrong_total":
      return { ...usage, totalTokenCount: answer.usage.inputTokens + answer.usage.outputTokens + 17 };
  }
}

export const generateContent: DirectOperation = chatOperation({
  name: "gemini.generateContent",
  path: "/v1beta/models/{model}:generateContent",
  check,
  answerJson,
  usageField: "usageMetadata",
  lyingUsage,
  adjusted,
  declined,
});
