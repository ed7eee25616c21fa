/** Which limits of an account a call passes, and the names by which calls wait for them. */
import { describe, expect, test } from "@jest/globals";
import {
  isByKind,
  isByTier,
  limitGroups,
  scopeOf,
  scopesOf,
  type AccountLimits,
  type LimitedCall,
} from "../../src/domain/limit/limits.js";

const NONE = { requestsPerMinute: null, tokensPerMinute: null, requestsPerDay: null, tokensPerDay: null };
const CALL: LimitedCall = { model: "m", endpoint: "chat", tier: "standard" };

describe("an account with limits of models only", () => {
  const limits: AccountLimits = { ...NONE, requestsPerDay: 10, models: { big: { ...NONE, tokensPerMinute: 5 } } };

  test("a call passes those of its model and of the account, whatever its endpoint and tier", () => {
    const call: LimitedCall = { model: "big", endpoint: "embeddings", tier: "free" };
    expect(scopeOf("acme", limits, call)).toMatchObject({
      name: "acme/big",
      countsTokens: true,
      rules: [{ key: "acme/big tokens/minute" }, { key: "acme requests/day" }],
      own: [{ key: "acme/big tokens/minute" }],
    });
    expect(scopeOf("acme", limits, { ...CALL, model: "small" })).toMatchObject({ name: "acme", countsTokens: false });
  });

  test("its calls wait by the names that they always had", () => {
    expect(scopesOf("acme", limits).map(({ name }) => name)).toEqual(["acme", "acme/big"]);
  });

  test.each<[string, AccountLimits]>([
    ["no section", { ...NONE, models: {} }],
    [
      "sections that state nothing",
      { ...NONE, models: { m: NONE }, endpoints: { chat: NONE }, tiers: { standard: NONE } },
    ],
  ])("with %s nothing limits a call, whatever its model is called", (_, own) => {
    expect([CALL, { ...CALL, model: "constructor" }].map((call) => scopeOf("acme", own, call))).toEqual([null, null]);
    expect([scopesOf("acme", own), limitGroups("acme", own)]).toEqual([[], []]);
    expect([isByTier(own), isByKind(own)]).toEqual([false, false]);
  });
});

describe("an account with limits of endpoints and tiers", () => {
  const limits: AccountLimits = {
    ...{ ...NONE, requestsPerMinute: 1 },
    models: { "org/big": { ...NONE, requestsPerMinute: 2 }, empty: NONE },
    endpoints: { embeddings: { ...NONE, tokensPerMinute: 3 } },
    tiers: { free: { ...NONE, requestsPerDay: 4 }, premium: { ...NONE, requestsPerMinute: 5 } },
  };

  test.each<[Partial<LimitedCall>, string, readonly string[], readonly string[]]>([
    [{}, "acme", ["acme requests/minute"], ["acme requests/minute"]],
    [{ model: "empty" }, "acme", ["acme requests/minute"], ["acme requests/minute"]],
    [{ tier: "free" }, "acme free", ["acme free requests/day", "acme requests/minute"], ["acme requests/minute"]],
    [
      { endpoint: "embeddings", tier: "premium" },
      "acme embeddings premium",
      ["acme embeddings tokens/minute", "acme premium requests/minute", "acme requests/minute"],
      ["acme requests/minute"],
    ],
    [
      { model: "org/big", endpoint: "embeddings", tier: "free" },
      "acme/org/big embeddings free",
      [
        "acme/org/big requests/minute",
        "acme embeddings tokens/minute",
        "acme free requests/day",
        "acme requests/minute",
      ],
      ["acme/org/big requests/minute"],
    ],
  ])(
    "a call with %j passes those of %s; the provider's word is about the model or the account",
    (call, name, all, own) => {
      const scope = scopeOf("acme", limits, { ...CALL, ...call });
      expect(scope?.name).toBe(name);
      expect(scope?.rules.map(({ key }) => key)).toEqual(all);
      expect(scope?.own.map(({ key }) => key)).toEqual(own);
    },
  );

  test("every name that calls can wait by is known beforehand, each once", () => {
    const kinds = ["", " premium", " embeddings", " embeddings free", " free", " embeddings premium"];
    const expected = ["acme", "acme/org/big"].flatMap((of) => kinds.map((kind) => `${of}${kind}`));
    const names = scopesOf("acme", limits).map(({ name }) => name);
    expect([...names].sort()).toEqual([...expected].sort());
  });

  test("each limit is one of its account's, once", () => {
    const keys = limitGroups("acme", limits).map(({ name, rules }) => [name, rules.map(({ limit }) => limit)]);
    expect(keys).toEqual([
      ["acme", [1]],
      ["acme/org/big", [2]],
      ["acme embeddings", [3]],
      ["acme free", [4]],
      ["acme premium", [5]],
    ]);
  });

  test("it is asked which go by tier, and which by the day", () => {
    expect([isByTier(limits), isByKind(limits), isByKind(limits, "day"), isByKind(limits, "minute")]).toEqual([
      ...[true, true, true, true],
    ]);
    const byEndpoint: AccountLimits = { ...limits, tiers: {} };
    expect([isByTier(byEndpoint), isByKind(byEndpoint, "day"), isByKind(byEndpoint, "minute")]).toEqual([
      ...[false, false, true],
    ]);
  });
});

test("where every endpoint has its own, none waits by the account's name alone", () => {
  const endpoints = { chat: { ...NONE, requestsPerMinute: 1 }, embeddings: { ...NONE, requestsPerMinute: 1 } };
  const names = scopesOf("acme", { ...NONE, models: {}, endpoints }).map(({ name }) => name);
  expect(names).toEqual(["acme chat", "acme embeddings"]);
});

test("a limit of one tier alone leaves the others free", () => {
  const limits: AccountLimits = { ...NONE, models: {}, tiers: { free: { ...NONE, requestsPerMinute: 1 } } };
  expect(scopeOf("acme", limits, CALL)).toBeNull();
  expect(scopeOf("acme", limits, { ...CALL, tier: "free" })).toMatchObject({ name: "acme free", own: [] });
});
