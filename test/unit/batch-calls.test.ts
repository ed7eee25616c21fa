import { readFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "@jest/globals";
import type { BatchCreate, BatchProvider } from "../../src/ports/batch-provider.js";
import { batchAccount, LIMITS, linesOf, NEVER, SEND } from "../support/batch-account.js";
import { ScriptedServer, type SeenRequest } from "../support/scripted-server.js";

/** What each call about batches sends, and what its answers come to. */

type Kind = "openai" | "anthropic" | "gemini";
type Answer = ReturnType<Exclude<Parameters<typeof ScriptedServer.start>[0], { answer?: unknown }>>;

const BASE_PATHS = { openai: "/v1", anthropic: "", gemini: "/v1beta" } as const;
const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** An account at a server that gives these answers in turn, the last one for ever. */
async function accountAt(
  kind: Kind,
  ...answers: readonly [Answer, ...Answer[]]
): Promise<{ one: BatchProvider; server: ScriptedServer }> {
  let next = 0;
  const server = await ScriptedServer.start(() => answers[Math.min(next++, answers.length - 1)] ?? null);
  const one = await batchAccount(kind, server.origin + BASE_PATHS[kind]);
  cleanups.push(
    () => server.close(),
    () => one.close(),
  );
  return { one, server };
}

const golden = (name: string): string => readFileSync(`test/golden/batches/${name}`, "utf8");
const asked = ({ method, url }: SeenRequest): string => `${method} ${url}`;
const created = (kind: Kind): BatchCreate => {
  if (kind === "anthropic")
    return {
      mark: "b-1.1",
      lineFormat: "anthropic.messages",
      model: null,
      input: { way: "inline", ...linesOf(["{}"]) },
    };
  const lineFormat = kind === "openai" ? "openai.chat" : "gemini.generate";
  return {
    mark: "b-1.1",
    lineFormat,
    model: "m-1",
    input: { way: "file", fileId: kind === "openai" ? "file-1" : "files/b-1" },
  };
};

describe("OpenAI", () => {
  test("takes a file as a form, under the name that it is found by", async () => {
    const { one, server } = await accountAt("openai", { body: golden("openai/file.json") });
    const upload = { name: "b-17-1", ...linesOf(['{"a":1}', '{"b":"ü"}']) };
    expect(await one.upload(upload, LIMITS, NEVER)).toEqual({
      kind: "uploaded",
      file: { fileId: "file-in1", name: "b-17-1", bytes: 1234, createdAtMs: 1_790_000_000_000, state: "ready" },
    });
    const [request] = server.seen;
    expect(asked(request!)).toBe("POST /v1/files");
    expect(request!.headers).toMatchObject({
      authorization: "Bearer sk-test",
      "content-length": String(Buffer.byteLength(request!.body)),
    });
    const boundary = /^multipart\/form-data; boundary=(\S+)$/.exec(request!.headers["content-type"]!)![1]!;
    expect(request!.body.split(`--${boundary}`)).toEqual([
      "",
      '\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n',
      '\r\ncontent-disposition: form-data; name="file"; filename="b-17-1.jsonl"\r\ncontent-type: application/jsonl\r\n\r\n{"a":1}\n{"b":"ü"}\n\r\n',
      "--\r\n",
    ]);
  });

  test("lists its files page by page until they are older than asked for", async () => {
    const file = (id: string, filename: string, created_at: number) => ({ id, filename, created_at, bytes: 1 });
    const { one, server } = await accountAt(
      "openai",
      { body: { data: [file("file-4", "b-2.jsonl", 90), file("file-3", "b-1.jsonl", 80)], has_more: true } },
      { body: { data: [file("file-2", "b-1.jsonl", 40), file("file-1", "x.jsonl", 30)], has_more: true } },
    );
    const reply = await one.findFiles({ name: "b-1", sinceMs: 50_000 }, LIMITS, NEVER);
    expect(reply).toMatchObject({ kind: "files", files: [{ fileId: "file-3" }, { fileId: "file-2" }] });
    expect(server.seen.map(asked)).toEqual([
      "GET /v1/files?purpose=batch&order=desc&limit=1000",
      "GET /v1/files?purpose=batch&order=desc&limit=1000&after=file-3",
    ]);
  });

  test("makes a batch of a file, with our mark in its metadata", async () => {
    const { one, server } = await accountAt("openai", { body: golden("openai/validating.json") });
    expect(await one.create(created("openai"), SEND, NEVER)).toMatchObject({
      kind: "created",
      batch: { batchId: "batch_abc124", state: "accepted" },
    });
    expect(asked(server.seen[0]!)).toBe("POST /v1/batches");
    expect(server.seen[0]!.headers["content-type"]).toBe("application/json");
    expect(JSON.parse(server.seen[0]!.body)).toEqual({
      input_file_id: "file-1",
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
      metadata: { sluice_batch: "b-1.1" },
    });
  });

  test("lists batches newest first, and stops where all are older", async () => {
    const batch = (id: string, created_at: number) => ({ id, status: "in_progress", created_at });
    const { one, server } = await accountAt(
      "openai",
      { body: { data: [batch("batch_3", 90), batch("batch_2", 80)], has_more: true } },
      { body: { data: [batch("batch_1", 40)], has_more: true } },
    );
    const first = await one.list({ sinceMs: 50_000, after: null }, LIMITS, NEVER);
    expect(first).toMatchObject({ kind: "page", batches: [{ batchId: "batch_3" }, {}], next: "batch_2" });
    expect(await one.list({ sinceMs: 50_000, after: "batch_2" }, LIMITS, NEVER)).toMatchObject({ next: null });
    expect(server.seen.map(asked)).toEqual(["GET /v1/batches?limit=100", "GET /v1/batches?limit=100&after=batch_2"]);
  });

  test("has its files deleted once they are not needed, whatever of them is gone already", async () => {
    const missing = { status: 404, body: { error: { message: "No such File object" } } };
    const { one, server } = await accountAt("openai", { body: { id: "file-1", deleted: true } }, missing, {
      status: 503,
    });
    const erase = {
      batchId: "batch_1",
      fileId: "file-1",
      parts: [
        { part: "results", ref: "file-2" },
        { part: "errors", ref: "file-3" },
      ],
    } as const;
    expect(await one.erase(erase, LIMITS, NEVER)).toMatchObject({ kind: "failed", outcome: "overloaded" });
    expect(server.seen.map(asked)).toEqual([
      "DELETE /v1/files/file-1",
      "DELETE /v1/files/file-2",
      "DELETE /v1/files/file-3",
    ]);
    expect(await one.deleteFile("file-9", LIMITS, NEVER)).toMatchObject({ kind: "failed" });
  });

  test("says of a file that was deleted, and of one that is not there", async () => {
    const { one } = await accountAt("openai", { body: { deleted: true } }, { status: 404 });
    expect(await one.deleteFile("file-1", LIMITS, NEVER)).toEqual({ kind: "deleted" });
    expect(await one.deleteFile("file-1", LIMITS, NEVER)).toEqual({ kind: "absent" });
  });
});

describe("Anthropic", () => {
  test("takes the lines inside the create call", async () => {
    const { one, server } = await accountAt("anthropic", { body: golden("anthropic/in-progress.json") });
    const lines = ['{"custom_id":"a1","params":{}}', '{"custom_id":"a2","params":{}}'];
    const reply = await one.create(
      { ...created("anthropic"), input: { way: "inline", ...linesOf(lines) } },
      SEND,
      NEVER,
    );
    expect(reply).toMatchObject({ kind: "created", batch: { batchId: "msgbatch_1", counts: { total: 100 } } });
    const [request] = server.seen;
    expect(asked(request!)).toBe("POST /v1/messages/batches");
    expect(request!.headers).toMatchObject({ "x-api-key": "sk-test", "anthropic-version": "2023-06-01" });
    expect(request!.body).toBe(`{"requests":[${lines.join(",")}]}`);
  });

  test("lists batches with after_id for the older ones, and is deleted with its results", async () => {
    const page = { data: [JSON.parse(golden("anthropic/ended.json"))], has_more: true };
    const { one, server } = await accountAt("anthropic", { body: page }, { body: { data: [] } }, { body: { id: "x" } });
    const sinceMs = Date.UTC(2026, 10, 24);
    expect(await one.list({ sinceMs, after: null }, LIMITS, NEVER)).toMatchObject({ next: "msgbatch_2" });
    expect(await one.list({ sinceMs, after: "msgbatch_2" }, LIMITS, NEVER)).toMatchObject({ batches: [], next: null });
    expect(await one.erase({ batchId: "msgbatch_2", fileId: null, parts: [] }, LIMITS, NEVER)).toEqual({
      kind: "erased",
    });
    expect(server.seen.map(asked)).toEqual([
      "GET /v1/messages/batches?limit=100",
      "GET /v1/messages/batches?limit=100&after_id=msgbatch_2",
      "DELETE /v1/messages/batches/msgbatch_2",
    ]);
  });

  test("takes no files, and has none", async () => {
    const { one } = await accountAt("anthropic", {});
    expect(await one.findFiles({ name: "b-1", sinceMs: 0 }, LIMITS, NEVER)).toEqual({ kind: "files", files: [] });
    await expect(one.upload({ name: "b-1", ...linesOf([]) }, LIMITS, NEVER)).rejects.toThrow(RangeError);
  });
});

describe("Gemini", () => {
  const FILE = { name: "files/b-17-1", sizeBytes: "16", state: "PROCESSING", createTime: "2026-11-24T10:00:00Z" };

  test("takes a file in two steps, at the place it names at the same host", async () => {
    let origin = "";
    const server = await ScriptedServer.start(({ url }) =>
      url.startsWith("/upload/v1beta/files?upload_id=")
        ? { body: { file: FILE } }
        : { headers: { "x-goog-upload-url": `${origin}/upload/v1beta/files?upload_id=u1` }, body: "" },
    );
    origin = server.origin;
    const one = await batchAccount("gemini", `${origin}/v1beta`);
    cleanups.push(
      () => server.close(),
      () => one.close(),
    );
    const reply = await one.upload({ name: "b-17-1", ...linesOf(['{"a":1}', '{"b":2}']) }, LIMITS, NEVER);
    expect(reply).toMatchObject({
      kind: "uploaded",
      file: { fileId: "files/b-17-1", name: "b-17-1", state: "processing" },
    });
    const [start, bytes] = server.seen;
    expect(asked(start!)).toBe("POST /upload/v1beta/files");
    expect(start!.headers).toMatchObject({
      "x-goog-api-key": "sk-test",
      "x-goog-upload-protocol": "resumable",
      "x-goog-upload-command": "start",
      "x-goog-upload-header-content-length": "16",
      "x-goog-upload-header-content-type": "application/jsonl",
    });
    expect(JSON.parse(start!.body)).toEqual({
      file: { name: "files/b-17-1", displayName: "b-17-1", mimeType: "application/jsonl" },
    });
    expect(bytes!.headers).toMatchObject({
      "x-goog-upload-command": "upload, finalize",
      "x-goog-upload-offset": "0",
      "content-length": "16",
    });
    expect(bytes!.body).toBe('{"a":1}\n{"b":2}\n');
  });

  test("finds a file by its name; one that is not there is answered like somebody else's", async () => {
    const message = "You do not have permission to access the File b-1 or it may not exist.";
    const missing = { status: 403, body: { error: { code: 403, message, status: "PERMISSION_DENIED" } } };
    const denied = { status: 403, body: { error: { code: 403, message: "No access.", status: "PERMISSION_DENIED" } } };
    const { one, server } = await accountAt("gemini", { body: { ...FILE, state: "ACTIVE" } }, missing, missing, denied);
    expect(await one.findFiles({ name: "b-17-1", sinceMs: 0 }, LIMITS, NEVER)).toMatchObject({
      files: [{ name: "b-17-1", state: "ready" }],
    });
    expect(await one.findFiles({ name: "b-1", sinceMs: 0 }, LIMITS, NEVER)).toEqual({ kind: "files", files: [] });
    expect(await one.deleteFile("files/b-1", LIMITS, NEVER)).toEqual({ kind: "absent" });
    expect(await one.deleteFile("files/b-1", LIMITS, NEVER)).toMatchObject({ kind: "failed", outcome: "auth_failed" });
    expect(server.seen.map(asked).slice(0, 3)).toEqual([
      "GET /v1beta/files/b-17-1",
      "GET /v1beta/files/b-1",
      "DELETE /v1beta/files/b-1",
    ]);
  });

  test("makes a batch of a file or of lines, under our mark as its name", async () => {
    const { one, server } = await accountAt("gemini", { body: golden("gemini/running.json") });
    expect(await one.create(created("gemini"), SEND, NEVER)).toMatchObject({
      kind: "created",
      batch: { batchId: "batches/abc123", mark: "b-17.1" },
    });
    const lines = ['{"request":{},"metadata":{"key":"a1"}}', '{"request":{},"metadata":{"key":"a2"}}'];
    await one.create({ ...created("gemini"), input: { way: "inline", ...linesOf(lines) } }, SEND, NEVER);
    await one.create({ ...created("gemini"), lineFormat: "gemini.embed" }, SEND, NEVER);
    expect(server.seen.map(asked)).toEqual([
      "POST /v1beta/models/m-1:batchGenerateContent",
      "POST /v1beta/models/m-1:batchGenerateContent",
      "POST /v1beta/models/m-1:asyncBatchEmbedContent",
    ]);
    expect(JSON.parse(server.seen[0]!.body)).toEqual({
      batch: { displayName: "b-1.1", inputConfig: { fileName: "files/b-1" } },
    });
    expect(JSON.parse(server.seen[1]!.body)).toEqual({
      batch: { displayName: "b-1.1", inputConfig: { requests: { requests: lines.map((line) => JSON.parse(line)) } } },
    });
  });

  test("is looked at without holding the results that an operation carries", async () => {
    const filler = Array.from({ length: 3_000 }, (_none, index) => ({
      response: { text: "x".repeat(1_000) },
      metadata: { key: `a${String(index)}` },
    }));
    const operation = JSON.parse(golden("gemini/succeeded-inline.json"));
    operation.metadata.output.inlinedResponses.inlinedResponses = filler;
    operation.response.inlinedResponses.inlinedResponses = filler;
    const { one } = await accountAt("gemini", { body: operation });
    // The account reads at most 1 MB of an answer.
    expect(await one.get("batches/abc125", LIMITS, NEVER)).toMatchObject({
      kind: "batch",
      batch: { state: "completed", results: [{ part: "inline", ref: "batches/abc125" }] },
    });
  });

  test("lists operations by page tokens; an empty list is left out of the answer", async () => {
    const { one, server } = await accountAt(
      "gemini",
      { body: { operations: [JSON.parse(golden("gemini/running.json"))], nextPageToken: "a/b=" } },
      { body: {} },
    );
    expect(await one.list({ sinceMs: 0, after: null }, LIMITS, NEVER)).toMatchObject({
      batches: [{ batchId: "batches/abc123" }],
      next: "a/b=",
    });
    expect(await one.list({ sinceMs: 0, after: "a/b=" }, LIMITS, NEVER)).toEqual({
      kind: "page",
      batches: [],
      next: null,
    });
    expect(server.seen.map(asked)).toEqual([
      "GET /v1beta/batches?pageSize=100",
      "GET /v1beta/batches?pageSize=100&pageToken=a%2Fb%3D",
    ]);
  });

  test("has its results at the download path, and is erased with its files", async () => {
    const { one, server } = await accountAt(
      "gemini",
      { headers: { "content-type": "application/jsonl" }, body: golden("gemini/lines.jsonl") },
      { body: {} },
      { status: 403, body: { error: { code: 403, message: "no", status: "PERMISSION_DENIED" } } },
      { body: {} },
    );
    const parts = [{ part: "results", ref: "files/batch-abc" }] as const;
    const kinds: string[] = [];
    const request = { batchId: "batches/abc", lineFormat: "gemini.generate", parts, cursor: null } as const;
    for await (const item of one.results(request, LIMITS, NEVER)) kinds.push(item.kind);
    expect(kinds).toEqual([...Array.from({ length: 8 }, () => "line"), "malformed", "end"]);
    expect(await one.erase({ batchId: "batches/abc", fileId: "files/b-1", parts }, LIMITS, NEVER)).toEqual({
      kind: "erased",
    });
    expect(server.seen.map(asked)).toEqual([
      "GET /download/v1beta/files/batch-abc:download?alt=media",
      "DELETE /v1beta/files/b-1",
      "DELETE /v1beta/files/batch-abc",
      "DELETE /v1beta/batches/abc",
    ]);
  });
});

describe("a create that is refused", () => {
  const openaiError = (code: string | null, message = "no", type = "invalid_request_error") => ({
    error: { message, type, param: null, code },
  });
  const anthropicError = (type: string, message: string, error_code?: string) => ({
    type: "error",
    error: { type, message, ...(error_code === undefined ? {} : { details: { error_code } }) },
    request_id: "req_1",
  });
  const geminiError = (code: number, status: string, message: string, quotaId?: string) => ({
    error: {
      code,
      message,
      status,
      ...(quotaId === undefined
        ? {}
        : { details: [{ "@type": "type.googleapis.com/google.rpc.QuotaFailure", violations: [{ quotaId }] }] }),
    },
  });

  test.each<[Kind, number, object, string]>([
    ["openai", 400, openaiError("token_limit_exceeded"), "queue_full"],
    ["openai", 429, openaiError("token_limit_exceeded"), "queue_full"],
    ["openai", 429, openaiError("rate_limit_exceeded", "slow", "requests"), "rate_limited"],
    ["openai", 429, openaiError("insufficient_quota", "pay", "insufficient_quota"), "quota_exhausted"],
    ["openai", 401, openaiError("invalid_api_key"), "auth_failed"],
    ["openai", 403, openaiError(null), "auth_failed"],
    ["openai", 404, openaiError(null, "No such File object: file-1"), "file_gone"],
    ["openai", 400, openaiError(null, "No such File object: file-1"), "file_gone"],
    ["openai", 400, openaiError("invalid_json_line"), "bad_line"],
    ["openai", 400, openaiError("model_mismatch"), "bad_line"],
    ["openai", 400, openaiError("too_many_tasks"), "too_large"],
    ["openai", 413, {}, "too_large"],
    ["openai", 400, openaiError(null, "Invalid 'endpoint'"), "not_accepted"],
    ["openai", 418, {}, "unclassified"],
    ["anthropic", 400, anthropicError("invalid_request_error", "requests.1.params.model: Field required"), "bad_line"],
    [
      "anthropic",
      400,
      anthropicError("invalid_request_error", "requests: List should have at most 100000 items"),
      "too_large",
    ],
    ["anthropic", 400, anthropicError("invalid_request_error", "Your credit balance is too low"), "quota_exhausted"],
    ["anthropic", 400, anthropicError("invalid_request_error", "odd"), "not_accepted"],
    ["anthropic", 413, {}, "too_large"],
    ["anthropic", 429, anthropicError("rate_limit_error", "Too many requests in the processing queue"), "queue_full"],
    ["anthropic", 429, anthropicError("rate_limit_error", "slow down"), "rate_limited"],
    ["anthropic", 429, anthropicError("rate_limit_error", "x", "enforced_spend_limit_reached"), "quota_exhausted"],
    ["anthropic", 403, anthropicError("permission_error", "x", "organization_on_hold"), "auth_failed"],
    ["anthropic", 401, anthropicError("authentication_error", "x"), "auth_failed"],
    ["gemini", 429, geminiError(429, "RESOURCE_EXHAUSTED", "x", "BatchEnqueuedTokensPerModel"), "queue_full"],
    ["gemini", 429, geminiError(429, "RESOURCE_EXHAUSTED", "Too many enqueued tokens"), "queue_full"],
    ["gemini", 429, geminiError(429, "RESOURCE_EXHAUSTED", "Too many concurrent batches"), "too_many_batches"],
    ["gemini", 429, geminiError(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota"), "rate_limited"],
    ["gemini", 429, geminiError(429, "RESOURCE_EXHAUSTED", "x", "RequestsPerDayPerProject"), "quota_exhausted"],
    [
      "gemini",
      400,
      geminiError(400, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520 bytes."),
      "too_large",
    ],
    [
      "gemini",
      400,
      geminiError(400, "INVALID_ARGUMENT", "batch.inputConfig.requests.requests[4].request: bad"),
      "bad_line",
    ],
    [
      "gemini",
      403,
      geminiError(403, "PERMISSION_DENIED", "You do not have permission to access the File x or it may not exist."),
      "file_gone",
    ],
    [
      "gemini",
      400,
      geminiError(400, "FAILED_PRECONDITION", "The File files/b-1 is not in an ACTIVE state."),
      "file_not_ready",
    ],
    ["gemini", 404, geminiError(404, "NOT_FOUND", "models/m-1 is not found"), "auth_failed"],
    ["gemini", 400, geminiError(400, "INVALID_ARGUMENT", "API key not valid."), "auth_failed"],
  ])("%s %i %j is %s", async (kind, status, body, because) => {
    const { one, server } = await accountAt(kind, { status, body });
    expect(await one.create(created(kind), SEND, NEVER)).toMatchObject({ kind: "refused", refusal: { because } });
    expect(server.seen.length).toBe(1);
  });

  test("names the line where the provider does, and how long to wait", async () => {
    const body = anthropicError(
      "invalid_request_error",
      "requests.4.custom_id: String should have at most 64 characters",
    );
    const bad = await accountAt("anthropic", { status: 400, headers: { "request-id": "req_9" }, body });
    expect(await bad.one.create(created("anthropic"), SEND, NEVER)).toEqual({
      kind: "refused",
      refusal: {
        because: "bad_line",
        message: "anthropic refused the batch (400 invalid_request_error): a request of it breaks the rules",
        lines: [{ lineNumber: 5, code: "invalid_request_error" }],
        retryAfterMs: null,
        provider: { status: 400, code: "invalid_request_error", requestId: "req_9" },
      },
    });
    const slow = await accountAt("openai", {
      status: 429,
      headers: { "retry-after": "7" },
      body: openaiError("rate_limit_exceeded"),
    });
    expect(await slow.one.create(created("openai"), SEND, NEVER)).toMatchObject({ refusal: { retryAfterMs: 7_000 } });
  });
});

describe.each<[Kind, string, string, object, object]>([
  [
    "openai",
    "batch_1",
    "POST /v1/batches/batch_1/cancel",
    { id: "batch_1", status: "cancelling" },
    { id: "batch_1", status: "completed" },
  ],
  [
    "anthropic",
    "msgbatch_1",
    "POST /v1/messages/batches/msgbatch_1/cancel",
    { id: "msgbatch_1", processing_status: "canceling" },
    { id: "msgbatch_1", processing_status: "ended" },
  ],
  [
    "gemini",
    "batches/b",
    "POST /v1beta/batches/b:cancel",
    {},
    { name: "batches/b", metadata: { state: "BATCH_STATE_SUCCEEDED" }, done: true, response: {} },
  ],
])("cancelling at %s", (kind, batchId, request, cancelling, ended) => {
  test("asks the provider to stop", async () => {
    const { one, server } = await accountAt(kind, { body: cancelling });
    expect(await one.cancel(batchId, LIMITS, NEVER)).toEqual({ kind: "cancelling" });
    expect(server.seen.map(asked)).toEqual([request]);
  });

  test("a batch that has ended is found out by looking at it", async () => {
    const { one, server } = await accountAt(kind, { status: 400 }, { body: ended });
    expect(await one.cancel(batchId, LIMITS, NEVER)).toEqual({ kind: "ended" });
    expect(server.seen.map(({ method }) => method)).toEqual(["POST", "GET"]);
  });

  test("that is refused while it runs has failed", async () => {
    const { one } = await accountAt(kind, { status: 409 }, { status: 404 });
    expect(await one.cancel(batchId, LIMITS, NEVER)).toMatchObject({ kind: "failed", provider: { status: 409 } });
  });

  test("a batch that is not there, and looking at one", async () => {
    const { one } = await accountAt(kind, { status: 404 });
    expect(await one.cancel(batchId, LIMITS, NEVER)).toEqual({ kind: "absent" });
    expect(await one.get(batchId, LIMITS, NEVER)).toEqual({ kind: "absent" });
  });
});
