import { describe, expect, test } from "@jest/globals";
import {
  CHAT,
  MESSAGES,
  OPENAI_HEADERS,
  chat,
  messages,
  promptWithFirstByte,
  restart,
  rows,
  send,
  sha,
  simulatorForEachTest,
} from "../support/simulator-harness.js";

simulatorForEachTest();

describe("an OpenAI chat answer", () => {
  test("carries both digests, so that a checker who knows only the prompt can tell whose it is", async () => {
    const body = JSON.stringify(CHAT);
    const { status, json } = await send("/v1/chat/completions", OPENAI_HEADERS, body);
    expect(status).toBe(200);
    expect(json.object).toBe("chat.completion");
    expect(json.model).toBe("gpt-4.1-mini-2025-04-14");
    expect(json.choices[0].message.content).toContain(`digest=${sha("Be short.\nHi")} body=${sha(body)}`);
  });

  test("counts tokens by the stated rule", async () => {
    const prompt = promptWithFirstByte((byte) => byte >= 64);
    const { json } = await chat({ messages: [{ role: "user", content: prompt }] });
    const input = Math.ceil(prompt.length / 4) + 3 + 3;
    expect(json.usage.prompt_tokens).toBe(input);
    expect(json.usage.prompt_tokens_details.cached_tokens).toBe(0);
    expect(json.usage.completion_tokens).toBe(json.choices[0].message.content.split(" ").length);
    expect(json.usage.total_tokens).toBe(input + json.usage.completion_tokens);
  });

  test("counts UTF-8 bytes, not characters", async () => {
    const { json } = await chat({ messages: [{ role: "user", content: "ééé" }] });
    expect(json.usage.prompt_tokens).toBe(2 + 3 + 3);
  });

  test("reports half of the input as cached for a fixed share of prompts", async () => {
    const prompt = promptWithFirstByte((byte) => byte < 64);
    const { json } = await chat({ messages: [{ role: "user", content: prompt }] });
    expect(json.usage.prompt_tokens_details.cached_tokens).toBe(Math.floor(json.usage.prompt_tokens / 2));
    expect(rows()[0]?.cachedInputTokens).toBe(json.usage.prompt_tokens_details.cached_tokens);
  });

  test("is the same for the same request but for its ids", async () => {
    const [first, second] = [await chat(), await chat()];
    expect(second.json.choices).toEqual(first.json.choices);
    expect(second.json.usage).toEqual(first.json.usage);
    expect(second.json.id).not.toBe(first.json.id);
    expect(second.headers["x-request-id"]).not.toBe(first.headers["x-request-id"]);
  });

  test("has 5 to 60 tokens, and another seed gives other lengths", async () => {
    const lengths = async (): Promise<number[]> => {
      const answers = await Promise.all(
        Array.from({ length: 40 }, (_, n) => chat({ messages: [{ role: "user", content: `q${String(n)}` }] })),
      );
      return answers.map((answer) => answer.json.usage.completion_tokens);
    };
    const first = await lengths();
    await restart({ seed: 12 });
    const second = await lengths();
    expect(Math.min(...first, ...second)).toBeGreaterThanOrEqual(5);
    expect(Math.max(...first, ...second)).toBeLessThanOrEqual(60);
    expect(new Set(first).size).toBeGreaterThan(10);
    expect(second).not.toEqual(first);
  });

  test.each([
    { field: "max_tokens", max: 1 },
    { field: "max_completion_tokens", max: 3 },
  ])("is cut at $field $max and says so", async ({ field, max }) => {
    const { json } = await chat({ [field]: max });
    expect(json.choices[0].finish_reason).toBe("length");
    expect(json.usage.completion_tokens).toBe(max);
    expect(json.choices[0].message.content.split(" ")).toHaveLength(max);
    expect(json.choices[0].message.content).toContain(`digest=${sha("Be short.\nHi")}`);
  });

  test("ends with stop when nothing cut it, and before a stop sequence", async () => {
    expect((await chat()).json.choices[0].finish_reason).toBe("stop");
    const { json } = await chat({ stop: ["nowhere", " body="] });
    expect(json.choices[0].message.content).toBe(`digest=${sha("Be short.\nHi")}`);
    expect(json.choices[0].finish_reason).toBe("stop");
    expect(json.usage.completion_tokens).toBe(1);
  });

  test("is JSON when JSON is asked for, and counts every choice", async () => {
    const wanted = [{ role: "user", content: "Give JSON" }];
    const { json } = await chat({ messages: wanted, response_format: { type: "json_object" }, n: 2 });
    expect(JSON.parse(json.choices[1].message.content).digest).toBe(sha("Give JSON"));
    const single = await chat({ messages: wanted, response_format: { type: "json_object" } });
    expect(json.usage.completion_tokens).toBe(2 * single.json.usage.completion_tokens);
  });

  test("of a reasoning model has its reasoning inside the completion tokens", async () => {
    const { json } = await chat({ model: "gpt-5-mini" });
    const words = json.choices[0].message.content.split(" ").length;
    expect(json.usage.completion_tokens).toBe(words + json.usage.completion_tokens_details.reasoning_tokens);
    const unreasoned = (await chat({ model: "gpt-5.1", reasoning_effort: "none" })).json;
    expect(unreasoned.usage.completion_tokens).toBe(unreasoned.choices[0].message.content.split(" ").length);
  });

  test("takes every kind of message and option that text conversations have", async () => {
    const { status, text } = await chat({
      messages: [
        { role: "developer", content: [{ type: "text", text: "Rules" }] },
        {
          role: "user",
          name: "ann",
          content: [
            { type: "text", text: "Look" },
            { type: "image_url", image_url: { url: "https://example.com/a.png", detail: "low" } },
          ],
        },
        {
          role: "assistant",
          content: null,
          tool_calls: [{ id: "c1", type: "function", function: { name: "look", arguments: "{}" } }],
        },
        { role: "tool", tool_call_id: "c1", content: "seen" },
        { role: "assistant", content: "Yes." },
        { role: "user", content: "" },
      ],
      tools: [{ type: "function", function: { name: "look", description: "d", parameters: { type: "object" } } }],
      tool_choice: "auto",
      parallel_tool_calls: true,
      temperature: 0,
      top_p: 1,
      seed: 7,
      n: 1,
      stop: null,
      user: "u",
      store: false,
      metadata: { k: "v" },
      service_tier: "auto",
      logprobs: true,
      top_logprobs: 2,
      frequency_penalty: -2,
      presence_penalty: 2,
      logit_bias: { "50256": -100 },
      response_format: { type: "text" },
      stream: false,
      max_tokens: null,
    });
    expect({ status, text }).toEqual({ status: 200, text: expect.stringContaining(sha("Rules\nLook\nseen\nYes.\n")) });
  });
});

