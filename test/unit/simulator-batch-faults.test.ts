/** Each fault of a batch, as its caller sees it, and what it does to the bill. */
import { describe, expect, test } from "@jest/globals";
import type { FaultRule } from "../../src/simulator/simulator.js";
import {
  batch,
  batchWhen,
  contentOf,
  createBatch,
  finalBatch,
  idsIn,
  line,
  lines,
  orderBatch,
  upload,
} from "../support/simulator-batches.js";
import {
  OPENAI_HEADERS,
  control,
  rows,
  send,
  simulator,
  simulatorForEachTest,
  until,
} from "../support/simulator-harness.js";

simulatorForEachTest();

async function faults(...rules: readonly FaultRule[]): Promise<void> {
  expect((await control("/simulator/faults", "POST", rules)).status).toBe(200);
}

async function listed(): Promise<readonly string[]> {
  const { json } = await send("/v1/batches", OPENAI_HEADERS, null, "GET");
  return (json.data as { id: string }[]).map((one) => one.id);
}

/** The batch of six lines under this fault, when it is final. */
async function six(fault: FaultRule["fault"]): Promise<any> {
  await faults({ fault });
  return finalBatch(await createBatch(lines(6)));
}

const ALL = ["line-1", "line-2", "line-3", "line-4", "line-5", "line-6"];

