import { describe, expect, test } from "@jest/globals";
import { byteaArray, int8Array, textArray } from "../../src/adapters/postgres/binary-array.js";

/** Bytes by hand from the format of array_send: dimensions, has-null, oid, length, lower bound, then length and bytes of each. */
describe("Arrays are sent in PostgreSQL's binary form", () => {
  test("of whole numbers, negative and beyond 32 bits", () => {
    expect(int8Array([1, -2, 4294967296]).toString("hex")).toBe(
      "00000001" +
        "00000000" +
        "00000014" +
        "00000003" +
        "00000001" +
        "00000008" +
        "0000000000000001" +
        "00000008" +
        "fffffffffffffffe" +
        "00000008" +
        "0000000100000000",
    );
  });
  test("of bigints as of numbers", () => {
    expect(int8Array([-9007199254740993n]).toString("hex").slice(40)).toBe("00000008" + "ffdfffffffffffff");
  });
  test("with nulls marked", () => {
    expect(byteaArray([null, Buffer.from([0, 255])]).toString("hex")).toBe(
      "00000001" + "00000001" + "00000011" + "00000002" + "00000001" + "ffffffff" + "00000002" + "00ff",
    );
  });
  test("of text by its UTF-8 length", () => {
    expect(textArray(["é"]).toString("hex").slice(40)).toBe("00000002" + "c3a9");
  });
  test("that are empty, with no dimension", () => {
    expect(textArray([]).toString("hex")).toBe("00000000" + "00000000" + "00000019");
  });
});
