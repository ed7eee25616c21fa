import { NO_ASKS } from "../../src/domain/route/model-asks.js";
import { describe, expect, test } from "@jest/globals";
import { defaultPolicy } from "../../src/domain/job/default-policy.js";
import type { RequestFormat, RoutePolicy } from "../../src/domain/job/job.js";
import { kindFacts } from "../../src/adapters/providers/registry.js";
import { ZERO_PRICE } from "../../src/domain/cost/account-price.js";
import { parsePriceTable } from "../../src/domain/cost/price-table.js";
import { answeredBy } from "../../src/domain/route/catalog.js";
import type { Account, Catalog } from "../../src/domain/route/catalog.js";
import { createRoutePlanner, planRoutes, routeMaxCostNanoUsd } from "../../src/domain/route/plan-routes.js";
import { readRequestFacts, type RequestFacts } from "../../src/domain/route/request-facts.js";

const prices = parsePriceTable({
  asOf: "2026-11-24",
  models: {
    "openai/gpt-4.1-mini": {
      inputPerMTok: 0.4,
      outputPerMTok: 1.6,
      batchInputPerMTok: 0.2,
      batchOutputPerMTok: 0.8,
      batchBasis: "half",
      contextWindow: 1_000_000,
      maxOutputTokens: 32_768,
      capabilities: ["chat", "vision"],
      aliases: ["gpt-4.1-mini-2025-04-14"],
    },
    "openai/gpt-old": {
      inputPerMTok: 0.5,
      outputPerMTok: 1.5,
      contextWindow: 100,
      maxOutputTokens: 500,
      capabilities: ["chat"],
    },
    "openai/unpriced": { inputPerMTok: null, outputPerMTok: null, capabilities: ["chat"] },
    "anthropic/claude-haiku-4-5": {
      inputPerMTok: 1,
      outputPerMTok: 5,
      contextWindow: 200_000,
      maxOutputTokens: 64_000,
      capabilities: ["chat"],
    },
  },
});

const account = (name: string, kind: string, more: Partial<Account> = {}): Account => ({
  name,
  facts: kindFacts(kind),
  regions: null,
  prices: null,
  maxOutputTokensDefault: 900,
  capabilities: null,
  ...more,
});

const catalog: Catalog = {
  prices,
  accounts: [
    account("main", "openai"),
    account("spare", "openai", { regions: ["eu"] }),
    account("claude", "anthropic"),
    account("local", "openai-compatible", { prices: { zero: true }, regions: ["eu", "us"], capabilities: ["chat"] }),
  ],
  aliases: [
    {
      name: "cheap",
      maxOutputTokensDefault: 1_024,
      candidates: [
        { account: "main", model: "gpt-old" },
        { account: "main", model: "gpt-4.1-mini" },
        { account: "claude", model: "claude-haiku-4-5" },
        { account: "local", model: "qwen" },
      ],
    },
    {
      name: "broken",
      maxOutputTokensDefault: 10,
      candidates: [
        { account: "main", model: "unpriced" },
        { account: "gone", model: "x" },
      ],
    },
  ],
};

const policyOf = (model: string, more: Partial<RoutePolicy> = {}): RoutePolicy => ({
  ...defaultPolicy(model),
  ...more,
});

const TURN = '{"messages":[{"role":"user","content":"Why?"}],"max_tokens":50}';
const BODIES: Partial<Record<RequestFormat, string>> = {
  "openai.chat": TURN,
  "anthropic.messages": TURN,
  "gemini.generate": '{"contents":[{"role":"user","parts":[{"text":"Why?"}]}]}',
  "openai.embeddings": '{"input":"Why?"}',
  "gemini.embed": '{"content":{"parts":[{"text":"Why?"}]}}',
};

const factsOf = (format: RequestFormat, more: Partial<RequestFacts> = {}): RequestFacts => ({
  format,
  bodyText: BODIES[format] ?? "{}",
  bodyBytes: 1_000,
  holdsMedia: false,
  capabilities: [],
  asks: NO_ASKS,
  images: 0,
  requestedMaxOutputTokens: null,
  choices: 1,
  maxCostNanoUsd: null,
  ...more,
});

const chosen = (policy: RoutePolicy, facts: RequestFacts) =>
  planRoutes(policy, facts, catalog).routes.map((route) => `${route.account}/${route.model}`);

