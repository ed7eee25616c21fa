/**
 * For each call of the Gemini API: what is refused, with the status and the words of the API's own answers
 * (providers.md 5, the API reference, and answers that users reported: see src/simulator/gemini/).
 */
import { beforeAll, describe, expect, test } from "@jest/globals";
import { KEYS, WRONG_KEY, advance, simulatorForAllTests, wire } from "../support/sdk-simulator.js";
import type { WireAnswer } from "../support/sdk-simulator.js";

simulatorForAllTests();

const HEADERS = { "x-goog-api-key": KEYS.gemini, "content-type": "application/json" };
const MODEL = "/v1beta/models/gemini-2.5-flash";
const EMBEDDING = "/v1beta/models/gemini-embedding-001";
const HI = { role: "user", parts: [{ text: "Hi" }] };
const CONTENTS = { contents: [HI] };
const EMBED = { content: { parts: [{ text: "Hi" }] } };
const REQUESTS = { requests: [{ model: "models/gemini-embedding-001", ...EMBED }] };
const BATCH = { batch: { displayName: "d", inputConfig: { requests: { requests: [{ request: CONTENTS }] } } } };
const EMBED_BATCH = { batch: { displayName: "d", inputConfig: { requests: { requests: [{ request: EMBED }] } } } };

type Operation = { readonly method: string; readonly path: string; readonly body?: unknown };

const OPERATIONS: Readonly<Record<string, Operation>> = {
  generateContent: { method: "POST", path: `${MODEL}:generateContent`, body: CONTENTS },
  countTokens: { method: "POST", path: `${MODEL}:countTokens`, body: CONTENTS },
  embedContent: { method: "POST", path: `${EMBEDDING}:embedContent`, body: EMBED },
  batchEmbedContents: { method: "POST", path: `${EMBEDDING}:batchEmbedContents`, body: REQUESTS },
  batchGenerateContent: { method: "POST", path: `${MODEL}:batchGenerateContent`, body: BATCH },
  asyncBatchEmbedContent: { method: "POST", path: `${EMBEDDING}:asyncBatchEmbedContent`, body: EMBED_BATCH },
  "models.list": { method: "GET", path: "/v1beta/models" },
  "models.get": { method: "GET", path: MODEL },
  "files.list": { method: "GET", path: "/v1beta/files" },
  "files.get": { method: "GET", path: "/v1beta/files/known" },
  "batches.list": { method: "GET", path: "/v1beta/batches" },
};

function send({ method, path, body }: Operation, headers: Record<string, string> = HEADERS): Promise<WireAnswer> {
  return wire(method, path, headers, body);
}

function expectRefused(answer: WireAnswer, code: number, status: string, message: string | RegExp): void {
  expect({ status: answer.status, error: answer.json.error }).toEqual({
    status: code,
    error: expect.objectContaining({
      code,
      status,
      message: typeof message === "string" ? message : expect.stringMatching(message),
    }),
  });
}

beforeAll(async () => {
  const start = { "x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start" };
  const headers = { ...HEADERS, ...start, "x-goog-upload-header-content-type": "text/plain" };
  const started = await wire("POST", "/upload/v1beta/files", headers, { file: { name: "files/known" } });
  const url = new URL(started.headers.get("x-goog-upload-url")!);
  const end = { "x-goog-upload-command": "upload, finalize", "x-goog-upload-offset": "0" };
  await wire("POST", url.pathname + url.search, end, "x");
  await advance(2000);
});

