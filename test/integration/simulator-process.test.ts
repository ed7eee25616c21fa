/** The simulator as a process of its own: its life, and that a SIGKILL costs no row of an answer that was sent. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import { transformFileSync } from "@swc/core";

const source = fileURLToPath(new URL("../../src/simulator/", import.meta.url));
const pricingFile = fileURLToPath(new URL("../../schemas/pricing.json", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "simulator-process-"));
const program = join(folder, "program");
const children = new Set<ChildProcess>();

beforeAll(() => {
  // Its files import nothing but node and each other, so stripping their types is all it takes to run them.
  mkdirSync(program);
  writeFileSync(join(program, "package.json"), '{"type":"module"}');
  for (const file of readdirSync(source, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".ts"),
  )) {
    mkdirSync(dirname(join(program, file)), { recursive: true });
    const { code } = transformFileSync(join(source, file), {
      jsc: { target: "es2022", parser: { syntax: "typescript" } },
      module: { type: "es6" },
    });
    writeFileSync(join(program, file.replace(/\.ts$/, ".js")), code);
  }
});

afterEach(async () => {
  for (const child of children) if (child.exitCode === null && child.signalCode === null) await stop(child, "SIGKILL");
  children.clear();
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

const KEY = { authorization: "Bearer k" };

async function getJson(url: string, path: string): Promise<Record<string, unknown>> {
  return (await (await fetch(url + path, { headers: KEY })).json()) as Record<string, unknown>;
}

/** The id of a new batch of so many chats, each prompt followed by `more`. */
async function createBatch(url: string, count: number, more = ""): Promise<string> {
  const lines = Array.from({ length: count }, (_, n) => {
    const body = { model: "gpt-4.1-mini", messages: [{ role: "user", content: `prompt ${String(n)}${more}` }] };
    return `${JSON.stringify({ custom_id: `line-${String(n)}`, method: "POST", url: "/v1/chat/completions", body })}\n`;
  });
  const form = new FormData();
  form.set("purpose", "batch");
  form.set("file", new Blob(lines), "lines.jsonl");
  const file = (await (await fetch(`${url}/v1/files`, { method: "POST", headers: KEY, body: form })).json()) as {
    id: string;
  };
  const order = { input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" };
  const headers = { ...KEY, "content-type": "application/json" };
  const created = await fetch(`${url}/v1/batches`, { method: "POST", headers, body: JSON.stringify(order) });
  return ((await created.json()) as { id: string }).id;
}

type Running = { readonly url: string; readonly child: ChildProcess; readonly lines: readonly string[] };

function launch(flags: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, [join(program, "simulator-main.js"), ...flags], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  children.add(child);
  return child;
}

async function start(bill: string, flags: readonly string[] = []): Promise<Running> {
  const child = launch(["--bill", bill, "--pricing", pricingFile, "--json", ...flags]);
  const lines: string[] = [];
  if (child.stdout === null) throw new Error("expected a pipe");
  const reader = createInterface({ input: child.stdout });
  const first = await new Promise<string>((resolve, reject) => {
    child.once("exit", (code) => {
      reject(new Error(`the simulator ended with ${String(code)} before it was ready`));
    });
    reader.on("line", (line) => {
      lines.push(line);
      resolve(line);
    });
  });
  return { url: (JSON.parse(first) as { listening: string }).listening, child, lines };
}

/** Resolves with the exit code, or the signal that ended it. */
function ended(child: ChildProcess): Promise<number | string | null> {
  return new Promise((resolve) =>
    child.once("exit", (code, signal) => {
      resolve(code ?? signal);
    }),
  );
}

function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<number | string | null> {
  const end = ended(child);
  child.kill(signal);
  return end;
}

/** Resolves with the id of the answered call, or null when the connection failed. */
async function call(url: string, attempt: string): Promise<string | null> {
  try {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: "Bearer k", "content-type": "application/json", "x-client-request-id": attempt },
      body: JSON.stringify({ model: "gpt-4.1-nano", messages: [{ role: "user", content: attempt }] }),
    });
    await response.json();
    return response.headers.get("x-request-id");
  } catch {
    return null;
  }
}

function billIds(bill: string): string[] {
  const lines = readFileSync(bill, "utf8").split("\n");
  expect(lines.pop()).toBe("");
  return lines.map((line) => (JSON.parse(line) as { requestId: string }).requestId);
}

test("keeps the row of every answered call through SIGKILLs in the middle of its work", async () => {
  const bill = join(folder, "killed.jsonl");
  const answered: string[] = [];
  for (let round = 0; round < 3; round += 1) {
    const { url, child } = await start(bill, ["--latency-ms", "5", "--jitter-ms", "5"]);
    let running = true;
    const end = ended(child).then(() => (running = false));
    const worker = async (name: number): Promise<void> => {
      for (let n = 0; running && n < 2000; n += 1) {
        const id = await call(url, `${String(round)}-${String(name)}-${String(n)}`);
        if (id !== null) answered.push(id);
        if (id !== null && answered.length === 300 * (round + 1)) child.kill("SIGKILL");
      }
    };
    await Promise.all(Array.from({ length: 16 }, (_, name) => worker(name)));
    await end;
  }
  // A row that a kill cut short was never answered; the next start takes it off.
  await stop((await start(bill)).child, "SIGTERM");
  const billed = billIds(bill);
  expect(answered.length).toBeGreaterThanOrEqual(900);
  expect(new Set(billed).size).toBe(billed.length);
  const missing = answered.filter((id) => !billed.includes(id));
  expect(missing).toEqual([]);
  // What was billed and never answered was in the air at a kill: at most 16 calls each time.
  expect(billed.length - answered.length).toBeLessThanOrEqual(3 * 16);
}, 60_000);

