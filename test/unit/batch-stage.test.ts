import { describe, expect, test } from "@jest/globals";
import type { BatchRules } from "../../src/domain/batch/batch-rules.js";
import type { ProviderBatch, ResultsCursor } from "../../src/domain/batch/provider-batch.js";
import type { BatchCallFailure, BatchProvider, CreateReply, ResultItem } from "../../src/ports/batch-provider.js";
import { BatchBench, type BenchOptions } from "../support/batch-bench.js";
import { FILE_RULES, INLINE_RULES, refusal } from "../support/simulation/batch-service.js";
import { attemptId } from "../../src/domain/job/ids.js";
import { POISON, START_MS } from "../support/simulation/fixture.js";

const PROMPTS = ["one", "two", "three"];
const succeeded = (prompts: readonly string[]) => Object.fromEntries(prompts.map((prompt) => [prompt, "succeeded"]));

/** The same provider, with some of its answers replaced. */
function but(provider: BatchProvider, over: Partial<BatchProvider>): BatchProvider {
  return {
    account: provider.account,
    rules: provider.rules,
    encodeLine: (...given) => provider.encodeLine(...given),
    upload: (...given) => provider.upload(...given),
    findFiles: (...given) => provider.findFiles(...given),
    deleteFile: (...given) => provider.deleteFile(...given),
    create: (...given) => provider.create(...given),
    list: (...given) => provider.list(...given),
    get: (...given) => provider.get(...given),
    cancel: (...given) => provider.cancel(...given),
    results: (...given) => provider.results(...given),
    answerIn: (...given) => provider.answerIn(...given),
    erase: (...given) => provider.erase(...given),
    close: () => provider.close(),
    ...over,
  };
}

async function run(prompts: readonly string[], options: BenchOptions, ttlMs?: number): Promise<BatchBench> {
  const bench = new BatchBench(options);
  await bench.accept(prompts, ttlMs);
  bench.start();
  const quiet = await bench.settle();
  expect({ quiet, lines: quiet ? [] : bench.lines.slice(-20) }).toEqual({ quiet: true, lines: [] });
  return bench;
}

const FAILED: BatchCallFailure = {
  kind: "failed",
  outcome: "timed_out",
  sent: "perhaps",
  message: "cut off",
  retryAfterMs: null,
  provider: { status: null, code: null, requestId: null },
};
const UNCLEAR: CreateReply = { kind: "unclear", failure: FAILED };

/** Results with items put in, left out or replaced. */
async function* edited(
  items: AsyncIterable<ResultItem>,
  edit: (item: ResultItem, at: number) => readonly ResultItem[],
): AsyncGenerator<ResultItem, void, undefined> {
  let at = 0;
  for await (const item of items) {
    for (const one of edit(item, at)) {
      yield one;
      if (one.kind === "broken") return;
    }
    at += 1;
  }
}

