import { describe, expect, test } from "@jest/globals";
import { ANTHROPIC_BATCH_RULES } from "../../src/adapters/providers/anthropic/batch-rules.js";
import { OPENAI_BATCH_RULES } from "../../src/adapters/providers/openai/batch-rules.js";
import { fairOrder } from "../../src/domain/batch/fair-order.js";
import { modelOfPool, poolOf } from "../../src/domain/batch/queued-line.js";
import {
  bisectedLinesMax,
  packBatch,
  packLimits,
  reasonOfSize,
  type PackedLine,
  type PackLimits,
  type PackRequest,
} from "../../src/domain/batch/pack.js";

const NO_LIMITS: PackLimits = {
  linesMax: null,
  bytesMax: 1_000_000,
  frameBytes: 0,
  lineBytesMax: 1_000_000,
  embeddingInputsMax: null,
  tokensMax: null,
};

type Fields = Partial<PackedLine["line"]> & { readonly tenant?: string };

/** A line of 80 bytes: with an id of 19 and its separator it takes 100 of a batch. */
function line(no: number, { tenant = "a", ...fields }: Fields = {}): PackedLine {
  const whole = { bytes: 80, tokens: 10, embeddingInputs: 0, prefix: 0, lookAtMs: 1_000 + no, ...fields };
  return { tenant, execution: { no }, line: whole };
}

const linesOf = (count: number, fields: Fields = {}): PackedLine[] =>
  Array.from({ length: count }, (_unused, at) => line(at + 1, fields));

function packed(
  lines: readonly PackedLine[],
  limits: Partial<PackLimits>,
  more: Partial<PackRequest<PackedLine>> = {},
) {
  const none: ReadonlySet<number> = new Set();
  const request = { lines, limits: { ...NO_LIMITS, ...limits }, idBytes: 19, urgentUntilMs: 0, takenSizes: none };
  return packBatch({ ...request, ...more });
}

const numbersIn = (lines: readonly PackedLine[]): number[] => lines.map(({ execution }) => execution.no);

describe("a batch is filled to its limits and never beyond", () => {
  test.each<[string, Partial<PackLimits>, Fields, number]>([
    ["lines", { linesMax: 7 }, {}, 7],
    ["bytes, exactly", { bytesMax: 700 }, {}, 7],
    ["bytes, one too few for the last line", { bytesMax: 699 }, {}, 6],
    ["bytes with the frame", { bytesMax: 700, frameBytes: 1 }, {}, 6],
    ["bytes with a frame that just fits", { bytesMax: 735, frameBytes: 35 }, {}, 7],
    ["tokens, exactly", { tokensMax: 70 }, {}, 7],
    ["tokens, one too few", { tokensMax: 69 }, {}, 6],
    ["embedding inputs, exactly", { embeddingInputsMax: 21 }, { embeddingInputs: 3 }, 7],
    ["embedding inputs, one too few", { embeddingInputsMax: 20 }, { embeddingInputs: 3 }, 6],
    ["the bytes of one line", { lineBytesMax: 99 }, {}, 10],
    ["the bytes of one line, each too long by one", { lineBytesMax: 98 }, {}, 0],
    ["nothing but what waits", {}, {}, 10],
  ])("%s", (_limit, limits, fields, count) => {
    const batch = packed(linesOf(10, fields), limits);
    expect(numbersIn(batch.lines)).toEqual(numbersIn(linesOf(count)));
    expect(batch).toMatchObject({
      linesBytes: 100 * count,
      tokens: 10 * count,
      embeddingInputs: (fields.embeddingInputs ?? 0) * count,
    });
  });

  test("smaller lines fill what a larger one leaves", () => {
    const lines = [line(1, { bytes: 480 }), line(2, { bytes: 480 }), line(3, { bytes: 280 }), line(4, { bytes: 80 })];
    expect(packed(lines, { bytesMax: 900 })).toMatchObject({ lines: [{ execution: { no: 1 } }, lines[2], lines[3]] });
  });

  test("no line, no batch", () => {
    expect(packed([], {})).toEqual({ lines: [], linesBytes: 0, tokens: 0, embeddingInputs: 0 });
  });
});

