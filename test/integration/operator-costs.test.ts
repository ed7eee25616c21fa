/** `sluice costs` on real servers: against independent SQL, and against the simulator's own bill. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { attemptId } from "../../src/domain/job/ids.js";
import type { Gateway } from "../support/gateway.js";
import { openBatchGateway, publishJobs, resultsFor } from "../support/gateway-batches.js";
import { chatJob } from "../support/gateway-records.js";
import { OperatorFixture } from "./operator-fixture.js";

interface Line {
  readonly jobs: number;
  readonly calls: number;
  readonly paidNanoUsd: string;
  readonly listNanoUsd: string;
  readonly savedCoalescedNanoUsd: string;
  readonly savedCachedNanoUsd: string;
  readonly savedBatchNanoUsd: string;
  readonly savedPromptCacheNanoUsd: string;
  readonly savedRoutingNanoUsd: string;
  readonly wasteNanoUsd: string;
  readonly unlistedNanoUsd: string;
  readonly inDoubtCalls: number;
  readonly inDoubtMaxNanoUsd: string;
  readonly suspectCalls: number;
}
interface Report {
  readonly lines: readonly (Line & Readonly<Record<string, unknown>>)[];
  readonly total: Line;
}
interface Reconciled {
  readonly rows: number;
  readonly agreed: number;
  readonly settled: number;
  readonly settledNanoUsd: string;
  readonly notBilled: number;
  readonly billNanoUsd: string;
  readonly bookedNanoUsd: string;
  readonly left: Readonly<Record<string, number>>;
  readonly findings: readonly { readonly kind: string; readonly line: number | null; readonly detail: string }[];
}

const folder = mkdtempSync(join(tmpdir(), "sluice-costs-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const bill = (name: string, rows: readonly unknown[]): string => {
  const file = join(folder, name);
  writeFileSync(file, rows.map((row) => (typeof row === "string" ? row : JSON.stringify(row))).join("\n"));
  return file;
};
const saved = (line: Line): bigint =>
  BigInt(line.savedCoalescedNanoUsd) +
  BigInt(line.savedCachedNanoUsd) +
  BigInt(line.savedBatchNanoUsd) +
  BigInt(line.savedPromptCacheNanoUsd) +
  BigInt(line.savedRoutingNanoUsd);
/** What every line promises. */
const isWhole = (line: Line): boolean =>
  BigInt(line.listNanoUsd) - BigInt(line.paidNanoUsd) ===
  saved(line) - BigInt(line.wasteNanoUsd) - BigInt(line.unlistedNanoUsd);

/** A budget of all time, as its row is named. */
const LEVEL = '["tenant","shop",null,null,"total"]';

