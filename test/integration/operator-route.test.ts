/** `route explain --live` on a real ledger and a real Redis. */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { RedisLimitStore } from "../../src/adapters/redis/redis-limit-store.js";
import { scopeOf } from "../../src/domain/limit/limits.js";
import { servers } from "../support/servers.js";
import { OperatorFixture } from "./operator-fixture.js";

let ledger: OperatorFixture;
let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-route-live-"));
});
afterEach(async () => {
  await ledger.close();
  rmSync(folder, { recursive: true });
});

const CHOSEN = "openai-main/gpt-4.1-mini";
const ISO = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);

function jobFile(): string {
  const file = join(folder, "job.json");
  const body = { model: "cheap", messages: [{ role: "user", content: "why" }] };
  writeFileSync(file, JSON.stringify({ jobId: "a", tenant: "acme", body }));
  return file;
}

const breaker = (model: string, state: string, leftMs: number) =>
  ledger.rows(
    `INSERT INTO breakers (account, model, version, state, openings, because, since_ms, until_ms, changed_ms, session_no)
     SELECT 'openai-main', $1, 1, $2, 1, '5 of 5 calls failed', n.ms - 60000, n.ms + $3, n.ms - 60000, 1
     FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::int8 AS ms) n`,
    [model, state, leftMs],
  );

const spend = (nanoUsd: bigint) =>
  ledger.rows(
    `INSERT INTO budgets (level, since_ms, settled_nano)
     SELECT '["account","openai-main","day"]', floor(extract(epoch FROM clock_timestamp()) / 86400)::int8 * 86400000, $1`,
    [nanoUsd.toString()],
  );

