import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { fromEmbed } from "../../src/adapters/providers/gemini/from-embed.js";
import { fromGeminiError } from "../../src/adapters/providers/gemini/from-error.js";
import { fromGenerate } from "../../src/adapters/providers/gemini/from-generate.js";
import { toEmbed } from "../../src/adapters/providers/gemini/to-embed.js";
import { toGenerate } from "../../src/adapters/providers/gemini/to-generate.js";
import type { ProviderCall } from "../../src/ports/provider.js";

const golden = (name: string) => readFileSync(`test/golden/providers/${name}`, "utf8");

const call = (bodyText: string, model = "gemini-2.5-flash"): ProviderCall => ({
  attemptId: "a1",
  format: "gemini.generate",
  model,
  bodyText,
  maxOutputTokensDefault: 77,
  timeoutMs: 1,
  sendWithinMs: 1,
  maySend: () => true,
});

describe("a request for an answer", () => {
  test.each<[string, string, string]>([
    [
      "puts the output cap where there is no config",
      '{"model":"cheap","contents":[]}',
      '{"contents":[],"generationConfig":{"maxOutputTokens":77}}',
    ],
    [
      "puts the output cap into the caller's config, whose numbers stay as they were written",
      '{"generationConfig":{"temperature":1.0,"seed":12345678901234567890},"contents":[]}',
      '{"generationConfig":{"temperature":1.0,"seed":12345678901234567890,"maxOutputTokens":77},"contents":[]}',
    ],
    [
      "keeps the caller's cap",
      '{"generationConfig":{"maxOutputTokens":5}}',
      '{"generationConfig":{"maxOutputTokens":5}}',
    ],
    [
      "reads the other spelling of both names",
      '{"generation_config":{"max_output_tokens":5,"top_p":0.5}}',
      '{"generationConfig":{"max_output_tokens":5,"top_p":0.5}}',
    ],
    [
      "takes a cap of null for none",
      '{"generationConfig":{"maxOutputTokens":null,"topK":3}}',
      '{"generationConfig":{"topK":3,"maxOutputTokens":77}}',
    ],
    [
      "takes a config of null for none",
      '{"generationConfig":null,"contents":[]}',
      '{"contents":[],"generationConfig":{"maxOutputTokens":77}}',
    ],
    [
      "names no model and no stream in the body",
      '{"model":"x","stream":true}',
      '{"generationConfig":{"maxOutputTokens":77}}',
    ],
    ["leaves a config that is no object for the API to refuse", '{"generationConfig":[1]}', '{"generationConfig":[1]}'],
  ])("%s", (_what, bodyText, expected) => {
    expect(toGenerate(call(bodyText))).toEqual({
      path: "/models/gemini-2.5-flash:generateContent",
      bodyText: expected,
    });
  });

  test("has the model in its path, whatever characters it has", () => {
    expect(toGenerate(call("{}", "a/b?c d"))?.path).toBe("/models/a%2Fb%3Fc%20d:generateContent");
  });

  test("is not made of what is no JSON object", () => {
    expect(toGenerate(call("[]"))).toBeNull();
    expect(toEmbed(call("[]"))).toBeNull();
    expect(toEmbed(call('{"requests":[1]}'))).toBeNull();
    expect(toEmbed(call('{"requests":{}}'))).toBeNull();
  });
});

describe("a request for embeddings", () => {
  test.each<[string, string, string, string]>([
    [
      "of one text",
      '{"model":"e","content":{"parts":[{"text":"a"}]},"outputDimensionality":256}',
      "/models/gemini-2.5-flash:embedContent",
      '{"content":{"parts":[{"text":"a"}]},"outputDimensionality":256}',
    ],
    [
      "of several texts, each of which names the model again",
      '{"model":"e","requests":[ {"content":{"parts":[{"text":"a]}"}]}} , {"model":"x","taskType":"SEMANTIC_SIMILARITY"}]}',
      "/models/gemini-2.5-flash:batchEmbedContents",
      '{"requests":[{"model":"models/gemini-2.5-flash","content":{"parts":[{"text":"a]}"}]}},{"model":"models/gemini-2.5-flash","taskType":"SEMANTIC_SIMILARITY"}]}',
    ],
    ["of none", '{"requests":[]}', "/models/gemini-2.5-flash:batchEmbedContents", '{"requests":[]}'],
  ])("%s", (_what, bodyText, path, expected) => {
    expect(toEmbed(call(bodyText))).toEqual({ path, bodyText: expected });
  });
});

