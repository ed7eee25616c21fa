import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { NOT_BUILT } from "../../src/cli/not-built.js";
import { COMMAND_GROUPS } from "../../src/cli/command-groups.js";
import { runCli } from "../../src/cli/run-cli.js";

const CONFIG = `
environment: test
kafka: { brokers: ['127.0.0.1:1'] }
postgres: { url: '\${DATABASE_URL}' }
auth: { tenantFrom: body }
tenants: {}
providers: {}
`;

let folder = "";
let goodFile = "";
let badFile = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-cli-test-"));
  goodFile = join(folder, "good.yaml");
  badFile = join(folder, "bad.yaml");
  writeFileSync(goodFile, CONFIG);
  writeFileSync(badFile, `${CONFIG}telemetry: {}\nhttp: { prot: 1 }\n`);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

async function run(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  signal = new AbortController().signal,
) {
  const data: string[] = [];
  const notes: string[] = [];
  const exitCode = await runCli(args, {
    data: (line) => data.push(line),
    note: (line) => notes.push(line),
    env: { DATABASE_URL: "postgres://u:hidden-password@127.0.0.1:1/d", ...env },
    signal,
  });
  return { exitCode, data, notes };
}

describe("the command line", () => {
  test("without a command prints the help on stderr and ends with 2", async () => {
    const { exitCode, data, notes } = await run([]);
    expect([exitCode, data]).toEqual([2, []]);
    expect(notes.join("\n")).toContain("Usage: sluice");
  });

  test("prints help that was asked for on stdout and ends with 0", async () => {
    const { exitCode, data, notes } = await run(["topics", "--help"]);
    expect([exitCode, notes]).toEqual([0, []]);
    expect(data.join("\n")).toContain("Usage: sluice topics");
  });

  test("prints help as JSON with --json", async () => {
    const { exitCode, data } = await run(["--help", "--json"]);
    expect(exitCode).toBe(0);
    expect(JSON.parse(data.join("\n"))).toEqual({ text: expect.stringContaining("Usage: sluice") });
  });

  test("prints a version of three numbers", async () => {
    expect(await run(["--version"])).toEqual({
      exitCode: 0,
      data: [expect.stringMatching(/^\d+\.\d+\.\d+$/)],
      notes: [],
    });
  });

  test.each([
    ["an unknown command", ["migrat"], "Did you mean migrate?"],
    ["an unknown subcommand", ["topics", "aply"], "Did you mean apply?"],
    ["an unknown flag", ["migrate", "--pln"], "Did you mean --plan?"],
    [
      "a flag's value that is none",
      ["simulator", "--bill", "b", "--port", "x"],
      "Expected a whole number from 0 to 65535.",
    ],
    ["a flag's word that is not in the list", ["demo", "--doubt", "maybe"], "Expected one of retry, fail."],
    ["a flag that must be there", ["simulator"], "--bill"],
    ["an argument too many", ["migrate", "now"], "too many arguments"],
  ])("refuses %s with 2 and says what to do", async (_name, args, expected) => {
    const { exitCode, data, notes } = await run(args);
    expect([exitCode, data]).toEqual([2, []]);
    expect(notes.join("\n")).toContain(expected);
  });

  test("reports a wrong use as JSON with --json", async () => {
    const { exitCode, data, notes } = await run(["routr", "--json"]);
    expect([exitCode, data, notes.length]).toEqual([2, [], 1]);
    expect(JSON.parse(notes[0] ?? "")).toEqual({ error: { message: expect.stringContaining("routr"), exitCode: 2 } });
  });

  test("offers no command whose part is not built", async () => {
    const { data } = await run(["--help"]);
    const help = data.join("\n");
    const names = [...help.matchAll(/^ {2}([a-z-]+)(?: |$)/gm)].map((match) => match[1]);
    expect(names).toEqual(
      expect.arrayContaining(["router", "topics", "migrate", "config", "simulator", "stack", "demo"]),
    );
    expect(names).not.toEqual(expect.arrayContaining(["rollout"]));
    expect(names.length).toBeGreaterThanOrEqual(COMMAND_GROUPS.length);
  });
});

/** All that contract.md lists under "Commands". */
const CONTRACT =
  `status; router --role; topics plan|apply|adopt; schemas register|check; migrate --plan; submit --wait; results --follow|get;
  jobs ls|show|cancel; batches ls|show|cancel; in-doubt ls|resolve; dlq ls|show|replay|discard; route explain; providers ls|pause|resume;
  limits ls; budgets ls; costs report|reprice|reconcile; estimate; config check|show|reload; simulator; stack up|down|status`
    .split(/;\s+/)
    .flatMap((entry) => {
      const [group = "", parts] = entry.split(" ");
      return (parts ?? "").split("|").map((part) => [group, part] as const);
    });

