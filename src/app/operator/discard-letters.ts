import { discardLetters } from "../../adapters/postgres/operator/discard-letters.js";
import type { LetterFilter } from "../../adapters/postgres/operator/sql-filter.js";
import type { Operator } from "./open-operator.js";
import { selectLetters } from "./select-letters.js";

/** Discards all open and parked letters that the filter means. @returns how many, and how many of the selected had ended already. */
export async function discardAll(
  operator: Operator,
  filter: LetterFilter,
): Promise<{ readonly discarded: number; readonly endedAlready: number }> {
  let [discarded, selected] = [0, 0];
  const render = await operator.render();
  for await (const page of selectLetters(operator, filter)) {
    selected += page.length;
    const nos = page.map((letter) => letter.no);
    const action = { byWhom: operator.byWhom, atMs: operator.nowMs() };
    const session = await operator.session();
    discarded += await discardLetters(operator.context, { nos, session, action }, render);
  }
  return { discarded, endedAlready: selected - discarded };
}
