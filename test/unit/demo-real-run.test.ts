import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { parse } from "yaml";
import { addDemoCommand } from "../../src/cli/commands/demo.js";
import { COMMAND_GROUPS } from "../../src/cli/command-groups.js";
import { runCli } from "../../src/cli/run-cli.js";
import { DEFAULT_TOPICS, demoConfig } from "../../src/demo/demo-config.js";
import { DEMO_SCOPE } from "../../src/demo/demo-scope.js";
import { filmJob } from "../../src/demo/film-jobs.js";
import { readFilms } from "../../src/demo/films.js";
import { planRealRun, RealRunError, realRunText } from "../../src/demo/real-run.js";

const PRICING = readFileSync("schemas/pricing.json", "utf8");
const TODAY = "2026-11-26";
const films = readFilms();
const jobs = (count: number) => Array.from({ length: count }, (_unused, number) => filmJob(number, films, DEMO_SCOPE));
const plan = (env: Readonly<Record<string, string>>, count = 5) => planRealRun(env, jobs(count), PRICING, TODAY);
const KEYS = { OPENAI_API_KEY: "sk-one", ANTHROPIC_API_KEY: "sk-two", GEMINI_API_KEY: "sk-three" };

describe("a demo with real providers", () => {
  test("calls those whose keys are there, at their own addresses, the cheapest first", () => {
    const { accounts, env } = plan(KEYS);
    expect(accounts.map(({ kind, model, baseUrl }) => [kind, model, baseUrl])).toEqual([
      ["gemini", "gemini-2.5-flash-lite", null],
      ["openai", "gpt-4o-mini", null],
      ["anthropic", "claude-haiku-4-5", null],
    ]);
    expect(env).toEqual({});
    expect(plan({ ANTHROPIC_API_KEY: "sk-two", OPENAI_API_KEY: "" }).accounts).toMatchObject([{ kind: "anthropic" }]);
  });

  test("leaves out a model that has ended by now", () => {
    const later = planRealRun({ OPENAI_API_KEY: "sk" }, jobs(5), PRICING, "2099-01-01");
    expect(later.accounts[0]?.model).not.toBe("gpt-4o-mini");
  });

  test("can be sent to other addresses by the variables of the providers' SDKs", () => {
    const { accounts, env } = plan({
      ...KEYS,
      OPENAI_BASE_URL: "http://127.0.0.1:9/v1/",
      GOOGLE_GEMINI_BASE_URL: "http://127.0.0.1:9",
    });
    expect(Object.fromEntries(accounts.map(({ kind, baseUrl }) => [kind, baseUrl]))).toEqual({
      gemini: "${GOOGLE_GEMINI_BASE_URL}/v1beta",
      openai: "${OPENAI_BASE_URL}",
      anthropic: null,
    });
    expect(env).toEqual({ OPENAI_BASE_URL: "http://127.0.0.1:9/v1", GOOGLE_GEMINI_BASE_URL: "http://127.0.0.1:9" });
  });

  test("has keys in its config by reference only", () => {
    const { accounts } = plan(KEYS);
    const yaml = demoConfig({
      environment: "demo",
      topics: DEFAULT_TOPICS,
      doubt: "retry",
      mix: "plain",
      shopElsewhere: false,
      accounts,
      journalFolder: "/tmp/journal",
    });
    for (const key of Object.values(KEYS)) expect(yaml).not.toContain(key);
    expect(parse(yaml)).toMatchObject({
      providers: {
        "gemini-real": { kind: "gemini", apiKey: "${GEMINI_API_KEY}" },
        "openai-real": { kind: "openai", apiKey: "${OPENAI_API_KEY}" },
        "anthropic-real": { kind: "anthropic", apiKey: "${ANTHROPIC_API_KEY}" },
      },
      models: { cheap: { candidates: [{ provider: "gemini-real" }, { provider: "openai-real" }, {}] } },
    });
    expect((parse(yaml) as { providers: object }).providers).not.toHaveProperty("gemini-real.baseUrl");
  });

  test("says the most that it may cost by list price", () => {
    const body =
      '{"model":"cheap","messages":[{"role":"system","content":"You write short entries for a film catalogue. Answer in one sentence."},' +
      '{"role":"user","content":"Write a pitch for this film.\\nTitle: The Land Girls\\nReleased: Jun 12 1998"}],"temperature":0}';
    // A token a byte and 1,024 unseen ones, each at most the $2 of an hour's cache write; 512 tokens of answer at $5 a million.
    const most = BigInt(body.length + 1024) * 2000n + 512n * 5000n;
    const run = plan({ ANTHROPIC_API_KEY: "sk-two" }, 1);
    expect(run).toMatchObject({ maxNanoUsd: most, distinctRequests: 1 });
    expect(realRunText(run, 1)).toContain("1 jobs, 1 different requests at anthropic (claude-haiku-4-5)");
    expect(realRunText(run, 1)).toContain("at most $0.0051");
  });

  test("needs one of three keys", () => {
    expect(() => plan({ AZURE_API_KEY: "x" })).toThrow(RealRunError);
    expect(() => plan({})).toThrow(
      /OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY; set one, or run the demo without --real/,
    );
  });
});

describe("demo --real refuses", () => {
  async function refusal(args: readonly string[], env: Readonly<Record<string, string>> = KEYS) {
    const notes: string[] = [];
    const exitCode = await runCli(["demo", "--real", ...args], {
      data: (line) => notes.push(line),
      note: (line) => notes.push(line),
      env,
      signal: new AbortController().signal,
    });
    return { exitCode, said: notes.join("\n") };
  }

  test.each<[string, readonly string[], RegExp, Readonly<Record<string, string>>]>([
    ["kills", ["--kill", "1", "--yes"], /--kill needs the simulator/, KEYS],
    ["more than 20 jobs without a yes", ["--jobs", "21"], /at most 20 jobs, got 21; add --yes/, KEYS],
    ["to spend where nobody can be asked", ["--json"], /Spend it\? Expected --yes/, KEYS],
    ["to run without a key", ["--yes"], /OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY/, {}],
  ])("%s", async (_what, args, reason, env) => {
    const { exitCode, said } = await refusal(args, env);
    expect(exitCode).toBe(2);
    expect(said).toMatch(reason);
    for (const key of Object.values(KEYS)) expect(said).not.toContain(key);
  });

  test("after it has said what it would cost", async () => {
    expect((await refusal(["--json"])).said).toMatch(/20 jobs, 17 different requests at gemini .* at most \$0\.\d+/);
    expect(COMMAND_GROUPS).toContain(addDemoCommand);
  });
});
