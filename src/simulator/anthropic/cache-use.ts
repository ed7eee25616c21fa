/**
 * What a request reads from the prompt cache and writes to it. Each block with `cache_control` ends a prefix (tools, then system,
 * then messages, up to and with the block); a `cache_control` of the request's own ends one with the whole prompt.
 *
 * The simulator's own rule, without a memory, so that a checker can redo it:
 * - A prefix is ceil(UTF-8 bytes of its texts and of the compact JSON of its tools and tool inputs / 4) tokens, + 85 for each image
 *   or document. Below 1,024 tokens it is not cached, as at the provider.
 * - It is in the cache when byte 0 of sha256 over those pieces, joined by newlines, is below 128.
 * - The longest prefix in the cache is read. What the longer ones add is written, for as long as their blocks say.
 */
import type { CacheUse } from "../engine/chat-call.js";
import { digestNumber, digestOf } from "../engine/chat-answer.js";
import { asList, isObject } from "../engine/field-checks.js";
import type { JsonObject } from "../engine/field-checks.js";
import type { Refusal } from "../engine/refusal.js";
import { TOKENS_PER_OTHER_PART, tokensOfText } from "../engine/token-count.js";
import { invalid } from "./errors.js";
import { isOtherBlock, textsOf } from "./prompt.js";

type Ttl = "5m" | "1h";

type Prefix = { readonly tokens: number; readonly isCached: boolean; readonly ttl: Ttl };

const TOKENS_MIN = 1024;
const CACHED_BELOW = 128;
const BREAKPOINTS_MAX = 4;
const NOTHING: CacheUse = { readTokens: 0, writeTokens: 0, write1hTokens: 0 };

function ttlOf(holder: JsonObject): Ttl | null {
  const control = holder["cache_control"];
  if (!isObject(control)) return null;
  return control["ttl"] === "1h" ? "1h" : "5m";
}

/** A request's blocks in the order of the cache: tools, system, messages. */
function blocksOf(body: JsonObject): readonly JsonObject[] {
  const contents = [body["system"], ...asList(body["messages"]).map((one) => (isObject(one) ? one["content"] : null))];
  const blocks = contents.flatMap((content) =>
    typeof content === "string" ? [{ type: "text", text: content }] : asList(content).filter(isObject),
  );
  return [...asList(body["tools"]).filter(isObject), ...blocks];
}

/** The texts and JSON that a block adds to a prefix. A tool is a block without a known type here, and counts as its JSON. */
function piecesOf(block: JsonObject): readonly string[] {
  if (block["type"] === "tool_use") return [JSON.stringify(block["input"])];
  if (block["input_schema"] === undefined) return textsOf([block]);
  const { cache_control: _marker, ...tool } = block;
  return [JSON.stringify(tool)];
}

function isMarkedIn(list: unknown): boolean {
  return Array.isArray(list) && list.some((block) => isObject(block) && block["cache_control"] !== undefined);
}

/** Most requests are not, and are asked on every call's way: nothing is put together for them. */
function isMarked(body: JsonObject): boolean {
  if (body["cache_control"] !== undefined || isMarkedIn(body["system"]) || isMarkedIn(body["tools"])) return true;
  return asList(body["messages"]).some((message) => isObject(message) && isMarkedIn(message["content"]));
}

function prefixesOf(body: JsonObject): readonly Prefix[] {
  const prefixes: Prefix[] = [];
  const pieces: string[] = [];
  let bytes = 0;
  let others = 0;
  const end = (ttl: Ttl): void => {
    const tokens = tokensOfText(bytes) + others * TOKENS_PER_OTHER_PART;
    const isCached = digestNumber(digestOf(pieces.join("\n")), 0, 1) < CACHED_BELOW;
    if (tokens >= TOKENS_MIN) prefixes.push({ tokens, isCached, ttl });
  };
  for (const block of blocksOf(body)) {
    for (const piece of piecesOf(block)) {
      pieces.push(piece);
      bytes += Buffer.byteLength(piece);
    }
    if (isOtherBlock(block)) others += 1;
    const ttl = ttlOf(block);
    if (ttl !== null) end(ttl);
  }
  const whole = ttlOf(body);
  if (whole !== null) end(whole);
  return prefixes;
}

/** What of the prompt's tokens goes through the cache. */
export function cacheUseOf(body: JsonObject): CacheUse {
  if (!isMarked(body)) return NOTHING;
  const prefixes = prefixesOf(body);
  const readAt = prefixes.findLastIndex((prefix) => prefix.isCached);
  const readTokens = prefixes[readAt]?.tokens ?? 0;
  let upTo = readTokens;
  let [writeTokens, write1hTokens] = [0, 0];
  for (const prefix of prefixes.slice(readAt + 1)) {
    const added = prefix.tokens - upTo;
    if (prefix.ttl === "1h") write1hTokens += added;
    else writeTokens += added;
    upTo = prefix.tokens;
  }
  return { readTokens, writeTokens, write1hTokens };
}

/** Too many breakpoints, or those of an hour behind those of five minutes. Source: the prompt caching guide, read 2026-11-26. */
export function cacheProblem(body: JsonObject): Refusal | null {
  if (!isMarked(body)) return null;
  const ttls = [...blocksOf(body), body].flatMap((holder) => ttlOf(holder) ?? []);
  if (ttls.length > BREAKPOINTS_MAX) {
    const found = `Found ${String(ttls.length)}.`;
    return invalid(`A maximum of ${String(BREAKPOINTS_MAX)} blocks with cache_control may be provided. ${found}`);
  }
  const firstShort = ttls.indexOf("5m");
  return firstShort >= 0 && ttls.lastIndexOf("1h") > firstShort
    ? invalid("a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block.")
    : null;
}
