/** An error planted in the gateway's own formula must not pass: ledger and bill are worked out apart, and the demo compares them. */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { logTail, startProcess, type ProcessEnd } from "../../src/demo/child-process.js";
import { servers } from "../support/servers.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const FORMULA = join("dist", "domain", "cost", "charge.js");
const CACHED_PRICE = "BigInt(cached) * (rates.cachedInputNanoPerMillion ?? rates.inputNanoPerMillion)";
const JUDGE = join("dist", "pipeline", "dispatch", "call-judge.js");
const UNCACHED = "const uncached = { ...usage, cachedInputTokens: 0,";
const AS_CACHED = "const uncached = { ...usage,";
const FULL_PRICE = "BigInt(cached) * rates.inputNanoPerMillion";
/** The simulator counts cached tokens for every fourth prompt or so, by the prompt's digest: the same ones in each run. */
const JOBS = 60;
const RUN_TIMEOUT_MS = 170_000;

/** A copy of the built gateway, to be changed without changing the one that other tests run. */
let copy: string;
beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), "sluice-planted-"));
  for (const name of ["dist", "schemas", "package.json"])
    cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
});
afterAll(() => {
  rmSync(copy, { recursive: true, force: true });
});

interface DemoRun {
  readonly end: ProcessEnd;
  readonly receipt: Readonly<Record<string, unknown>>;
  readonly said: string;
}

async function runDemo(name: string): Promise<DemoRun> {
  const { kafkaBrokers, databaseUrl, registryUrl, redisUrl } = servers();
  const demo = startProcess({
    name,
    args: [join(copy, "dist", "cli", "main.js"), "demo", "--json", "--jobs", String(JOBS)],
    env: {
      KAFKA_BROKERS: kafkaBrokers,
      DATABASE_URL: databaseUrl,
      SCHEMA_REGISTRY_URL: registryUrl,
      REDIS_URL: redisUrl,
    },
    logFile: join(copy, `${name}.log`),
    readStdout: true,
  });
  const tooLong = setTimeout(() => {
    demo.signal("SIGKILL");
  }, RUN_TIMEOUT_MS);
  const end = await demo.ended;
  clearTimeout(tooLong);
  const said = logTail(demo.logFile, 60);
  const [receipt = ""] = demo.stdoutText().trimEnd().split("\n").slice(-1);
  if (!receipt.startsWith("{")) throw new Error(`expected a receipt, got ${JSON.stringify(end)}: ${said}`);
  return { end, receipt: JSON.parse(receipt) as DemoRun["receipt"], said }; // the demo's own format
}

/** Runs with one line of the copy changed. */
async function withPlanted<Value>(
  file: string,
  right: string,
  wrong: string,
  run: () => Promise<Value>,
): Promise<Value> {
  const text = readFileSync(join(copy, file), "utf8");
  expect(text.split(right)).toHaveLength(2); // else the error is not planted
  writeFileSync(join(copy, file), text.replace(right, wrong));
  try {
    return await run();
  } finally {
    writeFileSync(join(copy, file), text);
  }
}

test(
  "the demo holds with the copy as it is",
  async () => {
    const { end, receipt } = await runDemo("as-it-is");
    expect(end.code).toBe(0);
    expect(receipt).toMatchObject({ jobs: JOBS, holds: true, findings: 0 });
    expect(receipt["costNanoUsd"]).toBe(receipt["billNanoUsd"]);
  },
  RUN_TIMEOUT_MS + 10_000,
);

test(
  "cached tokens booked at the full price make it exit with 1 and name the costs",
  async () => {
    const { end, receipt, said } = await withPlanted(FORMULA, CACHED_PRICE, FULL_PRICE, () => runDemo("planted"));
    expect(end.code).toBe(1);
    expect(receipt).toMatchObject({ jobs: JOBS, results: JOBS, lost: 0, holds: false });
    expect(BigInt(String(receipt["costNanoUsd"]))).toBeGreaterThan(BigInt(String(receipt["billNanoUsd"])));
    expect(said).toContain("not held: ledger and bill differ");
    expect(said).toMatch(/not held: wrong_cost.*booked \d+, billed \d+ nano-dollars/);
  },
  RUN_TIMEOUT_MS + 10_000,
);

test(
  "a list price that counts cached tokens as such makes it exit with 1, though ledger and bill agree",
  async () => {
    const { end, receipt, said } = await withPlanted(JUDGE, UNCACHED, AS_CACHED, () => runDemo("list-price"));
    expect(end.code).toBe(1);
    expect(receipt).toMatchObject({ jobs: JOBS, results: JOBS, lost: 0, holds: false });
    expect(receipt["costNanoUsd"]).toBe(receipt["billNanoUsd"]);
    expect(said).toMatch(/not held: wrong_list_price film-\d+: \d+ and \d+ tokens of openai\/gpt-4\.1-mini are \d+/);
  },
  RUN_TIMEOUT_MS + 10_000,
);