const usage = (
  inputTokens: number | null,
  cachedInputTokens: number | null,
  outputTokens: number | null,
  reasoningTokens: number | null,
) => ({
  inputTokens,
  cachedInputTokens,
  cacheWriteTokens: null,
  cacheWrite1hTokens: null,
  outputTokens,
  reasoningTokens,
});

describe("an answer", () => {
  const plain = { modelVersion: "gemini-2.5-flash", usageSuspect: false };
  test.each([
    [
      "gemini-answer.json",
      { ...plain, finishReason: "stop", empty: false, usage: usage(8, 0, 32, 30), requestId: "r1" },
    ],
    [
      "gemini-cached.json",
      {
        finishReason: "length",
        modelVersion: "gemini-2.5-pro",
        empty: false,
        usage: usage(2400, 2048, 4, 0),
        usageSuspect: false,
        requestId: "r2",
      },
    ],
    [
      "gemini-tool-call.json",
      { ...plain, finishReason: "tool_calls", empty: false, usage: usage(60, 0, 15, 0), requestId: "r3" },
    ],
    [
      "gemini-blocked.json",
      { ...plain, finishReason: "content_filter", empty: true, usage: usage(19, 0, 0, 0), requestId: "r4" },
    ],
    [
      "gemini-filtered.json",
      { ...plain, finishReason: "content_filter", empty: true, usage: usage(19, 0, 7, 7), requestId: "r5" },
    ],
  ])("%s is read", (name, expected) => {
    expect(fromGenerate(golden(name))).toEqual(expected);
  });

  test.each<[string, string]>([
    ["no JSON", "<html>"],
    ["a cut body", golden("gemini-answer.json").slice(0, 200)],
    ["an array", "[]"],
    ["an error under status 200", '{"error":{"code":500}}'],
    ["nothing", "{}"],
  ])("%s is no answer", (_what, bodyText) => {
    expect(fromGenerate(bodyText)).toMatchObject({ kind: "unusable" });
    expect(fromEmbed(bodyText)).toMatchObject({ kind: "unusable" });
  });

  test("without candidates is empty, and billed by its tokens", () => {
    const bodyText = '{"usageMetadata":{"promptTokenCount":4,"totalTokenCount":4}}';
    expect(fromGenerate(bodyText)).toMatchObject({ finishReason: "other", empty: true, usage: usage(4, 0, 0, 0) });
  });

  test.each<[string, string]>([
    ["STOP", "stop"],
    ["MAX_TOKENS", "length"],
    ["SAFETY", "content_filter"],
    ["RECITATION", "content_filter"],
    ["BLOCKLIST", "content_filter"],
    ["PROHIBITED_CONTENT", "content_filter"],
    ["SPII", "content_filter"],
    ["IMAGE_SAFETY", "content_filter"],
    ["LANGUAGE", "other"],
    ["OTHER", "other"],
    ["MALFORMED_FUNCTION_CALL", "other"],
    ["OF_TOMORROW", "other"],
  ])("that ends with %s is %s", (reason, finishReason) => {
    expect(fromGenerate(`{"candidates":[{"finishReason":"${reason}"}]}`)).toMatchObject({ finishReason });
  });

  test.each<[string, boolean]>([
    ['{"text":" \\n"}', true],
    ['{"text":"thinking","thought":true}', true],
    ['{"text":"x"}', false],
    ['{"functionCall":{"name":"f"}}', false],
    ['{"inlineData":{"mimeType":"image/png","data":"aGk="}}', false],
    ['{"executableCode":{"code":"1"}}', false],
  ])("of the part %s: empty is %p", (part, empty) => {
    expect(fromGenerate(`{"candidates":[{"content":{"parts":[${part}]}}]}`)).toMatchObject({ empty });
  });

  test.each<[string, string, boolean, ReturnType<typeof usage>]>([
    ["missing", "null", false, usage(null, null, null, null)],
    [
      "without a total, so that an absent count is unknown",
      '{"promptTokenCount":5}',
      false,
      usage(5, null, null, null),
    ],
    ["without a prompt", '{"candidatesTokenCount":5,"totalTokenCount":5}', false, usage(null, 0, 5, 0)],
    ["not the sum", '{"promptTokenCount":5,"candidatesTokenCount":5,"totalTokenCount":11}', true, usage(5, 0, 5, 0)],
    ["without the output that the total has", '{"promptTokenCount":5,"totalTokenCount":9}', true, usage(5, 0, 0, 0)],
    [
      "more cached than sent",
      '{"promptTokenCount":5,"cachedContentTokenCount":6,"totalTokenCount":5}',
      true,
      usage(5, 6, 0, 0),
    ],
    ["negative", '{"promptTokenCount":5,"candidatesTokenCount":-1,"totalTokenCount":5}', true, usage(5, 0, null, 0)],
    [
      "of a tier with prices of its own",
      '{"promptTokenCount":5,"totalTokenCount":5,"serviceTier":"PRIORITY"}',
      true,
      usage(5, 0, 0, 0),
    ],
  ])("whose usage is %s", (_what, reported, usageSuspect, expected) => {
    const read = fromGenerate(`{"candidates":[{}],"usageMetadata":${reported}}`);
    expect(read).toMatchObject({ usageSuspect, usage: expected });
  });
});

