/** Google's official client judges the simulator's Gemini API: it talks to it unmodified but for the base URL. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ApiError, FileState, FinishReason, FunctionCallingConfigMode, GoogleGenAI, JobState } from "@google/genai";
import type { BatchJob, GenerateContentConfig } from "@google/genai";
import { beforeAll, describe, expect, jest, test } from "@jest/globals";
import {
  KEYS,
  WRONG_KEY,
  advance,
  billRows,
  failure,
  faults,
  folder,
  shareDispatcher,
  simulator,
  simulatorForAllTests,
  until,
} from "../support/sdk-simulator.js";

simulatorForAllTests();

const HOUR_MS = 3_600_000;
const FLASH = "gemini-2.5-flash";
const EMBEDDING = "gemini-embedding-001";
/** sha256 of "Hi", first 32 hex characters; its byte 0 is below 64, so that half of the prompt counts as cached. */
const HI = "3639efcd08abb273b1619e82e78c29a7";

let ai: GoogleGenAI;

beforeAll(() => {
  shareDispatcher();
  ai = clientWith(KEYS.gemini);
});

function clientWith(apiKey: string): GoogleGenAI {
  return new GoogleGenAI({ apiKey, httpOptions: { baseUrl: simulator.geminiBaseUrl } });
}

function generate(contents: string, config: GenerateContentConfig = {}): ReturnType<typeof ai.models.generateContent> {
  return ai.models.generateContent({ model: FLASH, contents, config });
}

/** The google.rpc error inside of the client's. */
function rpcError(error: ApiError): { code: number; status: string; message: string; details?: any[] } {
  return JSON.parse(error.message).error;
}

