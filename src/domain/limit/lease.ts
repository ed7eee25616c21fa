import type { LimitBucket } from "./bucket.js";
import type { LimitRule } from "./limits.js";

/** What a router asks of the limits of one scope: grants for calls that it is about to make. */
export interface LeaseAsk {
  /** Who asks. */
  readonly asker: string;
  /** As many as it can use, at least 1, and their tokens together. */
  readonly calls: number;
  readonly tokens: number;
  /** What the next call needs: less is of no use. At most `tokens`. */
  readonly needTokens: number;
  /** Grants of before that were not used. */
  readonly returned: readonly Grant[];
}

/** So many calls and tokens. */
export interface Grant {
  readonly calls: number;
  readonly tokens: number;
  /** When it was granted, by the clock of whoever keeps the limits. */
  readonly atMs: number;
}

export interface Lease extends Grant {
  /** Nothing was granted: until when at least, and the limit that says so. Null when something was. */
  readonly refused: { readonly waitMs: number; readonly key: string } | null;
  /** Only there when true: a limit by the day does not know what was used before it began. */
  readonly unseeded?: boolean;
}

/** A limit with its memory. */
export interface KeptLimit {
  readonly rule: LimitRule;
  readonly bucket: LimitBucket;
}

/** Grants calls within all limits of a scope, or nothing. What is refused is saved up for. */
export function lease(kept: readonly KeptLimit[], ask: LeaseAsk, nowMs: number): Lease {
  const { asker, returned, needTokens } = ask;
  for (const { rule, bucket } of kept) {
    bucket.advance(nowMs);
    for (const grant of returned) bucket.giveBack(rule.unit === "requests" ? grant.calls : grant.tokens, grant.atMs);
  }
  const need = ({ rule }: KeptLimit): number => (rule.unit === "requests" ? 1 : needTokens);
  const unseeded = kept.some(({ bucket }) => bucket.isUnseeded) ? { unseeded: true } : {};
  const lacking = kept.filter((limit) => !limit.bucket.allows(need(limit), asker));
  if (lacking.length > 0) {
    saveUp(kept, lacking, need, asker);
    return { calls: 0, tokens: 0, atMs: nowMs, refused: longest(lacking, need, asker), ...unseeded };
  }
  const { calls, tokens } = within(kept, ask);
  for (const { rule, bucket } of kept) {
    bucket.take(rule.unit === "requests" ? calls : tokens);
    bucket.saveNoMore(asker);
  }
  return { calls, tokens, atMs: nowMs, refused: null, ...unseeded };
}

/**
 * Saves in the buckets that refuse. Whoever saves already goes on; a new one begins only where nobody else saves in any of its buckets. Else
 * one that saves in the first bucket and one that saves in the second would keep each other out for ever.
 */
function saveUp(
  kept: readonly KeptLimit[],
  lacking: readonly KeptLimit[],
  need: (limit: KeptLimit) => number,
  asker: string,
): void {
  const mayBegin = kept.every(({ bucket }) => !bucket.isSavedForAnother(asker));
  for (const limit of lacking) if (mayBegin || limit.bucket.isSavedFor(asker)) limit.bucket.save(need(limit), asker);
}

/** As much as all limits let through, calls and their tokens in the proportion that was asked for. */
function within(
  kept: readonly KeptLimit[],
  { asker, calls, tokens, needTokens }: LeaseAsk,
): { readonly calls: number; readonly tokens: number } {
  let callsMost = calls;
  let tokensMost = tokens;
  for (const { rule, bucket } of kept) {
    const most = Math.floor(bucket.most(asker));
    if (rule.unit === "requests") callsMost = Math.min(callsMost, most);
    else tokensMost = Math.min(tokensMost, most);
  }
  const perCall = Math.max(1, tokens / calls);
  const inTokens = Math.max(1, Math.ceil(tokensMost / perCall));
  const granted = tokens === 0 ? callsMost : Math.max(1, Math.min(callsMost, inTokens));
  return { calls: granted, tokens: Math.max(needTokens, Math.min(tokensMost, Math.ceil(granted * perCall))) };
}

function longest(
  lacking: readonly KeptLimit[],
  need: (limit: KeptLimit) => number,
  asker: string,
): { readonly waitMs: number; readonly key: string } {
  let found = { waitMs: 0, key: "" };
  for (const limit of lacking) {
    const waitMs = limit.bucket.waitMs(need(limit), asker);
    if (waitMs >= found.waitMs) found = { waitMs, key: limit.rule.key };
  }
  return found;
}
