import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { parse, stringify } from "lossless-json";
import { translateAnswer, translateRequest } from "../../src/domain/format/translate.js";
import type { Translation } from "../../src/domain/format/translate.js";
import { canonicalJson } from "../../src/domain/job/canonical.js";
import type { RequestFormat } from "../../src/domain/job/job.js";

const GOLDEN = "test/golden/formats";
const CHATS = ["openai.chat", "anthropic.messages", "gemini.generate"] as const;
const HI = { role: "user", content: "Hi" };

/** Key order does not count; every number does, digit by digit. */
function expectCarried(result: Translation, expectedText: string): void {
  const text = result.kind === "carried" ? canonicalJson(result.bodyText) : result.reasons;
  expect(text).toBe(canonicalJson(expectedText));
}

function carried(from: RequestFormat, to: RequestFormat, body: unknown): any {
  const result = translateRequest(from, to, typeof body === "string" ? body : JSON.stringify(body));
  if (result.kind === "not_carried") throw new Error(result.reasons.join("; "));
  return JSON.parse(result.bodyText);
}

function reasons(result: Translation): readonly string[] {
  return result.kind === "carried" ? [] : result.reasons;
}

describe("golden requests", () => {
  const pairs = CHATS.flatMap((from) => CHATS.filter((to) => to !== from).map((to) => [from, to] as const));
  const cases = readdirSync(`${GOLDEN}/requests`).flatMap((name) => pairs.map((pair) => [name, ...pair] as const));

  test.each(cases)("%s: %s to %s", (name, from, to) => {
    const read = (format: string) => readFileSync(`${GOLDEN}/requests/${name}/${format}.json`, "utf8");
    expectCarried(translateRequest(from, to, read(from)), read(to));
  });
});

describe("golden answers", () => {
  const golden = (name: string) => parse(readFileSync(`${GOLDEN}/answers/${name}`, "utf8")) as Record<string, unknown>;
  const cases = readdirSync(`${GOLDEN}/answers`).flatMap((name) =>
    CHATS.filter((to) => to in golden(name)).map((to) => [name, to] as const),
  );

  test("are given in both other formats", () => {
    expect(cases).toHaveLength(readdirSync(`${GOLDEN}/answers`).length * 2);
  });

  test.each(cases)("%s to %s", (name, to) => {
    const { from, answer, [to]: expected } = golden(name);
    expectCarried(translateAnswer(from as RequestFormat, to, stringify(answer)!, "{}"), stringify(expected)!);
  });
});

