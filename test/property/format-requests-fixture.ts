import fc from "fast-check";
import { LosslessNumber } from "lossless-json";
import type {
  AssistantPart,
  ChatRequest,
  Tool,
  ToolChoice,
  ToolResult,
  Turn,
  UserPart,
} from "../../src/domain/format/chat-request.js";
import type { JsonObject } from "../../src/domain/format/json.js";
import type { Reasoning } from "../../src/domain/format/reasoning.js";
import type { Sampling } from "../../src/domain/format/sampling.js";

/** Requests inside what all three chat formats can say, and single features that only some of them can. */

export const CHATS = ["openai.chat", "anthropic.messages", "gemini.generate"] as const;
export type Chat = (typeof CHATS)[number];

const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }).filter((one) => /\S/.test(one));
const name = fc.stringMatching(/^[a-z_][a-zA-Z0-9_-]{0,20}$/);
const base64 = fc.base64String({ maxLength: 40 });

const textPart = text.map((one) => ({ kind: "text" as const, text: one }));
const dataPart = fc.record({
  kind: fc.constant("data" as const),
  mediaType: fc.constantFrom("image/png", "image/jpeg", "image/webp", "application/pdf"),
  base64,
});
const userParts: fc.Arbitrary<readonly UserPart[]> = fc.array(fc.oneof(textPart, dataPart), {
  minLength: 1,
  maxLength: 3,
});

