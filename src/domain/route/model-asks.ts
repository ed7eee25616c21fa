import type { RequestFormat } from "../job/job.js";
import { topLevelMembers, type TopLevelMember } from "./top-level-members.js";

/** What a body asks that some models of its format refuse: how tokens are drawn, and how much is thought before. */
export interface ModelAsks {
  readonly sampling: readonly SamplingAsk[];
  /** The word of effort or level, in lower case; null: none is named. */
  readonly effort: string | null;
  /** Switched off, left to the model, or a number of tokens; null: nothing is said. */
  readonly thinking: "off" | "auto" | number | null;
}

interface SamplingAsk {
  readonly name: string;
  /** At the value that changes nothing. */
  readonly neutral: boolean;
}

export const NO_ASKS: ModelAsks = { sampling: [], effort: null, thinking: null };

interface Found {
  sampling: SamplingAsk[];
  effort: string | null;
  thinking: ModelAsks["thinking"];
}

/** Reads one member's value, as it stands in the text, into what was found. */
type Reader = (value: string, name: string, found: Found) => void;
type Readers = ReadonlyMap<string, Reader>;

const NEVER = (): boolean => false;

function sampling(isNeutral: (value: string) => boolean): Reader {
  return (value, name, found) => found.sampling.push({ name, neutral: isNeutral(value) });
}

const is =
  (neutral: number) =>
  (value: string): boolean =>
    Number(value) === neutral;

const readEffort: Reader = (value, _name, found) => {
  found.effort = wordIn(value);
};

/** Members of members, by their own readers. */
function inside(readers: Readers): Reader {
  return (value, _name, found) => {
    readMembers(value, topLevelMembers(value) ?? [], readers, found);
  };
}

/** A budget of 0 switches it off, one of -1 leaves it to the model. */
const readGeminiBudget: Reader = (value, _name, found) => {
  const tokens = Number(value);
  found.thinking = tokens === 0 ? "off" : tokens === -1 ? "auto" : tokens;
};

const readAnthropicThinking: Reader = (value, _name, found) => {
  const members = new Map(
    (topLevelMembers(value) ?? []).map(({ name, valueStart, end }) => [name, value.slice(valueStart, end)]),
  );
  const type = wordIn(members.get("type") ?? "");
  if (type === "disabled") found.thinking = "off";
  if (type === "adaptive") found.thinking = "auto";
  if (type === "enabled") found.thinking = Number(members.get("budget_tokens") ?? "0");
};

const OPENAI: Readers = new Map([
  ["temperature", sampling(is(1))],
  ["top_p", sampling(is(1))],
  ["presence_penalty", sampling(is(0))],
  ["frequency_penalty", sampling(is(0))],
  ["logprobs", sampling((value) => value === "false")],
  ["top_logprobs", sampling(is(0))],
  ["logit_bias", sampling((value) => /^\{\s*\}$/.test(value))],
  ["reasoning_effort", readEffort],
]);

const ANTHROPIC: Readers = new Map([
  ["temperature", sampling(is(1))],
  ["top_p", sampling((value) => Number(value) >= 0.99)],
  ["top_k", sampling(NEVER)],
  ["thinking", readAnthropicThinking],
  ["output_config", inside(new Map([["effort", readEffort]]))],
]);

const GEMINI_THINKING = inside(
  bothSpellings([
    ["thinkingBudget", readGeminiBudget],
    ["thinkingLevel", readEffort],
  ]),
);
const GEMINI: Readers = bothSpellings([
  [
    "generationConfig",
    inside(
      bothSpellings([
        ["temperature", sampling(is(1))],
        ["topP", sampling(is(1))],
        ["topK", sampling(NEVER)],
        ["thinkingConfig", GEMINI_THINKING],
      ]),
    ),
  ],
]);

/** Google reads `snake_case` as well. */
function bothSpellings(readers: readonly (readonly [string, Reader])[]): Readers {
  const snakes = readers.map(
    ([name, read]) => [name.replace(/[A-Z]/g, (one) => `_${one.toLowerCase()}`), read] as const,
  );
  return new Map([...snakes, ...readers]);
}

const READERS: Readonly<Partial<Record<RequestFormat, Readers>>> = {
  "openai.chat": OPENAI,
  "anthropic.messages": ANTHROPIC,
  "gemini.generate": GEMINI,
};

/** What the body asks. `members` are those of `bodyText`, a body of `format`. Nothing is parsed where nothing is asked. */
export function modelAsks(format: RequestFormat, bodyText: string, members: readonly TopLevelMember[]): ModelAsks {
  const readers = READERS[format];
  if (readers === undefined || !members.some(({ name }) => readers.has(name))) return NO_ASKS;
  const found: Found = { sampling: [], effort: null, thinking: null };
  readMembers(bodyText, members, readers, found);
  return found;
}

function readMembers(text: string, members: readonly TopLevelMember[], readers: Readers, found: Found): void {
  for (const { name, valueStart, end } of members) {
    const value = text.slice(valueStart, end);
    if (value !== "null") readers.get(name)?.(value, name, found);
  }
}

function wordIn(value: string): string | null {
  return /^"(\w{1,40})"$/.exec(value)?.[1]?.toLowerCase() ?? null;
}