describe("a creation that is not answered", () => {
  test.each([
    ["a mark", FILE_RULES],
    ["size and time", INLINE_RULES],
  ])("and was made is found by %s and never made again", async (_by, rules) => {
    const wrap = (provider: BatchProvider) =>
      but(provider, {
        create: async (...given) => {
          await provider.create(...given);
          return UNCLEAR;
        },
      });
    const bench = await run(PROMPTS, { rules, wrap });
    expect(bench.jobs()).toEqual(succeeded(PROMPTS));
    expect(bench.books.batches.size).toBe(1);
    expect(bench.events()).toEqual(["batch.doubt", "batch.adopted", "batch.ended"]);
  });

  test.each([
    ["one stray line, which proves nothing: its own is missing", ["nobody-knows"], "line_missing"],
    ["several stray lines: it is another's, and nothing of ours ran", ["nobody-knows", "nor-this"], "not_sent"],
  ])("and was found by its size, with results of %s", async (_what, strays, outcome) => {
    const wrap = (provider: BatchProvider) =>
      but(provider, {
        create: async (...given) => {
          await provider.create(...given);
          return UNCLEAR;
        },
        results: (...given) =>
          edited(provider.results(...given), (item) =>
            item.kind === "line" ? strays.map((customId) => ({ ...item, customId })) : [item],
          ),
      });
    const bench = new BatchBench({ rules: INLINE_RULES, wrap });
    await bench.accept(["one"]);
    bench.start();
    await bench.world.run(() => bench.outcomes().some((one) => one !== "batched"), bench.world.nowMs + 120_000);
    expect(bench.outcomes()[0]).toBe(outcome);
    expect(bench.books.batches.size).toBe(1);
  });

  test("and was not made is fenced by deleting its file, then made anew from another", async () => {
    let lost = true;
    const steps: string[] = [];
    const wrap = (provider: BatchProvider) =>
      but(provider, {
        create: (...given) => {
          const [{ input }] = given;
          steps.push(`create ${input.way === "file" ? input.fileId : ""}`);
          if (!lost) return provider.create(...given);
          lost = false;
          return Promise.resolve(UNCLEAR);
        },
        deleteFile: (...given) => {
          steps.push(`delete ${given[0]}`);
          return provider.deleteFile(...given);
        },
        list: (...given) => {
          if (steps.at(-1) !== "list") steps.push("list");
          return provider.list(...given);
        },
      });
    const bench = await run(PROMPTS, { wrap });
    expect(bench.jobs()).toEqual(succeeded(PROMPTS));
    const first = steps.slice(0, 5);
    expect(first).toEqual(["create file-alpha-1", "list", "delete file-alpha-1", "list", "create file-alpha-2"]);
    expect([...bench.database.batchCreates.committed.values()].map(({ settled }) => settled)).toEqual([
      "absent",
      "created",
    ]);
  });

  test("without a fence is waited for as long as the config says", async () => {
    const sentAtMs: number[] = [];
    const bench = new BatchBench({
      rules: INLINE_RULES,
      wrap: (provider) =>
        but(provider, {
          create: (...given) => {
            sentAtMs.push(bench.world.nowMs);
            return sentAtMs.length === 1 ? Promise.resolve(UNCLEAR) : provider.create(...given);
          },
        }),
    });
    await bench.accept(PROMPTS);
    bench.start();
    expect(await bench.settle()).toBe(true);
    expect(bench.jobs()).toEqual(succeeded(PROMPTS));
    expect(sentAtMs[1]! - sentAtMs[0]!).toBeGreaterThanOrEqual(10_000);
    // As many lines as were sent at first would be taken for it, should that turn up.
    const sizes = [...bench.books.batches.values()].map(({ lines }) => lines.length);
    expect([sizes.includes(3), sizes.reduce((sum, size) => sum + size, 0)]).toEqual([false, 3]);
  });

  test("that two batches at the provider may be is held until a person gives it up", async () => {
    const strangers = ["a", "b"];
    const stranger = (batchId: string): ProviderBatch => ({
      ...{ batchId, state: "running", unknownWord: null, mark: null, fileId: null, model: null },
      counts: { total: 3, waiting: null, succeeded: null, failed: null, expired: null, cancelled: null },
      ...{ createdAtMs: START_MS + 3_600_000, endedAtMs: null, expiresAtMs: null, results: [], refusal: null },
    });
    const bench = new BatchBench({
      rules: INLINE_RULES,
      wrap: (provider) =>
        but(provider, {
          create: (...given) => (strangers.length > 0 ? Promise.resolve(UNCLEAR) : provider.create(...given)),
          list: () => Promise.resolve({ kind: "page", batches: strangers.map(stranger), next: null }),
        }),
    });
    await bench.accept(PROMPTS);
    bench.start();
    await bench.world.run(() => false, bench.world.nowMs + 60_000);
    expect(bench.batchStates()).toEqual(["creating"]);
    expect(bench.events().filter((kind) => kind === "batch.held")).toHaveLength(1);
    for (const [no, row] of bench.database.batches.committed)
      bench.database.batches.committed.set(no, { ...row, batch: { ...row.batch, cancelAskedAtMs: bench.world.nowMs } });
    await bench.world.run(() => bench.batchStates()[0] === "failed", bench.world.nowMs + 60_000);
    strangers.length = 0;
    expect(await bench.settle()).toBe(true);
    expect(bench.jobs()).toEqual(succeeded(PROMPTS));
  });
});

