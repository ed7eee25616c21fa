/** A batch's life over simulated time, over restarts, and against limits. */
import { readFileSync, readdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import {
  advance,
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
  chat,
  control,
  folder,
  restart,
  rows,
  send,
  sha,
  simulator,
  simulatorForEachTest,
  until,
} from "../support/simulator-harness.js";

simulatorForEachTest();

const MINUTE_MS = 60_000;
const AT_ONCE = { validatingMs: 0, turnaroundMs: 0, jitterMs: 0, finalizingMs: 0, cancellingMs: 0 };

async function nowMs(): Promise<number> {
  return (await control("/simulator/clock")).json.nowMs as number;
}

describe("time", () => {
  test("takes the stretches that it is told to, lines spread evenly over the turnaround", async () => {
    await restart({
      batchTimes: {
        validatingMs: 10 * MINUTE_MS,
        turnaroundMs: 100 * MINUTE_MS,
        jitterMs: 0,
        finalizingMs: 5 * MINUTE_MS,
      },
    });
    const id = await createBatch(lines(10));
    await advance(9 * MINUTE_MS);
    expect((await batch(id)).status).toBe("validating");
    await advance(MINUTE_MS);
    const running = await batchWhen(id, (seen) => seen.status === "in_progress", 0);
    expect(running.request_counts).toEqual({ total: 10, completed: 0, failed: 0 });
    await advance(45 * MINUTE_MS);
    await until(async () => (await batch(id)).request_counts.completed === 4);
    await advance(54 * MINUTE_MS);
    await until(async () => (await batch(id)).request_counts.completed === 9);
    await advance(MINUTE_MS);
    const writing = await batchWhen(id, (seen) => seen.status === "finalizing", 0);
    expect(writing.request_counts.completed).toBe(10);
    expect(writing.output_file_id).toBeNull();
    await advance(5 * MINUTE_MS);
    const end = await batchWhen(id, (seen) => seen.status === "completed", 0);
    // A few real milliseconds pass as well.
    expect(end.completed_at - end.created_at).toBeGreaterThanOrEqual(115 * 60);
    expect(end.completed_at - end.created_at).toBeLessThan(116 * 60);
  });

  test("gives a batch another turnaround by its number and the seed, by the stated rule", async () => {
    await restart({ seed: 7, batchTimes: { ...AT_ONCE, turnaroundMs: 100 * MINUTE_MS, jitterMs: 50 * MINUTE_MS } });
    const ids = [await createBatch(lines(1)), await createBatch(lines(1))];
    for (const [index, id] of ids.entries()) {
      // One after the other: both look at the same clock.
      const { finalizing_at, in_progress_at } = await finalBatch(id, MINUTE_MS);
      const spread = Number.parseInt(sha(`7 ${String(index + 1)}`).slice(0, 8), 16) % (100 * MINUTE_MS + 1);
      const wantedS = (50 * MINUTE_MS + spread) / 1000;
      expect(finalizing_at - in_progress_at).toBeGreaterThanOrEqual(Math.floor(wantedS));
      expect(finalizing_at - in_progress_at).toBeLessThan(wantedS + 3 * 60);
    }
  });

  test("runs as many times as fast as told, and goes on from where it stood after a restart", async () => {
    await restart({ timeScale: 36_000 });
    const before = await nowMs();
    const id = await createBatch(lines(3));
    await until(async () => (await batch(id)).status === "completed");
    const after = await nowMs();
    expect(after - before).toBeGreaterThan(30 * MINUTE_MS);
    await restart({});
    const later = await nowMs();
    expect(later).toBeGreaterThanOrEqual(after);
    expect((await control("/simulator/clock")).json.scale).toBe(1);
    expect((await batch(id)).completed_at * 1000).toBeLessThanOrEqual(later);
  });

  test("leaves the time of direct calls alone", async () => {
    await advance(365 * 24 * 60 * MINUTE_MS);
    const { json } = await chat();
    expect(Math.abs(json.created - Date.now() / 1000)).toBeLessThan(5);
  });

  test.each([
    ["/simulator/clock", { advanceMs: -1 }],
    ["/simulator/clock", {}],
    ["/simulator/batch-times", { turnaroundMs: "soon" }],
    ["/simulator/batch-times", { cancellingMs: 10 * MINUTE_MS + 1 }],
  ])("is not changed by the wrong setting %s %j", async (path, body) => {
    const answer = await control(path, "POST", body);
    expect([answer.status, answer.json.error]).toEqual([400, expect.stringMatching(/expected/)]);
  });

  test("can be changed for batches that run", async () => {
    const id = await createBatch(lines(2));
    expect((await control("/simulator/batch-times", "POST", AT_ONCE)).json).toEqual(AT_ONCE);
    await until(async () => (await batch(id)).status === "completed");
  });

  test("expires a batch at 24 hours, and cancels within the minutes it is told to", async () => {
    await restart({ batchTimes: { turnaroundMs: 30 * 60 * MINUTE_MS, jitterMs: 0, cancellingMs: 10 * MINUTE_MS } });
    const [expiring, cancelling] = [await createBatch(lines(30)), await createBatch(lines(30))];
    await batchWhen(cancelling, (seen) => seen.status === "in_progress", MINUTE_MS);
    await send(`/v1/batches/${cancelling}/cancel`, OPENAI_HEADERS, null);
    await advance(9 * MINUTE_MS);
    expect((await batch(cancelling)).status).toBe("cancelling");
    await advance(MINUTE_MS);
    await batchWhen(cancelling, (seen) => seen.status === "cancelled", 0);
    const end = await finalBatch(expiring);
    expect(end.status).toBe("expired");
    // 30 lines over 30 hours from a minute after the creation: by the end of the window 23 are due.
    expect(end.request_counts.completed).toBe(23);
    expect(end.expired_at).toBe(end.expires_at);
  });

  test("may jump over a whole life: what was due in it is done, at the times it was due", async () => {
    await restart({ batchTimes: { validatingMs: MINUTE_MS, turnaroundMs: 60 * MINUTE_MS, jitterMs: 0 } });
    const [whole, late] = [await createBatch(lines(10)), await createBatch(lines(10))];
    await advance(7 * 24 * 60 * MINUTE_MS);
    for (const id of [whole, late]) {
      const end = await batchWhen(id, (seen) => seen.status === "completed", 0);
      expect(end.request_counts).toEqual({ total: 10, completed: 10, failed: 0 });
      const times = [end.in_progress_at, end.finalizing_at, end.completed_at].map((at) => at - end.created_at);
      expect(times).toEqual([60, 61 * 60, 62 * 60]);
    }
  });

  test("may jump over the end of the window: what was due by then is done, the rest expires", async () => {
    await restart({ batchTimes: { validatingMs: 0, turnaroundMs: 48 * 60 * MINUTE_MS, jitterMs: 0 } });
    const id = await createBatch(lines(10));
    await advance(7 * 24 * 60 * MINUTE_MS);
    const end = await batchWhen(id, (seen) => seen.status === "expired", 0);
    expect(end.request_counts).toEqual({ total: 10, completed: 5, failed: 0 });
    expect(end.expired_at).toBe(end.expires_at);
    expect(await idsIn(end.error_file_id)).toHaveLength(5);
    expect(rows()).toHaveLength(5);
  });
});

describe("an input that its owner deletes", () => {
  const deleteFile = (id: string): Promise<unknown> => send(`/v1/files/${id}`, OPENAI_HEADERS, null, "DELETE");

  test("fails a batch that is not in progress yet, however far it was read", async () => {
    const input = await upload(lines(3));
    const { id } = (await orderBatch(input)).json;
    await advance(30_000);
    expect((await batch(id)).status).toBe("validating");
    await deleteFile(input);
    const end = await finalBatch(id, MINUTE_MS);
    expect([end.status, end.request_counts.total]).toEqual(["failed", 0]);
    expect(end.errors.data[0].message).toContain(input);
    expect(rows()).toEqual([]);
  });

  test("changes nothing for a batch in progress, before its first line and after a restart", async () => {
    const input = await upload(lines(6));
    const { id } = (await orderBatch(input)).json;
    await batchWhen(id, (seen) => seen.status === "in_progress", MINUTE_MS);
    await deleteFile(input);
    expect((await contentOf(input)).status).toBe(404);
    await restart({});
    const end = await finalBatch(id);
    expect(end).toMatchObject({ status: "completed", request_counts: { total: 6, completed: 6, failed: 0 } });
    expect(rows()).toHaveLength(6);
    const kept = readdirSync(join(folder, "bill.jsonl.state", "batches"));
    expect(kept.filter((name) => !name.endsWith(".json"))).toEqual([]);
  });

  test("leaves the lines that never ran in the results", async () => {
    const input = await upload(lines(4));
    const { id } = (await orderBatch(input)).json;
    await batchWhen(id, (seen) => seen.status === "in_progress", MINUTE_MS);
    await deleteFile(input);
    await send(`/v1/batches/${id}/cancel`, OPENAI_HEADERS, null);
    const end = await finalBatch(id);
    expect(await idsIn(end.error_file_id)).toHaveLength(4 - end.request_counts.completed);
    expect(end.status).toBe("cancelled");
  });
});

describe("a restart", () => {
  const journal = (): string => {
    const batches = join(folder, "bill.jsonl.state", "batches");
    return join(
      batches,
      readdirSync(batches).find((name) => name.endsWith(".journal"))!,
    );
  };

  test("keeps files and batches, with their states and faults", async () => {
    await control("/simulator/faults", "POST", [{ fault: { kind: "batch_lines_reordered" } }]);
    const id = await createBatch(lines(4));
    const end = await finalBatch(id);
    const failed = await finalBatch(await createBatch([line("a"), line("a")]));
    const output = (await contentOf(end.output_file_id as string)).text;
    await restart({});
    expect(await batch(id)).toEqual(end);
    expect(await batch(failed.id as string)).toEqual(failed);
    expect((await contentOf(end.output_file_id as string)).text).toBe(output);
    expect((await control("/simulator/batches")).json.batches[0].faults).toEqual([{ kind: "batch_lines_reordered" }]);
  });

  test.each(["validating", "in_progress", "finalizing", "cancelling"])("goes on with a batch in %s", async (state) => {
    const id = await createBatch(lines(20));
    if (state === "cancelling") {
      await batchWhen(id, (seen) => seen.request_counts.completed > 3, 5 * MINUTE_MS);
      await send(`/v1/batches/${id}/cancel`, OPENAI_HEADERS, null);
    }
    await batchWhen(id, (seen) => seen.status === state, 20_000);
    await restart({});
    expect((await batch(id)).status).toBe(state);
    const end = await finalBatch(id);
    expect(end.status).toBe(state === "cancelling" ? "cancelled" : "completed");
    const billed = rows().map((row) => row.attempt);
    expect(new Set(billed).size).toBe(billed.length);
    expect(await idsIn(end.output_file_id)).toEqual(billed);
    expect(billed.length + (await idsIn(end.error_file_id)).length).toBe(20);
  });

  test("bills no line twice that was billed and not yet written down", async () => {
    await restart({ batchTimes: { turnaroundMs: 100 * MINUTE_MS, jitterMs: 0 } });
    const id = await createBatch(lines(10));
    await batchWhen(id, (seen) => seen.request_counts.completed >= 6, 10 * MINUTE_MS);
    const before = rows();
    await simulator.close();
    // What a kill between bill and journal leaves: three entries and a half are missing.
    const text = readFileSync(journal(), "utf8").split("\n");
    const kept = text.slice(0, -4).join("\n");
    writeFileSync(journal(), `${kept}\n${text.at(-4)!.slice(0, 40)}`);
    await restart({ seed: 99 });
    const end = await finalBatch(id);
    expect(end.request_counts).toEqual({ total: 10, completed: 10, failed: 0 });
    expect(rows().slice(0, before.length)).toEqual(before);
    expect(rows().map((row) => row.line)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const results = (await contentOf(end.output_file_id as string)).text.trim().split("\n");
    const shown = results.map((row) => JSON.parse(row).response);
    expect(shown.map((response) => response.request_id)).toEqual(rows().map((row) => row.requestId));
    expect(shown.map((response) => response.body.usage.completion_tokens)).toEqual(
      rows().map((row) => row.outputTokens),
    );
  });

  test("takes a journal that was cut within its first entry", async () => {
    await restart({ batchTimes: { turnaroundMs: 100 * MINUTE_MS, jitterMs: 0 } });
    const id = await createBatch(lines(4));
    await batchWhen(id, (seen) => seen.request_counts.completed === 1, 10 * MINUTE_MS);
    await simulator.close();
    truncateSync(journal(), 7);
    await restart({});
    const end = await finalBatch(id);
    expect(await idsIn(end.output_file_id)).toEqual(["line-1", "line-2", "line-3", "line-4"]);
    expect(rows()).toHaveLength(4);
  });
});

describe("limits", () => {
  test("refuse a batch whose tokens and those enqueued are too many, until there is room", async () => {
    // A prompt of one token: 1 + 3 + 3 = 7 tokens a line.
    const four = (name: string): readonly object[] => ["a", "b", "c", "d"].map((id) => line(`${name}-${id}`, "x"));
    await restart({ limits: { models: { "gpt-4.1-mini": { enqueuedTokens: 7 * 6 } } } });
    const first = await createBatch(four("first"));
    await batchWhen(first, (seen) => seen.status === "in_progress", MINUTE_MS);
    const second = await finalBatch(await createBatch(four("second")), MINUTE_MS);
    expect([second.status, second.errors.data[0].code]).toEqual(["failed", "token_limit_exceeded"]);
    expect((await batch(first)).status).toBe("in_progress");
    await finalBatch(first);
    expect((await finalBatch(await createBatch(four("third")))).status).toBe("completed");
  });

  test("hold for lines and bytes of a batch, exactly", async () => {
    const bytes = lines(3).reduce<number>((sum, one) => sum + JSON.stringify(one).length + 1, 0);
    await restart({ limits: { batchLines: 3, batchBytes: bytes } });
    expect((await finalBatch(await createBatch(lines(3)))).status).toBe("completed");
    await restart({ limits: { batchLines: 2, batchBytes: bytes - 1 } });
    expect(await upload(lines(3))).toBeUndefined();
    await restart({ limits: { batchLines: 2 } });
    const many = await finalBatch(await createBatch(lines(3)));
    expect([many.status, many.errors.data[0]]).toMatchObject(["failed", { code: "too_many_tasks", line: null }]);
  });

  test("hold for creations an hour and uploads a minute", async () => {
    await restart({ limits: { batchCreatesPerHour: 2, uploadsPerMinute: 1 } });
    const file = await upload(lines(1));
    expect(await upload(lines(1))).toBeUndefined();
    const statuses = async (): Promise<readonly number[]> => [
      (await orderBatch(file)).status,
      (await orderBatch(file)).status,
      (await orderBatch(file)).status,
    ];
    expect(await statuses()).toEqual([200, 200, 429]);
    await advance(60 * MINUTE_MS);
    expect(await statuses()).toEqual([200, 200, 429]);
    expect(await upload(lines(1))).toMatch(/^file-/);
  });

  test("hold for calls and tokens a minute, with headers that say so", async () => {
    await restart({ limits: { default: { requestsPerMinute: 2 }, models: { "gpt-4o": { tokensPerMinute: 20 } } } });
    const statuses = [(await chat()).status, (await chat()).status];
    const refused = await chat();
    expect(statuses).toEqual([200, 200]);
    expect([refused.status, refused.json.error]).toMatchObject([
      429,
      { type: "requests", code: "rate_limit_exceeded" },
    ]);
    expect(refused.headers).toMatchObject({
      "x-ratelimit-limit-requests": "2",
      "x-ratelimit-remaining-requests": "0",
      "retry-after": "30",
    });
    expect(rows()).toHaveLength(2);
    // "Be short." and "Hi" are 3 + 1 tokens in two messages: 13.
    expect((await chat({ model: "gpt-4o" })).status).toBe(200);
    const long = await chat({ model: "gpt-4o" });
    expect([long.status, long.json.error.type]).toEqual([429, "tokens"]);
    expect((await chat({ model: "gpt-4.1-nano" }, { authorization: "Bearer sk-other" })).status).toBe(200);
  });

  test.each([[{ default: { requestsPerMinute: 0 } }], [{ models: [] }], [{ batchLines: "many" }]])(
    "are not taken when they are wrong: %j",
    async (limits) => {
      const { parseLimits } = await import("../../src/simulator/engine/limits.js");
      expect(() => parseLimits(limits)).toThrow(/limits: at ".*" expected/);
    },
  );
});

describe("direct calls", () => {
  test("are answered while a batch of many lines runs", async () => {
    await restart({ batchTimes: AT_ONCE });
    const id = await createBatch(lines(3000));
    const waits: number[] = [];
    while (["validating", "in_progress"].includes((await batch(id)).status as string)) {
      const startedMs = performance.now();
      await chat();
      waits.push(performance.now() - startedMs);
    }
    expect(waits.length).toBeGreaterThan(3);
    expect(Math.max(...waits)).toBeLessThan(500);
    const end = await finalBatch(id, 0);
    expect(end.request_counts).toEqual({ total: 3000, completed: 3000, failed: 0 });
    expect(rows().filter((row) => row.batch === id)).toHaveLength(3000);
  });
});

describe("the bill", () => {
  test("is served by key, batch and attempt", async () => {
    await restart({ batchTimes: AT_ONCE });
    await chat({}, { "x-client-request-id": "direct-1" });
    const id = await createBatch(lines(2));
    await finalBatch(id, 0);
    const asked = async (query: string): Promise<readonly (string | null)[]> =>
      (await control(`/simulator/bill?${query}`)).text
        .split("\n")
        .filter((row) => row !== "")
        .map((row) => (JSON.parse(row) as { attempt: string | null }).attempt);
    expect(await asked(`batch=${id}`)).toEqual(["line-1", "line-2"]);
    expect(await asked("attempt=line-2")).toEqual(["line-2"]);
    expect(await asked("mode=direct")).toEqual(["direct-1"]);
    expect(await asked(`key=key-${sha("sk-test").slice(0, 12)}`)).toEqual(["direct-1", "line-1", "line-2"]);
    expect(await asked("key=nobody")).toEqual([]);
    expect(await asked(`batch=${id}&attempt=direct-1`)).toEqual([]);
    expect((await control("/simulator/bill?colour=red")).status).toBe(400);
  });
});
