/** What each of OpenAI's operations refuses: fields left out, limits passed by one, unknown fields, keys, methods. */
import { describe, expect, test } from "@jest/globals";
import { KEYS, billRows, faults, simulatorForAllTests, until, wire } from "../support/sdk-simulator.js";
import type { WireAnswer } from "../support/sdk-simulator.js";

simulatorForAllTests();

const AUTH = { authorization: `Bearer ${KEYS.openai}` };
const JSON_TYPE = { "content-type": "application/json" };
const EMBEDDING = { model: "text-embedding-3-small", input: "Hi" };

type Refused = {
  readonly status: number;
  readonly param?: string | null;
  readonly code?: string | null;
  readonly type?: string;
};

function expectRefused(
  answer: WireAnswer,
  { status, param = null, code = null, type = "invalid_request_error" }: Refused,
): void {
  expect({ status: answer.status, body: answer.json }).toEqual({
    status,
    body: { error: { message: expect.any(String), type, param, code } },
  });
  expect(answer.headers.get("x-request-id")).toMatch(/^req_[0-9a-f]{32}$/);
}

function post(path: string, body: unknown): Promise<WireAnswer> {
  return wire("POST", path, { ...AUTH, ...JSON_TYPE }, body);
}

/** A multipart body of these parts; a part with a file name is a file. */
function form(parts: readonly { name: string; filename?: string; text: string | Buffer }[]): {
  body: Uint8Array;
  headers: Record<string, string>;
} {
  const pieces = parts.flatMap(({ name, filename, text }) => {
    const file = filename === undefined ? "" : `; filename="${filename}"\r\ncontent-type: application/octet-stream`;
    return [`--b\r\ncontent-disposition: form-data; name="${name}"${file}\r\n\r\n`, text, "\r\n"];
  });
  const body = Buffer.concat([...pieces, "--b--\r\n"].map((piece) => Buffer.from(piece as string)));
  return { body, headers: { ...AUTH, "content-type": "multipart/form-data; boundary=b" } };
}

function upload(parts: Parameters<typeof form>[0]): Promise<WireAnswer> {
  const { body, headers } = form(parts);
  return wire("POST", "/v1/files", headers, body);
}

const FILE = { name: "file", filename: "lines.jsonl", text: "{}\n" };
const PURPOSE = { name: "purpose", text: "batch" };

async function uploaded(parts = [FILE, PURPOSE]): Promise<string> {
  const answer = await upload(parts);
  expect(answer.status).toBe(200);
  return answer.json.id as string;
}

describe("every operation refuses", () => {
  const operations: [string, string, string][] = [
    ["POST", "/v1/chat/completions", "GET"],
    ["POST", "/v1/embeddings", "GET"],
    ["POST", "/v1/files", "PUT"],
    ["GET", "/v1/files", "DELETE"],
    ["GET", "/v1/files/file-x", "POST"],
    ["DELETE", "/v1/files/file-x", "PATCH"],
    ["GET", "/v1/files/file-x/content", "POST"],
    ["POST", "/v1/batches", "DELETE"],
    ["GET", "/v1/batches", "PUT"],
    ["GET", "/v1/batches/batch_x", "DELETE"],
    ["POST", "/v1/batches/batch_x/cancel", "GET"],
  ];

  test.each(operations)("a call without a key: %s %s", async (method, path) => {
    expectRefused(await wire(method, path, JSON_TYPE, method === "POST" ? {} : undefined), { status: 401 });
  });

  test.each(operations)("a wrong key: %s %s", async (method, path) => {
    const headers = { ...JSON_TYPE, authorization: "Bearer wrong" };
    const answer = await wire(method, path, headers, method === "POST" ? {} : undefined);
    expectRefused(answer, { status: 401, code: "invalid_api_key" });
  });

  test.each(operations)("another method: %s %s, not %s", async (_method, path, other) => {
    const answer = await wire(other, path, { ...AUTH, ...JSON_TYPE }, other === "GET" ? undefined : {});
    expectRefused(answer, { status: 405 });
    expect(answer.headers.get("allow")).not.toContain(other);
  });

  test.each(["/v1/chat/completions", "/v1/embeddings", "/v1/batches"])("a body that is no JSON: %s", async (path) => {
    expectRefused(await wire("POST", path, { ...AUTH, ...JSON_TYPE }, "{"), { status: 400 });
    expectRefused(await wire("POST", path, { ...AUTH, "content-type": "text/plain" }, "{}"), { status: 400 });
  });
});

