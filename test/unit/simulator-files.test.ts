/** Uploads as a stream, the store on disk, and what faults do to calls about files. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { FileStore } from "../../src/simulator/engine/file-store.js";
import { LineReader } from "../../src/simulator/engine/line-reader.js";
import { boundaryOf, readMultipart } from "../../src/simulator/engine/multipart.js";
import { SimulatedClock } from "../../src/simulator/engine/simulated-clock.js";
import { contentOf, lines, upload } from "../support/simulator-batches.js";
import {
  OPENAI_HEADERS,
  control,
  folder as simulatorFolder,
  restart,
  send,
  simulator,
  simulatorForEachTest,
  until,
} from "../support/simulator-harness.js";

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "simulator-files-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

describe("a multipart body", () => {
  type Part = { name: string; filename: string | null; bytes: Buffer };

  /** Reads `body` in the pieces given, as a request would bring them. */
  async function read(body: Buffer, cuts: readonly number[]): Promise<{ end: unknown; parts: Part[] }> {
    const request = new PassThrough();
    const parts: Part[] = [];
    // A stream is all that is used of a request.
    const done = readMultipart(request as never, "b0", ({ name, filename }) => {
      const part: Part = { name, filename, bytes: Buffer.alloc(0) };
      parts.push(part);
      return {
        write: (piece) => {
          part.bytes = Buffer.concat([part.bytes, piece]);
          return true;
        },
        end: () => undefined,
      };
    });
    const edges = [0, ...[...cuts].sort((a, b) => a - b), body.length];
    for (const [at, start] of edges.slice(0, -1).entries()) {
      const piece = body.subarray(start, edges[at + 1]);
      if (piece.length > 0) request.write(piece);
    }
    request.end();
    return { end: await done, parts };
  }

  const byte = fc.constantFrom(..."\r\n-b0x".split("").map((character) => character.charCodeAt(0)));

  test("gives every part's bytes unchanged, however it is cut into pieces", async () => {
    const parts = fc.array(fc.array(byte, { maxLength: 40 }), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(parts, fc.array(fc.nat(400), { maxLength: 12 }), async (contents, cuts) => {
        const wanted = contents.map((bytes, n) => ({
          name: `p${String(n)}`,
          filename: null,
          bytes: Buffer.from(bytes),
        }));
        // A part can't hold its own delimiter; no client sends one that does.
        fc.pre(wanted.every(({ bytes }) => !`\r\n${bytes.toString("latin1")}`.includes("\r\n--b0")));
        const body = Buffer.concat([
          ...wanted.flatMap(({ name, bytes }) => [
            Buffer.from(`--b0\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n`),
            bytes,
            Buffer.from("\r\n"),
          ]),
          Buffer.from("--b0--\r\n"),
        ]);
        const inside = cuts.map((cut) => Math.min(cut, body.length));
        expect(await read(body, inside)).toEqual({ end: "whole", parts: wanted });
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    ["multipart/form-data; boundary=abc", "abc"],
    ['multipart/form-data; charset=utf-8; boundary="a b"', "a b"],
    ["multipart/form-data", null],
    ["application/json", null],
    [undefined, null],
  ])("has the boundary that %p names", (type, boundary) => {
    expect(boundaryOf(type)).toBe(boundary);
  });

  test.each([
    ["ends before its last boundary", '--b0\r\ncontent-disposition: form-data; name="a"\r\n\r\nx', /ends before/],
    ["has a broken boundary", "--b0xx", /broken boundary/],
    ["has a part without a name", "--b0\r\ncontent-type: text/plain\r\n\r\nx\r\n--b0--", /no name/],
    ["has a head that never ends", `--b0\r\n${"x".repeat(20_000)}`, /too long a head/],
    ["has too many parts", '--b0\r\ncontent-disposition: form-data; name="a"\r\n\r\n\r\n'.repeat(33), /too many parts/],
  ])("that %s is refused", async (_name, body, wrong) => {
    expect((await read(Buffer.from(body), [])).end).toEqual({ wrong: expect.stringMatching(wrong) });
  });

  test("reads a file name with quotes in it", async () => {
    const body =
      '--b0\r\nContent-Disposition: form-data; name="file"; filename="a \\"b\\" %22c%22.txt"\r\n\r\nx\r\n--b0--';
    expect((await read(Buffer.from(body), [])).parts[0]?.filename).toBe('a "b" "c".txt');
  });
});

describe("lines of a file", () => {
  test("are read one by one, whatever their length, with their places", () => {
    const path = join(folder, "lines");
    const texts = ["a", "", "é".repeat(50_000), "b".repeat(65_535), "c"];
    writeFileSync(path, texts.join("\n"));
    const reader = new LineReader(path);
    const read: string[] = [];
    let third = 0;
    for (let line = reader.next(); line !== null; line = reader.next()) {
      read.push(line);
      if (read.length === 2) third = reader.position;
    }
    reader.close();
    expect(read).toEqual(texts);
    const later = new LineReader(path, third);
    expect(later.next()).toBe(texts[2]);
    later.close();
  });

  test("that are not UTF-8 are one replacement character", () => {
    const path = join(folder, "bytes");
    writeFileSync(path, Buffer.from([0x22, 0xff, 0x22, 10, 0x41]));
    const reader = new LineReader(path);
    expect([reader.next(), reader.next(), reader.next()]).toEqual(["\u{fffd}", "A", null]);
    reader.close();
  });
});

describe("the store", () => {
  const meta = { provider: "openai", account: "me", expiresMs: null, listed: true, details: { n: 1 } } as const;

  function opened(): { store: FileStore; clock: SimulatedClock } {
    const clock = new SimulatedClock(join(folder, "clock.json"), 1);
    return { store: new FileStore(join(folder, "files"), clock), clock };
  }

  test("keeps whole files over a restart, and nothing that was not finished", () => {
    const { store } = opened();
    const writer = store.writer();
    writer.write(Buffer.from("abc"));
    const kept = store.keep(writer.done(), { ...meta, id: "f1" });
    expect(kept).toMatchObject({
      bytes: 3,
      sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    });
    const unfinished = store.writer();
    unfinished.write(Buffer.from("half"));
    writeFileSync(join(folder, "files", "77.bytes"), "bytes that no file names");
    const again = opened().store;
    expect(again.find("openai", "me", "f1")).toEqual(kept);
    expect(readFileSync(again.pathOf(kept), "utf8")).toBe("abc");
    expect(readdirSync(join(folder, "files"))).toHaveLength(2);
    unfinished.abandon();
  });

  test("has ids of its own for each provider and account", () => {
    const { store } = opened();
    const written = (): ReturnType<ReturnType<FileStore["writer"]>["done"]> => store.writer().done();
    store.keep(written(), { ...meta, id: "f" });
    store.keep(written(), { ...meta, id: "f", account: "you" });
    store.keep(written(), { ...meta, id: "f", provider: "gemini" });
    expect(() => store.keep(written(), { ...meta, id: "f" })).toThrow(/already/);
    expect(store.list("openai", "me")).toHaveLength(1);
    expect(store.find("openai", "nobody", "f")).toBeNull();
  });

  test("forgets a file when its time has come, bytes and all", () => {
    const { store, clock } = opened();
    const file = store.keep(store.writer().done(), { ...meta, id: "f", expiresMs: clock.now() + 1000 });
    expect(store.find("openai", "me", "f")).toEqual(file);
    clock.advance(1000);
    expect(store.find("openai", "me", "f")).toBeNull();
    expect(readdirSync(join(folder, "files"))).toEqual([]);
  });
});

describe("calls about files", () => {
  simulatorForEachTest();

  test("leave nothing of an upload that breaks off", async () => {
    const { hostname, port } = new URL(simulator.url);
    const socket = connect(Number(port), hostname);
    const head = `POST /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: ${OPENAI_HEADERS.authorization}\r\n`;
    const type = "content-type: multipart/form-data; boundary=b\r\ncontent-length: 100000\r\n\r\n";
    const part = '--b\r\ncontent-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\nhalf of it';
    socket.write(head + type + part);
    const files = join(simulatorFolder, "bill.jsonl.state", "files");
    await until(() => Promise.resolve(readdirSync(files).length === 1));
    socket.destroy();
    await until(() => Promise.resolve(readdirSync(files).length === 0));
    await until(() => Promise.resolve(simulator.stats().open === 0));
  });

  async function content(kind: object): Promise<Response> {
    const id = await upload(lines(40));
    const rule = { match: { path: "/v1/files/*", operation: "openai.files.content" }, fault: kind };
    expect((await control("/simulator/faults", "POST", [rule])).status).toBe(200);
    return fetch(`${simulator.url}/v1/files/${id}/content`, {
      headers: OPENAI_HEADERS,
      signal: AbortSignal.timeout(300),
      redirect: "manual",
    });
  }

  test("cut a download in the middle", async () => {
    const response = await content({ kind: "truncate" });
    const promised = Number(response.headers.get("content-length"));
    const pieces: Uint8Array[] = [];
    const reading = (async () => {
      for await (const piece of response.body!) pieces.push(piece as Uint8Array);
    })();
    await expect(reading).rejects.toThrow();
    expect(Buffer.concat(pieces).length).toBe(Math.floor(promised / 2));
  });

  test("send a download slowly", async () => {
    const id = await upload(lines(2));
    const whole = (await contentOf(id)).text;
    await control("/simulator/faults", "POST", [{ fault: { kind: "trickle", bytesPerS: 2000 } }]);
    const startedMs = performance.now();
    expect((await contentOf(id)).text).toBe(whole);
    expect(performance.now() - startedMs).toBeGreaterThan((whole.length / 2000) * 700);
  });

  test("never answer, cut, move or show a page", async () => {
    await expect(content({ kind: "hang" })).rejects.toThrow();
    await expect(content({ kind: "drop_before" })).rejects.toThrow();
    expect((await content({ kind: "redirect" })).status).toBe(307);
    expect((await content({ kind: "html_200" })).headers.get("content-type")).toMatch(/text\/html/);
  });

  test("do what they are told before the connection is cut, and nothing when it is cut before", async () => {
    const ids = [await upload(lines(1)), await upload(lines(1))];
    const rule = (kind: string): object => ({ match: { operation: "openai.files.delete" }, fault: { kind } });
    await control("/simulator/faults", "POST", [rule("drop_before")]);
    await expect(send(`/v1/files/${ids[0]!}`, OPENAI_HEADERS, null, "DELETE")).rejects.toThrow();
    await control("/simulator/faults", "POST", [rule("drop_after_billed")]);
    await expect(send(`/v1/files/${ids[1]!}`, OPENAI_HEADERS, null, "DELETE")).rejects.toThrow();
    expect([(await contentOf(ids[0]!)).status, (await contentOf(ids[1]!)).status]).toEqual([200, 404]);
  });

  test.each([
    ["seconds", { "retry-after": "2" }],
    ["ms", { "retry-after-ms": "1500" }],
    ["absurd", { "retry-after": "864000" }],
    ["date", { "retry-after": expect.stringMatching(/^\w{3}, \d\d \w{3} 20\d\d \d\d:\d\d:\d\d GMT$/) }],
  ] as const)("are limited with the time to wait as %s", async (retryAfter, headers) => {
    const answer = await content({ kind: "rate_limited", retryAfter, waitMs: 1500 });
    expect(answer.status).toBe(429);
    expect(Object.fromEntries(answer.headers)).toMatchObject(headers);
    if (retryAfter === "date") {
      const waitMs = Date.parse(answer.headers.get("retry-after")!) - Date.now();
      expect(waitMs).toBeGreaterThan(1000);
      expect(waitMs).toBeLessThanOrEqual(2500);
    }
  });

  test("are limited without a word about when to come again", async () => {
    const answer = await content({ kind: "rate_limited", retryAfter: "missing" });
    expect([answer.status, answer.headers.has("retry-after"), answer.headers.has("retry-after-ms")]).toEqual([
      429,
      false,
      false,
    ]);
  });

  test("fail only in the time that a rule names", async () => {
    const id = await upload(lines(1));
    await control("/simulator/faults", "POST", [
      { match: { fromMs: 150, untilMs: 400 }, fault: { kind: "status", status: 500 } },
    ]);
    expect((await contentOf(id)).status).toBe(200);
    await until(async () => (await contentOf(id)).status === 500);
    await until(async () => (await contentOf(id)).status === 200);
    await restart({});
  });
});
