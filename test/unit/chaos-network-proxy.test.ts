import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { NetworkProxy } from "../../src/chaos/network/network-proxy.js";

/** Real sockets on the loopback address: a server that answers what it is told to, a proxy before it, clients. */
let server: Server;
let served: Socket[];
let proxy: NetworkProxy;
let clients: Socket[];

const nextTurn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

async function until(holds: () => boolean): Promise<void> {
  for (let look = 0; look < 1000; look += 1) {
    if (holds()) return;
    await nextTurn();
  }
  throw new Error("it did not come about");
}

beforeEach(async () => {
  served = [];
  clients = [];
  server = createServer({ allowHalfOpen: true }, (socket) => {
    served.push(socket);
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => socket.write(`echo ${chunk.toString()}`));
    socket.on("end", () => {
      socket.end("bye");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  proxy = await NetworkProxy.open({
    name: "test",
    targetPort: (server.address() as AddressInfo).port,
    isCall: (line) => line.startsWith("POST /paid"),
  });
});

afterEach(async () => {
  for (const client of clients) client.destroy();
  await proxy.close();
  for (const socket of served) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

interface Client {
  readonly socket: Socket;
  readonly text: () => string;
  readonly error: () => string | null;
  readonly closed: () => boolean;
}

async function client(): Promise<Client> {
  const socket = connect({ port: proxy.port, host: "127.0.0.1", allowHalfOpen: true });
  clients.push(socket);
  let text = "";
  let error: string | null = null;
  let closed = false;
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    text += chunk;
  });
  socket.on("error", (trouble: NodeJS.ErrnoException) => {
    error = trouble.code ?? trouble.message;
  });
  socket.on("close", () => {
    closed = true;
  });
  await new Promise((resolve) => socket.once("connect", resolve).once("close", resolve));
  return { socket, text: () => text, error: () => error, closed: () => closed };
}

describe("a path that passes", () => {
  test("hands bytes on in both directions, and the end of one half alone", async () => {
    const { socket, text, closed, error } = await client();
    socket.write("one");
    await until(() => text() === "echo one");
    socket.end();
    await until(closed);
    expect([text(), error()]).toEqual(["echo onebye", null]);
    expect(proxy.counts).toMatchObject({ connections: 1, cut: 0, refused: 0, slowed: 0 });
  });

  test("hands megabytes on whole", async () => {
    const bytes = "x".repeat(3_000_000);
    const { socket, text, closed } = await client();
    socket.end(bytes);
    await until(closed);
    expect(text().replaceAll("echo ", "")).toBe(`${bytes}bye`);
  });

  test("ends a client whose server was killed", async () => {
    const { socket, text, closed } = await client();
    socket.write("one");
    await until(() => text() === "echo one");
    served[0]!.resetAndDestroy();
    await until(closed);
  });
});

describe("a path that is broken", () => {
  test("resets what stands when it is cut, and takes new connections", async () => {
    const before = await client();
    before.socket.write("one");
    await until(() => before.text() === "echo one");
    expect(proxy.cut()).toBe(1);
    await until(before.closed);
    expect(before.error()).toBe("ECONNRESET");
    const after = await client();
    after.socket.write("two");
    await until(() => after.text() === "echo two");
    expect(proxy.counts).toMatchObject({ connections: 2, cut: 1, refused: 0 });
  });

  test("resets old and new connections as long as it refuses", async () => {
    const before = await client();
    before.socket.write("one");
    await until(() => before.text() !== "");
    proxy.setMode({ kind: "refuse" });
    const meanwhile = await client();
    await until(() => before.closed() && meanwhile.closed());
    expect(proxy.counts).toMatchObject({ cut: 1, refused: 1 });
    proxy.setMode({ kind: "pass" });
    const after = await client();
    after.socket.write("two");
    await until(() => after.text() === "echo two");
  });

  test("holds bytes back and lets them through when it is whole again", async () => {
    proxy.setMode({ kind: "hold" });
    const { socket, text, closed } = await client();
    socket.write("one");
    for (let turn = 0; turn < 10; turn += 1) await nextTurn();
    expect([text(), closed()]).toEqual(["", false]);
    expect(proxy.counts.slowed).toBe(1);
    proxy.setMode({ kind: "pass" });
    await until(() => text() === "echo one");
  });

  test("brings delayed bytes late, whole and in order", async () => {
    proxy.setMode({ kind: "delay", ms: 60 });
    const { socket, text, closed } = await client();
    const sentMs = performance.now();
    for (const word of ["one ", "two ", "three "]) {
      socket.write(word);
      await nextTurn();
    }
    await until(() => text().includes("three"));
    expect(performance.now() - sentMs).toBeGreaterThanOrEqual(115); // there and back, by timers that are never early
    expect(text().replaceAll("echo ", "")).toBe("one two three ");
    socket.end();
    await until(closed);
  });

  test("passes no more bytes a second than told, and none is lost", async () => {
    proxy.setMode({ kind: "throttle", bytesPerS: 20_000 });
    const { socket, text, closed } = await client();
    const startMs = performance.now();
    socket.end("y".repeat(4000));
    await until(closed);
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(150);
    expect(text().replaceAll("echo ", "")).toBe(`${"y".repeat(4000)}bye`);
  });

  test("closes with clients that never end", async () => {
    proxy.setMode({ kind: "hold" });
    const stuck = await client();
    stuck.socket.end("one");
    await nextTurn();
    await proxy.close();
    await until(stuck.closed);
  });
});

describe("calls on a path", () => {
  const answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

  /** The server answers by the test's word alone. */
  async function call(requestLine: string): Promise<Client> {
    const known = served.length;
    const one = await client();
    await until(() => served.length > known);
    served.at(-1)!.removeAllListeners("data");
    served.at(-1)!.resume();
    one.socket.write(`${requestLine} HTTP/1.1\r\ncontent-length: 0\r\n\r\n`);
    await until(() => proxy.traffic.exchangesOpen > 0);
    return one;
  }

  test("are open until their answer has passed whole", async () => {
    const { text } = await call("POST /paid");
    expect(proxy.traffic).toEqual({ callsOpen: 1, callsBeingAnswered: 0, exchangesOpen: 1, callsAnswered: 0 });
    served[0]!.write(answer.slice(0, 30));
    await nextTurn();
    expect(proxy.traffic.callsOpen).toBe(1);
    served[0]!.write(answer.slice(30, -1));
    await until(() => text().endsWith("hell"));
    expect(proxy.traffic).toMatchObject({ callsOpen: 1, callsBeingAnswered: 1 });
    served[0]!.write("o");
    await until(() => proxy.traffic.callsOpen === 0);
    expect(proxy.traffic).toEqual({ callsOpen: 0, callsBeingAnswered: 0, exchangesOpen: 0, callsAnswered: 1 });
  });

  test("are lost with a client that goes before their answer, even if it goes in order", async () => {
    const sinceMs = performance.now();
    const { socket } = await call("POST /paid");
    socket.end();
    await until(() => proxy.counts.callsBroken === 1);
    served[0]!.write(answer);
    await nextTurn();
    expect(proxy.callsLostSince(sinceMs)).toBe(1);
    expect(proxy.callsLostSince(performance.now() + 1)).toBe(0);
  });

  test("are lost when their answer is cut in half", async () => {
    await call("POST /paid");
    served[0]!.write(answer.slice(0, -2));
    served[0]!.end();
    await until(() => proxy.counts.callsBroken === 1);
  });

  test("may be lost just after their answer, which is counted apart", async () => {
    const sinceMs = performance.now();
    const { socket, text } = await call("POST /paid");
    served[0]!.write(answer);
    await until(() => text().endsWith("hello"));
    socket.destroy();
    await until(() => proxy.counts.callsJustAnswered === 1);
    expect([proxy.counts.callsBroken, proxy.callsLostSince(sinceMs)]).toEqual([0, 1]);
  });

  test("are not requests that cost nothing", async () => {
    const { socket } = await call("GET /batches");
    expect(proxy.traffic).toEqual({ callsOpen: 0, callsBeingAnswered: 0, exchangesOpen: 1, callsAnswered: 0 });
    socket.destroy();
    await until(() => proxy.traffic.exchangesOpen === 0);
    expect(proxy.counts).toMatchObject({ callsBroken: 0, callsJustAnswered: 0 });
  });
});
