import { describe, expect, test } from "@jest/globals";
import { WIRE as ANTHROPIC } from "../../src/adapters/providers/anthropic/anthropic-provider.js";
import { ANTHROPIC_BATCH_RULES } from "../../src/adapters/providers/anthropic/batch-rules.js";
import { toAnthropicBatchLine } from "../../src/adapters/providers/anthropic/to-batch-line.js";
import { OPENAI_BATCH_RULES } from "../../src/adapters/providers/openai/batch-rules.js";
import { WIRE as OPENAI } from "../../src/adapters/providers/openai/openai-provider.js";
import { toOpenaiBatchLine } from "../../src/adapters/providers/openai/to-batch-line.js";
import { kindFacts } from "../../src/adapters/providers/registry.js";
import { turnaroundBook } from "../../src/domain/batch/turnaround.js";
import { parsePriceTable } from "../../src/domain/cost/price-table.js";
import { defaultPolicy } from "../../src/domain/job/default-policy.js";
import { attemptId } from "../../src/domain/job/ids.js";
import type { CountPrompt } from "../../src/domain/route/score-routes.js";
import type { Account, Catalog } from "../../src/domain/route/catalog.js";
import { planRoutes } from "../../src/domain/route/plan-routes.js";
import { readRequestFacts } from "../../src/domain/route/request-facts.js";
import type { RouteConditions, RouteHealth } from "../../src/domain/route/route-condition.js";
import type { BatchAccountSettings } from "../../src/pipeline/batch/batch-settings.js";
import { DIRECT_ONLY, LinePlanner, type LineAccount, type ServiceWish } from "../../src/pipeline/batch/line-planner.js";

const NOW_MS = 1_800_000_000_000;
const HOUR_MS = 3_600_000;
/** p95 4 h, so 5 h with the margin, and 10 minutes for others to come. */
const NEEDED_MS = 5 * HOUR_MS;
const BOOK = turnaroundBook([], { priorMs: 4 * HOUR_MS, windowMs: 1, perModelMax: 1 }, NOW_MS);

const account = (name: string, kind: string, more: Partial<Account> = {}): Account => ({
  name,
  facts: kindFacts(kind),
  regions: null,
  prices: null,
  maxOutputTokensDefault: 100,
  capabilities: null,
  ...more,
});

/** A dollar in, four out; half of it in a batch by the provider's discount. */
const MODEL = { inputPerMTok: 1, outputPerMTok: 4, contextWindow: 100_000, capabilities: ["chat"] };
const HALF = { batchInputPerMTok: 0.5, batchOutputPerMTok: 2, batchBasis: "half" };

const CATALOG: Catalog = {
  prices: parsePriceTable({
    asOf: "2026-12-01",
    models: {
      "openai/gpt": { ...MODEL, ...HALF },
      "openai/unlisted": { ...MODEL, batchBasis: "none" },
      "openai/embed": { inputPerMTok: 1, outputPerMTok: 0, batchInputPerMTok: 0.5, batchOutputPerMTok: 0 },
      "anthropic/claude": { ...MODEL, ...HALF },
    },
  }),
  accounts: [
    account("main", "openai"),
    account("claude", "anthropic"),
    account("local", "openai-compatible", { prices: { zero: true }, capabilities: ["chat"] }),
  ],
  aliases: [
    ["both", "main/gpt", "claude/claude"],
    ["own-first", "local/qwen", "main/gpt"],
    ["own", "local/qwen"],
  ].map(([name, ...candidates]) => ({
    name: name!,
    maxOutputTokensDefault: 100,
    candidates: candidates.map((one) => ({ account: one.split("/")[0]!, model: one.split("/")[1]! })),
  })),
};

const SETTINGS: BatchAccountSettings = {
  way: null,
  linesMax: null,
  bytesMax: null,
  enqueuedTokensMax: null,
  openBatchesMax: 4,
  flushAfterMs: 600_000,
  createGraceMs: 600_000,
};

const BODY = '{"model":"x","messages":[{"role":"system","content":"s"},{"role":"user","content":"why"}]}';

function wishOf(model: string, more: Partial<ServiceWish> = {}, body = BODY): ServiceWish {
  const facts = readRequestFacts("openai.chat", body, Buffer.byteLength(body), null);
  const plan = planRoutes(defaultPolicy(model), facts, CATALOG);
  return {
    mode: "auto",
    nowMs: NOW_MS,
    deadlineMs: NOW_MS + 24 * HOUR_MS,
    facts,
    plan,
    routeIndex: 0,
    again: false,
    ...more,
  };
}

