import { describe, expect, test } from "@jest/globals";
import { estimatePromptTokens } from "../../src/domain/batch/estimate-tokens.js";
import { promptPrefix } from "../../src/domain/batch/prompt-prefix.js";
import type { RequestFormat } from "../../src/domain/job/job.js";
import { readRequestFacts } from "../../src/domain/route/request-facts.js";

const chat = (messages: readonly object[], more: object = {}): string =>
  JSON.stringify({ model: "m", messages, ...more });
const user = (content: string) => ({ role: "user", content });
const system = (content: string) => ({ role: "system", content });
const prefixOf = (bodyText: string, format: RequestFormat = "openai.chat", model = "m"): number =>
  promptPrefix(format, model, bodyText);

describe("prompts that begin alike", () => {
  const clerk = system("You are a clerk.");
  const sent = chat([clerk, user("first question")]);

  test.each<[string, string, RequestFormat, string]>([
    ["the same system text", chat([clerk, user("second question")]), "openai.chat", sent],
    [
      "one under the developer's name",
      chat([{ role: "developer", content: "c" }, user("a")]),
      "openai.chat",
      chat([{ role: "developer", content: "c" }, user("b")]),
    ],
    [
      "the same opening of a first turn",
      chat([user(`${"o".repeat(300)} one`)]),
      "openai.chat",
      chat([user(`${"o".repeat(300)} two`)]),
    ],
    [
      "a system text that differs far behind",
      chat([system(`${"s".repeat(1_200)} one`)]),
      "openai.chat",
      chat([system(`${"s".repeat(1_200)} two`)]),
    ],
    [
      "Anthropic's system text",
      '{"system":"s","messages":[{"role":"user","content":"a"}]}',
      "anthropic.messages",
      '{"max_tokens":9,"messages":[{"role":"user","content":"b"}],"system":"s"}',
    ],
    [
      "Gemini's system text",
      '{"systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"parts":[{"text":"a"}]}]}',
      "gemini.generate",
      '{"systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"parts":[{"text":"b"}]}]}',
    ],
    [
      "embeddings, of which nothing is cached",
      '{"model":"m","input":"a"}',
      "openai.embeddings",
      '{"model":"m","input":"b"}',
    ],
  ])("%s: one prefix", (_what, one, format, other) => {
    expect(prefixOf(one, format)).toBe(prefixOf(other, format));
  });

  test.each<[string, string, RequestFormat]>([
    ["another system text", chat([system("You are a judge."), user("first question")]), "openai.chat"],
    ["no system text", chat([user("first question")]), "openai.chat"],
    ["a second system text", chat([clerk, system("Be brief."), user("first question")]), "openai.chat"],
    [
      "tools",
      chat([clerk, user("first question")], { tools: [{ type: "function", function: { name: "f" } }] }),
      "openai.chat",
    ],
  ])("%s: another prefix", (_what, other, format) => {
    expect(prefixOf(other, format)).not.toBe(prefixOf(sent));
  });

  test("without a system text, first turns that differ early", () => {
    expect(prefixOf(chat([user("one question")]))).not.toBe(prefixOf(chat([user("two questions")])));
  });

  test("another model: it has a cache of its own", () => {
    expect(prefixOf(sent, "openai.chat", "n")).not.toBe(prefixOf(sent));
  });

  test("what is no JSON, or has no turns, is no trouble", () => {
    for (const text of ["", "[]", "{", '{"messages":7}']) expect(Number.isSafeInteger(prefixOf(text))).toBe(true);
    expect(prefixOf("x", "openai.embeddings")).toBe(0);
  });

  test("1,000 different system texts: whole numbers of 53 bits, no two alike, the high bits used", () => {
    const found = Array.from({ length: 1_000 }, (_unused, no) => prefixOf(chat([system(`clerk ${String(no)}`)])));
    expect(new Set(found).size).toBe(1_000);
    for (const one of found) expect(Number.isSafeInteger(one) && one >= 0).toBe(true);
    const high = found.filter((one) => one >= 2 ** 52).length;
    expect(high).toBeGreaterThan(400);
    expect(high).toBeLessThan(600);
  });
});

describe("estimated prompt tokens", () => {
  const estimate = (bodyText: string, format: RequestFormat = "openai.chat"): number =>
    estimatePromptTokens(readRequestFacts(format, bodyText, Buffer.byteLength(bodyText), null), 1_500);
  const picture = (url: string) => ({ role: "user", content: [{ type: "image_url", image_url: { url } }] });

  test("a token for three bytes begun, of the whole body", () => {
    const text = chat([user("why")]);
    expect(Buffer.byteLength(text)).toBe(58);
    expect(estimate(text)).toBe(20);
    expect(estimate(chat([user("why é")]))).toBe(21);
    expect(estimate('{"input":"abc"}', "openai.embeddings")).toBe(5);
    expect(estimate("")).toBe(1);
  });

  test("a picture counts the provider's most, not its bytes", () => {
    const without = chat([picture("")]);
    const withData = chat([picture(`data:image/png;base64,${"iVBORw0KGgo/+".repeat(10_000)}`)]);
    expect(estimate(withData)).toBe(Math.ceil(without.length / 3) + 1_500);
    const escaped = withData.replaceAll("/", "\\/");
    expect(estimate(escaped)).toBe(Math.ceil(without.length / 3) + 1_500);
    const address = chat([picture("https://example.org/a.png")]);
    expect(estimate(address)).toBe(Math.ceil(address.length / 3) + 1_500);
  });

  test("long prose beside a picture counts as prose", () => {
    const prose = "word ".repeat(2_000);
    const text = chat([user(prose), picture(`data:image/png;base64,${"A".repeat(9_000)}`)]);
    const data = "data:image/png;base64,".length + 9_000;
    expect(estimate(text)).toBe(Math.ceil((text.length - data) / 3) + 1_500);
  });

  test("sound and files, which nobody here understands, count a token a byte", () => {
    const text = chat([
      { role: "user", content: [{ type: "input_audio", input_audio: { data: "A".repeat(70_000) } }] },
    ]);
    expect(estimate(text)).toBe(text.length);
  });

  test("a picture of 24 MB is looked over in no time", () => {
    const text = chat([picture(`data:image/png;base64,${"A1b/".repeat(6_000_000)}`)]);
    const facts = readRequestFacts("openai.chat", text, text.length, null);
    expect(estimatePromptTokens(facts, 1_500)).toBeLessThan(1_600);
  });
});
