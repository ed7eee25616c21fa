import { describe, expect, test } from "@jest/globals";
import { readJobLine, type ReadLine } from "../../src/app/operator/job-lines.js";
import { openaiLineOf } from "../../src/app/operator/to-openai-line.js";

const NO_DEFAULTS = { tenant: null, mode: null, ttlMs: null };
const CHAT = '{"model":"cheap","messages":[{"role":"user","content":"Why?"}]}';
const lineText = (change: Readonly<Record<string, unknown>> = {}): string =>
  JSON.stringify({
    custom_id: "r-1",
    method: "POST",
    url: "/v1/chat/completions",
    body: JSON.parse(CHAT) as unknown,
    ...change,
  });

function read(text: string, defaults: Parameters<typeof readJobLine>[2] = NO_DEFAULTS): ReadLine {
  return readJobLine(text, 7, defaults);
}

function jobText(text: string, defaults?: Parameters<typeof readJobLine>[2]): string {
  const line = read(text, defaults);
  if (line.kind === "bad") throw new Error(`expected a job, got: ${line.message}`);
  return line.job.text;
}

describe("an OpenAI batch line", () => {
  test.each([
    ["/v1/chat/completions", "openai.chat"],
    ["/v1/embeddings", "openai.embeddings"],
  ])("for %s is a job of format %s with its custom_id", (url, format) => {
    expect(JSON.parse(jobText(lineText({ url })))).toEqual({
      jobId: "r-1",
      format,
      body: { model: "cheap", messages: [{ role: "user", content: "Why?" }] },
    });
  });

  test("takes tenant, mode and time to live from the flags", () => {
    const text = jobText(lineText(), { tenant: "acme", mode: "batch", ttlMs: 7200000 });
    expect(JSON.parse(text)).toMatchObject({ tenant: "acme", mode: "batch", ttlMs: 7200000 });
  });

  test("keeps each digit and space of its body", () => {
    const body = '{"model":"m", "seed":12345678901234567890,"temperature":1.0, "x":{"body":[1e400]}}';
    const text = `{"body":${body},"custom_id":"r","method":"POST","url":"/v1/chat/completions"}`;
    expect(jobText(text)).toBe(`{"jobId":"r","format":"openai.chat","body":${body}}`);
  });

  test.each([
    ["no id", { custom_id: undefined, method: "POST" }, "custom_id: expected a text of 1 to 256 bytes, got none"],
    ["a number as id", { custom_id: 3 }, "custom_id: expected a text of 1 to 256 bytes, got a value of type number"],
    [
      "an id that is too long",
      { custom_id: "é".repeat(129) },
      `custom_id: expected a text of 1 to 256 bytes, got "${"é".repeat(59)}…`,
    ],
    ["another method", { method: "GET" }, 'method: expected POST, got "GET"'],
    [
      "another endpoint",
      { url: "/v1/responses" },
      'url: expected /v1/chat/completions or /v1/embeddings, got "/v1/responses"',
    ],
    [
      "a name of every object",
      { url: "constructor" },
      'url: expected /v1/chat/completions or /v1/embeddings, got "constructor"',
    ],
    ["no body", { body: undefined }, "body: expected the request, a JSON object, got none"],
    ["a list as body", { body: [] }, "body: expected the request, a JSON object, got a list"],
    [
      "a member more",
      { tenant: "acme" },
      "tenant: an OpenAI batch line has custom_id, method, url, body and nothing else; leave it out, or write the line as a job",
    ],
  ])("with %s is refused by its number, and why", (_name, change, message) => {
    expect(read(lineText(change))).toEqual({ kind: "bad", number: 7, message });
  });

  test("stands beside jobs, which go as they are and know no flags", () => {
    const job = '{"jobId":"j","tenant":"shop","replyTo":"answers","body":{}}';
    expect(read(job, { tenant: "acme", mode: "batch", ttlMs: 1 })).toEqual({
      kind: "job",
      job: { number: 7, text: job, isOpenai: false, tenant: "shop", replyTo: "answers", jobId: "j" },
    });
  });
});

