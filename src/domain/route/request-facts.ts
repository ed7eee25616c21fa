import type { RequestFormat } from "../job/job.js";
import type { ProviderKind } from "./route.js";
import { topLevelMembers } from "./top-level-members.js";

/** What a request asks for, as far as choosing a route and bounding its cost needs it. */
export interface RequestFacts {
  readonly format: RequestFormat;
  /** UTF-8 length of the body: at most one token per byte of text. Images named by address are not in it. */
  readonly bodyBytes: number;
  /** Pictures, sound or files are inside: then its length says nothing about whether it fits a context window. */
  readonly holdsMedia: boolean;
  /** The caller's own cap on output tokens, per answer; null when none is set. */
  readonly requestedMaxOutputTokens: number | null;
  /** How many answers the caller wants to one prompt (`n`); each may be as long as the cap. */
  readonly choices: number;
  /** Most the caller is willing to pay for the call; null: no limit. */
  readonly maxCostNanoUsd: bigint | null;
}

/**
 * Tokens a provider may count beyond the request's own bytes: separators, a chat template's opening, the hidden system prompt of tool use
 * (Anthropic states up to 804 tokens for it). Separators of a message are far shorter than its JSON, so a constant is enough.
 */
export const OVERHEAD_TOKENS = { openai: 128, anthropic: 1024, "openai-compatible": 1024 } as const satisfies Record<
  ProviderKind,
  number
>;

/** Only long bodies are searched: a short one fits every window anyway. */
const MEDIA_SEARCHED_ABOVE_BYTES = 65_536;
const MEDIA = /"(?:image_url|input_audio|file_data|base64)"/;

const CAP_NAMES: ReadonlySet<string> = new Set(["max_tokens", "max_completion_tokens"]);

/** Reads the facts out of a body's text without parsing all of it. The larger cap counts when two are set. */
export function readRequestFacts(
  format: RequestFormat,
  bodyText: string,
  bodyBytes: number,
  maxCost: bigint | null,
): RequestFacts {
  let requested: number | null = null;
  let choices = 1;
  for (const member of topLevelMembers(bodyText) ?? []) {
    const isCap = CAP_NAMES.has(member.name);
    if (!isCap && member.name !== "n") continue;
    const value = positiveNumber(bodyText.slice(member.valueStart, member.end));
    if (value === null) continue;
    if (isCap) requested = Math.max(requested ?? 0, value);
    else choices = value;
  }
  const holdsMedia = bodyBytes > MEDIA_SEARCHED_ABOVE_BYTES && MEDIA.test(bodyText);
  return { format, bodyBytes, holdsMedia, requestedMaxOutputTokens: requested, choices, maxCostNanoUsd: maxCost };
}

/** Upper bound of the output tokens of one call. */
export function outputTokensBound(facts: RequestFacts, maxOutputTokensDefault: number): number {
  return Math.min((facts.requestedMaxOutputTokens ?? maxOutputTokensDefault) * facts.choices, Number.MAX_SAFE_INTEGER);
}

/** Rounded up and kept within exact whole numbers; null for what is no positive number (the provider will refuse it). */
function positiveNumber(lexeme: string): number | null {
  const value = Number(lexeme);
  return value > 0 ? Math.min(Math.ceil(value), Number.MAX_SAFE_INTEGER) : null;
}
