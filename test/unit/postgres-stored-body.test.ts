import { expect, test } from "@jest/globals";
import { fromStored, toStored } from "../../src/adapters/postgres/stored-body.js";

const hexOf = (bytes: Buffer): string => `\\x${bytes.toString("hex")}`;

test.each([
  ["as they are up to the mark", "aaaaaaaaaa", 10, false],
  ["compressed above it", "aaaaaaaaaaa", 10, true],
  ["by their bytes, not their characters", "€€€€", 11, true],
  ["compressed whatever their length with a mark of 0", "a", 0, true],
])("bodies are stored %s and come back", (_name, text, compressAboveBytes, gzip) => {
  const stored = toStored(text, { waitersMax: 1, compressAboveBytes, budgets: [] });
  expect(stored.gzip).toBe(gzip);
  expect(stored.bytes.equals(Buffer.from(text))).toBe(!gzip);
  expect(fromStored(hexOf(stored.bytes), gzip)).toBe(text);
});
