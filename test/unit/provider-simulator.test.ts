import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { kindFacts, openProvider } from "../../src/adapters/providers/registry.js";
import { chargeNanoUsd } from "../../src/domain/cost/charge.js";
import type { OwnPrices } from "../../src/domain/cost/account-price.js";
import { parsePriceTable } from "../../src/domain/cost/price-table.js";
import { readAnswerTexts } from "../../src/domain/format/expected-json.js";
import { defaultPolicy } from "../../src/domain/job/default-policy.js";
import type { RequestFormat } from "../../src/domain/job/job.js";
import { answeredBy, modelFacts, type Account, type Catalog } from "../../src/domain/route/catalog.js";
import { spokenFormat } from "../../src/domain/route/format-family.js";
import { planRoutes } from "../../src/domain/route/plan-routes.js";
import { readRequestFacts } from "../../src/domain/route/request-facts.js";
import type { Provider } from "../../src/ports/provider.js";
import { startSimulator, type BillRow, type Simulator } from "../../src/simulator/simulator.js";

/** Every kind of provider asked in every format of its family, by way of its adapter, at the simulator: what is booked is what it bills. */

const PRICING = "schemas/pricing.json";
const prices = parsePriceTable(readFileSync(PRICING, "utf8"));
const LOCAL: OwnPrices = {
  perMillion: { qwen: { input: "0.2", output: "0.6" }, bge: { input: "0.01", output: "0" } },
};
const CHAT_MODELS: Readonly<Record<string, string>> = {
  openai: "gpt-4.1-mini",
  anthropic: "claude-haiku-4-5",
  gemini: "gemini-2.5-flash",
  "openai-compatible": "qwen",
};
const EMBEDDING_MODELS: Readonly<Record<string, string>> = {
  openai: "text-embedding-3-small",
  gemini: "gemini-embedding-001",
  "openai-compatible": "bge",
};

let folder = "";
let simulator: Simulator;
const opened = new Map<string, Provider>();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-provider-"));
  simulator = await startSimulator({
    billFile: join(folder, "bill.jsonl"),
    pricingFile: PRICING,
    models: {
      qwen: { inputPerMTok: "0.2", outputPerMTok: "0.6" },
      bge: { inputPerMTok: "0.01", outputPerMTok: "0", dimensions: 8 },
    },
  });
  const baseUrls: Readonly<Record<string, string>> = {
    openai: simulator.openaiBaseUrl,
    anthropic: simulator.anthropicBaseUrl,
    gemini: `${simulator.geminiBaseUrl}/v1beta`,
    "openai-compatible": simulator.openaiBaseUrl,
  };
  for (const [kind, baseUrl] of Object.entries(baseUrls)) opened.set(kind, await openAt(kind, baseUrl));
  const servers = {
    vllm: simulator.vllmBaseUrl,
    "llama.cpp": simulator.llamaCppBaseUrl,
    ollama: simulator.ollamaBaseUrl,
  };
  for (const [name, baseUrl] of Object.entries(servers)) opened.set(name, await openAt("openai-compatible", baseUrl));
});

afterAll(async () => {
  for (const provider of opened.values()) await provider.close();
  await simulator.close();
  rmSync(folder, { recursive: true, force: true });
});

function openAt(kind: string, baseUrl: string): Promise<Provider> {
  return openProvider(kind, {
    account: kind,
    baseUrl,
    apiKey: () => "sk-test",
    connectionsMax: 4,
    connectTimeoutMs: 5000,
    idleTimeoutMs: 5000,
    responseBytesMax: 1_000_000,
    nowMs: () => 0,
  });
}

let attempts = 0;

/** One call; what it came to, its charge by our books, and its row on the bill. */
async function ask(kind: string, format: RequestFormat, model: string, body: unknown) {
  attempts += 1;
  const attemptId = `attempt-${String(attempts)}`;
  const bodyText = JSON.stringify(body);
  const call = { attemptId, format, model, bodyText, maxOutputTokensDefault: 200, timeoutMs: 5000, sendWithinMs: 5000 };
  const provider = opened.get(kind);
  if (provider === undefined) throw new Error(`no provider ${kind}`);
  const outcome = await provider.call({ ...call, maySend: () => true }, new AbortController().signal);
  const bill = readFileSync(join(folder, "bill.jsonl"), "utf8").split("\n").filter(Boolean);
  const row = bill.map((line) => JSON.parse(line) as BillRow).find(({ attempt }) => attempt === attemptId);
  return { outcome, row };
}

const account = (kind: string): Account => ({
  name: kind,
  facts: kindFacts(kind),
  regions: null,
  prices: kind === "openai-compatible" ? LOCAL : null,
  maxOutputTokensDefault: 200,
  capabilities: null,
});

