import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { OperatorFixture } from "./operator-fixture.js";

let ledger: OperatorFixture;
beforeEach(async () => {
  ledger = await OperatorFixture.open();
});
afterEach(async () => {
  await ledger.close();
});

/** Ends the router's session and puts its calls in doubt, as another router does. */
async function killRouter(): Promise<void> {
  await ledger.ledger.endSession(ledger.session);
  await ledger.ledger.recoverDeadSessions(ledger.session, 0, () => 30_000, ledger.render);
}

const costs = (): Promise<Record<string, unknown>[]> =>
  ledger.rows("SELECT kind, billing, nano_usd FROM costs ORDER BY kind, no");

describe("jobs", () => {
  test("ls shows each state and filters by tenant and state", async () => {
    await ledger.accept({ jobId: "done" });
    await ledger.answer(await ledger.start());
    await ledger.accept({ jobId: "bad" });
    await ledger.failWaiting();
    await ledger.accept({ jobId: "out" });
    await ledger.start();
    await ledger.accept({ jobId: "next", tenant: "shop" });
    const states = await ledger.json<{ jobId: string; state: string }[]>("jobs", "ls");
    expect(states.map(({ jobId, state }) => [jobId, state])).toEqual([
      ["next", "waiting"],
      ["out", "running"],
      ["bad", "failed"],
      ["done", "succeeded"],
    ]);
    expect(await ledger.json("jobs", "ls", "--state", "waiting")).toMatchObject([{ jobId: "next" }]);
    expect(await ledger.json("jobs", "ls", "--tenant", "acme", "--limit", "1")).toMatchObject([{ jobId: "out" }]);
  });

  test("show begins with a sentence that says what a waiting job waits for and until when", async () => {
    await ledger.accept({ jobId: "a", deadline: "2026-12-01T00:00:00Z" });
    await ledger.rows("UPDATE ready SET run_at_ms = 1796000000000, waits_for = 'retry_after'");
    await ledger.rows("UPDATE jobs SET deadline_ms = 1796083200000");
    const { data } = await ledger.cli("jobs", "show", "a");
    expect(data[0]).toBe("waiting: waits for retry_after until 2026-11-30T00:53:20Z, deadline 2026-12-01T00:00:00Z");
    expect(await ledger.json("jobs", "show", "a")).toMatchObject({
      state: "waiting",
      waitsFor: { reason: "retry_after", until: "2026-11-30T00:53:20.000Z", limit: null },
      delivery: "none",
    });
  });

  test("show says what is waited for in the published words only, whatever the ledger calls it", async () => {
    await ledger.accept({ jobId: "a" });
    const shown: unknown[] = [];
    for (const word of ["concurrency", "retry_after", "backoff", "operator", "budget"]) {
      const level = word === "budget" ? `'["tenant","acme",null,null,"month"]'` : "NULL";
      await ledger.rows(`UPDATE ready SET run_at_ms = 1796000000000, waits_for = '${word}', waits_level = ${level}`);
      shown.push((await ledger.json<{ waitsFor: unknown }>("jobs", "show", "a")).waitsFor);
    }
    const until = "2026-11-30T00:53:20.000Z";
    expect(shown).toEqual([
      { reason: "concurrency", until, limit: "providers.openai-main.limits.concurrency" },
      { reason: "retry_after", until, limit: null },
      { reason: "retry_after", until, limit: null },
      { reason: "operator", until, limit: null },
      { reason: "budget", until, limit: "budgets[1]" },
    ]);
  });

  test("show names the limit that holds a job up", async () => {
    await ledger.accept({ jobId: "a" });
    const { data } = await ledger.cli("jobs", "show", "a");
    expect(data[0]).toMatch(
      /^waiting: waits for concurrency \(providers\.openai-main\.limits\.concurrency\), due since /,
    );
  });

  test("show of a job in doubt says so by its state, and waits for nothing else", async () => {
    await ledger.accept({ jobId: "a" });
    await ledger.start();
    await killRouter();
    expect(await ledger.rows("SELECT waits_for FROM ready")).toEqual([{ waits_for: "doubt" }]);
    expect(await ledger.json("jobs", "show", "a")).toMatchObject({
      sentence: expect.stringMatching(/^in_doubt: attempt 1 at openai-main/),
      state: "in_doubt",
      waitsFor: null,
    });
  });

  test("show lists the attempt and the cost of an answered job, and its delivery until the broker has it", async () => {
    await ledger.accept({ jobId: "a" });
    await ledger.answer(await ledger.start());
    const pending = await ledger.json<{ sentence: string }>("jobs", "show", "a");
    expect(pending).toMatchObject({
      state: "succeeded",
      delivery: "pending",
      attempts: [{ number: 1, state: "answered", outcome: "succeeded", account: "openai-main", requestId: "req-1" }],
      costs: [{ kind: "charge", billing: "charged", nanoUsd: "1234" }],
    });
    expect(pending.sentence).toContain("served by attempt 1 at openai-main/gpt-4.1-mini");
    await ledger.rows("DELETE FROM outbox_ready");
    expect(await ledger.json("jobs", "show", "a")).toMatchObject({ delivery: "published" });
  });

  test("show of a failed job names its dead letter and how to replay it", async () => {
    await ledger.accept({ jobId: "a" });
    await ledger.failWaiting();
    const { data } = await ledger.cli("jobs", "show", "a");
    expect(data[0]).toMatch(
      /^failed: PROVIDER_UNAVAILABLE: as the test wants it; result not yet published, dead letter \d+ is open; sluice dlq replay \d+$/,
    );
  });

  test("an id that several tenants have needs --tenant, and one that nobody has ends with 7", async () => {
    await ledger.accept({ jobId: "a" }, { jobId: "a", tenant: "shop" });
    expect(await ledger.cli("jobs", "show", "a")).toMatchObject({
      exitCode: 2,
      notes: [expect.stringContaining("several tenants (acme, shop)")],
    });
    expect((await ledger.cli("jobs", "show", "a", "--tenant", "shop")).exitCode).toBe(0);
    expect((await ledger.cli("jobs", "show", "b")).exitCode).toBe(7);
    expect((await ledger.cli("jobs", "cancel", "b")).exitCode).toBe(7);
    expect((await ledger.cli("results", "get", "b")).exitCode).toBe(7);
  });

  test("cancel ends a waiting job once, and a router's sweep finds its result", async () => {
    await ledger.accept({ jobId: "a" });
    expect((await ledger.cli("results", "get", "a")).exitCode).toBe(7);
    expect((await ledger.cli("jobs", "cancel", "a")).exitCode).toBe(0);
    expect(JSON.parse((await ledger.cli("results", "get", "a")).data[0] ?? "")).toMatchObject({
      status: "cancelled",
      error: { code: "CANCELLED" },
    });
    const groups = await ledger.ledger.takeOutbox(ledger.session, 10, -1000, []);
    expect(groups.flatMap(({ records }) => records.map(({ kind }) => kind))).toEqual(["result", "event"]);
    expect((await ledger.cli("jobs", "cancel", "a")).exitCode).toBe(6);
  });
});

