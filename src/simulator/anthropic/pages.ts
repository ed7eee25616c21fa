/** Paging as Anthropic's lists do it: a limit, and the id of an item after or before which the page lies. */
import type { Refusal } from "../engine/refusal.js";
import { invalid, refusalFor } from "./errors.js";

const LIMIT_MAX = 1000;

export type Page<T> = { readonly items: readonly T[]; readonly hasMore: boolean };

function limitAsked(query: URLSearchParams, otherwise: number): number | null {
  const text = query.get("limit");
  if (text === null) return otherwise;
  const limit = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  return limit >= 1 && limit <= LIMIT_MAX ? limit : null;
}

/** @param all the whole list in its order. */
export function readPage<T>(
  query: URLSearchParams,
  all: readonly T[],
  idOf: (item: T) => string,
  limitDefault: number,
): Page<T> | { readonly refusal: Refusal } {
  const limit = limitAsked(query, limitDefault);
  if (limit === null) return { refusal: invalid(`limit: Input should be an integer from 1 to ${String(LIMIT_MAX)}`) };
  const [after, before] = [query.get("after_id"), query.get("before_id")];
  if (after !== null && before !== null)
    return { refusal: invalid("before_id: may not be given together with after_id") };
  const named = after ?? before;
  const at = named === null ? -1 : all.findIndex((item) => idOf(item) === named);
  if (named !== null && at < 0) return { refusal: refusalFor(404, `There is nothing with the id ${named}.`) };
  if (before === null) {
    const items = all.slice(at + 1, at + 1 + limit);
    return { items, hasMore: at + 1 + limit < all.length };
  }
  const from = Math.max(0, at - limit);
  return { items: all.slice(from, at), hasMore: from > 0 };
}
