import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { ElementSplitter } from "../../src/adapters/providers/element-splitter.js";
import { fromGeminiBatchLine, GEMINI_ID_PATHS } from "../../src/adapters/providers/gemini/from-batch-line.js";
import { roleOfList } from "../../src/adapters/providers/gemini/from-operation.js";
import { WIRE as GEMINI } from "../../src/adapters/providers/gemini/gemini-provider.js";
import type { ResultItem } from "../../src/ports/batch-provider.js";
import { answeredLine, itemsOf } from "../support/result-parts.js";

const bytes = (...lines: readonly string[]): Buffer => Buffer.from(lines.map((line) => `${line}\n`).join(""));
const ok = (id: string): string => answeredLine(id, "Blue.");

/** What an item is about, without its cursor. */
function shown(item: ResultItem): string {
  switch (item.kind) {
    case "line":
      return `${item.customId} ${item.outcome.kind === "answered" ? "answered" : item.outcome.outcome}`;
    case "malformed":
      return `malformed ${item.because} line ${String(item.lineNumber)} id ${String(item.customId)}`;
    case "restarted":
    case "gone":
      return `${item.kind} part ${String(item.part)}`;
    case "broken":
    case "end":
      return item.kind;
  }
}
const shownOf = (items: readonly ResultItem[]): readonly string[] => items.map(shown);
const cursorOf = (item: ResultItem | undefined) => (item !== undefined && "cursor" in item ? item.cursor : null);