describe("in-doubt", () => {
  test("not-billed in the grace lets the job be called again at once, without a cost record", async () => {
    await ledger.accept({ jobId: "a" });
    await ledger.start();
    await killRouter();
    const listed = await ledger.json<{ attempts: { attemptId: string }[] }>("in-doubt", "ls");
    expect(listed).toMatchObject({
      maxNanoUsd: "5000",
      attempts: [{ state: "in_doubt", tenant: "acme", account: "openai-main", maxNanoUsd: "5000" }],
    });
    const id = listed.attempts[0]?.attemptId ?? "";
    expect((await ledger.cli("in-doubt", "resolve", id, "--as", "not-billed")).exitCode).toBe(0);
    expect(await ledger.rows("SELECT state FROM attempts")).toEqual([{ state: "failed" }]);
    expect(
      await ledger.rows(
        "SELECT e.state, r.waits_for, r.run_at_ms <= extract(epoch FROM clock_timestamp()) * 1000 AS due FROM executions e JOIN ready r ON r.no = e.no",
      ),
    ).toEqual([{ state: "ready", waits_for: "concurrency", due: true }]);
    expect(await costs()).toEqual([]);
    expect((await ledger.cli("in-doubt", "resolve", id, "--as", "not-billed")).exitCode).toBe(6);
  });

  test("billed in the grace writes the charge that the bill has", async () => {
    await ledger.accept({ jobId: "a" });
    await ledger.start();
    await killRouter();
    const { attempts } = await ledger.json<{ attempts: { attemptId: string }[] }>("in-doubt", "ls");
    expect(
      (await ledger.cli("in-doubt", "resolve", attempts[0]?.attemptId ?? "", "--as", "billed", "--nano", "77"))
        .exitCode,
    ).toBe(0);
    expect(await costs()).toEqual([{ kind: "charge", billing: "waste", nano_usd: "77" }]);
  });

  test.each([
    ["billed", ["--as", "billed", "--nano", "77"], "waste", "77"],
    ["not billed", ["--as", "not-billed"], "charged", "0"],
  ])("%s after its settlement corrects the open cost record once", async (_name, flags, billing, nanoUsd) => {
    await ledger.accept({ jobId: "a" });
    await ledger.start();
    await killRouter();
    await ledger.rows("UPDATE ready SET run_at_ms = 0");
    const next = await ledger.ledger.openSession("another");
    await ledger.ledger.claim(
      { session: next, nowMs: Date.now(), pick: "run", limit: 10 },
      () => ({ kind: "fail", failure: { code: "IN_DOUBT", message: "m", provider: null, retryAtMs: null } }),
      ledger.render,
    );
    const { attempts } = await ledger.json<{ attempts: { attemptId: string; state: string }[] }>("in-doubt", "ls");
    expect(attempts.map(({ state }) => state)).toEqual(["settled"]);
    const id = attempts[0]?.attemptId ?? "";
    expect((await ledger.cli("in-doubt", "resolve", id, ...flags)).exitCode).toBe(0);
    expect((await ledger.cli("in-doubt", "resolve", id, ...flags)).exitCode).toBe(6);
    expect(await costs()).toEqual([
      { kind: "adjustment", billing, nano_usd: nanoUsd },
      { kind: "charge", billing: "in_doubt", nano_usd: null },
    ]);
    const [published] = await ledger.rows("SELECT value FROM outbox WHERE kind = 'cost' ORDER BY no DESC LIMIT 1");
    expect(JSON.parse(String(published?.["value"]))).toMatchObject({
      kind: "adjustment",
      nanoUsd,
      correctsCostId: expect.any(String),
      attemptId: id,
    });
    expect(await ledger.json("jobs", "show", "a")).toMatchObject({
      costs: [{ billing: "in_doubt" }, { kind: "adjustment", nanoUsd }],
    });
  });

  test("refuses an id with a wrong digit, and an amount where nothing was billed", async () => {
    expect((await ledger.cli("in-doubt", "resolve", "0fo1-1234", "--as", "not-billed")).exitCode).toBe(2);
    expect((await ledger.cli("in-doubt", "resolve", "x", "--as", "billed", "--nano", "-3")).exitCode).toBe(2);
  });
});

