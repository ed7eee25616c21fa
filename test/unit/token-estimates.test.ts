import { describe, expect, test } from "@jest/globals";
import { lazyTokenizer } from "../../src/adapters/tokenizer/lazy-tokenizer.js";
import { LearnedTokenEstimates } from "../../src/adapters/tokenizer/token-estimates.js";
import { countTextTokens } from "../../src/domain/batch/estimate-tokens.js";
import { learnCorrection } from "../../src/domain/tokens/prompt-estimate.js";
import { readRequestFacts, type RequestFacts } from "../../src/domain/route/request-facts.js";

const chat = (content: unknown): string => JSON.stringify({ model: "m", messages: [{ role: "user", content }] });
const factsOf = (body: string): RequestFacts => readRequestFacts("openai.chat", body, Buffer.byteLength(body), null);

const ENGLISH =
  "The committee met on Tuesday to discuss whether the harbour should be dredged before winter, and adjourned without a decision.";
const GERMAN =
  "Der Ausschuss traf sich am Dienstag, um zu beraten, ob der Hafen vor dem Winter ausgebaggert werden soll, und vertagte sich ohne Beschluss.";
const CHINESE = "委员会星期二开会讨论港口是否应在冬季之前疏浚，但没有作出任何决定就休会了。";
const RECORDS = JSON.stringify(
  Array.from({ length: 8 }, (_unused, index) => ({
    id: 1000 + index,
    name: `item-${String(index)}`,
    price: 12.5,
    tags: ["a", "b"],
  })),
);

/** What gpt-tokenizer counts for the text alone with o200k_base, when it is run directly; around it stand a dozen or so tokens of the request's own. */
const TEXTS: readonly (readonly [string, string, number])[] = [
  ["English", ENGLISH, 25],
  ["German", GERMAN, 33],
  ["Chinese", CHINESE, 29],
  ["JSON", RECORDS, 194],
];
const AROUND = 22;

describe("tokens of a request, by a tokenizer", () => {
  const count = lazyTokenizer();

  test.each(TEXTS)("%s", (_name, text, tokens) => {
    const counted = countTextTokens(factsOf(chat(text)), count) ?? Number.NaN;
    expect(counted).toBeGreaterThanOrEqual(tokens);
    expect(counted).toBeLessThanOrEqual(tokens + AROUND);
  });

  test("a text counts the same with its letters written as numbers", () => {
    const escaped = chat(CHINESE).replace(
      /[\u0080-\uffff]/g,
      (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`,
    );
    expect(countTextTokens(factsOf(escaped), count)).toBe(countTextTokens(factsOf(chat(CHINESE)), count));
  });

  test("pictures in base64 count by the picture", () => {
    const picture = Buffer.alloc(60_000, "so many bytes of a picture").toString("base64");
    const parts = [
      { type: "text", text: ENGLISH },
      { type: "image_url", image_url: { url: `data:image/png;base64,${picture}` } },
    ];
    const facts = factsOf(chat(parts));
    expect(facts.images).toBe(1);
    const estimates = new LearnedTokenEstimates(count);
    const tokens = estimates.promptTokens(facts, {
      account: "a",
      model: "m",
      unseen: { overheadTokens: 0, imageTokensMax: 1000 },
    });
    expect(tokens).toBeGreaterThan(1000 + 25);
    expect(tokens).toBeLessThan(1000 + 90);
  });

  test("sound is not understood: nothing is counted", () => {
    const sound = { type: "input_audio", input_audio: { data: "A".repeat(80_000), format: "wav" } };
    expect(countTextTokens(factsOf(chat([sound])), count)).toBeNull();
  });

  test("of a long text some slices are counted, and the rest is taken to be like them", () => {
    const asked: number[] = [];
    const long = `${ENGLISH} `.repeat(20_000); // 2.5 MB
    const counted = countTextTokens(factsOf(chat(long)), (text) => {
      asked.push(text.length);
      return count(text);
    });
    expect(asked.reduce((sum, length) => sum + length, 0)).toBe(32 * 512);
    expect(counted).toBeGreaterThan(20_000 * 23);
    expect(counted).toBeLessThan(20_000 * 27);
  });

  test("marks of the tokenizer's own are text", () => {
    expect(countTextTokens(factsOf(chat("<|endoftext|>")), count)).toBeGreaterThan(5);
  });
});

describe("what a model's own counts teach", () => {
  const at = (model: string) => ({ account: "a", model, unseen: { overheadTokens: 0, imageTokensMax: 0 } });
  /** A token a character, so that a test can reckon. */
  const estimatesByLetter = (): LearnedTokenEstimates => new LearnedTokenEstimates((text) => text.length);
  const bodyOf = (letters: number, word = "x"): string => chat(word.repeat(letters));

  test("is not counted again when the request comes up again, as another reading of the same body", () => {
    let counted = 0;
    const estimates = new LearnedTokenEstimates((text) => {
      counted += 1;
      return text.length;
    });
    const body = bodyOf(100);
    const first = estimates.promptTokens(factsOf(body), at("m"));
    expect([estimates.promptTokens(factsOf(body), at("m")), estimates.promptTokens(factsOf(body), at("n"))]).toEqual([
      first,
      first,
    ]);
    expect(counted).toBe(1);
    estimates.atLeast(factsOf(body)); // decides about routes, so it is counted
    expect(counted).toBe(2);
  });

  test("corrects later estimates of that model, and of no other", () => {
    const estimates = estimatesByLetter();
    const body = bodyOf(1000);
    const before = estimates.promptTokens(factsOf(body), at("m"));
    expect(before).toBe(body.length);
    estimates.learn(body, at("m"), body.length * 1.5);
    expect(estimates.promptTokens(factsOf(body), at("m"))).toBe(Math.ceil(body.length * 1.5));
    expect(estimates.promptTokens(factsOf(body), at("other"))).toBe(before);
  });

  test("never moves what is surely there, which decides about routes", () => {
    const estimates = estimatesByLetter();
    const body = bodyOf(1000);
    const before = estimates.atLeast(factsOf(body));
    estimates.learn(body, at("m"), body.length * 3);
    expect([before, estimates.atLeast(factsOf(body))]).toEqual([791, 791]); // three quarters of 1,055
    expect(body.length).toBe(1055);
  });

  test("is only believed within reason, and forgets what was long ago", () => {
    expect(learnCorrection(undefined, 100, 1e9).ratio).toBe(4);
    expect(learnCorrection(undefined, 100, 1).ratio).toBe(0.25);
    let correction = learnCorrection(undefined, 100, 100);
    for (let answer = 0; answer < 500; answer += 1) correction = learnCorrection(correction, 100, 200);
    expect(correction.ratio).toBeGreaterThan(1.99);
    expect(correction.answers).toBe(50);
  });

  test("an answer to what was never estimated teaches nothing", () => {
    const estimates = estimatesByLetter();
    estimates.learn(bodyOf(10), at("m"), 5000);
    estimates.promptTokens(factsOf(bodyOf(20)), at("m"));
    estimates.learn(bodyOf(30), at("m"), 5000);
    expect(estimates.promptTokens(factsOf(bodyOf(20)), at("m"))).toBe(bodyOf(20).length);
  });
});