describe("which routes a job may take", () => {
  test.each<[string, RoutePolicy, RequestFacts, string[]]>([
    [
      "an alias, in its order, whatever the providers speak",
      policyOf("cheap"),
      factsOf("openai.chat"),
      ["main/gpt-old", "main/gpt-4.1-mini", "claude/claude-haiku-4-5", "local/qwen"],
    ],
    [
      "the same alias in another format",
      policyOf("cheap"),
      factsOf("anthropic.messages"),
      ["main/gpt-old", "main/gpt-4.1-mini", "claude/claude-haiku-4-5", "local/qwen"],
    ],
    ["account/model", policyOf("spare/gpt-4.1-mini"), factsOf("openai.chat"), ["spare/gpt-4.1-mini"]],
    [
      "kind/model, at each account of the kind",
      policyOf("openai/gpt-4.1-mini"),
      factsOf("openai.chat"),
      ["main/gpt-4.1-mini", "spare/gpt-4.1-mini"],
    ],
    ["a model with a slash in its name", policyOf("local/meta/llama"), factsOf("openai.chat"), ["local/meta/llama"]],
    [
      "a model's own name",
      policyOf("gpt-4.1-mini-2025-04-14"),
      factsOf("openai.chat"),
      ["main/gpt-4.1-mini-2025-04-14", "spare/gpt-4.1-mini-2025-04-14"],
    ],
    [
      "a model's own name in the other format",
      policyOf("claude-haiku-4-5"),
      factsOf("anthropic.messages"),
      ["claude/claude-haiku-4-5"],
    ],
    ["providers by account", policyOf("cheap", { providers: ["local"] }), factsOf("openai.chat"), ["local/qwen"]],
    [
      "providers by kind",
      policyOf("cheap", { providers: ["openai"] }),
      factsOf("openai.chat"),
      ["main/gpt-old", "main/gpt-4.1-mini"],
    ],
    ["self-hosted only", policyOf("cheap", { selfHostedOnly: true }), factsOf("openai.chat"), ["local/qwen"]],
    ["a capability", policyOf("cheap", { capabilities: ["vision"] }), factsOf("openai.chat"), ["main/gpt-4.1-mini"]],
    [
      "a region that is known",
      policyOf("spare/gpt-4.1-mini", { regions: ["eu"] }),
      factsOf("openai.chat"),
      ["spare/gpt-4.1-mini"],
    ],
    ["an account in more regions than allowed", policyOf("cheap", { regions: ["eu"] }), factsOf("openai.chat"), []],
    [
      "an account in all allowed regions",
      policyOf("cheap", { regions: ["eu", "us"] }),
      factsOf("openai.chat"),
      ["local/qwen"],
    ],
    [
      "a length that can't fit",
      policyOf("cheap"),
      factsOf("openai.chat", { bodyBytes: 1_601 }),
      ["main/gpt-4.1-mini", "claude/claude-haiku-4-5", "local/qwen"],
    ],
    [
      "a length that is mostly a picture",
      policyOf("cheap"),
      factsOf("openai.chat", { bodyBytes: 1_601, holdsMedia: true }),
      ["main/gpt-old", "main/gpt-4.1-mini", "claude/claude-haiku-4-5", "local/qwen"],
    ],
    [
      "more output than a model gives",
      policyOf("cheap"),
      factsOf("openai.chat", { requestedMaxOutputTokens: 501 }),
      ["main/gpt-4.1-mini", "claude/claude-haiku-4-5", "local/qwen"],
    ],
    // gpt-4.1-mini: (1000 + 128) x 400 + 1024 x 1600 = 2,089,600; gpt-old: 1128 x 500 + 500 x 1500 = 1,314,000.
    [
      "a cost limit between two bounds",
      policyOf("cheap"),
      factsOf("openai.chat", { maxCostNanoUsd: 2_089_599n }),
      ["main/gpt-old", "local/qwen"],
    ],
    [
      "a cost limit equal to a bound",
      policyOf("cheap"),
      factsOf("openai.chat", { maxCostNanoUsd: 2_089_600n }),
      ["main/gpt-old", "main/gpt-4.1-mini", "local/qwen"],
    ],
  ])("%s", (_what, policy, facts, expected) => {
    expect(chosen(policy, facts)).toEqual(expected);
    const { routes, rejected, first, failure } = planRoutes(policy, facts, catalog);
    expect(createRoutePlanner(catalog)(policy, facts)).toMatchObject({ routes, rejected, first, failure });
    expect(first).toBe(routes[0] ?? null);
  });

  test.each<[string, string, RequestFormat, string]>([
    ["a misspelt model", "gpt-4.1-minni", "openai.chat", "UNKNOWN_MODEL"],
    ["an unknown provider", "nobody/gpt-4.1-mini", "openai.chat", "UNKNOWN_MODEL"],
    ["no model behind the slash", "main/", "openai.chat", "UNKNOWN_MODEL"],
    ["a look-alike letter", "gpt-4.1-m\u0456ni", "openai.chat", "UNKNOWN_MODEL"],
    ["a model of the other format's provider", "claude-haiku-4-5", "openai.chat", "UNKNOWN_MODEL"],
    ["a provider that makes no embeddings", "claude/claude-haiku-4-5", "openai.embeddings", "NO_ROUTE"],
    ["a model that makes no embeddings", "main/gpt-4.1-mini", "openai.embeddings", "NO_ROUTE"],
  ])("says so when it names %s", (_what, model, format, code) => {
    const plan = planRoutes(policyOf(model), factsOf(format), catalog);
    expect(plan.routes).toEqual([]);
    expect(plan.failure?.code).toBe(code);
  });

  test.each<[string, string]>([
    ["a model without a price", "main/unpriced"],
    ["an alias where only a price is missing", "broken"],
  ])("[I3] refuses %s", (_what, model) => {
    const plan = planRoutes(policyOf(model), factsOf("openai.chat"), catalog);
    expect(plan.routes).toEqual([]);
    expect(plan.failure?.code).toBe("NO_PRICE");
  });

  test("tells in words why each other route was left out", () => {
    const plan = planRoutes(
      policyOf("cheap", { capabilities: ["vision"] }),
      factsOf("openai.chat", { bodyBytes: 20_000_000 }),
      catalog,
    );
    expect(plan.rejected.map((one) => `${one.account}/${one.model}: ${one.because}`)).toEqual([
      "main/gpt-old: gpt-old lacks vision",
      "claude/claude-haiku-4-5: claude-haiku-4-5 lacks vision",
      "local/qwen: qwen lacks vision",
      "main/gpt-4.1-mini: 20000000 bytes can't fit the 1000000 tokens of gpt-4.1-mini",
    ]);
    expect(plan.failure?.code).toBe("NO_ROUTE");
  });

  test("caps the output with the alias's default, the model's own limit, or the account's default", () => {
    const caps = (model: string) =>
      planRoutes(policyOf(model), factsOf("openai.chat"), catalog).routes.map((route) => route.maxOutputTokens);
    expect(caps("cheap")).toEqual([500, 1_024, 1_024, 1_024]);
    expect(caps("main/gpt-4.1-mini")).toEqual([900]);
  });

  test("bounds the cost with the caller's cap and number of answers", () => {
    const [, mini] = planRoutes(policyOf("cheap"), factsOf("openai.chat"), catalog).routes;
    if (mini === undefined) throw new Error("expected a second route");
    // 1128 x 400 + 2 x 100 x 1600
    expect(routeMaxCostNanoUsd(mini, factsOf("openai.chat", { requestedMaxOutputTokens: 100, choices: 2 }))).toBe(
      771_200n,
    );
  });

  test("a planner works a usual plan out once and stays bounded under many names", () => {
    const plan = createRoutePlanner(catalog);
    const usual = policyOf("openai/gpt-4.1-mini");
    const first = plan(usual, factsOf("openai.chat"));
    expect(plan(usual, factsOf("openai.chat"))).toBe(first);
    for (let index = 0; index < 1_000; index += 1) plan(policyOf(`x${String(index)}`), factsOf("openai.chat"));
    expect(plan(usual, factsOf("openai.chat"))).toEqual(first);
    expect(plan(usual, factsOf("openai.chat"))).not.toBe(first);
  });
});

