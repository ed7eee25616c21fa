/** Servers that speak OpenAI's chat in their own ways; OpenAI's client is the judge where it can be. */
import { describe, expect, test } from "@jest/globals";
import OpenAI from "openai";
import { control, restart, rows, send, simulator, simulatorForEachTest } from "../support/simulator-harness.js";
import type { Answer } from "../support/simulator-harness.js";

simulatorForEachTest();

const FLAVOURS = ["vllm", "llama-cpp", "ollama"] as const;
type Flavour = (typeof FLAVOURS)[number];

const JSON_TYPE = { "content-type": "application/json" };
const ASKED = { model: "llama-3.1-8b", messages: [{ role: "user", content: "Hi" }] };
const TOOLS = [{ type: "function", function: { name: "look", parameters: { type: "object", properties: {} } } }];

function chat(flavour: Flavour, change: object = {}, headers: Record<string, string> = {}): Promise<Answer> {
  const body = JSON.stringify({ ...ASKED, ...change });
  return send(`/${flavour}/v1/chat/completions`, { ...JSON_TYPE, ...headers }, body);
}

function clientOf(flavour: Flavour, apiKey = "none"): OpenAI {
  const urls = {
    vllm: simulator.vllmBaseUrl,
    "llama-cpp": simulator.llamaCppBaseUrl,
    ollama: simulator.ollamaBaseUrl,
  };
  return new OpenAI({ apiKey, baseURL: urls[flavour], maxRetries: 0 });
}

describe.each(FLAVOURS)("%s", (flavour) => {
  test("answers OpenAI's client, without a key, for nothing", async () => {
    const answer = await clientOf(flavour).chat.completions.create({
      model: ASKED.model,
      messages: [{ role: "user", content: "Hi" }],
    });
    expect(answer.choices[0]?.message.content).toMatch(/^digest=3639efcd/);
    expect(answer.choices[0]?.finish_reason).toBe("stop");
    expect(answer.usage?.prompt_tokens).toBe(7);
    expect(answer.usage?.total_tokens).toBe(7 + answer.usage!.completion_tokens);
    expect(rows()).toMatchObject([
      { provider: "compatible", model: "llama-3.1-8b", cachedInputTokens: 0, nanoUsd: "0" },
    ]);
    const { headers } = await chat(flavour);
    expect(Object.keys(headers).filter((name) => name.startsWith("x-"))).toEqual([]);
  });

  test("embeds, lists its models and says that it is well", async () => {
    const client = clientOf(flavour);
    const embedded = await client.embeddings.create({ model: "nomic-embed-text", input: "Hi" });
    expect(embedded.data[0]?.embedding).toHaveLength(768);
    const models: string[] = [];
    for await (const model of client.models.list()) models.push(model.id);
    expect(models).toEqual(["llama-3.1-8b", "nomic-embed-text"]);
    expect((await send(`/${flavour}/health`, {}, null, "GET")).status).toBe(200);
  });

  test("reads over fields that it does not know, calls tools, and answers by a schema", async () => {
    expect((await chat(flavour, { tenant: "acme", min_p: 0.1 })).status).toBe(200);
    const messages = [{ role: "user", content: "call look" }];
    const called = (await chat(flavour, { tools: TOOLS, messages })).json.choices[0];
    expect(called.finish_reason).toBe("tool_calls");
    expect(called.message.tool_calls[0].function).toEqual({ name: "look", arguments: "{}" });
    const schema = { type: "object", properties: { n: { type: "integer" } }, required: ["n"] };
    const format = { type: "json_schema", json_schema: { name: "x", schema } };
    expect(JSON.parse((await chat(flavour, { response_format: format })).json.choices[0].message.content)).toEqual({
      n: 7,
    });
  });

  test("has no files and no batches", async () => {
    expect((await send(`/${flavour}/v1/batches`, JSON_TYPE, "{}")).status).toBe(404);
    expect((await send(`/${flavour}/v1/files`, {}, null, "GET")).status).toBe(404);
  });

  test("fails as it is told to", async () => {
    await control("/simulator/faults", "POST", [
      { match: { operation: `${flavour}.chat` }, fault: { kind: "status", status: 503 } },
    ]);
    expect((await chat(flavour)).status).toBe(503);
    expect(rows()).toEqual([]);
  });
});

