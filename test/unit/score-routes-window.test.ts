import { describe, expect, test } from "@jest/globals";
import { defaultPolicy } from "../../src/domain/job/default-policy.js";
import { readRequestFacts } from "../../src/domain/route/request-facts.js";
import { RouteChooser, LISTED_ONLY } from "../../src/pipeline/dispatch/route-chooser.js";
import { UNKNOWN_CONDITIONS } from "../../src/domain/route/route-condition.js";
import { workOf } from "../support/work.js";

const { route } = workOf(1, 0);
const SMALL = { ...route, account: "small", contextTokens: 10_000, maxOutputTokens: 1_000 };
const LARGE = { ...route, account: "large", contextTokens: 100_000, maxOutputTokens: 1_000 };

/** Which route a prompt of so many bytes takes, when a tokenizer counts so many tokens. */
function chosen(bytes: number, tokens: number): { readonly account: string; readonly asked: readonly string[] } {
  const body = JSON.stringify({ model: "m", messages: [{ role: "user", content: "x".repeat(bytes) }] });
  const facts = readRequestFacts("openai.chat", body, Buffer.byteLength(body), null);
  const asked: string[] = [];
  const chooser = new RouteChooser({
    routing: LISTED_ONLY,
    conditions: UNKNOWN_CONDITIONS,
    likelyBatch: () => false,
    countPrompt: (_facts, { account }) => {
      asked.push(account);
      return tokens;
    },
  });
  const routes = [SMALL, LARGE];
  const choice = chooser.choose({
    plan: { first: SMALL, routes, rejected: [], accounts: ["small", "large"], failure: null, ruledOut: 0 },
    ...{ facts, policy: defaultPolicy("m"), mode: "direct", deadlineMs: 1e9, latestDeadlineMs: 1e9, nowMs: 0 },
    ...{ routeIndex: 0, tried: [], explain: false },
  });
  if (choice.kind !== "route") throw new Error(`expected a route, got ${choice.kind}`);
  return { account: choice.route.account, asked };
}

describe("a prompt near a window", () => {
  test("goes where the tokenizer's count says that it fits", () => {
    expect(chosen(30_000, 7_000)).toEqual({ account: "small", asked: ["small"] });
    expect(chosen(25_000, 9_500)).toEqual({ account: "large", asked: ["small"] });
  });

  test("is not counted where its bytes leave no doubt", () => {
    expect(chosen(5_000, 1e9)).toEqual({ account: "small", asked: [] });
  });
});
