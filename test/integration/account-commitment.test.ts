/** What is paid for an account each month anyway, with a cheaper account beside it. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Gateway } from "../support/gateway.js";
import { chatJob, resultIn } from "../support/gateway-records.js";

/** An answer of one token and a prompt that costs nothing: a call costs what it may cost at most, 1600 nano-dollars or 400. */
const DEAR = { perMillion: { "gpt-4.1-mini": { input: "0", output: "1.60" } } };
const CHEAP = { perMillion: { "gpt-4.1-mini": { input: "0", output: "0.40" } } };
/** Two dear calls and a half. */
const COMMITTED_USD = "0.000004";

let gateway: Gateway;
beforeAll(async () => {
  gateway = await Gateway.open({
    name: "committed",
    config: {
      providers: (url) => {
        const account = { kind: "openai", baseUrl: `${url}/v1`, apiKey: "${OPENAI_API_KEY}" };
        return {
          cheap: { ...account, prices: CHEAP },
          paid: { ...account, prices: DEAR, committed: { usdPerMonth: COMMITTED_USD, timeZone: "Europe/Berlin" } },
        };
      },
      candidates: [
        { provider: "cheap", model: "gpt-4.1-mini" },
        { provider: "paid", model: "gpt-4.1-mini" },
      ],
      alias: { order: "score" },
      sections: { chains: { money: { cost: 1, latency: 0, reliability: 0 } } },
    },
  });
  await gateway.startRouter();
});
afterAll(async () => {
  await gateway.close();
});

test("what is paid for anyway is used first, and then the cheaper account is; the cost records have the prices all the same", async () => {
  const took: unknown[] = [];
  for (const name of ["first", "second", "third", "fourth"]) {
    // Serial: each is to find what the one before it left.
    await gateway.publish({ value: oneTokenJob(name) });
    const result = await gateway.result(name);
    const isCovered = result.value?.toString("utf8").includes("covered by the account's commitment") === true;
    const [row] = await gateway.query<{ account: string; nano: string }>(
      "SELECT account, nano_usd::text AS nano FROM attempts ORDER BY no DESC LIMIT 1",
    );
    took.push([resultIn(result).status, row?.account, row?.nano, isCovered]);
  }
  expect(took).toEqual([
    ["succeeded", "paid", "1600", true],
    ["succeeded", "paid", "1600", true],
    ["succeeded", "cheap", "400", false],
    ["succeeded", "cheap", "400", false],
  ]);
  expect(await gateway.cliJson("budgets", "ls", "--account", "paid")).toMatchObject({
    budgets: [
      {
        ...{ level: "account", account: "paid", kind: "commitment", window: "month", timeZone: "Europe/Berlin" },
        ...{ limitNanoUsd: "4000", settledNanoUsd: "3200", leftNanoUsd: "800" },
      },
    ],
  });
  expect(await gateway.query("SELECT sum(nano_usd)::text AS paid FROM costs")).toEqual([{ paid: "4000" }]);
});

function oneTokenJob(name: string): string {
  const job = JSON.parse(chatJob(name, name)) as { readonly body: object };
  return JSON.stringify({ ...job, chain: "money", explain: true, body: { ...job.body, max_tokens: 1 } });
}