describe("a batch that turns up after it was given up as absent", () => {
  const WAYS = [
    ["known by its mark", FILE_RULES],
    ["known by its size", INLINE_RULES],
  ] as const;

  /** Its creation is not answered, and no list shows it for long. @param second what a creation after that comes to. */
  function hidden(rules: BatchRules, second: (make: () => Promise<CreateReply>) => Promise<CreateReply>): BatchBench {
    let made = 0;
    const bench: BatchBench = new BatchBench({
      rules,
      wrap: (provider) =>
        but(provider, {
          create: async (...given) => {
            made += 1;
            if (made > 1) return second(() => provider.create(...given));
            await provider.create(...given);
            return UNCLEAR;
          },
          list: async (...given) => {
            const page = await provider.list(...given);
            if (page.kind === "failed" || bench.world.nowMs > START_MS + SHOWN_AFTER_MS) return page;
            const [first] = bench.books.batches.keys();
            return { ...page, batches: page.batches.filter(({ batchId }) => batchId !== first) };
          },
        }),
    });
    return bench;
  }
  const SHOWN_AFTER_MS = 150_000;

  async function untilHome(bench: BatchBench): Promise<void> {
    await bench.accept(PROMPTS);
    bench.start();
    const isHome = (): boolean => bench.batchStates()[0] === "done" && bench.isQuiet();
    expect(await bench.world.run(isHome, START_MS + 600_000)).toBe(true);
    expect(bench.jobs()).toEqual(succeeded(PROMPTS));
    expect(bench.events().filter((kind) => kind === "batch.orphan_found")).toHaveLength(1);
  }

  /** Booked for each attempt, in their order: how, and whether as billed. */
  function booked(bench: BatchBench): readonly string[] {
    const costs = [...bench.database.costs.committed.values()].filter(({ kind }) => kind === "charge");
    const billed = new Map(bench.service.parts.bill.map((row) => [row.attemptId, row.nanoUsd]));
    return [...bench.database.attempts.committed.values()]
      .sort((a, b) => a.intent.no - b.intent.no)
      .map(({ intent, execution }) => {
        const own = costs.filter(({ attemptNo }) => attemptNo === intent.no);
        const amount = billed.get(attemptId(execution.day, intent.no)) ?? 0n;
        const sum = own.reduce((all, { nanoUsd }) => all + (nanoUsd ?? 0n), 0n);
        return `${own.map(({ billing }) => billing).join()}${sum === amount ? "" : " not as billed"}`;
      });
  }

  test.each(WAYS)("and is %s: its answers are waste where others served", async (_how, rules) => {
    const bench = hidden(rules, (make) => make());
    await untilHome(bench);
    expect(bench.outcomes()).toEqual(Array(6).fill("succeeded"));
    expect(booked(bench)).toEqual([...Array<string>(3).fill("waste"), ...Array<string>(3).fill("charged")]);
  });

  test.each(WAYS)("and is %s: its answers serve whom nobody has served yet", async (_how, rules) => {
    const bench = hidden(rules, () => Promise.resolve({ kind: "refused", refusal: refusal("rate_limited", 1000) }));
    await untilHome(bench);
    expect(bench.outcomes().slice(0, 3)).toEqual(Array(3).fill("succeeded"));
    expect(booked(bench).slice(0, 3)).toEqual(Array(3).fill("charged"));
  });
});

test("a batch of the size of one that was given up, whose results show no line of ours, is brought in once and given up again", async () => {
  let made = 0;
  let strangersShown = false;
  const stranger = (): ProviderBatch => ({
    ...{ batchId: "stranger", state: "completed", unknownWord: null, mark: null, fileId: null, model: null },
    counts: { total: 3, waiting: null, succeeded: 3, failed: null, expired: null, cancelled: null },
    ...{ createdAtMs: START_MS + 500, endedAtMs: START_MS + 900, expiresAtMs: null, refusal: null },
    results: [{ part: "inline", ref: "stranger" }],
  });
  const bench: BatchBench = new BatchBench({
    rules: INLINE_RULES,
    wrap: (provider) =>
      but(provider, {
        create: (...given) => {
          made += 1;
          return made === 1 ? Promise.resolve(UNCLEAR) : provider.create(...given);
        },
        list: async (...given) => {
          const page = await provider.list(...given);
          if (page.kind === "failed" || !strangersShown) return page;
          return { ...page, batches: [...page.batches, stranger()] };
        },
        get: (...given) =>
          given[0] === "stranger" ? Promise.resolve({ kind: "batch", batch: stranger() }) : provider.get(...given),
        cancel: (...given) =>
          given[0] === "stranger" ? Promise.resolve({ kind: "ended" }) : provider.cancel(...given),
        results: (...given) => (given[0].batchId === "stranger" ? strange() : provider.results(...given)),
      }),
  });
  async function* strange(): AsyncGenerator<ResultItem, void, undefined> {
    await Promise.resolve();
    const outcome = { kind: "failed", outcome: "refused", message: "", billed: "by_rule" } as const;
    for (const customId of ["not-ours", "nor-this"])
      yield {
        ...{ kind: "line", customId, cursor: { part: 0, byteOffset: 1, lineNumber: 1, checksum: 0 } },
        outcome: { ...outcome, provider: { status: null, code: null, requestId: null } },
      };
    yield { kind: "end", cursor: null };
  }
  await bench.accept(PROMPTS);
  bench.start();
  expect(await bench.settle()).toBe(true);
  expect(bench.jobs()).toEqual(succeeded(PROMPTS));
  strangersShown = true;
  await bench.world.run(() => false, bench.world.nowMs + 60_000);
  expect(bench.events().filter((kind) => kind === "batch.orphan_found")).toHaveLength(1);
  expect(bench.batchStates()[0]).toBe("failed");
  expect(bench.outcomes().slice(0, 3)).toEqual(Array(3).fill("not_sent"));
});

