import { z } from "zod";
import { WEEK_DAYS } from "../domain/route/week-hours.js";
import {
  fraction,
  integer,
  named,
  optionalSection,
  section,
  text,
  word,
  MINUTE_MS,
  NAME,
  NAME_EXPECTED,
  SECOND_MS,
} from "./fields.js";

/** Config of the choice between routes: chains, what scores are made of, rules. */

const FACTOR_MAX = 100;
/** Beyond any request that a topic takes. */
const SIZE_MAX = 1_000_000_000;

const weight = (why: string) => fraction({ min: 0, max: FACTOR_MAX, default: 1, why });

const CHAIN = section({
  cost: weight("How much the expected cost counts, its retries included."),
  latency: weight("How much the p95 of the latency counts, against the job's latency budget."),
  reliability: weight("How much it counts that calls succeed, and that the slow ones are close to the usual."),
});

export const CHAINS = named(
  CHAIN,
  NAME,
  NAME_EXPECTED,
  "Weights by which routes are compared, by the name that jobs give as `chain`. standard, cost and fast are there without being written; an entry of the same name replaces one. Only for aliases with order: score.",
);

const TIME = /(?:[01]\d|2[0-3]):[0-5]\d/;

const weekHours = {
  timeZone: text(
    /\S{1,64}/,
    "a time zone such as Europe/Zurich",
    "IANA name of the time zone by whose clock the hours are read.",
  ),
  days: z
    .array(word(WEEK_DAYS, "A day of the week."), { error: "expected a list of days" })
    .min(1, { error: "expected at least one day" })
    .max(7, { error: "expected at most 7 days" })
    .prefault(["mon", "tue", "wed", "thu", "fri"])
    .describe("Days on which the hours begin."),
  from: text(TIME, 'a time such as "08:00"', "When they begin, as quoted HH:MM."),
  to: text(TIME, 'a time such as "18:00"', "When they end; before `from`: on the next day."),
};

const tierFactors = (why: string, cost: number, latency: number, reliability: number) => {
  const factor = (byDefault: number, of: string) =>
    fraction({ min: 0, max: FACTOR_MAX, default: byDefault, why: `The chain's weight of ${of} times this.` });
  return optionalSection(
    {
      cost: factor(cost, "cost"),
      latency: factor(latency, "latency"),
      reliability: factor(reliability, "reliability"),
    },
    why,
  );
};

export const ROUTING = optionalSection(
  {
    latencyBudgetMs: integer({
      min: 1,
      max: 60 * MINUTE_MS,
      default: 30 * SECOND_MS,
      why: "A route whose p95 is this or more scores 0 for latency; a job's require.maxLatencyMs or the time left to its deadline counts instead when it is less. Half a minute is about the longest ordinary answer of a large model.",
    }),
    tiers: optionalSection(
      {
        premium: tierFactors("Better and more reliable.", 0.5, 1.5, 2),
        free: tierFactors("Cheaper.", 3, 0.5, 0.5),
      },
      "What the weights are multiplied by for jobs of a tier; standard jobs have the chain's own.",
    ),
    businessHours: section({
      ...weekHours,
      latencyFactor: fraction({
        min: 0,
        max: FACTOR_MAX,
        default: 2,
        why: "The weight of latency times this within the hours, when people wait for answers.",
      }),
      offPeakCostFactor: fraction({
        min: 0,
        max: FACTOR_MAX,
        default: 2,
        why: "The weight of cost times this outside of them.",
      }),
    })
      .optional()
      .describe(
        "Hours in which latency counts for more, and outside of which cost does; no hour differs when left out.",
      ),
  },
  "How routes are compared.",
);

const atLeast = (why: string) => integer({ min: 0, max: SIZE_MAX, default: 0, why });
const atMost = (why: string) => integer({ min: 0, max: SIZE_MAX, default: SIZE_MAX, why });

const names = (one: string, why: string) =>
  z
    .array(text(NAME, NAME_EXPECTED, one), { error: "expected a list of names" })
    .min(1, { error: "expected at least one name" })
    .max(1000, { error: "expected at most 1000 names" })
    .optional()
    .describe(why);

export const routeNames = (why: string) =>
  z
    .array(
      text(
        /[A-Za-z0-9][A-Za-z0-9._-]{0,62}(?:\/\S{1,200})?/,
        "an account of providers, or account/model",
        "An account of providers, or account/model.",
      ),
      { error: "expected a list of accounts or account/model" },
    )
    .min(1, { error: "expected at least one account" })
    .max(1000, { error: "expected at most 1000 names" })
    .optional()
    .describe(why);

export const RULES = z
  .array(
    section({
      name: text(NAME, NAME_EXPECTED, "What decisions call the rule."),
      match: optionalSection(
        {
          tenants: names("A tenant.", "Jobs of these tenants."),
          tiers: z
            .array(word(["free", "standard", "premium"], "A tier."), { error: "expected a list of tiers" })
            .min(1, { error: "expected at least one tier" })
            .optional()
            .describe("Jobs of these tiers."),
          models: z
            .array(text(/\S{1,264}/, "a model as jobs name it", "A model as jobs name it."), {
              error: "expected a list of models",
            })
            .min(1, { error: "expected at least one model" })
            .max(1000, { error: "expected at most 1000 models" })
            .optional()
            .describe("Jobs that name one of these models."),
          labels: named(
            text(/[^]{1,256}/, "a label's value", "The value it must have."),
            /[^]{1,256}/,
            "a label's name",
            "Jobs that have all of these labels.",
          ).prefault({}),
          bytesMin: atLeast("Jobs whose request has at least so many bytes."),
          bytesMax: atMost("Jobs whose request has at most so many bytes."),
          tokensMin: atLeast(
            "Jobs whose prompt is estimated at this many tokens at least: three bytes of the request a token.",
          ),
          tokensMax: atMost("Jobs whose prompt is estimated at this many tokens at most."),
          time: section(weekHours).optional().describe("Jobs that are accepted within these hours."),
        },
        "Which jobs it speaks of: all that is said must hold; nothing said: every job.",
      ),
      force: routeNames("Only these routes may serve the job."),
      forbid: routeNames("These routes may not."),
      weight: section({
        routes: routeNames("Which."),
        factor: fraction({
          min: 0,
          max: FACTOR_MAX,
          default: 0.5,
          why: "Their score times this; half when left out, so that they serve when the others are much worse.",
        }),
      })
        .optional()
        .describe(
          "The score of these routes is multiplied; without effect where candidates are taken in their written order.",
        ),
    }).refine(
      ({ force, forbid, weight: weighted }) =>
        [force, forbid, weighted].filter((one) => one !== undefined).length === 1,
      {
        error: "expected exactly one of force, forbid, weight",
      },
    ),
    { error: "expected a list of rules" },
  )
  .max(200, { error: "expected at most 200 rules" })
  .prefault([])
  .describe(
    "What certain jobs must or must not use. Every rule that matches holds; judged when a job is accepted, and part of what it shares its call by.",
  );