describe("embeddings refuse", () => {
  const missing = "missing_required_parameter";
  const cases: [string, Record<string, unknown>, Refused][] = [
    ["no model", { model: undefined }, { status: 400, param: "model", code: missing }],
    ["no input", { input: undefined }, { status: 400, param: "input", code: missing }],
    ["an unknown field", { tenant: "acme" }, { status: 400, param: "tenant", code: "unknown_parameter" }],
    ["an input that is a number", { input: 7 }, { status: 400, param: "input", code: "invalid_type" }],
    ["an empty text", { input: "" }, { status: 400, param: "input" }],
    ["an empty text among others", { input: ["a", ""] }, { status: 400, param: "input" }],
    ["no texts", { input: [] }, { status: 400, param: "input" }],
    ["no tokens", { input: [[]] }, { status: 400, param: "input" }],
    ["texts and tokens mixed", { input: ["a", [1]] }, { status: 400, param: "input" }],
    ["half a token", { input: [1.5] }, { status: 400, param: "input" }],
    ["2,049 texts", { input: Array(2049).fill("a") }, { status: 400, param: "input" }],
    ["a text of 8,193 tokens", { input: "x".repeat(4 * 8192 + 1) }, { status: 400, param: "input" }],
    ["8,193 tokens in a list", { input: [Array(8193).fill(1)] }, { status: 400, param: "input" }],
    [
      "300,001 tokens in sum",
      { input: [...Array(36).fill("x".repeat(4 * 8192)), "x".repeat(4 * 5089)] },
      { status: 400, param: "input" },
    ],
    ["no dimensions", { dimensions: 0 }, { status: 400, param: "dimensions", code: "integer_below_min_value" }],
    ["1,537 dimensions", { dimensions: 1537 }, { status: 400, param: "dimensions", code: "invalid_value" }],
    [
      "dimensions where they are fixed",
      { model: "text-embedding-ada-002", dimensions: 8 },
      { status: 400, param: "dimensions", code: "unsupported_parameter" },
    ],
    ["another encoding", { encoding_format: "hex" }, { status: 400, param: "encoding_format", code: "invalid_value" }],
    ["a chat model", { model: "gpt-4.1-mini" }, { status: 404, code: "model_not_found" }],
    ["an unknown model", { model: "embed-9" }, { status: 404, code: "model_not_found" }],
  ];

  test.each(cases)("%s", async (_name, change, refused) => {
    expectRefused(await post("/v1/embeddings", { ...EMBEDDING, ...change }), refused);
    expect(billRows()).toEqual([]);
  });

  test("nothing at the limits themselves", async () => {
    // 36 texts of 8,192 tokens and one of 5,088 are 300,000 tokens.
    const whole = "x".repeat(4 * 8192);
    const inputs = [Array(2048).fill("a"), whole, [...Array(36).fill(whole), "x".repeat(4 * 5088)]];
    for (const input of inputs) {
      // One after the other: each is large.
      const answer = await post("/v1/embeddings", { ...EMBEDDING, input, dimensions: 2 });
      expect(answer.status).toBe(200);
    }
    expect((await post("/v1/embeddings", { ...EMBEDDING, dimensions: 1536 })).status).toBe(200);
  });
});

describe("chat refuses what its model can't do:", () => {
  const image = [{ type: "image_url", image_url: { url: "https://example.com/a.png" } }];
  const tool = { type: "function", function: { name: "look" } };
  const schema = { type: "json_schema", json_schema: { name: "x", schema: { type: "object" } } };
  const old = "gpt-3.5-turbo";
  const cases: [string, object, Refused][] = [
    [
      "images",
      { model: old, messages: [{ role: "user", content: image }] },
      { status: 400, param: "messages[0].content[0].type" },
    ],
    ["a JSON schema", { model: old, response_format: schema }, { status: 400, param: "response_format" }],
    [
      "a schema beyond the subset",
      { response_format: { ...schema, json_schema: { name: "x", schema: { patternProperties: {} } } } },
      { status: 400, param: "response_format" },
    ],
    [
      "a tool that is not among the tools",
      { tools: [tool], tool_choice: { type: "function", function: { name: "see" } } },
      { status: 400, param: "tool_choice" },
    ],
    [
      "a tool with a schema beyond the subset",
      { tools: [{ ...tool, function: { name: "look", parameters: { not: {} } } }] },
      { status: 400, param: "tools[0].function.parameters", code: "invalid_function_parameters" },
    ],
  ];

  test.each(cases)("%s", async (_name, change, refused) => {
    const body = { model: "gpt-4.1-mini", messages: [{ role: "user", content: "Hi" }], ...change };
    expectRefused(await post("/v1/chat/completions", body), refused);
  });
});

