import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { parse as parseLossless, stringify as stringifyLossless } from "lossless-json";
import { requestDigest, unambiguous } from "../../src/domain/dedupe/request-hash.js";
import { createAdmission } from "../../src/domain/job/admit.js";
import { canonicalJson } from "../../src/domain/job/canonical.js";
import { attemptId, parseAttemptId } from "../../src/domain/job/ids.js";
import { locateJsonError } from "../../src/domain/job/locate-json-error.js";
import { scanJson } from "../../src/domain/job/scan-json.js";
import { NOW_MS, header, record, settings } from "../unit/job-admission-fixture.js";

const text = fc.string({ unit: "binary" });
const json = fc.jsonValue({ stringUnit: "binary", maxDepth: 6 });
const lexeme = fc.oneof(
  fc.constantFrom("0", "-0", "1.0", "1", "1e5", "1E+5", "100000", "1e999", "12345678901234567890", "0.1", "0.10"),
  fc.double({ noDefaultInfinity: true, noNaN: true }).map((value) => JSON.stringify(value)),
);

/** JSON text with free spacing, key order, escapes and number lexemes, and the tree it stands for with lexemes as tagged text. */
type Written = { readonly text: string; readonly meaning: unknown };
const space = fc.constantFrom("", "", " ", "\n\t", "\r\n ");
const writtenString = fc.tuple(text, fc.boolean()).map(([value, escaped]): Written => {
  const plain = JSON.stringify(value);
  const inner = [...Array(value.length).keys()]
    .map((at) => `\\u${value.charCodeAt(at).toString(16).padStart(4, "0")}`)
    .join("");
  return { text: escaped ? `"${inner}"` : plain, meaning: value };
});
const { written } = fc.letrec<{ written: Written; list: Written; object: Written }>((tie) => ({
  written: fc.oneof(
    { maxDepth: 4 },
    lexeme.map((number): Written => ({ text: number, meaning: { number } })),
    writtenString,
    fc.constantFrom("true", "false", "null").map((word): Written => ({ text: word, meaning: { word } })),
    tie("list"),
    tie("object"),
  ),
  list: fc.tuple(fc.array(tie("written"), { maxLength: 4 }), space).map(([items, gap]): Written => ({
    text: `[${gap}${items.map((item) => item.text).join(`${gap},${gap}`)}${gap}]`,
    meaning: items.map((item) => item.meaning),
  })),
  object: fc
    .tuple(
      fc.uniqueArray(fc.tuple(writtenString, tie("written")), { selector: ([key]) => key.meaning, maxLength: 5 }),
      space,
    )
    .map(([members, gap]): Written => ({
      text: `{${gap}${members.map(([key, value]) => `${key.text}${gap}:${gap}${value.text}`).join(`${gap},${gap}`)}${gap}}`,
      meaning: {
        members: members
          .map(([key, value]) => [key.meaning, value.meaning])
          .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
      },
    })),
}));

describe("canonical JSON", () => {
  test("means what the text meant", () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(JSON.parse(canonicalJson(JSON.stringify(value)))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
  test("is its own canonical form", () => {
    fc.assert(
      fc.property(written, ({ text: source }) => {
        const once = canonicalJson(source);
        expect(canonicalJson(once)).toBe(once);
      }),
    );
  });
  test("is equal exactly when the meaning is, lexemes included", () => {
    fc.assert(
      fc.property(written, written, (left, right) => {
        const sameMeaning = JSON.stringify(left.meaning) === JSON.stringify(right.meaning);
        expect(canonicalJson(left.text) === canonicalJson(right.text)).toBe(sameMeaning);
      }),
      { numRuns: 500 },
    );
  });
  test("keeps what lossless-json keeps", () => {
    fc.assert(
      fc.property(written, ({ text: source }) => {
        // An independent reader of exact numbers; `__proto__` is left out, which its objects can't hold as data.
        fc.pre(!source.includes("__proto__"));
        expect(canonicalJson(stringifyLossless(parseLossless(source)) ?? "")).toBe(canonicalJson(source));
      }),
    );
  });
});

describe("hashes", () => {
  test("ignore key order", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(text, json), { selector: ([key]) => key, minLength: 2 }), (members) => {
        const write = (list: typeof members): string =>
          `{${list.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(",")}}`;
        const digest = (source: string): string => requestDigest("f", canonicalJson(source)).toString("hex");
        expect(digest(write([...members].reverse()))).toBe(digest(write(members)));
      }),
    );
  });
  test("differ for any two different lists of parts", () => {
    const list = fc.array(fc.option(fc.oneof(text, fc.constantFrom("", "~", "1:", "2;", ":", "1:a"))), {
      maxLength: 4,
    });
    fc.assert(
      fc.property(list, list, (left, right) => {
        expect(unambiguous(left) === unambiguous(right)).toBe(JSON.stringify(left) === JSON.stringify(right));
      }),
      { numRuns: 1000 },
    );
  });
});