describe("generateContent", () => {
  test("answers with usage by the stated rules, thoughts apart, and is billed by the list", async () => {
    const before = billRows().length;
    const answer = await generate("Hi");
    expect(answer.text).toContain(`digest=${HI}`);
    expect(answer.modelVersion).toBe(FLASH);
    expect(answer.candidates?.[0]?.finishReason).toBe(FinishReason.STOP);
    const said = answer.text!.split(" ").length;
    // Byte 4 of the digest is 8: so many tokens of thought. 7 = 3 a message, 1 for "Hi", 3 a request; half of it cached.
    expect(answer.usageMetadata).toEqual({
      promptTokenCount: 7,
      cachedContentTokenCount: 3,
      candidatesTokenCount: said,
      thoughtsTokenCount: 8,
      totalTokenCount: 7 + said + 8,
      promptTokensDetails: [{ modality: "TEXT", tokenCount: 7 }],
      cacheTokensDetails: [{ modality: "TEXT", tokenCount: 3 }],
    });
    // $0.30, cached $0.03, $2.50 a million tokens.
    const nanoUsd = 4 * 300 + 3 * 30 + (said + 8) * 2500;
    expect(billRows().slice(before)).toEqual([
      expect.objectContaining({
        provider: "gemini",
        key: "gemini",
        model: FLASH,
        mode: "direct",
        inputTokens: 7,
        cachedInputTokens: 3,
        outputTokens: said + 8,
        nanoUsd: String(nanoUsd),
      }),
    ]);
  });

  test("leaves out what is zero", async () => {
    const answer = await generate("Nothing cached", { thinkingConfig: { thinkingBudget: 0 } });
    expect(Object.keys(answer.usageMetadata!).sort()).toEqual([
      "candidatesTokenCount",
      "promptTokenCount",
      "promptTokensDetails",
      "totalTokenCount",
    ]);
  });

  test("shows its thoughts when asked to", async () => {
    const answer = await generate("Hi", { thinkingConfig: { includeThoughts: true } });
    const parts = answer.candidates![0]!.content!.parts!;
    expect(parts.map((part) => part.thought)).toEqual([true, undefined]);
    expect(answer.text).not.toContain("Thinking");
  });

  test("takes system instruction, turns, an image, sampling, safety settings and stop sequences", async () => {
    const answer = await ai.models.generateContent({
      model: FLASH,
      contents: [
        { role: "user", parts: [{ text: "Look" }, { inlineData: { mimeType: "image/png", data: "iVBORw0KGgo=" } }] },
        { role: "model", parts: [{ text: "Seen" }] },
        { role: "user", parts: [{ text: "And?" }] },
      ],
      config: {
        systemInstruction: "Be short.",
        temperature: 2,
        topP: 1,
        topK: 40,
        seed: -1,
        candidateCount: 2,
        maxOutputTokens: 500,
        stopSequences: [" body="],
        presencePenalty: 1.5,
        frequencyPenalty: -2,
        safetySettings: [{ category: "HARM_CATEGORY_HARASSMENT" as never, threshold: "BLOCK_NONE" as never }],
      },
    });
    expect(answer.candidates?.map((one) => one.content?.parts?.[0]?.text)).toEqual([
      expect.stringMatching(/^digest=[0-9a-f]{32}$/),
      expect.stringMatching(/^digest=[0-9a-f]{32}$/),
    ]);
    // System 3 + 3, the image's turn 3 + 1 + 85, 3 + 1, 3 + 1, and 3.
    expect(answer.usageMetadata?.promptTokenCount).toBe(6 + 89 + 4 + 4 + 3);
  });

  test("stops at its maximum", async () => {
    const answer = await generate("Long, please", { maxOutputTokens: 2 });
    expect(answer.candidates?.[0]?.finishReason).toBe(FinishReason.MAX_TOKENS);
    expect(answer.usageMetadata?.candidatesTokenCount).toBe(2);
  });

  const tools = [
    {
      functionDeclarations: [
        { name: "weather", parametersJsonSchema: { type: "object", properties: { city: { type: "string" } } } },
        { name: "stop_all" },
      ],
    },
  ];

  test("calls the functions that the prompt names, and takes their responses", async () => {
    const answer = await generate("Please call weather, then call stop_all", { tools });
    expect(answer.functionCalls?.map((call) => call.name)).toEqual(["weather", "stop_all"]);
    expect(answer.functionCalls?.[0]?.args).toEqual({ city: expect.any(String) });
    const next = await ai.models.generateContent({
      model: FLASH,
      contents: [
        { role: "user", parts: [{ text: "Please call weather" }] },
        answer.candidates![0]!.content!,
        {
          role: "user",
          parts: answer.functionCalls!.map((call) => ({
            functionResponse: { id: call.id!, name: call.name!, response: { ok: true } },
          })),
        },
      ],
      config: { tools },
    });
    expect(next.text).toContain("digest=");
  });

  test.each([
    { mode: FunctionCallingConfigMode.ANY, called: ["stop_all"] },
    { mode: FunctionCallingConfigMode.NONE, called: undefined },
    { mode: FunctionCallingConfigMode.AUTO, called: undefined },
  ])("with functions $mode calls $called", async ({ mode, called }) => {
    const isAny = mode === FunctionCallingConfigMode.ANY;
    const toolConfig = {
      functionCallingConfig: { mode, ...(isAny ? { allowedFunctionNames: ["stop_all"] } : {}) },
    };
    const answer = await generate("Hello", { tools, toolConfig });
    expect(answer.functionCalls?.map((call) => call.name)).toEqual(called);
  });

  test.each([
    {
      name: "responseSchema",
      config: {
        responseSchema: {
          type: "OBJECT" as never,
          properties: { title: { type: "STRING" as never }, year: { type: "INTEGER" as never } },
          required: ["title", "year"],
        },
      },
    },
    {
      name: "responseJsonSchema",
      config: {
        responseJsonSchema: {
          type: "object",
          properties: { title: { type: "string" }, year: { type: "integer" } },
          required: ["title", "year"],
        },
      },
    },
  ])("answers by a $name", async ({ config }) => {
    const answer = await generate("A film", { responseMimeType: "application/json", ...config });
    const value = JSON.parse(answer.text!);
    expect(value).toEqual({ title: expect.any(String), year: expect.any(Number) });
    expect(Number.isInteger(value.year)).toBe(true);
  });

  test("blocks a prompt of an even number of tokens, and stops the answer to an odd one", async () => {
    await faults([{ fault: { kind: "refusal" } }]);
    const before = billRows().length;
    const blocked = await generate("Naughty");
    expect(blocked.candidates).toBeUndefined();
    expect(blocked.promptFeedback).toEqual({ blockReason: "PROHIBITED_CONTENT" });
    expect(blocked.usageMetadata).toMatchObject({ promptTokenCount: 8, totalTokenCount: 8 });
    expect(billRows().slice(before)).toEqual([expect.objectContaining({ outputTokens: 0 })]);
    const stopped = await generate("Hi");
    expect(stopped.candidates).toEqual([{ finishReason: "SAFETY", index: 0 }]);
  });

  test.each(["SAFETY", "RECITATION", "SPII", "MALFORMED_FUNCTION_CALL"])(
    "stops an answer for %s when told to",
    async (word) => {
      const answer = await generate(`Please finish ${word}`);
      expect(answer.candidates).toEqual([{ finishReason: word, index: 0 }]);
    },
  );

  test.each(["SAFETY", "BLOCKLIST", "MODEL_ARMOR"])("blocks a prompt for %s when told to", async (word) => {
    const answer = await generate(`Please block ${word}`);
    expect([answer.candidates, answer.promptFeedback]).toEqual([undefined, { blockReason: word }]);
  });

  test("may answer without a word", async () => {
    await faults([{ fault: { kind: "empty_answer" } }]);
    expect((await generate("Hi")).candidates).toEqual([{ content: { role: "model" }, finishReason: "STOP", index: 0 }]);
  });
});

