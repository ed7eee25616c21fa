import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { runCli } from "../../src/cli/run-cli.js";

/** Nothing listens at any of these addresses. */
const CONFIG = `
environment: test
kafka: { brokers: ['127.0.0.1:1'] }
postgres: { url: 'postgres://127.0.0.1:1/d' }
topics: { jobs: [shop.jobs, acme.jobs] }
auth: { topicTenants: { shop.jobs: shop, acme.jobs: acme } }
tenants: { acme: { tier: premium, providers: [dear, cheap] }, shop: {} }
providers:
  dear: { kind: openai-compatible, baseUrl: 'http://127.0.0.1:1/v1', prices: { perMillion: { m: { input: "3", output: "12" } } } }
  cheap: { kind: openai-compatible, baseUrl: 'http://127.0.0.1:1/v1', prices: { perMillion: { m: { input: "1", output: "4" } } } }
  cellar: { kind: openai-compatible, baseUrl: 'http://127.0.0.1:1/v1', prices: { zero: true } }
chains: { frugal: { cost: 1, latency: 0, reliability: 0 } }
rules: [{ name: no-cheap-for-risk, match: { labels: { department: risk } }, forbid: [cheap] }]
models:
  listed: { candidates: [{ provider: dear, model: m }, { provider: cheap, model: m }, { provider: cellar, model: m }] }
  scored: { order: score, candidates: [{ provider: dear, model: m }, { provider: cheap, model: m }, { provider: cellar, model: m }] }
`;

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-route-test-"));
  writeFileSync(join(folder, "sluice.yaml"), CONFIG);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

async function explain(job: unknown, flags: readonly string[] = []) {
  const file = join(folder, "job.json");
  writeFileSync(file, typeof job === "string" ? job : JSON.stringify(job));
  const data: string[] = [];
  const notes: string[] = [];
  const exitCode = await runCli(["route", "explain", file, "--config", join(folder, "sluice.yaml"), ...flags], {
    data: (line) => data.push(line),
    note: (line) => notes.push(line),
    env: {},
    signal: new AbortController().signal,
  });
  return { exitCode, data, notes };
}

const job = (model: string, more: object = {}) => ({
  jobId: "a",
  tenant: "acme",
  body: { model, messages: [{ role: "user", content: "why" }] },
  ...more,
});

describe("route explain", () => {
  test("says which route a job would take by score, with what each scored and why others are out", async () => {
    const { exitCode, data } = await explain(job("scored", { chain: "frugal" }));
    expect(exitCode).toBe(0);
    expect(data).toEqual([
      "chosen   cheap/m",
      "job      scored for tenant acme, tier premium; by score, chain frugal: cost 0.5, latency 0, reliability 0",
      "route    the best score of 2, 1",
      expect.stringMatching(/^scored +score +cost +latency +reliability +expected$/),
      expect.stringMatching(/^dear\/m +0\.333 +0\.333 +0\.500 +0\.500 +\$/),
      expect.stringMatching(/^cheap\/m +1\.000 +1\.000 +0\.500 +0\.500 +\$/),
      "rejected cellar/m: its tenant may only use cheap, dear",
    ]);
  });

  test("and in the written order, with the rules that spoke of the job", async () => {
    const { exitCode, data } = await explain(job("listed", { labels: { department: "risk" } }));
    expect(exitCode).toBe(0);
    expect(data).toEqual([
      "chosen   dear/m",
      "job      listed for tenant acme, tier premium; in the written order",
      "rule     no-cheap-for-risk: forbid cheap",
      "route    the only candidate that can serve it",
      "rejected cheap/m: the rule no-cheap-for-risk forbids it",
      "rejected cellar/m: its tenant may only use cheap, dear",
    ]);
  });

  test("as JSON", async () => {
    const { data } = await explain(job("scored", { tenant: "shop" }), ["--json"]);
    expect(JSON.parse(data.join("\n"))).toMatchObject({
      chosen: "cellar/m",
      tenant: "shop",
      tier: "standard",
      order: "score",
      chain: "standard",
      weights: { cost: 4, latency: 3, reliability: 3 },
      because: "the best score of 3, 0.7",
      scored: [
        { account: "dear", cost: 0 },
        { account: "cheap", cost: 0 },
        { account: "cellar", cost: 1, expectedNanoUsd: "0" },
      ],
      rejected: [],
    });
  });

  test.each([
    ["a model that nobody has", job("none"), "refused  UNKNOWN_MODEL: "],
    [
      "a chain that nobody has",
      job("scored", { chain: "own" }),
      'refused  BAD_JOB: chain: expected one of standard, cost, fast, frugal, got "own"',
    ],
    ["requirements that no route meets", job("scored", { require: { maxLatencyMs: 100 } }), "refused  NO_ROUTE: "],
    ["what is no job", "{", "refused  BAD_JSON: "],
  ])("a job with %s is refused as a router would, and ends with 1", async (_what, wrong, expected) => {
    const { exitCode, data } = await explain(wrong);
    expect(exitCode).toBe(1);
    expect(data.join("\n")).toContain(expected);
  });

  test("with --live and no ledger there is an error that says so, and it ends with 4", async () => {
    const { exitCode, data, notes } = await explain(job("listed"), ["--live"]);
    expect([exitCode, data]).toEqual([4, []]);
    expect(notes.join("\n")).toContain("127.0.0.1:1");
  });

  test("a file that is not there ends with 7", async () => {
    const notes: string[] = [];
    const exitCode = await runCli(["route", "explain", join(folder, "gone"), "--config", join(folder, "sluice.yaml")], {
      ...{ data: () => undefined, env: {}, signal: new AbortController().signal },
      note: (line) => notes.push(line),
    });
    expect([exitCode, notes.join("\n")]).toEqual([7, expect.stringContaining("there is no file")]);
  });
});
