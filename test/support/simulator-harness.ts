/** A simulator for each test of a file, and the few calls its tests make. */
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach } from "@jest/globals";
import { startSimulator } from "../../src/simulator/simulator.js";
import type { BillRow, Simulator, SimulatorOptions } from "../../src/simulator/simulator.js";

const pricingFile = fileURLToPath(new URL("../../schemas/pricing.json", import.meta.url));

// `json` is what came over the wire: tests look into it freely, and a wrong shape fails them.

export type Answer = { status: number; headers: Record<string, string>; text: string; json: any };

/** Where its bill is; beside it, in `bill.jsonl.state`, its files and batches. */
export let folder = "";
/** The one of the running test. */
export let simulator: Simulator;

async function start(options: Partial<SimulatorOptions> = {}): Promise<void> {
  simulator = await startSimulator({ billFile: join(folder, "bill.jsonl"), pricingFile, ...options });
}

/** Call once at the top of a test file. */
export function simulatorForEachTest(): void {
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "simulator-"));
    await start();
  });

  afterEach(async () => {
    await simulator.close();
    rmSync(folder, { recursive: true });
  });
}

export async function restart(options: Partial<SimulatorOptions>): Promise<void> {
  await simulator.close();
  await start(options);
}

export async function send(
  path: string,
  headers: Record<string, string>,
  body: string | Uint8Array | null,
  method = "POST",
): Promise<Answer> {
  const response = await fetch(simulator.url + path, { method, headers, body, redirect: "manual" });
  const text = await response.text();
  let json: unknown = null;
  try {
    json = JSON.parse(text);
  } catch {
    // Not every answer is JSON; the tests that need it look at `json`.
  }
  return { status: response.status, headers: Object.fromEntries(response.headers), text, json };
}

export const OPENAI_HEADERS = { authorization: "Bearer sk-test", "content-type": "application/json" };
export const ANTHROPIC_HEADERS = {
  "x-api-key": "sk-ant-test",
  "anthropic-version": "2023-06-01",
  "content-type": "application/json",
};
export const CHAT = {
  model: "gpt-4.1-mini",
  messages: [
    { role: "system", content: "Be short." },
    { role: "user", content: "Hi" },
  ],
};
export const MESSAGES = {
  model: "claude-haiku-4-5",
  max_tokens: 100,
  system: "Be short.",
  messages: [{ role: "user", content: "Hi" }],
};

export function chat(change: Record<string, unknown> = {}, headers: Record<string, string> = {}): Promise<Answer> {
  return send("/v1/chat/completions", { ...OPENAI_HEADERS, ...headers }, JSON.stringify({ ...CHAT, ...change }));
}

export function messages(change: Record<string, unknown> = {}, headers: Record<string, string> = {}): Promise<Answer> {
  return send("/v1/messages", { ...ANTHROPIC_HEADERS, ...headers }, JSON.stringify({ ...MESSAGES, ...change }));
}

export function billText(): string {
  return readFileSync(join(folder, "bill.jsonl"), "utf8");
}

export function rows(): BillRow[] {
  return billText()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as BillRow);
}

export function sha(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}

export async function control(path: string, method = "GET", body?: unknown): Promise<Answer> {
  return send(path, {}, body === undefined ? null : JSON.stringify(body), method);
}

/** A prompt whose digest's first byte fits: below 64, half of the input counts as cached. */
export function promptWithFirstByte(fits: (byte: number) => boolean): string {
  for (let n = 0; ; n += 1)
    if (fits(Number.parseInt(sha(`prompt ${String(n)}`).slice(0, 2), 16))) return `prompt ${String(n)}`;
}

export async function until(holds: () => Promise<boolean>): Promise<void> {
  const giveUp = performance.now() + 5000;
  while (!(await holds())) {
    if (performance.now() > giveUp) throw new Error("what was waited for did not happen within 5 s");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
