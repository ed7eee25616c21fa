import { familyOf } from "../route/format-family.js";
import type { RequestFacts } from "../route/request-facts.js";

/**
 * Prompt tokens, estimated. It is no bound: budgets reserve by the byte. A tokenizer is asked where a context window is near, and where tokens
 * are limited: per minute or day, or in the batches of an account.
 *
 * Tokenizers in use average four to five bytes a token over English, three to four over other European languages, about three over Chinese
 * and Japanese; three errs on the high side for nearly all of them, so that a batch is seldom refused for its tokens.
 */
const BYTES_PER_TOKEN = 3;

/** Between two quotes; shorter ones are counted as text. */
const ENCODED_CHARACTERS_MIN = 2_048;
/** How a picture begins in a body: an address with its data in it, or the data alone. No prose goes on so long without a space; some writers escape the slash. */
const ENCODED = /^(?:data:[^,]{0,200},)?[\w+/=\\-]{200}/;
const LOOKED_AT = 512;

/** Counts the tokens of a short text. */
export type CountTokens = (text: string) => number;

/**
 * By bytes.
 * @param imageTokensMax the most that one picture counts at the provider.
 * @returns a whole number from 1 up. Sound and files are not understood: a token a byte.
 */
export function estimatePromptTokens(facts: RequestFacts, imageTokensMax: number): number {
  if (isOpaque(facts)) return Math.max(1, facts.bodyBytes);
  const textBytes = facts.images === 0 ? facts.bodyBytes : facts.bodyBytes - encodedBytes(facts.bodyText);
  return Math.max(1, Math.ceil(textBytes / BYTES_PER_TOKEN) + facts.images * imageTokensMax);
}

/**
 * Tokens of the text of a request, pictures left out. Of a long one only slices are counted and the rest is taken to be like them, so the
 * work is bounded; where a slice begins in the middle of a token costs one more in some hundred.
 * @returns null where a body's text is not all that counts: sound and files are not understood.
 */
export function countTextTokens(facts: RequestFacts, count: CountTokens): number | null {
  if (isOpaque(facts)) return null;
  const text = facts.images === 0 ? facts.bodyText : withoutEncoded(facts.bodyText);
  if (text.length <= SLICES_MAX * SLICE_CHARACTERS) return sumOver(slicesOf(text, SLICE_CHARACTERS), count);
  const counted = sumOver(slicesOf(text, Math.floor(text.length / SLICES_MAX)), count);
  return Math.ceil((counted * text.length) / (SLICES_MAX * SLICE_CHARACTERS));
}

/** Short enough that what is slow for tokenizers, such as one letter a thousand times, stays within milliseconds. */
const SLICE_CHARACTERS = 512;
const SLICES_MAX = 32;

/** A slice at each step. */
function* slicesOf(text: string, step: number): Generator<string> {
  for (let place = 0; place < SLICES_MAX && place * step < text.length; place += 1)
    yield text.slice(place * step, place * step + SLICE_CHARACTERS);
}

function sumOver(slices: Iterable<string>, count: CountTokens): number {
  let tokens = 0;
  for (const slice of slices) tokens += count(unescaped(slice));
  return tokens;
}

const ESCAPE = /\\(?:u([0-9a-fA-F]{4})|(.))/g;
const ESCAPED: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", b: "\b", f: "\f" };

/** What JSON escapes mean: a model gets the text, and a letter written as its number is not six. */
function unescaped(slice: string): string {
  if (!slice.includes("\\")) return slice;
  return slice.replace(ESCAPE, (_all, code: string | undefined, letter: string | undefined) =>
    code === undefined ? (ESCAPED[letter ?? ""] ?? letter ?? "") : String.fromCharCode(Number.parseInt(code, 16)),
  );
}

function isOpaque({ format, holdsMedia, images }: RequestFacts): boolean {
  return familyOf(format) === "chat" && holdsMedia && images === 0;
}

function encodedBytes(bodyText: string): number {
  let bytes = 0;
  for (const { start, end } of encodedParts(bodyText)) bytes += end - start;
  return bytes;
}

function withoutEncoded(bodyText: string): string {
  let text = "";
  let from = 0;
  for (const { start, end } of encodedParts(bodyText)) {
    text += bodyText.slice(from, start);
    from = end;
  }
  return text + bodyText.slice(from);
}

/** Pictures inside the request, in base64: they count by the picture. Long ones are jumped over, never matched as a whole. */
function* encodedParts(bodyText: string): Generator<{ readonly start: number; readonly end: number }> {
  let start = 0;
  for (let end = bodyText.indexOf('"'); end !== -1; end = bodyText.indexOf('"', start)) {
    const isLong = end - start >= ENCODED_CHARACTERS_MIN;
    if (isLong && ENCODED.test(bodyText.slice(start, start + LOOKED_AT))) yield { start, end };
    start = end + 1;
  }
}
