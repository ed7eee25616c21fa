import { describe, expect, test } from "@jest/globals";
import { parse } from "yaml";
import { DEFAULT_TOPICS, demoConfig, simulatedAccounts } from "../../src/demo/demo-config.js";
import type { DemoConfigOptions } from "../../src/demo/demo-config.js";

/** Providers in the order of trial, by alias. */
function candidatesOf(change: Pick<DemoConfigOptions, "mix" | "shopElsewhere">): Readonly<Record<string, unknown>> {
  const yaml = demoConfig({
    environment: "demo",
    topics: DEFAULT_TOPICS,
    doubt: "retry",
    accounts: simulatedAccounts({ anthropic: true, avro: true }),
    journalFolder: "/tmp/journal",
    ...change,
  });
  const { models } = parse(yaml) as { models: Record<string, { candidates: { provider: string }[] }> }; // written just above
  const orders = Object.entries(models).map(([alias, { candidates }]) => [
    alias,
    candidates.map((one) => one.provider),
  ]);
  return Object.fromEntries(orders) as Record<string, unknown>;
}

describe("the demo's aliases", () => {
  const openaiFirst = ["openai-main", "claude-main"];

  test("are one in a plain run", () => {
    expect(candidatesOf({ mix: "plain", shopElsewhere: true })).toEqual({ cheap: openaiFirst });
  });

  test("send the shop's jobs of a mixed run to the other provider, but not when the router is killed", () => {
    const elsewhere = { cheap: openaiFirst, shelf: ["claude-main", "openai-main"] };
    expect(candidatesOf({ mix: "mixed", shopElsewhere: true })).toEqual(elsewhere);
    expect(candidatesOf({ mix: "mixed", shopElsewhere: false })).toEqual({ cheap: openaiFirst, shelf: openaiFirst });
  });
});
