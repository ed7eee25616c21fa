import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { runRouter } from "../../src/app/run-router.js";
import { startSimulator, type Simulator } from "../../src/simulator/simulator.js";
import { freshTopicNames, servers } from "../support/servers.js";
import { OperatorFixture } from "./operator-fixture.js";

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

let gateway: OperatorFixture;
let simulator: Simulator;
let folder = "";
const routerStop = new AbortController();
let router: Promise<void>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-submit-"));
  simulator = await startSimulator({
    billFile: join(folder, "bill.jsonl"),
    pricingFile: fileURLToPath(new URL("../../schemas/pricing.json", import.meta.url)),
  });
  gateway = await OperatorFixture.open({
    kafkaBrokers: servers().kafkaBrokers,
    topics: freshTopicNames("submit"),
    providerUrl: `${simulator.url}/v1`,
  });
  const applied = await gateway.cli("topics", "apply");
  expect(applied).toMatchObject({ exitCode: 0 });
  router = runRouter(gateway.config, { log: SILENT, signal: routerStop.signal, name: "submit-test" });
});
afterAll(async () => {
  routerStop.abort();
  await router;
  await gateway.close();
  await simulator.close();
  rmSync(folder, { recursive: true });
});

function file(name: string, lines: readonly unknown[]): string {
  const path = join(folder, name);
  writeFileSync(path, lines.map((line) => `${typeof line === "string" ? line : JSON.stringify(line)}\n`).join(""));
  return path;
}

const job = (jobId: string, change: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> => ({
  jobId,
  tenant: "acme",
  body: { model: "cheap", messages: [{ role: "user", content: `Question ${jobId}` }] },
  ...change,
});

describe("submit", () => {
  test("sends nothing when a line is no job, and names the line", async () => {
    const path = file("bad.jsonl", [job("bad-1"), "{", "[]"]);
    const { exitCode, notes } = await gateway.cli("submit", path);
    expect(exitCode).toBe(1);
    expect(notes).toEqual([
      expect.stringMatching(/bad\.jsonl:2: expected JSON: /),
      expect.stringMatching(/bad\.jsonl:3: expected a job, which is a JSON object$/),
      "sluice: 2 of 3 lines are no jobs; nothing was sent",
    ]);
    expect((await gateway.cli("jobs", "show", "bad-1")).exitCode).toBe(7);
  });

  test("only checks with --dry-run, and knows neither another file nor another topic", async () => {
    const path = file("good.jsonl", [job("dry-1"), "", job("dry-2")]);
    expect(await gateway.json("submit", path, "--dry-run")).toMatchObject({ dryRun: true, jobs: 2 });
    expect((await gateway.cli("submit", join(folder, "none.jsonl"))).exitCode).toBe(7);
    expect((await gateway.cli("submit", path, "--topic", "other")).exitCode).toBe(2);
  });

  test("with --wait ends with a receipt over results and dead letters, and results --follow prints the same results", async () => {
    const path = file("mixed.jsonl", [
      job("mixed-1"),
      job("mixed-2", { cache: { read: false } }),
      job("mixed-3", { body: { model: "no-such-model", messages: [{ role: "user", content: "x" }] } }),
      job("mixed-4", { tenant: "nobody" }),
    ]);
    const following = gateway.cliUntil((lines) => lines.length === 3, "results", "--follow", "--from-beginning");
    const { exitCode, data } = await gateway.cli("submit", path, "--wait", "--timeout", "40", "--json");
    expect(exitCode).toBe(6);
    const report = JSON.parse(data[0] ?? "") as { receipt: { costNanoUsd: string } };
    expect(report).toMatchObject({
      submitted: 4,
      receipt: { jobs: 4, succeeded: 2, failed: 1, deadLetterOnly: 1, unanswered: 0, unknownCosts: 0 },
    });
    const charged = await gateway.rows("SELECT sum(nano_usd)::text AS sum FROM costs WHERE billing = 'charged'");
    expect([{ sum: report.receipt.costNanoUsd }]).toEqual(charged);
    expect(BigInt(report.receipt.costNanoUsd)).toBeGreaterThan(0n);
    const followed = await following;
    expect(followed.exitCode).toBe(143);
    const seen = followed.data.map((line) => JSON.parse(line) as { jobId: string; status: string });
    expect(seen.map(({ jobId, status }) => `${jobId} ${status}`).sort()).toEqual([
      "mixed-1 succeeded",
      "mixed-2 succeeded",
      "mixed-3 failed",
    ]);
  });

  test("takes OpenAI batch lines beside jobs, and results gives their shape back", async () => {
    const chat = { model: "cheap", messages: [{ role: "user", content: "Question of a line" }] };
    const path = file("openai.jsonl", [
      { custom_id: "line-1", method: "POST", url: "/v1/chat/completions", body: chat },
      job("line-2"),
      { custom_id: "line-3", method: "POST", url: "/v1/chat/completions", body: { ...chat, model: "no-such-model" } },
    ]);
    const flags = ["--tenant", "acme", "--mode", "direct", "--ttl", "1h"];
    const { exitCode, data } = await gateway.cli("submit", path, ...flags, "--wait", "--timeout", "40", "--json");
    expect(exitCode).toBe(6);
    expect(JSON.parse(data[0] ?? "")).toMatchObject({
      submitted: 3,
      receipt: { jobs: 3, succeeded: 2, failed: 1, unanswered: 0 },
    });
    const back = await gateway.cli("results", "--of", path, "--as", "openai-batch");
    const lines = back.data.map((text) => JSON.parse(text) as Record<string, unknown>);
    expect(lines).toMatchObject([
      {
        custom_id: "line-1",
        response: { status_code: 200, request_id: expect.any(String), body: { object: "chat.completion" } },
        error: null,
      },
      { custom_id: "line-2", response: { status_code: 200, body: { object: "chat.completion" } }, error: null },
    ]);
    const [stored] = await gateway.rows(
      "SELECT j.deadline_ms - j.accepted_ms < 3600000 AND e.mode = 'direct' AS asked FROM jobs j JOIN executions e ON e.no = j.execution_no WHERE j.job_id = 'line-1'",
    );
    expect(stored).toEqual({ asked: true });
  });
});
