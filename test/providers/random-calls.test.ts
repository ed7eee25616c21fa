import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "@jest/globals";
import { kindFacts, openProvider } from "../../src/adapters/providers/registry.js";
import type { Account } from "../../src/domain/route/catalog.js";
import type { ProviderKind } from "../../src/domain/route/route.js";
import type { Provider } from "../../src/ports/provider.js";
import type { FaultRule } from "../../src/simulator/simulator.js";
import { randomCaller, seededRandom, type MadeCall, type Target } from "../support/random-calls.js";
import { restart, rows, simulator, simulatorForEachTest } from "../support/simulator-harness.js";

const CALLS = 10_000;
const IN_FLIGHT = 64;
const TIMEOUT_MS = 8_000;
const SEED = 20_261_126;
const PRICING: unknown = JSON.parse(
  readFileSync(fileURLToPath(new URL("../../schemas/pricing.json", import.meta.url)), "utf8"),
);

/** Kinds with a share each of all calls; together a fifth. Those that hold a call until its deadline strike a few times only. */
const KINDS: readonly (readonly [FaultRule["fault"], number, FaultRule["match"]?])[] = [
  [{ kind: "status", status: 429, headers: { "retry-after": "2" } }, 0.02],
  [{ kind: "status", status: 429, headers: { "retry-after": "Fri, 27 Nov 2026 10:00:00 GMT" } }, 0.01],
  [{ kind: "status", status: 429, headers: { "retry-after": "864000" } }, 0.01],
  [{ kind: "status", status: 429 }, 0.01],
  [{ kind: "status", status: 400 }, 0.01],
  [{ kind: "status", status: 500 }, 0.02],
  [{ kind: "status", status: 502 }, 0.01],
  [{ kind: "status", status: 503 }, 0.01],
  [{ kind: "status", status: 529 }, 0.01],
  [{ kind: "html_200" }, 0.01],
  [{ kind: "redirect" }, 0.01],
  [{ kind: "drop_before" }, 0.01],
  [{ kind: "drop_after_billed" }, 0.01],
  [{ kind: "truncate" }, 0.01],
  [{ kind: "wrong_usage", how: "missing" }, 0.005],
  [{ kind: "wrong_usage", how: "negative" }, 0.005],
  [{ kind: "wrong_usage", how: "huge" }, 0.005],
  [{ kind: "wrong_usage", how: "not_a_number" }, 0.005],
  [{ kind: "wrong_usage", how: "wrong_total" }, 0.005],
  // Not at the server of one's own: what it answers with is priced as what was asked, whatever name it gives.
  [{ kind: "wrong_model" }, 0.02, { model: "gpt-4.1-mini" }],
  [{ kind: "wrong_model" }, 0.02, { model: "claude-haiku-4-5" }],
  [{ kind: "wrong_model" }, 0.02, { model: "gemini-2.5-flash" }],
  [{ kind: "empty_answer" }, 0.01],
  [{ kind: "refusal" }, 0.01],
  [{ kind: "hang", billed: true }, 0.01, { count: 20 }],
  [{ kind: "hang" }, 0.01, { count: 20 }],
  [{ kind: "trickle", bytesPerS: 20 }, 0.01, { count: 20 }],
];
const RULES: readonly FaultRule[] = KINDS.map(([fault, rate, match]) => ({ match: { rate, ...match }, fault }));
/** Only these may leave a call without a known outcome. */
const DOUBTFUL: ReadonlySet<string> = new Set([
  "drop_before",
  "drop_after_billed",
  "truncate",
  "html_200",
  "redirect",
  "hang",
  "trickle",
]);
const SUSPECT: ReadonlySet<string> = new Set(["wrong_usage"]);

const account = (name: string, kind: ProviderKind, more: Partial<Account> = {}): Account => ({
  name,
  facts: kindFacts(kind),
  regions: null,
  prices: null,
  maxOutputTokensDefault: 200,
  capabilities: null,
  ...more,
});
const ACCOUNTS: readonly Account[] = [
  account("openai-main", "openai"),
  account("claude-main", "anthropic"),
  account("gemini-main", "gemini"),
  account("own", "openai-compatible", {
    prices: { perMillion: { "own-model": { input: "0.2", output: "0.4" } } },
    capabilities: ["chat"],
  }),
];
const CHATS = ["openai.chat", "anthropic.messages", "gemini.generate"] as const;
const TARGETS: readonly Target[] = [
  { account: "openai-main", model: "gpt-4.1-mini", formats: CHATS },
  { account: "openai-main", model: "gpt-5-mini", formats: CHATS },
  { account: "claude-main", model: "claude-haiku-4-5", formats: CHATS },
  { account: "gemini-main", model: "gemini-2.5-flash", formats: CHATS },
  { account: "own", model: "own-model", formats: CHATS },
];

