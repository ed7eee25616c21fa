import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { cutMember, textAtHead } from "../../src/adapters/providers/cut-member.js";
import { ElementSplitter } from "../../src/adapters/providers/element-splitter.js";
import { roleOfList } from "../../src/adapters/providers/gemini/from-operation.js";
import { LineSplitter } from "../../src/adapters/providers/line-splitter.js";
import type { ResultRecord, ResultSplitter } from "../../src/adapters/providers/result-splitter.js";

function split(splitter: ResultSplitter, text: string | Buffer, chunkBytes = 5): readonly ResultRecord[] {
  const bytes = Buffer.from(text as string);
  const records: ResultRecord[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes)
    records.push(...splitter.push(bytes.subarray(at, at + chunkBytes)));
  return [...records, ...splitter.end()];
}

const shown = ({ bytes, number, start, end, whole }: ResultRecord): readonly unknown[] => [
  bytes?.toString("utf8") ?? null,
  number,
  start,
  end,
  whole,
];

describe("lines of a file", () => {
  test.each<[string, string, readonly (readonly unknown[])[]]>([
    [
      "with plain ends",
      "ab\ncd\n",
      [
        ["ab", 1, 0, 3, true],
        ["cd", 2, 3, 6, true],
      ],
    ],
    [
      "with carriage returns",
      "ab\r\ncd\r\n",
      [
        ["ab", 1, 0, 4, true],
        ["cd", 2, 4, 8, true],
      ],
    ],
    ["with a byte order mark", "\ufeffab\n", [["ab", 1, 0, 6, true]]],
    [
      "with blank ones between, which are counted",
      "\n\nab\n \t\ncd\n",
      [
        ["ab", 3, 2, 5, true],
        ["cd", 5, 8, 11, true],
      ],
    ],
    [
      "without a break at the end",
      "ab\ncd",
      [
        ["ab", 1, 0, 3, true],
        ["cd", 2, 3, 5, false],
      ],
    ],
    ["that are none", "", []],
    ["that are all blank", "\n\r\n  ", []],
    ["with other breaks of Unicode inside", "a\u2028b\u0085\n", [["a\u2028b\u0085", 1, 0, 8, true]]],
  ])("%s", (_what, text, expected) => {
    for (const chunkBytes of [1, 2, 3, 100])
      expect(split(new LineSplitter(100), text, chunkBytes).map(shown)).toEqual(expected);
  });

  test("that are too long keep their place and their beginning, and the next ones are read", () => {
    const long = `{"custom_id":"a1","response":"${"x".repeat(200_000)}"}`;
    const [first, second] = split(new LineSplitter(1_000), `${long}\n{"b":2}\n`, 10_000);
    expect(first).toMatchObject({ bytes: null, number: 1, start: 0, end: long.length + 1, whole: true });
    expect(first!.head!.toString("latin1").startsWith('{"custom_id":"a1"')).toBe(true);
    expect(first!.head!.length).toBe(4_096);
    expect(shown(second!)).toEqual(['{"b":2}', 2, long.length + 1, long.length + 9, true]);
  });

  test("of exactly the longest size are whole, one byte more is too long", () => {
    const [fits, tooLong] = split(new LineSplitter(4), "abcd\nabcde\n");
    expect([fits!.bytes?.toString(), tooLong!.bytes]).toEqual(["abcd", null]);
  });

  test("carry a checksum of all that stands before their end", () => {
    const [a, b] = split(new LineSplitter(100), "123456789\nx\n");
    // CRC-32 of "123456789\n" and of "123456789\nx\n", from another implementation (Python's zlib).
    expect([a!.checksum, b!.checksum]).toEqual([3759241047, 2104608514]);
  });
});

