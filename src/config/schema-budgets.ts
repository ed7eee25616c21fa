import { z } from "zod";
import { NAME, NAME_EXPECTED, section, text, usd, word } from "./fields.js";

/** Config of hard limits of money. */

export const BUDGETS = z
  .array(
    section({
      tenant: text(NAME, NAME_EXPECTED, "Whose calls it holds; a name of tenants."),
      limitUsd: usd(
        "What its calls may cost at most. A call is held against it at the most that it may cost, so nothing is ever spent beyond it.",
      ),
      window: word(
        ["total", "day", "month"],
        "What the limit is for: all time, or each day or calendar month in UTC.",
      ).default("total"),
    }),
    { error: "expected a list of budgets" },
  )
  .max(10_000, { error: "expected at most 10000 budgets" })
  .prefault([])
  .describe("Hard limits of money, at most one a tenant; a tenant without one spends what its jobs cost.");
