/** Gemini's wire, where the official client shows too little of it: uploads step by step, operations as they are, and every refusal. */
import { describe, expect, test } from "@jest/globals";
import { KEYS, advance, simulatorForAllTests, until, wire } from "../support/sdk-simulator.js";
import type { WireAnswer } from "../support/sdk-simulator.js";

simulatorForAllTests();

const HEADERS = { "x-goog-api-key": KEYS.gemini, "content-type": "application/json" };
const FLASH = "/v1beta/models/gemini-2.5-flash";
const EMBEDDING = "/v1beta/models/gemini-embedding-001";
const HI = { role: "user", parts: [{ text: "Hi" }] };

function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<WireAnswer> {
  return wire(method, path, { ...HEADERS, ...headers }, body);
}

function post(path: string, body: unknown): Promise<WireAnswer> {
  return call("POST", path, body);
}

async function upload(text: string, name: string): Promise<WireAnswer> {
  const started = await call("POST", "/upload/v1beta/files", { file: { name: `files/${name}` } }, START);
  return send(started, text, "upload, finalize", 0);
}

const START = {
  "x-goog-upload-protocol": "resumable",
  "x-goog-upload-command": "start",
  "x-goog-upload-header-content-type": "application/jsonl",
};

/** Sends to the address that the start was answered with; the key stays at home. */
function send(started: WireAnswer, body: string | Uint8Array, command: string, offset: number): Promise<WireAnswer> {
  const url = new URL(started.headers.get("x-goog-upload-url")!);
  const headers = { "x-goog-upload-command": command, "x-goog-upload-offset": String(offset) };
  return wire("POST", url.pathname + url.search, headers, body);
}

describe("requests", () => {
  test("may spell their fields either way, give one value for a list, and numbers as text", async () => {
    const answer = await post(`${FLASH}:generateContent`, {
      system_instruction: { parts: { text: "Be short." } },
      contents: { parts: { text: "Hi" } },
      generation_config: { max_output_tokens: "2", stopSequences: null },
      safetySettings: [{ category: "harm_category_harassment", threshold: "BLOCK_NONE" }],
    });
    expect(answer.status).toBe(200);
    expect(answer.json.candidates[0].finishReason).toBe("MAX_TOKENS");
  });

  test("may carry the key in the address", async () => {
    const headers = { "content-type": "application/json" };
    const answer = await wire("POST", `${FLASH}:countTokens?key=${KEYS.gemini}`, headers, { contents: [HI] });
    expect([answer.status, answer.json.totalTokens]).toEqual([200, 7]);
  });

  test("are answered without a Retry-After or rate headers", async () => {
    const { headers } = await post(`${FLASH}:generateContent`, { contents: [HI] });
    expect([...headers.keys()].filter((name) => /retry|rate|request-id/.test(name))).toEqual([]);
  });

  test("embed one content without the client's detour", async () => {
    const answer = await post(`${EMBEDDING}:embedContent`, { content: HI, output_dimensionality: 2 });
    expect(answer.json).toEqual({
      embedding: { values: [expect.any(Number), expect.any(Number)] },
      usageMetadata: { promptTokenCount: 7, promptTokenDetails: [{ modality: "TEXT", tokenCount: 7 }] },
    });
  });

  test("count a whole request", async () => {
    const generateContentRequest = { model: "models/gemini-2.5-flash", contents: [HI], systemInstruction: HI };
    expect((await post(`${FLASH}:countTokens`, { generateContentRequest })).json.totalTokens).toBe(11);
  });
});