describe("the other direct calls", () => {
  test("count tokens", async () => {
    expect((await ai.models.countTokens({ model: FLASH, contents: "Hi" })).totalTokens).toBe(7);
  });

  test("embed one text or many, at the length asked for, and bill their tokens", async () => {
    const before = billRows().length;
    const whole = await ai.models.embedContent({ model: EMBEDDING, contents: "Hi" });
    expect(whole.embeddings).toHaveLength(1);
    expect(whole.embeddings![0]!.values).toHaveLength(3072);
    const short = await ai.models.embedContent({
      model: EMBEDDING,
      contents: ["Hi", "Ho"],
      config: { outputDimensionality: 8, taskType: "RETRIEVAL_DOCUMENT", title: "T" },
    });
    const [hi, ho] = short.embeddings!.map((one) => one.values!);
    expect([hi!.length, ho!.length]).toEqual([8, 8]);
    expect(hi).not.toEqual(ho);
    expect(Math.hypot(...hi!)).toBeCloseTo(1, 5);
    // $0.15 a million tokens; 3 a message, 1 for the text, 3 a request.
    expect(billRows().slice(before)).toEqual([
      expect.objectContaining({ model: EMBEDDING, inputTokens: 7, outputTokens: 0, nanoUsd: String(7 * 150) }),
      expect.objectContaining({ model: EMBEDDING, inputTokens: 14, outputTokens: 0, nanoUsd: String(14 * 150) }),
    ]);
  });

  test("list the models page by page, and describe one", async () => {
    const names: string[] = [];
    for await (const model of await ai.models.list({ config: { pageSize: 3 } })) names.push(model.name!);
    expect(names).toEqual(expect.arrayContaining(["models/gemini-2.5-pro", `models/${FLASH}`, `models/${EMBEDDING}`]));
    expect(new Set(names).size).toBe(names.length);
    expect(names).not.toContain("models/gemini-1.5-pro");
    expect(await ai.models.get({ model: FLASH })).toMatchObject({
      name: `models/${FLASH}`,
      inputTokenLimit: 1_048_576,
      outputTokenLimit: 65_536,
      supportedActions: expect.arrayContaining(["generateContent", "batchGenerateContent"]),
      thinking: true,
    });
  });
});

async function uploaded(lines: readonly unknown[], name?: string): Promise<string> {
  const text = lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n");
  const config = { mimeType: "application/jsonl", ...(name === undefined ? {} : { name }) };
  const file = await ai.files.upload({ file: new Blob([text]), config });
  await until(
    () => ai.files.get({ name: file.name! }),
    (seen) => seen.state === FileState.ACTIVE,
    1000,
  );
  return file.name!;
}

