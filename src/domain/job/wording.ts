/** Words for messages: names are quoted and cut, values are named by their kind only, since they may hold a prompt. */

const NAME_SHOWN_MAX = 64;

/** A name from outside, quoted, control characters escaped, at most 64 characters of it. */
export function quoted(name: string): string {
  return JSON.stringify(name.length <= NAME_SHOWN_MAX ? name : `${name.slice(0, NAME_SHOWN_MAX)}…`);
}

/** What came, without its content: "a string of 12 characters", "a list of 3", "nothing". */
export function kindOf(value: unknown): string {
  if (value === undefined || value === null) return "nothing";
  if (Array.isArray(value)) return `a list of ${String(value.length)}`;
  if (typeof value === "string")
    return value === "" ? "an empty string" : `a string of ${String(value.length)} characters`;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return "an object"; // parsed JSON holds nothing else
}

/** The known name with the fewest single-letter edits to `name`; null when none is near. */
export function nearestName(name: string, known: readonly string[]): string | null {
  const typed = name.slice(0, NAME_SHOWN_MAX).toLowerCase();
  let best: string | null = null;
  let bestEdits = Math.max(2, Math.floor(typed.length / 3)) + 1;
  for (const candidate of known) {
    const edits = editsBetween(typed, candidate.toLowerCase());
    if (edits < bestEdits) [best, bestEdits] = [candidate, edits];
  }
  return best;
}

/** Insertions, deletions and replacements between two short words (Levenshtein). */
function editsBetween(left: string, right: string): number {
  let previous = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (let row = 1; row <= left.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= right.length; column += 1) {
      const replaced = (previous[column - 1] ?? 0) + (left[row - 1] === right[column - 1] ? 0 : 1);
      current.push(Math.min((previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1, replaced));
    }
    previous = current;
  }
  return previous[right.length] ?? 0;
}