const RESULT = {
  v: 1,
  resultId: "0f-1",
  jobId: "r-1",
  tenant: "acme",
  generation: 0,
  status: "succeeded",
  format: "openai.chat",
  body: null,
  error: null,
  attempts: [
    { number: 1, outcome: "rate_limited", providerRequestId: "req-a" },
    { number: 2, outcome: "succeeded", providerRequestId: "req-b" },
  ],
};
const failed = (error: Readonly<Record<string, unknown>>, status = "failed"): string =>
  JSON.stringify({ ...RESULT, status, attempts: [], error });

describe("a result as a line of OpenAI's result files", () => {
  const served = `{"id":"0f-1","custom_id":"r-1","response":{"status_code":200,"request_id":"req-b","body":{"n": 1.0, "a":"}"}},"error":null}`;

  test("has the answer as it was published", () => {
    const text = JSON.stringify(RESULT).replace('"body":null', '"body":{"n": 1.0, "a":"}"}');
    expect(openaiLineOf(text)).toBe(served);
  });

  test("is made of Avro's fields, too", () => {
    const { body: _body, attempts, error: _error, ...fields } = RESULT;
    const avro = { ...fields, bodyJson: '{"n": 1.0, "a":"}"}', attemptsJson: JSON.stringify(attempts) };
    expect(openaiLineOf(JSON.stringify(avro))).toBe(served);
  });

  test("has an unknown request id as null", () => {
    const text = JSON.stringify({ ...RESULT, attempts: [], body: {} });
    expect(JSON.parse(openaiLineOf(text))).toEqual({
      id: "0f-1",
      custom_id: "r-1",
      response: { status_code: 200, request_id: null, body: {} },
      error: null,
    });
  });

  test("has what a provider refused as a response of its status", () => {
    const provider = { status: 400, code: "context_length_exceeded", requestId: "req-9" };
    const line = openaiLineOf(failed({ code: "CONTEXT_TOO_LONG", class: "caller", message: "too long", provider }));
    expect(JSON.parse(line)).toEqual({
      id: "0f-1",
      custom_id: "r-1",
      response: {
        status_code: 400,
        request_id: "req-9",
        body: { error: { message: "too long", type: "caller", param: null, code: "context_length_exceeded" } },
      },
      error: null,
    });
  });

  test("has the same of Avro's fields", () => {
    const { body: _body, error: _error, attempts: _attempts, ...fields } = RESULT;
    const line = openaiLineOf(
      JSON.stringify({
        ...fields,
        status: "failed",
        errorCode: "PROVIDER_REFUSED",
        errorClass: "caller",
        errorMessage: "refused",
        errorProviderStatus: 422,
        errorProviderCode: null,
        errorProviderRequestId: null,
        attemptsJson: '[{"outcome":"refused","providerRequestId":"req-1"}]',
      }),
    );
    expect(JSON.parse(line)).toMatchObject({
      response: {
        status_code: 422,
        request_id: "req-1",
        body: { error: { message: "refused", type: "caller", param: null, code: "PROVIDER_REFUSED" } },
      },
      error: null,
    });
  });

  test.each([
    [
      "expired",
      { code: "DEADLINE_EXCEEDED", message: "too late", provider: null },
      { code: "batch_expired", message: "too late" },
    ],
    [
      "cancelled",
      { code: "CANCELLED", message: "on request", provider: null },
      { code: "batch_cancelled", message: "on request" },
    ],
    [
      "failed",
      { code: "BUDGET_EXCEEDED", message: "no money", provider: null },
      { code: "BUDGET_EXCEEDED", message: "no money" },
    ],
    [
      "failed",
      { code: "CONTENT_REFUSED", message: "kept back", provider: { status: 200, code: null, requestId: "q" } },
      { code: "CONTENT_REFUSED", message: "kept back" },
    ],
  ])("%s without a provider's refusal has an error and no response: %j", (status, error, expected) => {
    expect(JSON.parse(openaiLineOf(failed(error, status)))).toEqual({
      id: "0f-1",
      custom_id: "r-1",
      response: null,
      error: expected,
    });
  });

  test("is not made of what is no result", () => {
    expect(() => openaiLineOf('{"costId":"c"}')).toThrow("expected a result with a jobId");
  });
});
