import { Readable } from "node:stream";
import { Client } from "undici";
import type { SimulatorProcess } from "../demo/simulator-process.js";
import { cpuSecondsOfTree, peakRssMb } from "./process-usage.js";
import { bodyOf, WIRES, type Wire } from "./simulator-calls.js";

const POLL_MS = 100;
const TIMEOUT_MS = 200_000;
/** Below the 200 MB that OpenAI takes as a batch's input, with 50,000 lines. */
const FILE_BYTES = 195_000_000;
/** Below the 256 MiB that Anthropic takes as a batch, with 100,000 requests. */
const INLINE_BYTES = 260_000_000;
const FULL_LINES = 50_000;

export interface BatchFigures {
  readonly lines: number;
  /** Bytes of the input, in millions. */
  readonly inputMb: number;
  /** MiB of the simulator before the batch, and the most it had with the upload, the run and the results read. */
  readonly idleRssMb: number;
  readonly peakRssMb: number;
  /** The second without the first; below the input's size, no more than all of it was ever in memory. */
  readonly overIdleMb: number;
  readonly linesPerS: number;
  readonly cpuSPer1kLines: number;
}

interface Started {
  readonly bytes: number;
  /** Asks until the batch has ended well; resolves with the path of its results. */
  readonly ended: () => Promise<string>;
}

interface Sized {
  readonly lines: number;
  readonly lineBytes: number;
}

type Answer = Readonly<Record<string, unknown>>;

/** How each provider's batch of full size is sent: OpenAI's and Gemini's from a file, Anthropic's inline and with twice the lines. */
const STARTS: Readonly<Record<Wire["name"], (url: string, wire: Wire, sized: Sized) => Promise<Started>>> = {
  openai: startOpenAi,
  anthropic: startAnthropic,
  gemini: startGemini,
};

/**
 * One batch from its upload to its read results, at a simulator that has done nothing yet.
 * @param lines of a file; an inline batch has twice as many.
 * @throws Error when a line fails or is missing.
 */
export async function oneBatch(
  simulator: SimulatorProcess,
  name: Wire["name"],
  fileLines: number,
): Promise<BatchFigures> {
  const { url, child } = simulator;
  const wire = WIRES.find((one) => one.name === name);
  if (wire === undefined) throw new Error(`expected to know how ${name} is called`);
  const idleRssMb = peakRssMb(child.pid);
  const lines = name === "anthropic" ? fileLines * 2 : fileLines;
  const lineBytes = Math.floor((name === "anthropic" ? INLINE_BYTES / 2 : FILE_BYTES) / FULL_LINES);
  const cpuBefore = cpuSecondsOfTree(child.pid);
  const started = await STARTS[name](url, wire, { lines, lineBytes });
  const startedMs = performance.now();
  const results = await started.ended();
  const seconds = (performance.now() - startedMs) / 1000;
  const found = await countLines(url, wire, results);
  if (found !== lines) throw new Error(`${name}: expected ${String(lines)} results, got ${String(found)}`);
  const cpuS = cpuSecondsOfTree(child.pid) - cpuBefore;
  const peakMb = peakRssMb(child.pid);
  return {
    lines,
    inputMb: Math.round(started.bytes / 1e6),
    idleRssMb,
    peakRssMb: peakMb,
    overIdleMb: peakMb - idleRssMb,
    linesPerS: Math.round(lines / seconds),
    cpuSPer1kLines: Number(((cpuS / lines) * 1000).toFixed(3)),
  };
}

/** Pieces are made one by one as they are sent: this process holds no file either. */
function* joined(head: string, lines: number, line: (n: number) => string, tail: string): Generator<Buffer> {
  if (head !== "") yield Buffer.from(head);
  for (let n = 0; n < lines; n += 1) yield Buffer.from(line(n));
  if (tail !== "") yield Buffer.from(tail);
}

/** A line's frame around a call's body, of that many bytes in all. */
function framed(wire: Wire, n: number, bytes: number, before: string, after: string): string {
  return `${before}${bodyOf(wire, n, bytes - before.length - after.length)}${after}`;
}

async function post(
  url: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: Iterable<Buffer> | string,
): Promise<{ readonly json: Answer; readonly headers: Readonly<Record<string, unknown>> }> {
  const client = new Client(url, { bodyTimeout: 0, headersTimeout: 0 });
  const sent = typeof body === "string" ? body : Readable.from(body);
  const answer = await client.request({ path, method: "POST", headers, body: sent });
  const json = (await answer.body.json()) as Answer; // the edge: an answer that is checked by its use
  await client.close();
  if (answer.statusCode !== 200) throw new Error(`expected ${path} to be taken: ${JSON.stringify(json)}`);
  return { json, headers: answer.headers };
}

