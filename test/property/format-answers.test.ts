import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { NO_USAGE } from "../../src/domain/cost/usage.js";
import type { Usage } from "../../src/domain/cost/usage.js";
import type { ChatAnswer, Choice, Finish } from "../../src/domain/format/chat-answer.js";
import type { Json } from "../../src/domain/format/json.js";
import { readJson, writeJson, isJsonObject } from "../../src/domain/format/json.js";
import { CHAT_FORMATS } from "../../src/domain/format/formats.js";
import { Reasons } from "../../src/domain/format/reasons.js";
import { translateAnswer, translateRequest } from "../../src/domain/format/translate.js";
import { canonicalJson } from "../../src/domain/job/canonical.js";
import type { RequestFormat } from "../../src/domain/job/job.js";
import { askedJsonSchema, readAnswerTexts } from "../../src/domain/format/expected-json.js";
import { CHATS, jsonObject } from "./format-requests-fixture.js";
import type { Chat } from "./format-requests-fixture.js";

const id = fc.stringMatching(/^[a-zA-Z0-9]{1,20}$/);
const count = fc.nat(100_000);

const usage: fc.Arbitrary<Usage> = fc.oneof(
  fc.constant(NO_USAGE),
  fc
    .record({ plain: count, cached: fc.option(count), visible: count, reasoning: fc.option(count) })
    .map(({ plain, cached, visible, reasoning }) => ({
      inputTokens: plain + (cached ?? 0),
      cachedInputTokens: cached,
      cacheWriteTokens: null,
      cacheWrite1hTokens: null,
      outputTokens: visible + (reasoning ?? 0),
      reasoningTokens: reasoning,
    })),
);

const finish: fc.Arbitrary<Finish> = fc.oneof(
  fc.constantFrom<Finish>({ kind: "stop" }, { kind: "length" }, { kind: "refused", explanation: null }),
  fc.string({ minLength: 1, maxLength: 20 }).map((explanation) => ({ kind: "refused" as const, explanation })),
);

const choice: fc.Arbitrary<Choice> = fc
  .record({
    text: fc.string({ unit: "grapheme", maxLength: 30 }),
    calls: fc.uniqueArray(fc.record({ id, name: id, arguments: jsonObject }), {
      maxLength: 3,
      selector: (call) => call.id,
    }),
    finish,
  })
  .map((one) =>
    one.calls.length > 0 && one.finish.kind === "stop" ? { ...one, finish: { kind: "tool_calls" } } : one,
  );

/** The time is left out: only one of the formats tells it. */
const answer = (choicesMax: number): fc.Arbitrary<ChatAnswer> =>
  fc.record({
    id,
    model: id,
    createdAt: fc.constant(0),
    choices: fc.array(choice, { minLength: 1, maxLength: choicesMax }),
    usage,
  });

function meaningOf(format: Chat, text: string): string {
  const read = readJson(text);
  if (read.kind === "unreadable" || !isJsonObject(read.value)) throw new Error("no answer");
  const reasons = new Reasons(format);
  const told = CHAT_FORMATS[format]!.readAnswer(read.value, reasons);
  expect(reasons.list()).toEqual([]);
  return meaning(told);
}

const meaning = (told: ChatAnswer | null) => canonicalJson(writeJson({ ...told, createdAt: 0 } as unknown as Json));

function carriedText(from: Chat, to: Chat, text: string): string {
  const result = translateAnswer(from, to, text, "{}");
  if (result.kind === "not_carried") throw new Error(result.reasons.join("; "));
  return result.bodyText;
}

const PAIRS = CHATS.flatMap((from) => CHATS.filter((to) => to !== from).map((to) => [from, to] as const));

describe.each(PAIRS)("answers from %s to %s", (from, to) => {
  test("keep their meaning there and back", () => {
    const one = from === "anthropic.messages" || to === "anthropic.messages";
    fc.assert(
      fc.property(answer(one ? 1 : 3), (told) => {
        const reasons = new Reasons(to);
        const text = writeJson(CHAT_FORMATS[from]!.writeAnswer(told, reasons));
        expect(reasons.list()).toEqual([]);
        const there = carriedText(from, to, text);
        expect(meaningOf(to, there)).toBe(meaning(told));
        expect(meaningOf(from, carriedText(to, from, there))).toBe(meaning(told));
      }),
      { numRuns: 120 },
    );
  });
});

const FORMATS: readonly RequestFormat[] = [...CHATS, "openai.embeddings", "gemini.embed", "openai.responses"];
const format = fc.constantFrom(...FORMATS);

