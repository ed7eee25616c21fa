/** What an account may spend a day, with another account beside it. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Gateway } from "../support/gateway.js";
import { chatJob, resultIn } from "../support/gateway-records.js";

/** One answer token at 1.60 US dollars a million, and a prompt that costs nothing; twice that is a day's money. */
const prices = { perMillion: { "gpt-4.1-mini": { input: "0", output: "1.60" } } };
const TWO_CALLS_USD = "0.0000032";

let gateway: Gateway;
beforeAll(async () => {
  gateway = await Gateway.open({
    name: "spend",
    config: {
      providers: (url) => {
        const account = { kind: "openai", baseUrl: `${url}/v1`, apiKey: "${OPENAI_API_KEY}", prices };
        return { small: { ...account, dailySpendUsd: TWO_CALLS_USD }, large: account };
      },
      candidates: [
        { provider: "small", model: "gpt-4.1-mini" },
        { provider: "large", model: "gpt-4.1-mini" },
      ],
    },
  });
  await gateway.startRouter();
});
afterAll(async () => {
  await gateway.close();
});

test("an account that has spent its day is routed around, and what has no other route waits for the next", async () => {
  const accounts: unknown[] = [];
  for (const name of ["first", "second", "third", "fourth"]) {
    // Serial: each is to find what the one before it left.
    await gateway.publish({ value: oneTokenJob(name, "cheap") });
    const { status } = resultIn(await gateway.result(name));
    const [row] = await gateway.query<{ account: string }>("SELECT account FROM attempts ORDER BY no DESC LIMIT 1");
    accounts.push([status, row?.account]);
  }
  expect(accounts).toEqual([
    ["succeeded", "small"],
    ["succeeded", "small"],
    ["succeeded", "large"],
    ["succeeded", "large"],
  ]);
  await gateway.publish({ value: oneTokenJob("no other", "small/gpt-4.1-mini") });
  const shown = await gateway.until("the job that waits", async () => {
    const [row] = await gateway.query<{ waits_for: string }>("SELECT waits_for FROM ready WHERE waits_for = 'budget'");
    return row === undefined ? null : gateway.cliJson("jobs", "show", "no other");
  });
  expect(shown).toMatchObject({
    state: "waiting",
    waitsFor: { reason: "budget", limit: "providers.small.dailySpendUsd" },
  });
  expect(await gateway.cliJson("budgets", "ls", "--account", "small")).toMatchObject({
    budgets: [
      { level: "account", account: "small", tenant: null, window: "day", settledNanoUsd: "3200", leftNanoUsd: "0" },
    ],
  });
});

function oneTokenJob(name: string, model: string): string {
  const job = JSON.parse(chatJob(name, name)) as { readonly body: object };
  return JSON.stringify({ ...job, body: { ...job.body, model, max_tokens: 1 } });
}
