/** One simulator for the tests of a file that judge it by a provider's official client; its time stands but for what a test moves it on. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runInThisContext } from "node:vm";
import { afterAll, beforeAll, beforeEach } from "@jest/globals";
import { startSimulator } from "../../src/simulator/simulator.js";
import type { BillRow, FaultRule, Simulator } from "../../src/simulator/simulator.js";

const pricingFile = fileURLToPath(new URL("../../schemas/pricing.json", import.meta.url));

/** The right key of each provider; all others are wrong. */
export const KEYS = { openai: "sk-right", anthropic: "sk-ant-right", gemini: "gem-right" } as const;
export const WRONG_KEY = "wrong";

const HOUR_MS = 3_600_000;
const STEPS_MAX = 400;
const STEP_MS = 5;

export let simulator: Simulator;
export let folder = "";

/**
 * Google's client looks for the dispatcher that Node's fetch keeps on the global object. Jest gives each test file a global object of
 * its own, with Node's fetch and without its dispatcher: it is taken over from the real one.
 */
export function shareDispatcher(): void {
  const name = Symbol.for("undici.globalDispatcher.1");
  const real: Record<symbol, unknown> = runInThisContext("new Headers(); globalThis");
  Object.defineProperty(globalThis, name, { value: real[name], configurable: true });
}

/** Call once at the top of a test file. Faults are gone before each test. */
export function simulatorForAllTests(): void {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "simulator-sdk-"));
    const keys = Object.fromEntries(Object.entries(KEYS).map(([label, key]) => [key, label]));
    simulator = await startSimulator({ billFile: join(folder, "bill.jsonl"), pricingFile, keys });
  });
  afterAll(async () => {
    await simulator.close();
    rmSync(folder, { recursive: true });
  });
  beforeEach(() => faults([]));
}

async function control(path: string, body: unknown): Promise<void> {
  const response = await fetch(`${simulator.url}/simulator/${path}`, { method: "POST", body: JSON.stringify(body) });
  if (response.status !== 200) throw new Error(`${path}: ${await response.text()}`);
}

export function faults(rules: readonly FaultRule[]): Promise<void> {
  return control("faults", rules);
}

/** Moves the simulated clock on. */
export function advance(ms: number): Promise<void> {
  return control("clock", { advanceMs: ms });
}

/** Moves the clock on hour by hour until `look` sees what it waits for. */
export async function until<T>(look: () => Promise<T>, isThere: (seen: T) => boolean, stepMs = HOUR_MS): Promise<T> {
  for (let step = 0; step < STEPS_MAX; step += 1) {
    const seen = await look();
    if (isThere(seen)) return seen;
    await advance(stepMs);
    await new Promise((resolve) => setTimeout(resolve, STEP_MS));
  }
  throw new Error("what was waited for did not come");
}

export function billRows(): readonly BillRow[] {
  const lines = readFileSync(join(folder, "bill.jsonl"), "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as BillRow);
}

// The clients' errors have different fields; the tests look into them freely.
export async function failure(call: Promise<unknown>): Promise<any> {
  return call.then(
    (answer) => {
      throw new Error(`expected the call to fail, and got ${JSON.stringify(answer)}`);
    },
    (error: unknown) => error,
  );
}

export type WireAnswer = {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: any;
};

/** A call without any client, for what no client would send. */
export async function wire(
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body?: unknown,
): Promise<WireAnswer> {
  const sent =
    body === undefined || typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body);
  const response = await fetch(simulator.url + path, { method, headers, body: sent ?? null });
  const text = await response.text();
  let json: unknown = null;
  try {
    json = JSON.parse(text);
  } catch {
    // Not every answer is JSON; the tests that need it look at `json`.
  }
  return { status: response.status, headers: response.headers, text, json };
}