describe("an upload", () => {
  test("goes on where it broke off", async () => {
    const started = await call("POST", "/upload/v1beta/files", { file: { display_name: "In pieces" } }, START);
    expect(started.status).toBe(200);
    expect(started.headers.get("x-goog-upload-status")).toBe("active");
    const granularity = Number(started.headers.get("x-goog-upload-chunk-granularity"));
    const piece = Buffer.alloc(granularity, "x");
    expect((await send(started, piece, "upload", 0)).headers.get("x-goog-upload-status")).toBe("active");
    const asked = await send(started, "", "query", 0);
    expect(asked.headers.get("x-goog-upload-size-received")).toBe(String(granularity));
    const late = await send(started, "again", "upload, finalize", 0);
    expect([late.status, late.json.error.status]).toEqual([400, "INVALID_ARGUMENT"]);
    const done = await send(started, "end", "upload, finalize", granularity);
    expect(done.headers.get("x-goog-upload-status")).toBe("final");
    expect(done.json.file).toMatchObject({ displayName: "In pieces", sizeBytes: String(granularity + 3) });
    // A caller that lost the last answer may ask for it.
    expect((await send(started, "", "query", 0)).json.file.name).toBe(done.json.file.name);
  });

  test("can be finalised apart from its last piece, and cancelled", async () => {
    const started = await call("POST", "/upload/v1beta/files", {}, START);
    await send(started, Buffer.alloc(262_144), "upload", 0);
    expect((await send(started, "", "finalize", 262_144)).json.file.sizeBytes).toBe("262144");
    const other = await call("POST", "/upload/v1beta/files", {}, START);
    expect((await send(other, "", "cancel", 0)).headers.get("x-goog-upload-status")).toBe("cancelled");
    const after = await send(other, "x", "upload, finalize", 0);
    expect([after.headers.get("x-goog-upload-status"), after.json]).toEqual(["cancelled", {}]);
  });

  const long = (bytes: number): Record<string, string> => ({ "x-goog-upload-header-content-length": String(bytes) });

  test.each<[string, unknown, Record<string, string>, RegExp]>([
    ["another protocol", {}, { "x-goog-upload-protocol": "multipart" }, /resumable/],
    ["no command", {}, { "x-goog-upload-command": "" }, /start/],
    [
      "an unknown field",
      { file: { color: "red" } },
      {},
      /^Invalid JSON payload received. Unknown name "color" at 'file'/,
    ],
    ["a name of 41 characters", { file: { name: `files/${"a".repeat(41)}` } }, {}, /40 lower-case letters/],
    ["a name in capitals", { file: { name: "files/ABC" } }, {}, /40 lower-case letters/],
    ["a name that ends with a dash", { file: { name: "files/abc-" } }, {}, /no dash at its ends/],
    ["a display name of 513 characters", { file: { displayName: "x".repeat(513) } }, {}, /512/],
    ["no type", {}, { "x-goog-upload-header-content-type": "" }, /MIME type/],
    ["a byte more than 2 GB", {}, long(2 ** 31 + 1), /larger than 2147483648 bytes/],
  ])("is refused with %s", async (_name, body, headers, message) => {
    const answer = await call("POST", "/upload/v1beta/files", body, { ...START, ...headers });
    expect([answer.status, answer.json.error.status]).toEqual([400, "INVALID_ARGUMENT"]);
    expect(answer.json.error.message).toMatch(message);
  });

  test("may have a name of 40 characters and exactly 2 GB", async () => {
    const body = { file: { name: `files/${"a".repeat(40)}` } };
    expect((await call("POST", "/upload/v1beta/files", body, { ...START, ...long(2 ** 31) })).status).toBe(200);
  });

  test("is refused when other bytes come than were announced, or pieces of odd sizes, or an address nobody gave", async () => {
    const short = await call("POST", "/upload/v1beta/files", {}, { ...START, ...long(5) });
    expect((await send(short, "four", "upload, finalize", 0)).status).toBe(400);
    const odd = await call("POST", "/upload/v1beta/files", {}, START);
    expect((await send(odd, "odd", "upload", 0)).json.error.message).toContain("262144");
    const nowhere = await call("POST", "/upload/v1beta/files?upload_id=x", "", START);
    expect([nowhere.status, nowhere.json.error.status]).toEqual([404, "NOT_FOUND"]);
  });
});

