import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { kindFacts } from "../../src/adapters/providers/registry.js";
import { parsePriceTable } from "../../src/domain/cost/price-table.js";
import { defaultPolicy } from "../../src/domain/job/default-policy.js";
import type { RequestFormat } from "../../src/domain/job/job.js";
import type { Account, Catalog } from "../../src/domain/route/catalog.js";
import { planRoutes } from "../../src/domain/route/plan-routes.js";
import { readRequestFacts } from "../../src/domain/route/request-facts.js";

/** What single models refuse is a routing reason in words, in the provider's own format and in a translated one. */

const account = (kind: string): Account => ({
  name: kind,
  facts: kindFacts(kind),
  regions: null,
  prices: null,
  maxOutputTokensDefault: 500,
  capabilities: null,
});

const catalog: Catalog = {
  prices: parsePriceTable(readFileSync("schemas/pricing.json", "utf8")),
  accounts: ["openai", "anthropic", "gemini"].map(account),
  aliases: [],
};

/** Null: the model may be asked. */
function reasonAgainst(model: string, format: RequestFormat, body: unknown): string | null {
  const text = JSON.stringify(body);
  const plan = planRoutes(defaultPolicy(model), readRequestFacts(format, text, Buffer.byteLength(text), null), catalog);
  return plan.failure === null ? null : (plan.rejected[0]?.because ?? plan.failure.message);
}

const HI = [{ role: "user", content: "Hi" }];
const openai = (more: object) => ({ messages: HI, ...more });
const anthropic = (more: object) => ({ messages: HI, max_tokens: 4096, ...more });
const gemini = (generationConfig: object) => ({ contents: [{ parts: [{ text: "Hi" }] }], generationConfig });
const thinks = (thinkingConfig: object) => gemini({ thinkingConfig });
const effort = (word: string) => anthropic({ output_config: { effort: word } });
const budget = (budget_tokens: number) => anthropic({ thinking: { type: "enabled", budget_tokens } });

type Row = readonly [model: string, what: string, body: unknown, reason: string | null];

function walk(format: RequestFormat, kind: string, rows: readonly Row[]): void {
  test.each(rows)(`${format}: %s, %s`, (model, _what, body, reason) => {
    expect(reasonAgainst(`${kind}/${model}`, format, body)).toBe(reason);
  });
}

describe("OpenAI's models", () => {
  walk("openai.chat", "openai", [
    ["gpt-4.1", "a temperature", openai({ temperature: 0.2 }), null],
    ["gpt-5-mini", "a temperature", openai({ temperature: 0.2 }), "gpt-5-mini takes no temperature"],
    ["gpt-5-mini", "the temperature that it has anyway", openai({ temperature: 1, top_p: 1.0 }), null],
    ["gpt-5-mini", "a temperature of null", openai({ temperature: null }), null],
    [
      "o3",
      "all that chooses tokens",
      openai({ presence_penalty: 1, frequency_penalty: 0, logprobs: true, logit_bias: { 1: 2 } }),
      "o3 takes no presence_penalty, logprobs, logit_bias",
    ],
    ["o3", "what changes nothing", openai({ logprobs: false, logit_bias: {}, presence_penalty: 0 }), null],
    ["gpt-5.1", "a temperature: it does not reason untold", openai({ temperature: 0.2 }), null],
    [
      "gpt-5.1",
      "a temperature while it reasons",
      openai({ temperature: 0.2, reasoning_effort: "low" }),
      "gpt-5.1 takes no temperature",
    ],
    ["gpt-6-sol", "a temperature: it reasons untold", openai({ temperature: 0.2 }), "gpt-6-sol takes no temperature"],
    ["gpt-6-sol", "a temperature without reasoning", openai({ temperature: 0.2, reasoning_effort: "none" }), null],
    [
      "gpt-4.1-mini",
      "an effort",
      openai({ reasoning_effort: "low" }),
      "gpt-4.1-mini does not reason: it takes no effort, level or budget for it",
    ],
    [
      "gpt-5-2025-08-07",
      "no effort at all",
      openai({ reasoning_effort: "none" }),
      "gpt-5-2025-08-07 takes the reasoning efforts minimal, low, medium, high, not none",
    ],
    ["gpt-5", "little effort", openai({ reasoning_effort: "minimal" }), null],
    [
      "gpt-5.1",
      "little effort",
      openai({ reasoning_effort: "minimal" }),
      "gpt-5.1 takes the reasoning efforts none, low, medium, high, not minimal",
    ],
    ["gpt-5.6-luna", "the most effort", openai({ reasoning_effort: "max" }), null],
  ]);
  walk("anthropic.messages", "openai", [
    ["gpt-5-mini", "a temperature", anthropic({ temperature: 0.2 }), "gpt-5-mini takes no temperature"],
    [
      "o3",
      "thinking switched off",
      anthropic({ thinking: { type: "disabled" } }),
      "o3 takes the reasoning efforts low, medium, high, not none",
    ],
  ]);
});