describe("who gets in", () => {
  test("goes by the order given", () => {
    const lines = [line(5), line(9), line(2)];
    expect(new Set(numbersIn(packed(lines, { linesMax: 2 }).lines))).toEqual(new Set([5, 9]));
  });

  test("but lines that have to be in a batch by then go first, the most urgent of them foremost", () => {
    const lines = [line(1, { lookAtMs: 900 }), line(2, { lookAtMs: 500 }), line(3, { lookAtMs: 400 }), line(4)];
    const gets = (linesMax: number) => numbersIn(packed(lines, { linesMax }, { urgentUntilMs: 500 }).lines);
    expect(gets(1)).toEqual([3]);
    expect(gets(2)).toEqual([3, 2]);
    expect(gets(3)).toEqual([3, 2, 1]);
  });

  test("a number of lines that another batch has is not used: the last in the order wait", () => {
    const takenSizes = new Set([10, 9, 7]);
    expect(numbersIn(packed(linesOf(10), {}, { takenSizes }).lines)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(numbersIn(packed(linesOf(10), { linesMax: 7 }, { takenSizes }).lines)).toEqual([1, 2, 3, 4, 5, 6]);
    const batch = packed(linesOf(2, { embeddingInputs: 1 }), {}, { takenSizes: new Set([0, 1, 2]) });
    expect(batch).toEqual({ lines: [], linesBytes: 0, tokens: 0, embeddingInputs: 0 });
  });
});

test("inside a batch prompts that begin alike lie side by side, the group with the most urgent line first", () => {
  const lines = [
    line(1, { prefix: 7, lookAtMs: 50 }),
    line(2, { prefix: 8, lookAtMs: 40 }),
    line(3, { prefix: 7, lookAtMs: 10 }),
    line(4, { prefix: 9, lookAtMs: 20 }),
    line(5, { prefix: 8, lookAtMs: 40 }),
    line(6, { prefix: 9, lookAtMs: 90 }),
  ];
  expect(numbersIn(packed(lines, {}).lines)).toEqual([3, 1, 4, 6, 2, 5]);
});

describe("the fair order", () => {
  test("takes tenants in turn, each with its most urgent line", () => {
    const lines = [
      ...[1, 2, 3, 4].map((no) => line(no, { tenant: "many", lookAtMs: no })),
      line(5, { tenant: "late", lookAtMs: 900 }),
      line(6, { tenant: "late", lookAtMs: 800 }),
      line(7, { tenant: "one", lookAtMs: 3 }),
    ];
    expect(numbersIn(fairOrder(lines))).toEqual([1, 7, 6, 2, 5, 3, 4]);
    expect(numbersIn(fairOrder([...lines].reverse()))).toEqual([1, 7, 6, 2, 5, 3, 4]);
  });

  test("and of equally urgent lines the older number", () => {
    const lines = [3, 1, 2].map((no) => line(no, { tenant: `t${String(no)}`, lookAtMs: 5 }));
    expect(numbersIn(fairOrder(lines))).toEqual([1, 2, 3]);
  });
});

describe("what one batch takes", () => {
  const way = OPENAI_BATCH_RULES.ways[0]!;

  test("is the lower of the provider's limit, the operator's, and what a refusal taught", () => {
    const base = { frameBytes: 0, lineBytesMax: 199_999_999, embeddingInputsMax: 50_000 };
    expect(packLimits(way, { linesMax: null, bytesMax: null }, null)).toEqual({
      ...base,
      linesMax: 50_000,
      bytesMax: 200_000_000,
      tokensMax: null,
    });
    expect(packLimits(way, { linesMax: 60_000, bytesMax: 1_000 }, 5_000, 20)).toEqual({
      ...base,
      linesMax: 20,
      bytesMax: 1_000,
      tokensMax: 5_000,
    });
    const unlimited = { ...way, linesMax: null };
    expect(packLimits(unlimited, { linesMax: null, bytesMax: null }, null).linesMax).toBeNull();
    expect(packLimits(unlimited, { linesMax: 9, bytesMax: null }, null).linesMax).toBe(9);
  });

  test("halves with each refusal that names no line, down to the line alone", () => {
    expect([50_000, 7, 3, 2, 1].map(bisectedLinesMax)).toEqual([25_000, 3, 1, 1, 1]);
  });

  test.each<[string, Fields, Partial<PackLimits>, string | null]>([
    ["an ordinary line", {}, {}, null],
    ["one of the longest id and as many bytes as may be", { bytes: 83 }, { lineBytesMax: 100 }, null],
    ["one byte more", { bytes: 84 }, { lineBytesMax: 100 }, "its line has 101 bytes, one may have 100"],
    ["one that is a batch alone", { bytes: 62 }, { bytesMax: 100, frameBytes: 20 }, null],
    ["one byte more", { bytes: 63 }, { bytesMax: 100, frameBytes: 20 }, "alone in a batch it has 101 bytes"],
    ["as many tokens as the account has", { tokens: 50 }, { tokensMax: 50 }, null],
    ["one token more", { tokens: 51 }, { tokensMax: 50 }, "estimated at 51 tokens, the account may have 50"],
    ["as many texts as a batch embeds", { embeddingInputs: 5 }, { embeddingInputsMax: 5 }, null],
    ["one text more", { embeddingInputs: 6 }, { embeddingInputsMax: 5 }, "it embeds 6 texts, a batch may have 5"],
  ])("%s: no batch takes it because of %j", (_what, fields, limits, because) => {
    const reason = reasonOfSize(line(1, fields).line, { ...NO_LIMITS, ...limits });
    if (because === null) expect(reason).toBeNull();
    else expect(reason).toContain(because);
  });

  test("inline requests of Anthropic fill the body of the call to the byte", () => {
    // {"requests":[ and ]}: 15 bytes, and one comma fewer than lines.
    const limits = packLimits(ANTHROPIC_BATCH_RULES.ways[0]!, { linesMax: null, bytesMax: 314 }, null);
    expect(packed(linesOf(4), limits)).toMatchObject({ linesBytes: 300 });
    expect(packed(linesOf(4), { ...limits, bytesMax: 313 })).toMatchObject({ linesBytes: 200 });
    const requests = Array.from({ length: 3 }, () => "x".repeat(99));
    expect(`{"requests":[${requests.join(",")}]}`).toHaveLength(314);
  });
});

test.each<[string, boolean, string | null]>([
  ["gpt-4.1-mini", true, "gpt-4.1-mini"],
  ["models/a|b", true, "models/a|b"],
  ["gpt-4.1-mini", false, null],
])("a pool's word tells the model of its lines: %s where models must be alike is %s", (model, isAlike, told) => {
  const line = { account: "main", way: "file", lineFormat: "openai.chat", model } as const;
  expect(modelOfPool(poolOf(line, { format: true, model: isAlike }))).toBe(told);
});