describe("embeddings", () => {
  test.each([
    ["gemini-embedding.json", usage(null, null, null, null)],
    ["gemini-embeddings.json", usage(11, null, 0, null)],
  ])("%s is read", (name, expected) => {
    expect(fromEmbed(golden(name))).toEqual({
      finishReason: "stop",
      modelVersion: null,
      usage: expected,
      usageSuspect: false,
      empty: false,
    });
  });

  test.each([
    ["in a line of a batch, as text", '"tokenCount":"7"', 7, false],
    ["in both places", '"usageMetadata":{"promptTokenCount":7},"tokenCount":"7"', 7, false],
    ["in both places, and they differ", '"usageMetadata":{"promptTokenCount":7},"tokenCount":"8"', 7, true],
    ["as words", '"tokenCount":"seven"', null, true],
    [
      "with parts that are not the whole",
      '"usageMetadata":{"promptTokenCount":7,"promptTokenDetails":[{"modality":"TEXT","tokenCount":8}]}',
      7,
      true,
    ],
    [
      "with parts that are",
      '"usageMetadata":{"promptTokenCount":7,"promptTokenDetails":[{"modality":"TEXT","tokenCount":4},{"modality":"IMAGE","tokenCount":3}]}',
      7,
      false,
    ],
    ["nowhere", '"usageMetadata":{}', null, false],
  ])("whose tokens are counted %s", (_what, counted, inputTokens, usageSuspect) => {
    const read = fromEmbed(`{"embedding":{"values":[1]},${counted}}`);
    expect(read).toMatchObject({
      usageSuspect,
      usage: usage(inputTokens, null, inputTokens === null ? null : 0, null),
    });
  });

  test.each(['{"embedding":{}}', '{"embedding":{"values":[]}}', '{"embeddings":[]}', '{"embeddings":[{}]}'])(
    "without a vector are empty: %s",
    (bodyText) => {
      expect(fromEmbed(bodyText)).toMatchObject({ empty: true });
    },
  );
});

describe("how long to stay away", () => {
  const retryInfo = (retryDelay: string) => ({ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay });
  const quota = (quotaId: string) => ({
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    violations: [{ quotaId }],
  });
  test.each<[string, unknown[], number | null]>([
    ["decimal seconds, rounded up", [retryInfo("45.837906927s")], 45_838],
    ["whole seconds", [retryInfo("3s")], 3000],
    ["another unit", [retryInfo("3m")], null],
    ["nothing", [], null],
    ["the minute's delay beside a quota of the minute", [quota("RequestsPerMinute"), retryInfo("1s")], 1000],
    ["the minute's delay beside a quota of the day says nothing", [quota("RequestsPerDay"), retryInfo("1s")], null],
  ])("%s", (_what, details, expected) => {
    expect(fromGeminiError(JSON.stringify({ error: { code: 429, details } })).retryAfterMs).toBe(expected);
  });
});
