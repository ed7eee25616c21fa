import { describe, expect, test } from "@jest/globals";
import { kindFacts } from "../../src/adapters/providers/registry.js";
import { parsePriceTable } from "../../src/domain/cost/price-table.js";
import { defaultPolicy } from "../../src/domain/job/default-policy.js";
import type { RequestFormat } from "../../src/domain/job/job.js";
import type { Account, Catalog } from "../../src/domain/route/catalog.js";
import { planRoutes, routeMaxCostNanoUsd } from "../../src/domain/route/plan-routes.js";
import { outputTokensBound, readRequestFacts } from "../../src/domain/route/request-facts.js";

const factsOf = (format: RequestFormat, body: unknown, maxCost: bigint | null = null) => {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return readRequestFacts(format, text, Buffer.byteLength(text), maxCost);
};

const IMAGE_URL = { type: "image_url", image_url: { url: "data:image/png;base64,aGk=" } };
const turn = (...content: unknown[]) => ({ messages: [{ role: "user", content }] });
const contents = (...parts: unknown[]) => ({ contents: [{ role: "user", parts }] });
const TOOL = { type: "function", function: { name: "f", parameters: {} } };

describe("what a request's content needs of a model", () => {
  test.each<[string, RequestFormat, unknown, string[]]>([
    ["text", "openai.chat", { messages: [{ role: "user", content: "hi" }] }, []],
    ["a picture", "openai.chat", turn({ type: "text", text: "what?" }, IMAGE_URL), ["vision"]],
    ["words about a picture", "openai.chat", { messages: [{ role: "user", content: '{"image_url":1}' }] }, []],
    ["a text that is that word", "openai.chat", { messages: [{ role: "user", content: "image_url" }] }, []],
    [
      "a tool that makes pictures",
      "openai.chat",
      { tools: [{ function: { parameters: { type: "image_url", image_url: {} } } }] },
      ["tools"],
    ],
    ["tools", "openai.chat", { tools: [TOOL] }, ["tools"]],
    ["functions, as tools were called", "openai.chat", { functions: [{ name: "f" }] }, ["tools"]],
    ["no tools in the list", "openai.chat", '{"tools":[ ]}', []],
    ["tools of null", "openai.chat", { tools: null }, []],
    ["a schema", "openai.chat", { response_format: { type: "json_schema", json_schema: {} } }, ["json_schema"]],
    ["any JSON", "openai.chat", { response_format: { type: "json_object" } }, []],
    [
      "all three",
      "openai.chat",
      { ...turn(IMAGE_URL), tools: [TOOL], response_format: { type: "json_schema" } },
      ["tools", "json_schema", "vision"],
    ],
    [
      "a picture",
      "anthropic.messages",
      turn({ type: "image", source: { type: "url", url: "https://x/y.png" } }),
      ["vision"],
    ],
    [
      "a tool's picture",
      "anthropic.messages",
      turn({ type: "tool_result", tool_use_id: "t", content: [{ type: "image", source: {} }] }),
      ["vision"],
    ],
    ["the word image", "anthropic.messages", turn({ type: "text", text: "image" }), []],
    ["tools", "anthropic.messages", { tools: [{ name: "f", input_schema: {} }] }, ["tools"]],
    [
      "a schema",
      "anthropic.messages",
      { output_config: { format: { type: "json_schema", schema: {} } } },
      ["json_schema"],
    ],
    ["effort", "anthropic.messages", { output_config: { effort: "low" } }, []],
    ["a picture", "gemini.generate", contents({ inlineData: { mimeType: "image/png", data: "aGk=" } }), ["vision"]],
    [
      "a picture in the other spelling",
      "gemini.generate",
      contents({ file_data: { mime_type: "image/png", file_uri: "u" } }),
      ["vision"],
    ],
    ["sound", "gemini.generate", contents({ inlineData: { mimeType: "audio/wav", data: "aGk=" } }), []],
    ["a text about a kind of picture", "gemini.generate", contents({ text: 'mimeType "image/png"' }), []],
    ["tools", "gemini.generate", { tools: [{ functionDeclarations: [] }] }, ["tools"]],
    ["tools of the provider's own", "gemini.generate", { tools: [{ googleSearch: {} }] }, []],
    ["a schema", "gemini.generate", { generationConfig: { responseSchema: {} } }, ["json_schema"]],
    [
      "a schema in the other spelling",
      "gemini.generate",
      { generation_config: { response_json_schema: {} } },
      ["json_schema"],
    ],
    ["any JSON", "gemini.generate", { generationConfig: { responseMimeType: "application/json" } }, []],
    ["nothing", "openai.embeddings", { input: "image_url" }, []],
  ])("%s, as %s", (_what, format, body, capabilities) => {
    expect(factsOf(format, body).capabilities).toEqual(capabilities);
  });

  test("pictures are counted, each at the most that the provider counts for one", () => {
    const facts = factsOf("openai.chat", turn(IMAGE_URL, IMAGE_URL, { type: "text", text: "x" }));
    expect(facts.images).toBe(2);
  });
});