/** Any JSON object, at times with a number that no double holds. */
export const jsonObject: fc.Arbitrary<JsonObject> = fc
  .record({
    members: fc.dictionary(fc.string({ maxLength: 6 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 }),
    large: fc.option(fc.bigInt({ min: 10n ** 18n, max: 10n ** 25n })),
  })
  .map(({ members, large }) => (large === null ? asJson(members) : withLarge(members, large)));

function withLarge(members: object, large: bigint): JsonObject {
  return { ...asJson(members), large: new LosslessNumber(String(large)) };
}

/** Members that were generated as JSON. */
function asJson(members: unknown): JsonObject {
  return members as JsonObject;
}

interface Exchange {
  readonly user: readonly UserPart[];
  readonly said: readonly string[];
  readonly calls: readonly { readonly name: string; readonly arguments: JsonObject; readonly result: string }[];
}

const exchange: fc.Arbitrary<Exchange> = fc.record({
  user: userParts,
  said: fc.array(text, { maxLength: 2 }),
  calls: fc.array(fc.record({ name, arguments: jsonObject, result: fc.string({ maxLength: 20 }) }), { maxLength: 3 }),
});

const turns: fc.Arbitrary<readonly Turn[]> = fc
  .record({ exchanges: fc.array(exchange, { maxLength: 3 }), last: userParts })
  .map(({ exchanges, last }) => [...exchanges.flatMap(turnsOf), { role: "user", parts: last }]);

/** An assistant that said nothing at all says "Ok.". */
function turnsOf({ user, said, calls }: Exchange, place: number): readonly Turn[] {
  const ids = calls.map((_call, at) => `id_${String(place)}-${String(at)}`);
  const texts = (said.length === 0 && calls.length === 0 ? ["Ok."] : said).map((one) => ({ kind: "text", text: one }));
  const parts = [
    ...texts,
    ...calls.map((call, at) => ({ kind: "call", id: ids[at], name: call.name, arguments: call.arguments })),
  ];
  const results: readonly ToolResult[] = calls.map((call, at) => ({
    id: ids[at] ?? "",
    name: call.name,
    text: call.result,
    failed: false,
  }));
  const spoken: readonly Turn[] = [
    { role: "user", parts: user },
    { role: "assistant", parts: parts as AssistantPart[] },
  ];
  return results.length === 0 ? spoken : [...spoken, { role: "tools", results }];
}

const schema: fc.Arbitrary<JsonObject> = fc
  .record({
    required: fc.array(name, { maxLength: 3 }),
    description: fc.option(text),
    maximum: fc.option(fc.bigInt({ min: 10n ** 18n, max: 10n ** 25n })),
  })
  .map(({ required, description, maximum }) => ({
    type: "object",
    ...(description === null ? {} : { description }),
    properties: Object.fromEntries(
      required.map((one) => [
        one,
        { type: "integer", enum: maximum === null ? [1] : [new LosslessNumber(String(maximum))] },
      ]),
    ),
    required,
    additionalProperties: false,
  }));

const tool: fc.Arbitrary<Tool> = fc.record({ name, description: fc.option(text), schema, strict: fc.constant(false) });

const toolChoice: fc.Arbitrary<ToolChoice | null> = fc.oneof(
  fc.constantFrom<ToolChoice | null>(null, { kind: "none" }, { kind: "required" }),
  name.map((one) => ({ kind: "named" as const, name: one })),
);

const reasoning: fc.Arbitrary<Reasoning | null> = fc.constantFrom<Reasoning | null>(
  null,
  { kind: "off" },
  { kind: "effort", effort: "low" },
  { kind: "effort", effort: "medium" },
  { kind: "effort", effort: "high" },
);

const fraction = fc.double({ min: 0, max: 1, noNaN: true }).map((one) => one + 0); // no -0, which JSON does not keep

const sampling: fc.Arbitrary<Sampling> = fc.record({
  temperature: fc.option(fraction),
  topP: fc.option(fraction),
  topK: fc.constant(null),
  seed: fc.constant(null),
  frequencyPenalty: fc.constant(null),
  presencePenalty: fc.constant(null),
});

/** Thinking leaves no choice of temperature and of tools at Anthropic; requests here think only where that is free. */
export const commonRequest: fc.Arbitrary<ChatRequest> = fc
  .record({
    system: fc.array(text, { maxLength: 2 }),
    turns,
    tools: fc.array(tool, { maxLength: 2 }),
    toolChoice,
    oneToolCall: fc.constant(false),
    output: fc.option(schema.map((one) => ({ kind: "json_schema" as const, schema: one }))),
    stop: fc.array(text, { maxLength: 4 }),
    sampling,
    choices: fc.constant(1),
    maxOutputTokens: fc.option(fc.integer({ min: 1, max: 100_000 })),
    reasoning,
    endUser: fc.constant(null),
  })
  .map(calmThinking);

function calmThinking(request: ChatRequest): ChatRequest {
  if (request.reasoning === null || request.reasoning.kind === "off") return request;
  return { ...request, toolChoice: null, sampling: { ...request.sampling, temperature: null } };
}

/** A feature, who can say it, how the reason against the others reads, and a request with it. */
export interface Feature {
  readonly name: string;
  readonly carriedBy: readonly Chat[];
  readonly reason: RegExp;
  readonly add: (request: ChatRequest) => ChatRequest;
}

const OPENAI = "openai.chat";
const ANTHROPIC = "anthropic.messages";
const GEMINI = "gemini.generate";

const sampled = (members: Partial<Sampling>) => (request: ChatRequest) => ({
  ...request,
  reasoning: null,
  sampling: { ...request.sampling, ...members },
});
const asking = (members: Partial<ChatRequest>) => (request: ChatRequest) => ({ ...request, ...members });
const thinking = (one: Reasoning) => (request: ChatRequest) => calmThinking({ ...request, reasoning: one });
const showing = (part: UserPart) => (request: ChatRequest) => ({
  ...request,
  turns: [
    { role: "user" as const, parts: [part] },
    { role: "assistant" as const, parts: [{ kind: "text" as const, text: "A" }] },
    ...request.turns,
  ],
});
const data = (mediaType: string): UserPart => ({ kind: "data", mediaType, base64: "AAAA" });
const TOOL: Tool = {
  name: "strict_one",
  description: null,
  schema: { type: "object", properties: {}, additionalProperties: false },
  strict: true,
};

export const FEATURES: readonly Feature[] = [
  {
    name: "a high temperature",
    carriedBy: [OPENAI, GEMINI],
    reason: /temperature 1.5/,
    add: sampled({ temperature: 1.5 }),
  },
  { name: "top_k", carriedBy: [ANTHROPIC, GEMINI], reason: /top_k/, add: sampled({ topK: 5 }) },
  { name: "a seed", carriedBy: [OPENAI, GEMINI], reason: /seed/, add: sampled({ seed: 7 }) },
  { name: "a long seed", carriedBy: [OPENAI], reason: /seed/, add: sampled({ seed: 2 ** 40 }) },
  {
    name: "a penalty",
    carriedBy: [OPENAI, GEMINI],
    reason: /frequency_penalty/,
    add: sampled({ frequencyPenalty: 0.5 }),
  },
  { name: "another", carriedBy: [OPENAI, GEMINI], reason: /presence_penalty/, add: sampled({ presencePenalty: -1 }) },
  {
    name: "any JSON",
    carriedBy: [OPENAI, GEMINI],
    reason: /JSON output without a schema/,
    add: asking({ output: { kind: "json" } }),
  },
  { name: "several answers", carriedBy: [OPENAI, GEMINI], reason: /several answers/, add: asking({ choices: 3 }) },
  {
    name: "a choice of tools",
    carriedBy: [OPENAI, GEMINI],
    reason: /some of the tools/,
    add: asking({ toolChoice: { kind: "some", names: ["a", "b"], required: true } }),
  },
  {
    name: "one tool call at most",
    carriedBy: [OPENAI, ANTHROPIC],
    reason: /parallel tool calls/,
    add: asking({ oneToolCall: true, toolChoice: null }),
  },
  {
    name: "a strict tool",
    carriedBy: [OPENAI, ANTHROPIC],
    reason: /strict tools/,
    add: (request) => ({ ...request, tools: [...request.tools, TOOL] }),
  },
  { name: "an end user", carriedBy: [OPENAI, ANTHROPIC], reason: /end user/, add: asking({ endUser: "u1" }) },
  {
    name: "five stop sequences",
    carriedBy: [ANTHROPIC, GEMINI],
    reason: /4 stop sequences/,
    add: asking({ stop: [..."abcde"] }),
  },
  {
    name: "six stop sequences",
    carriedBy: [ANTHROPIC],
    reason: /stop sequences/,
    add: asking({ stop: [..."abcdef"] }),
  },
  {
    name: "a blank stop sequence",
    carriedBy: [OPENAI, GEMINI],
    reason: /white space/,
    add: asking({ stop: ["\n\n"] }),
  },
  {
    name: "a picture's address",
    carriedBy: [OPENAI, ANTHROPIC],
    reason: /by its address/,
    add: showing({ kind: "image_url", url: "https://example.org/a.png" }),
  },
  { name: "a GIF", carriedBy: [OPENAI, ANTHROPIC], reason: /image\/gif/, add: showing(data("image/gif")) },
  { name: "a HEIC picture", carriedBy: [GEMINI], reason: /image\/heic/, add: showing(data("image/heic")) },
  { name: "sound", carriedBy: [OPENAI, GEMINI], reason: /audio\/wav/, add: showing(data("audio/wav")) },
  { name: "blank text", carriedBy: [OPENAI, GEMINI], reason: /white space/, add: showing({ kind: "text", text: " " }) },
  {
    name: "little effort",
    carriedBy: [OPENAI, GEMINI],
    reason: /effort minimal/,
    add: thinking({ kind: "effort", effort: "minimal" }),
  },
  {
    name: "much effort",
    carriedBy: [OPENAI, ANTHROPIC],
    reason: /effort xhigh/,
    add: thinking({ kind: "effort", effort: "xhigh" }),
  },
  {
    name: "most effort",
    carriedBy: [OPENAI, ANTHROPIC],
    reason: /effort max/,
    add: thinking({ kind: "effort", effort: "max" }),
  },
  {
    name: "thinking as it likes",
    carriedBy: [ANTHROPIC, GEMINI],
    reason: /adaptive thinking/,
    add: thinking({ kind: "auto" }),
  },
  {
    name: "a thinking budget",
    carriedBy: [ANTHROPIC, GEMINI],
    reason: /budget/,
    add: thinking({ kind: "budget", tokens: 2048 }),
  },
  { name: "a small one", carriedBy: [GEMINI], reason: /budget/, add: thinking({ kind: "budget", tokens: 512 }) },
  {
    name: "a failed tool",
    carriedBy: [ANTHROPIC, GEMINI],
    reason: /failed tool result/,
    add: (request) => ({ ...request, turns: [...request.turns, ...failedCall(false)] }),
  },
  {
    name: "words after a tool call",
    carriedBy: [ANTHROPIC, GEMINI],
    reason: /text after a tool call/,
    add: (request) => ({ ...request, turns: [...request.turns, ...failedCall(true)] }),
  },
  {
    name: "a dotted tool name",
    carriedBy: [GEMINI],
    reason: /named "a\.b"/,
    add: (request) => ({ ...request, tools: [{ ...TOOL, name: "a.b", strict: false }] }),
  },
];

function failedCall(wordsAfter: boolean): readonly Turn[] {
  const call = { kind: "call" as const, id: "last", name: "look", arguments: {} };
  const parts: readonly AssistantPart[] = wordsAfter ? [call, { kind: "text", text: "Wait." }] : [call];
  return [
    { role: "assistant", parts },
    { role: "tools", results: [{ id: "last", name: "look", text: "oh", failed: !wordsAfter }] },
  ];
}
