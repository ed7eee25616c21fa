import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import type { ResultItem } from "../../src/ports/batch-provider.js";
import { answeredLine, itemsOf, type FakePart } from "../support/result-parts.js";

/** Results as a provider may write them, cut into chunks as a network may, and read in several goes. */

const id = fc.stringMatching(/^[0-9a-v]{4}-[0-9a-v]{2,6}$/);
const answer = fc.tuple(id, fc.string({ unit: "binary", maxLength: 30 })).map(([one, text]) => answeredLine(one, text));
const failed = id.map((one) => JSON.stringify({ custom_id: one, response: null, error: { code: "batch_expired" } }));
const garbage = fc.oneof(
  fc.constantFrom("", "  ", "\u0000", "{}", "[", '"x"', '{"custom_id":"0000-11","resp'),
  fc.string({ maxLength: 20 }).map((text) => text.replace(/[\r\n]/g, "")),
  fc.constant("x".repeat(600)),
);
const line = fc.oneof({ weight: 4, arbitrary: answer }, { weight: 2, arbitrary: failed }, garbage);
const file = fc
  .tuple(fc.array(fc.tuple(line, fc.constantFrom("\n", "\r\n")), { maxLength: 12 }), fc.boolean(), fc.nat(40))
  .map(([lines, mark, cut]) => {
    const bytes = Buffer.from((mark ? "\ufeff" : "") + lines.map(([text, end]) => text + end).join(""));
    return bytes.subarray(0, Math.max(0, bytes.length - (cut > 20 ? cut - 20 : 0)));
  });
const chunks = fc.array(fc.integer({ min: 1, max: 90 }), { maxLength: 60 });

/** What was read, so that reads in several goes can be compared with one. */
const facts = (items: readonly ResultItem[]): readonly ResultItem[] =>
  items.filter(({ kind }) => kind === "line" || kind === "malformed");

describe("reading results", () => {
  test("gives the same items whatever chunks the bytes come in", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(file, { maxLength: 2 }), chunks, async (files, sizes) => {
        const whole = await itemsOf(files.map((bytes) => ({ bytes })));
        expect(await itemsOf(files.map((bytes) => ({ bytes, chunks: sizes })))).toEqual(whole);
        expect(await itemsOf(files.map((bytes) => ({ bytes, chunks: [...bytes].map(() => 1) })))).toEqual(whole);
      }),
      { numRuns: 200 },
    );
  });

  test("gives the same items when it breaks off anywhere and goes on from the last cursor", async () => {
    await fc.assert(
      fc.asyncProperty(file, file, chunks, fc.nat(2_000), async (one, other, sizes, at) => {
        const parts: readonly FakePart[] = [
          { bytes: one, chunks: sizes },
          { bytes: other, chunks: sizes },
        ];
        const whole = await itemsOf(parts);
        const place = at % (one.length + other.length + 1);
        const broken = parts.map((part, index) => ({
          ...part,
          breaksAfter: index === 0 ? place : Math.max(0, place - one.length),
        }));
        const before = await itemsOf(broken);
        const last = before.at(-1);
        const after = last?.kind === "broken" ? await itemsOf(parts, last.cursor) : [];
        expect([...facts(before), ...facts(after)]).toEqual(facts(whole));
      }),
      { numRuns: 300 },
    );
  });

  test("never hands out a line under an id that does not stand in it", async () => {
    await fc.assert(
      fc.asyncProperty(file, async (bytes) => {
        for (const item of await itemsOf([{ bytes }]))
          if (item.kind === "line") expect(bytes.includes(JSON.stringify(item.customId))).toBe(true);
      }),
      { numRuns: 100 },
    );
  });
});
