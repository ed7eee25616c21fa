/** `limits ls` on a real ledger and a real Redis. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, test } from "@jest/globals";
import { RedisLimitStore } from "../../src/adapters/redis/redis-limit-store.js";
import { scopeOf } from "../../src/domain/limit/limits.js";
import { servers } from "../support/servers.js";
import { OperatorFixture } from "./operator-fixture.js";

let ledger: OperatorFixture;
afterEach(async () => {
  await ledger.close();
});

test("limits ls shows what holds, what is used and what waits, and takes nothing", async () => {
  const { redisUrl } = servers();
  const model = `m-${randomUUID()}`; // the environment's name is common to all tests
  const limits = `, models: { ${model}: { requestsPerMinute: 6050 } }`;
  ledger = await OperatorFixture.open({ redisUrl, limits });
  await ledger.accept({ jobId: "a" }, { jobId: "b" });
  await ledger.rows(`UPDATE ready SET limit_name = 'openai-main/${model}', waits_for = 'rate_limit'`);
  const [accepted] = await ledger.rows("SELECT min(accepted_ms)::float8 AS at FROM jobs");
  const store = new RedisLimitStore({
    ...{ url: redisUrl, environment: "test", timeoutMs: 2000, onTrouble: () => undefined },
  });
  await store.connect();
  const account = ledger.config.providers["openai-main"];
  const call = { model, endpoint: "chat", tier: "standard" } as const;
  const scope = account === undefined ? null : scopeOf("openai-main", account.limits, call);
  if (scope === null) throw new Error("expected a limit");
  const notes = new Map([[scope.own[0]?.key ?? "", { learned: 5000, tighten: false }]]);
  const ask = { asker: "a", calls: 3, tokens: 0, needTokens: 0, returned: [], anew: false, share: 1, scope, notes };
  await store.lease(ask);
  await sleep(1200); // a bucket gives nothing in its first second
  const { calls } = await store.lease(ask);
  await store.close();
  expect(calls).toBe(3);
  const listed = {
    shared: "read",
    limits: [
      { account: "openai-main", model: null, concurrencyPerRouter: 4, waiting: { rows: 0, since: null }, limits: [] },
      {
        ...{ account: "openai-main", model, concurrencyPerRouter: null },
        waiting: { rows: 2, since: new Date(Number(accepted?.["at"])).toISOString() },
        limits: [
          { unit: "requests", window: "minute", stated: 6050, learned: 5000, holds: 5000, state: "learned", used: 3 },
        ],
      },
    ],
  };
  expect(await ledger.json("limits", "ls")).toMatchObject(listed);
  expect(await ledger.json("limits", "ls")).toMatchObject(listed);
});

test("limits ls lists endpoints and tiers, and what waits for several limits by itself", async () => {
  const { redisUrl } = servers();
  const parts = ", endpoints: { embeddings: { requestsPerMinute: 60 } }, tiers: { free: { requestsPerDay: 9 } }";
  ledger = await OperatorFixture.open({ redisUrl, limits: parts });
  await ledger.accept({ jobId: "a" }, { jobId: "b" });
  await ledger.rows("UPDATE ready SET limit_name = 'openai-main embeddings free', waits_for = 'rate_limit'");
  expect(await ledger.json("limits", "ls")).toMatchObject({
    limits: [
      { account: "openai-main", endpoint: null, tier: null, limits: [] },
      { endpoint: "embeddings", tier: null, waiting: { rows: 0 }, limits: [{ stated: 60 }] },
      { endpoint: null, tier: "free", waiting: { rows: 0 }, limits: [{ stated: 9, window: "day" }] },
      { endpoint: "embeddings", tier: "free", waiting: { rows: 2 }, limits: [] },
    ],
  });
});

test("limits ls says so when Redis can't be reached, lists what else it knows, and ends with 6", async () => {
  ledger = await OperatorFixture.open({ redisUrl: "redis://127.0.0.1:1", limits: ", tokensPerMinute: 1000" });
  const { exitCode, data, notes } = await ledger.cli("limits", "ls");
  expect([exitCode, data.length]).toEqual([6, 3]);
  expect(data[1]).toMatch(/^openai-main +tokens\/minute +1000 +not known/);
  expect(notes.join("\n")).toContain("Redis can't be reached");
});