describe("on a ledger of its own", () => {
  let ledger: OperatorFixture;
  beforeEach(async () => {
    ledger = await OperatorFixture.open();
  });
  afterEach(async () => {
    await ledger.close();
  });

  const question = (jobId: string, department: string): Readonly<Record<string, unknown>> => ({
    jobId,
    labels: { department },
    body: { model: "cheap", messages: [{ role: "user", content: "the same" }] },
  });
  /** One call that two departments shared, and a third job that was served from its answer. */
  async function sharedCall(): Promise<void> {
    await ledger.accept(question("a", "risk"), question("b", "sales"), question("c", "sales"));
    await ledger.answer(await ledger.start());
    await ledger.accept(question("d", "legal"));
  }
  const lineOf = (report: Report, department: string): Line | undefined =>
    report.lines.find((line) => line["department"] === department);
  const totals = async (): Promise<Record<string, unknown> | undefined> =>
    (
      await ledger.rows(
        "SELECT sum(nano_usd)::text AS paid, sum(list_nano) FILTER (WHERE nano_usd IS NOT NULL)::text AS list, count(*)::int AS records FROM costs",
      )
    )[0];

  test("report splits what was saved by its cause, and adds up to the ledger", async () => {
    await sharedCall();
    const report = await ledger.json<Report>("costs", "report", "--by", "tenant,department");
    expect(report.lines.map(({ tenant, department, jobs, calls }) => [tenant, department, jobs, calls])).toEqual([
      ["acme", "legal", 1, 0],
      ["acme", "risk", 1, 1],
      ["acme", "sales", 2, 0],
    ]);
    expect(lineOf(report, "legal")).toMatchObject({ paidNanoUsd: "0", savedCachedNanoUsd: "1234" });
    expect(lineOf(report, "risk")).toMatchObject({ paidNanoUsd: "1234", savedCoalescedNanoUsd: "0" });
    expect(lineOf(report, "sales")).toMatchObject({ paidNanoUsd: "0", savedCoalescedNanoUsd: "2468" });
    expect(await totals()).toEqual({ paid: report.total.paidNanoUsd, list: report.total.listNanoUsd, records: 4 });
    expect([...report.lines, report.total].every(isWhole)).toBe(true);
  });

  test("report tells a shared call to all who shared it, in a sum that never changes", async () => {
    await sharedCall();
    for (const rule of ["even", "list"]) {
      const report = await ledger.json<Report>("costs", "report", "--by", "department", "--allocate", rule);
      expect(report.lines.map(({ department, paidNanoUsd }) => [department, paidNanoUsd])).toEqual([
        ["legal", "0"],
        ["risk", "411"],
        ["sales", "823"],
      ]);
      expect(report.total.paidNanoUsd).toBe("1234");
      expect(report.lines.every(isWhole)).toBe(true);
    }
  });

  test("report counts a call in the time in which it began, and names each dimension", async () => {
    await sharedCall();
    await ledger.rows("UPDATE attempts SET started_ms = 1798761600000"); // 2027-01-01
    const [before, after] = [
      await ledger.json<Report>("costs", "report", "--until", "2027-01-01"),
      await ledger.json<Report>("costs", "report", "--by", "provider,model,mode,application", "--since", "2027-01-01"),
    ];
    expect([before.total.jobs, before.total.paidNanoUsd]).toEqual([1, "0"]);
    expect(after.lines).toMatchObject([
      { provider: "openai", model: "gpt-4.1-mini", mode: "direct", application: null, jobs: 3, paidNanoUsd: "1234" },
    ]);
  });

  test("report as comma-separated values has one line for each, in nano-dollars", async () => {
    await ledger.accept({ jobId: "a", labels: { department: 'Risk, "East"' } });
    await ledger.answer(await ledger.start());
    const { data } = await ledger.cli("costs", "report", "--by", "department", "--csv");
    expect(data).toEqual([
      "department,jobs,calls,paidNanoUsd,listNanoUsd,savedCoalescedNanoUsd,savedCachedNanoUsd,savedBatchNanoUsd,savedPromptCacheNanoUsd,savedRoutingNanoUsd,wasteNanoUsd,unlistedNanoUsd,inDoubtCalls,inDoubtMaxNanoUsd,suspectCalls,suspectMaxNanoUsd",
      '"Risk, ""East""",1,1,1234,1234,0,0,0,0,0,0,0,0,0,0,0',
    ]);
    expect((await ledger.cli("costs", "report", "--csv", "--json")).exitCode).toBe(2);
    expect((await ledger.cli("costs", "report", "--by", "weekday")).exitCode).toBe(2);
    expect((await ledger.cli("costs", "report", "--since", "2027-01-02", "--until", "2027-01-01")).exitCode).toBe(2);
  });

  test("reprice says what history would have cost at another model's price, and counts apart what is not known", async () => {
    await ledger.accept({ jobId: "a" }, { jobId: "b" });
    await ledger.answer(await ledger.start());
    await ledger.rows("UPDATE attempts SET input_tokens = NULL WHERE no = (SELECT min(no) FROM attempts)");
    // gpt-4.1 lists $2 and $8 a million tokens, half in a batch; 10 tokens of prompt and 5 of answer.
    expect(await ledger.json("costs", "reprice", "--as", "openai/gpt-4.1")).toMatchObject({
      lines: [{ account: "openai-main", model: "gpt-4.1-mini", mode: "direct", calls: 1, paidNanoUsd: "1234" }],
      total: { directNanoUsd: "60000", batchNanoUsd: "30000", unknownCalls: 1, unknownPaidNanoUsd: "1234" },
    });
    const { data } = await ledger.cli("costs", "reprice", "--as", "openai-main/gpt-4.1-nano", "--until", "2020-01-01");
    expect(data).toEqual([
      expect.stringMatching(/^called +mode +calls/),
      expect.stringMatching(/^total +0 +0 +0 +\$0\.00/),
    ]);
    expect((await ledger.cli("costs", "reprice", "--as", "openai/nothing")).exitCode).toBe(7);
  });

  /** A call whose router died, and whose doubt was then settled by policy. @returns its id. */
  async function settledDoubt(): Promise<string> {
    await ledger.accept({ jobId: "doubtful" });
    const [started] = await ledger.start();
    await ledger.ledger.endSession(ledger.session);
    await ledger.ledger.recoverDeadSessions(ledger.session, 0, () => 30_000, ledger.render);
    await ledger.rows("UPDATE ready SET run_at_ms = 0");
    await ledger.ledger.claim(
      { session: await ledger.ledger.openSession("another"), nowMs: Date.now(), pick: "run", limit: 10 },
      () => ({ kind: "fail", failure: { code: "IN_DOUBT", message: "m", provider: null, retryAtMs: null } }),
      ledger.render,
    );
    if (started === undefined) throw new Error("expected a call");
    return attemptId(started.execution.key.day, started.intent.no);
  }
  const row = (attempt: string, nanoUsd: string): unknown => ({
    ...{ requestId: "r", attempt, inputTokens: 9, cachedInputTokens: 0, cacheWriteTokens: 0, outputTokens: 4, nanoUsd },
    at: new Date(Date.now() + 60_000).toISOString(),
  });

  test("reconcile settles a doubt with what was billed, gives its reservation back, and changes nothing again", async () => {
    const id = await settledDoubt();
    await ledger.rows(
      `INSERT INTO budgets (level, since_ms, settled_nano, reserved_nano) VALUES ('${LEVEL}', 0, 100, 5000);
       UPDATE attempts a SET reserved_in = ARRAY[b.no], max_nano = 5000 FROM budgets b`,
    );
    const open = await ledger.json<Report>("costs", "report");
    expect(open.total).toMatchObject({ paidNanoUsd: "0", inDoubtCalls: 1, inDoubtMaxNanoUsd: "5000" });
    const file = bill("doubt.jsonl", [row(id, "77")]);
    expect(await ledger.json("costs", "reconcile", "--bill", file, "--dry-run")).toMatchObject({
      settled: 1,
      bookedNanoUsd: "0",
    });
    expect(await totals()).toMatchObject({ records: 1 });
    const first = await ledger.json<Reconciled>("costs", "reconcile", "--bill", file);
    expect(first).toMatchObject({ rows: 1, settled: 1, billNanoUsd: "77", bookedNanoUsd: "77", left: {} });
    expect(await ledger.rows("SELECT settled_nano, reserved_nano FROM budgets")).toEqual([
      { settled_nano: "177", reserved_nano: "0" },
    ]);
    const [published] = await ledger.rows("SELECT value FROM outbox WHERE kind = 'cost' ORDER BY no DESC LIMIT 1");
    expect(JSON.parse(String(published?.["value"]))).toMatchObject({
      ...{ kind: "adjustment", billing: "waste", nanoUsd: "77", attemptId: id, inputTokens: 9, outputTokens: 4 },
      correctsCostId: expect.any(String),
    });
    const again = await ledger.json<Reconciled>("costs", "reconcile", "--bill", file);
    expect(again).toMatchObject({ agreed: 1, settled: 0, bookedNanoUsd: "77", left: {} });
    expect(await totals()).toMatchObject({ records: 2 });
    const closed = await ledger.json<Report>("costs", "report");
    expect(closed.total).toMatchObject({ paidNanoUsd: "77", wasteNanoUsd: "77", inDoubtCalls: 0 });
  });

  test("reconcile corrects what budgets counted, once, in the windows that counted it, and to nothing at least", async () => {
    await ledger.accept({ jobId: "a" });
    const [call] = await ledger.start();
    if (call === undefined) throw new Error("expected a call");
    await ledger.answer([call]);
    // Of suspect usage: it counted with its maximum, in two budgets of an hour that is over.
    await ledger.rows(
      `INSERT INTO budgets (level, since_ms, settled_nano) VALUES ('${LEVEL}', 0, 7000), ('${LEVEL}', 3600000, 300), ('low', 0, 10);
       UPDATE attempts SET nano_usd = NULL, max_nano = 5000, counted_in = ARRAY(SELECT no FROM budgets WHERE since_ms = 0)`,
    );
    const id = attemptId(call.execution.key.day, call.intent.no);
    const settled = (): Promise<unknown> => ledger.rows("SELECT settled_nano FROM budgets ORDER BY no");
    const corrected = [{ settled_nano: "2077" }, { settled_nano: "300" }, { settled_nano: "0" }];
    const file = bill("suspect.jsonl", [{ ...(row(id, "77") as object), inputTokens: 10, outputTokens: 5 }]);
    expect(await ledger.json("costs", "reconcile", "--bill", file)).toMatchObject({ settled: 1, left: {} });
    expect(await settled()).toEqual(corrected);
    expect(await ledger.json("costs", "reconcile", "--bill", file)).toMatchObject({ settled: 0, agreed: 1 });
    expect(await settled()).toEqual(corrected);
  });

  test("reconcile takes a doubt that a complete bill does not name as not billed, and lets a later bill correct it", async () => {
    const id = await settledDoubt();
    const without = bill("without.jsonl", []);
    const flags = ["--account", "openai-main", "--until", new Date(Date.now() + 60_000).toISOString()];
    expect(await ledger.json("costs", "reconcile", "--bill", without)).toMatchObject({ settled: 0, notBilled: 0 });
    expect(await ledger.json("costs", "reconcile", "--bill", without, ...flags)).toMatchObject({
      settled: 1,
      notBilled: 1,
    });
    expect(await totals()).toMatchObject({ paid: "0" });
    const later = bill("later.jsonl", [row(id, "90")]);
    expect(await ledger.json("costs", "reconcile", "--bill", later)).toMatchObject({ settled: 1, bookedNanoUsd: "90" });
    expect(await ledger.json("costs", "reconcile", "--bill", later)).toMatchObject({ settled: 0, agreed: 1 });
    expect(await totals()).toMatchObject({ paid: "90" });
  });

  test("reconcile settles a doubt that a router before this version stored as costing nothing", async () => {
    await settledDoubt();
    await ledger.rows("UPDATE attempts SET nano_usd = 0");
    const flags = ["--account", "openai-main", "--until", new Date(Date.now() + 60_000).toISOString()];
    const without = bill("without.jsonl", []);
    const settled = await ledger.json("costs", "reconcile", "--bill", without, ...flags);
    expect(settled).toMatchObject({ settled: 1, notBilled: 1 });
    const again = await ledger.json("costs", "reconcile", "--bill", without, ...flags);
    expect(again).toMatchObject({ settled: 0, notBilled: 0, left: {} });
  });

  test("reconcile leaves to people what it can't know, and says each with its line", async () => {
    await ledger.accept({ jobId: "a" }, { jobId: "b" });
    const calls = await ledger.start();
    await ledger.answer(calls);
    const [a, b] = calls.map(({ execution, intent }) => attemptId(execution.key.day, intent.no));
    const known = { ...(row(a ?? "", "1234") as object), inputTokens: 10, outputTokens: 5 };
    const file = bill("left.jsonl", [
      known,
      known,
      "no json",
      row("0000-00", "5"),
      { ...(row(b ?? "", "1235") as object) },
    ]);
    const { exitCode, data } = await ledger.cli("costs", "reconcile", "--bill", file, "--json");
    expect(exitCode).toBe(6);
    const { findings, ...rest } = JSON.parse(data[0] ?? "") as Reconciled;
    expect(rest).toMatchObject({
      rows: 4,
      agreed: 1,
      settled: 0,
      left: { bad_row: 1, row_again: 1, row_without_attempt: 1, difference: 1 },
    });
    expect(findings.map(({ kind, line }) => [kind, line])).toEqual([
      ["bad_row", 3],
      ["row_again", 2],
      ["row_without_attempt", 4],
      ["difference", 5],
    ]);
    const short = bill("short.jsonl", [known]);
    expect((await ledger.cli("costs", "reconcile", "--bill", short)).data.slice(-3)).toEqual([
      expect.stringMatching(/^left +line +attempt +why$/),
      expect.stringMatching(/^attempt without row +- +\S+ +booked 1234 nano-dollars, not on the bill$/),
      "left: 1 attempt without row",
    ]);
    expect((await ledger.cli("costs", "reconcile", "--bill", join(folder, "none.jsonl"))).exitCode).toBe(7);
    expect((await ledger.cli("costs", "reconcile", "--bill", short, "--account", "nobody")).exitCode).toBe(7);
  });
});