interface Setup {
  readonly settings?: Partial<BatchAccountSettings>;
  readonly headroomTokens?: number | null;
  readonly only?: readonly string[];
  /** Of accounts; the others are well. */
  readonly states?: Readonly<Record<string, RouteHealth["state"]>>;
  /** Accounts that have spent what they may. */
  readonly spent?: readonly string[];
  readonly countPrompt?: CountPrompt;
}

/** A planner of real accounts, and how many lines it had encoded. */
function planner({
  settings = {},
  headroomTokens = null,
  only = ["main", "claude"],
  states = {},
  spent = [],
  countPrompt,
}: Setup = {}) {
  const encodings: string[] = [];
  const accountOf = (provider: LineAccount["provider"]): LineAccount => ({
    provider: {
      rules: provider.rules,
      encodeLine: (line, way) => {
        encodings.push(line.model);
        return provider.encodeLine(line, way);
      },
    },
    settings: { ...SETTINGS, ...settings },
  });
  const all = new Map([
    ["main", accountOf({ rules: OPENAI_BATCH_RULES, encodeLine: (line) => toOpenaiBatchLine(OPENAI, line) })],
    [
      "claude",
      accountOf({ rules: ANTHROPIC_BATCH_RULES, encodeLine: (line) => toAnthropicBatchLine(ANTHROPIC, line) }),
    ],
  ]);
  const accounts = new Map([...all].filter(([name]) => only.includes(name)));
  const conditions: Pick<RouteConditions, "health" | "spent"> = {
    health: (name) => ({ state: states[name] ?? "closed", untilMs: null, because: null }),
    spent: (name) => (spent.includes(name) ? "it has spent enough" : null),
  };
  const lines = new LinePlanner({
    ...{ accounts, turnaround: () => BOOK, headroomTokens: () => headroomTokens, conditions },
    ...(countPrompt === undefined ? {} : { countPrompt }),
  });
  return { lines, encodings };
}

describe("the prompt of a line", () => {
  test.each([
    ["is counted where the account's batches have a limit of tokens", 1_000_000, 777],
    ["is estimated by its bytes where nothing asks for more", null, Math.ceil(BODY.length / 3)],
  ])("%s", (_what, enqueuedTokensMax, tokens) => {
    const { lines } = planner({ settings: { enqueuedTokensMax }, countPrompt: () => 777 });
    const plan = lines.plan(wishOf("both"));
    expect(plan).toMatchObject({ kind: "pool", pooled: { line: { tokens } } });
  });
});

describe("a job without anything to choose costs nothing and has no decision", () => {
  test.each<[string, string, Partial<ServiceWish>, Setup]>([
    ["no account has batches", "both", {}, { only: [] }],
    ["no account of its plan has", "own", {}, {}],
    ["it asks for a call of its own", "both", { mode: "direct" }, {}],
    ["its deadline has passed", "both", { deadlineMs: NOW_MS }, {}],
    ["its deadline has passed, and it asks for a batch", "both", { deadlineMs: NOW_MS, mode: "batch" }, {}],
  ])("%s", (_why, model, more, setup) => {
    const { lines, encodings } = planner(setup);
    expect(lines.plan(wishOf(model, more))).toEqual({ kind: "direct" });
    expect(encodings).toEqual([]);
  });

  test("and where no account has batches, turnarounds are not even asked for", () => {
    expect(DIRECT_ONLY.plan(wishOf("both"))).toEqual({ kind: "direct" });
    expect(() => DIRECT_ONLY.plan(wishOf("both", { mode: "batch" }))).not.toThrow();
  });
});

