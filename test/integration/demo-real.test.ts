/**
 * The whole way of `demo --real`, with the providers' addresses pointed at a simulator by the variables of their SDKs: the demo itself
 * knows of no simulator then. What the real providers would answer is not tried here.
 */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { logTail, startProcess } from "../../src/demo/child-process.js";
import { startSimulator, type BillRow, type Simulator } from "../../src/simulator/simulator.js";
import { servers } from "../support/servers.js";

const CLI = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const PRICING = fileURLToPath(new URL("../../schemas/pricing.json", import.meta.url));
const KEYS = { OPENAI_API_KEY: "sk-secret-one", ANTHROPIC_API_KEY: "sk-secret-two", GEMINI_API_KEY: "sk-secret-three" };
const RUN_TIMEOUT_MS = 150_000;

let folder: string;
let simulator: Simulator;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-demo-real-"));
  const keys = Object.fromEntries(Object.entries(KEYS).map(([name, key]) => [key, name]));
  simulator = await startSimulator({ billFile: join(folder, "bill.jsonl"), pricingFile: PRICING, keys });
});
afterAll(async () => {
  await simulator.close();
  rmSync(folder, { recursive: true, force: true });
});

/** The text of all files that a kept run left. */
function textsBelow(kept: string): string {
  return readdirSync(kept, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), "utf8"))
    .join("\n");
}

test(
  "20 jobs in two formats are answered by the provider whose key is there, and the bill stays unknown",
  async () => {
    const { kafkaBrokers, databaseUrl, registryUrl, redisUrl } = servers();
    const demo = startProcess({
      name: "demo",
      args: [CLI, "demo", "--real", "--yes", "--keep", "--json"],
      env: {
        ...KEYS,
        OPENAI_BASE_URL: simulator.openaiBaseUrl,
        ANTHROPIC_BASE_URL: simulator.anthropicBaseUrl,
        GOOGLE_GEMINI_BASE_URL: `${simulator.geminiBaseUrl}/`,
        KAFKA_BROKERS: kafkaBrokers,
        DATABASE_URL: databaseUrl,
        SCHEMA_REGISTRY_URL: registryUrl,
        REDIS_URL: redisUrl,
      },
      logFile: join(folder, "demo.log"),
      readStdout: true,
    });
    const tooLong = setTimeout(() => {
      demo.signal("SIGKILL");
    }, RUN_TIMEOUT_MS);
    const end = await demo.ended;
    clearTimeout(tooLong);
    const said = logTail(demo.logFile, 60);
    const [receipt = ""] = demo.stdoutText().trimEnd().split("\n").slice(-1);
    expect([end.code, said]).toEqual([
      0,
      expect.stringContaining("20 jobs, 17 different requests at gemini (gemini-2.5-flash-lite)"),
    ]);
    const { costNanoUsd, ...rest } = JSON.parse(receipt) as Readonly<Record<string, unknown>>;
    expect(rest).toMatchObject({
      jobs: 20,
      results: 20,
      lost: 0,
      duplicates: 0,
      calls: null,
      billNanoUsd: null,
      holds: true,
    });

    const bill = readFileSync(join(folder, "bill.jsonl"), "utf8").split("\n").filter(Boolean);
    const rows = bill.map((line) => JSON.parse(line) as BillRow);
    expect(rows).toHaveLength(17);
    expect(new Set(rows.map(({ provider, model }) => `${provider}/${model}`))).toEqual(
      new Set(["gemini/gemini-2.5-flash-lite"]),
    );
    expect(costNanoUsd).toBe(String(rows.reduce((sum, { nanoUsd }) => sum + BigInt(nanoUsd), 0n)));

    const kept = /kept: (\S+)/.exec(said)?.[1] ?? "";
    const written = `${textsBelow(kept)}\n${said}`;
    rmSync(kept, { recursive: true, force: true });
    expect(written).toContain("${GEMINI_API_KEY}");
    expect(written).not.toContain("sk-secret");
  },
  RUN_TIMEOUT_MS + 10_000,
);
