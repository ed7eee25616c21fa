/** Anthropic's official client judges the simulator: it talks to it unmodified but for the base URL. */
import Anthropic from "@anthropic-ai/sdk";
import type { MessageCreateParamsNonStreaming } from "@anthropic-ai/sdk/resources/messages.js";
import { beforeAll, describe, expect, test } from "@jest/globals";
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

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const HAIKU = "claude-haiku-4-5";
/** sha256 of "Hi", first 32 hex characters. */
const HI = "3639efcd08abb273b1619e82e78c29a7";

let client: Anthropic;

beforeAll(() => {
  client = clientWith(KEYS.anthropic);
});

function clientWith(apiKey: string): Anthropic {
  return new Anthropic({ apiKey, baseURL: simulator.anthropicBaseUrl, maxRetries: 0 });
}

function params(change: Partial<MessageCreateParamsNonStreaming> = {}): MessageCreateParamsNonStreaming {
  return { model: HAIKU, max_tokens: 200, messages: [{ role: "user", content: "Hi" }], ...change };
}

describe("messages", () => {
  test("are answered with usage by the stated rules, and billed by the list", async () => {
    const before = billRows().length;
    const answer = await client.messages.create(params({ system: "Be short." }));
    expect(answer).toMatchObject({ type: "message", role: "assistant", model: "claude-haiku-4-5-20251001" });
    expect(answer.stop_reason).toBe("end_turn");
    expect(answer._request_id).toMatch(/^req_[0-9a-f]{32}$/);
    const [block] = answer.content;
    const output = block?.type === "text" ? block.text.split(" ").length : 0;
    // System 3 + 3, message 3 + 1, and 3.
    expect(answer.usage).toEqual({
      input_tokens: 13,
      cache_creation_input_tokens: 0,
      cache_read_input_tokens: 0,
      cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
      output_tokens: output,
      service_tier: "standard",
    });
    expect(billRows().slice(before)).toEqual([
      expect.objectContaining({
        provider: "anthropic",
        key: "anthropic",
        model: HAIKU,
        mode: "direct",
        // $1 in and $5 out a million tokens.
        nanoUsd: String(13 * 1000 + output * 5000),
      }),
    ]);
  });

  test("tell the limits and what is left of them", async () => {
    const { response } = await client.messages.create(params()).withResponse();
    for (const name of ["requests", "tokens", "input-tokens", "output-tokens"]) {
      const header = (what: string): string => response.headers.get(`anthropic-ratelimit-${name}-${what}`)!;
      expect(Number(header("limit"))).toBeGreaterThan(0);
      expect(Number(header("remaining"))).toBeLessThanOrEqual(Number(header("limit")));
      expect(header("reset")).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    }
    expect(Number(response.headers.get("anthropic-ratelimit-tokens-remaining")) % 1000).toBe(0);
  });

  const tools = [
    {
      name: "weather",
      input_schema: {
        type: "object" as const,
        properties: { city: { type: "string" }, days: { type: "integer", minimum: 1, maximum: 3 } },
        required: ["city", "days"],
      },
    },
    { name: "stop_all", input_schema: { type: "object" as const } },
  ];

  test("call the tools that the prompt names, and take their results", async () => {
    const content = "Please call weather, then call stop_all";
    const answer = await client.messages.create(params({ tools, messages: [{ role: "user", content }] }));
    expect(answer.stop_reason).toBe("tool_use");
    const calls = answer.content.filter((block) => block.type === "tool_use");
    expect(calls.map((call) => call.name)).toEqual(["weather", "stop_all"]);
    expect(calls[0]!.id).toMatch(/^toolu_/);
    const input = calls[0]!.input as { city: unknown; days: unknown };
    expect(typeof input.city).toBe("string");
    expect([1, 2, 3]).toContain(input.days);
    const next = await client.messages.create(
      params({
        tools,
        messages: [
          { role: "user", content },
          { role: "assistant", content: answer.content },
          {
            role: "user",
            content: calls.map((call) => ({ type: "tool_result" as const, tool_use_id: call.id, content: "done" })),
          },
        ],
      }),
    );
    expect(next.stop_reason).toBe("end_turn");
  });

  test.each<[string, Anthropic.ToolChoice, string[]]>([
    ["any", { type: "any" }, ["weather"]],
    ["tool", { type: "tool", name: "stop_all" }, ["stop_all"]],
    ["none", { type: "none" }, []],
    ["auto", { type: "auto" }, []],
    ["one at most", { type: "any", disable_parallel_tool_use: true }, ["weather"]],
  ])("with tool choice %s call as told", async (_name, tool_choice, called) => {
    const answer = await client.messages.create(params({ tools, tool_choice }));
    const names = answer.content.flatMap((block) => (block.type === "tool_use" ? [block.name] : []));
    expect(names).toEqual(called);
  });

  test("answer by a JSON schema", async () => {
    const schema = {
      type: "object",
      properties: { title: { type: "string" }, year: { type: "integer" } },
      required: ["title", "year"],
      additionalProperties: false,
    };
    const answer = await client.messages.create(params({ output_config: { format: { type: "json_schema", schema } } }));
    const [block] = answer.content;
    const value = JSON.parse(block?.type === "text" ? block.text : "");
    expect(value).toEqual({ title: expect.any(String), year: expect.any(Number) });
  });

  test("think, within the output, in a block of its own", async () => {
    const before = billRows().length;
    const thinking = { type: "enabled", budget_tokens: 1024 } as const;
    const answer = await client.messages.create(params({ max_tokens: 2000, thinking }));
    // Byte 4 of the digest of "Hi" is 8.
    expect(answer.content.map((block) => block.type)).toEqual(["thinking", "text"]);
    expect(answer.usage.output_tokens_details).toEqual({ thinking_tokens: 8 });
    expect(answer.usage.output_tokens).toBeGreaterThan(8);
    expect(billRows().slice(before)[0]!.outputTokens).toBe(answer.usage.output_tokens);
    const adaptive = { type: "adaptive", display: "omitted" } as const;
    const hidden = await client.messages.create(params({ model: "claude-opus-5", thinking: adaptive }));
    expect(hidden.content[0]).toMatchObject({ type: "thinking", thinking: "", signature: expect.any(String) });
  });

  test("take images, documents, turns, stop sequences and sampling", async () => {
    const data = "iVBORw0KGgo=";
    const answer = await client.messages.create(
      params({
        messages: [
          {
            role: "user",
            content: [
              { type: "text", text: "Look" },
              { type: "image", source: { type: "base64", media_type: "image/png", data } },
              { type: "document", source: { type: "base64", media_type: "application/pdf", data } },
            ],
          },
          { role: "assistant", content: "Seen" },
          { role: "user", content: "And?" },
        ],
        ...({ temperature: 0.5, top_k: 3 } as object),
        stop_sequences: [" body="],
        metadata: { user_id: "u" },
      }),
      // The client names the later version, which takes no sampling parameters.
      { headers: { "anthropic-version": "2023-06-01" } },
    );
    expect([answer.stop_reason, answer.stop_sequence]).toEqual(["stop_sequence", " body="]);
    // 3 + 1 + 2 x 85, 3 + 1, 3 + 1, and 3.
    expect(answer.usage.input_tokens).toBe(174 + 4 + 4 + 3);
  });

  test("decline", async () => {
    await faults([{ fault: { kind: "refusal" } }]);
    const answer = await client.messages.create(params());
    expect([answer.stop_reason, answer.content, answer.stop_details?.type]).toEqual(["refusal", [], "refusal"]);
  });

  test.each(["pause_turn", "model_context_window_exceeded"])("end with %s when told to", async (word) => {
    const answer = await client.messages.create(params({ messages: [{ role: "user", content: `finish ${word}` }] }));
    expect(answer.stop_reason).toBe(word);
  });

  test("are counted for free", async () => {
    const before = billRows().length;
    const { max_tokens: _unused, ...counted } = params({ tools });
    const { input_tokens } = await client.messages.countTokens(counted);
    const answer = await client.messages.create(params({ tools }));
    expect(input_tokens).toBe(answer.usage.input_tokens);
    expect(billRows().length).toBe(before + 1);
  });
});