describe("status", () => {
  test("counts what waits and ends with 0 when nothing needs a person", async () => {
    await ledger.accept({ jobId: "a" }, { jobId: "b" });
    await ledger.start();
    await ledger.accept({ jobId: "c" });
    expect(await ledger.json("status")).toMatchObject({
      routers: [{ name: "test-router" }],
      stoppedPartitions: [],
      waiting: { rows: 1 },
      outbox: { records: 0 },
      inDoubt: { open: 0, settled: 0 },
      deadLetters: [],
      consumerLag: null,
      needs: [],
    });
    expect((await ledger.cli("status")).exitCode).toBe(0);
  });

  test("ends with 6 for parked letters, old doubts and work without a router", async () => {
    await ledger.accept({ jobId: "a" });
    await ledger.start();
    await killRouter();
    await ledger.rows("UPDATE attempts SET started_ms = started_ms - 7200000");
    await ledger.rows(
      "INSERT INTO dead_letters (day, no, state, code, message, failed_ms, topic, partition, source_offset, record_headers) VALUES (1, 1, 'parked', 'INTERNAL', 'm', 1, 't', 0, 0, '[]')",
    );
    const { exitCode, notes } = await ledger.cli("status");
    expect(exitCode).toBe(6);
    expect(notes.join("\n")).toMatch(/1 attempts are in doubt[\s\S]*1 dead letters are parked[\s\S]*no router lives/);
  });
});
