import { familyOf } from "../route/format-family.js";
import type { RequestFacts } from "../route/request-facts.js";

/**
 * Prompt tokens as providers count them against an account's enqueued tokens, estimated from bytes; a tokenizer is not asked. Tokenizers
 * in use average four to five bytes a token over English, three to four over other European languages, about three over Chinese and
 * Japanese; three errs on the high side for nearly all of them, so that a batch is seldom refused for its tokens. It is no bound:
 * budgets reserve by the byte.
 */
const BYTES_PER_TOKEN = 3;

/** Between two quotes; shorter ones are counted as text. */
const ENCODED_CHARACTERS_MIN = 2_048;
/** How a picture begins in a body: an address with its data in it, or the data alone. No prose goes on so long without a space; some writers escape the slash. */
const ENCODED = /^(?:data:[^,]{0,200},)?[\w+/=\\-]{200}/;
const LOOKED_AT = 512;

/**
 * @param imageTokensMax the most that one picture counts at the provider.
 * @returns a whole number from 1 up. Sound and files are not understood: a token a byte.
 */
export function estimatePromptTokens(facts: RequestFacts, imageTokensMax: number): number {
  if (familyOf(facts.format) === "chat" && facts.holdsMedia && facts.images === 0) return Math.max(1, facts.bodyBytes);
  const textBytes = facts.images === 0 ? facts.bodyBytes : facts.bodyBytes - encodedBytes(facts.bodyText);
  return Math.max(1, Math.ceil(textBytes / BYTES_PER_TOKEN) + facts.images * imageTokensMax);
}

/** Pictures inside the request, in base64: they count by the picture. Long ones are jumped over, never matched as a whole. */
function encodedBytes(bodyText: string): number {
  let bytes = 0;
  let start = 0;
  for (let end = bodyText.indexOf('"'); end !== -1; end = bodyText.indexOf('"', start)) {
    const isLong = end - start >= ENCODED_CHARACTERS_MIN;
    if (isLong && ENCODED.test(bodyText.slice(start, start + LOOKED_AT))) bytes += end - start;
    start = end + 1;
  }
  return bytes;
}
