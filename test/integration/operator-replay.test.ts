import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { replayLetter } from "../../src/adapters/postgres/operator/replay-letter.js";
import { openOperatorSession } from "../../src/adapters/postgres/operator/operator-session.js";
import { createPools } from "../../src/adapters/postgres/connection.js";
import { LedgerContext } from "../../src/adapters/postgres/ledger-context.js";
import { NO_SETTINGS } from "../../src/domain/dead-letter/replay-settings.js";
import { OperatorFixture } from "./operator-fixture.js";

let ledger: OperatorFixture;
beforeEach(async () => {
  ledger = await OperatorFixture.open();
});
afterEach(async () => {
  await ledger.close();
});

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const generations = (): Promise<Record<string, unknown>[]> =>
  ledger.rows("SELECT generation, state, no::int8 - execution_no AS joined FROM jobs ORDER BY generation, no");
const letters = (): Promise<Record<string, unknown>[]> =>
  ledger.rows("SELECT state, generation, replay_count FROM dead_letters ORDER BY no");

describe("a replay of a dead letter", () => {
  test("[J3] is made once when two connections ask at the same time", async () => {
    await ledger.accept({ jobId: "a" });
    await ledger.failWaiting();
    const [letter] = await ledger.rows("SELECT no FROM dead_letters");
    const pools = createPools(ledger.config.postgres, SILENT);
    const second = new LedgerContext(pools, "", () => Date.now());
    const ask = async (context: LedgerContext, byWhom: string) =>
      replayLetter(
        context,
        {
          letterNo: Number(letter?.["no"]),
          byWhom,
          session: await openOperatorSession(context, byWhom),
          settings: NO_SETTINGS,
          parked: false,
          readmitted: null,
          reuse: { dedupe: true, cache: true, cacheMaxAgeMs: null },
        },
        ledger.render,
      );
    const outcomes = await Promise.all([ask(ledger.context, "one"), ask(second, "two")]);
    await pools.close();
    expect(outcomes.map(({ kind }) => kind).sort()).toEqual(["refused", "replayed"]);
    expect(outcomes.find(({ kind }) => kind === "refused")).toEqual({ kind: "refused", why: "replayed_already" });
    expect(await generations()).toEqual([
      { generation: 0, state: "failed", joined: "0" },
      { generation: 1, state: "active", joined: "0" },
    ]);
    expect(await ledger.rows("SELECT count(*)::int AS replays FROM replays")).toEqual([{ replays: 1 }]);
    expect(await ledger.rows("SELECT count(*)::int AS waiting FROM ready")).toEqual([{ waiting: 1 }]);
  });

  test("raises the generation, which the id then names, and its result says so", async () => {
    await ledger.accept({ jobId: "a", labels: { department: "risk" } });
    await ledger.failWaiting();
    expect(
      await ledger.json(
        "dlq",
        "replay",
        "--where",
        "code = PROVIDER_UNAVAILABLE and tenant = acme and jobId = a",
        "--yes",
      ),
    ).toMatchObject({
      replayed: 1,
      how: { queued: 1, joined: 0, cached: 0 },
      refused: [],
    });
    await ledger.answer(await ledger.start());
    const [result] = await ledger.rows(
      "SELECT o.value FROM outbox o JOIN job_key k ON k.no = o.no WHERE o.kind = 'result'",
    );
    expect(JSON.parse(String(result?.["value"]))).toMatchObject({
      jobId: "a",
      generation: 1,
      status: "succeeded",
      labels: { department: "risk" },
      body: { answer: 42 },
    });
    expect(await letters()).toEqual([{ state: "replayed", generation: 0, replay_count: 0 }]);
  });

  test("gives the original time to live anew, also after another one was set in between", async () => {
    await ledger.accept({ jobId: "a", ttlMs: 3_600_000 });
    await ledger.failWaiting();
    await ledger.cli("dlq", "replay", "--where", "jobId = a", "--set", "deadline=+5m", "--yes");
    await ledger.failWaiting();
    await ledger.cli("dlq", "replay", "--where", "jobId = a", "--yes");
    const lives = await ledger.rows(
      "SELECT (deadline_ms - accepted_ms)::int AS ttl, (envelope::json->>'deadlineMs')::int8 - deadline_ms AS differs FROM jobs WHERE generation > 0 ORDER BY generation",
    );
    expect(lives).toEqual([
      { ttl: 300_000, differs: "0" },
      { ttl: 3_600_000, differs: "0" },
    ]);
  });

  test("[J2] is refused after the third failure unless parked letters are asked for", async () => {
    await ledger.accept({ jobId: "a" });
    await ledger.failWaiting();
    for (let failure = 2; failure <= 3; failure += 1) {
      await ledger.cli("dlq", "replay", "--where", "jobId = a", "--yes");
      await ledger.failWaiting();
    }
    expect((await letters()).map(({ state }) => state)).toEqual(["replayed", "replayed", "parked"]);
    const refused = await ledger.cli("dlq", "replay", "--where", "jobId = a", "--yes");
    expect(refused.exitCode).toBe(6);
    expect(refused.notes.join("\n")).toContain(
      "1 not replayed (parked): its job or its delivery failed three times; give --parked",
    );
    const asked = await ledger.cli("dlq", "replay", "--where", "jobId = a", "--yes", "--parked");
    expect(asked.exitCode).toBe(0);
    expect((await generations()).at(-1)).toEqual({ generation: 3, state: "active", joined: "0" });
  });

  test("of bytes that did not parse is refused and says to send the corrected record", async () => {
    await ledger.refuse();
    const { exitCode, notes } = await ledger.cli("dlq", "replay", "--where", "code = BAD_JSON", "--yes");
    expect(exitCode).toBe(6);
    expect(notes.join("\n")).toContain("send the corrected record to the jobs topic");
    expect((await letters()).map(({ state }) => state)).toEqual(["open"]);
  });

  test("of a job that had expired when it was accepted needs a deadline, and then takes its request from the record", async () => {
    await ledger.accept({ jobId: "late", deadline: "2026-01-01T00:00:00Z" });
    expect((await ledger.cli("dlq", "replay", "--where", "jobId = late", "--yes")).notes.join("\n")).toContain(
      "give --set deadline=+2h",
    );
    const { exitCode } = await ledger.cli("dlq", "replay", "--where", "jobId = late", "--set", "deadline=+2h", "--yes");
    expect(exitCode).toBe(0);
    const [started] = await ledger.start();
    expect(started?.execution.bodyText).toContain('"content":"late"');
    expect(started?.execution.policy.model).toBe("cheap");
  });

  test("joins the equal call that is under way instead of paying for a second", async () => {
    const body = { model: "cheap", messages: [{ role: "user", content: "same" }] };
    await ledger.accept({ jobId: "a", body });
    await ledger.failWaiting();
    await ledger.accept({ jobId: "b", body });
    const started = await ledger.start();
    expect(await ledger.json("dlq", "replay", "--where", "jobId = a", "--yes")).toMatchObject({
      how: { queued: 0, joined: 1, cached: 0 },
    });
    await ledger.answer(started);
    expect(
      await ledger.rows("SELECT generation, state FROM jobs WHERE state = 'succeeded' ORDER BY generation"),
    ).toEqual([
      { generation: 0, state: "succeeded" },
      { generation: 1, state: "succeeded" },
    ]);
    expect(await ledger.rows("SELECT billing, nano_usd FROM costs ORDER BY billing")).toEqual([
      { billing: "charged", nano_usd: "1234" },
      { billing: "shared", nano_usd: "0" },
    ]);
  });

  test("takes a late answer of the job's own call without a new one", async () => {
    // Time enough for the call to begin, on a busy machine too.
    const ttlMs = 3000;
    await ledger.accept({ jobId: "a", dedupe: false, ttlMs });
    const started = await ledger.start();
    await new Promise((resolve) => setTimeout(resolve, ttlMs + 20));
    await ledger.answer(started);
    expect((await generations()).map(({ state }) => state)).toEqual(["expired"]);
    expect(await ledger.json("dlq", "replay", "--where", "code = DEADLINE_EXCEEDED", "--yes")).toMatchObject({
      how: { queued: 0, joined: 0, cached: 1 },
    });
    expect(await ledger.rows("SELECT count(*)::int AS attempts FROM attempts")).toEqual([{ attempts: 1 }]);
    const { exitCode, data } = await ledger.cli("results", "get", "a");
    expect(exitCode).toBe(0);
    expect(JSON.parse(data.join(""))).toMatchObject({
      generation: 1,
      status: "succeeded",
      served: "exact_cache",
      body: { answer: 42 },
      cost: { nanoUsd: "0", billing: "cached" },
    });
  });
});