describe("files", () => {
  test("are uploaded under a chosen name, processed, listed, described and deleted", async () => {
    const file = await ai.files.upload({
      file: new Blob(["{}\n"]),
      config: { name: "chosen-name", displayName: "Chosen", mimeType: "application/jsonl" },
    });
    expect(file).toMatchObject({
      name: "files/chosen-name",
      displayName: "Chosen",
      mimeType: "application/jsonl",
      sizeBytes: "3",
      state: "PROCESSING",
      uri: `${simulator.url}/v1beta/files/chosen-name`,
    });
    const keptMs = Date.parse(file.expirationTime!) - Date.parse(file.createTime!);
    expect(Math.abs(keptMs - 48 * HOUR_MS)).toBeLessThan(1000);
    // sha256 of "{}\n".
    const sha256 = "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356";
    expect(Buffer.from(file.sha256Hash!, "base64").toString()).toBe(sha256);
    await advance(2000);
    expect(await ai.files.get({ name: "files/chosen-name" })).toMatchObject({ state: "ACTIVE" });
    await ai.files.delete({ name: "files/chosen-name" });
    expect(await failure(ai.files.get({ name: "files/chosen-name" }))).toMatchObject({ status: 403 });
  });

  test("larger than one piece come over in several", async () => {
    const path = join(folder, "large.jsonl");
    const bytes = Buffer.alloc(9 * 1024 * 1024 + 5, "x");
    writeFileSync(path, bytes);
    const file = await ai.files.upload({ file: path, config: { mimeType: "text/plain" } });
    expect(file.sizeBytes).toBe(String(bytes.length));
    await ai.files.delete({ name: file.name! });
  });

  test("are refused under a name that is taken", async () => {
    await uploaded([{}], "taken");
    const again = ai.files.upload({ file: new Blob(["{}"]), config: { name: "taken", mimeType: "text/plain" } });
    const error = await failure(again);
    expect(error).toBeInstanceOf(ApiError);
    expect(error.status).toBe(409);
    expect(rpcError(error)).toEqual({ code: 409, message: "taken already exists.", status: "ALREADY_EXISTS" });
  });

  test("are listed page by page, newest first, and gone after 48 hours", async () => {
    for (const name of ["p1", "p2", "p3"]) {
      await uploaded([{}], name);
    }
    const pager = await ai.files.list({ config: { pageSize: 2 } });
    expect(pager.page.map((file) => file.name)).toEqual(["files/p3", "files/p2"]);
    const names: string[] = [];
    for await (const file of pager) names.push(file.name!);
    expect(names.slice(0, 3)).toEqual(["files/p3", "files/p2", "files/p1"]);
    await advance(48 * HOUR_MS);
    const left: string[] = [];
    for await (const file of await ai.files.list()) left.push(file.name!);
    expect(left).toEqual([]);
  });
});

function ended(job: BatchJob): Promise<BatchJob> {
  return until(
    () => ai.batches.get({ name: job.name! }),
    (seen) => !["JOB_STATE_PENDING", "JOB_STATE_RUNNING"].includes(seen.state!),
  );
}

const request = (text: string, config: GenerateContentConfig = {}, key = text): object => ({
  contents: [{ role: "user", parts: [{ text }] }],
  config,
  metadata: { key },
});