describe("models", () => {
  test("are listed page by page, and described", async () => {
    const ids: string[] = [];
    for await (const model of client.models.list({ limit: 4 })) ids.push(model.id);
    expect(ids).toContain("claude-haiku-4-5-20251001");
    expect(ids).not.toContain("claude-3-haiku-20240307");
    expect(new Set(ids).size).toBe(ids.length);
    expect(await client.models.retrieve(HAIKU)).toMatchObject({
      type: "model",
      id: "claude-haiku-4-5-20251001",
      max_input_tokens: 200_000,
      max_tokens: 64_000,
      capabilities: { batch: { supported: true }, image_input: { supported: true } },
    });
  });
});

type Batch = Anthropic.Messages.MessageBatch;

function request(custom_id: string, change: Partial<MessageCreateParamsNonStreaming> = {}): any {
  return { custom_id, params: params(change) };
}

function ended(batch: Batch): Promise<Batch> {
  return until(
    () => client.messages.batches.retrieve(batch.id),
    (seen) => seen.processing_status === "ended",
  );
}

async function resultsOf(batch: Batch): Promise<Map<string, Anthropic.Messages.MessageBatchResult>> {
  const results = new Map<string, Anthropic.Messages.MessageBatchResult>();
  for await (const row of await client.messages.batches.results(batch.id)) results.set(row.custom_id, row.result);
  return results;
}