describe("a batch that the provider refuses", () => {
  test("for a line: that one fails alone, whether it is named or looked for by halves", async () => {
    const prompts = ["one", "two", "three", "four", `a ${POISON}`, "six"];
    const bench = await run(prompts, { rules: FILE_RULES });
    expect(bench.jobs()).toEqual({ ...succeeded(prompts), [`a ${POISON}`]: "failed" });
    expect([...bench.runs().values()]).toEqual([1, 1, 1, 1, 1]);
    expect(bench.outcomes().filter((outcome) => outcome === "refused")).toHaveLength(1);
  });

  test("for a line that nobody names is halved until that line is alone", async () => {
    const sizes: number[] = [];
    const prompts = ["one", "two", "three", "four", `a ${POISON}`];
    const wrap = (provider: BatchProvider) =>
      but(provider, {
        get: async (...given) => {
          const reply = await provider.get(...given);
          if (reply.kind !== "batch" || reply.batch.refusal === null) return reply;
          sizes.push(reply.batch.counts.total ?? 0);
          return { kind: "batch", batch: { ...reply.batch, refusal: { ...reply.batch.refusal, lines: [] } } };
        },
      });
    const bench = await run(prompts, { wrap });
    expect(bench.jobs()).toEqual({ ...succeeded(prompts), [`a ${POISON}`]: "failed" });
    expect(sizes.at(0)).toBe(5);
    expect(sizes.at(-1)).toBe(1);
  });

  test("for tokens comes again smaller, and not before its time", async () => {
    const full = { because: "queue_full", message: "full", lines: [], retryAfterMs: null } as const;
    const sizes: number[] = [];
    const wrap = (provider: BatchProvider): BatchProvider =>
      but(provider, {
        create: (...given) => {
          const { size } = [...bench.database.batchCreates.committed.values()]
            .slice(-1)
            .map(({ lines }) => ({ size: lines }))[0]!;
          sizes.push(size);
          if (size > 2) return Promise.resolve({ kind: "refused", refusal: { ...full, provider: FAILED.provider } });
          return provider.create(...given);
        },
      });
    const bench: BatchBench = new BatchBench({ wrap, batching: { pollMaxMs: 20_000 } });
    const prompts = ["one", "two", "three", "four", "five"];
    await bench.accept(prompts);
    bench.start();
    expect(await bench.settle()).toBe(true);
    expect(bench.jobs()).toEqual(succeeded(prompts));
    expect(sizes[0]).toBe(5);
    expect(sizes[1]).toBe(2);
  });
});