describe("uploads refuse", () => {
  const missing = "missing_required_parameter";
  const cases: [string, Parameters<typeof form>[0], Refused][] = [
    ["no file", [PURPOSE], { status: 400, param: "file", code: missing }],
    ["no purpose", [FILE], { status: 400, param: "purpose", code: missing }],
    [
      "an unknown purpose",
      [FILE, { name: "purpose", text: "fun" }],
      { status: 400, param: "purpose", code: "invalid_value" },
    ],
    [
      "an unknown field",
      [FILE, PURPOSE, { name: "tenant", text: "a" }],
      { status: 400, param: "tenant", code: "unknown_parameter" },
    ],
    ["a batch file of another kind", [{ ...FILE, filename: "lines.json" }, PURPOSE], { status: 400, param: "file" }],
    [
      "an expiry a second too soon",
      [
        FILE,
        PURPOSE,
        { name: "expires_after[anchor]", text: "created_at" },
        { name: "expires_after[seconds]", text: "3599" },
      ],
      { status: 400, param: "expires_after.seconds", code: "invalid_value" },
    ],
    [
      "an expiry a second too late",
      [
        FILE,
        PURPOSE,
        { name: "expires_after[anchor]", text: "created_at" },
        { name: "expires_after[seconds]", text: "2592001" },
      ],
      { status: 400, param: "expires_after.seconds", code: "invalid_value" },
    ],
    [
      "an expiry from elsewhere",
      [FILE, PURPOSE, { name: "expires_after[anchor]", text: "now" }, { name: "expires_after[seconds]", text: "3600" }],
      { status: 400, param: "expires_after.anchor", code: "invalid_value" },
    ],
    [
      "a field that is a novel",
      [FILE, { name: "purpose", text: "x".repeat(5000) }],
      { status: 400, param: "purpose", code: missing },
    ],
  ];

  test.each(cases)("%s, and keep nothing", async (_name, parts, refused) => {
    expectRefused(await upload(parts), refused);
    expect((await wire("GET", "/v1/files", AUTH)).json.data).toEqual([]);
  });

  test("bodies that are no form, or no whole one", async () => {
    expectRefused(await wire("POST", "/v1/files", { ...AUTH, ...JSON_TYPE }, {}), { status: 400 });
    const { body, headers } = form([FILE, PURPOSE]);
    expectRefused(await wire("POST", "/v1/files", headers, body.subarray(0, body.length - 6)), { status: 400 });
    expectRefused(await wire("POST", "/v1/files", headers, "--b\r\n\r\n\r\n--b--"), { status: 400 });
    expectRefused(await wire("POST", "/v1/files", headers, "--bad"), { status: 400 });
  });
});

describe("file lists refuse", () => {
  const cases: [string, Refused][] = [
    ["limit=0", { status: 400, param: "limit", code: "invalid_value" }],
    ["limit=10001", { status: 400, param: "limit", code: "invalid_value" }],
    ["order=up", { status: 400, param: "order", code: "invalid_value" }],
    ["after=file-none", { status: 400, param: "after", code: "invalid_value" }],
    ["page=2", { status: 400, param: "page", code: "unknown_parameter" }],
  ];

  test.each(cases)("%s", async (query, refused) => {
    expectRefused(await wire("GET", `/v1/files?${query}`, AUTH), refused);
  });

  test("nothing at the limits themselves", async () => {
    expect((await wire("GET", "/v1/files?limit=1", AUTH)).status).toBe(200);
    expect((await wire("GET", "/v1/files?limit=10000", AUTH)).status).toBe(200);
  });
});

describe("files that are not there are refused:", () => {
  test.each([
    ["GET", "/v1/files/file-none"],
    ["DELETE", "/v1/files/file-none"],
    ["GET", "/v1/files/file-none/content"],
  ])("%s %s", async (method, path) => {
    expectRefused(await wire(method, path, AUTH), { status: 404, param: "id" });
  });
});

