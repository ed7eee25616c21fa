import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import type { Batch } from "../../src/domain/batch/batch.js";
import { batchOf } from "../support/batch-rows.js";
import { OperatorFixture } from "./operator-fixture.js";

const DEADLINE = 1_796_083_200_000; // 2026-12-01T00:00:00Z
const EXPECTED = 1_796_040_000_000; // 2026-11-30T12:00:00Z

let ledger: OperatorFixture;
beforeEach(async () => {
  ledger = await OperatorFixture.open();
});
afterEach(async () => {
  await ledger.close();
});

/** Stores a batch as a router does: the columns that statements ask for, all of it as facts. */
async function putBatch(change: Partial<Batch>): Promise<Batch> {
  const batch = batchOf(change);
  await ledger.rows(
    `INSERT INTO batches (no, version, state, session_no, account, pool, model, lines, tokens, created_ms, submitted_ms, expected_ms, ended_ms,
       next_at_ms, nearest_deadline_ms, provider_batch_id, facts)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
    [
      batch.no,
      batch.version,
      batch.state,
      ledger.session,
      batch.account,
      batch.pool,
      batch.model,
      batch.lines,
      batch.tokens,
      batch.createdAtMs,
      batch.submittedAtMs,
      batch.expectedAtMs,
      batch.endedAtMs,
      batch.nextAtMs,
      DEADLINE,
      batch.providerBatchId,
      JSON.stringify(batch),
    ],
  );
  return batch;
}

/** Binds all that waits to a batch, in the order of its acceptance. @returns the attempts' numbers. */
async function bindWaiting(batchNo: number): Promise<readonly number[]> {
  const waiting = await ledger.rows("SELECT no, day FROM ready ORDER BY no");
  const attempts: number[] = [];
  for (const { no, day } of waiting) {
    // Serial: numbers grow in the order of the batch.
    await ledger.context.numbers.reserve(1);
    const attempt = ledger.context.numbers.next();
    await ledger.rows("DELETE FROM ready WHERE no = $1", [no]);
    await ledger.rows(
      "UPDATE executions SET state = 'running', session_no = NULL, attempt_no = $2, attempts = 1 WHERE no = $1",
      [no, attempt],
    );
    await ledger.rows(
      `INSERT INTO attempts (day, no, execution_no, number, session_no, state, batch_no, account, provider, model, route_index, max_nano, started_ms)
       VALUES ($1, $2, $3, 1, $4, 'batched', $5, 'openai-main', 'openai', 'gpt-4.1-mini', 0, 5000, 1796000000000)`,
      [day, attempt, no, ledger.session, batchNo],
    );
    attempts.push(attempt);
  }
  return attempts;
}

const seen: Batch["seen"] = {
  state: "running",
  unknownWord: null,
  counts: { total: 412, waiting: null, succeeded: 250, failed: 2, expired: null, cancelled: null },
  atMs: 1_796_010_000_000,
};
const SUBMITTED: Partial<Batch> = {
  submittedAtMs: 1_796_001_000_000,
  expectedAtMs: EXPECTED,
  nextAtMs: DEADLINE,
  providerBatchId: "batch_abc",
  fileId: "file-in",
  uploads: 1,
  creates: 1,
  createAtMs: 1_796_000_900_000,
  seen,
};

describe("batches ls", () => {
  test("shows how far each is, the newest first, filtered by account and state", async () => {
    await putBatch({ no: 17, ...SUBMITTED, trouble: "the provider answered 503" });
    await putBatch({ no: 18, state: "sealed", account: "other", lines: 2, model: null });
    await putBatch({
      no: 19,
      state: "done",
      lines: 2,
      providerBatchId: "batch_d",
      outcomes: { succeeded: 2 },
      doneAtMs: 1_796_003_723_000,
    });
    const listed = await ledger.json<{ batches: unknown[]; more: number }>("batches", "ls");
    expect(listed).toMatchObject({
      more: 0,
      batches: [
        { batchId: "b-19", state: "done", done: 2, percent: 100, ageMs: 3_723_000, trouble: null },
        {
          batchId: "b-18",
          account: "other",
          model: null,
          state: "sealed",
          lines: 2,
          done: 0,
          percent: 0,
          expectedAt: null,
        },
        {
          batchId: "b-17",
          account: "openai-main",
          provider: "openai",
          model: "gpt-4.1-mini",
          state: "submitted",
          lines: 412,
          done: 252,
          percent: 61,
          expectedAt: "2026-11-30T12:00:00.000Z",
          providerBatchId: "batch_abc",
          trouble: "the provider answered 503",
        },
      ],
    });
    const { data } = await ledger.cli("batches", "ls", "--state", "done");
    expect(data).toEqual([
      expect.stringMatching(/^batch +account +model +state +lines +done +age +expected +provider's id +trouble$/),
      expect.stringMatching(/^b-19 +openai-main +gpt-4.1-mini +done +2 +2 \(100 %\) +1h 2m +- +batch_d +-$/),
    ]);
    expect(await ledger.json("batches", "ls", "--state", "live")).toMatchObject({
      batches: [{ batchId: "b-18" }, { batchId: "b-17" }],
    });
    expect(await ledger.json("batches", "ls", "--account", "other")).toMatchObject({ batches: [{ batchId: "b-18" }] });
  });

  test("ends with how many more there are", async () => {
    for (const no of [1, 2, 3]) await putBatch({ no });
    const { data, notes } = await ledger.cli("batches", "ls", "--limit", "1");
    expect(data.length).toBe(2);
    expect(notes).toEqual(["2 more, older ones; --limit shows more of them"]);
    expect(await ledger.json("batches", "ls", "--limit", "1")).toMatchObject({
      more: 2,
      batches: [{ batchId: "b-3" }],
    });
    expect((await ledger.cli("batches", "ls", "--state", "over")).exitCode).toBe(2);
  });
});

describe("batches show", () => {
  test("shows all of a batch by our name and by the provider's", async () => {
    const refusal: Batch["refusal"] = {
      because: "queue_full",
      message: "fewer tokens at once",
      lines: [],
      retryAfterMs: null,
      provider: { status: 400, code: "token_limit_exceeded", requestId: null },
    };
    await putBatch({
      no: 17,
      ...SUBMITTED,
      tries: 2,
      trouble: "no answer",
      refusal,
      parts: [{ part: "results", ref: "file-out" }],
      outcomes: { succeeded: 250, refused: 2 },
    });
    await ledger.rows(
      `INSERT INTO batch_creates (batch_no, number, account, mark, file_id, lines, intent_ms, settled, provider_batch_id)
       VALUES (17, 1, 'openai-main', 'sluice-17-x-1', 'file-old', 412, 1796000000000, 'absent', NULL),
         (17, 2, 'openai-main', 'sluice-17-x-2', 'file-in', 412, 1796000900000, 'created', 'batch_abc')`,
    );
    const shown = await ledger.json("batches", "show", "b-17");
    expect(shown).toMatchObject({
      batchId: "b-17",
      state: "submitted",
      done: 252,
      submittedAt: "2026-11-30T01:10:00.000Z",
      nearestDeadline: "2026-12-01T00:00:00.000Z",
      session: ledger.session,
      seen: { state: "running", counts: { succeeded: 250, failed: 2 } },
      outcomes: { succeeded: 250, refused: 2 },
      files: { input: "file-in", uploads: 1, results: [{ part: "results", ref: "file-out" }], erasedAt: null },
      refusal: { because: "queue_full" },
      creates: [
        { number: 2, settled: "created", providerBatchId: "batch_abc", intentAt: "2026-11-30T01:08:20.000Z" },
        { number: 1, settled: "absent", fileId: "file-old" },
      ],
      lineList: [],
    });
    expect(await ledger.json("batches", "show", "batch_abc")).toMatchObject({ batchId: "b-17" });
    const text = (await ledger.cli("batches", "show", "b-17")).data.join("\n");
    expect(text).toContain(
      "submitted: 252 of 412 lines done, 61 %, expected 2026-11-30T12:00:00Z, nearest deadline 2026-12-01T00:00:00Z",
    );
    expect(text).toContain("batch     b-17 at openai/openai-main, gpt-4.1-mini, openai.chat, file");
    expect(text).toContain("provider  batch_abc, running, 250 succeeded, 2 failed, told 2026-11-30T03:40:00Z");
    expect(text).toContain("files     input file-in (upload 1), results file-out");
    expect(text).toContain("outcomes  250 succeeded, 2 refused");
    expect(text).toContain("trouble   no answer (2 failures in a row)");
    expect(text).toContain("refused   queue_full: fewer tokens at once");
    expect(text).toMatch(/\n1 +2026-11-30T00:53:20Z +absent +sluice-17-x-1 +file-old +412 +-/);
  });

  test("shows lines by the page, with their jobs and outcomes", async () => {
    await putBatch({ no: 17, lines: 3 });
    await ledger.accept({ jobId: "a" }, { jobId: "b", tenant: "shop" }, { jobId: "c" });
    const same = { body: { model: "cheap", messages: [{ role: "user", content: "c" }] } };
    await ledger.accept(...["c2", "c3", "c4"].map((jobId) => ({ jobId, ...same })));
    const [, second] = await bindWaiting(17);
    await ledger.rows(
      "UPDATE attempts SET state = 'answered', outcome = 'succeeded', nano_usd = 617, request_id = 'req-2' WHERE no = $1",
      [second],
    );
    const shown = await ledger.json("batches", "show", "b-17", "--lines", "10", "--after", "1");
    expect(shown).toMatchObject({
      lineList: [
        { line: 2, tenant: "shop", state: "answered", outcome: "succeeded", nanoUsd: "617", jobIds: ["b"], jobs: 1 },
        { line: 3, tenant: "acme", state: "batched", outcome: null, nanoUsd: null, jobIds: ["c", "c2", "c3"], jobs: 4 },
      ],
    });
    const { data, notes } = await ledger.cli("batches", "show", "b-17", "--lines", "2");
    expect(data.slice(-2)).toEqual([
      expect.stringMatching(/^1 +\S+ +batched +- +- +acme +a +-$/),
      expect.stringMatching(/^2 +\S+ +answered +succeeded +\$0\.000000617 +shop +b +req-2$/),
    ]);
    expect(notes).toEqual(["1 more lines; --after 2 shows the next"]);
  });

  test("knows no other name, and asks which where two accounts have one of it", async () => {
    await putBatch({ no: 1, providerBatchId: "same" });
    await putBatch({ no: 2, providerBatchId: "same", account: "other" });
    expect((await ledger.cli("batches", "show", "b-3")).exitCode).toBe(7);
    expect((await ledger.cli("batches", "show", "none")).exitCode).toBe(7);
    expect(await ledger.cli("batches", "show", "same")).toMatchObject({
      exitCode: 2,
      notes: ["sluice: same is there several times (b-1 at openai-main, b-2 at other); expected b-NUMBER"],
    });
  });
});

describe("batches cancel", () => {
  const stored = (): Promise<Record<string, unknown>[]> =>
    ledger.rows(
      "SELECT version, state, next_at_ms::float8 - extract(epoch FROM clock_timestamp()) * 1000 < 1 AS due, facts::json->>'cancelAskedAtMs' IS NOT NULL AS asked FROM batches",
    );

  test("first says what would happen, asks, and then tells the router that works on it", async () => {
    await putBatch({ no: 17, ...SUBMITTED, nextAtMs: 1_999_000_000_000 });
    expect(await ledger.cli("batches", "cancel", "b-17", "--dry-run")).toMatchObject({
      exitCode: 0,
      data: [
        "would ask: openai-main is asked to stop b-17: lines that are done stay and are charged (so far 252 of 412), the others are decided anew",
      ],
    });
    const unasked = await ledger.cli("batches", "cancel", "b-17");
    expect([unasked.exitCode, unasked.notes.join("\n")]).toEqual([2, expect.stringContaining("Expected --yes")]);
    expect(await stored()).toEqual([{ version: 3, state: "submitted", due: false, asked: false }]);
    expect(await ledger.json("batches", "cancel", "batch_abc", "--yes")).toEqual({
      batchId: "b-17",
      state: "submitted",
      meaning: "at_provider",
      asked: true,
      lines: 412,
      done: 252,
    });
    expect(await stored()).toEqual([{ version: 4, state: "submitted", due: true, asked: true }]);
    const [event] = await ledger.rows("SELECT key, value FROM outbox WHERE kind = 'event'");
    expect(String(event?.["key"])).toBe("b-17");
    expect(JSON.parse(String(event?.["value"]))).toMatchObject({
      kind: "operator.cancelled",
      batchId: "b-17",
      provider: "openai",
      account: "openai-main",
      message: expect.stringMatching(/^asked for the end of batch b-17 at openai-main, by .+@/),
    });
  });

  test("asked again, or of a batch that has ended, changes nothing and ends with 6", async () => {
    await putBatch({ no: 1, state: "sealed" });
    await putBatch({ no: 2, state: "ingesting" });
    expect((await ledger.cli("batches", "cancel", "b-1", "--yes")).exitCode).toBe(0);
    const before = await ledger.rows("SELECT * FROM batches ORDER BY no");
    expect(await ledger.cli("batches", "cancel", "b-1", "--yes")).toMatchObject({
      exitCode: 6,
      data: ["the end of b-1 was asked for already: nothing was changed"],
    });
    expect(await ledger.cli("batches", "cancel", "b-2", "--dry-run")).toMatchObject({
      exitCode: 6,
      data: ["b-2 is ingesting, there is nothing to stop: nothing was changed"],
    });
    expect(await ledger.rows("SELECT * FROM batches ORDER BY no")).toEqual(before);
    expect((await ledger.cli("batches", "cancel", "b-9", "--yes")).exitCode).toBe(7);
  });
});

describe("jobs in batches", () => {
  const DECISION = {
    mode: "batch",
    account: "openai-main",
    model: "gpt-4.1-mini",
    because: "a batch is half the price and ends in time",
    numbers: {
      leftMs: 86_400_000,
      turnaroundP95Ms: 21_600_000,
      fillMs: 2000,
      directMaxNanoUsd: "160000",
      batchMaxNanoUsd: "80000",
      tokens: 12,
      headroomTokens: null,
    },
  };

  test("show says which line of which batch a job is, how far that is, and why it went there", async () => {
    await putBatch({ no: 17, ...SUBMITTED });
    await ledger.accept({ jobId: "a" }, { jobId: "b" });
    await ledger.rows("UPDATE executions SET decision = $1", [JSON.stringify(DECISION)]);
    await ledger.rows("UPDATE jobs SET deadline_ms = $1", [DEADLINE]);
    await bindWaiting(17);
    expect(await ledger.json("jobs", "ls", "--state", "batched")).toMatchObject([
      { jobId: "b", state: "batched" },
      { jobId: "a", state: "batched" },
    ]);
    expect(await ledger.json("jobs", "ls", "--state", "running")).toEqual([]);
    const { data } = await ledger.cli("jobs", "show", "b");
    expect(data[0]).toBe(
      "batched: waits for openai/openai-main batch b-17, line 2, 61 % done, expected 2026-11-30T12:00:00Z, deadline 2026-12-01T00:00:00Z",
    );
    expect(data).toContain("decision batch at openai-main/gpt-4.1-mini: a batch is half the price and ends in time");
    expect(data.join("\n")).toContain(
      "time left 1d, turnaround p95 6h, fill 2s, direct at most $0.00016, batch at most $0.00008, tokens 12",
    );
    expect(await ledger.json("jobs", "show", "b")).toMatchObject({
      state: "batched",
      waitsFor: null,
      batch: { batchId: "b-17", line: 2, lines: 412, done: 252, percent: 61, expectedAt: "2026-11-30T12:00:00.000Z" },
      decision: DECISION,
      attempts: [
        { number: 1, mode: "batch", batchId: "b-17", line: 2, providerBatchId: "batch_abc", state: "batched" },
      ],
    });
  });

  test("show tells of each try how it was made", async () => {
    await putBatch({ no: 17, state: "done", providerBatchId: "batch_abc", lines: 1 });
    await ledger.accept({ jobId: "a" });
    const [line] = await bindWaiting(17);
    const [execution] = await ledger.rows("SELECT no, day FROM executions");
    await ledger.rows(
      "UPDATE attempts SET state = 'failed', outcome = 'line_expired', ended_ms = started_ms + 90000000",
    );
    await ledger.rows("UPDATE executions SET state = 'ready', history = $1 WHERE no = $2", [
      JSON.stringify([{ number: 1, no: line }]),
      execution?.["no"],
    ]);
    await ledger.rows(
      "INSERT INTO ready (day, no, priority, run_at_ms, expires_ms, bytes, waits_for) VALUES ($1, $2, 5, 0, 9000000000000, 1, 'concurrency')",
      [execution?.["day"], execution?.["no"]],
    );
    await ledger.start();
    const { data } = await ledger.cli("jobs", "show", "a");
    expect(data.join("\n")).toMatch(
      /\n1 +\S+ +openai-main\/gpt-4\.1-mini +batch b-17 line 1 +failed +line_expired +\S+ +1d 1h +-/,
    );
    expect(data.join("\n")).toMatch(/\n1 +\S+ +openai-main\/gpt-4\.1-mini +direct +sending/);
  });

  test("show tells of a line that was given back before it ran, though nothing was tried", async () => {
    await putBatch({ no: 17, state: "failed", lines: 2 });
    await ledger.accept({ jobId: "a" }, { jobId: "b" });
    await bindWaiting(17);
    expect(await ledger.ledger.returnLines(ledger.session, 17, null, 10, Date.now())).toBe(2);
    expect(await ledger.json("jobs", "show", "b")).toMatchObject({
      state: "waiting",
      attempts: [{ number: 1, mode: "batch", batchId: "b-17", line: 2, state: "not_sent", outcome: "cancelled" }],
    });
    await ledger.start();
    const { data } = await ledger.cli("jobs", "show", "a");
    expect(data.join("\n")).toMatch(/\n1 +\S+ +openai-main\/gpt-4\.1-mini +batch b-17 line 1 +not_sent +cancelled/);
    expect(data.join("\n")).toMatch(/\n1 +\S+ +openai-main\/gpt-4\.1-mini +direct +sending/);
  });

  test("show says of a job without a batch yet whose batch it waits for, and how long at most", async () => {
    await ledger.accept({ jobId: "a" });
    await ledger.rows("UPDATE jobs SET deadline_ms = $1", [DEADLINE]);
    await ledger.rows(
      `INSERT INTO batch_ready (day, no, pool, tenant_no, priority, added_ms, look_at_ms, expires_ms, bytes, account, provider, model, way, line_format,
         route_index, line_bytes, line_tokens, embedding_inputs, prefix, max_nano, attempts)
       SELECT day, no, 'p', 1, priority, 1, $1, $2, bytes, 'openai-main', 'openai', 'gpt-4.1-mini', 'file', 'openai.chat', 0, 1, 1, 0, 0, 1, 0 FROM ready`,
      [EXPECTED, DEADLINE],
    );
    await ledger.rows("DELETE FROM ready");
    expect(await ledger.json("jobs", "show", "a")).toMatchObject({
      sentence:
        "waiting: waits for batch_fill at openai-main/gpt-4.1-mini, at the latest until 2026-11-30T12:00:00Z, deadline 2026-12-01T00:00:00Z",
      state: "waiting",
      batch: null,
      waitsFor: { reason: "batch_fill", until: "2026-11-30T12:00:00.000Z", limit: null },
    });
    expect(await ledger.json("status")).toMatchObject({ waiting: { rows: 0 }, batches: { waitingLines: 1 } });
  });
});

describe("status of batches", () => {
  const nowMs = Date.now();
  const going = { nextAtMs: nowMs + 60_000, submittedAtMs: nowMs - 1000 };

  test("counts them, and needs nobody while they go on", async () => {
    await putBatch({ no: 1, ...going, expectedAtMs: nowMs - 500 });
    await putBatch({ no: 2, ...going, submittedAtMs: null, state: "creating", createAtMs: nowMs });
    await putBatch({ no: 3, state: "done" });
    expect(await ledger.json("status")).toMatchObject({
      batches: { live: 2, inDoubt: 1, overdue: 1, waitingLines: 0, heldAccounts: [] },
      needs: [],
    });
    const { exitCode, data } = await ledger.cli("status");
    expect(exitCode).toBe(0);
    expect(data).toContain("batches      2 live, 1 in doubt, 1 overdue; 0 executions wait for one");
  });

  test("ends with 6 for a create beyond its grace, a batch that is stuck and an account that is held", async () => {
    await putBatch({ no: 1, ...going, submittedAtMs: null, state: "creating", createAtMs: nowMs - 3_600_000 });
    await putBatch({ no: 2, ...going, nextAtMs: nowMs - 4_000_000 });
    await ledger.rows(
      "INSERT INTO batch_accounts (account, tokens_max, hold_until_ms) VALUES ('openai-main', 45000, $1), ('past', 1, 1)",
      [nowMs + 600_000],
    );
    const { exitCode, notes } = await ledger.cli("status");
    expect(exitCode).toBe(6);
    expect(notes).toEqual([
      expect.stringContaining("1 batches (b-1) are being created for longer than their grace"),
      expect.stringContaining("1 batches (b-2) make no progress"),
      expect.stringContaining("batches of account openai-main are held until"),
    ]);
  });
});

describe("OpenAI batch lines", () => {
  let folder = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "sluice-openai-"));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });
  const file = (...lines: readonly Readonly<Record<string, unknown>>[]): string => {
    const path = join(folder, "lines.jsonl");
    writeFileSync(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    return path;
  };
  const line = (id: string, change: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> => ({
    custom_id: id,
    method: "POST",
    url: "/v1/chat/completions",
    body: { model: "cheap", messages: [] },
    ...change,
  });

  test("are checked one by one beside jobs, and need a tenant that nobody else says", async () => {
    const path = file({ jobId: "j", tenant: "acme", body: {} }, line("r-1"), line("r-2", { url: "/v1/responses" }));
    expect(await ledger.cli("submit", path, "--dry-run")).toMatchObject({
      exitCode: 1,
      notes: [
        `${path}:3: url: expected /v1/chat/completions or /v1/embeddings, got "/v1/responses"`,
        "sluice: 1 of 3 lines are no jobs; nothing was sent",
      ],
    });
    const good = file({ jobId: "j", tenant: "acme", body: {} }, line("r-1"));
    expect(await ledger.cli("submit", good, "--dry-run")).toMatchObject({
      exitCode: 2,
      notes: ["sluice: expected --tenant of acme, shop: OpenAI batch lines name none"],
    });
    expect(await ledger.json("submit", good, "--dry-run", "--tenant", "acme", "--mode", "auto", "--ttl", "2h")).toEqual(
      {
        dryRun: true,
        topic: "llm.jobs.v1",
        jobs: 2,
        openaiLines: 1,
      },
    );
  });

  test.each([
    [["--tenant", "nobody"], "expected --tenant of the config's tenants"],
    [["--ttl", "soon"], "Expected a duration like 90s, 2h or 1d."],
    [["--ttl", "30d"], "expected at most 604800000 ms (delivery.maxTtlMs)"],
    [["--mode", "later"], "Expected one of auto, direct, batch."],
    [["--mode", "batch"], "--mode is for OpenAI batch lines, and the file has none"],
  ])("refuse %j of what can't be meant", async (flags, expected) => {
    const { exitCode, notes } = await ledger.cli("submit", file({ jobId: "j", body: {} }), "--dry-run", ...flags);
    expect([exitCode, notes.join("\n")]).toEqual([2, expect.stringContaining(expected)]);
  });

  test("come back in the shape of OpenAI's result files, in the order of the file", async () => {
    await ledger.accept({ jobId: "r-1" });
    await ledger.answer(await ledger.start());
    await ledger.accept({ jobId: "r-2" });
    await ledger.failWaiting();
    await ledger.accept({ jobId: "r-3" });
    await ledger.cli("jobs", "cancel", "r-3");
    const path = file(line("r-3"), line("r-1"), line("r-2"));
    const { exitCode, data } = await ledger.cli("results", "--of", path, "--tenant", "acme", "--as", "openai-batch");
    expect(exitCode).toBe(0);
    expect(data.map((text) => JSON.parse(text) as unknown)).toEqual([
      {
        id: expect.any(String),
        custom_id: "r-3",
        response: null,
        error: { code: "batch_cancelled", message: expect.any(String) },
      },
      {
        id: expect.any(String),
        custom_id: "r-1",
        response: { status_code: 200, request_id: "req-1", body: { answer: 42 } },
        error: null,
      },
      {
        id: expect.any(String),
        custom_id: "r-2",
        response: null,
        error: { code: "PROVIDER_UNAVAILABLE", message: "as the test wants it" },
      },
    ]);
    const one = await ledger.cli("results", "get", "r-1", "--as", "openai-batch");
    expect(one.data).toEqual([data[1]]);
    expect((await ledger.cli("results", "--as", "openai-batch", "get", "r-1")).data).toEqual([data[1]]);
    expect((await ledger.cli("results", "--tenant", "shop", "get", "r-1")).exitCode).toBe(7);
  });

  test("that have no result yet are counted, and end the command with 6", async () => {
    await ledger.accept({ jobId: "r-1" });
    const path = file(line("r-1"), line("r-2"), { body: {} }, line("r-3", { method: "GET" }));
    const { exitCode, data, notes } = await ledger.cli("results", "--of", path);
    expect([exitCode, data]).toEqual([6, []]);
    expect(notes).toEqual([
      "0 results; 1 jobs have not ended, 2 are not in the ledger or have no id of their own, 1 lines are no jobs",
    ]);
    expect((await ledger.cli("results", "--of", join(folder, "none.jsonl"))).exitCode).toBe(7);
    expect((await ledger.cli("results", "--of", path, "--follow")).exitCode).toBe(2);
  });
});
