/** Paging as Google's lists do it: a size, an opaque token for the next page, and no token on the last. */
import type { Operation } from "../engine/operation.js";
import type { Refusal } from "../engine/refusal.js";
import { badRequest, invalidArgument, invalidField } from "./errors.js";

export type PageAsked = { readonly size: number; readonly from: number };

/** Parameters that every method takes. */
const SYSTEM_PARAMETERS = new Set(["key", "alt", "$alt", "prettyPrint", "fields", "quotaUser"]);
const TOKEN_PREFIX = "from:";

/** Refuses a query parameter that the method does not have. */
function queryProblem(query: URLSearchParams, known: readonly string[]): Refusal | null {
  const unknown = [...query.keys()].find((name) => !known.includes(name) && !SYSTEM_PARAMETERS.has(name));
  if (unknown === undefined) return null;
  const description =
    `Invalid JSON payload received. Unknown name ${JSON.stringify(unknown)}: ` +
    `Cannot bind query parameter. Field '${unknown}' could not be found in request message.`;
  return badRequest([{ field: null, description }]);
}

/** A method with just these parameters in its address. */
export function withParameters(known: readonly string[], handle: Operation["handle"]): Operation["handle"] {
  return (call) => {
    const refusal = queryProblem(call.query, known);
    return refusal === null ? handle(call) : { refusal };
  };
}

function sizeAsked(text: string | null, size: number, max: number): number | null {
  if (text === null) return size;
  if (!/^\d{1,9}$/.test(text) || Number(text) > max) return null;
  return Number(text) === 0 ? size : Number(text);
}

/** @param request the name of the request's message, for the error. */
export function readPage(
  query: URLSearchParams,
  request: string,
  size: number,
  sizeMax: number,
): PageAsked | { readonly refusal: Refusal } {
  const asked = sizeAsked(query.get("pageSize"), size, sizeMax);
  if (asked === null) {
    const what = `page_size must be in the range [0, ${String(sizeMax)}].`;
    return { refusal: invalidField(request, "page_size", what) };
  }
  const token = query.get("pageToken") ?? "";
  if (token === "") return { size: asked, from: 0 };
  const text = Buffer.from(token, "base64url").toString("utf8");
  const position = text.startsWith(TOKEN_PREFIX) ? text.slice(TOKEN_PREFIX.length) : "";
  if (!/^\d{1,9}$/.test(position)) return { refusal: invalidArgument("The page token is not valid.") };
  return { size: asked, from: Number(position) };
}

/** The page's items, and the field that leads to the next page when there is one. */
export function nextPage<T>(
  all: readonly T[],
  { size, from }: PageAsked,
): { readonly items: readonly T[]; readonly token: { readonly nextPageToken?: string } } {
  const end = from + size;
  const nextPageToken = Buffer.from(`${TOKEN_PREFIX}${String(end)}`).toString("base64url");
  return { items: all.slice(from, end), token: end < all.length ? { nextPageToken } : {} };
}
