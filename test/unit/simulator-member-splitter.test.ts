import { describe, expect, test } from "@jest/globals";
import { MemberSplitter, SplitError } from "../../src/simulator/anthropic/member-splitter.js";

/** What a body is split into when it comes in pieces of `pieceBytes`. */
function split(body: string, pieceBytes: number, pieceBytesMax = 1000): readonly string[] {
  const told: string[] = [];
  const splitter = new MemberSplitter("requests", pieceBytesMax, (one) => {
    told.push(one.kind === "item" ? one.bytes.toString("utf8") : one.kind === "list" ? "list" : `member ${one.name}`);
  });
  const bytes = Buffer.from(body);
  for (let at = 0; at < bytes.length; at += pieceBytes) splitter.write(bytes.subarray(at, at + pieceBytes));
  splitter.end();
  return told;
}

const BODY = ` { "a" : {"requests":[1]} , "requests" : [ {"x":"}],\\"é[{"} ,[1,[2]], "s" ,-1.5e3,null ] ,"b":true}\n`;
const PARTS = ["member a", `{"x":"}],\\"é[{"}`, "[1,[2]]", `"s"`, "-1.5e3", "null", "list", "member b"];

describe("a long body", () => {
  test.each([1, 2, 3, 5, 7, 16, 1000])("is split alike in pieces of %i bytes", (pieceBytes) => {
    expect(split(BODY, pieceBytes)).toEqual(PARTS);
  });

  test("may hold an empty list, none, or something else of that name", () => {
    expect(split(`{"requests":[]}`, 4)).toEqual(["list"]);
    expect(split("{}", 1)).toEqual([]);
    expect(split(`{"requests":"x"}`, 4)).toEqual(["member requests"]);
    expect(split(`{"requests":12}`, 4)).toEqual(["member requests"]);
  });

  test.each([
    ["a list", "[]"],
    ["text", `"x"`],
    ["nothing", ""],
    ["half an object", `{"requests":[1`],
    ["a comma at the end of the list", `{"requests":[1,]}`],
    ["a comma at the end", `{"a":1,}`],
    ["two commas", `{"requests":[1,,2]}`],
    ["no comma", `{"requests":[1 2]}`],
    ["a name without quotes", `{requests:[]}`],
    ["no colon", `{"requests" []}`],
    ["something behind the end", `{"requests":[]} x`],
    ["a missing value", `{"requests":}`],
  ])("is refused when it is %s", (_name, body) => {
    for (const pieceBytes of [1, 4, 1000]) expect(() => split(body, pieceBytes)).toThrow(SplitError);
  });

  test("is refused when one item is too long, however it comes", () => {
    const body = `{"requests":["${"x".repeat(20)}"]}`;
    for (const pieceBytes of [1, 8, 1000]) {
      expect(() => split(body, pieceBytes, 21)).toThrow("too long");
      expect(split(body, pieceBytes, 22)).toHaveLength(2);
    }
  });
});
