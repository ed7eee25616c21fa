/**
 * For each call of Anthropic's API: what is refused, with the documented status, type and the words of its validator
 * (providers.md 4, the guides, and answers that users reported: see src/simulator/anthropic/).
 */
import { request } from "node:http";
import { describe, expect, test } from "@jest/globals";
import { KEYS, WRONG_KEY, simulator, simulatorForAllTests, until, wire } from "../support/sdk-simulator.js";
import type { WireAnswer } from "../support/sdk-simulator.js";

simulatorForAllTests();

const VERSION = "2023-06-01";
const LATER = "2026-10-21";
const HEADERS = { "x-api-key": KEYS.anthropic, "anthropic-version": VERSION, "content-type": "application/json" };
const HI = { role: "user", content: "Hi" };
const COUNT = { model: "claude-haiku-4-5", messages: [HI] };
const MESSAGE = { ...COUNT, max_tokens: 100 };
const BATCHES = "/v1/messages/batches";
const BATCH = { requests: [{ custom_id: "a1", params: MESSAGE }] };

type Operation = { readonly method: string; readonly path: string; readonly body?: unknown };

const OPERATIONS: Readonly<Record<string, Operation>> = {
  messages: { method: "POST", path: "/v1/messages", body: MESSAGE },
  count_tokens: { method: "POST", path: "/v1/messages/count_tokens", body: COUNT },
  "models.list": { method: "GET", path: "/v1/models" },
  "models.get": { method: "GET", path: "/v1/models/claude-haiku-4-5" },
  "batches.create": { method: "POST", path: BATCHES, body: BATCH },
  "batches.list": { method: "GET", path: BATCHES },
};

function send({ method, path, body }: Operation, headers: Record<string, string> = HEADERS): Promise<WireAnswer> {
  return wire(method, path, headers, body);
}

function without(name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(HEADERS).filter(([header]) => header !== name));
}

function expectRefused(answer: WireAnswer, status: number, type: string, message: string | RegExp): void {
  expect({ status: answer.status, body: answer.json }).toEqual({
    status,
    body: {
      type: "error",
      error: { type, message: typeof message === "string" ? message : expect.stringMatching(message) },
      request_id: answer.headers.get("request-id"),
    },
  });
}

describe.each(Object.entries(OPERATIONS))("%s", (_name, operation) => {
  test("works, with either version of the API", async () => {
    for (const version of [VERSION, LATER]) {
      const answer = await send(operation, { ...HEADERS, "anthropic-version": version });
      expect(answer.status).toBe(200);
      expect(answer.headers.get("request-id")).toMatch(/^req_/);
    }
  });

  test("refuses a wrong key, and none", async () => {
    const wrong = await send(operation, { ...HEADERS, "x-api-key": WRONG_KEY });
    expectRefused(wrong, 401, "authentication_error", /x-api-key/);
    expectRefused(await send(operation, without("x-api-key")), 401, "authentication_error", /x-api-key/);
  });

  test("refuses an unknown version, and none", async () => {
    const unknown = await send(operation, { ...HEADERS, "anthropic-version": "2020-01-01" });
    expectRefused(unknown, 400, "invalid_request_error", `anthropic-version: "2020-01-01" is not a valid version`);
    const none = await send(operation, { ...without("anthropic-version") });
    expectRefused(none, 400, "invalid_request_error", "anthropic-version: header is required");
  });

  test("refuses another method", async () => {
    const answer = await wire("PATCH", operation.path, HEADERS, "{}");
    expectRefused(answer, 405, "invalid_request_error", /^PATCH is not allowed here/);
    expect(answer.headers.get("allow")).toContain(operation.method);
  });
});

const POSTS = Object.entries(OPERATIONS).filter(([, operation]) => operation.method === "POST");

describe.each(POSTS)("%s", (_name, operation) => {
  test("refuses a field that it does not know", async () => {
    const answer = await send({ ...operation, body: { ...(operation.body as object), tenant: 1 } });
    expectRefused(answer, 400, "invalid_request_error", "tenant: Extra inputs are not permitted");
  });

  test("refuses what is no JSON, and JSON that is no object", async () => {
    for (const body of ["{", "[]", '{"model":', ""])
      expectRefused(await send({ ...operation, body }), 400, "invalid_request_error", /./);
  });
});