describe("results", () => {
  const withResults = (edit: (item: ResultItem, at: number, read: number) => readonly ResultItem[]): BenchOptions => {
    let reads = 0;
    return {
      wrap: (provider) =>
        but(provider, {
          results: (...given) => {
            const read = reads;
            reads += 1;
            return edited(provider.results(...given), (item, at) => edit(item, at, read));
          },
        }),
    };
  };

  test("of ids that nobody sent, and second ones, are not used", async () => {
    const bench = await run(
      PROMPTS,
      withResults((item, at) => {
        if (item.kind !== "line" || item.outcome.kind !== "answered") return [item];
        const other = { ...item, outcome: { ...item.outcome, bodyText: '{"digest":"other"}' } };
        const unknown = [{ ...item, customId: "nobody" }, ...(at === 0 ? [{ ...item, customId: "0000-00" }] : [])];
        return [...unknown, item, item, other];
      }),
    );
    expect(bench.jobs()).toEqual(succeeded(PROMPTS));
    expect(bench.events().filter((kind) => kind === "result.conflict")).toHaveLength(3);
    expect(bench.events().filter((kind) => kind === "batch.unknown_line").length).toBe(4);
    expect(bench.counted.get("sluice_batch_quarantined_total alpha repeated")).toBe(3);
  });

  test("that break off are read on from where they were", async () => {
    const bench = await run(
      PROMPTS,
      withResults((item, at, read) =>
        read === 0 && at === 1 && item.kind === "line" ? [{ kind: "broken", failure: FAILED, cursor: null }] : [item],
      ),
    );
    expect(bench.jobs()).toEqual(succeeded(PROMPTS));
    expect(bench.outcomes()).toEqual(["succeeded", "succeeded", "succeeded"]);
  });

  test("that lack a line are read twice, then the line goes into the next batch", async () => {
    let missing: string | null = null;
    const bench = await run(
      PROMPTS,
      withResults((item) => {
        if (item.kind !== "line") return [item];
        missing ??= item.customId;
        return item.customId === missing ? [] : [item];
      }),
    );
    expect(bench.jobs()).toEqual(succeeded(PROMPTS));
    expect(bench.outcomes().filter((outcome) => outcome === "line_missing")).toHaveLength(1);
    expect(bench.books.batches.size).toBe(2);
    expect(bench.events()).toContain("batch.lines_lost");
  });

  test("that never show a line end it with the second batch", async () => {
    const bench = await run(
      ["one"],
      withResults((item) => (item.kind === "line" ? [] : [item])),
    );
    expect(bench.jobs()).toEqual({ one: "failed" });
    expect(bench.outcomes()).toEqual(["line_missing", "line_missing"]);
  });

  test("that the provider has no more are asked for again, then their lines are lost, and not paid again", async () => {
    const bench = await run(
      PROMPTS,
      withResults((item) => (item.kind === "line" ? [] : item.kind === "end" ? [gone(item), item] : [item])),
    );
    expect(bench.jobs()).toEqual({ one: "failed", two: "failed", three: "failed" });
    expect(bench.books.batches.size).toBe(1);
    expect(bench.lines.filter((line) => line === "warn batch.results_gone").length).toBeGreaterThan(6);
  });

  test("that are not there before a read that breaks off are not forgotten where it goes on", async () => {
    let reads = 0;
    const behind = { part: 1, byteOffset: 0, lineNumber: 0, checksum: 0 };
    async function* results(cursor: ResultsCursor | null): AsyncGenerator<ResultItem, void, undefined> {
      reads += 1;
      await Promise.resolve();
      if (cursor === null || cursor.part === 0) yield { kind: "gone", part: 0, failure: FAILED, cursor: behind };
      yield reads % 2 === 1 ? { kind: "broken", failure: FAILED, cursor: behind } : { kind: "end", cursor: behind };
    }
    const wrap = (provider: BatchProvider) => but(provider, { results: (request) => results(request.cursor) });
    const bench = await run(["one"], { wrap });
    expect(bench.jobs()).toEqual({ one: "failed" });
    expect(bench.books.batches.size).toBe(1);
    expect(bench.events()).toContain("batch.lines_lost");
  });

  const gone = ({ cursor }: Extract<ResultItem, { readonly kind: "end" }>): ResultItem => ({
    ...{ kind: "gone", part: 0, failure: FAILED },
    cursor: cursor ?? { part: 0, byteOffset: 0, lineNumber: 0, checksum: 0 },
  });

  test("that can't be read are fetched again; what stays unreadable was answered all the same", async () => {
    let bad: string | null = null;
    const bench = await run(
      PROMPTS,
      withResults((item) => {
        if (item.kind !== "line") return [item];
        bad ??= item.customId;
        if (item.customId !== bad) return [item];
        const { cursor, customId } = item;
        return [
          {
            kind: "malformed",
            part: 0,
            lineNumber: 1,
            byteStart: 0,
            byteEnd: 1,
            because: "not_json",
            customId,
            cursor,
          },
        ];
      }),
    );
    expect(bench.jobs()).toEqual(succeeded(PROMPTS));
    expect(bench.outcomes().filter((outcome) => outcome === "bad_response")).toHaveLength(1);
    expect(bench.counted.get("sluice_batch_quarantined_total alpha malformed")).toBe(2);
  });
});

