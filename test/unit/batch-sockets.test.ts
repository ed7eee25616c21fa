import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "@jest/globals";
import { createStreamCaller } from "../../src/adapters/providers/http-stream.js";
import type { StreamCaller, StreamOptions, StreamRequest } from "../../src/adapters/providers/http-stream.js";
import { selfSigned } from "../support/self-signed.js";

/** What becomes of sockets and of answers that only a raw server gives. */

const NEVER = new AbortController().signal;
const BYTES_MAX = 100_000;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Raw {
  readonly port: number;
  readonly sockets: readonly Socket[];
  /** What came in on all connections. */
  heard(): string;
}

async function listen(onData: (socket: Socket) => void): Promise<Raw> {
  const sockets: Socket[] = [];
  let heard = "";
  const server: Server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
    socket.on("data", (bytes: Buffer) => {
      heard += bytes.toString("latin1");
      onData(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return { port: (server.address() as AddressInfo).port, sockets, heard: () => heard };
}

function callerOf(origin: string, more: Partial<StreamOptions> = {}): StreamCaller {
  const options = { origin, connectionsMax: 2, connectTimeoutMs: 2_000, idleTimeoutMs: 5_000, ...more };
  const caller = createStreamCaller(options);
  cleanups.push(() => caller.close());
  return caller;
}

const requestOf = (more: Partial<StreamRequest> = {}): StreamRequest => ({
  method: "POST",
  path: "/v1/batches?limit=1",
  headers: ["X-Mark", "b-1", "accept", "*/*"],
  body: '{"é":1}',
  timeoutMs: 10_000,
  sendWithinMs: 5_000,
  maySend: () => true,
  ...more,
});

const GOOD = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

async function until(isSo: () => boolean): Promise<void> {
  for (let tries = 0; tries < 300 && !isSo(); tries += 1) await sleep(10);
  expect(isSo()).toBe(true);
}

describe("a request", () => {
  test.each<[string, Partial<StreamRequest>, string]>([
    ["with a text", {}, 'X-Mark: b-1\r\naccept: */*\r\ncontent-length: 8\r\nConnection: close\r\n\r\n{"é":1}'],
    ["without a body", { body: null }, "accept: */*\r\ncontent-length: 0\r\nConnection: close\r\n\r\n"],
    ["that asks", { body: null, method: "GET" }, "accept: */*\r\nConnection: close\r\n\r\n"],
  ])("%s is sent as it was given, on a socket that is closed behind it", async (_what, more, rest) => {
    const raw = await listen((socket) => socket.write(GOOD));
    const reply = await callerOf(`http://127.0.0.1:${String(raw.port)}`).call(requestOf(more), BYTES_MAX, NEVER);
    expect(reply).toMatchObject({ kind: "answer", status: 200, bodyText: "{}" });
    const line = `${more.method ?? "POST"} /v1/batches?limit=1 HTTP/1.1\r\nhost: 127.0.0.1:${String(raw.port)}\r\n`;
    const heard = Buffer.from(raw.heard(), "latin1").toString("utf8");
    expect(heard.startsWith(line)).toBe(true);
    expect(heard.endsWith(rest)).toBe(true);
    await until(() => raw.sockets[0]!.readableEnded || raw.sockets[0]!.destroyed);
  });

  test("waits for a socket of its own while all are taken, and is not sent when none comes free in time", async () => {
    const raw = await listen(() => undefined);
    const caller = callerOf(`http://127.0.0.1:${String(raw.port)}`, { connectionsMax: 1, idleTimeoutMs: 1_500 });
    const first = caller.call(requestOf(), BYTES_MAX, NEVER);
    const late = await caller.call(requestOf({ sendWithinMs: 100 }), BYTES_MAX, NEVER);
    expect(late).toMatchObject({ kind: "broken", because: "no_connection", sent: "no" });
    expect(await first).toMatchObject({ kind: "broken", because: "idle", sent: "perhaps" });
    expect(raw.sockets.length).toBe(1);
  });
});

describe("an answer", () => {
  test.each<[string, string, object]>([
    ["101", "HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", { because: "connection" }],
    ["no HTTP", "SSH-2.0-OpenSSH_9.6\r\n", { because: "not_http", status: null }],
    ["heads without end", `HTTP/1.1 200 OK\r\nx: ${"x".repeat(40_000)}`, { because: "not_http" }],
    [
      "chunks that are none",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n",
      { because: "not_http", status: 200, receivedBytes: 2 },
    ],
  ])("that is %s is broken, and the request was perhaps sent", async (_what, text, expected) => {
    const raw = await listen((socket) => socket.write(text));
    const reply = await callerOf(`http://127.0.0.1:${String(raw.port)}`).call(requestOf(), BYTES_MAX, NEVER);
    expect(reply).toMatchObject({ kind: "broken", sent: "perhaps", ...expected });
  });

  test("is the one behind an informational head, with each of its headers", async () => {
    const head = "HTTP/1.1 200 OK\r\nX-Id: one\r\nx-id: two\r\nRetry-After: 3\r\ncontent-length: 2\r\n\r\n{}";
    const raw = await listen((socket) => socket.write(`HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n${head}`));
    const reply = await callerOf(`http://127.0.0.1:${String(raw.port)}`).call(requestOf(), BYTES_MAX, NEVER);
    expect(reply).toMatchObject({
      kind: "answer",
      status: 200,
      headers: { "x-id": ["one", "two"], "retry-after": ["3"] },
    });
  });
});

describe("a connection", () => {
  test("whose TLS does not come about in time was not there, and nothing was sent", async () => {
    const raw = await listen(() => undefined);
    const caller = callerOf(`https://127.0.0.1:${String(raw.port)}`, { connectTimeoutMs: 200 });
    const startedMs = performance.now();
    expect(await caller.call(requestOf(), BYTES_MAX, NEVER)).toMatchObject({
      kind: "broken",
      because: "connection",
      sent: "no",
      errorCode: "ETIMEDOUT",
    });
    expect(performance.now() - startedMs).toBeLessThan(1_500);
    await until(() => raw.sockets[0]!.readableEnded || raw.sockets[0]!.destroyed);
    expect(raw.heard()).not.toContain("X-Mark");
  });

  test("to a server whose certificate nobody vouches for is none, and nothing was sent", async () => {
    let heard = "";
    const server = createTlsServer(selfSigned("localhost"), (socket) => {
      socket.on("error", () => undefined).on("data", (bytes: Buffer) => (heard += bytes.toString("latin1")));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => new Promise((resolve) => server.close(resolve)));
    const caller = callerOf(`https://localhost:${String((server.address() as AddressInfo).port)}`);
    expect(await caller.call(requestOf(), BYTES_MAX, NEVER)).toMatchObject({
      kind: "broken",
      because: "connection",
      sent: "no",
      errorCode: "DEPTH_ZERO_SELF_SIGNED_CERT",
    });
    expect(heard).toBe("");
  });

  test("to a server that speaks no TLS is none", async () => {
    const raw = await listen((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    const reply = await callerOf(`https://127.0.0.1:${String(raw.port)}`).call(requestOf(), BYTES_MAX, NEVER);
    expect(reply).toMatchObject({ kind: "broken", because: "connection", sent: "no" });
  });

  test("is cut when the caller closes, and no other is opened", async () => {
    const raw = await listen(() => undefined);
    const caller = callerOf(`http://127.0.0.1:${String(raw.port)}`, { connectionsMax: 1 });
    const first = caller.call(requestOf(), BYTES_MAX, NEVER);
    const second = caller.call(requestOf(), BYTES_MAX, NEVER);
    await until(() => raw.heard() !== "");
    await caller.close();
    expect(await first).toMatchObject({ kind: "broken", because: "aborted", sent: "perhaps" });
    expect(await second).toMatchObject({ kind: "broken", because: "aborted", sent: "no" });
    expect(await caller.call(requestOf(), BYTES_MAX, NEVER)).toMatchObject({ because: "aborted", sent: "no" });
    await until(() => raw.sockets[0]!.destroyed);
    expect(raw.sockets.length).toBe(1);
  });
});
