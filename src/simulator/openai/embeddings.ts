/** OpenAI's embeddings. Source: API specification of 2026-08-21 and the official SDK 6.49, read 2026-11-24. */
import type { DirectOperation, DirectRequest, UsageLie } from "../engine/direct-operation.js";
import { embeddingOperation } from "../engine/embedding-operation.js";
import type { EmbeddingAnswer, EmbeddingCall } from "../engine/embedding-operation.js";
import {
  asList,
  integer,
  isObject,
  isSet,
  numberOf,
  oneOf,
  orNull,
  parsedObject,
  shape,
  text,
  wordOf,
} from "../engine/field-checks.js";
import type { FieldCheck, JsonObject } from "../engine/field-checks.js";
import type { PricedModel, PriceTable } from "../engine/price-table.js";
import type { Refusal } from "../engine/refusal.js";
import { tokensOfText } from "../engine/token-count.js";
import { invalid, modelNotFound, refusalOf } from "./errors.js";

const INPUTS_MAX = 2048;
const TOKENS_MAX = 8192;
const SUM_TOKENS_MAX = 300_000;
const DIMENSIONS_DEFAULT = 1536;
/** The one model that has just one length. */
const FIXED_LENGTH = "text-embedding-ada-002";

const INPUT: FieldCheck = (value) =>
  typeof value === "string" || Array.isArray(value)
    ? null
    : { kind: "type", path: [], expected: "a string, an array of strings, or an array of tokens" };

const BODY = shape(
  { model: text(1), input: INPUT },
  {
    dimensions: orNull(integer(1)),
    encoding_format: orNull(oneOf("float", "base64")),
    user: orNull(text()),
  },
);

type OpenAiEmbeddingCall = EmbeddingCall & { readonly isBase64: boolean };

/** One input: its text, or its tokens joined by spaces, and how many tokens it counts. */
type Input = { readonly text: string; readonly tokens: number };

function isTokenList(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.length > 0 && value.every((one) => Number.isInteger(one) && Number(one) >= 0);
}

function oneInput(value: unknown): Input | null {
  if (typeof value === "string")
    return value === "" ? null : { text: value, tokens: tokensOfText(Buffer.byteLength(value)) };
  return isTokenList(value) ? { text: value.join(" "), tokens: value.length } : null;
}

/** A text, a list of texts, a list of tokens, or a list of those. */
function inputsOf(input: unknown): { readonly inputs: readonly Input[] } | { readonly refusal: Refusal } {
  const wrong = (message: string): { readonly refusal: Refusal } => ({ refusal: invalid(message, "input", null) });
  const entries = asList(input);
  if (Array.isArray(input) && entries.length === 0) return wrong("'input' must not be an empty array.");
  if (entries.length > INPUTS_MAX) return wrong(`'input' may have at most ${String(INPUTS_MAX)} entries.`);
  const values = typeof input === "string" || typeof entries[0] === "number" ? [input] : entries;
  const kind = typeof values[0];
  const inputs: Input[] = [];
  for (const [index, value] of values.entries()) {
    const one = typeof value === kind ? oneInput(value) : null;
    if (one === null) return wrong(`'input[${String(index)}]' must be a text that is not empty, or a list of tokens.`);
    if (one.tokens > TOKENS_MAX)
      return wrong(
        `'input[${String(index)}]' has ${String(one.tokens)} tokens; the model takes ${String(TOKENS_MAX)}.`,
      );
    inputs.push(one);
  }
  return { inputs };
}

function dimensionsRefusal(body: JsonObject, model: PricedModel): Refusal | null {
  const asked = numberOf(body, "dimensions");
  if (asked === null) return null;
  if (model.name === FIXED_LENGTH)
    return invalid("This model does not support specifying dimensions.", "dimensions", "unsupported_parameter");
  const most = model.dimensions ?? DIMENSIONS_DEFAULT;
  if (asked <= most) return null;
  return invalid(`'dimensions' must be at most ${String(most)} for this model.`, "dimensions", "invalid_value");
}

/** Embeddings in OpenAI's way, at one server's path and with its models. */
type EmbeddingServer = {
  readonly name: string;
  readonly path: string;
  readonly find: (model: string, prices: PriceTable) => PricedModel | null;
  readonly unknownModel: (model: string) => Refusal;
};

function check(
  server: EmbeddingServer,
  { body }: DirectRequest,
  prices: PriceTable,
): { readonly call: OpenAiEmbeddingCall } | { readonly refusal: Refusal } {
  const problem = BODY(body);
  if (problem !== null) return { refusal: refusalOf(problem) };
  if (!isObject(body)) return { refusal: invalid("The body must be an object.", null, null) };
  const askedModel = wordOf(body, "model") ?? "";
  const model = server.find(askedModel, prices);
  if (model === null) return { refusal: server.unknownModel(askedModel) };
  const read = inputsOf(body["input"]);
  if ("refusal" in read) return read;
  const inputTokens = read.inputs.reduce((sum, one) => sum + one.tokens, 0);
  if (inputTokens > SUM_TOKENS_MAX)
    return { refusal: invalid(`All inputs together may have ${String(SUM_TOKENS_MAX)} tokens.`, "input", null) };
  const refusal = dimensionsRefusal(body, model);
  if (refusal !== null) return { refusal };
  return {
    call: {
      model,
      askedModel,
      inputs: read.inputs.map((one) => one.text),
      inputTokens,
      dimensions: numberOf(body, "dimensions") ?? model.dimensions ?? DIMENSIONS_DEFAULT,
      isBase64: isSet(body, "encoding_format") && body["encoding_format"] === "base64",
    },
  };
}

function vectorJson(vector: Float32Array, isBase64: boolean): string {
  if (!isBase64) return JSON.stringify(Array.from(vector));
  return `"${Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString("base64")}"`;
}

function usageJson({ usage }: EmbeddingAnswer): string {
  return `{"prompt_tokens":${String(usage.inputTokens)},"total_tokens":${String(usage.inputTokens)}}`;
}

function answerJson(answer: EmbeddingAnswer, { isBase64 }: OpenAiEmbeddingCall): string {
  const data = answer.vectors.map(
    (vector, index) => `{"object":"embedding","index":${String(index)},"embedding":${vectorJson(vector, isBase64)}}`,
  );
  return `{"object":"list","data":[${data.join(",")}],"model":${JSON.stringify(answer.model.version)},"usage":${usageJson(answer)}}`;
}

function lyingUsage(answer: EmbeddingAnswer, lie: UsageLie): unknown {
  const usage = parsedObject(usageJson(answer));
  switch (lie) {
    case "missing":
      return undefined;
    case "negative":
      return { ...usage, prompt_tokens: -answer.usage.inputTokens };
    case "huge":
      return { ...usage, prompt_tokens: 1e18, total_tokens: 1e18 };
    case "not_a_number":
      return { ...usage, prompt_tokens: "NaN" };
    case "wrong_total":
      return { ...usage, total_tokens: answer.usage.inputTokens + 17 };
  }
}

export function embeddingsOf(server: EmbeddingServer): DirectOperation {
  return embeddingOperation<OpenAiEmbeddingCall>({
    name: server.name,
    path: server.path,
    check: (request, prices) => check(server, request, prices),
    answerJson,
    usageField: "usage",
    lyingUsage,
  });
}

export const openaiEmbeddings: DirectOperation = embeddingsOf({
  name: "openai.embeddings",
  path: "/v1/embeddings",
  find: (model, prices) => prices.find("openai", model, "embeddings"),
  unknownModel: modelNotFound,
});