describe("a job that has time waits for a batch", () => {
  test("as the line that it will be, without its id", () => {
    const { lines, encodings } = planner();
    const plan = lines.plan(wishOf("both"));
    const id = attemptId(20_000, 123_456_789);
    const sent = `{"custom_id":"${id}","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt","messages":[{"role":"system","content":"s"},{"role":"user","content":"why"}],"max_completion_tokens":100}}`;
    expect(plan).toMatchObject({
      kind: "pool",
      pooled: {
        pool: "main|file|openai.chat|gpt",
        line: {
          account: "main",
          provider: "openai",
          model: "gpt",
          routeIndex: 0,
          way: "file",
          lineFormat: "openai.chat",
          bytes: sent.length - id.length,
          // 90 bytes.
          tokens: 30,
          embeddingInputs: 0,
          lookAtMs: NOW_MS + 19 * HOUR_MS,
        },
      },
      decision: { mode: "batch", account: "main", model: "gpt", numbers: { tokens: 30, headroomTokens: null } },
    });
    expect(encodings).toEqual(["gpt"]);
  });

  test("with half of a call's bound as its own", () => {
    const plan = planner().lines.plan(wishOf("both"));
    const { numbers } = plan.kind === "pool" ? plan.decision : { numbers: null };
    // OpenAI's unseen tokens and 90 bytes at a dollar a million, 100 tokens at four.
    const overhead = BigInt(kindFacts("openai").unseen.overheadTokens);
    const bound = (overhead + 90n) * 1_000n + 100n * 4_000n;
    expect(numbers).toMatchObject({ directMaxNanoUsd: String(bound), batchMaxNanoUsd: String(bound / 2n) });
    expect(plan).toMatchObject({ pooled: { line: { maxNanoUsd: bound / 2n } } });
  });

  test("translated where the provider speaks another format, its models mixed", () => {
    const plan = planner().lines.plan(wishOf("both", { routeIndex: 1 }));
    expect(plan).toMatchObject({
      kind: "pool",
      pooled: { pool: "claude|inline|anthropic.messages|*", line: { routeIndex: 1, lineFormat: "anthropic.messages" } },
    });
  });

  test("with the same prefix as another that begins like it", () => {
    const prefixOf = (body: string) => {
      const plan = planner().lines.plan(wishOf("both", {}, body));
      return plan.kind === "pool" ? plan.pooled.line.prefix : null;
    };
    expect(prefixOf(BODY)).not.toBeNull();
    expect(prefixOf(BODY.replace("why", "how"))).toBe(prefixOf(BODY));
    expect(prefixOf(BODY.replace('"s"', '"t"'))).not.toBe(prefixOf(BODY));
  });
});

describe("mode auto gives the job a call of its own, with the reason", () => {
  const cases: [string, Partial<ServiceWish>, Setup, string, string, number][] = [
    ["time is short", { deadlineMs: NOW_MS + NEEDED_MS + 599_999 }, {}, "both", "a batch may take 5 h 10 min", 0],
    [
      "the batches are full",
      { deadlineMs: NOW_MS + 9 * HOUR_MS },
      { headroomTokens: 29 },
      "both",
      "batches are full",
      0,
    ],
    ["no price is known", {}, {}, "main/unlisted", "what unlisted costs in a batch of main is not known", 0],
    ["the account has none", {}, { only: ["claude"] }, "both", "main has no batches", 0],
    ["its line is too long", {}, { settings: { bytesMax: 200 } }, "both", "alone in a batch it has", 1],
    ["it has too many tokens", {}, { settings: { enqueuedTokensMax: 29 } }, "both", "estimated at 30 tokens", 1],
    ["there is no such way", {}, { settings: { way: "inline" } }, "both", "main has no batches of the way inline", 0],
    ["its own server comes first", {}, {}, "own-first", "local has no batches", 0],
  ];
  test.each(cases)("%s", (_why, more, setup, model, because, encoded) => {
    const { lines, encodings } = planner(setup);
    const plan = lines.plan(wishOf(model, more));
    expect(plan).toMatchObject({ kind: "direct", decision: { because: expect.stringContaining(because) } });
    expect(encodings).toHaveLength(encoded);
  });
});