/** A row: what is wrong, the change to the body, and the message. */
type Row = readonly [name: string, change: object, message: string | RegExp];

function talk(...messages: unknown[]): object {
  return { messages };
}

const TOOL = { name: "look", input_schema: { type: "object" } };
const USE = { role: "assistant", content: [{ type: "tool_use", id: "t1", name: "look", input: {} }] };
const RESULT = { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: "x" }] };
const IMAGE = { type: "image", source: { type: "base64", media_type: "image/bmp", data: "x" } };

function cached(ttl: string): object {
  return { type: "text", text: "x", cache_control: { type: "ephemeral", ttl } };
}

function schema(value: unknown): object {
  return { output_config: { format: { type: "json_schema", schema: value } } };
}

/** Rows that hold for messages and for counts. */
const COMMON_ROWS: readonly Row[] = [
  ["no model", { model: undefined }, "model: Field required"],
  ["no messages", { messages: undefined }, "messages: Field required"],
  ["an empty list of messages", { messages: [] }, /^messages: Input should be an array with at least 1 item/],
  ["a message without a role", talk({ content: "Hi" }), "messages.0.role: Field required"],
  ["a message without content", talk({ role: "user" }), "messages.0.content: Field required"],
  ["an unknown field of a message", talk({ ...HI, name: "Ann" }), "messages.0.name: Extra inputs are not permitted"],
  ["an unknown role", talk({ role: "tool", content: "x" }), "messages.0.role: Input should be 'user' or 'assistant'"],
  ["a system message in the older version", talk(HI, { role: "system", content: "x" }), /^messages\.1\.role/],
  ["an empty text", talk({ role: "user", content: "" }), /^messages\.0\.content/],
  ["an unknown block", talk({ role: "user", content: [{ type: "video" }] }), /^messages\.0\.content\.0\.type/],
  [
    "an image of another kind",
    talk({ role: "user", content: [IMAGE] }),
    /^messages\.0\.content\.0\.source\.media_type/,
  ],
  ["an assistant's message first", talk({ role: "assistant", content: "x" }, HI), /first message/],
  ["a tool without a name", { tools: [{ input_schema: { type: "object" } }] }, "tools.0.name: Field required"],
  ["a tool's name of 129 characters", { tools: [{ ...TOOL, name: "n".repeat(129) }] }, /^tools\.0\.name/],
  ["a tool without a schema", { tools: [{ name: "look" }] }, "tools.0.input_schema: Field required"],
  [
    "a tool of another type",
    { tools: [{ name: "look", input_schema: { type: "string" } }] },
    /^tools\.0\.input_schema\.type/,
  ],
  ["a tool twice", { tools: [TOOL, TOOL] }, "tools: Tool names must be unique."],
  ["a tool choice without tools", { tool_choice: { type: "auto" } }, /^tool_choice/],
  [
    "the choice of a tool that is not there",
    { tools: [TOOL], tool_choice: { type: "tool", name: "hear" } },
    "tool_choice: Tool 'hear' not found in provided tools",
  ],
  [
    "a tool call without a result",
    talk(HI, USE, HI),
    /^messages\.1: `tool_use` ids were found without `tool_result` blocks immediately after: t1\./,
  ],
  ["a tool call at the end", talk(HI, USE), /^messages\.1: `tool_use` ids were found without/],
  ["a result without a call", talk(HI, RESULT), /^messages\.1\.content\.0: unexpected `tool_use_id` found/],
  [
    "5 cache breakpoints",
    { system: Array.from({ length: 5 }, () => cached("5m")) },
    /^A maximum of 4 blocks.* Found 5\.$/,
  ],
  [
    "an hour's cache behind one of 5 minutes",
    { system: [cached("5m"), cached("1h")] },
    /^a ttl='1h' cache_control block must not/,
  ],
  ["a cache of a day", { system: [cached("1d")] }, /^system\.0\.cache_control\.ttl/],
  ["1,023 tokens of thinking", { thinking: { type: "enabled", budget_tokens: 1023 } }, /^thinking\.budget_tokens/],
  ["thinking without a budget", { thinking: { type: "enabled" } }, "thinking.budget_tokens: Field required"],
  ["an unknown effort", { output_config: { effort: "huge" } }, /^output_config\.effort/],
  [
    "a schema that leaves objects open",
    schema({ type: "object" }),
    /'additionalProperties' must be explicitly set to false$/,
  ],
  [
    "a format that is no schema",
    { output_config: { format: { type: "json_object" } } },
    /^output_config\.format\.type/,
  ],
];

