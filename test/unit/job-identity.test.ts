import { describe, expect, test } from "@jest/globals";
import { executionKey, requestDigest, unambiguous, uuidV5 } from "../../src/domain/dedupe/request-hash.js";
import type { ExecutionIdentity } from "../../src/domain/dedupe/request-hash.js";
import { canonicalJson } from "../../src/domain/job/canonical.js";
import { attemptId, costId, derivedJobId, eventId, parseAttemptId, resultId } from "../../src/domain/job/ids.js";

describe("canonical JSON", () => {
  test.each([
    ['{ "b" : 1 , "a" : [ 1 , 2 ] }', '{"a":[1,2],"b":1}'],
    ['{"b":{"d":1,"c":2},"a":null}', '{"a":null,"b":{"c":2,"d":1}}'],
    ["1.0", "1.0"],
    ["-0", "-0"],
    ["[12345678901234567890,1e999,1E5]", "[12345678901234567890,1e999,1E5]"],
    ['"\\u0041\\/"', '"A/"'],
    ['"\\n\\u000a"', '"\\n\\n"'],
    ['{"\\u0062":1,"a":2}', '{"a":2,"b":1}'],
    ['{"__proto__":{"x":1},"constructor":2}', '{"__proto__":{"x":1},"constructor":2}'],
    ['{"a!":1,"a":2,"a ":3}', '{"a":2,"a ":3,"a!":1}'],
    ['{"\u{1f600}":1,"\uffee":2}', '{"\u{1f600}":1,"\uffee":2}'], // by UTF-16 code units, not by code points
    ['{"10":1,"9":2}', '{"10":1,"9":2}'],
    ["{}", "{}"],
    ["[ ]", "[]"],
    [" true ", "true"],
    ['"\\u0000"', '"\\u0000"'],
  ])("writes %s as %s", (text, expected) => {
    expect(canonicalJson(text)).toBe(expected);
  });
  test("keeps NFC and NFD twins apart", () => {
    expect(canonicalJson('"\u00e9"')).not.toBe(canonicalJson('"e\u0301"'));
  });
});

describe("the request digest", () => {
  const digest = (body: string, format = "openai.chat"): string =>
    requestDigest(format, canonicalJson(body)).toString("hex");
  test.each([
    ['{"a":1,"b":2}', '{ "b":2, "a":1 }'],
    ['"\\u00e9"', '"é"'],
  ])("is equal for %s and %s", (left, right) => {
    expect(digest(left)).toBe(digest(right));
  });
  test.each([
    ["1", "1.0"],
    ["1", '"1"'],
    ["0", "-0"],
    ["[1,2]", "[2,1]"],
    ["9007199254740992", "9007199254740993"],
    ["1e999", "1e998"],
    ["null", '"null"'],
    ['{"a":"b"}', '["a","b"]'],
    ['["a,b"]', '["a","b"]'],
    ['"a"', '"A"'],
    ['{"a":null}', "{}"],
  ])("differs for %s and %s", (left, right) => {
    expect(digest(left)).not.toBe(digest(right));
  });
  test("differs by format", () => {
    expect(digest("1", "openai.chat")).not.toBe(digest("1", "anthropic.messages"));
  });
});