/** Members that the formats use, so that random JSON comes near to a request. */
const member = fc.constantFrom(
  ..."messages role content type text system tools tool_choice function name arguments tool_calls contents parts input".split(
    " ",
  ),
  ..."functionCall functionResponse generationConfig responseSchema response_format json_schema schema thinking stop".split(
    " ",
  ),
  ..."choices message candidates usage usageMetadata embedding embeddings values data index requests stop_reason".split(
    " ",
  ),
);
const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 5 },
    fc.constantFrom<unknown>(
      "user",
      "assistant",
      "tool",
      "text",
      "tool_use",
      "function",
      "json_schema",
      0,
      -1,
      true,
      null,
      "",
    ),
    fc.array(tie("tree"), { maxLength: 4 }),
    fc.dictionary(member, tie("tree"), { maxKeys: 5 }),
  ),
}));

function expectAnswered(from: RequestFormat, to: RequestFormat, text: string): void {
  for (const result of [translateRequest(from, to, text), translateAnswer(from, to, text, text)]) {
    if (result.kind === "carried") expect(JSON.parse(result.bodyText)).toBeInstanceOf(Object);
    else expect(result.reasons.length).toBeGreaterThan(0);
  }
  expect(["text", "json", "json_schema"]).toContain(askedJsonSchema(from, text).kind);
  expect(readAnswerTexts(from, text).every((one) => typeof one === "string")).toBe(true);
}

describe("translation", () => {
  test("never throws, whatever JSON it gets", () => {
    fc.assert(
      fc.property(format, format, fc.oneof(tree, fc.jsonValue()), (from, to, value) => {
        expectAnswered(from, to, JSON.stringify(value));
      }),
      { numRuns: 2_000 },
    );
  });

  test("never throws, whatever text it gets", () => {
    const noise = fc.oneof(fc.string(), fc.stringMatching(/^[[\]{}":,\\ 0-9eE+.-]{0,30}$/));
    fc.assert(
      fc.property(format, format, noise, (from, to, text) => {
        expectAnswered(from, to, text);
      }),
      { numRuns: 1_000 },
    );
  });

  test("reads exactly what JSON.parse reads, and keeps the digits of the rest", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const read = readJson(JSON.stringify(value));
        expect(read.kind === "read" && writeJson(read.value)).toBe(JSON.stringify(value));
      }),
    );
    fc.assert(
      fc.property(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), (value) => {
        const read = readJson(`{"a":[${String(value)}]}`);
        expect(read.kind === "read" && writeJson(read.value)).toBe(`{"a":[${String(value)}]}`);
      }),
    );
  });
});

describe("embeddings", () => {
  const floats = fc.array(
    fc.array(
      fc.float({ noNaN: true, noDefaultInfinity: true }).map((one) => one + 0),
      { minLength: 1, maxLength: 8 },
    ),
    {
      minLength: 1,
      maxLength: 4,
    },
  );

  test("keep their numbers there and back, in base64 too", () => {
    fc.assert(
      fc.property(floats, fc.boolean(), (vectors, inBase64) => {
        const inputs = vectors.map((_vector, at) => `t${String(at)}`);
        const gemini = JSON.stringify({ embeddings: vectors.map((values) => ({ values })) });
        const job = JSON.stringify({ input: inputs, encoding_format: inBase64 ? "base64" : "float" });
        const there = translateAnswer("gemini.embed", "openai.embeddings", gemini, job);
        if (there.kind === "not_carried") throw new Error(there.reasons.join("; "));
        const asked = JSON.stringify({ requests: inputs.map((text) => ({ content: { parts: [{ text }] } })) });
        const back = translateAnswer("openai.embeddings", "gemini.embed", there.bodyText, asked);
        expect(back.kind === "carried" && JSON.parse(back.bodyText)).toEqual(JSON.parse(gemini));
      }),
    );
  });

  test("ask for the same there and back", () => {
    const texts = fc.array(fc.string(), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(fc.oneof(fc.string(), texts), fc.option(fc.integer({ min: 1, max: 3_072 })), (input, dimensions) => {
        const body = JSON.stringify({ input, ...(dimensions === null ? {} : { dimensions }) });
        const there = translateRequest("openai.embeddings", "gemini.embed", body);
        if (there.kind === "not_carried") throw new Error(there.reasons.join("; "));
        const back = translateRequest("gemini.embed", "openai.embeddings", there.bodyText);
        expect(back).toEqual({ kind: "carried", bodyText: body });
      }),
    );
  });
});
