import { describe, expect, test } from "@jest/globals";
import { headroomBy, type LimitReading } from "../../src/domain/limit/limit-standing.js";
import { scopeOf, type LimitScope } from "../../src/domain/limit/limits.js";

const NOW_MS = 1_800_000_000_000;
const NONE = { requestsPerMinute: null, tokensPerMinute: null, requestsPerDay: null, tokensPerDay: null };
const SCOPE = scopeOf(
  "main",
  { ...NONE, requestsPerMinute: 60, tokensPerMinute: 1000, models: {} },
  { model: "m", endpoint: "chat", tier: "standard" },
) as LimitScope;
const kept = (requests: Partial<LimitReading>, tokens: Partial<LimitReading>) =>
  new Map([
    ["main requests/minute", { learned: null, factor: 1, used: 0, ...requests }],
    ["main tokens/minute", { learned: null, factor: 1, used: 0, ...tokens }],
  ]);

describe("what shared limits leave to a call of 100 tokens", () => {
  test.each<[string, ReadonlyMap<string, LimitReading> | null, number, object]>([
    ["nothing used", new Map(), 0, { kind: "go" }],
    ["nothing known", null, 0, { kind: "go" }],
    ["just enough", kept({ used: 59 }, { used: 900 }), 0, { kind: "go" }],
    // A tenth of a minute's tokens come back in 6 s, one of 60 requests in 1 s.
    [
      "one token too few",
      kept({}, { used: 901 }),
      0,
      { kind: "wait", limit: "main tokens/minute", runAtMs: NOW_MS + 6000 },
    ],
    ["no request left", kept({ used: 60 }, {}), 0, { kind: "wait", limit: "main requests/minute" }],
    ["a tightened limit", kept({}, { used: 401, factor: 0.5 }), 0, { kind: "wait", limit: "main tokens/minute" }],
    ["others that wait", new Map(), 2, { kind: "wait", limit: "main", runAtMs: NOW_MS + 18_000 }],
    ["others that wait, though nothing is known", null, 1, { kind: "wait", limit: "main" }],
    ["a learned limit that is too small", kept({}, { learned: 99 }), 0, { kind: "never" }],
  ])("with %s", (_what, readings, waiting, expected) => {
    expect(headroomBy(SCOPE, 100, readings, waiting, NOW_MS)).toMatchObject(expected);
  });

  test("and of one that never fits it says which limit is too small", () => {
    expect(headroomBy(SCOPE, 1001, null, 0, NOW_MS)).toEqual({
      kind: "never",
      because: "the call counts 1001 tokens, main tokens/minute allows 1000 in all",
    });
  });
});
