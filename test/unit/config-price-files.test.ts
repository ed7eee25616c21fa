import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { PROVIDER_KINDS } from "../../src/adapters/providers/registry.js";
import { buildCatalog } from "../../src/app/build-domain.js";
import { unpricedBatches } from "../../src/app/unpriced-batches.js";
import { loadConfig } from "../../src/config/load.js";
import { PriceTableError } from "../../src/domain/cost/price-table.js";
import { modelFacts } from "../../src/domain/route/catalog.js";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-prices-"));
  mkdirSync(join(folder, "prices"));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function catalogOf(prices: string) {
  const file = join(folder, "sluice.yaml");
  const lines = [
    "environment: test",
    "kafka: { brokers: ['127.0.0.1:9092'] }",
    "postgres: { url: 'postgres://127.0.0.1/sluice' }",
    "auth: { tenantFrom: body }",
    "tenants: { acme: {} }",
    "providers:",
    "  listed: { kind: openai, apiKey: '${KEY}' }",
    `  special: { kind: openai, apiKey: '\${KEY}', prices: ${prices} }`,
    `  local: { kind: openai-compatible, baseUrl: 'http://127.0.0.1:1', prices: ${prices} }`,
  ];
  writeFileSync(file, lines.join("\n"));
  return buildCatalog(loadConfig(file, { KEY: "k" }, PROVIDER_KINDS));
}

test("an account's own price file is found beside the config, and prices that account alone", () => {
  const own = {
    asOf: "2027-01-01",
    models: {
      "openai/gpt-4.1-mini": { inputPerMTok: 0.2, outputPerMTok: 0.9, contextWindow: 5000, capabilities: ["chat"] },
      "openai-compatible/qwen": { inputPerMTok: 0.1, outputPerMTok: 0.3, maxOutputTokens: 77, capabilities: ["chat"] },
    },
  };
  writeFileSync(join(folder, "prices", "own.json"), JSON.stringify(own));
  const { accounts, prices } = catalogOf("{ file: prices/own.json }");
  const factsAt = (name: string, model: string) => {
    const account = accounts.find((one) => one.name === name);
    if (account === undefined) throw new Error(`no account ${name}`);
    return modelFacts(account, model, prices);
  };
  expect(factsAt("special", "gpt-4.1-mini")).toMatchObject({
    price: { version: "2027-01-01/openai/gpt-4.1-mini", inputNanoPerMillion: 200_000_000n },
    contextTokens: 5000,
  });
  expect(factsAt("listed", "gpt-4.1-mini").price?.inputNanoPerMillion).toBe(400_000_000n);
  // What the file doesn't list is never called, though the common table has it.
  expect(factsAt("special", "gpt-4.1").price).toBeNull();
  expect(factsAt("local", "qwen")).toMatchObject({
    price: { inputNanoPerMillion: 100_000_000n },
    maxOutputTokens: 77,
    capabilities: ["chat"],
  });
});

test("a price file that can't be used stops the start", () => {
  writeFileSync(join(folder, "prices", "bad.json"), '{"asOf":"d","models":{"openai/x":{"inputPerMTok":-1}}}');
  expect(() => catalogOf("{ file: prices/bad.json }")).toThrow(PriceTableError);
  expect(() => catalogOf("{ file: prices/none.json }")).toThrow(/ENOENT/);
});

test("models without a batch price are named where their account has batches", () => {
  const file = join(folder, "batches.yaml");
  const price = "{ input: '1', output: '2' }";
  const lines = (batch: string) => [
    "environment: test",
    "kafka: { brokers: ['127.0.0.1:9092'] }",
    "postgres: { url: 'postgres://127.0.0.1/sluice' }",
    "auth: { tenantFrom: body }",
    "tenants: { acme: {} }",
    "providers:",
    `  o: { kind: openai, apiKey: '\${KEY}', prices: { perMillion: { dear: ${price}, cheap: { input: '1', output: '2', batch: ${price} } } }${batch} }`,
    "models: { m: { candidates: [{ provider: o, model: dear }, { provider: o, model: cheap }] }, n: { candidates: [{ provider: o, model: dear }] } }",
  ];
  const found = (batch: string) => {
    writeFileSync(file, lines(batch).join("\n"));
    return unpricedBatches(loadConfig(file, { KEY: "k" }, PROVIDER_KINDS));
  };
  expect(found(", batch: {}")).toEqual([
    "no batch price is known of dear at o, so its jobs are never put into a batch",
  ]);
  expect(found("")).toEqual([]);
});