test("cuts off a half-written last row, whose answer was never sent, and goes on", async () => {
  const bill = join(folder, "torn.jsonl");
  const first = await start(bill);
  const id = await call(first.url, "a");
  await stop(first.child, "SIGTERM");
  writeFileSync(bill, `${readFileSync(bill, "utf8")}{"requestId":"req_torn","att`);
  const second = await start(bill);
  expect(await (await fetch(`${second.url}/simulator/stats`)).json()).toMatchObject({ calls: 1 });
  const other = await call(second.url, "b");
  expect(billIds(bill)).toEqual([id, other]);
});

test("prints one line when ready and ends on SIGTERM with the calls in the air answered", async () => {
  const bill = join(folder, "term.jsonl");
  const { url, child, lines } = await start(bill, ["--latency-ms", "300"]);
  const pending = call(url, "late");
  while (((await (await fetch(`${url}/simulator/stats`)).json()) as { open: number }).open === 0);
  expect(await stop(child, "SIGTERM")).toBe(0);
  expect(billIds(bill)).toEqual([await pending]);
  expect(lines).toEqual([JSON.stringify({ listening: url })]);
});

test("ends when the process that holds its standard input goes", async () => {
  const { child } = await start(join(folder, "held.jsonl"), ["--hold-stdin"]);
  const end = ended(child);
  child.stdin?.end();
  expect(await end).toBe(0);
});

test("killed while it runs a batch, bills each of its lines once and loses no result", async () => {
  const bill = join(folder, "batch.jsonl");
  const times = '{"validatingMs":0,"turnaroundMs":0,"finalizingMs":0}';
  const linesMax = 4000;
  let running = await start(bill, ["--batch-times", times]);
  const id = await createBatch(running.url, linesMax);
  const billed = (): readonly string[] =>
    readFileSync(bill, "utf8")
      .split("\n")
      .slice(0, -1)
      .map((row) => (JSON.parse(row) as { attempt: string }).attempt);
  const kills: number[] = [];
  for (let kill = 1; kill <= 3; kill += 1) {
    const wanted = (kill * linesMax) / 5;
    // Looked at as often as can be: the kill is to come in the middle of the lines.
    while (billed().length < wanted) await new Promise((resolve) => setImmediate(resolve));
    await stop(running.child, "SIGKILL");
    kills.push(billed().length);
    running = await start(bill, ["--batch-times", times]);
  }
  let batch = await getJson(running.url, `/v1/batches/${id}`);
  while (batch["status"] !== "completed") batch = await getJson(running.url, `/v1/batches/${id}`);
  expect(kills.every((count) => count < linesMax)).toBe(true);
  const wanted = Array.from({ length: linesMax }, (_, n) => `line-${String(n)}`);
  expect(billed()).toEqual(wanted);
  expect(batch["request_counts"]).toEqual({ total: linesMax, completed: linesMax, failed: 0 });
  const content = await fetch(`${running.url}/v1/files/${String(batch["output_file_id"])}/content`, { headers: KEY });
  const results = (await content.text()).trim().split("\n");
  expect(results.map((row) => (JSON.parse(row) as { custom_id: string }).custom_id)).toEqual(wanted);
  expect(readdirSync(`${bill}.state/batches`).filter((name) => name.endsWith(".journal"))).toEqual([]);
});

/** Most memory that the process has had, in bytes, by what the operating system says. */
function peakBytes(child: ChildProcess): number {
  const status = readFileSync(`/proc/${String(child.pid)}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

test("takes in, runs and gives back a batch without having its file in memory once", async () => {
  const bill = join(folder, "large.jsonl");
  const { url, child } = await start(bill, ["--batch-times", '{"validatingMs":0,"turnaroundMs":0,"finalizingMs":0}']);
  const idleBytes = peakBytes(child);
  const [linesMax, lineBytes] = [3000, 60_000];
  const id = await createBatch(url, linesMax, " word".repeat(lineBytes / 5));
  let batch = await getJson(url, `/v1/batches/${id}`);
  while (batch["status"] !== "completed") batch = await getJson(url, `/v1/batches/${id}`);
  const content = await fetch(`${url}/v1/files/${String(batch["output_file_id"])}/content`, { headers: KEY });
  expect((await content.text()).trim().split("\n")).toHaveLength(linesMax);
  expect(idleBytes).toBeGreaterThan(0);
  expect(peakBytes(child) - idleBytes).toBeLessThan(linesMax * lineBytes);
});

test.each([
  { name: "an unknown flag", flags: ["--colour", "red"], code: 2, says: /--colour/ },
  { name: "no bill", flags: ["--pricing", pricingFile], code: 2, says: /--bill/ },
  {
    name: "a port that is no number",
    flags: ["--bill", join(folder, "x.jsonl"), "--pricing", pricingFile, "--port", "http"],
    code: 2,
    says: /--port/,
  },
  {
    name: "no price list there",
    flags: ["--bill", join(folder, "x.jsonl"), "--pricing", join(folder, "none.json")],
    code: 1,
    says: /none\.json/,
  },
])("refuses to start with $name", async ({ flags, code, says }) => {
  const child = launch(flags);
  let errors = "";
  child.stderr?.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  expect(await ended(child)).toBe(code);
  expect(errors).toMatch(says);
});