describe("what the contract names", () => {
  const isNotBuilt = (group: string, part: string): boolean =>
    NOT_BUILT.some(
      ({ command, flag }) => [...command, ...(flag === null ? [] : [flag])].join(" ") === `${group} ${part}`,
    );

  test.each(CONTRACT)("%s %s is there, or on the list of what is not built", async (group, part) => {
    const { exitCode, data } = await run([group, "--help"]);
    expect(exitCode).toBe(0);
    const isThere =
      part === "" ||
      data
        .join("\n")
        .split(/[\s|,]+/)
        .includes(part);
    expect(isThere).toBe(!isNotBuilt(group, part));
  });

  test("nothing is on that list that the contract does not name", () => {
    expect(CONTRACT.filter(([group, part]) => isNotBuilt(group, part))).toHaveLength(NOT_BUILT.length);
  });

  test.each([
    [["router", "--role", "dispatch"], "not built yet: router --role; each router does the work of all stages"],
    [["router", "--role=dispatch"], "not built yet: router --role; "],
    [["config", "reload"], "not built yet: config reload; check the new config with"],
    [["--config", "router", "config", "reload"], "not built yet: config reload; "],
    [["providers", "pause", "main"], "not built yet: providers pause; take the account out of"],
    [["providers", "--json", "resume", "main"], "not built yet: providers resume; put the account back"],
  ])("%j is refused with 2 and says what to do instead", async (args: readonly string[], expected) => {
    const { exitCode, data, notes } = await run(args);
    expect([exitCode, data]).toEqual([2, []]);
    expect(notes.join("\n")).toContain(expected);
  });

  test("other names are as unknown as before", async () => {
    expect((await run(["providers", "paus"])).notes.join("\n")).not.toContain("not built");
    expect((await run(["router", "--rol", "dispatch"])).notes.join("\n")).toContain("unknown option");
  });
});

describe("config check", () => {
  test("says that a right config is right, and warns of trial settings on stderr", async () => {
    const { exitCode, data, notes } = await run(["config", "check", "--config", goodFile]);
    expect([exitCode, data]).toEqual([0, [`${goodFile}: ok`]]);
    expect(notes).toEqual([expect.stringContaining("auth.tenantFrom is body")]);
  });

  test("warns of keys that have no effect yet", async () => {
    const file = join(folder, "unused.yaml");
    writeFileSync(file, `${readFileSync(goodFile, "utf8")}\nretention: { bodyDays: 7 }\n`);
    const { exitCode, notes } = await run(["config", "check", "--config", file]);
    expect(exitCode).toBe(0);
    expect(notes.join("\n")).toMatch(
      /warning: line \d+: retention\.bodyDays: not used yet: the ledger removes nothing/,
    );
  });

  test("takes the file from SLUICE_CONFIG, and --config wins", async () => {
    expect((await run(["config", "check"], { SLUICE_CONFIG: goodFile })).exitCode).toBe(0);
    expect((await run(["--config", goodFile, "config", "check"], { SLUICE_CONFIG: badFile })).exitCode).toBe(0);
  });

  test("lists every problem with its place and ends with 3", async () => {
    const { exitCode, data, notes } = await run(["config", "check", "--config", badFile]);
    expect([exitCode, data]).toEqual([3, []]);
    expect(notes).toEqual([
      `${badFile}:8:1: telemetry: not built yet; leave it out`,
      `${badFile}:9:9: http.prot: unknown key; did you mean port?`,
      "sluice: the config has 2 problems",
    ]);
  });

  test("lists them as JSON with --json", async () => {
    const { exitCode, notes } = await run(["config", "check", "--config", badFile, "--json"]);
    expect(exitCode).toBe(3);
    expect(JSON.parse(notes.join("\n"))).toEqual({
      error: {
        message: "the config has 2 problems",
        exitCode: 3,
        file: badFile,
        problems: [
          { path: "telemetry", line: 8, column: 1, message: "not built yet; leave it out" },
          { path: "http.prot", line: 9, column: 9, message: "unknown key; did you mean port?" },
        ],
      },
    });
  });

  test("says how to name a file when there is none", async () => {
    const { exitCode, notes } = await run(["config", "check", "--config", join(folder, "none.yaml")]);
    expect(exitCode).toBe(3);
    expect(notes.join("\n")).toContain("name one with --config FILE or SLUICE_CONFIG");
  });
});

describe("config show", () => {
  test.each([[[]], [["--json"]]])("masks secrets with %j", async (flags: readonly string[]) => {
    const { exitCode, data } = await run(["config", "show", "--config", goodFile, ...flags]);
    expect(exitCode).toBe(0);
    expect(data.join("\n")).toContain("postgres://u:***@127.0.0.1:1/d");
    expect(data.join("\n")).not.toContain("hidden-password");
  });
});

describe("commands that need a server", () => {
  test("end with 4 when nobody answers", async () => {
    const { exitCode, data, notes } = await run(["migrate", "--plan", "--config", goodFile]);
    expect([exitCode, data]).toEqual([4, []]);
    expect(notes.join("\n")).toContain("ECONNREFUSED");
  });

  test("end with 3 when the config doesn't say where the server is", async () => {
    const { exitCode, notes } = await run(["schemas", "check", "--config", goodFile]);
    expect([exitCode, notes]).toEqual([3, ["sluice: expected registry.url in the config, which is missing"]]);
  });
});

describe("simulator", () => {
  test("listens until it is told to stop, and ends with the signal's code", async () => {
    const stopping = new AbortController();
    const listening: string[] = [];
    const ended = runCli(["simulator", "--bill", join(folder, "bill.jsonl"), "--json"], {
      data: (line) => {
        listening.push(line);
        stopping.abort("SIGTERM");
      },
      note: () => undefined,
      env: {},
      signal: stopping.signal,
    });
    expect(await ended).toBe(143);
    expect(JSON.parse(listening.join("\n"))).toEqual({
      listening: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      openaiBaseUrl: expect.any(String),
      anthropicBaseUrl: expect.any(String),
      geminiBaseUrl: expect.any(String),
      vllmBaseUrl: expect.any(String),
      llamaCppBaseUrl: expect.any(String),
      ollamaBaseUrl: expect.any(String),
    });
  });
});
