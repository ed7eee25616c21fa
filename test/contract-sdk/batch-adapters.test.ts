import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { PROVIDER_BATCH_STATES, type ProviderBatch } from "../../src/domain/batch/provider-batch.js";
import type { BatchWay } from "../../src/domain/batch/batch-rules.js";
import { chargeNanoUsd } from "../../src/domain/cost/charge.js";
import { listedModel, parsePriceTable } from "../../src/domain/cost/price-table.js";
import type { RequestFormat } from "../../src/domain/job/job.js";
import { attemptId } from "../../src/domain/job/ids.js";
import { readAnswerTexts } from "../../src/domain/format/expected-json.js";
import type {
  BatchCreate,
  BatchLineRequest,
  BatchProvider,
  LineOutcome,
  ResultItem,
} from "../../src/ports/batch-provider.js";
import type { ResultsCursor } from "../../src/domain/batch/provider-batch.js";
import { startSimulator, type BillRow, type FaultRule, type Simulator } from "../../src/simulator/simulator.js";
import { batchAccount, LIMITS, NEVER, SEND } from "../support/batch-account.js";

/**
 * Each batch adapter against the provider simulator, from lines to a bill: uploaded, created, found again, polled to its end while the
 * simulated time runs, ingested, every line accounted, and what our price table makes of the outcomes equal to the bill, line by line.
 */

type Kind = "openai" | "anthropic" | "gemini";
interface Leg {
  readonly name: string;
  readonly kind: Kind;
  readonly way: BatchWay;
  readonly lineFormat: RequestFormat;
  readonly models: readonly string[];
  /** Formats of the jobs, in turn. */
  readonly formats: readonly RequestFormat[];
}

const CHATS: readonly RequestFormat[] = ["openai.chat", "anthropic.messages", "gemini.generate"];
const LEGS: readonly Leg[] = [
  {
    name: "OpenAI, chats",
    kind: "openai",
    way: "file",
    lineFormat: "openai.chat",
    models: ["gpt-4.1-mini"],
    formats: CHATS,
  },
  {
    name: "OpenAI, embeddings",
    kind: "openai",
    way: "file",
    lineFormat: "openai.embeddings",
    models: ["text-embedding-3-small"],
    formats: ["openai.embeddings"],
  },
  {
    name: "Anthropic, models mixed",
    kind: "anthropic",
    way: "inline",
    lineFormat: "anthropic.messages",
    models: ["claude-haiku-4-5", "claude-sonnet-4-5"],
    formats: CHATS,
  },
  {
    name: "Gemini, from a file",
    kind: "gemini",
    way: "file",
    lineFormat: "gemini.generate",
    models: ["gemini-2.5-flash"],
    formats: CHATS,
  },
  {
    name: "Gemini, inline",
    kind: "gemini",
    way: "inline",
    lineFormat: "gemini.generate",
    models: ["gemini-2.5-flash"],
    formats: CHATS,
  },
  {
    name: "Gemini, embeddings",
    kind: "gemini",
    way: "file",
    lineFormat: "gemini.embed",
    models: ["gemini-embedding-001"],
    formats: ["gemini.embed", "openai.embeddings"],
  },
];

const PRICING = new URL("../../schemas/pricing.json", import.meta.url);
const TABLE = parsePriceTable(readFileSync(PRICING, "utf8"));
const LINES = 120;
const HOUR_MS = 3_600_000;

