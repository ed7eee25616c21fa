import { expect, test } from "@jest/globals";

interface KillReceipt {
  readonly brokenIn: (line: string, asked: { readonly jobs: number; readonly kills: number }) => readonly string[];
}

// A script of node's own, without types: what it exports is told here.
const script = "../support/kill-receipt.mjs";
const { brokenIn } = (await import(script)) as KillReceipt;

const ASKED = { jobs: 500, kills: 3 };
const RECEIPT = {
  jobs: 500,
  results: 500,
  lost: 0,
  duplicates: 0,
  repeats: 4,
  failed: 0,
  costNanoUsd: "30719800",
  billNanoUsd: "34346600",
  inDoubt: 46,
  inDoubtBilledNanoUsd: "3626800",
  kills: 3,
  killsWithWorkInFlight: 3,
  callsInAirAtKills: 47,
  findings: 0,
  holds: true,
};

function check(changed: Readonly<Record<string, unknown>>, broken: readonly RegExp[]): void {
  const said = brokenIn(JSON.stringify({ ...RECEIPT, ...changed }), ASKED);
  expect(said).toHaveLength(broken.length);
  for (const [index, pattern] of broken.entries()) expect(said[index]).toMatch(pattern);
}

test("a demo with kills that kept its promises passes", () => {
  check({}, []);
  check({ inDoubt: 47 }, []);
});

test.each<[string, Readonly<Record<string, unknown>>, RegExp]>([
  ["a lost result", { lost: 1 }, /^lost is 1, expected 0$/],
  ["a job less", { jobs: 499 }, /^jobs is 499, expected 500$/],
  ["a result less", { results: 499 }, /^results is 499/],
  ["a duplicate", { duplicates: 1 }, /^duplicates is 1/],
  ["a failed job", { failed: 1 }, /^failed is 1/],
  ["a finding of the reader", { findings: 2 }, /^findings is 2/],
  ["fewer kills than asked for", { kills: 2 }, /^kills is 2, expected 3$/],
  ["kills that are missing", { kills: undefined }, /^kills is undefined/],
  ["a run that says itself that not all held", { holds: false }, /^holds is false/],
  ["a bill one nano-dollar higher", { billNanoUsd: "34346601" }, /are not the bill, 34346601$/],
  ["a bill that nobody knows", { billNanoUsd: null }, /are not the bill, null$/],
  ["a bill of nothing", { costNanoUsd: "0", inDoubtBilledNanoUsd: "0", billNanoUsd: "0" }, /are not the bill, 0$/],
  ["more doubt than calls in the air", { inDoubt: 48 }, /^48 attempts in doubt, more than the 47/],
  ["a count of doubt that is missing", { inDoubt: undefined }, /^undefined attempts in doubt/],
  ["kills that met no call", { inDoubt: 0, callsInAirAtKills: 0 }, /^0 calls in the air at kills, expected some$/],
])("%s does not", (_name, changed, broken) => {
  check(changed, [broken]);
});

test("a last line that is no JSON does not pass", () => {
  expect(brokenIn("", ASKED)).toEqual([`expected the demo's JSON line, got ""`]);
});
