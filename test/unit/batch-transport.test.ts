import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "@jest/globals";
import type { BatchSettings } from "../../src/adapters/providers/batch-http.js";
import type { BatchCreate, BatchProvider, ResultItem, ResultsRequest } from "../../src/ports/batch-provider.js";
import { batchAccount, LIMITS, linesOf, NEVER, SEND } from "../support/batch-account.js";
import { answeredLine } from "../support/result-parts.js";
import { ScriptedServer, type Script } from "../support/scripted-server.js";

/** What the transport of batches promises, against real sockets: bounds of memory and time, and the truth about what was sent. */

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function serve(script: Parameters<typeof ScriptedServer.start>[0]): Promise<ScriptedServer> {
  const server = await ScriptedServer.start(script);
  cleanups.push(() => server.close());
  return server;
}

async function account(
  kind: "openai" | "anthropic" | "gemini",
  baseUrl: string,
  more: Partial<BatchSettings> = {},
): Promise<BatchProvider> {
  const provider = await batchAccount(kind, baseUrl, more);
  cleanups.push(() => provider.close());
  return provider;
}

const fromFile: BatchCreate = {
  mark: "b-1.1",
  lineFormat: "openai.chat",
  model: "m",
  input: { way: "file", fileId: "file-1" },
};
const inline = (texts: readonly string[]): BatchCreate => ({
  mark: "b-1.1",
  lineFormat: "anthropic.messages",
  model: null,
  input: { way: "inline", ...linesOf(texts) },
});
const ONE_FILE: ResultsRequest = {
  batchId: "batch_1",
  lineFormat: "openai.chat",
  parts: [{ part: "results", ref: "file-2" }],
  cursor: null,
};