let simulator: Simulator;
let folder = "";
let serial = 0;
const opened: BatchProvider[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "batch-adapters-"));
  simulator = await startSimulator({ billFile: join(folder, "bill.jsonl"), pricingFile: PRICING.pathname });
});
afterAll(async () => {
  await simulator.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => control("faults", []));
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

async function control(path: string, body: unknown): Promise<void> {
  const answer = await fetch(`${simulator.url}/simulator/${path}`, { method: "POST", body: JSON.stringify(body) });
  if (answer.status !== 200) throw new Error(await answer.text());
}

async function account(kind: Kind): Promise<BatchProvider> {
  const paths = { openai: "/v1", anthropic: "", gemini: "/v1beta" } as const;
  const one = await batchAccount(kind, simulator.url + paths[kind]);
  opened.push(one);
  return one;
}

/** What a job asks, by its format. */
const BODIES: Readonly<Partial<Record<RequestFormat, (prompt: string) => object>>> = {
  "openai.chat": (content) => ({ messages: [{ role: "user", content }] }),
  "anthropic.messages": (content) => ({ max_tokens: 64, messages: [{ role: "user", content }] }),
  "gemini.generate": (text) => ({ contents: [{ role: "user", parts: [{ text }] }] }),
  "openai.embeddings": (input) => ({ input }),
  "gemini.embed": (text) => ({ content: { parts: [{ text }] } }),
};

interface Job extends BatchLineRequest {
  readonly prompt: string;
}

function jobsOf(leg: Leg, count = LINES): readonly Job[] {
  serial += 1;
  const day = serial;
  return Array.from({ length: count }, (_none, index) => {
    const format = leg.formats[index % leg.formats.length]!;
    const prompt = `question ${String(day)}.${String(index)} ü \u2028 ${"of some length ".repeat(index % 7)}`;
    const model = leg.models[index % leg.models.length]!;
    const id = attemptId(day, index);
    return {
      attemptId: id,
      format,
      model,
      bodyText: JSON.stringify(BODIES[format]!(prompt)),
      maxOutputTokensDefault: 90,
      prompt,
    };
  });
}

/** What goes into the batch, made while it is pulled. */
function encoded(one: BatchProvider, leg: Leg, jobs: readonly Job[]): Pick<Uploads, "lines" | "linesBytes"> {
  const bytesOf = (job: Job): Buffer => {
    const line = one.encodeLine(job, leg.way);
    if (line.kind === "not_carried") throw new Error(line.reasons.join("; "));
    expect(line.lineFormat).toBe(leg.lineFormat);
    return line.bytes;
  };
  async function* each(): AsyncGenerator<Uint8Array> {
    for (const job of jobs) yield await Promise.resolve(bytesOf(job));
  }
  return { lines: each(), linesBytes: jobs.reduce((sum, job) => sum + bytesOf(job).length + 1, 0) };
}
type Uploads = Parameters<BatchProvider["upload"]>[0];

async function inputOf(
  one: BatchProvider,
  leg: Leg,
  jobs: readonly Job[],
  name: string,
): Promise<BatchCreate["input"]> {
  const source = encoded(one, leg, jobs);
  if (leg.way === "inline") return { way: "inline", ...source };
  const reply = await one.upload({ name, ...source }, LIMITS, NEVER);
  if (reply.kind === "failed") throw new Error(reply.message);
  expect(reply.file.bytes).toBe(source.linesBytes);
  await readyFile(one, name);
  return { way: "file", fileId: reply.file.fileId };
}

/** A provider may look at a file first; until then no batch can be made of it. */
async function readyFile(one: BatchProvider, name: string): Promise<void> {
  for (let look = 0; look < 100; look += 1) {
    const reply = await one.findFiles({ name, sinceMs: 0 }, LIMITS, NEVER);
    if (reply.kind === "files" && reply.files[0]?.state === "ready") return;
    await control("clock", { advanceMs: 10_000 });
  }
  throw new Error(`${name} did not become ready`);
}

const nameOf = (): string => `b-${String(serial)}-1`;

function createOf(leg: Leg, input: BatchCreate["input"]): BatchCreate {
  const model = leg.models.length === 1 ? leg.models[0]! : null;
  return { mark: `b-${String(serial)}.1`, lineFormat: leg.lineFormat, model, input };
}

async function createdBatch(one: BatchProvider, leg: Leg, jobs: readonly Job[]): Promise<ProviderBatch> {
  const reply = await one.create(createOf(leg, await inputOf(one, leg, jobs, nameOf())), SEND, NEVER);
  if (reply.kind !== "created") throw new Error(JSON.stringify(reply));
  return reply.batch;
}

/** Polls while the simulated time runs, hour by hour. */
async function ended(one: BatchProvider, batchId: string): Promise<ProviderBatch> {
  for (let look = 0; look < 400; look += 1) {
    const reply = await one.get(batchId, LIMITS, NEVER);
    if (reply.kind === "batch" && PROVIDER_BATCH_STATES[reply.batch.state].ended) return reply.batch;
    await control("clock", { advanceMs: HOUR_MS });
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error("the batch did not end");
}

async function ingested(
  one: BatchProvider,
  leg: Leg,
  { batchId, results }: ProviderBatch,
  cursor: ResultsCursor | null = null,
): Promise<readonly ResultItem[]> {
  const items: ResultItem[] = [];
  const request = { batchId, lineFormat: leg.lineFormat, parts: results, cursor };
  for await (const item of one.results(request, LIMITS, NEVER)) items.push(item);
  return items;
}

function outcomesOf(items: readonly ResultItem[]): ReadonlyMap<string, LineOutcome> {
  return new Map(items.flatMap((item) => (item.kind === "line" ? [[item.customId, item.outcome] as const] : [])));
}

function billOf(jobs: readonly Job[]): ReadonlyMap<string, BillRow> {
  const ids = new Set(jobs.map((job) => job.attemptId));
  const rows = readFileSync(join(folder, "bill.jsonl"), "utf8").split("\n").filter(Boolean);
  const mine = rows.map((row) => JSON.parse(row) as BillRow).filter(({ attempt }) => ids.has(attempt ?? ""));
  expect(new Set(mine.map(({ attempt }) => attempt)).size).toBe(mine.length); // no line was billed twice
  return new Map(mine.map((row) => [row.attempt!, row]));
}

/** Nano-dollars by our own table, for the model that answered where it says so. */
function chargeOf(leg: Leg, job: Job, outcome: LineOutcome): string | null {
  if (outcome.kind === "failed") return null;
  expect(outcome.usageSuspect).toBe(false);
  const price = listedModel(TABLE, leg.kind, outcome.modelVersion ?? job.model)?.batchPrice;
  if (price === null || price === undefined) throw new Error(`no batch price of ${job.model}`);
  const charge = chargeNanoUsd(outcome.usage, price);
  return charge.kind === "charged" ? charge.nanoUsd.toString() : null;
}

function compareWithBill(leg: Leg, jobs: readonly Job[], outcomes: ReadonlyMap<string, LineOutcome>): void {
  const bill = billOf(jobs);
  const charged = jobs.flatMap((job) => {
    const outcome = outcomes.get(job.attemptId);
    const nanoUsd = outcome === undefined ? null : chargeOf(leg, job, outcome);
    return nanoUsd === null ? [] : [[job.attemptId, nanoUsd] as const];
  });
  expect(charged).toEqual(
    jobs.flatMap(({ attemptId: id }) => (bill.has(id) ? [[id, bill.get(id)!.nanoUsd] as const] : [])),
  );
}

const digestOf = (prompt: string): string => createHash("sha256").update(prompt).digest("hex").slice(0, 32);

describe.each(LEGS)("a batch of $name", (leg) => {
  test("comes home whole, each answer under its own id, and costs what the bill says", async () => {
    const one = await account(leg.kind);
    const jobs = jobsOf(leg);
    const sinceMs = Date.now() - 60_000;
    const batch = await createdBatch(one, leg, jobs);
    // Found again by what the provider keeps: our mark, the file, or the number of its lines.
    const list = await one.list({ sinceMs, after: null }, LIMITS, NEVER);
    const batches = list.kind === "page" ? list.batches : [];
    const mark = one.rules.markCharactersMax === null ? null : `b-${String(serial)}.1`;
    expect(batches.filter(({ batchId }) => batchId === batch.batchId)).toMatchObject([{ mark, fileId: batch.fileId }]);
    if (leg.way === "file") {
      const files = await one.findFiles({ name: nameOf(), sinceMs: 0 }, LIMITS, NEVER);
      expect(files).toMatchObject({ kind: "files", files: [{ fileId: batch.fileId, name: nameOf(), state: "ready" }] });
    }
    const end = await ended(one, batch.batchId);
    expect(end).toMatchObject({ state: "completed", unknownWord: null, counts: { total: LINES, succeeded: LINES } });
    const items = await ingested(one, leg, end);
    expect(items.filter(({ kind }) => kind !== "line")).toMatchObject([{ kind: "end" }]);
    const outcomes = outcomesOf(items);
    expect([...outcomes.keys()].sort()).toEqual(jobs.map((job) => job.attemptId).sort());
    compareWithBill(leg, jobs, outcomes);
    expect(billOf(jobs).size).toBe(LINES);
    for (const job of jobs) {
      const outcome = outcomes.get(job.attemptId);
      if (outcome?.kind !== "answered") throw new Error(`${job.attemptId} was not answered`);
      const answer = one.answerIn(job, outcome);
      expect([answer.unfit, answer.empty]).toEqual([undefined, false]);
      if (CHATS.includes(job.format))
        expect(readAnswerTexts(job.format, answer.bodyText).join("\n")).toContain(`digest=${digestOf(job.prompt)}`);
    }
  });

  test("is read on from any cursor, and erased when it is not needed any more", async () => {
    const one = await account(leg.kind);
    const jobs = jobsOf(leg, 30);
    const batch = await ended(one, (await createdBatch(one, leg, jobs)).batchId);
    const items = await ingested(one, leg, batch);
    const tenth = items[9];
    const rest = await ingested(one, leg, batch, tenth?.kind === "line" ? tenth.cursor : null);
    expect(rest).toEqual(items.slice(10));
    expect(await one.erase({ ...batch, parts: batch.results }, LIMITS, NEVER)).toEqual({ kind: "erased" });
    const after = await ingested(one, leg, batch);
    expect(after.map(({ kind }) => kind)).toEqual(["gone", "end"]);
    expect(await one.erase({ ...batch, parts: batch.results }, LIMITS, NEVER)).toEqual({ kind: "erased" });
  });

  test("whose create answer is lost is there all the same, once, and is found", async () => {
    const one = await account(leg.kind);
    const jobs = jobsOf(leg, 17 + LEGS.indexOf(leg));
    const input = await inputOf(one, leg, jobs, nameOf());
    const rule: FaultRule = { match: { path: "*", nth: 1 }, fault: { kind: "drop_after_billed" } };
    await control("faults", [rule]);
    expect(await one.create(createOf(leg, input), SEND, NEVER)).toMatchObject({
      kind: "unclear",
      failure: { sent: "perhaps" },
    });
    await control("faults", []);
    const list = await one.list({ sinceMs: Date.now() - 60_000, after: null }, LIMITS, NEVER);
    const batches = list.kind === "page" ? list.batches : [];
    const known = one.rules.markCharactersMax !== null;
    const mine = batches.filter(({ mark, counts }) =>
      known ? mark === `b-${String(serial)}.1` : counts.total === jobs.length,
    );
    expect(mine.length).toBe(1);
    const outcomes = outcomesOf(await ingested(one, leg, await ended(one, mine[0]!.batchId)));
    expect(outcomes.size).toBe(jobs.length);
    compareWithBill(leg, jobs, outcomes);
  });

  test("that is cancelled keeps what was done, and is charged for that alone", async () => {
    const one = await account(leg.kind);
    const jobs = jobsOf(leg, 40);
    await control("faults", [{ fault: { kind: "batch_cancelled", share: 0.5 } }]);
    const batch = await ended(one, (await createdBatch(one, leg, jobs)).batchId);
    const outcomes = outcomesOf(await ingested(one, leg, batch));
    compareWithBill(leg, jobs, outcomes);
    const done = [...outcomes.values()].filter(({ kind }) => kind === "answered").length;
    expect(done).toBeLessThan(jobs.length);
    for (const outcome of outcomes.values())
      if (outcome.kind === "failed") expect([outcome.outcome, outcome.billed]).toEqual(["cancelled", "by_rule"]);
    expect(await one.cancel(batch.batchId, LIMITS, NEVER)).toEqual({ kind: "ended" });
  });

  test("with lines that fail has each told its own error, and none of them charged", async () => {
    const one = await account(leg.kind);
    const jobs = jobsOf(leg, 40);
    await control("faults", [{ fault: { kind: "batch_lines_fail", share: 0.25, status: 500 } }]);
    const batch = await ended(one, (await createdBatch(one, leg, jobs)).batchId);
    const outcomes = outcomesOf(await ingested(one, leg, batch));
    expect(outcomes.size).toBe(40);
    const failed = [...outcomes.values()].flatMap((outcome) => (outcome.kind === "failed" ? [outcome.outcome] : []));
    expect(failed).toEqual(Array.from({ length: 10 }, () => "overloaded"));
    compareWithBill(leg, jobs, outcomes);
    expect(billOf(jobs).size).toBe(30);
  });
});

/** What an item is about, with how often: order and cursors differ between providers. */
function tally(items: readonly ResultItem[]): Readonly<Record<string, number>> {
  const words = items.map((item) => {
    if (item.kind === "line") return item.outcome.kind === "answered" ? "answered" : item.outcome.outcome;
    return item.kind === "malformed" ? `malformed ${item.because}` : item.kind;
  });
  const counts: Record<string, number> = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}

const CHAT_LEGS = LEGS.filter(({ formats }) => formats === CHATS);
const FILE_LEGS = CHAT_LEGS.filter(({ name }) => name !== "Gemini, inline");

async function faulty(leg: Leg, fault: FaultRule["fault"], count = 20) {
  const one = await account(leg.kind);
  const jobs = jobsOf(leg, count);
  await control("faults", [{ fault }]);
  const batch = await ended(one, (await createdBatch(one, leg, jobs)).batchId);
  return { one, jobs, batch, items: await ingested(one, leg, batch) };
}

describe.each(CHAT_LEGS)("results of $name", (leg) => {
  test("with lines missing are short by those, which were charged", async () => {
    const { jobs, items } = await faulty(leg, { kind: "batch_lines_missing", share: 0.25 });
    expect(tally(items)).toEqual({ answered: 15, end: 1 });
    expect(billOf(jobs).size).toBe(20);
  });

  test("with lines twice have the first one stand, and lines that nobody asked for have their own id", async () => {
    const { jobs, items } = await faulty(leg, { kind: "batch_lines_repeated", share: 0.25, different: true });
    expect(tally(items)).toEqual({ answered: 25, end: 1 });
    expect(outcomesOf(items).size).toBe(20);
    const unknown = await faulty(leg, { kind: "batch_lines_unknown", count: 2 });
    const ids = [...outcomesOf(unknown.items).keys()].filter((id) => id.startsWith("unknown-")).sort();
    expect(ids).toEqual(["unknown-1", "unknown-2"]);
    expect(jobs.length).toBe(20);
  });

  test("in another order are still each under their own id", async () => {
    const { jobs, items } = await faulty(leg, { kind: "batch_lines_reordered" });
    const outcomes = outcomesOf(items);
    expect([...outcomes.keys()]).not.toEqual(jobs.map((job) => job.attemptId));
    compareWithBill(leg, jobs, outcomes);
    expect(outcomes.size).toBe(20);
  });

  test("of a batch whose window ran out are what it did until then, as far as the provider hands it over", async () => {
    const { one, jobs, batch, items } = await faulty(leg, { kind: "batch_expires", share: 0.5 });
    if (!one.rules.expiredKeepsResults) {
      expect([batch.state, tally(items)]).toEqual(["expired", { end: 1 }]);
      return;
    }
    const { answered = 0, line_expired: expired = 0 } = tally(items);
    expect([answered, expired]).toEqual([10, 10]);
    compareWithBill(leg, jobs, outcomesOf(items));
  });

  test("come after status words that nobody knows, which mean that it still goes on", async () => {
    const one = await account(leg.kind);
    const jobs = jobsOf(leg, 5);
    await control("faults", [{ fault: { kind: "batch_strange_state", word: "dreaming", reads: 3 } }]);
    const { batchId } = await createdBatch(one, leg, jobs);
    const words = new Set<string | null>();
    for (let look = 0; look < 30; look += 1) {
      const reply = await one.get(batchId, LIMITS, NEVER);
      if (reply.kind === "batch") {
        words.add(reply.batch.unknownWord);
        if (reply.batch.unknownWord !== null) expect(reply.batch.state).toBe("running");
      }
      await control("clock", { advanceMs: HOUR_MS / 12 });
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect([...words].map((word) => word?.toLowerCase() ?? null)).toContain("dreaming");
    expect(tally(await ingested(one, leg, await ended(one, batchId)))).toEqual({ answered: 5, end: 1 });
  });
});

describe.each(FILE_LEGS)("the results file of $name", (leg) => {
  test.each<["bom" | "crlf" | "blank_lines" | "nul" | "bad_line", readonly string[]]>([
    ["bom", []],
    ["crlf", []],
    ["blank_lines", []],
    ["nul", ["malformed not_json"]],
    ["bad_line", ["malformed not_json"]],
  ])("with %s keeps its good lines", async (how, others) => {
    const { items } = await faulty(leg, { kind: "batch_file_damaged", how });
    const { answered = 0, ...rest } = tally(items);
    expect(answered).toBeGreaterThanOrEqual(19);
    expect(Object.keys(rest).sort()).toEqual(["end", ...others].sort());
  });

  test("that ends within a line says where, so that it is fetched again from there", async () => {
    const { one, batch, items } = await faulty(leg, { kind: "batch_file_damaged", how: "cut" });
    expect(tally(items)).toEqual({ answered: 19, "malformed cut": 1, end: 1 });
    const cut = items.find(({ kind }) => kind === "malformed");
    const again = await ingested(one, leg, batch, cut?.kind === "malformed" ? cut.cursor : null);
    expect(tally(again)).toEqual({ "malformed cut": 1, end: 1 });
  });

  test("that is gone says so, and one that breaks off is read on from its cursor", async () => {
    expect(tally((await faulty(leg, { kind: "batch_file_gone" })).items)).toEqual({ gone: 1, end: 1 });
    await control("faults", []);
    const { one, batch } = await faulty(leg, { kind: "batch_lines_reordered" });
    const rule: FaultRule = { match: { nth: 1 }, fault: { kind: "truncate" } };
    await control("faults", [rule]);
    const first = await ingested(one, leg, batch);
    const last = first.at(-1);
    if (last?.kind !== "broken") throw new Error("expected the results to break off");
    const second = await ingested(one, leg, batch, last.cursor);
    expect(outcomesOf([...first, ...second]).size).toBe(20);
    expect(first.length - 1 + second.length - 1).toBe(20);
  });
});

describe("a batch that is refused as a whole", () => {
  const [openai] = CHAT_LEGS;

  test("for a line says which, and nothing is charged", async () => {
    const { jobs, batch } = await faulty(openai!, { kind: "batch_refused", code: "invalid_json_line", line: 3 });
    expect(batch).toMatchObject({
      state: "failed",
      results: [],
      refusal: { because: "bad_line", lines: [{ lineNumber: 3, code: "invalid_json_line" }] },
    });
    expect(billOf(jobs).size).toBe(0);
  });

  test("for a full queue says that it may come later", async () => {
    const { batch } = await faulty(openai!, { kind: "batch_queue_full" });
    expect(batch).toMatchObject({ state: "failed", refusal: { because: "queue_full", lines: [] } });
  });

  test("since its file was deleted: the fence holds against a create that comes late", async () => {
    for (const leg of CHAT_LEGS.filter(({ way }) => way === "file")) {
      const one = await account(leg.kind);
      const jobs = jobsOf(leg, 3);
      const input = await inputOf(one, leg, jobs, nameOf());
      if (input.way !== "file") throw new Error("expected a file");
      expect(await one.deleteFile(input.fileId, LIMITS, NEVER)).toEqual({ kind: "deleted" });
      const reply = await one.create(createOf(leg, input), SEND, NEVER);
      expect(reply).toMatchObject({ kind: "refused", refusal: { because: "file_gone" } });
      expect(billOf(jobs).size).toBe(0);
    }
  });
});
