import { newBatch, type Batch } from "../../src/domain/batch/batch.js";

const FRESH = newBatch({
  no: 17,
  account: "openai-main",
  provider: "openai",
  pool: "openai-main|file|openai.chat|gpt-4.1-mini",
  way: "file",
  lineFormat: "openai.chat",
  model: "gpt-4.1-mini",
  createdAtMs: 1_796_000_000_000,
  lines: 412,
  tokens: 12_000,
});

/** A batch that is at its provider, but for what the test says. */
export function batchOf(change: Partial<Batch>): Batch {
  return { ...FRESH, version: 3, state: "submitted", linesBytes: 81_234, nextAtMs: null, ...change };
}

/** Why a line waits for a batch, with nothing measured. */
export const DECIDED_AGAIN = {
  mode: "batch",
  account: "alpha",
  model: "sim-alpha",
  because: "again",
  numbers: {
    leftMs: 1,
    turnaroundP95Ms: null,
    fillMs: null,
    directMaxNanoUsd: null,
    batchMaxNanoUsd: null,
    tokens: null,
    headroomTokens: null,
  },
} as const;
