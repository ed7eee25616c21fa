import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { Readable } from "node:stream";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Client } from "undici";
import { startSimulator, type SimulatorProcess } from "../demo/simulator-process.js";
import { cpuSecondsOfTree, peakRssMb } from "./process-usage.js";

const SCRIPT = fileURLToPath(new URL("../simulator/simulator-main.js", import.meta.url));
const PRICING_FILE = fileURLToPath(new URL("../../schemas/pricing.json", import.meta.url));
const KEY = "Bearer sk-bench";
const BODY_BYTES = 1024;
const WARM_UP_CALLS = 5000;
const CONNECTIONS = 16;
/** Fifty thousand of these are just below the 200 MB that a batch's input may have. */
const LINE_BYTES = 3900;
const BATCH_POLL_MS = 100;
const BATCH_TIMEOUT_MS = 200_000;
const AT_ONCE = { validatingMs: 0, turnaroundMs: 0, jitterMs: 0, finalizingMs: 0 };

/** Rules that every call is held against and that none of them fits for good: what a run with rare faults costs. */
const FAULT_RULES = [
  { match: { path: "/v1/messages", rate: 0.01 }, fault: { kind: "status", status: 529 } },
  { match: { operation: "openai.batches.create" }, fault: { kind: "drop_after_billed" } },
  { match: { model: "gpt-4o", key: "other" }, fault: { kind: "rate_limited" } },
  { match: { operation: "openai.chat", nth: 1_000_000_000 }, fault: { kind: "hang" } },
  { match: { operation: "openai.chat", rate: 0.000001 }, fault: { kind: "truncate" } },
];
const LIMITS = { default: { requestsPerMinute: 100_000_000, tokensPerMinute: 100_000_000_000 } };

export interface SimulatorFigures {
  readonly calls: number;
  /** CPU seconds of the simulator for 1,000 direct chat calls with bodies of 1 KB. */
  readonly cpuSPer1k: number;
  readonly callsPerS: number;
  readonly batchLines: number;
  readonly batchFileMb: number;
  readonly batchLinesPerS: number;
  readonly batchCpuSPer1k: number;
  /** Most memory of the simulator that took in, ran and gave back the batch; the file's size is beside it. */
  readonly batchPeakRssMb: number;
  readonly idleRssMb: number;
}

