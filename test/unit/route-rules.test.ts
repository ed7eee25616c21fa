import { describe, expect, test } from "@jest/globals";
import { createAdmission, type JobAdmission } from "../../src/domain/job/admit.js";
import { DEFAULT_ROUTING_TERMS, type RoutingTerms } from "../../src/domain/job/admission-settings.js";
import {
  judgeRules,
  reasonOfRules,
  ruleFactor,
  type RouteRule,
  type RuleMatch,
} from "../../src/domain/route/route-rules.js";
import { ChainWeights, DEFAULT_WEIGHT_FACTORS } from "../../src/domain/route/score-weights.js";
import { isTimeZone, isWithin, type WeekHours } from "../../src/domain/route/week-hours.js";
import { BODY, jobIn, NOW_MS, record, settings } from "./job-admission-fixture.js";

const OFFICE: WeekHours = {
  timeZone: "Europe/Zurich",
  days: ["mon", "tue", "wed", "thu", "fri"],
  from: "08:00",
  to: "18:00",
};

describe("hours of the week", () => {
  test.each<[what: string, hours: Partial<WeekHours>, at: string, within: boolean]>([
    ["Friday in winter time, a minute before", {}, "2026-03-27T06:59:59Z", false],
    ["Friday in winter time, the first second", {}, "2026-03-27T07:00:00Z", true],
    ["Monday in summer time, a minute before", {}, "2026-03-30T05:59:59Z", false],
    ["Monday in summer time, the first second", {}, "2026-03-30T06:00:00Z", true],
    ["the last second", {}, "2026-03-30T15:59:59Z", true],
    ["the end", {}, "2026-03-30T16:00:00Z", false],
    ["Saturday", {}, "2026-03-28T10:00:00Z", false],
    ["New York before its change, three weeks earlier", { timeZone: "America/New_York" }, "2026-03-06T13:00:00Z", true],
    ["New York after it", { timeZone: "America/New_York" }, "2026-03-09T12:00:00Z", true],
    ["New York after it, an hour earlier", { timeZone: "America/New_York" }, "2026-03-09T11:59:59Z", false],
    ["a zone of half an hour", { timeZone: "Asia/Kolkata" }, "2026-03-30T02:30:00Z", true],
    ["a zone of half an hour, before", { timeZone: "Asia/Kolkata" }, "2026-03-30T02:29:59Z", false],
    ["Monday there while it is Sunday in London", { timeZone: "Pacific/Auckland" }, "2026-11-29T20:00:00Z", true],
    ["Saturday there while it is Friday in London", { timeZone: "Pacific/Auckland" }, "2026-11-27T20:00:00Z", false],
    ["past midnight, the evening", { days: ["fri"], from: "22:00", to: "06:00" }, "2026-11-27T21:00:00Z", true],
    ["past midnight, the morning", { days: ["fri"], from: "22:00", to: "06:00" }, "2026-11-28T04:59:59Z", true],
    ["past midnight, its end", { days: ["fri"], from: "22:00", to: "06:00" }, "2026-11-28T05:00:00Z", false],
    ["past midnight, the next evening", { days: ["fri"], from: "22:00", to: "06:00" }, "2026-11-28T21:00:00Z", false],
    ["past midnight from Sunday", { days: ["sun"], from: "22:00", to: "06:00" }, "2026-11-30T04:00:00Z", true],
  ])("%s", (_what, hours, at, within) => {
    expect(isWithin({ ...OFFICE, ...hours }, Date.parse(at))).toBe(within);
  });

  test.each([
    ["an hour is left out in spring", "2026-03-28T23:00:00Z", 2],
    ["an hour comes twice in autumn", "2026-10-24T22:00:00Z", 4],
  ])("%s, and a span over it is as long as the clock shows", (_what, from, hours) => {
    const night: WeekHours = { ...OFFICE, days: ["sun"], from: "01:00", to: "04:00" };
    const minutes = Array.from({ length: 24 * 60 }, (_, no) => isWithin(night, Date.parse(from) + no * 60_000));
    expect(minutes.filter(Boolean).length).toBe(hours * 60);
  });

  test("one span asked about two times, and back, answers each", () => {
    const [inside, outside] = [Date.parse("2026-03-30T08:00:00Z"), Date.parse("2026-03-30T20:00:00Z")];
    expect([inside, outside, inside].map((atMs) => isWithin(OFFICE, atMs))).toEqual([true, false, true]);
  });

  test("a time zone is one or is not", () => {
    expect(["Europe/Zurich", "UTC", "Mars/Base", ""].map(isTimeZone)).toEqual([true, true, false, false]);
  });
});