async function read(items: AsyncIterable<ResultItem>): Promise<readonly ResultItem[]> {
  const all: ResultItem[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** `count` lines of 1,000 bytes, made while they are pulled; `pulled` counts their bytes. */
function manyLines(count: number): { lines: AsyncIterable<Uint8Array>; linesBytes: number; pulled: number } {
  const line = Buffer.alloc(999, "x");
  async function* each(): AsyncGenerator<Uint8Array> {
    for (let made = 0; made < count; made += 1) {
      source.pulled += line.length + 1;
      yield await Promise.resolve(line);
    }
  }
  const source = { pulled: 0, linesBytes: count * 1_000, lines: each() };
  return source;
}

/** What sockets of this machine may hold on both sides, and a few chunks of ours. */
const IN_FLIGHT_BYTES_MAX = 16_000_000;

describe("memory", () => {
  test("does not grow with an upload: lines are made as fast as the server takes them", async () => {
    const source = manyLines(60_000);
    let receivedBytes = 0;
    let mostAhead = 0;
    const server = await serve({
      raw: (request, response) => {
        const readOn = setTimeout(() => request.resume(), 300);
        request.on("data", (chunk: Buffer) => {
          mostAhead = Math.max(mostAhead, source.pulled - receivedBytes);
          receivedBytes += chunk.length;
        });
        request.pause();
        request.on("end", () => {
          clearTimeout(readOn);
          response.writeHead(200, { "content-type": "application/json" }).end('{"id":"file-1","filename":"b.jsonl"}');
        });
      },
    });
    const one = await account("openai", `${server.origin}/v1`);
    const reply = await one.upload({ name: "b-1", lines: source.lines, linesBytes: source.linesBytes }, LIMITS, NEVER);
    expect(reply).toMatchObject({ kind: "uploaded", file: { fileId: "file-1" } });
    expect(receivedBytes).toBeGreaterThan(60_000_000);
    expect(mostAhead).toBeLessThan(IN_FLIGHT_BYTES_MAX);
  });

  test("does not grow with an inline create either", async () => {
    const source = manyLines(40_000);
    let receivedBytes = 0;
    let mostAhead = 0;
    const server = await serve({
      raw: (request, response) => {
        setTimeout(() => request.resume(), 300);
        request.on("data", (chunk: Buffer) => {
          mostAhead = Math.max(mostAhead, source.pulled - receivedBytes);
          receivedBytes += chunk.length;
        });
        request.pause();
        request.on("end", () =>
          response
            .writeHead(200, { "content-type": "application/json" })
            .end('{"id":"msgbatch_1","processing_status":"in_progress"}'),
        );
      },
    });
    const one = await account("anthropic", server.origin);
    const batch: BatchCreate = { ...inline([]), input: { way: "inline", lines: source.lines, linesBytes: 40_000_000 } };
    expect((await one.create(batch, SEND, NEVER)).kind).toBe("created");
    expect(receivedBytes).toBe(40_000_000 - 1 + '{"requests":['.length + "]}".length);
    expect(mostAhead).toBeLessThan(IN_FLIGHT_BYTES_MAX);
  });

  test("does not grow with results: the server is held up while nobody reads", async () => {
    const line = `${answeredLine("a1", "x".repeat(900))}\n`;
    let writtenBytes = 0;
    const server = await serve({
      raw: (_request, response) => {
        response.writeHead(200, { "content-type": "application/octet-stream" });
        let left = 60_000;
        const write = (): void => {
          for (; left > 0; left -= 1) {
            writtenBytes += line.length;
            if (!response.write(line)) return;
          }
          response.end();
        };
        response.on("drain", () => {
          left -= 1;
          write();
        });
        write();
      },
    });
    const one = await account("openai", `${server.origin}/v1`);
    let lines = 0;
    let writtenWhileWaiting = 0;
    for await (const item of one.results(ONE_FILE, { timeoutMs: 60_000 }, NEVER)) {
      if (item.kind === "line") lines += 1;
      if (lines === 1 && item.kind === "line") {
        await sleep(300);
        writtenWhileWaiting = writtenBytes;
      }
      if (item.kind === "broken") throw new Error(item.failure.message);
    }
    expect(lines).toBe(60_000);
    expect(writtenWhileWaiting).toBeLessThan(IN_FLIGHT_BYTES_MAX);
  });

  test("of an answer about a batch is capped", async () => {
    const server = await serve(() => ({ body: { id: "batch_1", status: "x".repeat(3_000) } }));
    const one = await account("openai", `${server.origin}/v1`, { answerBytesMax: 1_000 });
    expect(await one.get("batch_1", LIMITS, NEVER)).toMatchObject({ kind: "failed", outcome: "bad_response" });
    expect(await one.create(fromFile, SEND, NEVER)).toMatchObject({ kind: "unclear" });
  });
});

describe("a create", () => {
  test("whose answer is lost may have been made, and is not sent again", async () => {
    const server = await serve(() => null);
    const one = await account("openai", `${server.origin}/v1`);
    expect(await one.create(fromFile, SEND, NEVER)).toMatchObject({
      kind: "unclear",
      failure: { outcome: "connection_failed", sent: "perhaps" },
    });
    expect(server.seen.length).toBe(1);
  });

  test.each<[string, Script]>([
    [
      "breaks off",
      {
        raw: (request, response) => {
          request.resume();
          response.writeHead(200, { "content-type": "application/json", "content-length": "500" });
          response.write('{"id":"batch_1",');
          setTimeout(() => request.socket.destroy(), 30);
        },
      },
    ],
    ["is a page", { answer: () => ({ headers: { "content-type": "text/html" }, body: "<html>ok</html>" }) }],
    ["is no batch", { answer: () => ({ body: { id: "../../x" } }) }],
    ["is compressed", { answer: () => ({ headers: { "content-encoding": "gzip" }, body: "{}" }) }],
    ["is a redirect", { answer: () => ({ status: 303, headers: { location: "/v1/batches/batch_1" } }) }],
    ["is a fault", { answer: () => ({ status: 500, body: { error: { type: "server_error" } } }) }],
    [
      "is a page of a gateway",
      { answer: () => ({ status: 502, headers: { "content-type": "text/html" }, body: "<p>" }) },
    ],
    ["is an overload", { answer: () => ({ status: 529 }) }],
    ["is a conflict", { answer: () => ({ status: 409 }) }],
  ])("whose answer %s may have been made", async (_what, script) => {
    const server = await serve(script);
    const one = await account("openai", `${server.origin}/v1`);
    const reply = await one.create(fromFile, SEND, NEVER);
    expect(reply).toMatchObject({ kind: "unclear", failure: { sent: "answered" } });
    expect(server.connections).toBe(1);
  });

  test("that finds nobody was not sent", async () => {
    const server = await serve(() => ({}));
    const { origin } = server;
    await server.close();
    cleanups.pop();
    const one = await account("openai", `${origin}/v1`);
    expect(await one.create(fromFile, SEND, NEVER)).toMatchObject({ kind: "not_sent", because: "no_connection" });
  });

  test("asks right before its first byte whether it may leave", async () => {
    const server = await serve(() => ({}));
    const one = await account("openai", `${server.origin}/v1`);
    expect(await one.create(fromFile, { ...SEND, maySend: () => false }, NEVER)).toMatchObject({
      kind: "not_sent",
      because: "stopped",
    });
    expect(await one.create(fromFile, SEND, AbortSignal.abort())).toMatchObject({
      kind: "not_sent",
      because: "stopped",
    });
    expect(server.seen.length).toBe(0);
  });

  test("that is stopped on its way may have been made", async () => {
    const stop = new AbortController();
    const server = await serve({
      raw: (request) => {
        request.resume();
        request.on("end", () => {
          stop.abort();
        });
      },
    });
    const one = await account("openai", `${server.origin}/v1`);
    expect(await one.create(fromFile, SEND, stop.signal)).toMatchObject({
      kind: "unclear",
      failure: { outcome: "in_doubt", sent: "perhaps" },
    });
  });

  test("with lines that can't be had ends with the reason of their source, and no whole request was sent", async () => {
    let ended = false;
    const server = await serve({
      raw: (request) =>
        request
          .on("end", () => (ended = true))
          .on("error", () => undefined)
          .resume(),
    });
    const one = await account("anthropic", server.origin);
    const broken = (async function* () {
      yield await Promise.resolve(Buffer.from('{"custom_id":"a1"}'));
      throw new Error("the database is gone");
    })();
    const batch: BatchCreate = { ...inline([]), input: { way: "inline", lines: broken, linesBytes: 100 } };
    await expect(one.create(batch, SEND, NEVER)).rejects.toThrow("the database is gone");
    expect(ended).toBe(false);
  });

  test.each([
    ["fewer", 100, "expected 114 bytes to send, the source gave 36"],
    ["more", 5, /^expected 19 bytes to send, the source gave at least/],
  ])("with %s bytes of lines than were announced is a fault of the caller", async (_what, linesBytes, message) => {
    const server = await serve({ raw: (request) => request.on("error", () => undefined).resume() });
    const one = await account("anthropic", server.origin);
    const batch = {
      ...inline([]),
      input: { way: "inline", ...linesOf(['{"custom_id":"a1"}', "{}"]), linesBytes },
    } as const;
    await expect(one.create(batch, SEND, NEVER)).rejects.toThrow(message);
  });
});

describe("an upload", () => {
  test("that is refused before it was read is given up, and the refusal is what counts", async () => {
    const source = manyLines(60_000);
    const server = await serve({
      raw: (request, response) => {
        request.once("data", () => {
          request.pause();
          const body = '{"error":{"message":"no","type":"invalid_request_error","code":"invalid_api_key"}}';
          response.writeHead(401, { "content-type": "application/json", "content-length": body.length });
          response.write(body);
        });
      },
    });
    const one = await account("openai", `${server.origin}/v1`);
    const reply = await one.upload({ name: "b-1", lines: source.lines, linesBytes: source.linesBytes }, LIMITS, NEVER);
    expect(reply).toMatchObject({ kind: "failed", outcome: "auth_failed", provider: { status: 401 } });
    expect(source.pulled).toBeLessThan(IN_FLIGHT_BYTES_MAX);
  });
});

describe("time", () => {
  test("a silent server is given up after the idle limit, and what was sent stays in doubt", async () => {
    const server = await serve({ raw: (request) => request.resume() });
    const one = await account("openai", `${server.origin}/v1`, { idleTimeoutMs: 200 });
    const startedMs = performance.now();
    expect(await one.create(fromFile, SEND, NEVER)).toMatchObject({
      kind: "unclear",
      failure: { outcome: "timed_out", sent: "perhaps" },
    });
    expect(performance.now() - startedMs).toBeLessThan(1_500);
  });

  test("a server that does not take an upload is given up after the idle limit", async () => {
    const server = await serve({ raw: (request) => request.pause() });
    const one = await account("openai", `${server.origin}/v1`, { idleTimeoutMs: 300 });
    const startedMs = performance.now();
    const reply = await one.upload({ name: "b-1", ...manyLines(60_000) }, LIMITS, NEVER);
    expect(reply).toMatchObject({ kind: "failed", outcome: "timed_out", sent: "perhaps" });
    expect(performance.now() - startedMs).toBeLessThan(4_000);
  });

  test("a body that trickles ends at the total deadline", async () => {
    const server = await serve({
      raw: (_request, response) => {
        response.writeHead(200, { "content-type": "application/json" });
        const drip = setInterval(() => response.write(" "), 30);
        response.on("close", () => {
          clearInterval(drip);
        });
      },
    });
    const one = await account("openai", `${server.origin}/v1`, { idleTimeoutMs: 400 });
    const startedMs = performance.now();
    expect(await one.get("batch_1", { timeoutMs: 500 }, NEVER)).toMatchObject({ kind: "failed", outcome: "timed_out" });
    const items = await read(one.results(ONE_FILE, { timeoutMs: 500 }, NEVER));
    expect(items).toEqual([
      expect.objectContaining({ kind: "broken", cursor: expect.objectContaining({ byteOffset: 0 }) }),
    ]);
    expect(performance.now() - startedMs).toBeLessThan(2_500);
  });

  test("the caller's own pauses are not the server's silence, on the way up and down", async () => {
    const lines = [answeredLine("a1", "x".repeat(2_000_000)), answeredLine("a2", "y")];
    const server = await serve(({ method }) =>
      method === "POST"
        ? { body: { id: "file-1", filename: "b-1.jsonl" } }
        : { headers: { "content-type": "application/octet-stream" }, body: lines.map((line) => `${line}\n`).join("") },
    );
    const one = await account("openai", `${server.origin}/v1`, { idleTimeoutMs: 150, resultLineBytesMax: 5_000_000 });
    const slow = (async function* () {
      yield Buffer.from("{}");
      await sleep(500);
      yield Buffer.from("{}");
    })();
    const uploaded = await one.upload({ name: "b-1", lines: slow, linesBytes: 6 }, LIMITS, NEVER);
    expect(uploaded.kind).toBe("uploaded");
    const kinds: string[] = [];
    for await (const item of one.results(ONE_FILE, LIMITS, NEVER)) {
      kinds.push(item.kind);
      await sleep(400);
    }
    expect(kinds).toEqual(["line", "line", "end"]);
  });

  test("results that stop coming are broken at the idle limit, with a cursor to go on from", async () => {
    let requests = 0;
    const lines = ["a1", "a2", "a3"].map((id) => `${answeredLine(id, "Blue.")}\n`);
    const server = await serve({
      raw: (_request, response) => {
        requests += 1;
        response.writeHead(200, { "content-type": "application/octet-stream" });
        if (requests === 1) response.write(`${lines[0]!}${lines[1]!}{"custom_id":"a3"`);
        else response.end(lines.join(""));
      },
    });
    const one = await account("openai", `${server.origin}/v1`, { idleTimeoutMs: 200 });
    const first = await read(one.results(ONE_FILE, LIMITS, NEVER));
    expect(first.map(({ kind }) => kind)).toEqual(["line", "line", "broken"]);
    const last = first[2];
    const cursor = last?.kind === "broken" ? last.cursor : null;
    const second = await read(one.results({ ...ONE_FILE, cursor }, LIMITS, NEVER));
    expect(second).toMatchObject([{ kind: "line", customId: "a3" }, { kind: "end" }]);
  });

  test("a reader who leaves in the middle lets the connection go", async () => {
    const seen = { closed: false };
    const server = await serve({
      raw: (_request, response) => {
        response.writeHead(200, { "content-type": "application/octet-stream" });
        response.on("close", () => (seen.closed = true));
        response.write(`${answeredLine("a1", "Blue.")}\n`);
      },
    });
    const one = await account("openai", `${server.origin}/v1`);
    for await (const item of one.results(ONE_FILE, LIMITS, NEVER)) if (item.kind === "line") break;
    for (let tries = 0; tries < 100 && !seen.closed; tries += 1) await sleep(10);
    expect(seen.closed).toBe(true);
  });
});

describe("the key", () => {
  test("does not follow a redirect", async () => {
    const elsewhere = await serve(() => ({ body: {} }));
    const server = await serve(() => ({
      status: 302,
      headers: { location: `${elsewhere.origin}/v1/batches/batch_1` },
    }));
    const one = await account("openai", `${server.origin}/v1`);
    expect(await one.get("batch_1", LIMITS, NEVER)).toMatchObject({ kind: "failed", outcome: "bad_response" });
    expect(await read(one.results(ONE_FILE, LIMITS, NEVER))).toMatchObject([{ kind: "broken" }]);
    expect(elsewhere.connections).toBe(0);
  });

  test("does not follow the address of results, nor of an upload", async () => {
    const elsewhere = await serve(() => ({ body: {} }));
    const results = `${elsewhere.origin}/v1/messages/batches/msgbatch_1/results`;
    const anthropicServer = await serve(({ url }) =>
      url.endsWith("/results")
        ? { body: "" }
        : { body: { id: "msgbatch_1", processing_status: "ended", results_url: results } },
    );
    const anthropic = await account("anthropic", anthropicServer.origin);
    const reply = await anthropic.get("msgbatch_1", LIMITS, NEVER);
    const parts = reply.kind === "batch" ? reply.batch.results : [];
    const request: ResultsRequest = { ...ONE_FILE, lineFormat: "anthropic.messages", parts };
    expect(await read(anthropic.results(request, LIMITS, NEVER))).toMatchObject([{ kind: "end" }]);
    expect(anthropicServer.seen.map(({ url }) => url)).toEqual([
      "/v1/messages/batches/msgbatch_1",
      "/v1/messages/batches/msgbatch_1/results",
    ]);
    const geminiServer = await serve(() => ({ headers: { "x-goog-upload-url": `${elsewhere.origin}/put?id=1` } }));
    const gemini = await account("gemini", `${geminiServer.origin}/v1beta`);
    const uploaded = await gemini.upload({ name: "b-1", ...linesOf(["{}"]) }, LIMITS, NEVER);
    expect(uploaded).toMatchObject({ kind: "failed", outcome: "bad_response" });
    expect(elsewhere.connections).toBe(0);
  });

  test("with a line break in it fails the call before anything is sent", async () => {
    const server = await serve(() => ({}));
    const one = await account("openai", `${server.origin}/v1`, { apiKey: () => "sk\nx: y" });
    expect(await one.get("batch_1", LIMITS, NEVER)).toMatchObject({
      kind: "failed",
      outcome: "auth_failed",
      sent: "no",
    });
    expect(server.seen.length).toBe(0);
  });
});

describe("results", () => {
  test("that are a page of something in between are broken, not a thousand bad lines", async () => {
    const server = await serve(() => ({ headers: { "content-type": "text/html; charset=utf-8" }, body: "<p>\n<p>\n" }));
    const one = await account("openai", `${server.origin}/v1`);
    expect(await read(one.results(ONE_FILE, LIMITS, NEVER))).toMatchObject([
      { kind: "broken", failure: { outcome: "bad_response" } },
    ]);
  });

  test("whose file is gone say so and go on with the other file; a fault of the provider does not", async () => {
    const server = await serve(({ url }) => {
      if (url === "/v1/files/file-2/content")
        return { status: 404, body: { error: { message: "No such File object" } } };
      if (url === "/v1/files/file-4/content") return { status: 503 };
      return { headers: { "content-type": "application/octet-stream" }, body: `${answeredLine("a1", "x")}\n` };
    });
    const one = await account("openai", `${server.origin}/v1`);
    const parts = (first: string) => [
      { part: "results", ref: first } as const,
      { part: "errors", ref: "file-3" } as const,
    ];
    const gone = await read(one.results({ ...ONE_FILE, parts: parts("file-2") }, LIMITS, NEVER));
    expect(gone.map(({ kind }) => kind)).toEqual(["gone", "line", "end"]);
    const broken = await read(one.results({ ...ONE_FILE, parts: parts("file-4") }, LIMITS, NEVER));
    expect(broken).toMatchObject([{ kind: "broken", failure: { outcome: "overloaded" } }]);
  });
});