const MESSAGE_ROWS: readonly Row[] = [
  ["no max_tokens", { max_tokens: undefined }, "max_tokens: Field required"],
  ["no token", { max_tokens: 0 }, /^max_tokens: Input should be an integer of at least 1/],
  ["half a token", { max_tokens: 1.5 }, /^max_tokens: Input should be an integer/],
  ["a token more than the model gives", { max_tokens: 64_001 }, /^max_tokens: 64001 > 64000/],
  ["a temperature above 1", { temperature: 1.01 }, /^temperature/],
  ["a top_p above 1", { top_p: 1.01 }, /^top_p/],
  ["a top_k below 0", { top_k: -1 }, /^top_k/],
  ["an empty stop sequence", { stop_sequences: [""] }, /^stop_sequences\.0/],
  ["a user id of 257 characters", { metadata: { user_id: "u".repeat(257) } }, /^metadata\.user_id/],
  ["an unknown service tier", { service_tier: "fast" }, /^service_tier/],
  ["a stream", { stream: true }, "stream: streaming is not simulated"],
  ["a container", { container: "c" }, "container: not simulated"],
  [
    "a budget of thinking that is the whole output",
    { max_tokens: 1024, thinking: { type: "enabled", budget_tokens: 1024 } },
    "`max_tokens` must be greater than `thinking.budget_tokens`.",
  ],
  [
    "sampling while thinking",
    { max_tokens: 2000, thinking: { type: "enabled", budget_tokens: 1024 }, temperature: 0.5 },
    "`temperature` may only be set to 1 when thinking is enabled.",
  ],
  [
    "forced tools while thinking",
    {
      max_tokens: 2000,
      thinking: { type: "enabled", budget_tokens: 1024 },
      tools: [TOOL],
      tool_choice: { type: "any" },
    },
    "Thinking may not be enabled when tool_choice forces tool use.",
  ],
  ["adaptive thinking of an early model", { thinking: { type: "adaptive" } }, /adaptive thinking is not supported/],
];

const COUNT_ROWS: readonly Row[] = [
  ["max_tokens", { max_tokens: 5 }, "max_tokens: Extra inputs are not permitted"],
  ["sampling", { temperature: 1 }, "temperature: Extra inputs are not permitted"],
];

describe.each<[string, string, object, readonly Row[]]>([
  ["messages", "/v1/messages", MESSAGE, [...COMMON_ROWS, ...MESSAGE_ROWS]],
  ["count_tokens", "/v1/messages/count_tokens", COUNT, [...COMMON_ROWS, ...COUNT_ROWS]],
])("%s refuses", (_name, path, body, rows) => {
  test.each(rows)("%s", async (_row, change, message) => {
    const answer = await wire("POST", path, HEADERS, { ...body, ...change });
    expectRefused(answer, 400, "invalid_request_error", message);
  });

  test.each(["claude-9", "claude-3-opus-20240229", "gpt-4.1"])("the model %s", async (model) => {
    const answer = await wire("POST", path, HEADERS, { ...body, model });
    expectRefused(answer, 404, "not_found_error", `model: ${model}`);
  });

  test("a prompt of a token more than the model reads", async () => {
    // 3 a message and 3 a request: 4 bytes each of the other 199,994 tokens.
    const fits = "x".repeat(4 * 199_994);
    expect((await wire("POST", path, HEADERS, { ...body, ...talk({ role: "user", content: fits }) })).status).toBe(200);
    const long = await wire("POST", path, HEADERS, { ...body, ...talk({ role: "user", content: `${fits}x` }) });
    expectRefused(long, 400, "invalid_request_error", "prompt is too long: 200001 tokens > 200000 maximum");
  });

  test("what the later version takes no more, and takes what it allows", async () => {
    const later = (change: object): Promise<WireAnswer> =>
      wire("POST", path, { ...HEADERS, "anthropic-version": LATER }, { ...body, ...change });
    const document = { type: "document", source: { type: "text", media_type: "text/plain", data: "x" } };
    const shown = talk(HI, { role: "assistant", content: [document] }, HI);
    const cited = talk({ role: "user", content: [{ type: "text", text: "x", citations: [] }] });
    expectRefused(await later(shown), 400, "invalid_request_error", /^messages\.1\.content\.0\.type/);
    expectRefused(
      await later(cited),
      400,
      "invalid_request_error",
      /^messages\.0\.content\.0\.citations: Extra inputs/,
    );
    expect((await wire("POST", path, HEADERS, { ...body, ...shown })).status).toBe(200);
    expect((await wire("POST", path, HEADERS, { ...body, ...cited })).status).toBe(200);
    expect((await later(talk(HI, { role: "system", content: "Be short." }, HI))).status).toBe(200);
  });
});

