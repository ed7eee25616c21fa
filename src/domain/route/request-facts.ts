import type { RequestFormat } from "../job/job.js";
import { familyOf } from "./format-family.js";
import { impliedNeeds } from "./implied-needs.js";
import { modelAsks, type ModelAsks } from "./model-asks.js";
import { topLevelMembers, type TopLevelMember } from "./top-level-members.js";

/** What a request asks for, as far as choosing a route and bounding its cost needs it. */
export interface RequestFacts {
  readonly format: RequestFormat;
  /** For the dry run of a translation; not looked at for providers that speak the format. */
  readonly bodyText: string;
  /** UTF-8 length of the body: at most one token per byte of text. */
  readonly bodyBytes: number;
  /** Pictures, sound or files are inside: then its length says nothing about whether it fits a context window. */
  readonly holdsMedia: boolean;
  /** What the content needs, in the words of the price table, such as `tools`. */
  readonly capabilities: readonly string[];
  /** What some models refuse; of the body as it is, so for providers that speak the format. */
  readonly asks: ModelAsks;
  /** Pictures in the prompt, inline or by address: their tokens are not bounded by bytes. */
  readonly images: number;
  /** The caller's own cap on output tokens, per answer; null when none is set. */
  readonly requestedMaxOutputTokens: number | null;
  /** How many answers the caller wants to one prompt (`n`); each may be as long as the cap. */
  readonly choices: number;
  /** Most the caller is willing to pay for the call; null: no limit. */
  readonly maxCostNanoUsd: bigint | null;
}

/** Only long bodies are searched: a short one fits every window anyway. */
const MEDIA_SEARCHED_ABOVE_BYTES = 65_536;
const MEDIA = /"(?:image_url|input_audio|file_data|base64|inlineData|inline_data|fileData)"/;

const CAP_NAMES: ReadonlySet<string> = new Set([
  "max_tokens",
  "max_completion_tokens",
  "maxOutputTokens",
  "max_output_tokens",
]);
const CHOICE_NAMES: ReadonlySet<string> = new Set(["n", "candidateCount", "candidate_count"]);
/** Gemini's format has both in here, under either spelling. */
const CONFIG_NAMES: ReadonlySet<string> = new Set(["generationConfig", "generation_config"]);

interface OutputWish {
  cap: number | null;
  choices: number;
}

/** Reads the facts out of a body's text without parsing all of it. The larger cap counts when two are set. */
export function readRequestFacts(
  format: RequestFormat,
  bodyText: string,
  bodyBytes: number,
  maxCost: bigint | null,
): RequestFacts {
  const members = topLevelMembers(bodyText) ?? [];
  const wish: OutputWish = { cap: null, choices: 1 };
  readWish(bodyText, members, wish, format === "gemini.generate" ? CONFIG_NAMES : null);
  const needs = impliedNeeds(format, bodyText, members);
  return {
    format,
    bodyText,
    bodyBytes,
    holdsMedia: bodyBytes > MEDIA_SEARCHED_ABOVE_BYTES && MEDIA.test(bodyText),
    capabilities: needs.capabilities,
    asks: modelAsks(format, bodyText, members),
    images: needs.images,
    requestedMaxOutputTokens: wish.cap,
    choices: wish.choices,
    maxCostNanoUsd: maxCost,
  };
}

/** @param within names of members that hold the wish; null: the members themselves are it. */
function readWish(
  text: string,
  members: readonly TopLevelMember[],
  wish: OutputWish,
  within: ReadonlySet<string> | null,
): void {
  for (const { name, valueStart, end } of members) {
    if (within !== null) {
      if (!within.has(name)) continue;
      const config = text.slice(valueStart, end);
      readWish(config, topLevelMembers(config) ?? [], wish, null);
      continue;
    }
    const isCap = CAP_NAMES.has(name);
    if (!isCap && !CHOICE_NAMES.has(name)) continue;
    const value = positiveNumber(text.slice(valueStart, end));
    if (value === null) continue;
    if (isCap) wish.cap = Math.max(wish.cap ?? 0, value);
    else wish.choices = value;
  }
}

/** Upper bound of the output tokens of one call; embeddings have none. */
export function outputTokensBound(facts: RequestFacts, maxOutputTokensDefault: number): number {
  if (familyOf(facts.format) === "embeddings") return 0;
  return Math.min((facts.requestedMaxOutputTokens ?? maxOutputTokensDefault) * facts.choices, Number.MAX_SAFE_INTEGER);
}

/** Rounded up and kept within exact whole numbers; null for what is no positive number (the provider will refuse it). */
function positiveNumber(lexeme: string): number | null {
  const value = Number(lexeme);
  return value > 0 ? Math.min(Math.ceil(value), Number.MAX_SAFE_INTEGER) : null;
}