/** Those of the lines that are on the bill. */
function billedLines(...ids: readonly string[]): readonly string[] {
  return billRows().flatMap(({ attempt }) => (attempt !== null && ids.includes(attempt) ? [attempt] : []));
}

describe("message batches", () => {
  test("mix models, check params late, and hand over one stream of results", async () => {
    const before = billRows().length;
    const batch = await client.messages.batches.create({
      requests: [
        request("a1"),
        request("a2", { model: "claude-sonnet-4-5", system: "Be short." }),
        request("a3", { max_tokens: 64_001 }),
        request("a4", { model: "claude-9" }),
        request("a5", { stream: true } as never),
      ],
    });
    expect(batch).toEqual({
      id: expect.stringMatching(/^msgbatch_/),
      type: "message_batch",
      processing_status: "in_progress",
      request_counts: { processing: 5, succeeded: 0, errored: 0, canceled: 0, expired: 0 },
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$/),
      expires_at: expect.any(String),
      ended_at: null,
      cancel_initiated_at: null,
      archived_at: null,
      results_url: null,
    });
    expect(Date.parse(batch.expires_at) - Date.parse(batch.created_at)).toBe(DAY_MS);
    const done = await ended(batch);
    expect(done.request_counts).toEqual({ processing: 0, succeeded: 2, errored: 3, canceled: 0, expired: 0 });
    expect(done.results_url).toBe(`${simulator.url}/v1/messages/batches/${batch.id}/results`);
    const results = await resultsOf(batch);
    expect([...results.keys()].sort()).toEqual(["a1", "a2", "a3", "a4", "a5"]);
    const [a1, a3, a4, a5] = ["a1", "a3", "a4", "a5"].map((id) => results.get(id)!);
    if (a1?.type !== "succeeded") throw new Error("expected a1 to have succeeded");
    expect(a1.message.usage.service_tier).toBe("batch");
    expect(JSON.stringify(a1.message.content)).toContain(`digest=${HI}`);
    expect([a3, a4, a5].map((one) => (one?.type === "errored" ? one.error.error.type : one?.type))).toEqual([
      "invalid_request_error",
      "not_found_error",
      "invalid_request_error",
    ]);
    const output = a1.message.usage.output_tokens;
    const rows = billRows().slice(before);
    expect(rows.map((row) => [row.attempt, row.mode])).toEqual([
      ["a1", "batch"],
      ["a2", "batch"],
    ]);
    // Batch prices of claude-haiku-4-5: $0.50 and $2.50.
    expect(rows[0]!.nanoUsd).toBe(String(7 * 500 + output * 2500));
  });

  test("stack the batch's discount on the cache's", async () => {
    const before = billRows().length;
    const text = "x".repeat(4 * 1024);
    const content = [
      { type: "text" as const, text, cache_control: { type: "ephemeral" as const, ttl: "1h" as const } },
    ];
    const requests = [request("c1", { messages: [{ role: "user", content }] })];
    const batch = await ended(await client.messages.batches.create({ requests }));
    const result = (await resultsOf(batch)).get("c1");
    if (result?.type !== "succeeded") throw new Error("expected c1 to have succeeded");
    const { usage } = result.message;
    const [row] = billRows().slice(before);
    // claude-haiku-4-5 in a batch: $0.50 in, $2.50 out, $0.05 read, and half of $2 written for an hour.
    const read = usage.cache_read_input_tokens!;
    const written = usage.cache_creation!.ephemeral_1h_input_tokens;
    expect(read + written).toBe(1024);
    expect(row!.nanoUsd).toBe(String(6 * 500 + read * 50 + written * 1000 + usage.output_tokens * 2500));
  });

  test("are listed newest first, page by page in both directions", async () => {
    const made: string[] = [];
    for (const id of ["l1", "l2", "l3", "l4"])
      made.unshift((await client.messages.batches.create({ requests: [request(id)] })).id);
    const page = await client.messages.batches.list({ limit: 2 });
    expect(page.data.map((batch) => batch.id)).toEqual(made.slice(0, 2));
    expect([page.first_id, page.last_id, page.has_more]).toEqual([made[0], made[1], true]);
    const ids: string[] = [];
    for await (const batch of client.messages.batches.list({ limit: 2 })) ids.push(batch.id);
    expect(ids.slice(0, 4)).toEqual(made);
    expect(new Set(ids).size).toBe(ids.length);
    const back = await client.messages.batches.list({ before_id: made[3]!, limit: 2 });
    expect(back.data.map((batch) => batch.id)).toEqual(made.slice(1, 3));
  });

  test("can be cancelled before they end: what was not done is canceled and not billed", async () => {
    const batch = await client.messages.batches.create({ requests: [request("x1"), request("x2")] });
    const cancelled = await client.messages.batches.cancel(batch.id);
    expect(cancelled.processing_status).toBe("canceling");
    expect(cancelled.cancel_initiated_at).not.toBeNull();
    const done = await ended(batch);
    expect(done.request_counts).toEqual({ processing: 0, succeeded: 0, errored: 0, canceled: 2, expired: 0 });
    expect([...(await resultsOf(batch)).values()]).toEqual([{ type: "canceled" }, { type: "canceled" }]);
    expect(billedLines("x1", "x2")).toEqual([]);
    expect(await failure(client.messages.batches.cancel(batch.id))).toBeInstanceOf(Anthropic.BadRequestError);
  });

  test("expire after 24 hours: what was done is delivered and billed, the rest is expired", async () => {
    await faults([{ fault: { kind: "batch_expires", share: 0.5 } }]);
    const batch = await client.messages.batches.create({ requests: [request("e1"), request("e2")] });
    const done = await ended(batch);
    expect(Date.parse(done.ended_at!) - Date.parse(done.created_at)).toBeGreaterThanOrEqual(DAY_MS);
    expect(done.request_counts).toEqual({ processing: 0, succeeded: 1, errored: 0, canceled: 0, expired: 1 });
    expect((await resultsOf(batch)).get("e2")).toEqual({ type: "expired" });
    expect(billedLines("e1", "e2")).toEqual(["e1"]);
  });

  test("have no results before they end, nor 29 days after their creation", async () => {
    const batch = await client.messages.batches.create({ requests: [request("o1")] });
    await expect(client.messages.batches.results(batch.id)).rejects.toThrow(/results_url/);
    const early = await fetch(`${simulator.url}/v1/messages/batches/${batch.id}/results`, {
      headers: { "x-api-key": KEYS.anthropic, "anthropic-version": "2023-06-01" },
    });
    expect(early.status).toBe(404);
    await ended(batch);
    await advance(28 * DAY_MS);
    expect((await resultsOf(batch)).size).toBe(1);
    await advance(DAY_MS);
    const old = await client.messages.batches.retrieve(batch.id);
    expect(Date.parse(old.archived_at!) - Date.parse(old.created_at)).toBe(29 * DAY_MS);
    expect(old.results_url).toBeNull();
  });

  test("are deleted only once they have ended", async () => {
    const batch = await client.messages.batches.create({ requests: [request("d1")] });
    expect(await failure(client.messages.batches.delete(batch.id))).toBeInstanceOf(Anthropic.BadRequestError);
    await ended(batch);
    expect(await client.messages.batches.delete(batch.id)).toEqual({ id: batch.id, type: "message_batch_deleted" });
    expect(await failure(client.messages.batches.retrieve(batch.id))).toBeInstanceOf(Anthropic.NotFoundError);
  });

  test("of another account are not there, and hidden ones not yet", async () => {
    await faults([{ fault: { kind: "batch_hidden", getMs: 60_000, listMs: 60_000 } }]);
    const batch = await client.messages.batches.create({ requests: [request("h1")] });
    expect(await failure(client.messages.batches.retrieve(batch.id))).toBeInstanceOf(Anthropic.NotFoundError);
    const { data } = await client.messages.batches.list();
    expect(data.map((one) => one.id)).not.toContain(batch.id);
  });
});

