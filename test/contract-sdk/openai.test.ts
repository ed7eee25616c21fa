/** OpenAI's official client judges the simulator's OpenAI API: it talks to it unmodified but for the base URL. */
import { createHash } from "node:crypto";
import { beforeAll, describe, expect, test } from "@jest/globals";
import Ajv2020 from "ajv/dist/2020.js";
import OpenAI, { toFile } from "openai";
import type { Batch } from "openai/resources/batches.js";
import type { ChatCompletionCreateParamsNonStreaming } from "openai/resources/chat/completions.js";
import {
  KEYS,
  WRONG_KEY,
  advance,
  billRows,
  failure,
  faults,
  simulator,
  simulatorForAllTests,
  until,
} from "../support/sdk-simulator.js";

simulatorForAllTests();

const MINI = "gpt-4.1-mini";
const SMALL = "text-embedding-3-small";
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const FINAL = ["completed", "failed", "expired", "cancelled"];

let openai: OpenAI;

beforeAll(() => {
  openai = clientWith(KEYS.openai);
});

function clientWith(apiKey: string): OpenAI {
  return new OpenAI({ apiKey, baseURL: simulator.openaiBaseUrl, maxRetries: 0 });
}

function chat(change: Partial<ChatCompletionCreateParamsNonStreaming> = {}): ReturnType<typeof create> {
  return create({ model: MINI, messages: [{ role: "user", content: "Hi" }], ...change });
}

function create(body: ChatCompletionCreateParamsNonStreaming) {
  return openai.chat.completions.create(body);
}

/** A batch line of a chat with this prompt. */
function line(id: string, prompt: string, change: object = {}): object {
  const body = { model: MINI, messages: [{ role: "user", content: prompt }], ...change };
  return { custom_id: id, method: "POST", url: "/v1/chat/completions", body };
}

async function upload(lines: readonly object[], name = "lines.jsonl"): Promise<OpenAI.FileObject> {
  const text = lines.map((one) => `${JSON.stringify(one)}\n`).join("");
  return openai.files.create({ file: await toFile(Buffer.from(text), name), purpose: "batch" });
}

