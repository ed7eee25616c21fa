import { discardLetters } from "../../adapters/postgres/operator/letter-rows.js";
import type { LetterFilter } from "../../adapters/postgres/operator/sql-filter.js";
import type { Operator } from "./open-operator.js";
import { selectLetters } from "./select-letters.js";

/** Discards all open and parked letters that the filter means. @returns how many, and how many of the selected had ended already. */
export async function discardAll(
  operator: Operator,
  filter: LetterFilter,
): Promise<{ readonly discarded: number; readonly endedAlready: number }> {
  let [discarded, selected] = [0, 0];
  for await (const page of selectLetters(operator, filter)) {
    selected += page.length;
    discarded += (
      await discardLetters(
        operator.pools.durable,
        page.map((letter) => letter.no),
      )
    ).length;
  }
  return { discarded, endedAlready: selected - discarded };
}