describe("how long an answer may be", () => {
  test.each<[RequestFormat, unknown, number]>([
    ["openai.chat", { max_tokens: 5, max_completion_tokens: 7, n: 3 }, 21],
    ["openai.chat", {}, 100],
    ["anthropic.messages", { max_tokens: 9 }, 9],
    ["gemini.generate", { generationConfig: { maxOutputTokens: 11, candidateCount: 2 } }, 22],
    ["gemini.generate", { generation_config: { max_output_tokens: 12 } }, 12],
    ["gemini.generate", { maxOutputTokens: 12, contents: [] }, 100],
    ["gemini.generate", { generationConfig: null }, 100],
    ["openai.embeddings", { input: "x", max_tokens: 50 }, 0],
    ["gemini.embed", { content: {} }, 0],
  ])("%s %j: at most %d tokens", (format, body, tokens) => {
    expect(outputTokensBound(factsOf(format, body), 100)).toBe(tokens);
  });
});

const chat = (more: object = {}) => ({
  inputPerMTok: 1,
  outputPerMTok: 2,
  contextWindow: 100_000,
  maxOutputTokens: 8_000,
  capabilities: ["chat", "vision", "tools", "json_schema"],
  ...more,
});

const prices = parsePriceTable({
  asOf: "2026-11-24",
  models: {
    "openai/plain": chat(),
    "openai/blind": chat({ capabilities: ["chat"] }),
    "openai/thinker": chat({ capabilities: ["chat", "tools", "reasoning"] }),
    "openai/embedder": { inputPerMTok: 0.02, outputPerMTok: 0, contextWindow: 100, capabilities: ["embeddings"] },
    "anthropic/claude": chat(),
    "anthropic/strict": chat({ samplingParams: false }),
    "gemini/flash": chat(),
    "gemini/strict": chat({ samplingParams: false }),
    "gemini/embedder": { inputPerMTok: 0.15, outputPerMTok: 0, contextWindow: 100, capabilities: ["embeddings"] },
  },
});

const account = (name: string, kind: string, more: Partial<Account> = {}): Account => ({
  name,
  facts: kindFacts(kind),
  regions: null,
  prices: null,
  maxOutputTokensDefault: 500,
  capabilities: null,
  ...more,
});

const catalog: Catalog = {
  prices,
  accounts: [
    account("o", "openai"),
    account("a", "anthropic"),
    account("g", "gemini"),
    account("l", "openai-compatible", { prices: { zero: true } }),
    account("known", "openai-compatible", { prices: { zero: true }, capabilities: ["vision"] }),
  ],
  aliases: [
    ["chat", "o/plain", "a/claude", "g/flash", "l/qwen"],
    ["picky", "a/strict", "g/strict", "o/thinker", "o/plain"],
    ["eyes", "o/blind", "o/plain", "known/llava", "l/any"],
    ["vectors", "a/claude", "o/plain", "o/embedder", "g/embedder", "l/bge"],
  ].map(([name = "", ...candidates]) => ({
    name,
    maxOutputTokensDefault: 500,
    candidates: candidates.map((one) => ({ account: one.split("/")[0] ?? "", model: one.split("/")[1] ?? "" })),
  })),
};

const plan = (model: string, format: RequestFormat, body: unknown) =>
  planRoutes(defaultPolicy(model), factsOf(format, body), catalog);
const chosen = (model: string, format: RequestFormat, body: unknown) =>
  plan(model, format, body).routes.map((route) => `${route.account}/${route.model}`);
const reasons = (model: string, format: RequestFormat, body: unknown) =>
  Object.fromEntries(plan(model, format, body).rejected.map((one) => [`${one.account}/${one.model}`, one.because]));

const ASK = { messages: [{ role: "user", content: "Why?" }] };

