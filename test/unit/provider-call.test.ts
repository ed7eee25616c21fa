import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer as createNetServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "@jest/globals";
import { createDirect as createAnthropic } from "../../src/adapters/providers/anthropic/anthropic-provider.js";
import { createDirect as createCompatible } from "../../src/adapters/providers/compatible/compatible-provider.js";
import { createDirect as createGemini } from "../../src/adapters/providers/gemini/gemini-provider.js";
import { createDirect as createOpenai } from "../../src/adapters/providers/openai/openai-provider.js";
import type { ProviderSettings } from "../../src/adapters/providers/direct-call.js";
import type { Provider, ProviderCall } from "../../src/ports/provider.js";

/** Everything that can go wrong between us and a provider, against a real socket. */

const GOOD = readFileSync("test/golden/providers/openai-answer.json", "utf8");
const JSON_TYPE = { "content-type": "application/json" };
const NEVER = new AbortController().signal;

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Seen {
  readonly requests: { readonly url: string; readonly headers: IncomingMessage["headers"]; readonly body: string }[];
  readonly baseUrl: string;
}

async function serve(answer: (response: ServerResponse, socket: Socket) => void): Promise<Seen> {
  const requests: Seen["requests"] = [];
  const server: Server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (chunk: string) => (body += chunk));
    request.on("end", () => {
      requests.push({ url: request.url ?? "", headers: request.headers, body });
      answer(response, request.socket);
    });
  });
  return { requests, baseUrl: await listening(server) };
}