/** What we book, as decimal text; a word when it is not known. */
function booked(kind: string, model: string, outcome: Awaited<ReturnType<Provider["call"]>>): string {
  if (outcome.kind !== "answered" || outcome.usageSuspect) return "nothing known";
  const { price } = modelFacts(account(kind), model, prices);
  if (price === null) return "no price";
  const by = answeredBy(account(kind), { model, price }, outcome.modelVersion, prices);
  if (by.otherModel || by.price === null) return "another model";
  const charge = chargeNanoUsd(outcome.usage, by.price);
  return charge.kind === "charged" ? String(charge.nanoUsd) : charge.because;
}

const SCHEMA = {
  type: "object",
  properties: { colour: { type: "string" } },
  required: ["colour"],
  additionalProperties: false,
};
const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const BODIES: Readonly<Partial<Record<RequestFormat, Readonly<Record<string, unknown>>>>> = {
  "openai.chat": {
    text: {
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "What colour is the sky?" },
      ],
      temperature: 0.5,
      stop: ["END"],
    },
    picture: {
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "What is it?" },
            { type: "image_url", image_url: { url: `data:image/png;base64,${PNG}` } },
          ],
        },
      ],
    },
    schema: {
      messages: [{ role: "user", content: "What colour is the sky?" }],
      response_format: { type: "json_schema", json_schema: { name: "answer", schema: SCHEMA, strict: true } },
    },
  },
  "anthropic.messages": {
    text: {
      system: "Be brief.",
      max_tokens: 100,
      messages: [{ role: "user", content: "What colour is the sky?" }],
      temperature: 0.5,
      stop_sequences: ["END"],
    },
    picture: {
      max_tokens: 100,
      messages: [
        {
          role: "user",
          content: [
            { type: "image", source: { type: "base64", media_type: "image/png", data: PNG } },
            { type: "text", text: "What is it?" },
          ],
        },
      ],
    },
    schema: {
      max_tokens: 100,
      messages: [{ role: "user", content: "What colour is the sky?" }],
      output_config: { format: { type: "json_schema", schema: SCHEMA } },
    },
  },
  "gemini.generate": {
    text: {
      systemInstruction: { parts: [{ text: "Be brief." }] },
      contents: [{ role: "user", parts: [{ text: "What colour is the sky?" }] }],
      generationConfig: { temperature: 0.5, stopSequences: ["END"] },
    },
    picture: {
      contents: [
        { role: "user", parts: [{ text: "What is it?" }, { inlineData: { mimeType: "image/png", data: PNG } }] },
      ],
    },
    schema: {
      contents: [{ role: "user", parts: [{ text: "What colour is the sky?" }] }],
      generationConfig: { responseMimeType: "application/json", responseJsonSchema: SCHEMA },
    },
  },
};

const FORMATS: readonly RequestFormat[] = ["openai.chat", "anthropic.messages", "gemini.generate"];
const KINDS = Object.keys(CHAT_MODELS);

describe.each(KINDS)("%s", (kind) => {
  const model = CHAT_MODELS[kind] ?? "";

  test.each(FORMATS.flatMap((format) => ["text", "picture", "schema"].map((what) => [format, what] as const)))(
    "answers a job in %s: %s",
    async (format, what) => {
      const { outcome, row } = await ask(kind, format, model, BODIES[format]?.[what]);
      expect(outcome).toMatchObject({ kind: "answered", finishReason: "stop", empty: false });
      if (outcome.kind !== "answered") return;
      expect(outcome).not.toHaveProperty("unfit");
      expect(readAnswerTexts(format, outcome.bodyText)).toHaveLength(1);
      expect(booked(kind, model, outcome)).toBe(row?.nanoUsd);
    },
  );
});

