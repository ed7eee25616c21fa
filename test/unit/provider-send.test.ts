import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "@jest/globals";
import { createDirect } from "../../src/adapters/providers/openai/openai-provider.js";
import { SocketLine } from "../../src/adapters/providers/socket-line.js";
import type { Provider, ProviderCall } from "../../src/ports/provider.js";
import { SluggishServer } from "../support/sluggish-server.js";

/** Whether and when the first byte of a call leaves, against real sockets. */

const GOOD = readFileSync("test/golden/providers/openai-answer.json", "utf8");
const NEVER = new AbortController().signal;

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function provider(baseUrl: string, connectionsMax: number, connectTimeoutMs = 10_000): Provider {
  const created = createDirect({
    account: "main",
    baseUrl,
    apiKey: () => "sk-test",
    connectionsMax,
    connectTimeoutMs,
    idleTimeoutMs: 5_000,
    responseBytesMax: 10_000,
    nowMs: () => 0,
  });
  cleanups.push(() => created.close());
  return created;
}

const callOf = (more: Partial<ProviderCall> = {}): ProviderCall => ({
  attemptId: "attempt-1",
  format: "openai.chat",
  model: "gpt-5-mini",
  bodyText: '{"model":"cheap","messages":[]}',
  maxOutputTokensDefault: 64,
  timeoutMs: 10_000,
  sendWithinMs: 250,
  maySend: () => true,
  ...more,
});

async function sluggish(): Promise<SluggishServer> {
  const server = await SluggishServer.start(GOOD);
  cleanups.push(() => server.close());
  return server;
}

interface Counted {
  readonly baseUrl: string;
  connections: number;
  requests: number;
}

async function counting(): Promise<Counted> {
  const server: Server = createServer((request, response) => {
    seen.requests += 1;
    request.resume();
    response.writeHead(200, { "content-type": "application/json" }).end(GOOD);
  });
  server.on("connection", () => (seen.connections += 1));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const seen: Counted = { baseUrl: `http://127.0.0.1:${String(port)}/v1`, connections: 0, requests: 0 };
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return seen;
}

/** Connections that undici begins to open from here on. */
function countOpenings(): { count: number } {
  const seen = { count: 0 };
  const began = (): void => {
    seen.count += 1;
  };
  subscribe("undici:client:beforeConnect", began);
  cleanups.push(() => {
    unsubscribe("undici:client:beforeConnect", began);
  });
  return seen;
}

describe("a call whose connection takes longer than sendWithinMs", () => {
  test("is given up in time as not sent, and the next one finds the connection that it began to open", async () => {
    const server = await sluggish();
    const one = provider(server.baseUrl, 1);
    const startedMs = performance.now();
    expect(await one.call(callOf({ sendWithinMs: 100 }), NEVER)).toMatchObject({
      kind: "not_sent",
      because: "no_connection",
    });
    expect(performance.now() - startedMs).toBeLessThan(600);
    server.open();
    expect((await one.call(callOf({ attemptId: "attempt-2", sendWithinMs: 8_000 }), NEVER)).kind).toBe("answered");
    expect([server.connections, server.requests]).toEqual([1, 1]);
  });

  test("fails as not connected, nothing sent, when it was let wait for longer than opening one may take", async () => {
    const server = await sluggish();
    const one = provider(server.baseUrl, 1, 200);
    expect(await one.call(callOf({ sendWithinMs: 8_000 }), NEVER)).toMatchObject({
      kind: "failed",
      outcome: "connection_failed",
      sent: "no",
      provider: { code: "UND_ERR_CONNECT_TIMEOUT" },
    });
  });

  test("leaves no more openings behind than there may be connections, however many calls are given up", async () => {
    const server = await sluggish();
    const openings = countOpenings();
    const one = provider(server.baseUrl, 2);
    for (let round = 0; round < 3; round += 1) {
      const calls = Array.from({ length: 4 }, () => one.call(callOf({ sendWithinMs: 40 }), NEVER));
      expect((await Promise.all(calls)).map(({ kind }) => kind)).toEqual(Array.from({ length: 4 }, () => "not_sent"));
    }
    expect(openings.count).toBe(2);
    server.open();
    expect((await one.call(callOf({ sendWithinMs: 8_000 }), NEVER)).kind).toBe("answered");
    expect(server.requests).toBe(1);
  });

  test("is given up at once when the provider is closed", async () => {
    const server = await sluggish();
    const one = provider(server.baseUrl, 1);
    const calls = [1, 2].map(() => one.call(callOf({ sendWithinMs: 8_000 }), NEVER));
    await one.close();
    expect((await Promise.all(calls)).map((reply) => reply.kind === "answered")).toEqual([false, false]);
    expect(server.requests).toBe(0);
  });
});

describe("right before the first byte", () => {
  test("maySend is asked; refused, nothing leaves and the connection stays for the next call", async () => {
    const seen = await counting();
    const one = provider(seen.baseUrl, 1);
    expect(await one.call(callOf({ maySend: () => false }), NEVER)).toMatchObject({
      kind: "not_sent",
      because: "stopped",
    });
    expect((await one.call(callOf(), NEVER)).kind).toBe("answered");
    expect([seen.connections, seen.requests]).toEqual([1, 1]);
  });

  test("the time is looked at again: a process that stood still meanwhile sends nothing", async () => {
    const seen = await counting();
    const reply = provider(seen.baseUrl, 1).call(callOf({ sendWithinMs: 60 }), NEVER);
    const untilMs = performance.now() + 200;
    while (performance.now() < untilMs); // the connection is made by now, and nobody has looked
    expect(await reply).toMatchObject({ kind: "not_sent", because: "no_connection" });
    expect(seen.requests).toBe(0);
  });

  test("a call that was sent in time has all of its time for the answer", async () => {
    const server: Server = createServer((_request, response) => {
      setTimeout(() => response.writeHead(200, { "content-type": "application/json" }).end(GOOD), 400);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => {
      server.closeAllConnections();
      server.close();
    });
    const baseUrl = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/v1`;
    expect((await provider(baseUrl, 1).call(callOf({ sendWithinMs: 150 }), NEVER)).kind).toBe("answered");
  });
});

describe("the line before the sockets", () => {
  test("hands on as many as there is room for, the rest in order as others end", () => {
    const seen: string[] = [];
    const line = new SocketLine<string>(2, (item) => seen.push(item));
    for (const item of ["a", "b", "c", "d", "e"]) line.enter(item);
    expect(seen).toEqual(["a", "b"]);
    line.leave("c");
    line.leave("a"); // was handed on: its room is free only at its end
    expect(seen).toEqual(["a", "b"]);
    line.ended();
    expect(seen).toEqual(["a", "b", "d"]);
    expect(line.empty()).toEqual(["e"]);
    line.ended();
    expect(seen).toEqual(["a", "b", "d"]);
  });

  test("goes on when what it hands on ends at once", () => {
    const seen: string[] = [];
    const line: SocketLine<string> = new SocketLine<string>(1, (item) => {
      seen.push(item);
      if (item !== "a") line.ended();
    });
    for (const item of ["a", "b", "c"]) line.enter(item);
    line.ended();
    expect(seen).toEqual(["a", "b", "c"]);
  });
});