describe("errors", () => {
  test.each([
    { status: 400, type: "invalid_request_error", error: Anthropic.BadRequestError },
    { status: 401, type: "authentication_error", error: Anthropic.AuthenticationError },
    { status: 402, type: "billing_error", error: Anthropic.PaymentRequiredError },
    { status: 403, type: "permission_error", error: Anthropic.PermissionDeniedError },
    { status: 404, type: "not_found_error", error: Anthropic.NotFoundError },
    { status: 409, type: "conflict_error", error: Anthropic.ConflictError },
    { status: 429, type: "rate_limit_error", error: Anthropic.RateLimitError },
    { status: 500, type: "api_error", error: Anthropic.InternalServerError },
    { status: 504, type: "timeout_error", error: Anthropic.InternalServerError },
    { status: 529, type: "overloaded_error", error: Anthropic.InternalServerError },
  ])("of status $status are the client's own, with their type and request id", async ({ status, type, error }) => {
    await faults([{ fault: { kind: "status", status } }]);
    const raised = await failure(client.messages.create(params()));
    expect(raised).toBeInstanceOf(error);
    expect([raised.status, raised.type]).toEqual([status, type]);
    expect(raised.requestID).toMatch(/^req_/);
    expect(raised.error.request_id).toBe(raised.requestID);
  });

  test("of a rate limit say how long to wait; those of a spend limit don't", async () => {
    await faults([{ fault: { kind: "rate_limited", waitMs: 7000 } }]);
    const limited = await failure(client.messages.create(params()));
    expect([limited.type, limited.headers.get("retry-after")]).toEqual(["rate_limit_error", "7"]);
    await faults([{ fault: { kind: "quota_gone" } }]);
    expect(await failure(client.messages.create(params()))).toBeInstanceOf(Anthropic.PaymentRequiredError);
  });

  test("of a wrong key come on every kind of call", async () => {
    const other = clientWith(WRONG_KEY);
    const { max_tokens: _unused, ...counted } = params();
    for (const call of [
      () => other.messages.create(params()),
      () => other.messages.countTokens(counted),
      () => other.models.list(),
      () => other.messages.batches.list(),
      () => other.messages.batches.create({ requests: [request("w")] }),
    ])
      expect(await failure(call() as Promise<unknown>)).toBeInstanceOf(Anthropic.AuthenticationError);
  });
});