describe("the results of a batch", () => {
  test("are read part after part, then they end", async () => {
    const parts = [{ bytes: bytes(ok("a1"), ok("a2")) }, { bytes: bytes(ok("a3")) }];
    expect(shownOf(await itemsOf(parts))).toEqual(["a1 answered", "a2 answered", "a3 answered", "end"]);
    expect(shownOf(await itemsOf([]))).toEqual(["end"]);
  });

  test("keep their good lines between bad ones, which are reported with their place", async () => {
    const torn = '{"custom_id":"a9","response":{"status';
    const file = bytes(ok("a1"), "", torn, '{"response":null}', "\u0000\u0000\u0000", ok("a2"));
    const items = await itemsOf([{ bytes: file }]);
    expect(shownOf(items)).toEqual([
      "a1 answered",
      "malformed not_json line 3 id a9",
      "malformed no_id line 4 id null",
      "malformed not_json line 5 id null",
      "a2 answered",
      "end",
    ]);
    const start = ok("a1").length + 2;
    expect(items[1]).toMatchObject({ part: 0, byteStart: start, byteEnd: start + torn.length + 1 });
  });

  test("that are no UTF-8 in one line lose that line only, and its id is still seen", async () => {
    const bad = Buffer.concat([Buffer.from('{"custom_id":"a9","x":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}\n')]);
    const file = Buffer.concat([bytes(ok("a1")), bad, bytes(ok("a2"))]);
    expect(shownOf(await itemsOf([{ bytes: file }]))).toEqual([
      "a1 answered",
      "malformed not_utf8 line 2 id a9",
      "a2 answered",
      "end",
    ]);
  });

  test("tell of a line that is too long whose it is, since it was answered and may be charged", async () => {
    const items = await itemsOf([
      { bytes: bytes(answeredLine("a1", "x".repeat(50_000)), "y".repeat(1_000), ok("a2")) },
    ]);
    expect(shownOf(items)).toEqual(["a1 bad_response", "malformed too_long line 2 id null", "a2 answered", "end"]);
    expect(items[0]).toMatchObject({ outcome: { billed: "perhaps", cutOffBytes: 400 } });
  });

  test("with a cut last line have it reported as cut, and a read from its cursor finds it again", async () => {
    const whole = bytes(ok("a1"), ok("a2"));
    const items = await itemsOf([{ bytes: whole.subarray(0, whole.length - 10) }]);
    expect(shownOf(items)).toEqual(["a1 answered", "malformed cut line 2 id a2", "end"]);
    expect(cursorOf(items[1])).toEqual(cursorOf(items[0]));
    expect(shownOf(await itemsOf([{ bytes: whole }], cursorOf(items[1])))).toEqual(["a2 answered", "end"]);
  });

  test("whose last line only lacks its break are whole", async () => {
    const items = await itemsOf([{ bytes: Buffer.from(`${ok("a1")}\n${ok("a2")}`) }]);
    expect(shownOf(items)).toEqual(["a1 answered", "a2 answered", "end"]);
  });

  test("that break off can be read on from the last cursor, in either part", async () => {
    const parts = [{ bytes: bytes(ok("a1"), ok("a2"), ok("a3")) }, { bytes: bytes(ok("a4"), ok("a5")) }];
    const first = await itemsOf([{ ...parts[0]!, breaksAfter: ok("a1").length * 2 + 20 }, parts[1]!]);
    expect(shownOf(first)).toEqual(["a1 answered", "a2 answered", "broken"]);
    const second = await itemsOf([parts[0]!, { ...parts[1]!, breaksAfter: 5 }], cursorOf(first.at(-1)));
    expect(shownOf(second)).toEqual(["a3 answered", "broken"]);
    expect(cursorOf(second.at(-1))).toMatchObject({ part: 1, byteOffset: 0 });
    expect(shownOf(await itemsOf(parts, cursorOf(second.at(-1))))).toEqual(["a4 answered", "a5 answered", "end"]);
    // From the end on there is nothing more.
    expect(shownOf(await itemsOf(parts, cursorOf((await itemsOf(parts)).at(-1))))).toEqual(["end"]);
  });

  test("that come in another order on the next read are read from the start of their part again", async () => {
    const first = await itemsOf([{ bytes: bytes(ok("a1"), ok("a2"), ok("a3")) }]);
    const reordered = [{ bytes: bytes(ok("a3"), ok("a1"), ok("a2")) }];
    const all = ["a3 answered", "a1 answered", "a2 answered", "end"];
    expect(shownOf(await itemsOf(reordered, cursorOf(first[1])))).toEqual(["restarted part 0", ...all]);
    // Lines of other lengths, and fewer of them than were read before.
    expect(shownOf(await itemsOf([{ bytes: bytes(ok("b")) }], cursorOf(first[1])))).toEqual([
      "restarted part 0",
      "b answered",
      "end",
    ]);
  });

  test("of which one part is gone are read as far as they are there", async () => {
    const parts = [{ bytes: Buffer.alloc(0), gone: true }, { bytes: bytes(ok("a1")) }];
    expect(shownOf(await itemsOf(parts))).toEqual(["gone part 0", "a1 answered", "end"]);
  });

  test("inside an operation are matched by the id in their metadata, never by their place", async () => {
    const operation = readFileSync("test/golden/batches/gemini/succeeded-inline.json");
    const options = { elementBytesMax: 10_000, skeletonBytesMax: 10_000, roleOf: roleOfList };
    const reading = () => ({
      splitter: new ElementSplitter(options),
      readRecord: (text: string) => fromGeminiBatchLine(GEMINI, "gemini.generate", text),
      idPath: GEMINI_ID_PATHS.inline,
    });
    const items = await itemsOf([{ bytes: operation, chunks: [100, 1, 300] }], null, reading);
    expect(shownOf(items)).toEqual(["a1 answered", "a2 context_too_long", "malformed no_id line 3 id null", "end"]);
    const rest = await itemsOf([{ bytes: operation }], cursorOf(items[0]), reading);
    expect(shownOf(rest)).toEqual(shownOf(items.slice(1)));
    const cut = await itemsOf([{ bytes: operation.subarray(0, 900) }], null, reading);
    expect(shownOf(cut).at(-2)).toMatch(/^malformed cut/);
  });
});
