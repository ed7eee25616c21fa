import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { ANTHROPIC_MESSAGES } from "../../src/domain/format/anthropic-messages/anthropic-messages.js";
import type { ChatFormat } from "../../src/domain/format/chat-format.js";
import type { ChatRequest } from "../../src/domain/format/chat-request.js";
import { GEMINI_GENERATE } from "../../src/domain/format/gemini-generate/gemini-generate.js";
import { readJson, writeJson } from "../../src/domain/format/json.js";
import type { Json } from "../../src/domain/format/json.js";
import { OPENAI_CHAT } from "../../src/domain/format/openai-chat/openai-chat.js";
import { Reasons } from "../../src/domain/format/reasons.js";
import { translateRequest } from "../../src/domain/format/translate.js";
import { canonicalJson } from "../../src/domain/job/canonical.js";
import { CHATS, commonRequest, FEATURES } from "./format-requests-fixture.js";
import type { Chat } from "./format-requests-fixture.js";

const CONVERTERS: Readonly<Record<Chat, ChatFormat>> = {
  "openai.chat": OPENAI_CHAT,
  "anthropic.messages": ANTHROPIC_MESSAGES,
  "gemini.generate": GEMINI_GENERATE,
};
const PAIRS = CHATS.flatMap((from) => CHATS.filter((to) => to !== from).map((to) => [from, to] as const));

/** One text for one meaning: key order does not count, digits do. */
const meaning = (request: unknown): string => canonicalJson(writeJson(request as Json));

function bodyOf(format: Chat, request: ChatRequest): string {
  const reasons = new Reasons(format);
  const body = CONVERTERS[format].writeRequest(request, reasons);
  expect(reasons.list()).toEqual([]);
  return writeJson(body);
}

function meaningOf(format: Chat, bodyText: string): string {
  const read = readJson(bodyText);
  if (read.kind === "unreadable") throw new Error(read.because);
  const reasons = new Reasons(format);
  const request = CONVERTERS[format].readRequest(read.value, reasons);
  expect(reasons.list()).toEqual([]);
  return meaning(request);
}

function carriedText(from: Chat, to: Chat, bodyText: string): string {
  const result = translateRequest(from, to, bodyText);
  if (result.kind === "not_carried") throw new Error(result.reasons.join("; "));
  return result.bodyText;
}

describe.each(PAIRS)("requests from %s to %s", (from, to) => {
  const shared = FEATURES.filter((feature) => feature.carriedBy.includes(from) && feature.carriedBy.includes(to));
  const foreign = FEATURES.filter((feature) => feature.carriedBy.includes(from) && !feature.carriedBy.includes(to));

  test("keep their meaning there and back", () => {
    fc.assert(
      fc.property(commonRequest, fc.option(fc.constantFrom(...shared)), (common, feature) => {
        const request = feature === null ? common : feature.add(common);
        const there = carriedText(from, to, bodyOf(from, request));
        expect(meaningOf(to, there)).toBe(meaning(request));
        expect(meaningOf(from, carriedText(to, from, there))).toBe(meaning(request));
      }),
      { numRuns: 120 },
    );
  });

  test.each(foreign.map((feature) => [feature.name, feature] as const))(
    "name a reason against %s",
    (_name, feature) => {
      fc.assert(
        fc.property(commonRequest, (common) => {
          const result = translateRequest(from, to, bodyOf(from, feature.add(common)));
          expect(result).toEqual({
            kind: "not_carried",
            reasons: expect.arrayContaining([expect.stringMatching(feature.reason)]),
          });
        }),
        { numRuns: 15 },
      );
    },
  );

  test("name a member that nobody knows, wherever it is", () => {
    fc.assert(
      fc.property(commonRequest, fc.nat(), (request, place) => {
        const bodyText = bodyOf(from, request);
        const objects = openObjects(JSON.parse(bodyText));
        objects[place % objects.length]!["zz_unknown"] = 1;
        const result = translateRequest(from, to, JSON.stringify(objects[0]));
        expect(result).toEqual({
          kind: "not_carried",
          reasons: expect.arrayContaining([expect.stringMatching(/zz_?[uU]nknown/)]),
        });
      }),
      { numRuns: 100 },
    );
  });
});

/** Members whose objects are the caller's own data. */
const OPAQUE = new Set([
  "args",
  "arguments",
  "input",
  "input_schema",
  "parameters",
  "parametersJsonSchema",
  "response",
  "responseJsonSchema",
  "schema",
]);

/** The objects of a body, the body itself first, whose members the format defines. */
function openObjects(value: any, name = ""): Record<string, unknown>[] {
  if (typeof value !== "object" || value === null || OPAQUE.has(name)) return [];
  const inner = Object.entries(value).flatMap(([key, one]) => openObjects(one, Array.isArray(value) ? "" : key));
  return Array.isArray(value) ? inner : [value, ...inner];
}
