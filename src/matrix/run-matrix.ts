import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kindFacts, openBatchProvider, openProvider } from "../adapters/providers/registry.js";
import { parsePriceTable, type PriceTable } from "../domain/cost/price-table.js";
import type { Account } from "../domain/route/catalog.js";
import type { ProviderKind } from "../domain/route/route.js";
import { batchRows } from "./batch-rows.js";
import { directRows } from "./direct-rows.js";
import type { MatrixProvider, RowResult } from "./matrix-row.js";
import { runBatchRow } from "./run-batch-row.js";
import { runDirectRow } from "./run-direct-row.js";
import { Simulated } from "./simulated.js";

const CHATS = ["openai.chat", "anthropic.messages", "gemini.generate"] as const;
const EMBEDDINGS = ["openai.embeddings", "gemini.embed"] as const;

/** A line a provider: all rows follow from it. Its own formats come first. */
export const MATRIX_PROVIDERS: readonly MatrixProvider[] = [
  {
    name: "openai",
    kind: "openai",
    model: "gpt-4.1-mini",
    embeddingModel: "text-embedding-3-small",
    chatFormats: CHATS,
    embeddingFormats: EMBEDDINGS,
  },
  {
    name: "anthropic",
    kind: "anthropic",
    model: "claude-haiku-4-5",
    embeddingModel: null,
    chatFormats: ["anthropic.messages", "openai.chat", "gemini.generate"],
    embeddingFormats: [],
  },
  {
    name: "gemini",
    kind: "gemini",
    model: "gemini-2.5-flash-lite",
    embeddingModel: "gemini-embedding-001",
    chatFormats: ["gemini.generate", "openai.chat", "anthropic.messages"],
    embeddingFormats: ["gemini.embed", "openai.embeddings"],
  },
  {
    name: "openai-compatible",
    kind: "openai-compatible",
    model: "own-model",
    embeddingModel: null,
    chatFormats: CHATS,
    embeddingFormats: [],
  },
];

/** A day of a batch's life in a little more than a second. */
const TIME_SCALE = 72_000;
const OWN_PRICE = { input: "0.2", output: "0.4" };

export interface MatrixOptions {
  readonly pricingFile: string;
  /** The simulator's built program. */
  readonly simulatorScript: string;
  readonly onRow: (result: RowResult) => void;
}

/** Every provider against its simulated server, row by row: the faults of one row must not strike another. */
export async function runMatrix(options: MatrixOptions): Promise<readonly RowResult[]> {
  const { pricingFile, simulatorScript, onRow } = options;
  const folder = mkdtempSync(join(tmpdir(), "sluice-matrix-"));
  const prices = parsePriceTable(JSON.parse(readFileSync(pricingFile, "utf8")));
  const results: RowResult[] = [];
  try {
    const simulated = await Simulated.start({
      script: simulatorScript,
      pricingFile,
      folder,
      timeScale: TIME_SCALE,
      models: { "own-model": { inputPerMTok: OWN_PRICE.input, outputPerMTok: OWN_PRICE.output } },
    });
    for (const provider of MATRIX_PROVIDERS) {
      // Serial: one set of fault rules at a time.
      await runProvider(provider, simulated, prices, (result) => {
        results.push(result);
        onRow(result);
      });
    }
    await simulated.stop();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return results;
}

async function runProvider(
  provider: MatrixProvider,
  simulated: Simulated,
  prices: PriceTable,
  report: (result: RowResult) => void,
): Promise<void> {
  const account = accountOf(provider);
  const settings = settingsOf(provider, simulated.url);
  const direct = await openProvider(provider.kind, settings);
  const batch = await openBatchProvider(provider.kind, settings);
  let number = 0;
  const run = async (row: string, work: (id: string) => Promise<readonly string[]>): Promise<void> => {
    number += 1;
    const problems = await work(`m-${provider.name}-${String(number)}`).catch((error: unknown) => [
      error instanceof Error ? error.message : String(error),
    ]);
    report({ provider: provider.name, row, problems });
  };
  for (const row of directRows(provider)) {
    await run(row.name, (id) => runDirectRow({ account, provider: direct, simulated, prices }, row, id));
  }
  const [format] = provider.chatFormats;
  if (batch !== null && format !== undefined) {
    const { model } = provider;
    for (const row of batchRows(provider.kind)) {
      await run(row.name, (id) => runBatchRow({ account, provider: batch, simulated, prices, format, model }, row, id));
    }
    await batch.close();
  }
  await direct.close();
}

function accountOf({ name, kind }: MatrixProvider): Account {
  const facts = kindFacts(kind);
  return {
    name,
    facts,
    regions: null,
    prices: facts.selfHosted ? { perMillion: { "own-model": OWN_PRICE } } : null,
    maxOutputTokensDefault: 200,
    capabilities: null,
  };
}

const BASE_PATHS: Readonly<Partial<Record<ProviderKind, string>>> = {
  openai: "/v1",
  "openai-compatible": "/v1",
  gemini: "/v1beta",
};

function settingsOf({ name, kind }: MatrixProvider, url: string) {
  return {
    account: name,
    baseUrl: url + (BASE_PATHS[kind] ?? ""),
    apiKey: () => "sk-matrix",
    connectionsMax: 8,
    connectTimeoutMs: 5_000,
    idleTimeoutMs: 5_000,
    responseBytesMax: 10_000_000,
    answerBytesMax: 10_000_000,
    resultLineBytesMax: 10_000_000,
    nowMs: () => Date.now(),
  };
}