async function polled(url: string, path: string, wire: Wire, isOver: (batch: Answer) => boolean): Promise<Answer> {
  const giveUpMs = performance.now() + TIMEOUT_MS;
  for (;;) {
    const response = await fetch(`${url}${path}`, { headers: wire.headers });
    const batch = (await response.json()) as Answer; // the edge, as above
    if (isOver(batch)) return batch;
    if (!response.ok || performance.now() > giveUpMs)
      throw new Error(`${wire.name}: expected the batch to end well, got ${JSON.stringify(batch)}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function countLines(url: string, wire: Wire, path: string): Promise<number> {
  const response = await fetch(`${url}${path}`, { headers: wire.headers });
  let found = 0;
  for await (const piece of response.body ?? []) for (const byte of piece as Uint8Array) if (byte === 10) found += 1;
  return found;
}

function expectCounts(wire: Wire, counts: unknown, expected: object): void {
  if (JSON.stringify(counts) !== JSON.stringify(expected))
    throw new Error(`${wire.name}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(counts)}`);
}

const BOUNDARY = "----sluice-bench";

async function startOpenAi(url: string, wire: Wire, { lines, lineBytes }: Sized): Promise<Started> {
  const part = (head: string): string => `--${BOUNDARY}\r\ncontent-disposition: form-data; ${head}\r\n\r\n`;
  const head = `${part('name="purpose"')}batch\r\n${part('name="file"; filename="bench.jsonl"')}`;
  const line = (n: number): string =>
    framed(wire, n, lineBytes, `{"custom_id":"line-${String(n)}","method":"POST","url":"${wire.path}","body":`, "}\n");
  const type = { ...wire.headers, "content-type": `multipart/form-data; boundary=${BOUNDARY}` };
  const { json } = await post(url, "/v1/files", type, joined(head, lines, line, `\r\n--${BOUNDARY}--\r\n`));
  const order = { input_file_id: json["id"], endpoint: wire.path, completion_window: "24h" };
  const batch = await post(url, "/v1/batches", wire.headers, JSON.stringify(order));
  return {
    bytes: Number(json["bytes"]),
    ended: async () => {
      const path = `/v1/batches/${String(batch.json["id"])}`;
      const done = await polled(url, path, wire, ({ status }) => status === "completed");
      expectCounts(wire, done["request_counts"], { total: lines, completed: lines, failed: 0 });
      return `/v1/files/${String(done["output_file_id"])}/content`;
    },
  };
}

async function startAnthropic(url: string, wire: Wire, { lines, lineBytes }: Sized): Promise<Started> {
  let bytes = 0;
  const line = (n: number): string => {
    const text = framed(wire, n, lineBytes, `${n === 0 ? "" : ","}{"custom_id":"line-${String(n)}","params":`, "}");
    bytes += text.length;
    return text;
  };
  const path = "/v1/messages/batches";
  const { json } = await post(url, path, wire.headers, joined('{"requests":[', lines, line, "]}"));
  return {
    bytes,
    ended: async () => {
      const one = `${path}/${String(json["id"])}`;
      const done = await polled(url, one, wire, (batch) => batch["processing_status"] === "ended");
      const none = { processing: 0, succeeded: lines, errored: 0, canceled: 0, expired: 0 };
      expectCounts(wire, done["request_counts"], none);
      return `${one}/results`;
    },
  };
}

async function startGemini(url: string, wire: Wire, { lines, lineBytes }: Sized): Promise<Started> {
  const start = { ...wire.headers, "x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start" };
  const plan = JSON.stringify({ file: { displayName: "bench", mimeType: "application/jsonl" } });
  const begun = await post(url, "/upload/v1beta/files", start, plan);
  const place = new URL(String(begun.headers["x-goog-upload-url"]));
  const line = (n: number): string => framed(wire, n, lineBytes, `{"key":"line-${String(n)}","request":`, "}\n");
  const whole = { "x-goog-upload-command": "upload, finalize", "x-goog-upload-offset": "0" };
  const { json } = await post(url, `${place.pathname}${place.search}`, whole, joined("", lines, line, ""));
  const file = json["file"] as { readonly name: string; readonly sizeBytes: string }; // the edge, as above
  // A file may be used once its upload has been looked through.
  await polled(url, `/v1beta/${file.name}`, wire, ({ state }) => state === "ACTIVE");
  const order = { batch: { displayName: "bench", inputConfig: { fileName: file.name } } };
  const path = wire.path.replace(":generateContent", ":batchGenerateContent");
  const batch = await post(url, path, wire.headers, JSON.stringify(order));
  return {
    bytes: Number(file.sizeBytes),
    ended: async () => {
      const name = String(batch.json["name"]);
      const done = await polled(url, `/v1beta/${name}`, wire, (operation) => operation["done"] === true);
      const { metadata, response } = done as Readonly<Record<string, Answer | undefined>>; // the edge, as above
      const stats = { requestCount: String(lines), successfulRequestCount: String(lines) };
      expectCounts(wire, metadata?.["batchStats"], stats);
      return `/download/v1beta/${String(response?.["responsesFile"])}:download?alt=media`;
    },
  };
}
