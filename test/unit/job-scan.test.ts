import { describe, expect, test } from "@jest/globals";
import { bodyTextOf } from "../../src/domain/job/canonical.js";
import { locateJsonError } from "../../src/domain/job/locate-json-error.js";
import { scanJson } from "../../src/domain/job/scan-json.js";
import type { BodyPlace } from "../../src/domain/job/scan-json.js";

function nested(depth: number): string {
  return "[".repeat(depth) + "]".repeat(depth);
}

function bodyOf(text: string, place: BodyPlace = "member"): string {
  const scan = scanJson(text, place, 64);
  if (scan.kind !== "scanned") throw new Error(scan.kind);
  return bodyTextOf(text, scan);
}

describe("depth", () => {
  test("takes as many containers in one another as the limit says", () => {
    expect(scanJson(nested(64), "whole", 64).kind).toBe("scanned");
  });
  test("refuses one more", () => {
    expect(scanJson(nested(65), "whole", 64)).toEqual({ kind: "too_deep", at: 64 });
  });
  test("does not count brackets in strings, nor containers side by side", () => {
    expect(scanJson(`["${"[".repeat(100)}",${"[],".repeat(100)}{}]`, "whole", 2).kind).toBe("scanned");
  });
  test("survives a million open brackets", () => {
    expect(scanJson("[".repeat(1_000_000), "whole", 64)).toEqual({ kind: "too_deep", at: 64 });
  });
});

describe("repeated keys", () => {
  test.each([
    ['{"a":1,"a":2}', "a"],
    ['{"x":{"model":1,"model":1}}', "model"],
    ['{"m":1,"\\u006d":2}', "m"],
    ['{"__proto__":1,"__proto__":2}', "__proto__"],
    ['{"":1,"":2}', ""],
    [`{${Array.from({ length: 40 }, (_, index) => `"k${String(index)}":0`).join(",")},"k30":1}`, "k30"],
  ])("finds the key that comes twice in %s", (text, key) => {
    expect(scanJson(text, "whole", 64)).toMatchObject({ kind: "repeated_key", key });
  });
  test.each([
    '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}',
    '{"a":"a","b":"a"}',
    '{"é":1,"e\u0301":2}',
    '["a","a"]',
    '{"a\\\\":1,"a":2}',
    '{"a":"\\"","b":"\\\\","c":1}',
  ])("finds none in %s", (text) => {
    expect(scanJson(text, "whole", 64).kind).toBe("scanned");
  });
});

describe("surrogates", () => {
  test.each([
    '"\\ud800"',
    '"\\udc00"',
    '"\\ud83d\\n\\ude00"',
    '"\\ud83d\\u0041"',
    '{"\\uDEAD":1}',
    '"\ud800"',
    '"a\udfff"',
    '"\\\\\\ud800"',
  ])("finds the lone half in %j", (text) => {
    expect(scanJson(text, "whole", 64).kind).toBe("lone_surrogate");
  });
  test.each(['"\\ud83d\\ude00"', '"\u{1f600}"', '"\\\\ud800"', '"\\uD83D\\uDE00x"', '"\\u0041"'])(
    "takes %j",
    (text) => {
      expect(scanJson(text, "whole", 64).kind).toBe("scanned");
    },
  );
});

describe("the body's own text", () => {
  test.each([
    ['{"jobId":"a","body": {"model" : "m", "n":1.0 } ,"priority":1}', '{"model" : "m", "n":1.0 }'],
    ['{"body":{"a":12345678901234567890,"b":1e999,"c":-0}}', '{"a":12345678901234567890,"b":1e999,"c":-0}'],
    ['{"labels":{"body":"no"},"body":{"x":{"body":2}}}', '{"x":{"body":2}}'],
    ['{"b\\u006fdy":{"x":"}"}}', '{"x":"}"}'],
    ['{"body":7 }', "7"],
    ['{"body":null}', "null"],
    ['{"x":{"body":{}}}', ""],
  ])("is cut out of %s unchanged", (text, body) => {
    expect(bodyOf(text)).toBe(body);
  });
  test("is the whole text when the value is the bare body", () => {
    expect(bodyOf(' {"b":1 , "a":2}\n', "whole")).toBe('{"b":1 , "a":2}');
  });
  test.each([
    ['{"model":"m","stream":true}', '{"model":"m"}'],
    ['{"stream":true,"model":"m"}', '{"model":"m"}'],
    ['{"a": 1.0,"stream_options":{"include_usage":true},"stream":true,"b":[1, 2]}', '{"a": 1.0,"b":[1, 2]}'],
    ['{"stream":true}', "{}"],
    ['{"a":{"stream":true}}', '{"a":{"stream":true}}'],
    ['{"str\\u0065am":true,"a":"stream"}', '{"a":"stream"}'],
  ])("loses the members about streaming, and nothing else: %s", (body, expected) => {
    expect(bodyOf(body, "whole")).toBe(expected);
    expect(bodyOf(`{"jobId":"x","body":${body},"stream":1}`)).toBe(expected);
  });
});

describe("the place of a syntax error", () => {
  test.each([
    ["", 0, "a JSON value"],
    ['{"a":1', 6, "a comma or }"],
    ['{"a":1}x', 7, "the end of the value"],
    ["[1,]", 3, "a JSON value"],
    ['{"a":1,}', 7, "a key in double quotes"],
    ['{"a" 1}', 5, "a colon"],
    ['{"a":"b', 7, "a closing quote"],
    ['"a\\x"', 2, "a valid escape"],
    ['"a\nb"', 2, "an escape in place of a control character"],
    ["[01]", 2, "a comma or ]"],
    ["{'a':1}", 1, "a key in double quotes"],
    ["\ufeff{}", 0, "a JSON value"],
    ["[1 2]", 3, "a comma or ]"],
  ])("is found in %j", (text, at, expected) => {
    expect(() => JSON.parse(text) as unknown).toThrow();
    expect(locateJsonError(text)).toEqual({ at, expected });
  });
  test("is null for JSON", () => {
    expect(locateJsonError(' {"a":[1,-2.5e+3,true,null,"\\u00e9"],"b":{}} ')).toBeNull();
  });
  test("is found at the end of a string of ten million characters", () => {
    expect(locateJsonError(`"${"x".repeat(10_000_000)}`)).toEqual({ at: 10_000_001, expected: "a closing quote" });
  });
});