describe("sampling is refused", () => {
  test.each(["temperature", "top_p", "top_k"])("as %s by the later version", async (field) => {
    const headers = { ...HEADERS, "anthropic-version": LATER };
    const answer = await wire("POST", "/v1/messages", headers, { ...MESSAGE, [field]: 1 });
    expectRefused(answer, 400, "invalid_request_error", `${field}: not permitted with anthropic-version ${LATER}`);
  });

  test.each([
    [{ temperature: 0.99 }, 400],
    [{ temperature: 1 }, 200],
    [{ top_p: 0.98 }, 400],
    [{ top_p: 0.99 }, 200],
    [{ top_k: 1 }, 400],
  ])("as %j by late models: %i", async (change, status) => {
    const answer = await wire("POST", "/v1/messages", HEADERS, { ...MESSAGE, model: "claude-opus-5", ...change });
    expect(answer.status).toBe(status);
  });

  test("as are manual thinking and prefill", async () => {
    const late = { ...MESSAGE, model: "claude-opus-5", max_tokens: 2000 };
    const thinking = await wire("POST", "/v1/messages", HEADERS, {
      ...late,
      thinking: { type: "enabled", budget_tokens: 1024 },
    });
    expectRefused(
      thinking,
      400,
      "invalid_request_error",
      /^"thinking\.type\.enabled" is not supported for this model\./,
    );
    const prefill = await wire("POST", "/v1/messages", HEADERS, {
      ...late,
      ...talk(HI, { role: "assistant", content: "x" }),
    });
    expectRefused(prefill, 400, "invalid_request_error", /^This model does not support assistant message prefill\./);
  });
});

describe("effort is taken", () => {
  test.each([
    ["claude-haiku-4-5", "low", 400],
    ["claude-sonnet-4-5", "low", 400],
    ["claude-opus-4-5", "high", 200],
    ["claude-opus-4-5", "max", 400],
    ["claude-sonnet-4-6", "max", 200],
    ["claude-sonnet-4-6", "xhigh", 400],
    ["claude-opus-5", "xhigh", 200],
  ])("by %s, %s: %i", async (model, effort, status) => {
    const answer = await wire("POST", "/v1/messages", HEADERS, { ...MESSAGE, model, output_config: { effort } });
    expect(answer.status).toBe(status);
  });
});

