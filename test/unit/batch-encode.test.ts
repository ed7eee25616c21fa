import { describe, expect, test } from "@jest/globals";
import { WIRE as ANTHROPIC } from "../../src/adapters/providers/anthropic/anthropic-provider.js";
import { ANTHROPIC_BATCH_RULES } from "../../src/adapters/providers/anthropic/batch-rules.js";
import { toAnthropicBatchLine } from "../../src/adapters/providers/anthropic/to-batch-line.js";
import { payloadBody } from "../../src/adapters/providers/batch-payload.js";
import { GEMINI_BATCH_RULES } from "../../src/adapters/providers/gemini/batch-rules.js";
import { WIRE as GEMINI } from "../../src/adapters/providers/gemini/gemini-provider.js";
import { toGeminiBatchLine } from "../../src/adapters/providers/gemini/to-batch-line.js";
import { OPENAI_BATCH_RULES } from "../../src/adapters/providers/openai/batch-rules.js";
import { WIRE as OPENAI } from "../../src/adapters/providers/openai/openai-provider.js";
import { toOpenaiBatchLine } from "../../src/adapters/providers/openai/to-batch-line.js";
import { kindFacts, openBatchProvider } from "../../src/adapters/providers/registry.js";
import type { BatchLineRequest, EncodedLine } from "../../src/ports/batch-provider.js";

const line = (more: Partial<BatchLineRequest>): BatchLineRequest => ({
  attemptId: "00ab-1c",
  format: "openai.chat",
  model: "m-1",
  bodyText: "{}",
  maxOutputTokensDefault: 77,
  ...more,
});

function textOf(encoded: EncodedLine): string {
  if (encoded.kind === "not_carried") throw new Error(encoded.reasons.join("; "));
  return encoded.bytes.toString("utf8");
}

describe("a line", () => {
  test("of OpenAI names its endpoint and holds the body of a direct call", () => {
    const bodyText =
      '{"model":"cheap","messages":[{"role":"user","content":"Hi"}],"seed":12345678901234567890,"stream":true}';
    const encoded = toOpenaiBatchLine(OPENAI, line({ bodyText }));
    const body =
      '{"model":"m-1","messages":[{"role":"user","content":"Hi"}],"seed":12345678901234567890,"max_completion_tokens":77}';
    expect(textOf(encoded)).toBe(`{"custom_id":"00ab-1c","method":"POST","url":"/v1/chat/completions","body":${body}}`);
    expect(encoded).toMatchObject({ lineFormat: "openai.chat", embeddingInputs: 0 });
  });

  test("of Anthropic holds the params of a direct call", () => {
    const bodyText = '{"messages":[{"role":"user","content":"Hi"}],"temperature":0.0}';
    expect(textOf(toAnthropicBatchLine(ANTHROPIC, line({ format: "anthropic.messages", bodyText })))).toBe(
      '{"custom_id":"00ab-1c","params":{"model":"m-1","messages":[{"role":"user","content":"Hi"}],"temperature":0.0,"max_tokens":77}}',
    );
  });

  test("of Gemini has its key beside the request, or in the metadata of an inline one", () => {
    const bodyText = '{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}';
    const request = '{"contents":[{"role":"user","parts":[{"text":"Hi"}]}],"generationConfig":{"maxOutputTokens":77}}';
    const job = line({ format: "gemini.generate", bodyText });
    expect(textOf(toGeminiBatchLine(GEMINI, job, "file"))).toBe(`{"key":"00ab-1c","request":${request}}`);
    expect(textOf(toGeminiBatchLine(GEMINI, job, "inline"))).toBe(
      `{"request":${request},"metadata":{"key":"00ab-1c"}}`,
    );
  });

  test("stands on one line, whatever the caller's body was printed like, and says the same", () => {
    const bodyText = '{\r\n  "messages": [\n    {"role":"user","content":"a\\n\u2028b\u0085c"}\n  ]\n}';
    const text = textOf(toOpenaiBatchLine(OPENAI, line({ bodyText })));
    expect(text).not.toMatch(/[\r\n\u0085\u2028\u2029]/);
    expect(JSON.parse(text).body.messages).toEqual([{ role: "user", content: "a\n\u2028b\u0085c" }]);
  });

  test("of a job in another format is translated first", () => {
    const bodyText = '{"system":"Be brief.","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}';
    const encoded = toOpenaiBatchLine(OPENAI, line({ format: "anthropic.messages", bodyText }));
    expect(encoded).toMatchObject({ lineFormat: "openai.chat" });
    expect(JSON.parse(textOf(encoded)).body).toMatchObject({
      model: "m-1",
      max_completion_tokens: 9,
      messages: [
        { role: expect.stringMatching(/system|developer/), content: "Be brief." },
        { role: "user", content: "Hi" },
      ],
    });
  });

  test("that can't be told in the provider's words says why", () => {
    const bodyText = '{"messages":[{"role":"user","content":"Hi"}],"logit_bias":{"50256":-100}}';
    expect(toAnthropicBatchLine(ANTHROPIC, line({ bodyText }))).toEqual({
      kind: "not_carried",
      reasons: [expect.stringContaining("logit_bias")],
    });
    expect(toAnthropicBatchLine(ANTHROPIC, line({ format: "openai.embeddings", bodyText: '{"input":"x"}' }))).toEqual({
      kind: "not_carried",
      reasons: ["anthropic batches take no openai.embeddings"],
    });
    expect(toOpenaiBatchLine(OPENAI, line({ bodyText: "[1]" }))).toEqual({
      kind: "not_carried",
      reasons: ["the job's body is no JSON object"],
    });
    const several = '{"requests":[{"content":{"parts":[{"text":"a"}]}},{"content":{"parts":[{"text":"b"}]}}]}';
    expect(toGeminiBatchLine(GEMINI, line({ format: "gemini.embed", bodyText: several }), "file")).toEqual({
      kind: "not_carried",
      reasons: ["a line of a gemini batch embeds one text, the job has several"],
    });
  });

  test.each<[string, number]>([
    ['"one text"', 1],
    ['["a","b","c"]', 3],
    ["[1,2,3,4]", 1],
    ["[[1,2],[3,4]]", 2],
  ])("of embeddings with input %s counts %i inputs", (input, embeddingInputs) => {
    const job = line({ format: "openai.embeddings", bodyText: `{"input":${input}}` });
    expect(toOpenaiBatchLine(OPENAI, job)).toMatchObject({ lineFormat: "openai.embeddings", embeddingInputs });
  });

  test("of an embedding goes to Gemini as one request", () => {
    const job = line({ format: "gemini.embed", bodyText: '{"content":{"parts":[{"text":"a"}]}}' });
    expect(textOf(toGeminiBatchLine(GEMINI, job, "file"))).toBe(
      '{"key":"00ab-1c","request":{"content":{"parts":[{"text":"a"}]}}}',
    );
  });
});