describe("errors have each server's own shape:", () => {
  const wrong = { temperature: "hot" };
  const long = { messages: [{ role: "user", content: "x".repeat(4 * 8192) }] };

  test("vLLM's with numbers for codes", async () => {
    expect((await chat("vllm", wrong)).json).toEqual({
      error: { message: expect.any(String), type: "BadRequestError", param: "temperature", code: 400 },
    });
    expect((await chat("vllm", { model: "none" })).json.error).toMatchObject({ type: "NotFoundError", code: 404 });
    const tooLong = await chat("vllm", long);
    expect([tooLong.status, tooLong.json.error.message]).toEqual([
      400,
      expect.stringContaining("maximum context length is 8192"),
    ]);
  });

  test("llama.cpp's with the code first and the counts of a prompt that is too long", async () => {
    expect((await chat("llama-cpp", wrong)).json).toEqual({
      error: { code: 400, message: expect.any(String), type: "invalid_request_error" },
    });
    expect((await chat("llama-cpp", long)).json).toEqual({
      error: {
        code: 400,
        message: expect.any(String),
        type: "exceed_context_size_error",
        n_prompt_tokens: 8192 + 6,
        n_ctx: 8192,
      },
    });
    expect((await chat("llama-cpp", { n: 2 })).status).toBe(400);
  });

  test("Ollama's without codes, and none at all for a prompt that is too long", async () => {
    expect((await chat("ollama", { model: "none" })).json).toEqual({
      error: { message: expect.stringContaining("try pulling it first"), type: "api_error", param: null, code: null },
    });
    const cut = await chat("ollama", long);
    expect([cut.status, cut.json.usage.prompt_tokens]).toEqual([200, 8192]);
  });
});

describe("each has its own way:", () => {
  test("vLLM says more than OpenAI", async () => {
    const { json } = await chat("vllm", { n: 2 });
    expect(json.choices).toHaveLength(2);
    expect(json.choices[0]).toMatchObject({ stop_reason: null, message: { tool_calls: [], reasoning_content: null } });
    expect(json.usage.prompt_tokens_details).toBeNull();
  });

  test("llama.cpp answers to any name with its one model, and tells its times", async () => {
    const { json } = await chat("llama-cpp", { model: "gpt-whatever" });
    expect(json.model).toBe("gpt-whatever");
    expect(json.timings).toMatchObject({ prompt_n: 7, predicted_n: json.usage.completion_tokens });
    expect(rows()).toMatchObject([{ model: "gpt-whatever", modelVersion: "gpt-whatever" }]);
  });

  test("Ollama reads over n and tool_choice", async () => {
    const { json } = await chat("ollama", { n: 3, tools: TOOLS, tool_choice: "required" });
    expect(json.choices).toHaveLength(1);
    expect(json.choices[0].message.content).toMatch(/^digest=/);
  });

  test("keys count where keys are stated, but not for Ollama", async () => {
    await restart({ keys: { "sk-right": "me" } });
    const bearer = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` });
    const statuses = async (flavour: Flavour): Promise<readonly number[]> => [
      (await chat(flavour)).status,
      (await chat(flavour, {}, bearer("sk-wrong"))).status,
      (await chat(flavour, {}, bearer("sk-right"))).status,
    ];
    expect(await statuses("vllm")).toEqual([401, 401, 200]);
    expect(await statuses("llama-cpp")).toEqual([401, 401, 200]);
    expect(await statuses("ollama")).toEqual([200, 200, 200]);
    expect(rows().map((row) => row.key)).toEqual(["me", "me", "anybody", "anybody", "me"]);
  });

  test("models and prices are those that it is started with", async () => {
    const models = { own: { inputPerMTok: "1", outputPerMTok: "2", contextWindow: 20 } };
    await restart({ models });
    expect((await chat("vllm")).status).toBe(404);
    const { json } = await chat("vllm", { model: "own" });
    const output = json.usage.completion_tokens as number;
    expect(rows()).toMatchObject([{ provider: "compatible", nanoUsd: String(7 * 1000 + output * 2000) }]);
  });
});