describe("the scan", () => {
  test("accepts what JSON.stringify writes, and finds the whole text as body", () => {
    fc.assert(
      fc.property(json, (value) => {
        const source = JSON.stringify(value);
        expect(scanJson(source, "whole", 64)).toMatchObject({
          kind: "scanned",
          body: { start: 0, end: source.length },
        });
      }),
    );
  });
  test("cuts out of a job exactly the text that was put in as its body", () => {
    fc.assert(
      fc.property(written, json, space, (body, before, gap) => {
        const source = `{"before":${JSON.stringify(before)},${gap}"body"${gap}:${gap}${body.text}${gap},"after":1}`;
        const scan = scanJson(source, "member", 64);
        if (scan.kind !== "scanned" || scan.body === null) throw new Error(scan.kind);
        expect(source.slice(scan.body.start, scan.body.end)).toBe(body.text);
      }),
    );
  });
  test("ends on any text", () => {
    const noise = fc.array(
      fc.oneof(fc.constantFrom("{", "}", "[", "]", '"', ",", ":", "\\", "\\u", "d800", "body", "1e"), text),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(noise, (parts) => {
        expect(["scanned", "repeated_key", "lone_surrogate", "too_deep"]).toContain(
          scanJson(parts.join(""), "member", 8).kind,
        );
      }),
    );
  });
});

test("a syntax error is located exactly where JSON.parse finds one to be", () => {
  const broken = fc
    .tuple(written, fc.nat(), fc.constantFrom("", "}", "]", ",", '"', ":", "x", "1", "\\", "\n", "\u0001"))
    .map(([{ text: source }, at, mark]) => {
      const place = at % (source.length + 1);
      return source.slice(0, place) + mark + source.slice(place + (mark === "" ? 1 : 0));
    });
  fc.assert(
    fc.property(broken, (source) => {
      const isJson = (candidate: string): boolean => {
        try {
          JSON.parse(candidate);
          return true;
        } catch {
          return false;
        }
      };
      expect(locateJsonError(source) === null).toBe(isJson(source));
    }),
    { numRuns: 1000 },
  );
});

describe("admission", () => {
  const admission = createAdmission(settings());
  const never = (value: Buffer, names: readonly string[]): void => {
    const headers = names.map((name) => header(name, value.subarray(0, 8)));
    expect(["job", "cancel", "refused"]).toContain(admission.admit(record(value, headers), NOW_MS).kind);
  };
  const names = fc.array(
    fc.constantFrom("llm-format", "llm-job-id", "llm-action", "kafka_replyTopic", "kafka_replyPartition", "x"),
    { maxLength: 3 },
  );
  test("never throws for random bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), names, (bytes, chosen) => {
        never(Buffer.from(bytes), chosen);
      }),
      { numRuns: 500 },
    );
  });
  test("never throws for random JSON in the fields of a job", () => {
    const fields = [
      "jobId",
      "tenant",
      "format",
      "body",
      "bodyRef",
      "mode",
      "deadline",
      "ttlMs",
      "priority",
      "tier",
      "replyTo",
      "labels",
      "require",
      "chain",
      "dedupe",
      "sample",
      "cache",
      "expect",
      "onDoubt",
      "explain",
    ];
    const job = fc.dictionary(
      fc.constantFrom(...fields),
      fc.oneof(json, fc.constantFrom("openai.chat", { model: "m" }, 5)),
    );
    fc.assert(
      fc.property(job, names, (value, chosen) => {
        never(Buffer.from(JSON.stringify(value)), chosen);
      }),
      { numRuns: 500 },
    );
  });
});

describe("attempt ids", () => {
  const key = fc.tuple(fc.integer({ min: 0, max: 32 ** 4 - 1 }), fc.maxSafeNat());
  test("are read back, at most 64 characters that every provider takes", () => {
    fc.assert(
      fc.property(key, ([day, no]) => {
        const id = attemptId(day, no);
        expect(id).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
        expect(parseAttemptId(id)).toEqual({ day, no });
      }),
    );
  });
  test("are not read with one digit changed or two digits exchanged", () => {
    fc.assert(
      fc.property(
        key,
        fc.nat(),
        fc.nat(),
        fc.constantFrom(...Array.from("0123456789abcdefghijklmnopqrstuv")),
        ([day, no], first, second, digit) => {
          const id = attemptId(day, no);
          const [i, j] = [first % id.length, second % id.length];
          const digits = Array.from(id);
          const changed = digits.with(i, digit).join("");
          const exchanged = digits
            .with(i, digits[j] ?? "")
            .with(j, digits[i] ?? "")
            .join("");
          for (const other of [changed, exchanged]) {
            if (other !== id) expect(parseAttemptId(other)).toBeNull();
          }
        },
      ),
    );
  });
});