const ANY: RuleMatch = {
  tenants: [],
  tiers: [],
  models: [],
  labels: {},
  bytesMin: 0,
  bytesMax: 1_000_000,
  tokensMin: 0,
  tokensMax: 1_000_000,
  time: null,
};
const rule = (name: string, match: Partial<RuleMatch>, more: Partial<RouteRule> = {}): RouteRule => ({
  name,
  match: { ...ANY, ...match },
  effect: { kind: "forbid", routes: ["openai"] },
  ...more,
});
const JOB = {
  tenant: "acme",
  tier: "standard",
  model: "cheap",
  labels: { department: "risk" },
  bodyText: "x".repeat(300),
};

describe("a rule speaks of a job", () => {
  test.each<[what: string, match: Partial<RuleMatch>, speaks: boolean]>([
    ["with nothing said", {}, true],
    ["of its tenant", { tenants: ["shop", "acme"] }, true],
    ["of other tenants only", { tenants: ["shop"] }, false],
    ["of its tier", { tiers: ["standard"] }, true],
    ["of other tiers only", { tiers: ["free", "premium"] }, false],
    ["of its model", { models: ["cheap"] }, true],
    ["of other models only", { models: ["dear"] }, false],
    ["with its label", { labels: { department: "risk" } }, true],
    ["with another value of the label", { labels: { department: "sales" } }, false],
    ["with one label of two", { labels: { department: "risk", application: "kyc" } }, false],
    ["with a label that every object has", { labels: { constructor: "x" } }, false],
    ["from its size up", { bytesMin: 300 }, true],
    ["from a larger size up", { bytesMin: 301 }, false],
    ["up to its size", { bytesMax: 300 }, true],
    ["up to a smaller size", { bytesMax: 299 }, false],
    ["from its tokens up", { tokensMin: 100 }, true],
    ["from more tokens up", { tokensMin: 101 }, false],
    ["up to fewer tokens", { tokensMax: 99 }, false],
    ["at this time", { time: OFFICE }, true],
    ["at another time", { time: { ...OFFICE, days: ["sat"] } }, false],
    ["of its tenant, but not of its tier", { tenants: ["acme"], tiers: ["free"] }, false],
  ])("%s", (_what, match, speaks) => {
    const found = judgeRules([rule("r", match)], JOB, Date.parse("2026-03-30T08:00:00Z"));
    expect(found).toEqual(speaks ? [{ rule: "r", effect: { kind: "forbid", routes: ["openai"] } }] : null);
  });

  test("all that match hold, in their order", () => {
    const rules = [rule("a", {}), rule("b", { tiers: ["free"] }), rule("c", {})];
    expect(judgeRules(rules, JOB, NOW_MS)?.map(({ rule: name }) => name)).toEqual(["a", "c"]);
  });
});

describe("what rules do to a route", () => {
  const force = { rule: "home", effect: { kind: "force", routes: ["cellar", "openai/gpt-mini"] } } as const;
  const forbid = { rule: "not-that", effect: { kind: "forbid", routes: ["openai/gpt-big"] } } as const;
  const half = { rule: "rather", effect: { kind: "weight", routes: ["claude"], factor: 0.5 } } as const;
  const third = { rule: "less", effect: { kind: "weight", routes: ["claude/haiku"], factor: 0.25 } } as const;

  test.each([
    ["cellar", "any", null],
    ["openai", "gpt-mini", null],
    ["openai", "gpt-big", "the rule home allows only cellar, openai/gpt-mini"],
    ["claude", "haiku", "the rule home allows only cellar, openai/gpt-mini"],
  ])("forced ones: %s/%s", (account, model, because) => {
    expect(reasonOfRules([half, force], account, model)).toBe(because);
  });

  test("a forbidden one is only that model of the account", () => {
    expect(reasonOfRules([forbid], "openai", "gpt-big")).toBe("the rule not-that forbids it");
    expect(reasonOfRules([forbid], "openai", "gpt-mini")).toBeNull();
    expect(reasonOfRules([forbid], "openai-two", "gpt-big")).toBeNull();
  });

  test("weights multiply", () => {
    expect(ruleFactor([half, third, forbid], "claude", "haiku")).toBe(0.125);
    expect(ruleFactor([half, third], "claude", "opus")).toBe(0.5);
    expect(ruleFactor(undefined, "claude", "opus")).toBe(1);
  });
});