describe.each(Object.entries(OPERATIONS))("%s", (_name, operation) => {
  test("works", async () => {
    expect((await send(operation)).status).toBe(200);
  });

  test("refuses a wrong key, and none", async () => {
    const wrong = await send(operation, { ...HEADERS, "x-goog-api-key": WRONG_KEY });
    expectRefused(wrong, 400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.");
    expect(wrong.json.error.details[0]).toEqual({
      "@type": "type.googleapis.com/google.rpc.ErrorInfo",
      reason: "API_KEY_INVALID",
      domain: "googleapis.com",
      metadata: { service: "generativelanguage.googleapis.com" },
    });
    const none = await send(operation, { "content-type": "application/json" });
    expectRefused(none, 403, "PERMISSION_DENIED", /^Method doesn't allow unregistered callers/);
  });

  test("is not there under another method", async () => {
    const other = await wire("PUT", operation.path, HEADERS, "{}");
    expectRefused(other, 404, "NOT_FOUND", "Method not found.");
  });

  test("refuses a field that it does not know", async () => {
    const { method, path, body } = operation;
    const isPost = method === "POST";
    const answer = await send(
      isPost ? { ...operation, body: { ...(body as object), tenant: 1 } } : { method, path: `${path}?tenant=1` },
    );
    const cannot = isPost ? "Cannot find field." : "Cannot bind query parameter.";
    const message = `Invalid JSON payload received. Unknown name "tenant": ${cannot}`;
    expectRefused(answer, 400, "INVALID_ARGUMENT", new RegExp(`^${message}`));
    const [detail] = answer.json.error.details;
    expect(detail["@type"]).toBe("type.googleapis.com/google.rpc.BadRequest");
    expect(detail.fieldViolations).toEqual([{ description: answer.json.error.message }]);
  });
});

const POSTS = Object.entries(OPERATIONS).filter(([, operation]) => operation.method === "POST");

test.each(POSTS)("%s refuses another content type, no JSON, and JSON that is no object", async (_name, operation) => {
  for (const answer of [
    await send(operation, { ...HEADERS, "content-type": "text/plain" }),
    await send({ ...operation, body: "{" }),
    await send({ ...operation, body: "[]" }),
  ])
    expectRefused(answer, 400, "INVALID_ARGUMENT", /./);
});

/** A row: what is wrong, the change to the body, and the beginning of the message. */
type Row = readonly [name: string, body: unknown, message: string];

function withConfig(generationConfig: unknown): unknown {
  return { ...CONTENTS, generationConfig };
}

function withTools(functionDeclarations: unknown, more: object = {}): unknown {
  return { ...CONTENTS, tools: [{ functionDeclarations }], ...more };
}

const CALL = { role: "model", parts: [{ functionCall: { name: "f", args: {} } }] };
const RESPONSE = { role: "user", parts: [{ functionResponse: { name: "f", response: {} } }] };
const VALUE = "type.googleapis.com/google.ai.generativelanguage.v1beta";

const GENERATE_ROWS: readonly Row[] = [
  ["no contents", {}, "* GenerateContentRequest.contents: contents is not specified"],
  ["empty contents", { contents: [] }, "* GenerateContentRequest.contents: contents is not specified"],
  [
    "a content without parts",
    { contents: [{ role: "user" }] },
    "* GenerateContentRequest.contents[0].parts: contents.parts must not be empty.",
  ],
  [
    "a part without data",
    { contents: [{ parts: [{}] }] },
    "* GenerateContentRequest.contents[0].parts[0].data: required oneof field 'data' must have one initialized field",
  ],
  [
    "an empty system instruction",
    { ...CONTENTS, systemInstruction: { parts: [{}] } },
    "* GenerateContentRequest.system_instruction.parts[0].data: required oneof field 'data'",
  ],
  [
    "a part with two data",
    { contents: [{ parts: [{ text: "a", inlineData: { mimeType: "image/png", data: "" } }] }] },
    "Invalid value at 'contents[0].parts[0]' (oneof), oneof field 'data' is already set. Cannot set 'inlineData'",
  ],
  ["a role of another API", { contents: [{ ...HI, role: "assistant" }] }, "Please use a valid role: user, model."],
  [
    "an unknown field deep inside",
    { contents: [{ parts: [{ functionResponse: { name: "f", callId: "x" } }] }] },
    `Invalid JSON payload received. Unknown name "callId" at 'contents[0].parts[0].function_response': Cannot find field.`,
  ],
  [
    "text that is a number",
    { contents: [{ parts: [{ text: 7 }] }] },
    "Invalid value at 'contents[0].parts[0].text' (TYPE_STRING), 7",
  ],
  ["contents that are text", { contents: "Hi" }, `Invalid value at 'contents[0]' (${VALUE}.Content), "Hi"`],
  ["a config that is a list", withConfig([]), `Invalid JSON payload received. Unknown name "generation_config": Proto`],
  [
    "a temperature that is a word",
    withConfig({ temperature: "hot" }),
    `Invalid value at 'generation_config.temperature'`,
  ],
  [
    "a temperature above 2",
    withConfig({ temperature: 2.01 }),
    "* GenerateContentRequest.generation_config.temperature",
  ],
  ["a topP above 1", withConfig({ topP: 1.01 }), "* GenerateContentRequest.generation_config.top_p"],
  ["a topK of 0", withConfig({ topK: 0 }), "* GenerateContentRequest.generation_config.top_k"],
  ["9 candidates", withConfig({ candidateCount: 9 }), "* GenerateContentRequest.generation_config.candidate_count"],
  ["no output", withConfig({ maxOutputTokens: 0 }), "* GenerateContentRequest.generation_config.max_output_tokens"],
  [
    "a token more than the model gives",
    withConfig({ maxOutputTokens: 65_537 }),
    "Unable to submit request because it has a maxOutputTokens value of 65537 but the supported range is from 1 (inclusive) to 65537 (exclusive).",
  ],
  [
    "half a token",
    withConfig({ maxOutputTokens: 1.5 }),
    "Invalid value at 'generation_config.max_output_tokens' (TYPE_INT32), 1.5",
  ],
  [
    "6 stop sequences",
    withConfig({ stopSequences: [..."abcdef"] }),
    "* GenerateContentRequest.generation_config.stop_sequences",
  ],
  [
    "an unknown type of answer",
    withConfig({ responseMimeType: "text/csv" }),
    "* GenerateContentRequest.generation_config.response_mime_type",
  ],
  [
    "a schema without the JSON type",
    withConfig({ responseSchema: { type: "STRING" } }),
    "* GenerateContentRequest.generation_config.response_mime_type",
  ],
  [
    "both schemas",
    withConfig({ responseMimeType: "application/json", responseSchema: { type: "STRING" }, responseJsonSchema: {} }),
    "Only one of response_schema and response_json_schema",
  ],
  [
    "a JSON-schema word in a proto schema",
    withConfig({ responseMimeType: "application/json", responseSchema: { type: "STRING", const: "x" } }),
    `Invalid JSON payload received. Unknown name "const" at 'generation_config.response_schema': Cannot find field.`,
  ],
  [
    "a list of types in a proto schema",
    withConfig({ responseMimeType: "application/json", responseSchema: { properties: { a: { type: ["STRING"] } } } }),
    `Invalid value at 'generation_config.response_schema.properties[0].value.type'`,
  ],
  [
    "an object schema without properties",
    withConfig({ responseMimeType: "application/json", responseSchema: { type: "OBJECT" } }),
    "* GenerateContentRequest.generation_config.response_schema.properties: should be non-empty for OBJECT type",
  ],
  [
    "budget and level of thinking at once",
    withConfig({ thinkingConfig: { thinkingBudget: 1, thinkingLevel: "LOW" } }),
    "You can only set only one of thinking budget and thinking level.",
  ],
  [
    "a level of thinking for 2.5",
    withConfig({ thinkingConfig: { thinkingLevel: "LOW" } }),
    "Thinking level is not supported",
  ],
  [
    "a token of thinking too many",
    withConfig({ thinkingConfig: { thinkingBudget: 24_577 } }),
    "The thinking budget 24577 is invalid. Please choose a value between 1 and 24576.",
  ],
  [
    "a function without a name",
    withTools([{}]),
    "* GenerateContentRequest.tools[0].function_declarations[0].name: [FIELD_INVALID] Invalid function name.",
  ],
  [
    "a function's name of 65 characters",
    withTools([{ name: "f".repeat(65) }]),
    "* GenerateContentRequest.tools[0].function_declarations[0].name: [FIELD_INVALID]",
  ],
  ["a function twice", withTools([{ name: "f" }, { name: "f" }]), "Duplicate function declaration found: f"],
  [
    "calling config without functions",
    { ...CONTENTS, toolConfig: { functionCallingConfig: { mode: "ANY" } } },
    "Function calling config is set without function_declarations.",
  ],
  [
    "allowed functions in mode AUTO",
    withTools([{ name: "f" }], { toolConfig: { functionCallingConfig: { allowedFunctionNames: ["f"] } } }),
    "allowed_function_names should only be set",
  ],
  [
    "a response without a call",
    { contents: [HI, RESPONSE] },
    "Please ensure that function response turn comes immediately after",
  ],
  [
    "fewer responses than calls",
    { contents: [HI, { ...CALL, parts: [CALL.parts[0], CALL.parts[0]] }, RESPONSE] },
    "Please ensure that the number of function response parts is equal to the number of function call parts",
  ],
  ["a call at the end", { contents: [HI, CALL] }, "Please ensure that function call turn is followed"],
  [
    "data that is no Base64",
    { contents: [{ parts: [{ inlineData: { mimeType: "image/png", data: "§" } }] }] },
    "Invalid value at 'contents[0].parts[0].inline_data.data' (TYPE_BYTES), Base64 decoding failed",
  ],
  [
    "a type of data that it can't read",
    { contents: [{ parts: [{ inlineData: { mimeType: "application/zip", data: "" } }] }] },
    "Unsupported MIME type: application/zip",
  ],
  [
    "an unknown harm",
    { ...CONTENTS, safetySettings: [{ category: "HARM_CATEGORY_NOISE", threshold: "OFF" }] },
    `Invalid value at 'safety_settings[0].category' (${VALUE}.HarmCategory), "HARM_CATEGORY_NOISE"`,
  ],
  ["another model in the body", { ...CONTENTS, model: "models/gemini-2.5-pro" }, "* GenerateContentRequest.model"],
  [
    "a tool that is not simulated",
    { ...CONTENTS, tools: [{ googleSearch: {} }] },
    "The tool googleSearch is not simulated.",
  ],
  ["speech", withConfig({ speechConfig: {} }), "generationConfig.speechConfig is not simulated."],
];

describe("generateContent refuses", () => {
  test.each(GENERATE_ROWS)("%s", async (_name, body, message) => {
    const answer = await wire("POST", `${MODEL}:generateContent`, HEADERS, body);
    const { error } = answer.json;
    expect([answer.status, error?.status, error?.message.slice(0, message.length)]).toEqual([
      400,
      "INVALID_ARGUMENT",
      message,
    ]);
  });

  test("several wrong fields all at once", async () => {
    const { json } = await wire("POST", `${MODEL}:generateContent`, HEADERS, { a: 1, contents: [{ b: 2 }] });
    expect(json.error.message).toBe(
      `Invalid JSON payload received. Unknown name "a": Cannot find field.\n` +
        `Invalid JSON payload received. Unknown name "b" at 'contents[0]': Cannot find field.`,
    );
    expect(json.error.details[0].fieldViolations).toHaveLength(2);
  });

  test("a model that is not there, retired or for embeddings", async () => {
    for (const model of ["gemini-9", "gemini-1.5-pro", "gemini-embedding-001"]) {
      const answer = await wire("POST", `/v1beta/models/${model}:generateContent`, HEADERS, CONTENTS);
      expectRefused(
        answer,
        404,
        "NOT_FOUND",
        `models/${model} is not found for API version v1beta, or is not supported for generateContent. ` +
          "Call ListModels to see the list of available models and their supported methods.",
      );
    }
  });

  test("sampling for a model that takes none, and thinking less than one must", async () => {
    const generate = (model: string, generationConfig: unknown): Promise<WireAnswer> =>
      wire("POST", `/v1beta/models/${model}:generateContent`, HEADERS, { ...CONTENTS, generationConfig });
    for (const config of [{ temperature: 1 }, { topP: 1 }, { topK: 1 }])
      expectRefused(await generate("gemini-3.8-flash", config), 400, "INVALID_ARGUMENT", /not supported/);
    const none = await generate("gemini-2.5-pro", { thinkingConfig: { thinkingBudget: 0 } });
    expectRefused(none, 400, "INVALID_ARGUMENT", "Budget 0 is invalid. This model only works in thinking mode.");
    const few = await generate("gemini-2.5-pro", { thinkingConfig: { thinkingBudget: 127 } });
    expectRefused(few, 400, "INVALID_ARGUMENT", /^The thinking budget 127 is invalid\./);
    const level = await generate("gemini-3.1-pro-preview", { thinkingConfig: { thinkingLevel: "MINIMAL" } });
    expectRefused(level, 400, "INVALID_ARGUMENT", /^Thinking level MINIMAL is not supported for this model\./);
    expect((await generate("gemini-3.1-flash-lite", { thinkingConfig: { thinkingLevel: "MINIMAL" } })).status).toBe(
      200,
    );
  });

  test("a body that is nested too deeply", async () => {
    const nested = (depth: number): string =>
      `{"type":"ARRAY","items":`.repeat(depth) + `{"type":"STRING"}` + "}".repeat(depth);
    const body = (depth: number): string =>
      `{"contents":[{"parts":[{"text":"Hi"}]}],"generationConfig":{"responseMimeType":"application/json","responseSchema":${nested(depth)}}}`;
    const deep = await wire("POST", `${MODEL}:generateContent`, HEADERS, body(120));
    expectRefused(deep, 400, "INVALID_ARGUMENT", /^Message too deep\./);
    expect((await wire("POST", `${MODEL}:generateContent`, HEADERS, body(3))).status).toBe(200);
  });

  test("a cached content that nobody made", async () => {
    const answer = await wire("POST", `${MODEL}:generateContent`, HEADERS, {
      ...CONTENTS,
      cachedContent: "cachedContents/x",
    });
    expectRefused(answer, 403, "PERMISSION_DENIED", "CachedContent not found (or permission denied)");
  });

  test("a prompt of a token more than the model reads", async () => {
    // 3 a message and 3 a request: 4 bytes each of the other 1,048,571 tokens.
    const text = "x".repeat(4 * 1_048_570);
    const fits = await wire("POST", `${MODEL}:generateContent`, HEADERS, { contents: [{ parts: [{ text }] }] });
    expect(fits.status).toBe(200);
    const long = { contents: [{ parts: [{ text: `${text}x` }] }] };
    expectRefused(
      await wire("POST", `${MODEL}:generateContent`, HEADERS, long),
      400,
      "INVALID_ARGUMENT",
      "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
    );
  });

  test("a body of 20 MB", async () => {
    const body = JSON.stringify({ contents: [{ parts: [{ text: "x".repeat(20 * 1024 * 1024) }] }] });
    expectRefused(
      await wire("POST", `${MODEL}:generateContent`, HEADERS, body),
      400,
      "INVALID_ARGUMENT",
      "Request payload size exceeds the limit: 20971520 bytes.",
    );
  });
});

function embedMany(count: number): unknown {
  return { requests: Array.from({ length: count }, () => REQUESTS.requests[0]) };
}

const IN_BATCH = "batch.input_config";

describe.each<[string, string, readonly Row[]]>([
  [
    "countTokens",
    `${MODEL}:countTokens`,
    [
      ["no contents", {}, "* CountTokensRequest.contents: contents is not specified"],
      ["both", { ...CONTENTS, generateContentRequest: CONTENTS }, "Only one of contents and generate_content_request"],
    ],
  ],
  [
    "embedContent",
    `${EMBEDDING}:embedContent`,
    [
      ["no content", {}, "* EmbedContentRequest.content: content is not specified"],
      [
        "a content without parts",
        { content: {} },
        "* EmbedContentRequest.content.parts: content.parts must not be empty.",
      ],
      ["a dimension too many", { ...EMBED, outputDimensionality: 3073 }, "* EmbedContentRequest.output_dimensionality"],
      ["no dimension", { ...EMBED, outputDimensionality: 0 }, "* EmbedContentRequest.output_dimensionality"],
      ["a title for a query", { ...EMBED, title: "T", taskType: "RETRIEVAL_QUERY" }, "* EmbedContentRequest.title"],
      [
        "an unknown task",
        { ...EMBED, taskType: "COOKING" },
        `Invalid value at 'task_type' (${VALUE}.TaskType), "COOKING"`,
      ],
      ["another model", { ...EMBED, model: "models/other" }, "* EmbedContentRequest.model"],
      [
        "a token more than the model reads",
        { content: { parts: [{ text: "x".repeat(4 * 2042 + 1) }] } },
        "The input token count (2049) exceeds the maximum number of tokens allowed (2048).",
      ],
    ],
  ],
  [
    "batchEmbedContents",
    `${EMBEDDING}:batchEmbedContents`,
    [
      ["no requests", {}, "* BatchEmbedContentsRequest.requests: requests is not specified"],
      [
        "101 requests",
        embedMany(101),
        "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch",
      ],
      [
        "a request without a model",
        { requests: [EMBED] },
        "* BatchEmbedContentsRequest.requests[0].model: model is not specified",
      ],
      [
        "a request without a content",
        { requests: [{ model: "models/gemini-embedding-001" }] },
        "* BatchEmbedContentsRequest.requests[0].content: content is not specified",
      ],
    ],
  ],
  [
    "batchGenerateContent",
    `${MODEL}:batchGenerateContent`,
    [
      ["no batch", {}, "* BatchGenerateContentRequest.batch: batch is not specified"],
      ["no input", { batch: {} }, `* BatchGenerateContentRequest.${IN_BATCH}: input_config is not specified`],
      [
        "no requests",
        { batch: { inputConfig: { requests: { requests: [] } } } },
        `* BatchGenerateContentRequest.${IN_BATCH}: input_config is not specified`,
      ],
      [
        "both inputs",
        { batch: { inputConfig: { fileName: "files/known", requests: {} } } },
        `Invalid value at '${IN_BATCH}' (oneof), oneof field 'source' is already set. Cannot set 'requests'`,
      ],
      [
        "an entry without a request",
        { batch: { inputConfig: { requests: { requests: [{}] } } } },
        `* BatchGenerateContentRequest.${IN_BATCH}.requests.requests[0].request: request is not specified`,
      ],
      [
        "an unknown field in a request",
        { batch: { inputConfig: { requests: { requests: [{ request: { messages: [] } }] } } } },
        `Invalid JSON payload received. Unknown name "messages" at '${IN_BATCH}.requests.requests[0].request': Cannot find field.`,
      ],
      [
        "another model",
        { batch: { ...BATCH.batch, model: "models/gemini-2.5-pro" } },
        "* BatchGenerateContentRequest.batch.model",
      ],
    ],
  ],
])("%s refuses", (_name, path, rows) => {
  test.each(rows)("%s", async (_row, body, message) => {
    const answer = await wire("POST", path, HEADERS, body);
    const { error } = answer.json;
    expect([answer.status, error?.status, error?.message.slice(0, message.length)]).toEqual([
      400,
      "INVALID_ARGUMENT",
      message,
    ]);
  });
});

test("100 embeddings at once are not too many", async () => {
  expect((await wire("POST", `${EMBEDDING}:batchEmbedContents`, HEADERS, embedMany(100))).json.embeddings).toHaveLength(
    100,
  );
});

test("a batch of 20 MB is refused", async () => {
  const request = { contents: [{ parts: [{ text: "x".repeat(20 * 1024 * 1024) }] }] };
  const body = { batch: { inputConfig: { requests: { requests: [{ request }] } } } };
  const answer = await wire("POST", `${MODEL}:batchGenerateContent`, HEADERS, body);
  expectRefused(answer, 400, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520 bytes.");
});

test("a batch is refused while a hundred others have not ended", async () => {
  const create = (): Promise<WireAnswer> => wire("POST", `${MODEL}:batchGenerateContent`, HEADERS, BATCH);
  const { operations } = (await wire("GET", "/v1beta/batches?pageSize=1000", HEADERS)).json;
  const open = operations.filter((one: { done?: boolean }) => one.done !== true).length;
  for (let made = open; made < 100; made += 1) expect((await create()).status).toBe(200);
  const answer = await create();
  expectRefused(answer, 429, "RESOURCE_EXHAUSTED", /quota/);
  expect(answer.json.error.details[0].violations[0].quotaId).toContain("ConcurrentBatches");
});

test.each([
  ["files", 101, "ListFilesRequest"],
  ["batches", 1001, "ListOperationsRequest"],
  ["models", 1001, "ListModelsRequest"],
])(
  "a page of %s of a size too large, below zero or no number, and a wrong token, are refused",
  async (list, size, message) => {
    for (const value of [String(size), "-1", "ten"]) {
      const answer = await wire("GET", `/v1beta/${list}?pageSize=${value}`, HEADERS);
      expectRefused(answer, 400, "INVALID_ARGUMENT", new RegExp(`^\\* ${message}.page_size`));
    }
    expect((await wire("GET", `/v1beta/${list}?pageSize=${String(size - 1)}`, HEADERS)).status).toBe(200);
    expectRefused(await wire("GET", `/v1beta/${list}?pageToken=x`, HEADERS), 400, "INVALID_ARGUMENT", /page token/);
  },
);

test.each([
  ["GET", "/v1beta/batches/none"],
  ["DELETE", "/v1beta/batches/none"],
  ["POST", "/v1beta/batches/none:cancel"],
])("%s %s finds nothing", async (method, path) => {
  expectRefused(await wire(method, path, HEADERS), 404, "NOT_FOUND", "Requested entity was not found.");
});

test.each([
  ["GET", "/v1beta/files/none"],
  ["DELETE", "/v1beta/files/none"],
  ["GET", "/v1beta/files/none:download?alt=media"],
])("%s %s tells nobody whether there is something", async (method, path) => {
  const message = "You do not have permission to access the File none or it may not exist.";
  expectRefused(await wire(method, path, HEADERS), 403, "PERMISSION_DENIED", message);
});

test("a path that nobody knows is not found", async () => {
  expectRefused(await wire("GET", "/v1beta/tunedModels", HEADERS), 404, "NOT_FOUND", /./);
});