describe("requests of openai.chat", () => {
  test("have system and developer messages anywhere; they move to the start in their order", () => {
    const messages = [
      { role: "developer", content: [{ type: "text", text: "One." }] },
      HI,
      { role: "assistant", content: "Ho" },
      { role: "system", content: "Two." },
      { role: "user", content: "Go" },
    ];
    expect(carried("openai.chat", "gemini.generate", { messages })).toEqual({
      systemInstruction: { parts: [{ text: "One." }, { text: "Two." }] },
      contents: [
        { role: "user", parts: [{ text: "Hi" }] },
        { role: "model", parts: [{ text: "Ho" }] },
        { role: "user", parts: [{ text: "Go" }] },
      ],
    });
  });

  test("name both caps only when they agree", () => {
    const body = (max_tokens: number) => ({ messages: [HI], max_completion_tokens: 5, max_tokens });
    expect(carried("openai.chat", "anthropic.messages", body(5)).max_tokens).toBe(5);
    const result = translateRequest("openai.chat", "anthropic.messages", JSON.stringify(body(6)));
    expect(reasons(result)).toEqual(["max_tokens and max_completion_tokens differ"]);
  });

  test("name the end user twice only when they agree", () => {
    const body = (user: string) => ({ messages: [HI], safety_identifier: "u1", user });
    expect(carried("openai.chat", "anthropic.messages", body("u1")).metadata).toEqual({ user_id: "u1" });
    const result = translateRequest("openai.chat", "anthropic.messages", JSON.stringify(body("u2")));
    expect(reasons(result)).toEqual(["user and safety_identifier differ"]);
  });

  test("put the description of a schema into it", () => {
    const json_schema = { name: "x", description: "A thing.", schema: { type: "object" } };
    const body = { messages: [HI], response_format: { type: "json_schema", json_schema } };
    expect(carried("openai.chat", "gemini.generate", body).generationConfig.responseJsonSchema).toEqual({
      type: "object",
      description: "A thing.",
    });
  });

  test("get ids of tool calls that Anthropic takes, the same in call and result", () => {
    const call = { id: "functions.look:0", type: "function", function: { name: "look", arguments: "" } };
    const messages = [
      HI,
      { role: "assistant", content: "", tool_calls: [call] },
      { role: "tool", tool_call_id: "functions.look:0", content: "" },
    ];
    expect(carried("openai.chat", "anthropic.messages", { messages }).messages.slice(1)).toEqual([
      { role: "assistant", content: [{ type: "tool_use", id: "call_1", name: "look", input: {} }] },
      { role: "user", content: [{ type: "tool_result", tool_use_id: "call_1" }] },
    ]);
  });

  test("whose tool calls share an id do not go to Anthropic, which would refuse them", () => {
    const call = { id: "c", type: "function", function: { name: "look", arguments: "{}" } };
    const result = { role: "tool", tool_call_id: "c", content: "1" };
    const messages = [
      HI,
      { role: "assistant", tool_calls: [call] },
      result,
      { role: "assistant", tool_calls: [call] },
      result,
    ];
    const told = translateRequest("openai.chat", "anthropic.messages", JSON.stringify({ messages }));
    expect(reasons(told)).toEqual(["anthropic takes no two tool calls with one id"]);
  });

  test("that think keep their temperature from Anthropic", () => {
    const body = { messages: [HI], reasoning_effort: "high", temperature: 0.2 };
    const result = translateRequest("openai.chat", "anthropic.messages", JSON.stringify(body));
    expect(reasons(result)).toEqual(["anthropic takes no temperature or top_k while it thinks"]);
    expect(carried("openai.chat", "anthropic.messages", { ...body, temperature: 1 }).temperature).toBe(1);
  });

  test("that think keep their top_k from Anthropic", () => {
    const generationConfig = { topK: 5, thinkingConfig: { thinkingBudget: 2048 } };
    const body = { contents: [{ parts: [{ text: "Hi" }] }], generationConfig };
    const result = translateRequest("gemini.generate", "anthropic.messages", JSON.stringify(body));
    expect(reasons(result)).toEqual(["anthropic takes no temperature or top_k while it thinks"]);
  });

  test("that force a tool call do not think at Anthropic", () => {
    const body = { messages: [HI], reasoning_effort: "high", tool_choice: "required" };
    const result = translateRequest("openai.chat", "anthropic.messages", JSON.stringify(body));
    expect(reasons(result)).toEqual(["anthropic forces no tool call while it thinks"]);
  });
});