describe("batches", () => {
  test("of inline requests succeed in part, and hand over responses and errors with their metadata", async () => {
    const before = billRows().length;
    const job = await ai.batches.create({
      model: FLASH,
      src: [
        request("Hi", { systemInstruction: "Be short.", temperature: 1 }, "a1"),
        request("Ho", { maxOutputTokens: 70_000 }, "a2"),
      ] as never,
      config: { displayName: "in part" },
    });
    expect(job).toMatchObject({ displayName: "in part", state: "JOB_STATE_PENDING", model: `models/${FLASH}` });
    expect(job.name).toMatch(/^batches\/[a-z0-9]+$/);
    const done = await ended(job);
    expect(done.state).toBe("JOB_STATE_SUCCEEDED");
    expect(Date.parse(done.endTime!)).toBeGreaterThan(Date.parse(done.createTime!));
    const outcomes = done.dest!.inlinedResponses!;
    const [one, two] = ["a1", "a2"].map((key) => outcomes.find((outcome) => outcome.metadata?.["key"] === key));
    expect(one!.response!.candidates![0]!.content!.parts![0]!.text).toContain("digest=");
    expect(two).toEqual({ metadata: { key: "a2" }, error: { code: 3, message: expect.stringContaining("65537") } });
    const usage = one!.response!.usageMetadata!;
    // Batch prices: $0.15 and $1.25; cached tokens at their normal $0.03.
    const cached = usage.cachedContentTokenCount ?? 0;
    const output = usage.candidatesTokenCount! + (usage.thoughtsTokenCount ?? 0);
    const nanoUsd = (usage.promptTokenCount! - cached) * 150 + cached * 30 + output * 1250;
    expect(billRows().slice(before)).toEqual([
      expect.objectContaining({ mode: "batch", attempt: "a1", provider: "gemini", nanoUsd: String(nanoUsd) }),
    ]);
  });

  test("of a file write a file of results", async () => {
    const line = (key: string, text: string): object => ({
      key,
      request: { contents: [{ parts: [{ text }], role: "user" }], generation_config: { max_output_tokens: 50 } },
    });
    const wrong = { key: "b3", request: { contents: [], temperature: 1 } };
    const src = await uploaded([line("b1", "One"), line("b2", "Two"), wrong]);
    const done = await ended(await ai.batches.create({ model: FLASH, src, config: { displayName: "from a file" } }));
    expect(done.state).toBe("JOB_STATE_SUCCEEDED");
    expect(done.dest!.fileName).toMatch(/^files\/batch-[a-z0-9]+$/);
    const path = join(folder, "results.jsonl");
    await ai.files.download({ file: done.dest!.fileName!, downloadPath: path });
    const rows = readFileSync(path, "utf8")
      .trimEnd()
      .split("\n")
      .map((text) => JSON.parse(text));
    expect(rows.map((row) => row.key).sort()).toEqual(["b1", "b2", "b3"]);
    expect(rows.find((row) => row.key === "b1").response.candidates[0].finishReason).toBe("STOP");
    expect(rows.find((row) => row.key === "b3").error).toMatchObject({
      code: 400,
      status: "INVALID_ARGUMENT",
      message: `Invalid JSON payload received. Unknown name "temperature" at 'request': Cannot find field.`,
    });
  });

  test("of embeddings, inline and from a file", async () => {
    // The client warns that it may change.
    jest.spyOn(console, "warn").mockImplementation(() => undefined);
    const inlinedRequests = { contents: ["Hi", "Ho"], config: { outputDimensionality: 4 } };
    const inline = await ended(await ai.batches.createEmbeddings({ model: EMBEDDING, src: { inlinedRequests } }));
    const responses = inline.dest!.inlinedEmbedContentResponses!;
    expect(responses.map((one) => one.response!.embedding!.values!.length)).toEqual([4, 4]);
    expect(responses.map((one) => one.response!.tokenCount)).toEqual(["7", "7"]);
    const fileName = await uploaded([{ key: "e1", request: { content: { parts: [{ text: "Hi" }] } } }]);
    const fromFile = await ended(await ai.batches.createEmbeddings({ model: EMBEDDING, src: { fileName } }));
    const path = join(folder, "embeddings.jsonl");
    await ai.files.download({ file: fromFile.dest!.fileName!, downloadPath: path });
    const row = JSON.parse(readFileSync(path, "utf8"));
    expect([row.key, row.response.embedding.values.length, row.response.tokenCount]).toEqual(["e1", 3072, "7"]);
  });

  test("are not idempotent: the same create makes another", async () => {
    const params = { model: FLASH, src: [request("Twice")] as never, config: { displayName: "twice" } };
    const [one, two] = [await ai.batches.create(params), await ai.batches.create(params)];
    expect(one.name).not.toBe(two.name);
  });

  test("are listed page by page, newest first, without their inline results", async () => {
    const done = await ended(await ai.batches.create({ model: FLASH, src: [request("Listed")] as never }));
    const pager = await ai.batches.list({ config: { pageSize: 2 } });
    expect(pager.page).toHaveLength(2);
    expect(pager.page[0]!.name).toBe(done.name);
    expect(pager.page[0]!.dest?.inlinedResponses).toBeUndefined();
    const names: string[] = [];
    for await (const job of pager) names.push(job.name!);
    expect(names.length).toBeGreaterThan(5);
    expect(new Set(names).size).toBe(names.length);
  });

  test("can be cancelled while they run, once", async () => {
    const job = await ai.batches.create({ model: FLASH, src: [request("Never")] as never });
    await ai.batches.cancel({ name: job.name! });
    expect((await ended(job)).state).toBe("JOB_STATE_CANCELLED");
    const error = await failure(ai.batches.cancel({ name: job.name! }));
    expect([error.status, rpcError(error).status]).toEqual([400, "FAILED_PRECONDITION"]);
  });

  test("can be deleted, and are then not found", async () => {
    const job = await ai.batches.create({ model: FLASH, src: [request("Gone")] as never });
    await ai.batches.delete({ name: job.name! });
    const error = await failure(ai.batches.get({ name: job.name! }));
    expect([error.status, rpcError(error).status]).toEqual([404, "NOT_FOUND"]);
  });

  test("expire after 48 hours without results", async () => {
    await faults([{ fault: { kind: "batch_expires", share: 0.5 } }]);
    const job = await ai.batches.create({ model: FLASH, src: [request("1"), request("2")] as never });
    await until(
      () => ai.batches.get({ name: job.name! }),
      (seen) => seen.state === JobState.JOB_STATE_RUNNING,
      60_000,
    );
    await advance(47 * HOUR_MS);
    expect((await ai.batches.get({ name: job.name! })).state).toBe("JOB_STATE_RUNNING");
    await advance(HOUR_MS);
    const done = await ended(job);
    expect([done.state, done.dest]).toEqual(["JOB_STATE_EXPIRED", undefined]);
  });

  test("show an unknown state, hide from the list, and fail as a whole when told to", async () => {
    await faults([{ fault: { kind: "batch_refused" } }]);
    const failed = await ended(await ai.batches.create({ model: FLASH, src: [request("Bad")] as never }));
    expect(failed.state).toBe("JOB_STATE_FAILED");
    await faults([{ fault: { kind: "batch_hidden", listMs: 60_000, getMs: 60_000 } }]);
    const hidden = await ai.batches.create({ model: FLASH, src: [request("Where")] as never });
    expect((await ai.batches.list()).page.map((job) => job.name)).not.toContain(hidden.name);
    expect(await failure(ai.batches.get({ name: hidden.name! }))).toMatchObject({ status: 404 });
    await faults([{ fault: { kind: "batch_strange_state" } }]);
    const strange = await ai.batches.create({ model: FLASH, src: [request("Odd")] as never });
    const seen = await until(
      () => ai.batches.get({ name: strange.name! }),
      (job) => job.state !== JobState.JOB_STATE_PENDING,
    );
    expect(seen.state).toBe("BATCH_STATE_RETICULATING");
  });
});