describe("a job that asks for a batch", () => {
  const plan = (model: string, more: Partial<ServiceWish> = {}, setup: Setup = {}) =>
    planner(setup).lines.plan(wishOf(model, { mode: "batch", ...more }));

  test("gets the route whose turn it is", () => {
    expect(plan("both")).toMatchObject({ kind: "pool", pooled: { line: { account: "main" } } });
    expect(plan("both", { routeIndex: 1 })).toMatchObject({ kind: "pool", pooled: { line: { account: "claude" } } });
    expect(plan("both", { routeIndex: 7 })).toMatchObject({ kind: "pool", pooled: { line: { account: "main" } } });
  });

  test.each<[string, string, Partial<ServiceWish>, Setup, { account: string; routeIndex: number }]>([
    ["the next one can", "own-first", {}, {}, { account: "main", routeIndex: 1 }],
    ["an earlier one can", "both", { routeIndex: 1 }, { only: ["main"] }, { account: "main", routeIndex: 0 }],
    ["a later one can", "both", {}, { only: ["claude"] }, { account: "claude", routeIndex: 1 }],
  ])("goes elsewhere when only %s", (_which, model, more, setup, line) => {
    expect(plan(model, more, setup)).toMatchObject({ kind: "pool", pooled: { line } });
  });

  test.each<[string, Partial<ServiceWish>, Pick<Setup, "states" | "spent" | "only">, string]>([
    ["whose circuit is open", {}, { states: { main: "open" } }, "claude"],
    ["whose account has spent enough", {}, { spent: ["main"] }, "claude"],
    ["whose calls fail", {}, { states: { main: "degraded" } }, "claude"],
    ["that is worse than another", { routeIndex: 1 }, { states: { main: "degraded", claude: "open" } }, "main"],
    ["but one on trial is as good as any", {}, { states: { main: "half_open" } }, "main"],
    [
      "but of equally bad ones it is its turn",
      { routeIndex: 1 },
      { states: { main: "open" }, spent: ["claude"] },
      "claude",
    ],
    ["but a bad one is better than none", {}, { states: { main: "open" }, only: ["main"] }, "main"],
  ])("passes over a route %s", (_which, more, setup, account) => {
    expect(plan("both", more, setup)).toMatchObject({ kind: "pool", pooled: { line: { account } } });
  });

  test("is refused with the reason of each once, whatever their health", () => {
    const setup: Setup = { settings: { bytesMax: 100 }, states: { main: "open" } };
    expect(plan("both", {}, setup)).toMatchObject({
      message: expect.stringMatching(/^no batch can be made: claude\/claude: alone in .*; main\/gpt: alone in [^;]*$/),
    });
  });

  test("is refused where no account has batches, naming them", () => {
    expect(plan("own")).toEqual({
      kind: "refused",
      code: "NO_ROUTE",
      message: "no batch can be made: no account of this job has batches (local)",
    });
    expect(plan("both", {}, { only: [] })).toMatchObject({ kind: "refused", code: "NO_ROUTE" });
  });

  test("is refused when no provider takes its line, with each reason", () => {
    expect(plan("both", {}, { settings: { bytesMax: 100 } })).toMatchObject({
      kind: "refused",
      code: "NO_ROUTE",
      message: expect.stringMatching(/^no batch can be made: main\/gpt: alone in .*; claude\/claude: alone in /),
    });
  });

  test("is refused when no batch ends in time; the reasons of other routes say nothing of time", () => {
    const late = { deadlineMs: NOW_MS + 4 * HOUR_MS - 1 };
    expect(plan("own-first", late)).toEqual({
      kind: "refused",
      code: "NO_ROUTE_IN_TIME",
      message:
        "no batch can be made: main/gpt: 95 of 100 batches end within 4 h and 4 h are left; give it a later deadline, or send it with mode auto or direct",
    });
    expect(plan("own-first", { deadlineMs: NOW_MS + 4 * HOUR_MS })).toMatchObject({ kind: "pool" });
  });
});

describe("what the choice between routes is told of batches", () => {
  const routeOf = (model: string) => wishOf(model).plan.first!;
  test.each<[string, string, "auto" | "direct" | "batch", number, boolean]>([
    ["a call is wanted", "main/gpt", "direct", 24 * HOUR_MS, false],
    ["a batch is wanted", "main/gpt", "batch", 1, true],
    ["a batch is wanted, but the account has none", "local/qwen", "batch", 24 * HOUR_MS, false],
    ["a batch is wanted, but no price of a line is known", "main/unlisted", "batch", 24 * HOUR_MS, false],
    ["there is time for one", "main/gpt", "auto", NEEDED_MS + 600_000, true],
    ["there is not", "main/gpt", "auto", NEEDED_MS + 599_999, false],
  ])("%s", (_what, model, mode, leftMs, likely) => {
    const { lines, encodings } = planner();
    expect(lines.likely(routeOf(model), mode, leftMs)).toBe(likely);
    expect(encodings).toEqual([]);
  });
});