describe("a batch", () => {
  test("is hidden from lists and from its own address for a while", async () => {
    await faults({ fault: { kind: "batch_hidden", listMs: 150, getMs: 100 } });
    const id = await createBatch(lines(1));
    expect([await listed(), (await batch(id)).error.message]).toEqual([[], expect.stringContaining(id)]);
    await until(async () => (await batch(id)).id === id);
    await until(async () => (await listed()).includes(id));
  });

  test("stays in validating, whatever the time", async () => {
    await faults({ fault: { kind: "batch_stuck", state: "validating" } });
    const id = await createBatch(lines(2));
    await control("/simulator/clock", "POST", { advanceMs: 3 * 86_400_000 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect((await batch(id)).status).toBe("validating");
    await send(`/v1/batches/${id}/cancel`, OPENAI_HEADERS, null);
    expect(await finalBatch(id)).toMatchObject({ status: "cancelled", output_file_id: null, error_file_id: null });
    expect(rows()).toEqual([]);
  });

  test("stays in progress with all lines done, until it expires with their results", async () => {
    const end = await six({ kind: "batch_stuck", state: "in_progress" });
    expect(end).toMatchObject({ status: "expired", request_counts: { total: 6, completed: 6, failed: 0 } });
    expect(await idsIn(end.output_file_id)).toEqual(ALL);
  });

  test("stays in finalizing with counts at a hundred percent", async () => {
    await faults({ fault: { kind: "batch_stuck", state: "finalizing" } });
    const id = await createBatch(lines(2));
    await batchWhen(id, (seen) => seen.status === "finalizing");
    await control("/simulator/clock", "POST", { advanceMs: 3 * 86_400_000 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await batch(id)).toMatchObject({ status: "finalizing", request_counts: { total: 2, completed: 2 } });
  });

  test("expires half done, and is billed for what was done", async () => {
    const end = await six({ kind: "batch_expires", share: 0.5 });
    expect(end).toMatchObject({ status: "expired", request_counts: { total: 6, completed: 3, failed: 0 } });
    expect(await idsIn(end.output_file_id)).toEqual(ALL.slice(0, 3));
    expect(await idsIn(end.error_file_id)).toEqual(ALL.slice(3));
    expect(rows().map((row) => row.attempt)).toEqual(ALL.slice(0, 3));
  });

  test("is cancelled by somebody, with partial results", async () => {
    const end = await six({ kind: "batch_cancelled", share: 0.4 });
    expect(end.status).toBe("cancelled");
    expect(await idsIn(end.output_file_id)).toEqual(ALL.slice(0, 3));
    expect(await idsIn(end.error_file_id)).toEqual(ALL.slice(3));
    expect(rows()).toHaveLength(3);
  });

  test("is refused as a whole for one line", async () => {
    const end = await six({ kind: "batch_refused", line: 4 });
    expect(end).toMatchObject({ status: "failed", errors: { data: [{ code: "invalid_json_line", line: 4 }] } });
    expect(rows()).toEqual([]);
  });

  test("is refused for the tokens that are enqueued, after its creation went well", async () => {
    const end = await six({ kind: "batch_queue_full" });
    expect(end.status).toBe("failed");
    expect(end.errors.data).toEqual([
      { code: "token_limit_exceeded", message: expect.any(String), param: null, line: null },
    ]);
  });

  test("has only an error file when every line failed", async () => {
    const end = await six({ kind: "batch_lines_fail" });
    expect(end).toMatchObject({
      status: "completed",
      output_file_id: null,
      request_counts: { total: 6, completed: 0, failed: 6 },
    });
    expect(await idsIn(end.error_file_id)).toEqual(ALL);
    expect(rows()).toEqual([]);
  });

  test("has rows without a real status", async () => {
    const end = await six({ kind: "batch_lines_fail", share: 0.5, status: 0 });
    const [first] = (await contentOf(end.error_file_id as string)).text.split("\n");
    expect(JSON.parse(first!)).toMatchObject({ custom_id: "line-1", response: { status_code: 0 }, error: null });
    expect(await idsIn(end.output_file_id)).toEqual(["line-2", "line-4", "line-6"]);
  });

  test("misses lines that were done and billed", async () => {
    const end = await six({ kind: "batch_lines_missing", share: 0.5 });
    expect(end.request_counts).toEqual({ total: 6, completed: 6, failed: 0 });
    expect(await idsIn(end.output_file_id)).toEqual(["line-2", "line-4", "line-6"]);
    expect(rows().map((row) => row.attempt)).toEqual(ALL);
  });

  test.each([false, true])("repeats lines (different: %p), billed once", async (different) => {
    const end = await six({ kind: "batch_lines_repeated", share: 0.2, different });
    // Of six lines a fifth is ceil(1.2): the first, and the one at which n / 5 passes a whole number.
    expect(await idsIn(end.output_file_id)).toEqual(["line-1", ...ALL].concat("line-6").sort());
    const [first, second] = (await contentOf(end.output_file_id as string)).text.split("\n");
    expect(first === second).toBe(!different);
    expect(rows().map((row) => row.attempt)).toEqual(ALL);
  });

  test("has lines that nobody asked for", async () => {
    const end = await six({ kind: "batch_lines_unknown", count: 2 });
    const ids = await idsIn(end.output_file_id);
    expect(ids).toEqual(["line-1", "unknown-1", "line-2", "unknown-2", ...ALL.slice(2)]);
    expect(rows().map((row) => row.attempt)).toEqual(ALL);
  });

  test("has its lines in another order, none of them where it was", async () => {
    const end = await six({ kind: "batch_lines_reordered" });
    const ids = await idsIn(end.output_file_id);
    expect([...ids].sort()).toEqual(ALL);
    expect(ids.filter((id, at) => id === ALL[at])).toEqual([]);
  });

  test.each([
    ["cut", (text: string) => !text.endsWith("\n") && text.split("\n").length === 6],
    ["bom", (text: string) => text.startsWith("\u{feff}{")],
    ["crlf", (text: string) => text.split("\r\n").length === 7],
    ["blank_lines", (text: string) => text.split("\n\n").length === 3],
    ["nul", (text: string) => text.includes("\n\0\0\0\0\n")],
    ["bad_line", (text: string) => text.split("\n").length === 8 && !text.split("\n")[1]!.endsWith("}")],
  ] as const)("has a damaged results file: %s", async (how, holds) => {
    const end = await six({ kind: "batch_file_damaged", how });
    const { json: file } = await send(`/v1/files/${end.output_file_id}`, OPENAI_HEADERS, null, "GET");
    const response = await fetch(`${simulator.url}/v1/files/${end.output_file_id}/content`, {
      headers: OPENAI_HEADERS,
    });
    // Not by text(): that would drop a BOM.
    const bytes = Buffer.from(await response.arrayBuffer());
    expect(holds(bytes.toString("utf8"))).toBe(true);
    expect(file.bytes).toBe(bytes.length);
  });

  test("names result files that are gone", async () => {
    const end = await six({ kind: "batch_file_gone" });
    expect(end).toMatchObject({ status: "completed", output_file_id: expect.stringMatching(/^file-/) });
    expect((await contentOf(end.output_file_id as string)).status).toBe(404);
  });

  test("has results that can't be had for a while", async () => {
    await faults({
      match: { operation: "openai.files.content", count: 2 },
      fault: { kind: "status", status: 502, body: "<html>bad gateway</html>" },
    });
    const end = await finalBatch(await createBatch(lines(1)));
    const answers = [];
    // One after the other: which call is the third is what matters.
    for (let n = 0; n < 3; n += 1) answers.push((await contentOf(end.output_file_id as string)).status);
    expect(answers).toEqual([502, 502, 200]);
  });

  test.each([
    ["in_progress", "validating"],
    ["finalizing", "in_progress"],
    ["completed", "finalizing"],
  ] as const)("goes back from %s to %s", async (from, before) => {
    await faults({ fault: { kind: "batch_backward", from, reads: 2 } });
    const id = await createBatch(lines(1));
    await batchWhen(id, (seen) => seen.status === from, 20_000);
    const seen = [];
    for (let n = 0; n < 3; n += 1) {
      const now = await batch(id);
      seen.push(now.status);
      if (from === "completed") expect(now.output_file_id === null).toBe(now.status === before);
    }
    expect(seen).toEqual([before, before, from]);
  });

  test("has a status that no client knows, and then a known one", async () => {
    await faults({ fault: { kind: "batch_strange_state", word: "pondering", reads: 2 } });
    const id = await createBatch(lines(1));
    await batchWhen(id, (seen) => seen.status !== "validating", 20_000);
    expect((await batch(id)).status).toBe("pondering");
    expect((await finalBatch(id)).status).toBe("completed");
  });

  test("has counts that disagree with its lines", async () => {
    const end = await six({ kind: "batch_counts_wrong", by: 2 });
    expect(end.request_counts).toEqual({ total: 6, completed: 8, failed: 0 });
    expect(await idsIn(end.output_file_id)).toEqual(ALL);
  });

  test("is deleted by somebody while it runs, and billed all the same", async () => {
    await faults({ fault: { kind: "batch_deleted", at: "in_progress" } });
    const id = await createBatch(lines(2));
    await batchWhen(id, (seen) => seen.error !== undefined);
    expect(await listed()).toEqual([]);
    await until(async () => {
      await control("/simulator/clock", "POST", { advanceMs: 3_600_000 });
      return rows().length === 2;
    });
    const [shown] = (await control("/simulator/batches")).json.batches;
    expect(shown).toMatchObject({ id, removed: true, total: 2, succeeded: 2 });
  });

  test("whose creation got no answer is there", async () => {
    await faults({ match: { operation: "openai.batches.create" }, fault: { kind: "drop_after_billed" } });
    await expect(createBatch(lines(1))).rejects.toThrow();
    expect(await listed()).toHaveLength(1);
    await faults({ match: { operation: "openai.batches.create" }, fault: { kind: "drop_before" } });
    await expect(createBatch(lines(1))).rejects.toThrow();
    expect(await listed()).toHaveLength(1);
  });

  test("carries several faults at once, and those that its rule's match allows", async () => {
    await faults(
      { match: { nth: 2 }, fault: { kind: "batch_lines_missing", share: 0.3 } },
      { match: { model: "gpt-4.1-mini" }, fault: { kind: "batch_lines_unknown" } },
      { match: { model: "gpt-4o" }, fault: { kind: "batch_lines_fail" } },
      { match: { provider: "anthropic" }, fault: { kind: "batch_lines_fail" } },
      { match: { untilMs: 0 }, fault: { kind: "batch_lines_fail" } },
    );
    const first = await finalBatch(await createBatch([line("a"), line("b")]));
    const second = await finalBatch(await createBatch([line("a"), line("b")]));
    expect(await idsIn(first.output_file_id)).toEqual(["a", "unknown-1", "b"]);
    expect(await idsIn(second.output_file_id)).toEqual(["unknown-1", "b"]);
    expect((await control("/simulator/faults")).json.rules.map((rule: any) => [rule.matched, rule.fired])).toEqual([
      [2, 1],
      [2, 2],
      [0, 0],
      [0, 0],
      [0, 0],
    ]);
  });

  test("by rate strikes about that share of batches, the same for the same seed", async () => {
    await faults({ match: { rate: 0.5 }, fault: { kind: "batch_queue_full" } });
    const file = await upload(lines(1));
    for (let n = 0; n < 20; n += 1) {
      // One after the other: which batch is the nth must not depend on the network.
      await orderBatch(file);
    }
    const struck = (await control("/simulator/batches")).json.batches.filter((one: any) => one.faults.length === 1);
    expect(struck.length).toBeGreaterThan(4);
    expect(struck.length).toBeLessThan(16);
  });
});