describe("errors", () => {
  test.each([
    { status: 400, word: "INVALID_ARGUMENT" },
    { status: 401, word: "UNAUTHENTICATED" },
    { status: 403, word: "PERMISSION_DENIED" },
    { status: 404, word: "NOT_FOUND" },
    { status: 409, word: "ALREADY_EXISTS" },
    { status: 429, word: "RESOURCE_EXHAUSTED" },
    { status: 499, word: "CANCELLED" },
    { status: 500, word: "INTERNAL" },
    { status: 503, word: "UNAVAILABLE" },
    { status: 504, word: "DEADLINE_EXCEEDED" },
  ])("of status $status are the client's own", async ({ status, word }) => {
    await faults([{ fault: { kind: "status", status } }]);
    const error = await failure(generate("Hi"));
    expect(error).toBeInstanceOf(ApiError);
    expect(error.status).toBe(status);
    expect(rpcError(error)).toMatchObject({ code: status, status: word });
  });

  test("of a rate limit name the quota and the time to wait in their details, not in headers", async () => {
    await faults([{ fault: { kind: "rate_limited", waitMs: 45_837 } }]);
    const { details } = rpcError(await failure(generate("Hi")));
    expect(details?.map((one) => one["@type"])).toEqual([
      "type.googleapis.com/google.rpc.QuotaFailure",
      "type.googleapis.com/google.rpc.Help",
      "type.googleapis.com/google.rpc.RetryInfo",
    ]);
    expect(details?.[0].violations[0].quotaId).toContain("PerMinute");
    expect(details?.[2].retryDelay).toBe("45.837000000s");
    await faults([{ fault: { kind: "quota_gone" } }]);
    expect(rpcError(await failure(generate("Hi"))).details?.[0].violations[0].quotaId).toContain("PerDay");
    await faults([{ fault: { kind: "rate_limited", retryAfter: "missing" } }]);
    expect(rpcError(await failure(generate("Hi"))).details).toBeUndefined();
  });

  test("of a wrong key say which, on every kind of call", async () => {
    const other = clientWith(WRONG_KEY);
    const calls = [
      () => other.models.generateContent({ model: FLASH, contents: "Hi" }),
      () => other.models.list(),
      () => other.files.list(),
      () => other.files.upload({ file: new Blob(["x"]), config: { mimeType: "text/plain" } }),
      () => other.batches.list(),
      () => other.batches.create({ model: FLASH, src: [request("Hi")] as never }),
    ];
    for (const call of calls) {
      const error = await failure(call());
      expect(error).toBeInstanceOf(ApiError);
      expect(rpcError(error)).toMatchObject({
        code: 400,
        status: "INVALID_ARGUMENT",
        message: "API key not valid. Please pass a valid API key.",
      });
      expect(rpcError(error).details?.[0]).toMatchObject({ reason: "API_KEY_INVALID" });
    }
  });
});
