import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { runCli } from "../../src/cli/run-cli.js";

let folder = "";
let configFile = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-estimate-"));
  configFile = join(folder, "sluice.yaml");
  writeFileSync(
    configFile,
    `
environment: test
kafka: { brokers: ['127.0.0.1:1'] }
postgres: { url: '\${DATABASE_URL}' }
auth: { tenantFrom: body }
tenants: { acme: { tier: standard } }
providers:
  dear: { kind: openai, apiKey: '\${KEY}', prices: { perMillion: { m: { input: "10", output: "20", batch: { input: "5", output: "10" } } } } }
  cheap: { kind: openai, apiKey: '\${KEY}', prices: { perMillion: { m: { input: "1", output: "2" } } } }
models:
  alias: { maxOutputTokensDefault: 50, candidates: [{ provider: dear, model: m }, { provider: cheap, model: m }] }
`,
  );
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const fileOf = (name: string, lines: readonly unknown[]): string => {
  const file = join(folder, name);
  writeFileSync(file, lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"));
  return file;
};
async function estimate(args: readonly string[], config: string | null) {
  const data: string[] = [];
  const notes: string[] = [];
  const exitCode = await runCli(["estimate", ...args], {
    data: (line) => data.push(line),
    note: (line) => notes.push(line),
    env: config === null ? {} : { SLUICE_CONFIG: config, KEY: "sk", DATABASE_URL: "postgres://127.0.0.1:1/d" },
    signal: new AbortController().signal,
  });
  return { exitCode, data, notes };
}
const body = (content: string, more: object = {}): object => ({
  model: "alias",
  messages: [{ role: "user", content }],
  ...more,
});
interface Sums {
  readonly requests: number;
  readonly distinct: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly directNanoUsd: string;
  readonly dedupedNanoUsd: string;
  readonly batchedNanoUsd: string;
  readonly routedNanoUsd: string;
}
const totalOf = (data: readonly string[]): Sums => (JSON.parse(data[0] ?? "") as { readonly total: Sums }).total;

describe("sluice estimate", () => {
  test("says what requests cost direct, deduped, batched and routed, each from the one before", async () => {
    const file = fileOf("four.jsonl", [
      { jobId: "1", tenant: "acme", body: body("Why?") },
      { jobId: "2", tenant: "acme", body: body("Why?") },
      { jobId: "3", tenant: "acme", mode: "direct", body: body("Why?", { max_tokens: 10 }) },
      { custom_id: "4", method: "POST", url: "/v1/chat/completions", body: body("Why?", { max_tokens: 10, n: 2 }) },
    ]);
    const { exitCode, data, notes } = await estimate([file, "--json"], configFile);
    expect([exitCode, notes]).toEqual([0, []]);
    const { models } = JSON.parse(data[0] ?? "") as { readonly models: readonly { readonly model: string }[] };
    expect(models.map(({ model }) => model)).toEqual(["alias"]);
    const total = totalOf(data);
    expect(total).toMatchObject({ requests: 4, distinct: 3, outputTokens: 50 + 50 + 10 + 20 });
    // In nano-dollars a token: 10,000 and 20,000 on the first route, half in a batch; 1,000 and 2,000 on the other.
    const { promptTokens } = total;
    const direct = BigInt(promptTokens) * 10_000n + 130n * 20_000n;
    expect(total.directNanoUsd).toBe(String(direct));
    const first = await estimate(
      [fileOf("one.jsonl", [{ jobId: "1", tenant: "acme", body: body("Why?") }]), "--json"],
      configFile,
    );
    const once = BigInt(totalOf(first.data).promptTokens);
    expect(total.dedupedNanoUsd).toBe(String(direct - once * 10_000n - 50n * 20_000n));
    const rest = BigInt(promptTokens) - once;
    const third = await estimate(
      [
        fileOf("third.jsonl", [{ jobId: "3", tenant: "acme", mode: "direct", body: body("Why?", { max_tokens: 10 }) }]),
        "--json",
      ],
      configFile,
    );
    const called = BigInt(totalOf(third.data).promptTokens);
    expect(total.batchedNanoUsd).toBe(
      String(called * 10_000n + 10n * 20_000n + (rest - called) * 5_000n + 70n * 10_000n),
    );
    expect(total.routedNanoUsd).toBe(String(rest * 1_000n + 80n * 2_000n));
  });

  test("names bad lines and counts the others, with the answers' length that is given", async () => {
    const file = fileOf("bad.jsonl", [
      "{",
      { jobId: "1", body: body("Why?") },
      { jobId: "2", body: { model: "nobody", messages: [] } },
      { jobId: "3", priorty: 3, body: body("Why?") },
    ]);
    const { exitCode, data, notes } = await estimate([file, "--output-tokens", "7"], configFile);
    expect(exitCode).toBe(6);
    expect(data[0]).toMatch(
      /^model +requests +distinct +prompt tokens +answer tokens +direct +deduped +batched +routed$/,
    );
    expect(data[1]).toMatch(/^alias +1 +1 +\d+ +7 +\$0\.000\d+ +\$0\.000\d+ +\$0\.000\d+ +\$0\.0000\d+$/);
    expect(data).toHaveLength(3);
    expect(notes.filter((note) => note.startsWith("line"))).toEqual([
      expect.stringMatching(/^line 1: expected JSON/),
      expect.stringMatching(/^line 3: expected an alias, provider\/model or a listed model, found "nobody"/),
      expect.stringMatching(/^line 4: BAD_JOB: .*priority/),
    ]);
    expect(notes.at(-1)).toBe("3 lines are not in the sums");
    expect(notes.join("\n")).toContain("assumed: each answer has 7 tokens");
  });

  test("needs no config: list prices, each model at its own provider", async () => {
    const file = fileOf("listed.jsonl", [
      { custom_id: "a", method: "POST", url: "/v1/chat/completions", body: { ...body("Why?"), model: "gpt-4.1-mini" } },
    ]);
    const { exitCode, data, notes } = await estimate([file], null);
    expect(exitCode).toBe(0);
    expect(data[1]).toMatch(/^gpt-4\.1-mini +1 +1 +/);
    expect(notes.join("\n")).toContain("no config was found: list prices");
    expect((await estimate([file], join(folder, "none.yaml"))).exitCode).toBe(3);
    expect((await estimate([join(folder, "none.jsonl")], null)).exitCode).toBe(7);
  });
});