describe("dlq replay", () => {
  test("with --dry-run counts, groups and bounds the cost, and changes nothing", async () => {
    await ledger.accept({ jobId: "a" }, { jobId: "b" }, { jobId: "c", tenant: "shop" });
    await ledger.failWaiting();
    await ledger.refuse();
    const plan = await ledger.json<{ maxCostNanoUsd: string }>(
      "dlq",
      "replay",
      "--where",
      "failedAt > -1h",
      "--dry-run",
    );
    expect(plan).toMatchObject({
      dryRun: true,
      count: 3,
      groups: [
        { code: "PROVIDER_UNAVAILABLE", tenant: "acme", count: 2 },
        { code: "PROVIDER_UNAVAILABLE", tenant: "shop", count: 1 },
      ],
      unknownCost: 0,
      refused: [{ why: "no_job", count: 1 }],
    });
    // 100 output tokens at 1.60 dollars a million for each of three, and some input.
    expect(Number(plan.maxCostNanoUsd)).toBeGreaterThan(3 * 160_000);
    expect(Number(plan.maxCostNanoUsd)).toBeLessThan(3 * 160_000 + 3 * 400 * 400);
    expect(await ledger.rows("SELECT count(*)::int AS jobs FROM jobs")).toEqual([{ jobs: 3 }]);
  });

  test("without a terminal asks for --yes and changes nothing", async () => {
    await ledger.accept({ jobId: "a" });
    await ledger.failWaiting();
    const { exitCode, notes } = await ledger.cli("dlq", "replay", "--where", "jobId = a");
    expect(exitCode).toBe(2);
    expect(notes.join("\n")).toContain("Expected --yes");
    expect(await letters()).toMatchObject([{ state: "open" }]);
  });

  test("gets a call of its own beside an identical one that waits beyond its deadline", async () => {
    const body = { model: "cheap", messages: [{ role: "user", content: "why" }] };
    await ledger.accept({ jobId: "a", body });
    await ledger.failWaiting();
    await ledger.accept({ jobId: "b", body });
    await ledger.rows("UPDATE ready SET run_at_ms = $1, waits_for = 'retry_after'", [Date.now() + 3_600_000]);
    const flags = ["--where", "code = PROVIDER_UNAVAILABLE", "--set", "deadline=+10m", "--yes"];
    expect(await ledger.json("dlq", "replay", ...flags)).toMatchObject({ replayed: 1 });
    expect(
      await ledger.rows("SELECT e.lane, r.waits_for FROM executions e JOIN ready r ON r.no = e.no ORDER BY e.lane"),
    ).toEqual([
      { lane: 0, waits_for: "retry_after" },
      { lane: 1, waits_for: "concurrency" },
    ]);
  });

  test("[J3] keeps to the rate", async () => {
    await ledger.accept(...["a", "b", "c", "d", "e"].map((jobId) => ({ jobId })));
    await ledger.failWaiting();
    const beforeMs = performance.now();
    expect(await ledger.json("dlq", "replay", "--where", "failedAt > -1h", "--rate", "10", "--yes")).toMatchObject({
      replayed: 5,
    });
    expect(performance.now() - beforeMs).toBeGreaterThanOrEqual(400);
  });

  test("of a number that no letter has ends with 7", async () => {
    expect((await ledger.cli("dlq", "replay", "123456", "--yes")).exitCode).toBe(7);
  });
});