describe("Anthropic's models", () => {
  walk("anthropic.messages", "anthropic", [
    ["claude-haiku-4-5", "a temperature", anthropic({ temperature: 0 }), null],
    ["claude-opus-4-8", "a temperature", anthropic({ temperature: 0 }), "claude-opus-4-8 takes no temperature"],
    ["claude-opus-4-8", "the temperature that it has anyway", anthropic({ temperature: 1, top_p: 0.99 }), null],
    [
      "claude-opus-4-8",
      "a top_k of 1, which is not neutral",
      anthropic({ top_k: 1 }),
      "claude-opus-4-8 takes no top_k",
    ],
    ["claude-haiku-4-5", "an effort", effort("low"), "claude-haiku-4-5 takes no reasoning effort or level"],
    ["claude-opus-4-5", "an effort", effort("high"), null],
    [
      "claude-opus-4-5",
      "the most effort",
      effort("max"),
      "claude-opus-4-5 takes the reasoning efforts low, medium, high, not max",
    ],
    ["claude-sonnet-4-6", "the most effort", effort("max"), null],
    ["claude-haiku-4-5", "a budget", budget(1024), null],
    ["claude-opus-5", "a budget", budget(1024), "claude-opus-5 takes no thinking budget"],
    ["claude-opus-5", "adaptive thinking", anthropic({ thinking: { type: "adaptive" } }), null],
    [
      "claude-sonnet-4-5",
      "adaptive thinking",
      anthropic({ thinking: { type: "adaptive" } }),
      "claude-sonnet-4-5 takes no adaptive thinking",
    ],
    ["claude-3-5-haiku-20241022", "thinking switched off", anthropic({ thinking: { type: "disabled" } }), null],
    [
      "claude-3-5-haiku-20241022",
      "a budget",
      budget(1024),
      "claude-3-5-haiku-20241022 does not reason: it takes no effort, level or budget for it",
    ],
    [
      "claude-3-5-haiku-20241022",
      "a schema",
      anthropic({ output_config: { format: { type: "json_schema", schema: {} } } }),
      "the request needs json_schema, which claude-3-5-haiku-20241022 lacks",
    ],
  ]);
  walk("openai.chat", "anthropic", [
    [
      "claude-haiku-4-5",
      "an effort",
      openai({ reasoning_effort: "low" }),
      "claude-haiku-4-5 takes no reasoning effort or level",
    ],
    ["claude-opus-5", "an effort", openai({ reasoning_effort: "low" }), null],
  ]);
});

describe("Gemini's models", () => {
  walk("gemini.generate", "gemini", [
    [
      "gemini-2.5-pro",
      "a level",
      thinks({ thinkingLevel: "LOW" }),
      "gemini-2.5-pro takes no reasoning effort or level",
    ],
    ["gemini-2.5-pro", "a budget", thinks({ thinkingBudget: 128 }), null],
    [
      "gemini-2.5-pro",
      "a budget that is too small",
      { contents: [], generation_config: { thinking_config: { thinking_budget: 127 } } },
      "gemini-2.5-pro takes a thinking budget of 128 to 32768 tokens, not 127",
    ],
    [
      "gemini-2.5-pro",
      "thinking switched off",
      thinks({ thinkingBudget: 0 }),
      "gemini-2.5-pro can't be told not to reason",
    ],
    ["gemini-2.5-flash", "thinking switched off", thinks({ thinkingBudget: 0 }), null],
    ["gemini-2.5-flash", "thinking left to it", thinks({ thinkingBudget: -1 }), null],
    [
      "gemini-2.5-flash-lite-001",
      "a level in small letters",
      thinks({ thinkingLevel: "low" }),
      "gemini-2.5-flash-lite-001 takes no reasoning effort or level",
    ],
    ["gemini-3.1-flash-lite", "the least level", thinks({ thinkingLevel: "MINIMAL" }), null],
    [
      "gemini-3.1-pro-preview",
      "the least level",
      thinks({ thinkingLevel: "MINIMAL" }),
      "gemini-3.1-pro-preview takes the reasoning efforts low, medium, high, not minimal",
    ],
    ["gemini-3.5-flash", "a budget, as before", thinks({ thinkingBudget: 2048 }), null],
    [
      "gemini-3.5-flash",
      "thinking switched off",
      thinks({ thinkingBudget: 0 }),
      "gemini-3.5-flash can't be told not to reason",
    ],
    [
      "gemini-3.8-flash",
      "a temperature, even a neutral one",
      gemini({ temperature: 1 }),
      "gemini-3.8-flash takes no temperature",
    ],
  ]);
  walk("openai.chat", "gemini", [
    [
      "gemini-2.5-flash",
      "an effort",
      openai({ reasoning_effort: "low" }),
      "gemini-2.5-flash takes no reasoning effort or level",
    ],
    ["gemini-3-flash-preview", "an effort", openai({ reasoning_effort: "low" }), null],
    [
      "gemini-3-flash-preview",
      "no effort at all",
      openai({ reasoning_effort: "none" }),
      "gemini-3-flash-preview can't be told not to reason",
    ],
  ]);
  walk("anthropic.messages", "gemini", [
    ["gemini-2.5-flash-lite", "a budget", budget(1024), null],
    [
      "gemini-2.5-flash-lite",
      "a budget that is too large",
      anthropic({ max_tokens: 40_000, thinking: { type: "enabled", budget_tokens: 30_000 } }),
      "gemini-2.5-flash-lite takes a thinking budget of 512 to 24576 tokens, not 30000",
    ],
  ]);
});