describe("with a router and the simulator's bill", () => {
  let gateway: Gateway;
  afterEach(async () => {
    await gateway.close();
  });

  test("calls, lines, shared answers, doubts and suspect usage: after reconciling, report, ledger and bill are one sum", async () => {
    gateway = await openBatchGateway("costs", {
      faults: [
        { match: { operation: "openai.chat", nth: 1 }, fault: { kind: "drop_after_billed" } },
        { match: { operation: "openai.chat", nth: 2 }, fault: { kind: "wrong_usage", how: "missing" } },
      ],
    });
    await gateway.startRouter();
    await publishJobs(gateway, ["doubtful"], { mode: "direct" });
    await gateway.until("the doubtful call", async () => (await gateway.simulator.bill()).length === 1);
    const calls = ["one", "two", "three"];
    await publishJobs(gateway, calls, { mode: "direct" });
    const lines = ["line 1", "line 2", "line 3", "line 4"];
    await publishJobs(gateway, lines);
    await gateway.topics.publish([{ value: chatJob("joined", "line 1") }]);
    await resultsFor(gateway, ["doubtful", ...calls, ...lines, "joined"]);
    await gateway.until(
      "the settled doubt",
      async () => (await gateway.query("SELECT 1 FROM attempts WHERE state IN ('sending', 'in_doubt')")).length === 0,
    );

    const before = (await gateway.cliJson("costs", "report", "--by", "model,mode")) as Report;
    expect(before.lines.map(({ model, mode, jobs }) => [model, mode, jobs])).toEqual([
      ["gpt-4.1-mini", "batch", 5],
      ["gpt-4.1-mini", "direct", 4],
    ]);
    expect([before.total.inDoubtCalls, before.total.suspectCalls]).toEqual([1, 1]);
    const [batch] = before.lines;
    if (batch === undefined) throw new Error("expected a line");
    expect(BigInt(batch.savedBatchNanoUsd) > 0n && BigInt(batch.savedCoalescedNanoUsd) > 0n).toBe(true);
    expect([...before.lines, before.total].every(isWhole)).toBe(true);

    const rows = await gateway.simulator.bill();
    const billed = await gateway.simulator.billedNanoUsd();
    const file = bill("simulator.jsonl", [...rows]);
    const first = (await gateway.cliJson("costs", "reconcile", "--bill", file)) as Reconciled;
    expect(first).toMatchObject({ rows: rows.length, settled: 2, agreed: rows.length - 2, left: {} });
    expect([first.billNanoUsd, first.bookedNanoUsd]).toEqual([String(billed), String(billed)]);
    const records = (): Promise<readonly unknown[]> =>
      gateway.query(
        "SELECT count(*)::int AS records, sum(nano_usd)::text AS paid, sum(list_nano) FILTER (WHERE nano_usd IS NOT NULL)::text AS list FROM costs",
      );
    const after = (await gateway.cliJson("costs", "report", "--by", "tenant")) as Report;
    expect(after.total).toMatchObject({ paidNanoUsd: String(billed), inDoubtCalls: 0, suspectCalls: 0 });
    const once = await records();
    expect(once).toMatchObject([{ paid: String(billed), list: after.total.listNanoUsd }]);
    expect(isWhole(after.total)).toBe(true);

    const again = (await gateway.cliJson("costs", "reconcile", "--bill", file)) as Reconciled;
    expect(again).toMatchObject({ settled: 0, agreed: rows.length, left: {} });
    expect(await records()).toEqual(once);
  });
});