describe("the price of the model that answered", () => {
  const main = account("main", "openai");
  const mini = prices.models.get("openai/gpt-4.1-mini")?.price;
  if (mini === undefined || mini === null) throw new Error("expected a price");
  const asked = { model: "gpt-4.1-mini", price: mini };

  test.each<[string, string | null, string | null]>([
    ["none named", null, "2026-11-24/openai/gpt-4.1-mini"],
    ["the one that was asked", "gpt-4.1-mini", "2026-11-24/openai/gpt-4.1-mini"],
    ["its dated version", "gpt-4.1-mini-2025-04-14", "2026-11-24/openai/gpt-4.1-mini"],
    ["another listed one", "gpt-old", "2026-11-24/openai/gpt-old"],
    ["one that nobody lists", "gpt-mystery", null],
  ])("%s", (_what, answered, version) => {
    expect(answeredBy(main, asked, answered, prices).price?.version ?? null).toBe(version);
  });

  test.each<[string, string | null, boolean]>([
    ["none named", null, false],
    ["its dated version", "gpt-4.1-mini-2025-04-14", false],
    ["a version of tomorrow", "gpt-4.1-mini-2027-01-01", false],
    ["another listed one", "gpt-old", true],
    ["one that nobody lists", "gpt-mystery", true],
  ])("%s: flagged as another model is %p", (_what, answered, otherModel) => {
    expect(answeredBy(main, asked, answered, prices).otherModel).toBe(otherModel);
  });

  test("of a line of a batch is the batch's", () => {
    const inBatch = prices.models.get("openai/gpt-4.1-mini")?.batchPrice;
    if (inBatch === undefined || inBatch === null) throw new Error("expected a batch price");
    const line = { model: "gpt-4.1-mini", price: inBatch };
    const by = answeredBy(main, line, "gpt-4.1-mini-2025-04-14", prices, "batch");
    expect(by).toEqual({ price: inBatch, otherModel: false });
    expect(answeredBy(main, line, "gpt-old", prices, "batch")).toEqual({ price: null, otherModel: true });
  });

  test("with prices of the account's own: another model that they name, and one that they don't", () => {
    const own = { perMillion: { "gpt-4.1-mini": { input: "1", output: "2" }, "gpt-old": { input: "3", output: "4" } } };
    const special = account("special", "openai", { prices: own });
    expect(answeredBy(special, asked, "gpt-old-20270101", prices).price?.inputNanoPerMillion).toBe(3_000_000_000n);
    expect(answeredBy(special, asked, "gpt-mystery", prices)).toEqual({ price: null, otherModel: true });
    const local = account("local", "openai-compatible", { prices: own });
    expect(answeredBy(local, asked, "gpt-old", prices)).toMatchObject({
      price: { inputNanoPerMillion: 3_000_000_000n },
      otherModel: true,
    });
  });

  test("a server of one's own may call its model anything", () => {
    const local = account("local", "openai-compatible", { prices: { zero: true } });
    const qwen = { model: "qwen", price: ZERO_PRICE };
    expect(answeredBy(local, qwen, "/models/x.gguf", prices)).toEqual({ price: ZERO_PRICE, otherModel: false });
  });
});