describe("batches.create refuses", () => {
  const one = (change: object): object => ({ requests: [{ custom_id: "a1", params: MESSAGE, ...change }] });

  test.each<[string, object, string | RegExp]>([
    ["no requests", {}, "requests: Field required"],
    ["an empty list", { requests: [] }, "requests: List should have at least 1 item after validation, not 0"],
    ["requests that are no list", { requests: {} }, "requests: Input should be a valid list"],
    ["a request that is no object", { requests: ["x"] }, "requests.0: Input should be a valid dictionary"],
    ["no custom_id", one({ custom_id: undefined }), "requests.0.custom_id: Field required"],
    ["a custom_id that is a number", one({ custom_id: 7 }), "requests.0.custom_id: Input should be a valid string"],
    ["an empty custom_id", one({ custom_id: "" }), "requests.0.custom_id: String should have at least 1 character"],
    [
      "a custom_id of 65 characters",
      one({ custom_id: "a".repeat(65) }),
      "requests.0.custom_id: String should have at most 64 characters",
    ],
    [
      "a custom_id with a dot",
      one({ custom_id: "a.1" }),
      "requests.0.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'",
    ],
    [
      "a custom_id twice",
      { requests: [BATCH.requests[0], BATCH.requests[0]] },
      /^requests\.1\.custom_id: custom_id must be unique/,
    ],
    ["no params", one({ params: undefined }), "requests.0.params: Field required"],
    ["params that are text", one({ params: "x" }), "requests.0.params: Input should be a valid dictionary"],
    ["an unknown field of a request", one({ method: "POST" }), "requests.0.method: Extra inputs are not permitted"],
    ["metadata", { ...BATCH, metadata: {} }, "metadata: Extra inputs are not permitted"],
  ])("%s", async (_name, body, message) => {
    expectRefused(await wire("POST", BATCHES, HEADERS, body), 400, "invalid_request_error", message);
  });

  test("a request more than 100,000, and takes exactly as many", async () => {
    const requests = (count: number): string => {
      const all = Array.from({ length: count }, (_, n) => `{"custom_id":"r${String(n)}","params":{}}`);
      return `{"requests":[${all.join(",")}]}`;
    };
    const full = await wire("POST", BATCHES, HEADERS, requests(100_000));
    expect(full.json.request_counts.processing).toBe(100_000);
    const message = "requests: List should have at most 100000 items after validation, not 100001";
    expectRefused(await wire("POST", BATCHES, HEADERS, requests(100_001)), 400, "invalid_request_error", message);
    await wire("POST", `${BATCHES}/${full.json.id}/cancel`, HEADERS);
  }, 20_000);

  test("a byte more than 256 MB, before it has come in", async () => {
    const { hostname, port } = new URL(simulator.url);
    const length = String(256 * 1024 * 1024 + 1);
    const status = await new Promise((resolve, reject) => {
      const call = request({
        hostname,
        port,
        path: BATCHES,
        method: "POST",
        headers: { ...HEADERS, "content-length": length },
      });
      call.once("response", (response) => {
        resolve(response.statusCode);
        call.destroy();
      });
      call.once("error", reject);
      call.flushHeaders();
    });
    expect(status).toBe(413);
  });

  test("nothing that only the params have wrong: that is an errored row", async () => {
    const created = await wire("POST", BATCHES, HEADERS, one({ params: { ...MESSAGE, max_tokens: 0, foo: 1 } }));
    expect(created.status).toBe(200);
    const path = `${BATCHES}/${created.json.id}`;
    await until(
      () => wire("GET", path, HEADERS),
      ({ json }) => json.processing_status === "ended",
    );
    const results = await wire("GET", `${path}/results`, HEADERS);
    expect(results.headers.get("content-type")).toBe("application/x-jsonl");
    expect(JSON.parse(results.text)).toEqual({
      custom_id: "a1",
      result: {
        type: "errored",
        error: {
          type: "error",
          error: { type: "invalid_request_error", message: expect.any(String) },
          request_id: expect.stringMatching(/^req_/),
        },
      },
    });
  });
});

describe("lists refuse", () => {
  test.each([BATCHES, "/v1/models"])(
    "a limit of 0, of 1,001 and of a word, and both directions at once: %s",
    async (path) => {
      for (const limit of ["0", "1001", "ten"]) {
        const answer = await wire("GET", `${path}?limit=${limit}`, HEADERS);
        expectRefused(answer, 400, "invalid_request_error", /^limit/);
      }
      expect((await wire("GET", `${path}?limit=1000`, HEADERS)).status).toBe(200);
      const both = await wire("GET", `${path}?after_id=a&before_id=b`, HEADERS);
      expectRefused(both, 400, "invalid_request_error", /^before_id/);
      expectRefused(await wire("GET", `${path}?after_id=none`, HEADERS), 404, "not_found_error", /none/);
    },
  );
});

test.each([
  ["GET", `${BATCHES}/msgbatch_none`],
  ["DELETE", `${BATCHES}/msgbatch_none`],
  ["POST", `${BATCHES}/msgbatch_none/cancel`],
  ["GET", `${BATCHES}/msgbatch_none/results`],
  ["GET", "/v1/models/claude-9"],
  ["GET", "/v1/complete"],
])("%s %s finds nothing", async (method, path) => {
  expectRefused(await wire(method, path, HEADERS), 404, "not_found_error", /./);
});
