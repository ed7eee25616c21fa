import { topLevelMembers } from "../../domain/route/top-level-members.js";

/** A JSON object's text in two pieces: one member's value as it was written, and the rest with `null` in its place. */
export interface CutText {
  /** Null when there is no such member. */
  readonly value: string | null;
  readonly rest: string;
}

/**
 * Takes the value at a path of member names out of the text, so that it keeps each digit of its numbers; the rest is small and may be parsed.
 * Of a name that stands there twice the last one counts, as for every JSON reader.
 */
export function cutMember(text: string, [name, ...deeper]: readonly [string, ...string[]]): CutText {
  const member = topLevelMembers(text)?.findLast((one) => one.name === name);
  if (member === undefined) return { value: null, rest: text };
  const value = text.slice(member.valueStart, member.end);
  const put = (inPlace: string): string => text.slice(0, member.valueStart) + inPlace + text.slice(member.end);
  const [next, ...others] = deeper;
  if (next === undefined) return { value, rest: put("null") };
  const inner = cutMember(value, [next, ...others]);
  return { value: inner.value, rest: put(inner.rest) };
}

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g;

/**
 * The text value at a path of member names, looked for in a text that is cut off or damaged further on. Only the place counts: the same name
 * deeper inside, where an answer may have put it, is another member. Null when it is not there.
 */
export function textAtHead(head: string, path: readonly string[]): string | null {
  const open: (string | null)[] = [];
  let last = "";
  for (const [token] of head.matchAll(TOKEN)) {
    if (token === "{" || token === "[") open.push(null);
    else if (token === "}" || token === "]") open.pop();
    else if (token === ":") open[open.length - 1] = unquoted(last);
    else if (last === ":" && token !== "," && isAt(open, path)) return unquoted(token);
    last = token;
  }
  return null;
}

function isAt(open: readonly (string | null)[], path: readonly string[]): boolean {
  return open.length === path.length && path.every((name, depth) => open[depth] === name);
}

function unquoted(token: string): string | null {
  try {
    const value: unknown = JSON.parse(token);
    return typeof value === "string" ? value : null;
  } catch {
    return null;
  }
}
