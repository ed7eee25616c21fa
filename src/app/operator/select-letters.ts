import { highestLetterNo, lettersAfter, type Letter } from "../../adapters/postgres/operator/letter-rows.js";
import type { LetterFilter } from "../../adapters/postgres/operator/sql-filter.js";
import type { Operator } from "./open-operator.js";

const PAGE = 200;

/**
 * All letters that a filter means, in the order of their numbers, a page at a time. Ends at the highest number that was there at the
 * start: a replayed job that fails again gets a new letter of a higher number, which is not taken up in the same run.
 */
export async function* selectLetters(operator: Operator, filter: LetterFilter): AsyncGenerator<readonly Letter[]> {
  const pool = operator.pools.durable;
  const highestNo = await highestLetterNo(pool);
  for (let afterNo = 0; ;) {
    // Serial: each page begins where the last one ended.
    const page = (await lettersAfter(pool, filter, afterNo, PAGE)).filter((letter) => letter.no <= highestNo);
    if (page.length > 0) yield page;
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return;
    afterNo = last.no;
  }
}