describe("a context window", () => {
  const bodyOf = (bytes: number): string =>
    JSON.stringify({ model: "m", max_tokens: 1000, messages: ["x".repeat(bytes)] });
  const windowed = {
    ...catalog,
    prices: parsePriceTable({
      asOf: "2026-01-01",
      models: { "openai/small": { inputPerMTok: 1, outputPerMTok: 1, contextWindow: 8000, maxOutputTokens: 4000 } },
    }),
  };
  const planned = (bytes: number, tokens: number) => {
    let asked = 0;
    const account = windowed.accounts.find(({ facts }) => facts.kind === "openai")?.name ?? "";
    const plan = createRoutePlanner(windowed, () => {
      asked += 1;
      return tokens;
    });
    const body = bodyOf(bytes);
    const facts = readRequestFacts("openai.chat", body, Buffer.byteLength(body), null);
    const { first, rejected } = plan(policyOf(`${account}/small`), facts);
    return { fits: first !== null, because: rejected[0]?.because ?? null, asked };
  };

  test("is not asked about where the bytes alone say that a prompt fits, or that it can't", () => {
    expect(planned(12_000, 1e9)).toEqual({ fits: true, because: null, asked: 0 });
    expect(planned(200_000, 0)).toMatchObject({ fits: false, asked: 0 });
  });

  test("takes prompt and answer together", () => {
    expect(planned(30_000, 7_000)).toEqual({ fits: true, because: null, asked: 1 });
    expect(planned(30_000, 7_001)).toEqual({
      fits: false,
      because: "at least 7001 tokens of prompt and up to 1000 of answer can't fit the 8000 tokens of small",
      asked: 1,
    });
  });
});

test("a planner keeps policies apart whose texts could pass for each other", () => {
  const planner = createRoutePlanner(catalog);
  const facts = readRequestFacts("openai.chat", "{}", 2, null);
  const allowed = { ...defaultPolicy("local/qwen"), allowed: ["main"] };
  const sets = JSON.stringify([null, [], false, null, ["main"], null]);
  for (const between of ["\n", "/", " ", ""])
    expect(planner(defaultPolicy(`local/qwen${between}${sets}`), facts).failure).toBeNull();
  expect(planner(allowed, facts).rejected).toMatchObject([
    { account: "local", because: "its tenant may only use main" },
  ]);
  expect(planner(defaultPolicy("local/qwen"), facts).first).toMatchObject({ account: "local" });
});