describe("an Anthropic answer", () => {
  test("has the same prompt digest as the same prompt elsewhere, and the shape of its own API", async () => {
    const { status, headers, json } = await messages();
    expect(status).toBe(200);
    expect(headers["request-id"]).toMatch(/^req_/);
    expect(json).toMatchObject({
      type: "message",
      role: "assistant",
      model: "claude-haiku-4-5-20251001",
      stop_reason: "end_turn",
      stop_sequence: null,
    });
    expect(json.content[0].text).toContain(`digest=${sha("Be short.\nHi")}`);
  });

  /** A prompt of 4,800 bytes whose digest's first byte is below 128 (the cache has it) or not. */
  function longPrompt(isCached: boolean): string {
    for (let n = 0; ; n += 1) {
      const prompt = `${String(n)} `.padEnd(4800, "x");
      if (Number.parseInt(sha(prompt).slice(0, 2), 16) < 128 === isCached) return prompt;
    }
  }

  test.each([
    { name: "reads a cached prefix", isCached: true, ttl: "5m", read: 1200, write5m: 0, write1h: 0, nanoUsd: 120_000n },
    {
      name: "writes for 5 minutes",
      isCached: false,
      ttl: "5m",
      read: 0,
      write5m: 1200,
      write1h: 0,
      nanoUsd: 1_500_000n,
    },
    { name: "writes for an hour", isCached: false, ttl: "1h", read: 0, write5m: 0, write1h: 1200, nanoUsd: 2_400_000n },
  ])("$name: outside of its input tokens, inside of the bill's", async ({ isCached, ttl, ...expected }) => {
    const cached = { type: "text", text: longPrompt(isCached), cache_control: { type: "ephemeral", ttl } };
    const { json } = await messages({
      system: undefined,
      messages: [{ role: "user", content: [cached, { type: "text", text: "And more." }] }],
    });
    // One message: 3 + ceil(4,809 bytes / 4), and 3 for the request.
    const whole = 3 + 1203 + 3;
    const writes = expected.write5m + expected.write1h;
    expect(json.usage).toMatchObject({
      input_tokens: whole - 1200,
      cache_read_input_tokens: expected.read,
      cache_creation_input_tokens: writes,
      cache_creation: { ephemeral_5m_input_tokens: expected.write5m, ephemeral_1h_input_tokens: expected.write1h },
    });
    const output = json.usage.output_tokens;
    // claude-haiku-4-5: $1 in, $5 out, $0.10 read, $1.25 and $2 written, each a million tokens.
    expect(rows()[0]).toMatchObject({
      inputTokens: whole,
      cachedInputTokens: expected.read,
      cacheWriteTokens: writes,
      outputTokens: output,
      nanoUsd: (expected.nanoUsd + 9n * 1000n + BigInt(output) * 5000n).toString(),
    });
  });

  test("caches nothing that no block asks for", async () => {
    const { json } = await messages({ system: undefined, messages: [{ role: "user", content: longPrompt(true) }] });
    expect(json.usage).toMatchObject({ cache_read_input_tokens: 0, cache_creation_input_tokens: 0 });
  });

  test("says max_tokens when cut, and names the stop sequence that ended it", async () => {
    expect((await messages({ max_tokens: 2 })).json).toMatchObject({
      stop_reason: "max_tokens",
      usage: { output_tokens: 2 },
    });
    expect((await messages({ stop_sequences: [" body="] })).json).toMatchObject({
      stop_reason: "stop_sequence",
      stop_sequence: " body=",
    });
  });

  test("takes system blocks, tools, tool results, images, and a bearer token for a key", async () => {
    const change = {
      system: [{ type: "text", text: "Rules", cache_control: { type: "ephemeral" } }],
      tools: [{ name: "look", input_schema: { type: "object" } }],
      tool_choice: { type: "auto" },
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "Look" },
            { type: "image", source: { type: "url", url: "https://example.com/a.png" } },
          ],
        },
        { role: "assistant", content: [{ type: "tool_use", id: "t1", name: "look", input: {} }] },
        { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: "seen" }] },
      ],
      temperature: 0.5,
      top_k: 3,
      metadata: { user_id: "u" },
    };
    const { status, text } = await send(
      "/v1/messages?beta=true",
      {
        authorization: "Bearer token",
        "anthropic-version": "2023-06-01",
        "content-type": "application/json; charset=utf-8",
      },
      JSON.stringify({ ...MESSAGES, ...change }),
    );
    expect({ status, text }).toEqual({ status: 200, text: expect.stringContaining(sha("Rules\nLook\nseen")) });
  });

  test("allows system messages in the version that has them", async () => {
    const withSystem = {
      messages: [
        { role: "user", content: "Hi" },
        { role: "system", content: "Now be long." },
      ],
    };
    expect((await messages(withSystem, { "anthropic-version": "2026-10-21" })).status).toBe(200);
    expect((await messages(withSystem)).status).toBe(400);
  });
});
