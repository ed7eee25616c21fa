/** OpenAI's lists: `limit` and `after`, and the frame of a page. */
import type { OperationAnswer } from "../engine/operation.js";
import type { Refusal } from "../engine/refusal.js";
import { invalid } from "./errors.js";

export type ListQuery = { readonly limit: number; readonly after: string | null };

/** @param more the parameters that this list takes beside `limit` and `after`. */
export function listQuery(
  query: URLSearchParams,
  {
    limitMax,
    limit,
    more = [],
  }: { readonly limitMax: number; readonly limit: number; readonly more?: readonly string[] },
): ListQuery | { readonly refusal: Refusal } {
  const unknown = [...query.keys()].find((name) => name !== "limit" && name !== "after" && !more.includes(name));
  if (unknown !== undefined)
    return { refusal: invalid(`Unknown parameter: '${unknown}'.`, unknown, "unknown_parameter") };
  const stated = query.get("limit");
  const asked = stated === null ? limit : Number(stated);
  if (!Number.isInteger(asked) || asked < 1 || asked > limitMax) {
    const message = `Invalid 'limit': expected an integer from 1 to ${String(limitMax)}.`;
    return { refusal: invalid(message, "limit", "invalid_value") };
  }
  return { limit: asked, after: query.get("after") };
}

/** The page of `all` that the query asks for. An `after` that is not among them is refused. */
export function page<Item extends { readonly id: string }>(
  all: readonly Item[],
  { limit, after }: ListQuery,
  shown: (item: Item) => Record<string, unknown>,
): OperationAnswer {
  const at = after === null ? -1 : all.findIndex((item) => item.id === after);
  if (after !== null && at < 0)
    return { refusal: invalid(`There is nothing with the id '${after}'.`, "after", "invalid_value") };
  const items = all.slice(at + 1, at + 1 + limit);
  return {
    status: 200,
    json: {
      object: "list",
      data: items.map(shown),
      first_id: items[0]?.id ?? null,
      last_id: items.at(-1)?.id ?? null,
      has_more: at + 1 + limit < all.length,
    },
  };
}