describe("a job of any format", () => {
  const ALL = ["o/plain", "a/claude", "g/flash", "l/qwen"];
  test.each<[RequestFormat, unknown]>([
    ["openai.chat", ASK],
    ["anthropic.messages", { ...ASK, system: "Be brief.", max_tokens: 50 }],
    ["gemini.generate", contents({ text: "Why?" })],
  ])("%s goes to every provider that can be told all of it", (format, body) => {
    expect(chosen("chat", format, body)).toEqual(ALL);
  });

  test("what can't be told is a reason in words, and only against those providers", () => {
    const body = { ...ASK, logit_bias: { "50256": -100 } };
    expect(chosen("chat", "openai.chat", body)).toEqual(["o/plain", "l/qwen"]);
    expect(reasons("chat", "openai.chat", body)).toEqual({
      "a/claude": expect.stringContaining("logit_bias"),
      "g/flash": expect.stringContaining("logit_bias"),
    });
  });

  test("the first route is known without asking the others, and the whole plan agrees with it", () => {
    const lazy = plan("chat", "openai.chat", ASK);
    expect(lazy.first).toMatchObject({ account: "o", model: "plain" });
    expect(lazy.accounts).toEqual(["o", "a", "g", "l"]);
    expect(lazy.routes[0]).toBe(lazy.first);
    expect(lazy.routes).toBe(lazy.routes);
    const translated = plan("chat", "gemini.generate", contents({ text: "Why?" }));
    expect(translated.first).toMatchObject({ account: "o", model: "plain" });
  });

  test("nobody who can be told it: no route, with each reason", () => {
    const body = {
      ...contents({ text: "Why?" }),
      safetySettings: [{ category: "HARM_CATEGORY_HARASSMENT", threshold: "BLOCK_NONE" }],
    };
    const failed = plan("o/plain", "gemini.generate", body);
    expect(failed).toMatchObject({ first: null, routes: [], failure: { code: "NO_ROUTE" } });
    expect(failed.failure?.message).toContain("o/plain: ");
  });

  test.each<[string, RequestFormat, unknown, string[]]>([
    ["no temperature", "openai.chat", ASK, ["a/strict", "g/strict", "o/thinker", "o/plain"]],
    ["a temperature, also in the provider's own format", "openai.chat", { ...ASK, temperature: 0.2 }, ["o/plain"]],
    [
      "a neutral temperature, which Gemini's strict models may refuse all the same",
      "openai.chat",
      { ...ASK, temperature: 1 },
      ["a/strict", "o/thinker", "o/plain"],
    ],
    [
      "a temperature for OpenAI's reasoning models",
      "anthropic.messages",
      { ...ASK, max_tokens: 5, temperature: 0.2 },
      ["o/plain"],
    ],
    [
      "top_p inside Gemini's config",
      "gemini.generate",
      { ...contents({ text: "q" }), generationConfig: { topP: 0.5 } },
      ["o/plain"],
    ],
  ])("%s, for models that take no sampling parameters", (_what, format, body, expected) => {
    expect(chosen("picky", format, body)).toEqual(expected);
  });

  test("says which parameter a model does not take", () => {
    expect(reasons("picky", "openai.chat", { ...ASK, temperature: 0.2, top_p: 0.5 })).toEqual({
      "a/strict": expect.stringMatching(/^strict takes no temperature, top_p$/),
      "g/strict": expect.stringMatching(/^strict takes no temperature, topP$/),
      "o/thinker": "thinker takes no temperature, top_p",
    });
  });
});

describe("needs against what a model is known to do", () => {
  test.each<[string, unknown, string[]]>([
    ["text", ASK, ["o/blind", "o/plain", "known/llava", "l/any"]],
    ["a picture", turn(IMAGE_URL), ["o/plain", "known/llava", "l/any"]],
    ["tools", { ...ASK, tools: [TOOL] }, ["o/plain", "l/any"]],
  ])("%s", (_what, body, expected) => {
    expect(chosen("eyes", "openai.chat", body)).toEqual(expected);
  });

  test("is told in words", () => {
    expect(reasons("eyes", "openai.chat", turn(IMAGE_URL))).toEqual({
      "o/blind": "the request needs vision, which blind lacks",
    });
  });
});

describe("embeddings", () => {
  test("go to models that make them, in either format, and no chat does", () => {
    const inputs = { input: "a text" };
    expect(chosen("vectors", "openai.embeddings", inputs)).toEqual(["o/embedder", "g/embedder", "l/bge"]);
    expect(chosen("vectors", "openai.chat", ASK)).toEqual(["a/claude", "o/plain", "l/bge"]);
    expect(reasons("vectors", "openai.embeddings", inputs)).toEqual({
      "a/claude": "a speaks anthropic.messages, the job is openai.embeddings",
      "o/plain": "plain does chat, the job is openai.embeddings",
    });
  });

  test("of many texts are not measured against the window of one", () => {
    const many = { input: Array.from({ length: 2000 }, () => "a text of some length") };
    expect(chosen("o/embedder", "openai.embeddings", many)).toEqual(["o/embedder"]);
  });

  test("cost at most their bytes, with no output", () => {
    const facts = factsOf("openai.embeddings", '{"input":"abc"}');
    const [route] = planRoutes(defaultPolicy("o/embedder"), facts, catalog).routes;
    // (15 bytes + 128) x 20,000,000 nano-dollars a million = 2,860
    expect(route && routeMaxCostNanoUsd(route, facts)).toBe(2_860n);
  });
});

test("a picture adds to the bound of a call what the provider counts for one at most", () => {
  const bound = (body: unknown) => {
    const facts = factsOf("openai.chat", body);
    const [route] = planRoutes(defaultPolicy("o/plain"), facts, catalog).routes;
    return { bytes: facts.bodyBytes, nano: route && routeMaxCostNanoUsd(route, facts) };
  };
  const one = bound(turn(IMAGE_URL));
  // (bytes + 128 + 48,169) x 1,000 + 500 x 2,000
  expect(one.nano).toBe(BigInt(one.bytes + 128 + 48_169) * 1000n + 1_000_000n);
});