function baseUrlOf(kind: ProviderKind): string {
  if (kind === "anthropic") return simulator.anthropicBaseUrl;
  return kind === "gemini" ? `${simulator.url}/v1beta` : simulator.openaiBaseUrl;
}

async function providers(): Promise<ReadonlyMap<string, Provider>> {
  const opened = new Map<string, Provider>();
  for (const { name, facts } of ACCOUNTS) {
    // Serial: jest can't load two modules that share a third at the same time.
    const provider = await openProvider(facts.kind, {
      account: name,
      baseUrl: baseUrlOf(facts.kind),
      apiKey: () => "sk-test",
      connectionsMax: IN_FLIGHT,
      connectTimeoutMs: 5_000,
      idleTimeoutMs: TIMEOUT_MS,
      responseBytesMax: 1_000_000,
      nowMs: () => Date.now(),
    });
    opened.set(name, provider);
  }
  return opened;
}

async function makeCalls(): Promise<readonly MadeCall[]> {
  const made: MadeCall[] = [];
  const clients = await providers();
  const call = randomCaller(
    { accounts: ACCOUNTS, providers: clients, targets: TARGETS, pricing: PRICING, timeoutMs: TIMEOUT_MS },
    seededRandom(SEED),
  );
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < CALLS) {
      next += 1;
      // Serial within a worker: so many calls are in the air as there are workers.
      made.push(await call(next));
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  await Promise.all([...clients.values()].map((client) => client.close()));
  return made;
}

/** What the provider billed for each attempt, read from its own bill. */
function billByAttempt(): ReadonlyMap<string, bigint> {
  const bill = new Map<string, bigint>();
  for (const row of rows()) {
    const attempt = row.attempt ?? "none";
    expect(bill.has(attempt)).toBe(false);
    bill.set(attempt, BigInt(row.nanoUsd));
  }
  return bill;
}

simulatorForEachTest();

describe("10,000 random calls, a fifth of them struck by a fault", () => {
  test("[G9] [G10] [I5] every bill row matches its attempt to the nano-dollar, the rest is in doubt or suspect within its bound", async () => {
    await restart({
      seed: SEED,
      models: { "own-model": { inputPerMTok: "0.2", outputPerMTok: "0.4" } },
      faults: RULES,
    });
    const made = await makeCalls();
    const fired = simulator.stats().faults;
    const bill = billByAttempt();
    const wrong: string[] = [];
    let open = 0;
    let suspect = 0;
    for (const { attemptId, finished, maxNanoUsd } of made) {
      const billed = bill.get(attemptId) ?? 0n;
      const isDoubt = finished.verdict.kind === "doubt";
      if (isDoubt) open += 1;
      else if (finished.nanoUsd === null) suspect += 1;
      const holds = isDoubt || finished.nanoUsd === null ? billed <= maxNanoUsd : billed === finished.nanoUsd;
      if (!holds)
        wrong.push(
          `${attemptId} ${finished.outcome}: billed ${String(billed)}, booked ${String(finished.nanoUsd)}, at most ${String(maxNanoUsd)}`,
        );
    }
    const sumOf = (kinds: ReadonlySet<string>): number =>
      Object.entries(fired).reduce((sum, [kind, count]) => (kinds.has(kind) ? sum + count : sum), 0);
    const attempts = new Set(made.map(({ attemptId }) => attemptId));
    process.stdout.write(
      `${JSON.stringify({ calls: made.length, billRows: bill.size, faults: sumOf(new Set(Object.keys(fired))), open, suspect, fired })}\n`,
    );
    expect(wrong).toEqual([]);
    expect(made.length).toBe(CALLS);
    expect([...bill.keys()].filter((attempt) => !attempts.has(attempt))).toEqual([]);
    // Not vacuous: every kind struck, and about a fifth of the calls.
    for (const [fault] of KINDS) expect(fired[fault.kind]).toBeGreaterThanOrEqual(20);
    expect(sumOf(new Set(Object.keys(fired)))).toBeGreaterThanOrEqual(CALLS * 0.18);
    expect(open).toBeGreaterThan(0);
    expect(open).toBeLessThanOrEqual(sumOf(DOUBTFUL));
    expect(suspect).toBeLessThanOrEqual(sumOf(SUSPECT));
  }, 120_000);
});