describe("the execution key", () => {
  const base: ExecutionIdentity = {
    tenant: "acme",
    requestDigest: requestDigest("openai.chat", "{}"),
    sample: null,
    configRevision: "r1",
    policy: {
      model: "cheap",
      chain: "standard",
      providers: null,
      capabilities: [],
      selfHostedOnly: false,
      regions: null,
      expect: { jsonSchema: false, notEmpty: true, complete: false },
      onDoubt: null,
    },
  };
  const { policy } = base;
  const variants: readonly (readonly [string, ExecutionIdentity])[] = [
    ["tenant", { ...base, tenant: "other" }],
    ["request", { ...base, requestDigest: requestDigest("openai.chat", "[]") }],
    ["sample", { ...base, sample: "1" }],
    ["config revision", { ...base, configRevision: "r2" }],
    ["model", { ...base, policy: { ...policy, model: "dear" } }],
    ["chain", { ...base, policy: { ...policy, chain: "fast" } }],
    ["providers", { ...base, policy: { ...policy, providers: ["openai"] } }],
    ["one provider whose name looks like two", { ...base, policy: { ...policy, providers: ["a,b"] } }],
    ["two providers", { ...base, policy: { ...policy, providers: ["a", "b"] } }],
    ["capabilities", { ...base, policy: { ...policy, capabilities: ["openai"] } }],
    ["regions", { ...base, policy: { ...policy, regions: ["openai"] } }],
    ["self-hosted", { ...base, policy: { ...policy, selfHostedOnly: true } }],
    ["schema expected", { ...base, policy: { ...policy, expect: { ...policy.expect, jsonSchema: true } } }],
    ["emptiness allowed", { ...base, policy: { ...policy, expect: { ...policy.expect, notEmpty: false } } }],
    ["completeness expected", { ...base, policy: { ...policy, expect: { ...policy.expect, complete: true } } }],
    ["doubt", { ...base, policy: { ...policy, onDoubt: "fail" } }],
  ];
  test("has 32 bytes and is the same for the same identity", () => {
    expect(executionKey(base)).toHaveLength(32);
    expect(executionKey({ ...base }).equals(executionKey(base))).toBe(true);
  });
  test("differs whenever one part differs, and between any two of them", () => {
    const keys = [base, ...variants.map(([, identity]) => identity)].map((identity) =>
      executionKey(identity).toString("hex"),
    );
    expect(new Set(keys).size).toBe(variants.length + 1);
  });
});

describe("ids", () => {
  test("unambiguous keeps apart lists that a separator would mix up", () => {
    const lists = [["a", "b"], ["ab"], ["a,b"], ["a", null], ["a"], [null, "a"], ["", "a"], ["1:a"], ["a", "~"], []];
    expect(new Set(lists.map(unambiguous)).size).toBe(lists.length);
  });
  test("are UUIDs of version 5", () => {
    expect(uuidV5(["x"])).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });
  // Computed by another program from the rule in words: a changed id would make a second result out of a repeated one.
  test("never change", () => {
    expect(resultId("acme", "order-17", 0)).toBe("6726a12a-1efe-5767-b08a-adb02c300bce");
    expect(attemptId(20_788, 123_456)).toBe("0k9k-3oi0a");
    expect(requestDigest("openai.chat", '{"a":1}').toString("hex")).toBe(
      "869df95402a496ab266019c5b135137a0788394ab524ebc5cd9b7161515db306",
    );
  });
  test("differ by tenant, id, generation and place, and by what they are the id of", () => {
    const place = { cluster: "c", topic: "t", partition: 1, offset: 2 };
    const all = [
      resultId("a", "b", 0),
      resultId("a", "b", 1),
      resultId("ab", "", 0),
      resultId("", "ab", 0),
      resultId("a", "b", -1, place),
      resultId("a", "b", -1, { ...place, offset: 3 }),
      costId("charge", "a"),
      costId("shared", "a"),
      costId("charge", "a", null),
      eventId("charge", "a"),
      derivedJobId(place, 5),
      derivedJobId(place, 6),
      derivedJobId({ ...place, cluster: "d" }, 5),
    ];
    expect(new Set(all).size).toBe(all.length);
  });
});

describe("attempt ids", () => {
  test.each(["", "0k9k-", "zzzz-zz", "0K9K-3OI0X", "0k9k-3oi00 ", "00000-00", "custom-1"])("refuses %j", (text) => {
    expect(parseAttemptId(text)).toBeNull();
  });
  test.each([
    [-1, 0],
    [1.5, 0],
    [32 ** 4, 0],
    [0, -1],
    [0, Number.MAX_SAFE_INTEGER + 1],
  ])("has none for day %d, number %d", (day, no) => {
    expect(() => attemptId(day, no)).toThrow(RangeError);
  });
});