describe("batches refuse", () => {
  const missing = "missing_required_parameter";
  const pairs = (count: number): Record<string, string> =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`k${String(n)}`, "v"]));
  const cases: [string, Record<string, unknown>, Refused][] = [
    ["no file", { input_file_id: undefined }, { status: 400, param: "input_file_id", code: missing }],
    ["no endpoint", { endpoint: undefined }, { status: 400, param: "endpoint", code: missing }],
    ["no window", { completion_window: undefined }, { status: 400, param: "completion_window", code: missing }],
    [
      "another window",
      { completion_window: "48h" },
      { status: 400, param: "completion_window", code: "invalid_value" },
    ],
    ["an unknown endpoint", { endpoint: "/v1/films" }, { status: 400, param: "endpoint", code: "invalid_value" }],
    [
      "an endpoint that is not simulated",
      { endpoint: "/v1/responses" },
      { status: 400, param: "endpoint", code: "unsupported_value" },
    ],
    ["an unknown field", { priority: 1 }, { status: 400, param: "priority", code: "unknown_parameter" }],
    [
      "seventeen pairs of metadata",
      { metadata: pairs(17) },
      { status: 400, param: "metadata", code: "object_above_max_length" },
    ],
    [
      "a key of 65 characters",
      { metadata: { ["k".repeat(65)]: "v" } },
      { status: 400, param: `metadata.${"k".repeat(65)}`, code: "string_above_max_length" },
    ],
    [
      "a value of 513 characters",
      { metadata: { k: "v".repeat(513) } },
      { status: 400, param: "metadata.k", code: "string_above_max_length" },
    ],
    ["a value that is a number", { metadata: { k: 1 } }, { status: 400, param: "metadata.k", code: "invalid_type" }],
    [
      "an output's end too soon",
      { output_expires_after: { anchor: "created_at", seconds: 3599 } },
      { status: 400, param: "output_expires_after.seconds", code: "integer_below_min_value" },
    ],
    ["an unknown file", { input_file_id: "file-none" }, { status: 400, param: "input_file_id" }],
  ];

  const order = async (change: Record<string, unknown>): Promise<WireAnswer> =>
    post("/v1/batches", {
      input_file_id: await uploaded(),
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
      ...change,
    });

  test.each(cases)("%s", async (_name, change, refused) => {
    expectRefused(await order(change), refused);
    expect((await wire("GET", "/v1/batches", AUTH)).json.data).toEqual([]);
  });

  test("a file that was deleted, and one for something else", async () => {
    const gone = await uploaded();
    expect((await wire("DELETE", `/v1/files/${gone}`, AUTH)).status).toBe(200);
    expectRefused(await order({ input_file_id: gone }), { status: 400, param: "input_file_id" });
    const other = await uploaded([FILE, { name: "purpose", text: "user_data" }]);
    expectRefused(await order({ input_file_id: other }), { status: 400, param: "input_file_id" });
  });

  test("to list more than a hundred, or to take what they don't know", async () => {
    expectRefused(await wire("GET", "/v1/batches?limit=101", AUTH), {
      status: 400,
      param: "limit",
      code: "invalid_value",
    });
    expectRefused(await wire("GET", "/v1/batches?limit=x", AUTH), {
      status: 400,
      param: "limit",
      code: "invalid_value",
    });
    expectRefused(await wire("GET", "/v1/batches?order=asc", AUTH), {
      status: 400,
      param: "order",
      code: "unknown_parameter",
    });
  });

  test("ids that are not there", async () => {
    expectRefused(await wire("GET", "/v1/batches/batch_none", AUTH), { status: 404 });
    expectRefused(await wire("POST", "/v1/batches/batch_none/cancel", AUTH), { status: 404 });
  });

  test("to cancel with a body that says something, or when all is over", async () => {
    const { json } = await order({ metadata: pairs(16) });
    expect((await post(`/v1/batches/${json.id}/cancel`, {})).json.status).toBe("cancelling");
    expectRefused(await post(`/v1/batches/${json.id}/cancel`, { now: true }), {
      status: 400,
      param: "now",
      code: "unknown_parameter",
    });
    await until(
      () => wire("GET", `/v1/batches/${json.id}`, AUTH),
      (seen) => seen.json.status === "cancelled",
    );
    expectRefused(await post(`/v1/batches/${json.id}/cancel`, {}), { status: 400 });
    await faults([]);
  });
});
