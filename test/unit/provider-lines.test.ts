import { expect, test } from "@jest/globals";
import { providerLines } from "../../src/app/operator/list-providers.js";
import { providerCells } from "../../src/cli/commands/providers.js";
import { sessionNo } from "../../src/domain/ids.js";
import type { StoredBreaker } from "../../src/ports/health-store.js";

const KEY: StoredBreaker = {
  ...{ account: "main", model: null, version: 3, state: "open", openings: 2, session: sessionNo(1) },
  ...{ because: "its last call ended as auth_failed (status 401)", openMs: 61_000, leftMs: 4_200, changedAgoMs: 10 },
};
const MODEL: StoredBreaker = { ...KEY, model: "m", state: "half_open", because: "its last call ended as timed_out" };

test("accounts are listed in the config's order with the breakers that are not closed", () => {
  const accounts = { spare: { kind: "groq" }, main: { kind: "openai" }, third: { kind: "gemini" } };
  const known = [MODEL, KEY, { ...MODEL, account: "third" }, { ...KEY, account: "spare", state: "closed" as const }];
  expect(providerLines(accounts, known).map(providerCells)).toEqual([
    ["spare", "groq", "closed", "-"],
    [
      "main",
      "openai",
      "open",
      "account main open for 61 s, next trial in 4.2 s: its last call ended as auth_failed (status 401)",
    ],
    ["third", "gemini", "limited", "third/m open for 61 s, on trial: its last call ended as timed_out"],
  ]);
});
