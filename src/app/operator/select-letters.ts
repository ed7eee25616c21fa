import { lettersAfter, type Letter } from "../../adapters/postgres/operator/letter-rows.js";
import type { LetterFilter } from "../../adapters/postgres/operator/sql-filter.js";
import type { Operator } from "./open-operator.js";

const PAGE = 200;

/**
 * All letters that a filter means, in the order of their numbers, a page at a time. Letters that come into being meanwhile have higher
 * numbers, so the numbers end at the highest that was there at the start.
 */
export async function* selectLetters(operator: Operator, filter: LetterFilter): AsyncGenerator<readonly Letter[]> {
  let afterNo = 0;
  const startedMs = operator.nowMs();
  for (;;) {
    // Serial: each page begins where the last one ended.
    const page = await lettersAfter(operator.pools.durable, filter, afterNo, PAGE);
    const older = page.filter((letter) => letter.failedMs <= startedMs);
    if (older.length > 0) yield older;
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return;
    afterNo = last.no;
  }
}