async function batchOf(lines: readonly object[], metadata: Record<string, string> = {}): Promise<Batch> {
  const file = await upload(lines);
  const order = { input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" } as const;
  return openai.batches.create({ ...order, metadata });
}

function finished(batch: Batch): Promise<Batch> {
  return until(
    () => openai.batches.retrieve(batch.id),
    (seen) => FINAL.includes(seen.status),
  );
}

// What a results file holds is looked into freely.
async function rowsOf(fileId: string | undefined | null): Promise<any[]> {
  const text = await (await openai.files.content(fileId!)).text();
  return text
    .split("\n")
    .filter((row) => row !== "")
    .map((row) => JSON.parse(row));
}

function sha(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}

describe("chat completions", () => {
  const weather = {
    type: "function",
    function: {
      name: "get_weather",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    },
  } as const;
  const time = { type: "function", function: { name: "get_time" } } as const;

  test("call the tool that the request names, with arguments that satisfy its schema", async () => {
    const answer = await chat({
      tools: [time, weather],
      tool_choice: { type: "function", function: { name: "get_weather" } },
    });
    const [choice] = answer.choices;
    expect(choice?.finish_reason).toBe("tool_calls");
    expect(choice?.message.content).toBeNull();
    const call = choice!.message.tool_calls![0]!;
    if (call.type !== "function") throw new Error("expected a function call");
    expect(call.function.name).toBe("get_weather");
    expect(JSON.parse(call.function.arguments)).toEqual({ city: `digest=${sha("Hi")}` });
    // {"city":"digest=…"} is 50 bytes: 13 tokens, and one for the call.
    expect(answer.usage?.completion_tokens).toBe(14);
  });

  test.each([
    ["none is asked for", "Hi", {}, []],
    ["the prompt says so", "call get_time and call get_weather", {}, ["get_time", "get_weather"]],
    ["one at most is allowed", "call get_time and call get_weather", { parallel_tool_calls: false }, ["get_time"]],
    ["some call is required", "Hi", { tool_choice: "required" }, ["get_time"]],
    ["calls are forbidden", "call get_time", { tool_choice: "none" }, []],
  ] as const)("call tools or not when %s", async (_name, content, change, called) => {
    const answer = await chat({ messages: [{ role: "user", content }], tools: [time, weather], ...change });
    const calls = answer.choices[0]?.message.tool_calls ?? [];
    expect(calls.map((call) => (call.type === "function" ? call.function.name : ""))).toEqual(called);
  });

  test("answer a tool's result in words", async () => {
    const answer = await chat({
      messages: [
        { role: "user", content: "call get_time" },
        {
          role: "assistant",
          tool_calls: [{ id: "call_1", type: "function", function: { name: "get_time", arguments: "{}" } }],
        },
        { role: "tool", tool_call_id: "call_1", content: "noon" },
      ],
      tools: [time],
    });
    expect(answer.choices[0]?.message.content).toContain("digest=");
  });

  test("answer with JSON that satisfies the schema asked for", async () => {
    const schema = {
      type: "object",
      properties: {
        name: { type: "string" },
        mood: { enum: ["glad", "sad"] },
        ages: { type: "array", items: { type: "integer", minimum: 18 }, minItems: 2 },
        next: { anyOf: [{ $ref: "#" }, { type: "null" }] },
      },
      required: ["name", "mood", "ages", "next"],
      additionalProperties: false,
    };
    const answer = await chat({
      response_format: { type: "json_schema", json_schema: { name: "person", schema, strict: true } },
    });
    const value: unknown = JSON.parse(answer.choices[0]!.message.content!);
    expect(new Ajv2020.Ajv2020().validate(schema, value)).toBe(true);
    expect(JSON.stringify(value)).toContain(`digest=${sha("Hi")}`);
  });

  test("count an image by the detail asked for", async () => {
    const tokensWith = async (detail: "low" | "high" | "auto"): Promise<number> => {
      const image = { type: "image_url", image_url: { url: "https://example.com/a.png", detail } } as const;
      const content = [{ type: "text", text: "Hi" } as const, image];
      return (await chat({ messages: [{ role: "user", content }] })).usage!.prompt_tokens;
    };
    expect([await tokensWith("low"), await tokensWith("auto"), await tokensWith("high")]).toEqual([
      7 + 85,
      7 + 85,
      7 + 765,
    ]);
  });

  test("give n choices, each billed, and stop where told", async () => {
    const before = billRows().length;
    const answer = await chat({ n: 3, stop: " body=" });
    expect(answer.choices.map((choice) => choice.message.content)).toEqual(Array(3).fill(`digest=${sha("Hi")}`));
    expect(answer.usage?.completion_tokens).toBe(3);
    expect(billRows().slice(before)).toMatchObject([{ mode: "direct", outputTokens: 3 }]);
  });

  test("carry rate headers, in OpenAI's units", async () => {
    const { response } = await openai.chat.completions
      .create({ model: MINI, messages: [{ role: "user", content: "Hi" }] })
      .withResponse();
    expect(response.headers.get("x-ratelimit-limit-requests")).toBe("30000");
    expect(response.headers.get("x-ratelimit-remaining-requests")).toBe("29999");
    expect(response.headers.get("x-ratelimit-limit-tokens")).toBe("150000000");
    expect(Number(response.headers.get("x-ratelimit-remaining-tokens"))).toBeLessThan(150_000_000);
    for (const kind of ["requests", "tokens"])
      expect(response.headers.get(`x-ratelimit-reset-${kind}`)).toMatch(/^(\d+ms|[\d.]+s)$/);
  });
});

describe("embeddings", () => {
  test("are base64 on the wire and vectors of length 1 in the client, the same for the same text", async () => {
    const answer = await openai.embeddings.create({ model: SMALL, input: ["a text", "another", "a text"] });
    const [first, second, third] = answer.data.map((one) => one.embedding);
    expect(first).toHaveLength(1536);
    expect(third).toEqual(first);
    expect(second).not.toEqual(first);
    expect(Math.sqrt(first!.reduce((sum, value) => sum + value * value, 0))).toBeCloseTo(1, 5);
    expect(answer.usage).toEqual({ prompt_tokens: 2 + 2 + 2, total_tokens: 6 });
  });

  test("come as numbers when asked, shorter when asked, and follow the stated rule", async () => {
    const asked = { model: SMALL, input: "a text", dimensions: 4, encoding_format: "float" } as const;
    const vector = (await openai.embeddings.create(asked)).data[0]!.embedding;
    const bytes = createHash("sha256").update(`${SMALL}\na text\n0`).digest();
    const raw = [0, 1, 2, 3].map((index) => bytes.readInt16LE(index * 2) / 32_768);
    const length = Math.sqrt(raw.reduce((sum, value) => sum + value * value, 0));
    expect(vector).toHaveLength(4);
    vector.forEach((value, index) => {
      expect(value).toBeCloseTo(raw[index]! / length, 6);
    });
  });

  test("take tokens, one list or several, and bill them by the list", async () => {
    const before = billRows().length;
    expect((await openai.embeddings.create({ model: SMALL, input: [1, 2, 3] })).data).toHaveLength(1);
    const several = await openai.embeddings.create({ model: SMALL, input: [[1, 2], [3]] });
    expect([several.data.length, several.usage.prompt_tokens]).toEqual([2, 3]);
    // 3 tokens at 0.02 dollars a million: 60 nano-dollars.
    expect(billRows().slice(before)).toMatchObject([
      { provider: "openai", model: SMALL, inputTokens: 3, outputTokens: 0, nanoUsd: "60" },
      { nanoUsd: "60" },
    ]);
  });
});

describe("files", () => {
  test("are uploaded, shown, read and deleted", async () => {
    const file = await openai.files.create({
      file: await toFile(Buffer.from("{}\n"), "a name.jsonl"),
      purpose: "batch",
      expires_after: { anchor: "created_at", seconds: 3600 },
    });
    expect(file).toMatchObject({ object: "file", bytes: 3, filename: "a name.jsonl", purpose: "batch" });
    expect(file.expires_at! - file.created_at).toBe(3600);
    expect(await openai.files.retrieve(file.id)).toEqual(file);
    expect(await (await openai.files.content(file.id)).text()).toBe("{}\n");
    expect(await openai.files.delete(file.id)).toEqual({ id: file.id, object: "file", deleted: true });
    expect(await failure(openai.files.retrieve(file.id))).toBeInstanceOf(OpenAI.NotFoundError);
    expect(await failure(openai.files.delete(file.id))).toBeInstanceOf(OpenAI.NotFoundError);
  });

  test("keep every byte of an upload, whatever is in it", async () => {
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, n) => (n * 7919) % 256));
    const withBoundaries = Buffer.concat([bytes, Buffer.from("\r\n--boundary\r\n\r\n----"), bytes]);
    const file = await openai.files.create({ file: await toFile(withBoundaries, "b.bin"), purpose: "user_data" });
    const read = Buffer.from(await (await openai.files.content(file.id)).arrayBuffer());
    expect(read.equals(withBoundaries)).toBe(true);
  });

  test("are listed newest first, page by page, by purpose and in either order", async () => {
    const names = ["p1.txt", "p2.txt", "p3.txt"];
    for (const name of names) {
      // One after the other: their order is what is looked at.
      await openai.files.create({ file: await toFile(Buffer.from(name), name), purpose: "assistants" });
    }
    const listed: string[] = [];
    for await (const file of openai.files.list({ purpose: "assistants", limit: 2 })) listed.push(file.filename);
    expect(listed).toEqual([...names].reverse());
    const page = await openai.files.list({ purpose: "assistants", order: "asc", limit: 2 });
    expect(page.data.map((file) => file.filename)).toEqual(["p1.txt", "p2.txt"]);
    expect(page.has_more).toBe(true);
  });

  test("are gone when they expire", async () => {
    const file = await upload([line("a", "Hi")]);
    await advance(29 * DAY_MS);
    expect((await openai.files.retrieve(file.id)).id).toBe(file.id);
    await advance(2 * DAY_MS);
    expect(await failure(openai.files.retrieve(file.id))).toBeInstanceOf(OpenAI.NotFoundError);
  });
});