describe("weights", () => {
  const night = Date.parse("2026-03-30T20:00:00Z");
  const noon = Date.parse("2026-03-30T10:00:00Z");
  const businessHours = { hours: OFFICE, latencyFactor: 2, offPeakCostFactor: 3 };
  const chains = { own: { cost: 1, latency: 2, reliability: 4 }, fast: { cost: 0, latency: 1, reliability: 0 } };
  const timed = new ChainWeights(chains, { ...DEFAULT_WEIGHT_FACTORS, businessHours });
  const plain = new ChainWeights(chains, DEFAULT_WEIGHT_FACTORS);

  test.each([
    ["a chain of one's own", plain, "own", "standard", noon, [1, 2, 4]],
    ["a built-in one", plain, "cost", "standard", noon, [8, 1, 1]],
    ["a built-in one with other weights", plain, "fast", "standard", noon, [0, 1, 0]],
    ["one that is gone", plain, "gone", "standard", noon, [4, 3, 3]],
    ["one that every object has", plain, "constructor", "standard", noon, [4, 3, 3]],
    ["premium: better and more reliable", plain, "own", "premium", noon, [0.5, 3, 8]],
    ["free: cheaper", plain, "own", "free", noon, [3, 1, 2]],
    ["in business hours", timed, "own", "standard", noon, [1, 4, 4]],
    ["outside of them", timed, "own", "standard", night, [3, 2, 4]],
    ["premium, outside of them", timed, "own", "premium", night, [1.5, 3, 8]],
  ] as const)("%s", (_what, weights, chain, tier, nowMs, expected) => {
    const { cost, latency, reliability } = weights.of(chain, tier, nowMs);
    expect([cost, latency, reliability]).toEqual(expected);
  });
});

describe("what a job is accepted with", () => {
  const admission = (routing: Partial<RoutingTerms>, providers?: readonly string[]): JobAdmission =>
    createAdmission(
      settings({
        routing: { ...DEFAULT_ROUTING_TERMS, ...routing },
        tenants: new Map([
          ["acme", { tier: "premium", replyTopics: [], ...(providers === undefined ? {} : { providers }) }],
        ]),
      }),
    );
  const job = (more: object, routing: Partial<RoutingTerms> = {}, providers?: readonly string[]) =>
    jobIn(admission(routing, providers).admit(record({ jobId: "a", body: BODY, ...more }), NOW_MS));
  const plain = job({});

  test("nothing more than before, where nothing of it is used: keys stay as they are", () => {
    expect(Object.keys(plain.policy).sort()).toEqual([
      ...["capabilities", "chain", "expect", "model", "onDoubt", "providers", "regions", "selfHostedOnly"],
    ]);
    expect(job({}, { rules: [rule("r", { tenants: ["shop"] })], scored: new Set(["dear"]) }).executionKey).toEqual(
      plain.executionKey,
    );
  });

  test("rules that spoke of it, which are part of its key", () => {
    const ruled = job({}, { rules: [rule("r", {})] });
    expect(ruled.policy.rules).toEqual([{ rule: "r", effect: { kind: "forbid", routes: ["openai"] } }]);
    const others = [
      plain,
      job({}, { rules: [rule("r2", {})] }),
      job({}, { rules: [rule("r", {}, { effect: { kind: "force", routes: ["openai"] } })] }),
      job({}, { rules: [rule("r", {}, { effect: { kind: "forbid", routes: ["claude"] } })] }),
      job({}, { rules: [rule("r", {}, { effect: { kind: "weight", routes: ["openai"], factor: 2 } })] }),
      job({}, { rules: [rule("r", {}, { effect: { kind: "weight", routes: ["openai"], factor: 3 } })] }),
      job({}, {}, ["openai"]),
      job({ require: { maxLatencyMs: 2000 } }),
      job({}, { scored: new Set(["cheap"]) }),
    ];
    const keys = [ruled, ...others].map(({ executionKey }) => executionKey.toString("hex"));
    expect(new Set(keys).size).toBe(keys.length);
  });

  test("the accounts of its tenant, its latency, and its tier where candidates are compared", () => {
    const { policy } = job({ require: { maxLatencyMs: 2000 } }, { scored: new Set(["cheap"]) }, ["claude", "openai"]);
    expect(policy).toMatchObject({ allowed: ["claude", "openai"], maxLatencyMs: 2000, tier: "premium" });
    expect(job({ tier: "standard" }, { scored: new Set(["cheap"]) }).policy).not.toHaveProperty("tier");
  });

  test("its tier where an account has limits by tier, which then is part of its key", () => {
    const limited = job({}, { limitsByTier: true });
    expect(limited.policy).toEqual({ ...plain.policy, tier: "premium" });
    const standard = job({ tier: "standard" }, { limitsByTier: true });
    expect(standard.executionKey).toEqual(plain.executionKey);
    expect(job({ tier: "free" }, { limitsByTier: true }).executionKey).not.toEqual(limited.executionKey);
    expect(job({ tier: "free" }).executionKey).toEqual(plain.executionKey);
  });

  test("a chain of the config; another is refused by name", () => {
    const chains = new Set(["standard", "own"]);
    expect(job({ chain: "own" }, { chains }).policy.chain).toBe("own");
    expect(admission({ chains }).admit(record({ jobId: "a", body: BODY, chain: "fast" }), NOW_MS)).toMatchObject({
      kind: "refused",
      refusal: {
        code: "BAD_JOB",
        message: 'chain: expected one of standard, own, got "fast"',
        identity: { jobId: "a" },
      },
    });
  });
});