describe("requests of gemini.generate", () => {
  test("are read in the other spelling of their names", () => {
    const body = {
      contents: [{ role: "user", parts: [{ inline_data: { mime_type: "image/png", data: "AAAA" } }] }],
      generation_config: { max_output_tokens: 5, thinking_config: { thinking_budget: 0 } },
    };
    expect(carried("gemini.generate", "anthropic.messages", body)).toEqual({
      max_tokens: 5,
      messages: [
        {
          role: "user",
          content: [{ type: "image", source: { type: "base64", media_type: "image/png", data: "AAAA" } }],
        },
      ],
      thinking: { type: "disabled" },
    });
  });

  test("in both spellings at once are a reason", () => {
    const body = { contents: [{ parts: [{ text: "Hi" }] }], generationConfig: {}, generation_config: {} };
    const result = translateRequest("gemini.generate", "openai.chat", JSON.stringify(body));
    expect(reasons(result)).toEqual(["generationConfig is set twice"]);
  });

  test("link responses without ids to the first open call of their name", () => {
    const call = (name: string, at: number) => ({ functionCall: { name, args: { at } } });
    const response = (name: string, output: string) => ({ functionResponse: { name, response: { output } } });
    const contents = [
      { role: "user", parts: [{ text: "Hi" }] },
      { role: "model", parts: [call("a", 1), call("b", 2), call("a", 3)] },
      { role: "function", parts: [response("b", "two"), response("a", "one"), response("a", "three")] },
    ];
    const { messages } = carried("gemini.generate", "openai.chat", { contents });
    expect(messages.slice(2)).toEqual([
      { role: "tool", tool_call_id: "call_2", content: "two" },
      { role: "tool", tool_call_id: "call_1", content: "one" },
      { role: "tool", tool_call_id: "call_3", content: "three" },
    ]);
    expect(messages[1].tool_calls.map((one: any) => one.id)).toEqual(["call_1", "call_2", "call_3"]);
  });

  test("give a function's own object as text", () => {
    const contents = [
      { role: "user", parts: [{ text: "Hi" }] },
      { role: "model", parts: [{ functionCall: { name: "a" } }] },
      { role: "user", parts: [{ functionResponse: { name: "a", response: { degrees: 21, error: "no" } } }] },
    ];
    expect(carried("gemini.generate", "openai.chat", { contents }).messages[2].content).toBe(
      '{"degrees":21,"error":"no"}',
    );
  });

  test("have their schemas turned into JSON schemas", () => {
    const responseSchema = {
      type: "OBJECT",
      properties: {
        b: { type: "ARRAY", items: { type: "STRING", format: "enum", enum: ["x"], nullable: true }, max_items: "3" },
        a: { any_of: [{ type: "INTEGER", format: "int64" }], nullable: true, example: 7 },
      },
      propertyOrdering: ["a", "b"],
      required: ["a"],
    };
    const body = {
      contents: [{ parts: [{ text: "Hi" }] }],
      generationConfig: { responseMimeType: "application/json", responseSchema },
    };
    const { schema, strict } = carried("gemini.generate", "openai.chat", body).response_format.json_schema;
    expect(JSON.stringify(schema.properties)).toMatch(/^\{"a"/);
    expect(strict).toBeUndefined();
    expect(schema).toEqual({
      type: "object",
      properties: {
        a: { anyOf: [{ type: "integer", format: "int64" }, { type: "null" }], examples: [7] },
        b: { type: "array", items: { type: ["string", "null"], enum: ["x", null] }, maxItems: 3 },
      },
      required: ["a"],
    });
  });
});

describe("strict mode of OpenAI, asked for when the schema fits it", () => {
  const closed = {
    type: "object",
    properties: { a: { type: "string" } },
    required: ["a"],
    additionalProperties: false,
  };
  const strictOf = (schema: unknown) => {
    const body = { messages: [HI], output_config: { format: { type: "json_schema", schema } } };
    return carried("anthropic.messages", "openai.chat", body).response_format.json_schema.strict;
  };

  test.each<[string, unknown, true | undefined]>([
    ["closed, with all properties required", closed, true],
    ["with closed objects inside", { ...closed, properties: { a: { anyOf: [closed, { type: "null" }] } } }, true],
    ["open", { ...closed, additionalProperties: true }, undefined],
    ["open inside", { ...closed, properties: { a: { ...closed, additionalProperties: undefined } } }, undefined],
    ["with a property that is not required", { ...closed, required: [] }, undefined],
    ["of no object", { type: "array", items: closed }, undefined],
    ["with a keyword of which nobody knows", { ...closed, minProperties: 1 }, undefined],
  ])("a schema %s", (_what, schema, strict) => {
    expect(strictOf(schema)).toBe(strict);
  });
});

describe("schemas that Anthropic holds answers to", () => {
  const toAnthropic = (schema: unknown) =>
    translateRequest(
      "openai.chat",
      "anthropic.messages",
      JSON.stringify({ messages: [HI], response_format: { type: "json_schema", json_schema: { name: "x", schema } } }),
    );

  test("have their objects closed", () => {
    const inner = { type: "object", properties: { c: { type: "string" } } };
    const result = toAnthropic({
      type: "object",
      properties: { a: { type: "array", items: inner } },
      $defs: { d: inner },
    });
    const closed = { ...inner, additionalProperties: false };
    expect(result.kind === "carried" && JSON.parse(result.bodyText).output_config.format.schema).toEqual({
      type: "object",
      properties: { a: { type: "array", items: closed } },
      $defs: { d: closed },
      additionalProperties: false,
    });
  });

  test("may be closed without any property", () => {
    expect(toAnthropic({ type: "object", additionalProperties: false }).kind).toBe("carried");
  });

  test.each([
    [{ type: "object" }, "objects of any shape"],
    [{ type: "object", properties: {}, additionalProperties: true }, "additionalProperties"],
    [{ type: "object", properties: { a: { type: "string", maxLength: 5 } } }, "maxLength"],
    [{ type: "array", items: { type: "string" }, minItems: 2 }, "minItems"],
    [{ oneOf: [{ type: "string" }] }, "oneOf"],
  ])("%j is a reason", (schema, what) => {
    expect(reasons(toAnthropic(schema))).toEqual([`anthropic has no ${what} in a schema that answers are held to`]);
  });
});

describe("numbers", () => {
  test.each(["12345678901234567890", "1e400", "0.12345678901234567890123", "-9007199254740993"])(
    "that no double holds keep their digits: %s",
    (lexeme) => {
      const schema = `{"type":"object","properties":{"a":{"default":${lexeme}}}}`;
      const body = `{"messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{"name":"f","parameters":${schema}}}]}`;
      const result = translateRequest("openai.chat", "anthropic.messages", body);
      expect(result.kind === "carried" && result.bodyText).toContain(`"input_schema":${schema}`);
    },
  );

  test.each(["temperature", "seed", "max_completion_tokens"])("that can't be held are a reason as %s", (member) => {
    const body = `{"messages":[{"role":"user","content":"Hi"}],"${member}":12345678901234567890}`;
    const result = translateRequest("openai.chat", "gemini.generate", body);
    expect(reasons(result)).toEqual([`${member} is not a number that can be held exactly`]);
  });
});

describe("what is no request", () => {
  test.each([
    ["nothing", "", "the body can't be read: it is no JSON"],
    ["half of one", "{", "the body can't be read: it is no JSON"],
    ["a list", "[]", "the body is not an object"],
    ["null", "null", "the body is not an object"],
    ["a deep list", "[".repeat(5_000) + "]".repeat(5_000), "the body can't be read: it is nested too deep"],
  ])("%s", (_what, text, reason) => {
    for (const to of CHATS)
      expect(translateRequest("openai.chat", to, text)).toEqual({ kind: "not_carried", reasons: [reason] });
  });

  test("has no more than twenty reasons", () => {
    const unknown = Object.fromEntries(Array.from({ length: 50 }, (_none, at) => [`x${String(at)}`, 1]));
    const result = translateRequest("openai.chat", "gemini.generate", JSON.stringify({ messages: [HI], ...unknown }));
    expect(reasons(result)).toHaveLength(20);
  });

  test.each([
    ["openai.chat", "gemini.embed"],
    ["openai.embeddings", "anthropic.messages"],
    ["openai.responses", "openai.chat"],
  ] as const)("is not carried from %s to %s", (from, to) => {
    const result = translateRequest(from, to, "{}");
    expect(reasons(result)).toEqual([`a request in ${from} can't be carried to ${to}`]);
    expect(translateAnswer(from, to, "{}", "{}").kind).toBe("not_carried");
  });
});

describe("answers that have no place in another format", () => {
  const anthropic = (more: object) =>
    JSON.stringify({ id: "msg_1", content: [{ type: "text", text: "a" }], stop_reason: "end_turn", ...more });
  const openai = (choice: object, more: object = {}) =>
    JSON.stringify({ id: "c", choices: [{ message: { content: "a" }, finish_reason: "stop", ...choice }], ...more });
  const gemini = (candidate: object) =>
    JSON.stringify({ candidates: [{ content: { parts: [{ text: "a" }] }, finishReason: "STOP", ...candidate }] });

  test.each([
    [
      "anthropic.messages",
      "openai.chat",
      anthropic({ stop_reason: "pause_turn" }),
      "openai has no word for an answer that ended with pause_turn",
    ],
    [
      "anthropic.messages",
      "openai.chat",
      anthropic({ content: [{ type: "server_tool_use" }] }),
      "openai has no answers with a block of type server_tool_use",
    ],
    ["anthropic.messages", "gemini.generate", anthropic({ content: undefined }), "the answer has no content"],
    ["openai.chat", "gemini.generate", openai({}, { choices: [] }), "the answer has no choices"],
    [
      "openai.chat",
      "anthropic.messages",
      openai(
        {},
        {
          choices: [
            { message: {}, finish_reason: "stop" },
            { message: {}, finish_reason: "stop" },
          ],
        },
      ),
      "anthropic has no place for several answers to one request",
    ],
    [
      "openai.chat",
      "anthropic.messages",
      openai({ message: { audio: { id: "a" } } }),
      "anthropic has no answers in sound",
    ],
    [
      "openai.chat",
      "gemini.generate",
      openai({ message: { tool_calls: [{ id: "c", function: { name: "f", arguments: '{"a":' } }] } }),
      "the arguments of the call of f are not a JSON object",
    ],
    [
      "gemini.generate",
      "anthropic.messages",
      gemini({ finishReason: "MALFORMED_FUNCTION_CALL" }),
      "anthropic has no word for an answer that ended with MALFORMED_FUNCTION_CALL",
    ],
    [
      "gemini.generate",
      "openai.chat",
      gemini({ content: { parts: [{ inlineData: {} }] } }),
      "openai has no answers with a part of type inlineData",
    ],
    ["gemini.generate", "openai.chat", "{}", "the answer has no candidates"],
    ["gemini.generate", "openai.chat", "[]", "the answer is not an object"],
    ["gemini.generate", "openai.chat", "<html>", "the answer can't be read: it is no JSON"],
  ] as const)("%s to %s: %s", (from, to, text, reason) => {
    expect(translateAnswer(from, to, text, "{}")).toEqual({ kind: "not_carried", reasons: [reason] });
  });

  test("may still have one in Gemini's, whose words are wider", () => {
    const result = translateAnswer(
      "anthropic.messages",
      "gemini.generate",
      anthropic({ stop_reason: "pause_turn" }),
      "{}",
    );
    expect(result.kind === "carried" && JSON.parse(result.bodyText).candidates[0]).toEqual({
      content: { role: "model", parts: [{ text: "a" }] },
      finishReason: "OTHER",
      finishMessage: "pause_turn",
      index: 0,
    });
  });
});

describe("answers of servers of one's own", () => {
  const toAnthropic = (message: object) => {
    const answer = { id: "chatcmpl-7", model: "m", choices: [{ message, finish_reason: "stop" }] };
    const result = translateAnswer("openai.chat", "anthropic.messages", JSON.stringify(answer), "{}");
    return result.kind === "carried" ? JSON.parse(result.bodyText).content : result.reasons;
  };
  const use = { type: "tool_use", id: "call_7_0_0", name: "f", input: { a: 1 } };

  test.each<[string, object, unknown]>([
    ["a call without an id", { tool_calls: [{ id: "", function: { name: "f", arguments: '{"a":1}' } }] }, [use]],
    ["arguments as an object", { tool_calls: [{ function: { name: "f", arguments: { a: 1 } } }] }, [use]],
    ["the older form of a call", { function_call: { name: "f", arguments: '{"a":1}' } }, [use]],
    [
      "content in parts",
      {
        content: [
          { type: "text", text: "a" },
          { type: "text", text: "b" },
        ],
      },
      [{ type: "text", text: "ab" }],
    ],
    ["reasoning beside the text", { content: "a", reasoning_content: "hm" }, [{ type: "text", text: "a" }]],
  ])("with %s", (_what, message, expected) => {
    expect(toAnthropic(message)).toEqual(expected);
  });
});

describe("embeddings", () => {
  const openaiAnswer = {
    object: "list",
    data: [
      { object: "embedding", index: 1, embedding: [0.5, -2] },
      { object: "embedding", index: 0, embedding: [1, 0.25] },
    ],
    model: "text-embedding-3-small",
    usage: { prompt_tokens: 5, total_tokens: 5 },
  };

  test("of a list go from openai.embeddings to gemini.embed and back", () => {
    expect(carried("openai.embeddings", "gemini.embed", { model: "m", input: ["a", "b"], dimensions: 2 })).toEqual({
      requests: [
        { content: { parts: [{ text: "a" }] }, outputDimensionality: 2 },
        { content: { parts: [{ text: "b" }] }, outputDimensionality: 2 },
      ],
    });
    const job = JSON.stringify({ model: "m", input: ["a", "b"] });
    const answer = '{"embeddings":[{"values":[0.12345678901234567890,1]},{"values":[2,3]}]}';
    expect(translateAnswer("gemini.embed", "openai.embeddings", answer, job)).toEqual({
      kind: "carried",
      bodyText:
        '{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.12345678901234567890,1]},' +
        '{"object":"embedding","index":1,"embedding":[2,3]}],"model":"m"}',
    });
  });

  test("of one input are answered as one, of a list of one as a list", () => {
    const answer = JSON.stringify({ ...openaiAnswer, data: [{ index: 0, embedding: [1] }] });
    const content = { parts: [{ text: "a" }] };
    const told = (job: object) => translateAnswer("openai.embeddings", "gemini.embed", answer, JSON.stringify(job));
    expect(told({ content })).toEqual({
      kind: "carried",
      bodyText: '{"embedding":{"values":[1]},"usageMetadata":{"promptTokenCount":5}}',
    });
    expect(told({ requests: [{ content }] })).toEqual({
      kind: "carried",
      bodyText: '{"embeddings":[{"values":[1]}],"usageMetadata":{"promptTokenCount":5}}',
    });
  });

  test("are placed by their index", () => {
    const job = JSON.stringify({
      requests: [{ content: { parts: [{ text: "a" }] } }, { content: { parts: [{ text: "b" }] } }],
    });
    const told = translateAnswer("openai.embeddings", "gemini.embed", JSON.stringify(openaiAnswer), job);
    expect(told.kind === "carried" && JSON.parse(told.bodyText).embeddings).toEqual([
      { values: [1, 0.25] },
      { values: [0.5, -2] },
    ]);
  });

  test("are given in base64 when the job asks so, and read from it", () => {
    const job = JSON.stringify({ input: "a", encoding_format: "base64" });
    const told = translateAnswer("gemini.embed", "openai.embeddings", '{"embedding":{"values":[1,-2]}}', job);
    // 1 is 3f800000 and -2 is c0000000, lowest byte first.
    expect(told.kind === "carried" && JSON.parse(told.bodyText).data[0].embedding).toBe("AACAPwAAAMA=");
    const answer = JSON.stringify({ data: [{ index: 0, embedding: "AACAPwAAAMA=" }] });
    const back = translateAnswer("openai.embeddings", "gemini.embed", answer, '{"content":{"parts":[{"text":"a"}]}}');
    expect(back).toEqual({ kind: "carried", bodyText: '{"embedding":{"values":[1,-2]}}' });
  });

  test.each([
    ['{"embeddings":[{"values":[1]}]}', "the answer has 1 embeddings for 2 inputs"],
    ['{"embeddings":[{"values":[1]},{"values":["x"]}]}', "an embedding in the answer is not a list of numbers"],
    ['{"embeddings":[{"values":[1]},{}]}', "an embedding in the answer is not a list of numbers"],
  ])("that do not answer the job are not carried: %s", (answer, reason) => {
    const told = translateAnswer("gemini.embed", "openai.embeddings", answer, '{"input":["a","b"]}');
    expect(reasons(told)).toEqual([reason]);
  });

  test("without any are not carried", () => {
    expect(translateAnswer("gemini.embed", "openai.embeddings", "{}", '{"input":"a"}').kind).toBe("not_carried");
    expect(translateAnswer("openai.embeddings", "gemini.embed", "{}", "{").kind).toBe("not_carried");
  });
});
