/** What `limits ls` says of each limit. */
import { describe, expect, test } from "@jest/globals";
import { limitReading } from "../../src/adapters/redis/redis-limit-store.js";
import { limitLines, type SharedLimits } from "../../src/app/operator/list-limits.js";
import { limitCells, sharedNote } from "../../src/cli/commands/limits.js";
import { limitStanding } from "../../src/domain/limit/limit-standing.js";

const NONE = { requestsPerMinute: null, tokensPerMinute: null, requestsPerDay: null, tokensPerDay: null };
const ACCOUNTS = {
  main: {
    limits: {
      ...{ ...NONE, concurrency: 8, requestsPerMinute: 600, tokensPerMinute: 90_000 },
      models: { "big/one": { ...NONE, requestsPerDay: 50 } },
    },
  },
  spare: { limits: { ...NONE, concurrency: 2, models: {} } },
};
const RULE = {
  key: "main requests/minute",
  subject: { model: null, endpoint: null, tier: null },
  unit: "requests",
  window: "minute",
  limit: 600,
} as const;
const WAITING = new Map([
  ["main", { rows: 12, sinceMs: Date.UTC(2026, 10, 30, 8) }],
  ["main/big/one", { rows: 1, sinceMs: null }],
]);

describe("limits are listed in the config's order", () => {
  test("with what Redis knows of them; one that nobody used of late holds as it is stated", () => {
    const readings = new Map([
      ["main requests/minute", { learned: 500, factor: 1, used: 125 }],
      ["main tokens/minute", { learned: null, factor: 0.5, used: 45_000 }],
    ]);
    const shared: SharedLimits = { kind: "read", readings };
    expect(limitLines(ACCOUNTS, shared, WAITING).flatMap(limitCells)).toEqual([
      ["main", "requests/minute", "600", "500", "learned", "25.0 %", "12", "2026-11-30T08:00:00Z"],
      ["main", "tokens/minute", "90000", "45000", "tightened", "100.0 %", "-", "-"],
      ["main", "concurrency", "8 a router", "-", "-", "-", "-", "-"],
      ["main/big/one", "requests/day", "50", "50", "stated", "0.0 %", "1", "-"],
      ["spare", "concurrency", "2 a router", "-", "-", "-", "-", "-"],
    ]);
  });

  test("those of endpoints and tiers behind those of models, and what waits for several of them by itself", () => {
    const limits = {
      ...{ ...NONE, concurrency: 8, requestsPerMinute: 600, models: {} },
      endpoints: { embeddings: { ...NONE, requestsPerMinute: 60 } },
      tiers: { free: { ...NONE, requestsPerMinute: 6 } },
    };
    const waiting = new Map([
      ["main free", { rows: 3, sinceMs: null }],
      ["main embeddings free", { rows: 4, sinceMs: null }],
    ]);
    const lines = limitLines({ main: { limits } }, { kind: "read", readings: new Map() }, waiting);
    expect(lines.flatMap(limitCells)).toEqual([
      ["main", "requests/minute", "600", "600", "stated", "0.0 %", "-", "-"],
      ["main", "concurrency", "8 a router", "-", "-", "-", "-", "-"],
      ["main embeddings", "requests/minute", "60", "60", "stated", "0.0 %", "-", "-"],
      ["main free", "requests/minute", "6", "6", "stated", "0.0 %", "3", "-"],
      ["main embeddings free", "all of these", "-", "-", "-", "-", "4", "-"],
    ]);
    expect(lines.at(-1)).toMatchObject({ account: "main", model: null, endpoint: "embeddings", tier: "free" });
  });

  test("without Redis with what the config and the ledger know, and no number is made up", () => {
    const lines = limitLines(ACCOUNTS, { kind: "not_configured" }, WAITING);
    expect(lines.flatMap(limitCells)[0]).toEqual([
      ...["main", "requests/minute", "600", "not known", "-", "-", "12", "2026-11-30T08:00:00Z"],
    ]);
    expect(lines[0]?.limits[0]).toEqual({
      ...{ rule: RULE, state: null, learned: null, holds: null, used: null, usedShare: null },
    });
  });
});

describe("what is read of a bucket in Redis", () => {
  const nowMs = 1_000_000_000;
  const kept = { born: "1", at: String(nowMs - 30_000), learned: "-1", factor: "0.5", sum: "99", saver: "s1 main" };

  test("counts the slots within the last minute only, and what has grown back since", () => {
    const slots = { s9999999: "3", s9999401: "4", s9999400: "50", s12: "50" };
    const reading = limitReading(RULE, { ...kept, ...slots }, nowMs);
    expect(reading).toEqual({ learned: null, factor: expect.closeTo(0.8) as unknown, used: 7 });
    expect(limitStanding(RULE, reading).holds).toBe(480);
  });

  test("a provider's word counts where it is less than what is stated", () => {
    expect(limitReading(RULE, { ...kept, learned: "500" }, nowMs).learned).toBe(500);
    expect(limitReading(RULE, { ...kept, learned: "600" }, nowMs).learned).toBeNull();
  });
});

test("what can't be told is said, with its reason", () => {
  const lines = limitLines(ACCOUNTS, { kind: "not_configured" }, new Map());
  expect(sharedNote({ shared: "read", because: null, lines })).toBeNull();
  expect(sharedNote({ shared: "not_configured", because: null, lines })).toMatch(/^redis\.url is not set/);
  expect(sharedNote({ shared: "not_reached", because: "refused", lines })).toMatch(
    /^Redis can't be reached \(refused\)/,
  );
  expect(sharedNote({ shared: "read", because: null, lines: lines.slice(2) })).toMatch(/^no rate limit/);
});