/** What the simulator costs: direct calls with keys, checks, bill, rate headers, limits and fault rules on; and one batch of full size. */
export async function simulatorBench(
  calls: number,
  batchLines: number,
  note: (line: string) => void,
): Promise<SimulatorFigures> {
  const folder = await mkdtemp(join(tmpdir(), "sluice-bench-"));
  try {
    const direct = await withSimulator(folder, "direct", (simulator) => directCalls(simulator, calls));
    note(
      `direct: ${direct.cpuSPer1k.toFixed(3)} CPU-s per 1,000 calls, ${String(Math.round(direct.callsPerS))} calls/s`,
    );
    const batch = await withSimulator(folder, "batch", (simulator) => oneBatch(simulator, batchLines, note));
    return {
      calls,
      cpuSPer1k: round(direct.cpuSPer1k),
      callsPerS: Math.round(direct.callsPerS),
      batchLines,
      ...batch,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function round(value: number): number {
  return Number(value.toFixed(3));
}

async function withSimulator<T>(
  folder: string,
  name: string,
  use: (simulator: SimulatorProcess) => Promise<T>,
): Promise<T> {
  const keysFile = join(folder, "keys.json");
  await writeFile(keysFile, JSON.stringify({ "sk-bench": "bench" }));
  let failed: Error | null = null;
  const simulator = await startSimulator({
    script: SCRIPT,
    billFile: join(folder, `${name}.jsonl`),
    pricingFile: PRICING_FILE,
    latencyMs: 0,
    jitterMs: 0,
    seed: 1,
    logFile: join(folder, `${name}.log`),
    moreArgs: ["--keys", keysFile, "--limits", JSON.stringify(LIMITS), "--batch-times", JSON.stringify(AT_ONCE)],
    onUnexpectedEnd: (error) => {
      failed = error;
    },
  });
  try {
    const done = await use(simulator);
    if (failed !== null) throw failed as Error;
    return done;
  } finally {
    await simulator.stop();
  }
}

function chatBody(n: number, bytes: number): string {
  const body = (content: string): string =>
    JSON.stringify({ model: "gpt-4.1-mini", messages: [{ role: "user", content }], max_completion_tokens: 200 });
  const prompt = `call ${String(n)} `;
  return body(prompt.padEnd(bytes - body("").length, "words to be read "));
}

async function directCalls(
  simulator: SimulatorProcess,
  calls: number,
): Promise<{ readonly cpuSPer1k: number; readonly callsPerS: number }> {
  const headers = { authorization: KEY, "content-type": "application/json" };
  const rules = await fetch(`${simulator.url}/simulator/faults`, { method: "POST", body: JSON.stringify(FAULT_RULES) });
  if (!rules.ok) throw new Error(`expected the fault rules to be taken: ${await rules.text()}`);
  const clients = Array.from({ length: CONNECTIONS }, () => new Client(simulator.url));
  const send = async (client: Client, n: number): Promise<void> => {
    const attempt = { "x-client-request-id": `attempt-${String(n)}` };
    const sent = { path: "/v1/chat/completions", method: "POST", headers: { ...headers, ...attempt } } as const;
    const answer = await client.request({ ...sent, body: chatBody(n, BODY_BYTES) });
    await answer.body.dump();
    if (answer.statusCode !== 200) throw new Error(`expected an answer, got status ${String(answer.statusCode)}`);
  };
  const run = async (from: number, to: number): Promise<void> => {
    let next = from;
    await Promise.all(
      clients.map(async (client) => {
        // Serial on each connection: that many calls are open at a time.
        while (next < to) await send(client, next++);
      }),
    );
  };
  await run(0, WARM_UP_CALLS);
  const cpuBefore = cpuSecondsOfTree(simulator.child.pid);
  const startedMs = performance.now();
  await run(WARM_UP_CALLS, WARM_UP_CALLS + calls);
  const seconds = (performance.now() - startedMs) / 1000;
  const cpuS = cpuSecondsOfTree(simulator.child.pid) - cpuBefore;
  await Promise.all(clients.map((client) => client.close()));
  return { cpuSPer1k: (cpuS / calls) * 1000, callsPerS: calls / seconds };
}

type BatchFigures = Omit<SimulatorFigures, "calls" | "cpuSPer1k" | "callsPerS" | "batchLines">;

async function oneBatch(
  simulator: SimulatorProcess,
  lines: number,
  note: (line: string) => void,
): Promise<BatchFigures> {
  const { pid } = simulator.child;
  const idleRssMb = peakRssMb(pid);
  const { id: fileId, bytes } = await upload(simulator.url, lines);
  note(`uploaded ${String(Math.round(bytes / 1e6))} MB, peak memory ${String(peakRssMb(pid))} MB`);
  const cpuBefore = cpuSecondsOfTree(pid);
  const startedMs = performance.now();
  const outputId = await runBatch(simulator.url, fileId, lines);
  const seconds = (performance.now() - startedMs) / 1000;
  const cpuS = cpuSecondsOfTree(pid) - cpuBefore;
  await readResults(simulator.url, outputId, lines);
  return {
    batchFileMb: Math.round(bytes / 1e6),
    batchLinesPerS: Math.round(lines / seconds),
    batchCpuSPer1k: round((cpuS / lines) * 1000),
    batchPeakRssMb: peakRssMb(pid),
    idleRssMb,
  };
}

const BOUNDARY = "----sluice-bench";

/** The form as it goes over the wire, line by line: this process holds no file either. */
function* formPieces(lines: number): Generator<Buffer> {
  const part = (head: string): string => `--${BOUNDARY}\r\ncontent-disposition: form-data; ${head}\r\n\r\n`;
  yield Buffer.from(`${part('name="purpose"')}batch\r\n${part('name="file"; filename="bench.jsonl"')}`);
  for (let n = 0; n < lines; n += 1) {
    const head = `{"custom_id":"line-${String(n)}","method":"POST","url":"/v1/chat/completions","body":`;
    yield Buffer.from(`${head}${chatBody(n, LINE_BYTES - head.length - 2)}}\n`);
  }
  yield Buffer.from(`\r\n--${BOUNDARY}--\r\n`);
}

async function upload(url: string, lines: number): Promise<{ readonly id: string; readonly bytes: number }> {
  const client = new Client(url, { bodyTimeout: 0, headersTimeout: 0 });
  const headers = { authorization: KEY, "content-type": `multipart/form-data; boundary=${BOUNDARY}` };
  const answer = await client.request({
    path: "/v1/files",
    method: "POST",
    headers,
    body: Readable.from(formPieces(lines)),
  });
  const file = (await answer.body.json()) as { id: string; bytes: number };
  await client.close();
  if (answer.statusCode !== 200) throw new Error(`expected the upload to be taken: ${JSON.stringify(file)}`);
  return file;
}

async function getBatch(url: string, path: string, body: object | null): Promise<Readonly<Record<string, unknown>>> {
  const init = body === null ? {} : { method: "POST", body: JSON.stringify(body) };
  const response = await fetch(`${url}/v1/batches${path}`, {
    ...init,
    headers: { authorization: KEY, "content-type": "application/json" },
  });
  return (await response.json()) as Readonly<Record<string, unknown>>;
}

/** The id of the output file. */
async function runBatch(url: string, fileId: string, lines: number): Promise<string> {
  const order = { input_file_id: fileId, endpoint: "/v1/chat/completions", completion_window: "24h" };
  const { id } = await getBatch(url, "", order);
  const giveUpMs = performance.now() + BATCH_TIMEOUT_MS;
  for (;;) {
    const batch = await getBatch(url, `/${String(id)}`, null);
    if (batch["status"] === "completed") {
      const counts = JSON.stringify(batch["request_counts"]);
      if (counts !== `{"total":${String(lines)},"completed":${String(lines)},"failed":0}`)
        throw new Error(`expected all lines to succeed, got ${counts}`);
      return String(batch["output_file_id"]);
    }
    if (batch["status"] === "failed" || performance.now() > giveUpMs)
      throw new Error(`expected the batch to complete, got ${JSON.stringify(batch)}`);
    await new Promise((resolve) => setTimeout(resolve, BATCH_POLL_MS));
  }
}

async function readResults(url: string, fileId: string, lines: number): Promise<void> {
  const response = await fetch(`${url}/v1/files/${fileId}/content`, { headers: { authorization: KEY } });
  let found = 0;
  for await (const piece of response.body ?? []) for (const byte of piece as Uint8Array) if (byte === 10) found += 1;
  if (found !== lines) throw new Error(`expected ${String(lines)} results, got ${String(found)}`);
}
