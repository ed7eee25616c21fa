import { execFile } from "node:child_process";
import { createServer, type AddressInfo, type Server } from "node:net";
import { promisify } from "node:util";
import { afterEach, describe, expect, test } from "@jest/globals";

/**
 * A provider that says `Connection: close` and ends the connection in the same breath, while the reader still has the beginning of the body
 * before it. undici 7 ends the whole process then, past every handler (nodejs/undici#5360).
 */

const CHILD = new URL("../support/slow-reader-child.mjs", import.meta.url).pathname;

let server: Server | null = null;
afterEach(async () => {
  await new Promise((resolve) => server?.close(resolve));
});

/** Answers each connection with what `answerTo` has for its path, and an end right behind it. */
async function serve(answerTo: (path: string) => Buffer): Promise<string> {
  const listening = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", (head: Buffer) => socket.end(answerTo(head.toString("latin1").split(" ")[1] ?? "")));
  });
  server = listening;
  await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${String((listening.address() as AddressInfo).port)}`;
}

/** @returns what the reader says of each path. @throws when it dies. */
async function read(origin: string, pauseMs: number, paths: readonly string[]): Promise<readonly unknown[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD, origin, String(pauseMs), ...paths]);
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);
}

const HEAD = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/octet-stream\r\n";
const CHUNK_BYTES = 10_000;

function chunked(body: Buffer): Buffer {
  const parts: (string | Buffer)[] = [];
  for (let at = 0; at < body.length; at += CHUNK_BYTES) {
    const chunk = body.subarray(at, at + CHUNK_BYTES);
    parts.push(`${chunk.length.toString(16)}\r\n`, chunk, "\r\n");
  }
  return Buffer.concat([...parts, "0\r\n\r\n"].map((part) => Buffer.from(part)));
}

const ANSWERS: Record<string, (body: Buffer) => Buffer> = {
  "a length": (body) => Buffer.concat([Buffer.from(`${HEAD}content-length: ${String(body.length)}\r\n\r\n`), body]),
  chunks: (body) => Buffer.concat([Buffer.from(`${HEAD}transfer-encoding: chunked\r\n\r\n`), chunked(body)]),
  "its end": (body) => Buffer.concat([Buffer.from(`${HEAD}\r\n`), body]),
};

/** Around the bytes at which the reader's queue is full, and far more than all buffers on the way hold. */
const SIZES = [1_000_000, 1_048_577, 1_060_000, 1_100_000, 1_200_000, 12_000_000];

describe("the end of a connection while the reader is slow", () => {
  test.each(Object.keys(ANSWERS))("does not cut a body that is bounded by %s", async (bound) => {
    const answer = ANSWERS[bound]!;
    const origin = await serve((path) => answer(Buffer.alloc(Number(path.slice(1)), 1)));
    const said = await read(
      origin,
      200,
      SIZES.map((bytes) => `/${String(bytes)}`),
    );
    expect(said).toEqual(SIZES.map((bytes) => ({ bytes, sum: bytes, because: null })));
  });

  test.each(["a length", "chunks"])("breaks a body that is bounded by %s and not whole", async (bound) => {
    const answer = ANSWERS[bound]!;
    const origin = await serve((path) => answer(Buffer.alloc(Number(path.slice(1)), 1)).subarray(0, -100));
    const said = await read(
      origin,
      200,
      SIZES.map((bytes) => `/${String(bytes)}`),
    );
    expect(said).toEqual(SIZES.map(() => expect.objectContaining({ because: "connection" })));
  });
});