describe("the bytes of a batch", () => {
  const texts = ['{"a":1}', '{"b":"ü"}', '{"c":3}'];
  const lines = texts.map((text) => Buffer.from(text));
  const linesBytes = 7 + 1 + (10 + 1) + (7 + 1);

  async function* each(): AsyncGenerator<Buffer> {
    for (const one of lines) yield await Promise.resolve(one);
  }

  async function sent(body: ReturnType<typeof payloadBody>): Promise<string> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of body.chunks) chunks.push(chunk);
    return Buffer.concat(chunks).toString("utf8");
  }

  test("are known before, for lines that end in a break", async () => {
    const body = payloadBody({ before: "<", after: ">", separator: "\n" }, each(), linesBytes);
    const text = await sent(body);
    expect(text).toBe('<{"a":1}\n{"b":"ü"}\n{"c":3}\n>');
    expect(body.bytes).toBe(Buffer.byteLength(text));
  });

  test("are known before, for elements of a list", async () => {
    const body = payloadBody({ before: '{"requests":[', after: "]}", separator: "," }, each(), linesBytes);
    const text = await sent(body);
    expect(text).toBe('{"requests":[{"a":1},{"b":"ü"},{"c":3}]}');
    expect(body.bytes).toBe(Buffer.byteLength(text));
    // What packing reckons with: the frame and one byte more for each line.
    expect(ANTHROPIC_BATCH_RULES.ways[0]!.frameBytes + linesBytes).toBe(Buffer.byteLength(text));
  });
});

describe("the rules of a provider", () => {
  test.each([
    ["OpenAI", OPENAI_BATCH_RULES],
    ["Anthropic", ANTHROPIC_BATCH_RULES],
    ["Gemini", GEMINI_BATCH_RULES],
  ])("of %s let a line of the longest size into a batch, and take our ids", (_name, rules) => {
    expect(rules.customIdForm.test("00ab-1c")).toBe(true);
    for (const way of rules.ways) expect(way.frameBytes + way.lineBytesMax + 1).toBeLessThanOrEqual(way.bytesMax);
  });

  test("name no format that the kind does not speak, and a kind without a batch API has no batches", async () => {
    const kinds = [OPENAI_BATCH_RULES, ANTHROPIC_BATCH_RULES, GEMINI_BATCH_RULES].map(({ formats }) => formats);
    expect(kinds).toEqual(["openai", "anthropic", "gemini"].map((kind) => kindFacts(kind).formats));
    const settings = {
      account: "own",
      baseUrl: "http://127.0.0.1:1/v1",
      apiKey: () => null,
      connectionsMax: 1,
      connectTimeoutMs: 1,
      idleTimeoutMs: 1,
      answerBytesMax: 1,
      resultLineBytesMax: 1,
      nowMs: () => 0,
    };
    expect(await openBatchProvider("openai-compatible", settings)).toBeNull();
    for (const kind of ["openai", "anthropic", "gemini"]) {
      const opened = await openBatchProvider(kind, settings);
      expect(opened).toMatchObject({ account: "own" });
      await opened?.close();
    }
  });

  test("say which providers may mix models, keep a mark, and can fence a create", () => {
    const facts = [OPENAI_BATCH_RULES, ANTHROPIC_BATCH_RULES, GEMINI_BATCH_RULES].map((rules) => [
      rules.alike.model,
      rules.markCharactersMax !== null,
      rules.ways.map(({ way, fence }) => `${way}: ${fence}`),
    ]);
    expect(facts).toEqual([
      [true, true, ["file: delete_file"]],
      [false, false, ["inline: none"]],
      [true, true, ["file: delete_file", "inline: none"]],
    ]);
  });
});