function listening(server: Server | ReturnType<typeof createNetServer>): Promise<string> {
  cleanups.push(
    () =>
      new Promise<void>((resolve) => {
        if ("closeAllConnections" in server) server.closeAllConnections();
        server.close(() => {
          resolve();
        });
      }),
  );
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      resolve(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}/v1`);
    });
  });
}

const CREATE = {
  openai: createOpenai,
  anthropic: createAnthropic,
  gemini: createGemini,
  "openai-compatible": createCompatible,
};

function provider(
  baseUrl: string,
  more: Partial<ProviderSettings> = {},
  kind: keyof typeof CREATE = "openai",
): Provider {
  const created = CREATE[kind]({
    account: "main",
    baseUrl,
    apiKey: () => "sk-test",
    connectionsMax: 4,
    connectTimeoutMs: 1_000,
    idleTimeoutMs: 5_000,
    responseBytesMax: 10_000,
    nowMs: () => 0,
    ...more,
  });
  cleanups.push(() => created.close());
  return created;
}

const callOf = (more: Partial<ProviderCall> = {}): ProviderCall => ({
  attemptId: "attempt-1",
  format: "openai.chat",
  model: "gpt-5-mini",
  bodyText: '{"model":"cheap","messages":[],"seed":12345678901234567890}',
  maxOutputTokensDefault: 64,
  timeoutMs: 5_000,
  sendWithinMs: 1_000,
  maySend: () => true,
  ...more,
});

describe("a call that is answered", () => {
  test("sends model, cap and attempt id, asks for no compression, and hands the body on unchanged", async () => {
    const seen = await serve((response) =>
      response.writeHead(200, { ...JSON_TYPE, "x-request-id": "req_9" }).end(GOOD),
    );
    const answer = await provider(seen.baseUrl).call(callOf(), NEVER);
    expect(answer).toMatchObject({
      kind: "answered",
      bodyText: GOOD,
      requestId: "req_9",
      finishReason: "stop",
      modelVersion: "gpt-5-mini-2025-08-07",
    });
    const [request] = seen.requests;
    expect(request?.url).toBe("/v1/chat/completions");
    expect(request?.body).toBe(
      '{"model":"gpt-5-mini","messages":[],"seed":12345678901234567890,"max_completion_tokens":64}',
    );
    expect(request?.headers).toMatchObject({
      authorization: "Bearer sk-test",
      "x-client-request-id": "attempt-1",
      "content-type": "application/json",
    });
    expect(request?.headers["accept-encoding"]).toBeUndefined();
  });

  test("speaks Anthropic's headers to Anthropic", async () => {
    const seen = await serve((response) =>
      response
        .writeHead(200, { ...JSON_TYPE, "request-id": "req_7" })
        .end(readFileSync("test/golden/providers/anthropic-answer.json")),
    );
    const root = seen.baseUrl.replace("/v1", "");
    const answer = await provider(root, {}, "anthropic").call(callOf({ format: "anthropic.messages" }), NEVER);
    expect(answer).toMatchObject({ kind: "answered", requestId: "req_7" });
    expect(seen.requests[0]?.url).toBe("/v1/messages");
    expect(seen.requests[0]?.headers).toMatchObject({ "x-api-key": "sk-test", "anthropic-version": "2023-06-01" });
  });

  test("works without a key and without a content type at a server of one's own", async () => {
    const seen = await serve((response) => response.writeHead(200).end(GOOD));
    const answer = await provider(seen.baseUrl, { apiKey: () => null }, "openai-compatible").call(callOf(), NEVER);
    expect(answer.kind).toBe("answered");
    expect(seen.requests[0]?.headers.authorization).toBeUndefined();
  });

  test("speaks to Gemini: the model in the path, its key's header, and its own name of the call", async () => {
    const seen = await serve((response) =>
      response.writeHead(200, JSON_TYPE).end(readFileSync("test/golden/providers/gemini-answer.json")),
    );
    const asked = callOf({ format: "gemini.generate", model: "gemini-2.5-flash", bodyText: '{"contents":[]}' });
    const answer = await provider(seen.baseUrl, {}, "gemini").call(asked, NEVER);
    expect(answer).toMatchObject({ kind: "answered", requestId: "r1", modelVersion: "gemini-2.5-flash" });
    expect(seen.requests[0]).toMatchObject({
      url: "/v1/models/gemini-2.5-flash:generateContent",
      body: '{"contents":[],"generationConfig":{"maxOutputTokens":64}}',
      headers: { "x-goog-api-key": "sk-test" },
    });
  });

  test("asks for embeddings at their own path", async () => {
    const seen = await serve((response) =>
      response.writeHead(200, JSON_TYPE).end(readFileSync("test/golden/providers/openai-embeddings.json")),
    );
    const asked = callOf({ format: "openai.embeddings", model: "text-embedding-3-small", bodyText: '{"input":"a"}' });
    const answer = await provider(seen.baseUrl).call(asked, NEVER);
    expect(answer).toMatchObject({ kind: "answered", usage: { inputTokens: 9, outputTokens: 0 } });
    expect(seen.requests[0]).toMatchObject({
      url: "/v1/embeddings",
      body: '{"model":"text-embedding-3-small","input":"a"}',
    });
  });

  test("tells what the provider says of its limits", async () => {
    const seen = await serve((response) =>
      response
        .writeHead(200, { ...JSON_TYPE, "x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "10" })
        .end(GOOD),
    );
    const told: unknown[] = [];
    await provider(seen.baseUrl, { onRateLimits: (readings) => told.push(...readings) }).call(callOf(), NEVER);
    expect(told).toEqual([{ name: "tokens", limit: 1_000, remaining: 10, resetMs: null }]);
  });
});

describe("a job in a format that the provider doesn't speak", () => {
  const CHAT = '{"model":"cheap","messages":[{"role":"user","content":"What colour?"}],"max_completion_tokens":9}';

  test("is told in its own, and the answer in the job's", async () => {
    const seen = await serve((response) =>
      response.writeHead(200, JSON_TYPE).end(readFileSync("test/golden/providers/anthropic-answer.json")),
    );
    const root = seen.baseUrl.replace("/v1", "");
    const asked = callOf({ model: "claude-haiku-4-5", bodyText: CHAT });
    const answer = await provider(root, {}, "anthropic").call(asked, NEVER);
    expect(seen.requests[0]?.url).toBe("/v1/messages");
    expect(JSON.parse(seen.requests[0]?.body ?? "")).toEqual({
      model: "claude-haiku-4-5",
      max_tokens: 9,
      messages: [{ role: "user", content: "What colour?" }],
    });
    // Tokens are those of the provider's own answer.
    expect(answer).toMatchObject({ kind: "answered", usage: { inputTokens: 12, outputTokens: 5 } });
    const told: unknown = JSON.parse(answer.kind === "answered" ? answer.bodyText : "null");
    expect(told).toMatchObject({
      object: "chat.completion",
      choices: [{ message: { role: "assistant", content: "Blue." }, finish_reason: "stop" }],
      usage: { prompt_tokens: 12, completion_tokens: 5, total_tokens: 17 },
    });
  });

  test("has its output cap under the name that a server of one's own knows", async () => {
    const seen = await serve((response) => response.writeHead(200, JSON_TYPE).end(GOOD));
    const message = '{"max_tokens":9,"messages":[{"role":"user","content":"What colour?"}]}';
    const asked = callOf({ format: "anthropic.messages", bodyText: message });
    await provider(seen.baseUrl, {}, "openai-compatible").call(asked, NEVER);
    const sent: unknown = JSON.parse(seen.requests[0]?.body ?? "");
    expect(sent).toMatchObject({ max_tokens: 9 });
    expect(sent).not.toHaveProperty("max_completion_tokens");
  });

  test("that can't be told at all is not sent, and says why", async () => {
    const seen = await serve((response) => response.writeHead(200, JSON_TYPE).end(GOOD));
    const asked = callOf({ bodyText: '{"messages":[{"role":"user","content":"q"}],"logit_bias":{"1":1}}' });
    const failure = await provider(seen.baseUrl, {}, "gemini").call(asked, NEVER);
    expect(failure).toMatchObject({ kind: "failed", outcome: "refused", sent: "no" });
    expect("message" in failure && failure.message).toMatch(/^gemini: .*logit_bias.*, nothing was sent$/);
    const embeddings = callOf({ format: "openai.embeddings", bodyText: '{"input":"q"}' });
    expect(await provider(seen.baseUrl, {}, "anthropic").call(embeddings, NEVER)).toMatchObject({
      outcome: "refused",
      message: "anthropic: openai.embeddings is not spoken, nothing was sent",
    });
    expect(seen.requests).toHaveLength(0);
  });

  test("whose answer can't be told in it keeps its tokens and says why", async () => {
    const paused = { ...(JSON.parse(readFileSync("test/golden/providers/anthropic-answer.json", "utf8")) as object) };
    const body = JSON.stringify({ ...paused, stop_reason: "pause_turn" });
    const seen = await serve((response) => response.writeHead(200, JSON_TYPE).end(body));
    const asked = callOf({ model: "claude-haiku-4-5", bodyText: CHAT });
    const answer = await provider(seen.baseUrl.replace("/v1", ""), {}, "anthropic").call(asked, NEVER);
    expect(answer).toMatchObject({ kind: "answered", usage: { inputTokens: 12, outputTokens: 5 }, bodyText: body });
    expect(answer).toHaveProperty("unfit", expect.stringMatching(/pause/));
  });

  test("fails like one in the provider's own", async () => {
    const body = '{"type":"error","error":{"type":"rate_limit_error","message":"m"}}';
    const seen = await serve((response) => response.writeHead(429, { ...JSON_TYPE, "retry-after": "2" }).end(body));
    const asked = callOf({ bodyText: CHAT });
    expect(await provider(seen.baseUrl, {}, "anthropic").call(asked, NEVER)).toMatchObject({
      outcome: "rate_limited",
      retryAfterMs: 2000,
    });
  });
});

describe("an error status is an answer", () => {
  test("with the provider's words, request id and Retry-After, and without its text", async () => {
    const body = '{"error":{"message":"your prompt SECRET","type":"tokens","param":null,"code":"rate_limit_exceeded"}}';
    const seen = await serve((response) =>
      response.writeHead(429, { ...JSON_TYPE, "retry-after": "3", "x-request-id": "req_1" }).end(body),
    );
    const failure = await provider(seen.baseUrl).call(callOf(), NEVER);
    expect(failure).toMatchObject({
      kind: "failed",
      outcome: "rate_limited",
      sent: "answered",
      retryAfterMs: 3_000,
      provider: { status: 429, code: "rate_limit_exceeded", requestId: "req_1" },
    });
    expect(JSON.stringify(failure)).not.toContain("SECRET");
    expect(seen.requests).toHaveLength(1);
  });

  test("with the reset of the limit that is used up, where no Retry-After says how long", async () => {
    const limits = {
      "x-ratelimit-limit-requests": "500",
      "x-ratelimit-remaining-requests": "0",
      "x-ratelimit-reset-requests": "1m2s",
      "x-ratelimit-limit-tokens": "1000",
      "x-ratelimit-remaining-tokens": "10",
      "x-ratelimit-reset-tokens": "9m0s",
    };
    const seen = await serve((response) => response.writeHead(429, { ...JSON_TYPE, ...limits }).end("{}"));
    expect(await provider(seen.baseUrl).call(callOf(), NEVER)).toMatchObject({
      outcome: "rate_limited",
      retryAfterMs: 62_000,
    });
  });

  test("with what its body says, for providers without headers for it", async () => {
    const delay = { "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "1.5s" };
    const theirs = { error: { code: 429, status: "RESOURCE_EXHAUSTED", message: "m", details: [delay] } };
    const seen = await serve((response) => response.writeHead(429, JSON_TYPE).end(JSON.stringify(theirs)));
    const asked = callOf({ format: "gemini.generate", bodyText: "{}" });
    expect(await provider(seen.baseUrl, {}, "gemini").call(asked, NEVER)).toMatchObject({
      outcome: "rate_limited",
      retryAfterMs: 1500,
      provider: { status: 429, code: "RESOURCE_EXHAUSTED", requestId: null },
    });
    const anthropic = { type: "error", error: { type: "overloaded_error", message: "m" }, request_id: "req_b" };
    const other = await serve((response) => response.writeHead(529, JSON_TYPE).end(JSON.stringify(anthropic)));
    const message = callOf({ format: "anthropic.messages", bodyText: "{}" });
    expect(await provider(other.baseUrl, {}, "anthropic").call(message, NEVER)).toMatchObject({
      outcome: "overloaded",
      provider: { status: 529, code: "overloaded_error", requestId: "req_b" },
    });
  });

  test("even when its body breaks off", async () => {
    const seen = await serve((response, socket) => {
      response.writeHead(503, { ...JSON_TYPE, "content-length": "500" });
      response.write('{"error":');
      setTimeout(() => socket.destroy(), 20);
    });
    expect(await provider(seen.baseUrl).call(callOf(), NEVER)).toMatchObject({
      outcome: "overloaded",
      sent: "answered",
      provider: { status: 503 },
    });
  });
});

describe("an answer of status 200 that is none", () => {
  test.each<[string, (response: ServerResponse, socket: Socket) => void, string]>([
    [
      "a page of HTML",
      (response) => response.writeHead(200, { "content-type": "text/html" }).end("<html>SECRET</html>"),
      "text.html",
    ],
    ["cut JSON", (response) => response.writeHead(200, JSON_TYPE).end(GOOD.slice(0, 100)), "not a whole JSON"],
    [
      "bytes that are not UTF-8",
      (response) => response.writeHead(200, JSON_TYPE).end(Buffer.from([0x7b, 0xff, 0x7d])),
      "UTF-8",
    ],
    [
      "a body longer than the cap",
      (response) => response.writeHead(200, JSON_TYPE).end(`{"x":"${"y".repeat(20_000)}"}`),
      "responseBytesMax",
    ],
    [
      "a compressed bomb nobody asked for",
      (response) =>
        response.writeHead(200, { ...JSON_TYPE, "content-encoding": "gzip" }).end(gzipSync(Buffer.alloc(5_000_000))),
      "compressed",
    ],
    ["nothing at all", (response) => response.writeHead(204).end(), "no whole answer"],
  ])("%s is a bad response", async (_what, answer, words) => {
    const seen = await serve(answer);
    const failure = await provider(seen.baseUrl).call(callOf(), NEVER);
    expect(failure).toMatchObject({ kind: "failed", outcome: "bad_response", sent: "answered" });
    expect("message" in failure && failure.message).toContain(words);
    expect(JSON.stringify(failure)).not.toContain("SECRET");
    expect(seen.requests).toHaveLength(1);
  });

  test("a body longer than the cap says what the cap is, since a whole answer was billed; an error's body does not", async () => {
    const long = `{"x":"${"y".repeat(100_000)}"}`;
    const answered = await serve((response) => response.writeHead(200, JSON_TYPE).end(long));
    expect(await provider(answered.baseUrl).call(callOf(), NEVER)).toMatchObject({ cutOffBytes: 10_000 });
    const refused = await serve((response) => response.writeHead(503, JSON_TYPE).end(long));
    expect(await provider(refused.baseUrl).call(callOf(), NEVER)).not.toHaveProperty("cutOffBytes");
  });

  test("a body that breaks off is a bad response with the bytes it had", async () => {
    const seen = await serve((response, socket) => {
      response.writeHead(200, { ...JSON_TYPE, "content-length": "500" });
      response.write('{"choices":');
      setTimeout(() => socket.destroy(), 20);
    });
    const failure = await provider(seen.baseUrl).call(callOf(), NEVER);
    expect(failure).toMatchObject({ outcome: "bad_response", sent: "answered", provider: { status: 200 } });
    expect("message" in failure && failure.message).toContain("after 11 bytes");
  });
});

describe("a redirect", () => {
  test("is not followed, so the key goes nowhere else", async () => {
    const elsewhere = await serve((response) => response.writeHead(200, JSON_TYPE).end(GOOD));
    const seen = await serve((response) =>
      response.writeHead(307, { location: `${elsewhere.baseUrl}/chat/completions` }).end(),
    );
    const failure = await provider(seen.baseUrl).call(callOf(), NEVER);
    expect(failure).toMatchObject({ outcome: "bad_response", sent: "answered", provider: { status: 307 } });
    expect(elsewhere.requests).toHaveLength(0);
  });
});

describe("time", () => {
  test("a trickling body is ended by the total deadline", async () => {
    const seen = await serve((response) => {
      response.writeHead(200, JSON_TYPE);
      const drip = setInterval(() => response.write(" "), 20);
      response.on("close", () => {
        clearInterval(drip);
      });
    });
    const startedMs = performance.now();
    const failure = await provider(seen.baseUrl).call(callOf({ timeoutMs: 300 }), NEVER);
    expect(failure).toMatchObject({ outcome: "timed_out", sent: "answered", provider: { status: 200 } });
    expect(performance.now() - startedMs).toBeLessThan(1_300);
  });

  test("a body that falls silent is ended by the idle limit", async () => {
    const seen = await serve((response) => {
      response.writeHead(200, JSON_TYPE);
      response.write("{");
    });
    const failure = await provider(seen.baseUrl, { idleTimeoutMs: 200 }).call(callOf(), NEVER);
    expect(failure).toMatchObject({ outcome: "timed_out", sent: "answered" });
    expect("message" in failure && failure.message).toContain("idleTimeoutMs");
  });

  test("a server that never answers is ended by the deadline, and may have been paid", async () => {
    const seen = await serve(() => undefined);
    expect(await provider(seen.baseUrl).call(callOf({ timeoutMs: 150 }), NEVER)).toMatchObject({
      outcome: "timed_out",
      sent: "perhaps",
      provider: { status: null },
    });
  });

  test("a call that only waited for a socket was not sent", async () => {
    const seen = await serve(() => undefined);
    const one = provider(seen.baseUrl, { connectionsMax: 1 });
    const first = one.call(callOf({ timeoutMs: 600 }), NEVER);
    const second = one.call(callOf({ timeoutMs: 200 }), NEVER);
    expect(await second).toMatchObject({ outcome: "timed_out", sent: "no" });
    expect(await first).toMatchObject({ outcome: "timed_out", sent: "perhaps" });
    expect(seen.requests).toHaveLength(1);
  });
});

describe("connections", () => {
  test("refused: nothing was sent", async () => {
    const server = createNetServer();
    const baseUrl = await listening(server);
    await cleanups.pop()?.();
    expect(await provider(baseUrl).call(callOf(), NEVER)).toMatchObject({
      outcome: "connection_failed",
      sent: "no",
      provider: { code: "ECONNREFUSED" },
    });
  });

  test("dropped after the request: perhaps", async () => {
    const seen = await serve((_response, socket) => socket.destroy());
    const failure = await provider(seen.baseUrl).call(callOf(), NEVER);
    expect(failure).toMatchObject({ outcome: "connection_failed", sent: "perhaps", provider: { status: null } });
    expect(seen.requests).toHaveLength(1);
  });

  test("a kept-alive socket that the server closes under the second request: perhaps, and never sent again", async () => {
    let count = 0;
    const seen = await serve((response, socket) => {
      count += 1;
      if (count === 1) response.writeHead(200, JSON_TYPE).end(GOOD);
      else socket.destroy();
    });
    const one = provider(seen.baseUrl, { connectionsMax: 1 });
    expect((await one.call(callOf(), NEVER)).kind).toBe("answered");
    expect(await one.call(callOf(), NEVER)).toMatchObject({ outcome: "connection_failed", sent: "perhaps" });
    expect(count).toBe(2);
  });

  test("what is not HTTP is a bad response that may have been paid", async () => {
    const server = createNetServer((socket) => {
      socket.once("data", () => socket.end("garbage\r\n\r\n"));
      socket.on("error", () => undefined);
    });
    expect(await provider(await listening(server)).call(callOf(), NEVER)).toMatchObject({
      outcome: "bad_response",
      sent: "perhaps",
    });
  });
});

describe("giving a call up", () => {
  test("before it began sends nothing and is no cancelled job", async () => {
    const seen = await serve((response) => response.writeHead(200, JSON_TYPE).end(GOOD));
    expect(await provider(seen.baseUrl).call(callOf(), AbortSignal.abort())).toMatchObject({
      kind: "not_sent",
      because: "stopped",
    });
    expect(seen.requests).toHaveLength(0);
  });

  test("in the middle leaves it in doubt", async () => {
    const stop = new AbortController();
    const seen = await serve(() => {
      stop.abort();
    });
    expect(await provider(seen.baseUrl).call(callOf(), stop.signal)).toMatchObject({
      outcome: "in_doubt",
      sent: "perhaps",
    });
  });

  test("many calls on one signal end together, without a listener each", async () => {
    const stop = new AbortController();
    let arrived = 0;
    const seen = await serve(() => {
      arrived += 1;
      if (arrived === 20) stop.abort();
    });
    const one = provider(seen.baseUrl, { connectionsMax: 20 });
    const ended = await Promise.all(Array.from({ length: 20 }, () => one.call(callOf(), stop.signal)));
    expect(ended.map((failure) => "outcome" in failure && failure.outcome)).toEqual(
      Array.from({ length: 20 }, () => "in_doubt"),
    );
  });
});

describe("what can't be sent", () => {
  test("a key that a header can't hold is told without showing it", async () => {
    const seen = await serve((response) => response.writeHead(200, JSON_TYPE).end(GOOD));
    const failure = await provider(seen.baseUrl, { apiKey: () => "sk-bad\r\nx: y" }).call(callOf(), NEVER);
    expect(failure).toMatchObject({ outcome: "auth_failed", sent: "no" });
    expect(JSON.stringify(failure)).not.toContain("sk-bad");
  });

  test("a body that is no JSON object", async () => {
    expect(await provider("http://127.0.0.1:9/v1").call(callOf({ bodyText: "[]" }), NEVER)).toMatchObject({
      outcome: "refused",
      sent: "no",
    });
  });

  test("a server of one's own needs an address", () => {
    expect(() =>
      createCompatible({
        account: "local",
        baseUrl: null,
        apiKey: () => null,
        connectionsMax: 1,
        connectTimeoutMs: 1,
        idleTimeoutMs: 1,
        responseBytesMax: 1,
        nowMs: () => 0,
      }),
    ).toThrow(/local needs a baseUrl/);
  });
});