describe.each(Object.keys(EMBEDDING_MODELS))("%s", (kind) => {
  const model = EMBEDDING_MODELS[kind] ?? "";
  test.each<[RequestFormat, unknown, RegExp]>([
    ["openai.embeddings", { input: ["a film", "another"] }, /"object":\s*"list"/],
    ["gemini.embed", { content: { parts: [{ text: "a film" }] } }, /"embedding":\s*\{\s*"values"/],
  ])("makes embeddings for a job in %s", async (format, body, shape) => {
    expect(spokenFormat(format, kindFacts(kind).formats)).not.toBeNull();
    const { outcome, row } = await ask(kind, format, model, body);
    expect(outcome).toMatchObject({ kind: "answered", finishReason: "stop", empty: false });
    if (outcome.kind !== "answered") return;
    expect(outcome.bodyText).toMatch(shape);
    expect(booked(kind, model, outcome)).toBe(row?.nanoUsd);
  });
});

test("what can't be told to a provider is never sent", async () => {
  const body = { messages: [{ role: "user", content: "q" }], logit_bias: { "1": 5 } };
  const { outcome, row } = await ask("gemini", "openai.chat", "gemini-2.5-flash", body);
  expect(outcome).toMatchObject({ kind: "failed", outcome: "refused", sent: "no" });
  expect(outcome).toHaveProperty("message", expect.stringContaining("logit_bias"));
  expect(row).toBeUndefined();
});

describe("an output cap goes under the name that is taken there:", () => {
  const hi = [{ role: "user", content: "Begin." }];
  const capped: readonly (readonly [RequestFormat, Readonly<Record<string, unknown>>])[] = [
    ["openai.chat", { messages: hi, max_completion_tokens: 2 }],
    ["openai.chat", { messages: hi, max_tokens: 2 }],
    ["anthropic.messages", { messages: hi, max_tokens: 2 }],
    ["gemini.generate", { contents: [{ parts: [{ text: "Begin." }] }], generationConfig: { maxOutputTokens: 2 } }],
  ];
  const places = [
    ["vllm", "qwen"],
    ["llama.cpp", "qwen"],
    ["ollama", "qwen"],
    ["openai", "gpt-4.1-mini"],
    ["openai", "gpt-5-mini"],
  ];

  test.each(places)("%s with %s", async (place, model) => {
    for (const [format, body] of capped) {
      const { outcome, row } = await ask(place, format, model, body);
      expect([format, outcome]).toEqual([
        format,
        expect.objectContaining({ kind: "answered", finishReason: "length" }),
      ]);
      expect(row).toMatchObject({ outputTokens: 2 });
    }
  });
});

/** One thing at a time that some models of the kind refuse, in its own format. */
const ASKS: Readonly<Record<string, readonly [RequestFormat, object, readonly object[]]>> = {
  openai: [
    "openai.chat",
    { messages: [{ role: "user", content: "Begin." }] },
    [
      ...["none", "minimal", "low", "medium", "high", "xhigh", "max"].map((reasoning_effort) => ({ reasoning_effort })),
      ...[{ temperature: 0.5 }, { temperature: 1 }, { presence_penalty: 1 }, { logit_bias: { 1: 1 } }],
      { temperature: 0.5, reasoning_effort: "none" },
    ],
  ],
  anthropic: [
    "anthropic.messages",
    { messages: [{ role: "user", content: "Begin." }], max_tokens: 3000 },
    [
      ...["low", "medium", "high", "xhigh", "max"].map((effort) => ({ output_config: { effort } })),
      ...[{ type: "disabled" }, { type: "adaptive" }, { type: "enabled", budget_tokens: 1024 }].map((thinking) => ({
        thinking,
      })),
      ...[{ temperature: 0.5 }, { temperature: 1 }, { top_p: 0.99 }, { top_k: 1 }],
    ],
  ],
  gemini: [
    "gemini.generate",
    { contents: [{ parts: [{ text: "Begin." }] }] },
    [
      ...["MINIMAL", "LOW", "MEDIUM", "HIGH"].map((thinkingLevel) => ({ thinkingConfig: { thinkingLevel } })),
      ...[0, -1, 1, 128, 512, 24_577, 32_769].map((thinkingBudget) => ({ thinkingConfig: { thinkingBudget } })),
      ...[{ temperature: 0.5 }, { topK: 1 }],
    ].map((generationConfig) => ({ generationConfig })),
  ],
};

describe.each(Object.keys(ASKS))("each current chat model of %s", (kind) => {
  const [format, body, asks] = ASKS[kind] ?? ["openai.chat", {}, []];
  const names = [...new Set([...prices.models.values()].map(({ key }) => key))].filter((key) =>
    key.startsWith(`${kind}/`),
  );
  const catalog: Catalog = { accounts: [account(kind)], aliases: [], prices };

  test("is left out of a route for what it would answer with 400, and for nothing else", async () => {
    const differences: unknown[] = [];
    let [taken, refused] = [0, 0];
    for (const wish of asks) {
      const bodyText = JSON.stringify({ ...body, ...wish });
      const facts = readRequestFacts(format, bodyText, bodyText.length, null);
      for (const name of names) {
        const { outcome } = await ask(kind, format, name.slice(kind.length + 1), { ...body, ...wish });
        if (outcome.kind !== "answered" && outcome.kind !== "failed") throw new Error(`not sent: ${name}`);
        // Retired models, and those that only embed, are not there at all.
        if (outcome.kind === "failed" && outcome.provider.status === 404) continue;
        const isTaken = outcome.kind === "answered";
        const isRoute = planRoutes(defaultPolicy(name), facts, catalog).first !== null;
        if (isTaken) taken += 1;
        else refused += 1;
        if (isTaken !== isRoute)
          differences.push([name, wish, isTaken ? "answered, but no route" : "a route, but refused"]);
      }
    }
    expect(differences).toEqual([]);
    expect(Math.min(taken, refused)).toBeGreaterThan(20);
  });
});