describe("batches", () => {
  test("run through their states, and every line is answered as its direct call would be, at half the price", async () => {
    const batch = await batchOf([line("a", "Hi"), line("b", "Ho"), line("c", "Hm", { temperature: 9 })], { run: "1" });
    expect(batch).toMatchObject({
      object: "batch",
      status: "validating",
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
      errors: null,
      output_file_id: null,
      error_file_id: null,
      metadata: { run: "1" },
    });
    expect(batch.expires_at! - batch.created_at).toBe(86_400);
    const seen: string[] = [];
    const end = await until(
      async () => {
        const now = await openai.batches.retrieve(batch.id);
        if (seen.at(-1) !== now.status) seen.push(now.status);
        return now;
      },
      (now) => FINAL.includes(now.status),
      40_000,
    );
    expect(seen).toEqual(["validating", "in_progress", "finalizing", "completed"]);
    expect(end.request_counts).toEqual({ total: 3, completed: 2, failed: 1 });
    expect(end.model).toBe("gpt-4.1-mini-2025-04-14");
    expect(end.in_progress_at! - end.created_at).toBeGreaterThanOrEqual(59);
    expect(end.finalizing_at! - end.in_progress_at!).toBeGreaterThanOrEqual(30 * 60);
    expect(end.completed_at! - end.finalizing_at!).toBeGreaterThanOrEqual(59);

    const output = await rowsOf(end.output_file_id);
    expect(output.map((row) => row.custom_id)).toEqual(["a", "b"]);
    expect(output[0]).toMatchObject({ response: { status_code: 200 }, error: null });
    const direct = await chat();
    const { id: _id, created: _created, ...body } = output[0].response.body;
    const { id: _otherId, created: _otherCreated, ...directBody } = JSON.parse(JSON.stringify(direct));
    expect(body).toEqual(directBody);
    const [failed] = await rowsOf(end.error_file_id);
    expect(failed).toMatchObject({
      custom_id: "c",
      response: { status_code: 400, body: { error: { param: "temperature", code: "decimal_above_max_value" } } },
      error: null,
    });

    const [hi, ho, ...more] = billRows().filter((row) => row.batch === batch.id);
    expect(more).toEqual([]);
    // "Hi" is 7 tokens, 3 of them cached; the list has no batch price for cached tokens, so they cost what input costs.
    const outputTokens = output[0].response.body.usage.completion_tokens as number;
    expect(hi).toMatchObject({
      mode: "batch",
      attempt: "a",
      batch: batch.id,
      line: 1,
      key: "openai",
      requestId: output[0].response.request_id,
      inputTokens: 7,
      cachedInputTokens: 3,
      nanoUsd: String(7 * 200 + outputTokens * 800),
    });
    expect(ho).toMatchObject({ attempt: "b", line: 2 });
    expect(end.usage?.output_tokens).toBe(hi!.outputTokens + ho!.outputTokens);
  });

  test("are found in lists, newest first, page by page", async () => {
    const ids: string[] = [];
    for (const id of ["1", "2", "3"]) {
      // One after the other: their order is what is looked at.
      ids.unshift((await batchOf([line(id, "Hi")], { n: id })).id);
    }
    const listed: string[] = [];
    for await (const batch of openai.batches.list({ limit: 2 })) {
      listed.push(batch.id);
      if (listed.length === 3) break;
    }
    expect(listed).toEqual(ids);
    const page = await openai.batches.list({ limit: 1, after: ids[0]! });
    expect([page.data[0]?.metadata, page.has_more]).toEqual([{ n: "2" }, true]);
  });

  test("are cancelled with what was done, billed for that alone", async () => {
    await faults([{ fault: { kind: "batch_expires", share: 0.5 } }]);
    const batch = await batchOf(["a", "b", "c", "d"].map((id) => line(id, id)));
    await until(
      () => openai.batches.retrieve(batch.id),
      (seen) => seen.request_counts?.completed === 2,
    );
    const cancelling = await openai.batches.cancel(batch.id);
    expect(cancelling.status).toBe("cancelling");
    expect((await openai.batches.cancel(batch.id)).status).toBe("cancelling");
    const end = await finished(batch);
    expect(end.status).toBe("cancelled");
    expect(end.cancelled_at! - end.cancelling_at!).toBeGreaterThanOrEqual(59);
    expect(end.request_counts).toEqual({ total: 4, completed: 2, failed: 0 });
    expect((await rowsOf(end.output_file_id)).map((row) => row.custom_id)).toEqual(["a", "b"]);
    expect((await rowsOf(end.error_file_id)).map((row) => [row.custom_id, row.response, row.error.code])).toEqual([
      ["c", null, "batch_cancelled"],
      ["d", null, "batch_cancelled"],
    ]);
    expect(
      billRows()
        .filter((row) => row.batch === batch.id)
        .map((row) => row.attempt),
    ).toEqual(["a", "b"]);
    expect(await failure(openai.batches.cancel(batch.id))).toBeInstanceOf(OpenAI.BadRequestError);
  });

  test("expire after 24 hours with what was done", async () => {
    await faults([{ fault: { kind: "batch_expires", share: 0.5 } }]);
    const batch = await batchOf(["a", "b", "c", "d"].map((id) => line(id, id)));
    const end = await finished(batch);
    expect(end.status).toBe("expired");
    expect(end.expired_at! - end.created_at).toBeGreaterThanOrEqual(86_400);
    expect(end.request_counts).toEqual({ total: 4, completed: 2, failed: 0 });
    expect((await rowsOf(end.error_file_id)).map((row) => row.error.code)).toEqual(["batch_expired", "batch_expired"]);
  });

  test("run embeddings", async () => {
    const body = { model: SMALL, input: ["one", "two"] };
    const file = await upload([{ custom_id: "e", method: "POST", url: "/v1/embeddings", body }]);
    const order = { input_file_id: file.id, endpoint: "/v1/embeddings", completion_window: "24h" } as const;
    const end = await finished(await openai.batches.create(order));
    const [row] = await rowsOf(end.output_file_id);
    expect(row.response.body.data).toHaveLength(2);
    // 2 tokens at 0.01 dollars a million: half the direct price.
    expect(billRows().at(-1)).toMatchObject({ mode: "batch", model: SMALL, inputTokens: 2, nanoUsd: "20" });
  });

  const bad: [string, readonly (object | string)[], string, number | null][] = [
    ["a line that is no JSON", [line("a", "Hi"), "{"], "invalid_json_line", 2],
    ["an empty line", [line("a", "Hi"), "", line("b", "Hi")], "invalid_json_line", 2],
    ["a byte order mark", [`\u{feff}${JSON.stringify(line("a", "Hi"))}`], "invalid_json_line", 1],
    ["an id that is used twice", [line("a", "Hi"), line("a", "Ho")], "duplicate_custom_id", 2],
    ["another endpoint's address", [{ ...line("a", "Hi"), url: "/v1/embeddings" }], "url_mismatch", 1],
    ["another method", [{ ...line("a", "Hi"), method: "GET" }], "invalid_method", 1],
    ["an unknown field", [{ ...line("a", "Hi"), tenant: "acme" }], "unknown_parameter", 1],
    ["no id", [{ ...line("a", "Hi"), custom_id: undefined }], "missing_required_parameter", 1],
    ["no body", [{ ...line("a", "Hi"), body: undefined }], "missing_required_parameter", 1],
    ["another model", [line("a", "Hi"), line("b", "Hi", { model: "gpt-4o" })], "model_mismatch", 2],
    ["a model that is not there", [line("a", "Hi", { model: "gpt-9" })], "model_not_found", 1],
    ["a stream", [line("a", "Hi", { stream: true })], "invalid_request", 1],
    ["nothing", [], "empty_file", null],
  ];

  test.each(bad)("fail as a whole for %s, and nothing is billed", async (_name, lines, code, at) => {
    const text = lines.map((one) => `${typeof one === "string" ? one : JSON.stringify(one)}\n`).join("");
    const file = await openai.files.create({ file: await toFile(Buffer.from(text), "x.jsonl"), purpose: "batch" });
    const order = { input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" } as const;
    const end = await finished(await openai.batches.create(order));
    expect(end.status).toBe("failed");
    expect(end.errors?.data?.map((error) => [error.code, error.line])).toEqual([[code, at]]);
    expect([end.output_file_id, end.error_file_id]).toEqual([null, null]);
    expect(billRows().filter((row) => row.batch === end.id)).toEqual([]);
  });

  test("belong to their account", async () => {
    const batch = await batchOf([line("a", "Hi")]);
    const other = clientWith(KEYS.anthropic);
    expect(await failure(other.batches.retrieve(batch.id))).toBeInstanceOf(OpenAI.NotFoundError);
    expect((await other.batches.list()).data).toEqual([]);
    expect(await failure(other.files.retrieve(batch.input_file_id))).toBeInstanceOf(OpenAI.NotFoundError);
  });
});

describe("errors", () => {
  const operations: [string, (client: OpenAI) => Promise<unknown>][] = [
    ["chat", (client) => client.chat.completions.create({ model: MINI, messages: [{ role: "user", content: "Hi" }] })],
    ["embeddings", (client) => client.embeddings.create({ model: SMALL, input: "a" })],
    [
      "files.create",
      async (client) => client.files.create({ file: await toFile(Buffer.from("x"), "x.jsonl"), purpose: "batch" }),
    ],
    ["files.list", (client) => client.files.list()],
    ["files.get", (client) => client.files.retrieve("file-none")],
    ["files.content", (client) => client.files.content("file-none")],
    ["files.delete", (client) => client.files.delete("file-none")],
    [
      "batches.create",
      (client) =>
        client.batches.create({
          input_file_id: "file-none",
          endpoint: "/v1/chat/completions",
          completion_window: "24h",
        }),
    ],
    ["batches.list", (client) => client.batches.list()],
    ["batches.get", (client) => client.batches.retrieve("batch_none")],
    ["batches.cancel", (client) => client.batches.cancel("batch_none")],
  ];

  test.each(operations)("for a wrong key are typed at %s", async (_name, call) => {
    const error = await failure(call(clientWith(WRONG_KEY)));
    expect([error instanceof OpenAI.AuthenticationError, error.code]).toEqual([true, "invalid_api_key"]);
  });

  test.each(operations)("that faults make are typed at %s, by the operation's name", async (name, call) => {
    await faults([
      { match: { operation: `openai.${name}`, nth: 1 }, fault: { kind: "status", status: 503 } },
      {
        match: { operation: `openai.${name}`, nth: 1 },
        fault: { kind: "rate_limited", retryAfter: "ms", waitMs: 250 },
      },
      { match: { operation: `openai.${name}`, nth: 1 }, fault: { kind: "quota_gone" } },
    ]);
    const overloaded = await failure(call(openai));
    expect([overloaded instanceof OpenAI.InternalServerError, overloaded.code]).toEqual([true, "server_is_overloaded"]);
    const limited = await failure(call(openai));
    expect([limited instanceof OpenAI.RateLimitError, limited.code]).toEqual([true, "rate_limit_exceeded"]);
    expect(limited.headers.get("retry-after-ms")).toBe("250");
    const gone = await failure(call(openai));
    expect([gone instanceof OpenAI.RateLimitError, gone.type]).toEqual([true, "insufficient_quota"]);
  });

  test("are connection errors when an answer is lost, and the batch is there all the same", async () => {
    await faults([{ match: { operation: "openai.batches.create" }, fault: { kind: "drop_after_billed" } }]);
    const lost = await failure(batchOf([line("a", "Hi")], { lost: "yes" }));
    expect(lost).toBeInstanceOf(OpenAI.APIConnectionError);
    expect((await openai.batches.list({ limit: 1 })).data[0]?.metadata).toEqual({ lost: "yes" });
  });
});