describe("a batch", () => {
  const inline = (key: string): object => ({ request: { contents: [HI] }, metadata: { key } });
  const order = (...keys: string[]): object => ({
    batch: { displayName: "d1", inputConfig: { requests: { requests: keys.map(inline) } }, priority: "-2" },
  });

  test("is an operation: waiting, then running, then done with a response", async () => {
    const created = await post(`${FLASH}:batchGenerateContent`, order("a1", "a2"));
    expect(created.status).toBe(200);
    const type = "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch";
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
    const { name } = created.json;
    expect(created.json).toEqual({
      name,
      metadata: {
        "@type": type,
        model: "models/gemini-2.5-flash",
        displayName: "d1",
        createTime: time,
        updateTime: time,
        batchStats: { requestCount: "2", pendingRequestCount: "2" },
        state: "BATCH_STATE_PENDING",
        priority: "-2",
        name,
      },
    });
    const look = (): Promise<WireAnswer> => call("GET", `/v1beta/${name}`);
    const running = await until(look, ({ json }) => json.metadata.state !== "BATCH_STATE_PENDING", 60_000);
    expect([running.json.metadata.state, running.json.done]).toEqual(["BATCH_STATE_RUNNING", undefined]);
    const done = (await until(look, ({ json }) => json.done === true)).json;
    expect(done.metadata).toMatchObject({
      state: "BATCH_STATE_SUCCEEDED",
      batchStats: { requestCount: "2", successfulRequestCount: "2" },
      endTime: time,
    });
    expect(Object.keys(done.metadata.batchStats)).toHaveLength(2);
    expect(done.response["@type"]).toBe(`${type}Output`);
    expect(done.response.inlinedResponses).toEqual(done.metadata.output.inlinedResponses);
    const rows: any[] = done.response.inlinedResponses.inlinedResponses;
    expect(rows.map((row) => row.metadata.key).sort()).toEqual(["a1", "a2"]);
    const listed = await call("GET", "/v1beta/batches?pageSize=1");
    expect(listed.json.operations[0].response).toEqual({ "@type": `${type}Output` });
  });

  test("from a file names it, and its results come from the download host's path", async () => {
    await upload(JSON.stringify({ key: "k", request: { contents: [HI] } }), "lines");
    await advance(2000);
    const batch = { display_name: "d2", input_config: { file_name: "files/lines" } };
    const created = await post(`${FLASH}:batchGenerateContent`, { batch });
    expect(created.json.metadata.inputConfig).toEqual({ fileName: "files/lines" });
    const path = `/v1beta/${created.json.name}`;
    const done = await until(
      () => call("GET", path),
      ({ json }) => json.done === true,
    );
    const { responsesFile } = done.json.response;
    expect(done.json.metadata.output).toEqual({ responsesFile });
    const results = await call("GET", `/download/v1beta/${responsesFile}:download?alt=media`);
    expect(JSON.parse(results.text).key).toBe("k");
    expect((await call("GET", `/v1beta/${responsesFile}`)).status).toBe(403);
    expect((await call("GET", "/v1beta/files/lines:download?alt=media")).status).toBe(400);
  });

  test("that is cancelled ends with an error and no response", async () => {
    const created = await post(`${FLASH}:batchGenerateContent`, order("c1"));
    const cancelled = await call("POST", `/v1beta/${created.json.name}:cancel`, {});
    expect([cancelled.status, cancelled.json]).toEqual([200, {}]);
    const path = `/v1beta/${created.json.name}`;
    const { json } = await until(
      () => call("GET", path),
      (seen) => seen.json.done === true,
    );
    expect(json.metadata.state).toBe("BATCH_STATE_CANCELLED");
    expect(json.error).toEqual({ code: 1, message: expect.any(String) });
    expect(json.response).toBeUndefined();
    const deleted = await call("DELETE", path);
    expect([deleted.status, deleted.json]).toEqual([200, {}]);
  });

  test("is refused when its input file is not there, deleted, or still being processed", async () => {
    const gone = await post(`${FLASH}:batchGenerateContent`, { batch: { inputConfig: { fileName: "files/never" } } });
    expect([gone.status, gone.json.error.status]).toEqual([403, "PERMISSION_DENIED"]);
    await upload("{}", "deleted");
    await advance(2000);
    await call("DELETE", "/v1beta/files/deleted");
    const fileName = "files/deleted";
    expect((await post(`${FLASH}:batchGenerateContent`, { batch: { inputConfig: { fileName } } })).status).toBe(403);
    await upload("{}", "fresh");
    const early = await post(`${FLASH}:batchGenerateContent`, { batch: { inputConfig: { fileName: "files/fresh" } } });
    expect(early.json.error).toMatchObject({
      status: "FAILED_PRECONDITION",
      message: "The File fresh is not in an ACTIVE state and usage is not allowed.",
    });
  });
});