describe("elements of a list inside a document", () => {
  const operation = readFileSync("test/golden/batches/gemini/succeeded-inline.json", "utf8");
  const elements = () => new ElementSplitter({ elementBytesMax: 10_000, skeletonBytesMax: 10_000, roleOf: roleOfList });

  test("are cut out once, from where they stand first", () => {
    for (const chunkBytes of [1, 7, 64, 100_000]) {
      const texts = split(elements(), operation, chunkBytes).map(({ bytes }) => JSON.parse(bytes!.toString("utf8")));
      expect(texts).toEqual(JSON.parse(operation).metadata.output.inlinedResponses.inlinedResponses);
    }
  });

  test("leave the rest of the document behind, with empty lists", () => {
    const splitter = elements();
    split(splitter, operation, 3);
    const expected = JSON.parse(operation);
    expected.metadata.output.inlinedResponses.inlinedResponses = [];
    expected.response.inlinedResponses.inlinedResponses = [];
    expected.metadata.inputConfig.requests.requests = [];
    expect(JSON.parse(splitter.skeleton()!)).toEqual(expected);
  });

  test("stand where the text says, byte for byte", () => {
    const bytes = Buffer.from(operation);
    for (const record of split(elements(), operation, 11))
      expect(bytes.subarray(record.start, record.end - 1)).toEqual(record.bytes);
  });

  test("of the second place are read when the first is empty", () => {
    const text =
      '{"metadata":{"output":{"inlinedResponses":{"inlinedResponses":[ ]}}},"response":{"inlinedResponses":{"inlinedResponses":[{"a":1},2]}}}';
    expect(split(elements(), text).map(({ bytes }) => bytes!.toString())).toEqual(['{"a":1}', "2"]);
  });

  test("are not taken from a text that only looks like it", () => {
    const inside = JSON.stringify('"inlinedResponses":{"inlinedResponses":[1,2]}');
    expect(split(elements(), `{"metadata":{"displayName":${inside}},"done":true}`)).toEqual([]);
    expect(split(elements(), '{"inlinedResponses":[1,2]}')).toEqual([]);
  });

  test.each([
    ['{"response":{"inlinedResponses":{"inlinedResponses":[{"a":1},{"b"', ['{"a":1}', '{"b"']],
    ['{"response":{"inlinedResponses":{"inlinedResponses":[{"a":1}', ['{"a":1}']],
    ['{"response":{"inlinedResponses":{"inlinedResponses":[{"a":1}]', ['{"a":1}', ""]],
    ['{"name":"batches/b","metadata":{', [""]],
  ])("of a document that breaks off end in one that is not whole: %s", (text, expected) => {
    const records = split(elements(), text);
    expect(records.map(({ bytes }) => bytes!.toString())).toEqual(expected);
    expect(records.at(-1)!.whole).toBe(false);
  });

  test("that are too long keep their place, and a skeleton that is too long is given up", () => {
    const splitter = new ElementSplitter({ elementBytesMax: 5, skeletonBytesMax: 20, roleOf: roleOfList });
    const text = '{"response":{"inlinedResponses":{"inlinedResponses":["123456","1"]}}}';
    expect(split(splitter, text).map(({ bytes }) => bytes?.toString() ?? null)).toEqual([null, '"1"']);
    expect(splitter.skeleton()).toBeNull();
  });
});

describe("a member that is cut out of a text", () => {
  test.each<[string, readonly [string, ...string[]], string | null, string]>([
    ['{"a":1,"b":{"c":[1.0, 2]},"d":3}', ["b"], '{"c":[1.0, 2]}', '{"a":1,"b":null,"d":3}'],
    ['{"a":1,"b":{"c":[1.0, 2],"e":4},"d":3}', ["b", "c"], "[1.0, 2]", '{"a":1,"b":{"c":null,"e":4},"d":3}'],
    ['{"a":1}', ["b"], null, '{"a":1}'],
    ['{"b":null}', ["b", "c"], null, '{"b":null}'],
    ['{"b":1,"b":2}', ["b"], "2", '{"b":1,"b":null}'],
    ["not json", ["b"], null, "not json"],
  ])("%s at %j", (text, path, value, rest) => {
    expect(cutMember(text, path)).toEqual({ value, rest });
  });
});

describe("an id in a text that can't be read whole", () => {
  test.each<[string, readonly string[], string | null]>([
    ['{"id":"r","custom_id":"a1","response":{"body":{"x', ["custom_id"], "a1"],
    ['{"response":{"custom_id":"bait","list":[{"custom_id":"bait"}]},"custom_id":"a1","x', ["custom_id"], "a1"],
    ['{"response":{"custom_id":"bait"', ["custom_id"], null],
    ['{"text":"\\"custom_id\\":\\"bait\\"","custom_id" : "a1"', ["custom_id"], "a1"],
    ['{"metadata":{"key":"a1"},"response"', ["metadata", "key"], "a1"],
    ['{"key":"bait","metadata":{"key":"a1"}', ["metadata", "key"], "a1"],
    ['{"custom_id":17,"x":"a1"', ["custom_id"], null],
    ['{"custom_id":"a1', ["custom_id"], null],
    ['["custom_id","a1"]', ["custom_id"], null],
    ["", ["custom_id"], null],
  ])("%s at %j is %s", (head, path, expected) => {
    expect(textAtHead(head, path)).toBe(expected);
  });
});