describe("a batch that a person cancels", () => {
  test("at the provider: what is done counts, the rest goes on", async () => {
    const bench = new BatchBench();
    await bench.accept(PROMPTS);
    bench.start();
    await bench.world.run(() => bench.batchStates()[0] === "submitted", bench.world.nowMs + 60_000);
    for (const [no, row] of bench.database.batches.committed)
      bench.database.batches.committed.set(no, { ...row, batch: { ...row.batch, cancelAskedAtMs: bench.world.nowMs } });
    expect(await bench.settle()).toBe(true);
    expect(bench.jobs()).toEqual(succeeded(PROMPTS));
    expect([...bench.runs().values()]).toEqual([1, 1, 1]);
    expect([...bench.books.batches.values()][0]?.state).toBe("cancelled");
  });
});

test("a batch that its provider has no more gives its lines to the next one", async () => {
  let first: string | null = null;
  const wrap = (provider: BatchProvider) =>
    but(provider, {
      get: async (id, ...given) => {
        first ??= id;
        return id === first ? { kind: "absent" } : provider.get(id, ...given);
      },
      list: async (...given) => {
        const reply = await provider.list(...given);
        if (reply.kind === "failed") return reply;
        return { ...reply, batches: reply.batches.filter(({ batchId }) => batchId !== first) };
      },
    });
  const bench = await run(PROMPTS, { wrap });
  expect(bench.jobs()).toEqual(succeeded(PROMPTS));
  expect(bench.events().filter((kind) => kind === "batch.stuck")).toHaveLength(1);
});

test("lines that change their size after the seal are counted anew", async () => {
  let uploads = 0;
  const wrap = (provider: BatchProvider) =>
    but(provider, {
      upload: (...given) => {
        uploads += 1;
        return uploads === 1 ? Promise.reject(new RangeError("other bytes")) : provider.upload(...given);
      },
    });
  const bench = await run(PROMPTS, { wrap });
  expect(bench.jobs()).toEqual(succeeded(PROMPTS));
  expect(uploads).toBe(2);
});

test("batches of an account without marks have different sizes", async () => {
  const bench = await run([...PROMPTS, "four", "five", "six"], {
    rules: INLINE_RULES,
    account: { linesMax: 3 },
  });
  const sizes = [...bench.books.batches.values()].map(({ lines }) => lines.length);
  expect(new Set(sizes).size).toBe(sizes.length);
}, 30_000);

test("nor has one whose builder died a size that another may be looked for by", async () => {
  let kills = 1;
  const bench: BatchBench = new BatchBench({
    rules: INLINE_RULES,
    reach: (point) => {
      if (point !== "batch.bound" || kills === 0) return;
      kills -= 1;
      // Another router has asked for one of three lines meanwhile, and nobody knows what became of it.
      bench.database.batchCreates.committed.set("9:1", {
        ...{ batchNo: 9, number: 1, account: "alpha", mark: "another", fileId: null, lines: 3 },
        ...{ intentAtMs: bench.world.nowMs, settled: "absent", providerBatchId: null },
      });
      bench.kill();
    },
  });
  await bench.accept(PROMPTS);
  bench.start();
  expect(await bench.settle()).toBe(true);
  expect(bench.jobs()).toEqual(succeeded(PROMPTS));
  const sizes = [...bench.books.batches.values()].map(({ lines }) => lines.length);
  expect(sizes.sort()).toEqual([1, 2]);
});

test("a creation whose lines took longer than one is waited for does not leave: by then others may have made it", async () => {
  const left: boolean[] = [];
  let isFirst = true;
  const bench: BatchBench = new BatchBench({
    rules: INLINE_RULES,
    wrap: (provider) =>
      but(provider, {
        create: async (create, limits, signal) => {
          if (!isFirst) return provider.create(create, limits, signal);
          isFirst = false;
          // The bench's creations are waited for 5 s.
          await bench.world.clock(bench.life).sleep(5_001);
          left.push(limits.maySend());
          return { kind: "not_sent", because: "stopped", message: "told not to" } as const;
        },
      }),
  });
  await bench.accept(PROMPTS);
  bench.start();
  expect(await bench.settle()).toBe(true);
  expect(left).toEqual([false]);
  expect(bench.jobs()).toEqual(succeeded(PROMPTS));
});
