import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { topLevelMembers } from "../../src/domain/route/top-level-members.js";
import { outputTokensBound, readRequestFacts } from "../../src/domain/route/request-facts.js";

const membersOf = (text: string) =>
  topLevelMembers(text)?.map((member) => [member.name, text.slice(member.valueStart, member.end)]) ?? null;

describe("finding the members of a JSON object in its text", () => {
  test.each<[string, [string, string][] | null]>([
    ["{}", []],
    [" { } ", []],
    ['{"a":1}', [["a", "1"]]],
    [
      '{ "a" : 1.0 ,\n"b":"x" }',
      [
        ["a", "1.0"],
        ["b", '"x"'],
      ],
    ],
    [
      '{"a":{"b":[1,{"c":"}]"}]},"d":null}',
      [
        ["a", '{"b":[1,{"c":"}]"}]}'],
        ["d", "null"],
      ],
    ],
    [
      '{"a":"quote \\" and slash \\\\","b":2}',
      [
        ["a", '"quote \\" and slash \\\\"'],
        ["b", "2"],
      ],
    ],
    ['{"mod\\u0065l":"x"}', [["model", '"x"']]],
    ['{"a":12345678901234567890123}', [["a", "12345678901234567890123"]]],
    ["[1]", null],
    ['"a"', null],
    ["", null],
    ['{"a":1', null],
    ['{"a"}', null],
    ['{"a":}', null],
    ['{"a":1,}', null],
    ['{"a":"x}', null],
    ['{"a":[1}', null],
    ['{"a":1} x', null],
  ])("%s", (text, expected) => {
    expect(membersOf(text)).toEqual(expected);
  });

  test("agrees with JSON.parse on any object, compact or spaced", () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue()),
        fc.constantFrom(0, 2),
        (object, indent) => {
          const text = JSON.stringify(object, null, indent);
          const found = topLevelMembers(text)?.map((member): [string, unknown] => [
            member.name,
            JSON.parse(text.slice(member.valueStart, member.end)),
          ]);
          expect(found).toEqual(Object.entries(JSON.parse(text) as object));
        },
      ),
    );
  });
});

describe("the facts of a request", () => {
  test.each<[string, number | null, number]>([
    ['{"messages":[]}', null, 1],
    ['{"max_tokens":50}', 50, 1],
    ['{"max_completion_tokens":70,"max_tokens":50}', 70, 1],
    ['{"max_tokens":null}', null, 1],
    ['{"max_tokens":-1}', null, 1],
    ['{"max_tokens":"50"}', null, 1],
    ['{"max_tokens":1e400}', Number.MAX_SAFE_INTEGER, 1],
    ['{"n":3,"max_tokens":10}', 10, 3],
    ['{"messages":[{"max_tokens":9}]}', null, 1],
  ])("%s", (text, requestedMaxOutputTokens, choices) => {
    expect(readRequestFacts("openai.chat", text, text.length, null)).toMatchObject({
      requestedMaxOutputTokens,
      choices,
    });
  });

  test("each of n answers may be as long as the cap", () => {
    const facts = readRequestFacts("openai.chat", '{"n":3}', 7, null);
    expect(outputTokensBound(facts, 100)).toBe(300);
  });
});
