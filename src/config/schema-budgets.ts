import { z } from "zod";
import { NAME, NAME_EXPECTED, section, text, timeZone, usd, word } from "./fields.js";

/** Config of limits of money. */

const LABEL = /[^]{1,256}/;
const LABEL_EXPECTED = "a label's value of 1 to 256 characters";

export const BUDGETS = z
  .array(
    section({
      tenant: text(NAME, NAME_EXPECTED, "Whose calls it holds; a name of tenants."),
      department: text(
        LABEL,
        LABEL_EXPECTED,
        "Only calls that jobs with this label `department` pay for; left out: all of the tenant.",
      ).optional(),
      application: text(
        LABEL,
        LABEL_EXPECTED,
        "Only calls that jobs with this label `application` pay for, in the department if one is named.",
      ).optional(),
      limitUsd: usd(
        "What its calls may cost at most. A call is held against it at the most that it may cost, so nothing is ever spent beyond a hard limit.",
      ),
      window: word(
        ["total", "hour", "day", "month"],
        "What the limit is for: all time, or each hour, day or month of the calendar.",
      ).default("total"),
      timeZone: timeZone(
        "Whose calendar the window goes by: a day there may have 23 or 25 hours. UTC is the same on every machine.",
      ),
      kind: word(
        ["hard", "soft"],
        "hard: a call without room waits, or fails once what is spent leaves too little. soft: nothing is refused, what is spent is counted and shown.",
      ).default("hard"),
    }),
    { error: "expected a list of budgets" },
  )
  .max(10_000, { error: "expected at most 10000 budgets" })
  .prefault([])
  .describe(
    "Limits of money, at most one a level and window; a call counts in each that holds it. A tenant without one spends what its jobs cost.",
  );