test("of a quiet ledger it chooses as without, and says what it looked at and when", async () => {
  ledger = await OperatorFixture.open({ limits: ", requestsPerMinute: 60", account: ", dailySpendUsd: '10.00'" });
  const found = await ledger.json("route", "explain", jobFile(), "--live");
  expect(found).toMatchObject({
    chosen: CHOSEN,
    seen: {
      breakers: { at: ISO, notClosed: [] },
      budgets: {
        at: ISO,
        standings: [
          { of: "tenant", tenant: "acme", window: "month", settledNanoUsd: "0", leftNanoUsd: "25000000000" },
          { of: "account", account: "openai-main", window: "day", leftNanoUsd: "10000000000" },
        ],
      },
      limits: {
        at: ISO,
        shared: "not_configured",
        scopes: [{ name: "openai-main", waiting: 0, limits: [{ unit: "requests", stated: 60, holds: null }] }],
      },
    },
  });
  expect(found).not.toHaveProperty("waits");
  const { exitCode, data } = await ledger.cli("route", "explain", jobFile(), "--live");
  expect(exitCode).toBe(0);
  expect(data.filter((line) => /^(seen|unknown)/.test(line))).toEqual([
    expect.stringMatching(/^seen {5}breakers at \S+Z: none of its candidates' is open$/),
    expect.stringMatching(/^seen {5}budgets at \S+Z: tenant acme, month: \$0\.00 spent and \$0\.00 held of \$25\.00$/),
    expect.stringMatching(
      /^seen {5}budgets at \S+Z: account openai-main, day: .* of \$10\.00, left alone from \$9\.50$/,
    ),
    expect.stringMatching(/^seen {5}limits at \S+Z: redis\.url is not set: /),
    "unknown  latency and error rates: each router keeps its own",
  ]);
});

test("while a breaker is open the job would wait, and for how long is said", async () => {
  ledger = await OperatorFixture.open();
  await breaker("gpt-4.1-mini", "open", 30_000);
  await breaker("another", "open", 30_000);
  const found = await ledger.json("route", "explain", jobFile(), "--live");
  expect(found).toMatchObject({
    chosen: null,
    waits: { for: "breaker", until: ISO, limit: null, turn: CHOSEN },
    because: expect.stringMatching(
      /^no route can be called now \(breaker\); it would be accepted, and looked at again at /,
    ),
    rejected: [{ account: "openai-main", model: "gpt-4.1-mini", because: "5 of 5 calls failed" }],
    seen: { breakers: { notClosed: [{ account: "openai-main", model: "gpt-4.1-mini", state: "open" }] } },
  });
  const { exitCode, data } = await ledger.cli("route", "explain", jobFile(), "--live");
  expect([exitCode, data[0]]).toEqual([0, expect.stringMatching(/^waits {4}no route can be called now \(breaker\); /)]);
  expect(data).toContain(`rejected ${CHOSEN}: 5 of 5 calls failed`);
  expect(data.join("\n")).toMatch(
    /breakers at \S+: openai-main\/gpt-4\.1-mini open for 1m.*, since 5 of 5 calls failed; tried again in \d+s/,
  );
});

test("a breaker of another model, or one that closed, speaks against nothing", async () => {
  ledger = await OperatorFixture.open();
  await breaker("another", "open", 30_000);
  await breaker("gpt-4.1-mini", "closed", 0);
  expect(await ledger.json("route", "explain", jobFile(), "--live")).toMatchObject({
    chosen: CHOSEN,
    seen: { breakers: { notClosed: [] } },
  });
});

test("an account that has spent 95 % of its day is left alone", async () => {
  ledger = await OperatorFixture.open({ account: ", dailySpendUsd: '10.00'" });
  await spend(9_500_000_000n);
  expect(await ledger.json("route", "explain", jobFile(), "--live")).toMatchObject({
    chosen: null,
    waits: { for: "budget" },
    rejected: [{ because: "it has spent or reserved 95 % of what it may spend a day" }],
  });
});

test("a limit that is used up, and rows that wait for it, make the job wait for it by name", async () => {
  const { redisUrl } = servers();
  const limits = ", requestsPerMinute: 600";
  ledger = await OperatorFixture.open({ redisUrl, limits });
  await ledger.accept({ jobId: `w-${randomUUID()}` });
  expect(await ledger.json("route", "explain", jobFile(), "--live")).not.toHaveProperty("waits");
  await ledger.rows("UPDATE ready SET limit_name = 'openai-main', waits_for = 'rate_limit'");
  const waiting = { for: "rate_limit", limit: "openai-main", until: ISO, turn: CHOSEN };
  expect(await ledger.json("route", "explain", jobFile(), "--live")).toMatchObject({
    chosen: CHOSEN,
    waits: waiting,
    seen: { limits: { shared: "read", scopes: [{ name: "openai-main", waiting: 1 }] } },
  });
});

test("what Redis says is used of a limit is shown", async () => {
  const { redisUrl } = servers();
  const model = "gpt-4.1-mini";
  ledger = await OperatorFixture.open({ redisUrl, limits: `, models: { ${model}: { requestsPerMinute: 6000 } }` });
  const account = ledger.config.providers["openai-main"];
  const call = { model, endpoint: "chat", tier: "standard" } as const;
  const scope = account === undefined ? null : scopeOf("openai-main", account.limits, call);
  if (scope === null) throw new Error("expected a limit");
  const store = new RedisLimitStore({
    ...{ url: redisUrl, environment: "test", timeoutMs: 2000, onTrouble: () => undefined },
  });
  await store.connect();
  const ask = { asker: "a", calls: 3, tokens: 0, needTokens: 0, returned: [], anew: false, share: 1, scope };
  await store.lease({ ...ask, notes: new Map() });
  await sleep(1200); // a bucket gives nothing in its first second
  const { calls } = await store.lease({ ...ask, notes: new Map() });
  await store.close();
  expect(calls).toBe(3);
  const { data } = await ledger.cli("route", "explain", jobFile(), "--live");
  expect(data.join("\n")).toMatch(/limits at \S+: openai-main\/gpt-4\.1-mini requests\/minute: 3 of 6000 used$/m);
});

test("without Redis the rest is told, and it ends with 6", async () => {
  ledger = await OperatorFixture.open({ redisUrl: "redis://127.0.0.1:1", limits: ", tokensPerMinute: 100000" });
  const { exitCode, data } = await ledger.cli("route", "explain", jobFile(), "--live");
  expect([exitCode, data[0]]).toEqual([6, `chosen   ${CHOSEN}`]);
  expect(data.join("\n")).toMatch(/seen {5}limits at \S+: Redis can't be reached \(.+\), so what is used is not known/);
});