describe("dlq ls, show and discard", () => {
  test("list, count and show letters, and a discarded one is neither listed nor replayed", async () => {
    await ledger.accept({ jobId: "a" }, { jobId: "b", tenant: "shop" });
    await ledger.failWaiting();
    const listed = await ledger.json<{ no: number }[]>("dlq", "ls", "--where", "tenant != shop");
    const no = listed[0]?.no ?? -1;
    expect(listed).toMatchObject([
      { tenant: "acme", jobId: "a", code: "PROVIDER_UNAVAILABLE", state: "open", generation: 0 },
    ]);
    const shown = await ledger.json("dlq", "show", String(no));
    expect(shown).toMatchObject({ no, headers: [["trace", "t-1"]], value: expect.stringContaining('"jobId":"a"') });
    expect(await ledger.json("dlq", "discard", String(no), "--yes")).toMatchObject({ discarded: 1 });
    expect(await ledger.json("dlq", "ls", "--groups")).toEqual([
      { code: "PROVIDER_UNAVAILABLE", tenant: "shop", state: "open", count: 1 },
    ]);
    expect((await ledger.cli("dlq", "replay", String(no), "--yes")).exitCode).toBe(6);
    expect((await ledger.cli("dlq", "show", "999")).exitCode).toBe(7);
  });

  test("show on a letter about delivery no replay of the letter about its job", async () => {
    await ledger.accept({ jobId: "a" });
    await ledger.failWaiting();
    const [own] = await ledger.json<{ no: number }[]>("dlq", "ls");
    const refused = (await ledger.ledger.takeOutbox(ledger.session, 10, -1000, [])).flatMap(({ seq, records }) =>
      records.filter(({ kind }) => kind === "result").map((record) => ({ seq, record, reason: "MESSAGE_TOO_LARGE" })),
    );
    await ledger.ledger.giveUpOutgoing(ledger.session, refused, ledger.render);
    await ledger.cli("dlq", "replay", String(own?.no), "--yes");
    const [undelivered] = await ledger.json<{ no: number }[]>("dlq", "ls");
    expect(await ledger.json("dlq", "show", String(undelivered?.no))).toMatchObject({ state: "open", replay: null });
    expect(await ledger.json("dlq", "show", String(own?.no))).toMatchObject({
      state: "replayed",
      replay: { byWhom: expect.any(String) },
    });
  });

  test("find a refused record by the tenant that it proved, and no tenant in one that proved none", async () => {
    await ledger.refuse('{"tenant":"acme","jobId":"a","body":{"model":"cheap","messages":[]},"priority":10}');
    await ledger.refuse('{"tenant":"nobody","jobId":"b","body":{"model":"cheap","messages":[]}}');
    expect(await ledger.json("dlq", "ls", "--where", "tenant = acme")).toMatchObject([
      { code: "BAD_JOB", tenant: "acme", jobId: "a" },
    ]);
    expect(await ledger.json("dlq", "ls", "--where", "code = TENANT_MISMATCH")).toMatchObject([{ tenant: null }]);
    expect(await ledger.rows("SELECT name FROM tenants WHERE name = 'nobody'")).toEqual([]);
  });

  test("refuse a condition about an unknown field and name the known ones", async () => {
    const { exitCode, notes } = await ledger.cli("dlq", "ls", "--where", "colour = red");
    expect(exitCode).toBe(2);
    expect(notes.join("\n")).toContain("expected one of code, tenant, jobId, topic, state, failedAt, replayCount");
  });
});
