import type { RowResult } from "./matrix-row.js";

/** What a row is about, by the beginning of its name. The first that fits counts. */
const GROUPS: readonly (readonly [string, RegExp])[] = [
  ["tools and their results", /: tool/],
  ["JSON by a schema", /: json$/],
  ["pictures", /: image$/],
  ["embeddings", /: vectors$/],
  ["other chats, in three formats", /^(?:openai|anthropic|gemini)\.\w+: /],
  ["documented errors", /^error: /],
  ["broken connections and answers", /^fault: /],
  ["ends of a batch", /^batch /],
];

/** Rows that hold of all rows, by what they are about: a line a group, a column a provider. `-`: the provider has no such rows. */
export function summaryOf(results: readonly RowResult[], providers: readonly string[]): readonly (readonly string[])[] {
  return GROUPS.map(([group]) => [
    group,
    ...providers.map((provider) => {
      const rows = results.filter((one) => one.provider === provider && groupOf(one.row) === group);
      const held = rows.filter(({ problems }) => problems.length === 0);
      return rows.length === 0 ? "-" : `${String(held.length)} of ${String(rows.length)}`;
    }),
  ]);
}

function groupOf(row: string): string | null {
  return GROUPS.find(([, pattern]) => pattern.test(row))?.[0] ?? null;
}
