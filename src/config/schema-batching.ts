import { z } from "zod";
import {
  integer,
  optionalSection,
  section,
  word,
  DAY_MS,
  GIB,
  HOUR_MS,
  KIB,
  MIB,
  MINUTE_MS,
  SECOND_MS,
} from "./fields.js";

/** Config of provider batches: what holds for all of them, and what an account that has them may say of its own. */

const FLUSH_AFTER = { min: 0, max: 7 * DAY_MS };

export const BATCHING = optionalSection(
  {
    flushAfterMs: integer({
      ...FLUSH_AFTER,
      default: MINUTE_MS,
      why: "The oldest line waits at most so long for others before its batch is closed; an account may say otherwise. A minute is little beside a batch's hours, and gathers what comes in a burst.",
    }),
    turnaroundPriorMs: integer({
      min: 1,
      max: 7 * DAY_MS,
      default: 12 * HOUR_MS,
      why: "In this time 95 of 100 batches are believed to end until enough have been seen. Providers promise 24 hours and mostly need few; half of the promise is on the careful side.",
    }),
    turnaroundWindowMs: integer({
      min: MINUTE_MS,
      max: 90 * DAY_MS,
      default: 7 * DAY_MS,
      why: "Batches that ended longer ago say nothing about the next one; a week holds each hour of each weekday once.",
    }),
    turnaroundsMax: integer({
      min: 1,
      max: 100_000,
      default: 500,
      why: "Most ended batches that are looked at for it, the newest; enough for a steady 95th percentile of some models.",
    }),
    rescueLookMs: integer({
      min: 10,
      max: MINUTE_MS,
      default: 5 * SECOND_MS,
      why: "Between two looks for lines whose deadlines only a call can make, where a model allows a rescue; they are rescued so much earlier. Batches with a deadline near are read in whole.",
    }),
    callPriorMs: integer({
      min: 1,
      max: HOUR_MS,
      default: 30 * SECOND_MS,
      why: "In this time 95 of 100 calls are believed to be answered until some have been; a rescue leaves so much before the deadline, and a minute. Long answers of large models take about as long.",
    }),
    lookEveryMs: integer({
      min: 10,
      max: MINUTE_MS,
      default: 500,
      why: "Between two looks at waiting lines and due batches: a few small queries each time.",
    }),
    pollMinMs: integer({
      min: 10,
      max: DAY_MS,
      default: 10 * SECOND_MS,
      why: "First wait before a provider is asked how far a batch is, then more each time; also the first wait after trouble.",
    }),
    pollMaxMs: integer({
      min: 10,
      max: DAY_MS,
      default: 5 * MINUTE_MS,
      why: "Longest such wait: what a finished batch may lie unread. Short beside hours, and rare enough for any rate limit.",
    }),
    stepsAtOnce: integer({
      min: 1,
      max: 64,
      default: 4,
      why: "Batches that one router works on side by side: uploads, polls, reads of results. Each may hold a group of lines and a connection to Postgres.",
    }),
    groupSizeMax: integer({
      min: 1,
      max: 1000,
      default: 500,
      why: "Lines that one transaction binds to a batch or ends; larger groups gain little and hold more answers in memory.",
    }),
    callTimeoutMs: integer({
      min: 50,
      max: HOUR_MS,
      default: 2 * MINUTE_MS,
      why: "Longest create, list, get, cancel or delete of a batch; a create carries its lines where the provider takes them inline.",
    }),
    transferTimeoutMs: integer({
      min: SECOND_MS,
      max: DAY_MS,
      default: HOUR_MS,
      why: "Longest upload of a file, and longest read of results before the next goes on where it stood.",
    }),
    resultLineBytesMax: integer({
      min: KIB,
      max: GIB,
      default: 32 * MIB,
      why: "A longer line of results is cut off, and its job ends with RESULT_TOO_LARGE; far above any real text answer.",
    }),
    eraseAfterMs: integer({
      min: 0,
      max: 28 * DAY_MS,
      default: DAY_MS,
      why: "A batch's files are deleted at the provider so long after its last result was stored; a day leaves time to look at what went wrong.",
    }),
    scanForMs: integer({
      min: 0,
      max: 7 * DAY_MS,
      default: 2 * DAY_MS,
      why: "How long a batch is looked for whose creation was never answered and which was given up: longer than any provider lets one run.",
    }),
  },
  "Jobs that can wait go into the providers' batch APIs, where an account has a section `batch`.",
);

/** A bound that only the provider sets when it is left out. */
const limit = (min: number, max: number, why: string) => {
  const error = `expected a whole number from ${String(min)} to ${String(max)}`;
  return z.int({ error }).min(min, { error }).max(max, { error }).optional().describe(why);
};

export const ACCOUNT_BATCH = section({
  way: word(
    ["file", "inline"],
    "How lines reach the provider; the one that it is best asked by when left out. Only where it has a batch API.",
  ).optional(),
  concurrency: limit(
    1,
    10_000,
    "Only where the provider has no batch API, and lines are calls in the background: most of them at once, from this router. Half of limits.concurrency when left out, so that the other half is free for jobs that can't wait.",
  ),
  linesMax: limit(
    1,
    1_000_000,
    "Most lines of one batch; when left out the provider's own limit, or 1000 where lines are calls.",
  ),
  bytesMax: limit(KIB, 4 * GIB, "Most bytes of one batch; the provider's own limit when left out."),
  enqueuedTokensMax: limit(
    1,
    1_000_000_000_000,
    "Most estimated prompt tokens in all unfinished batches of the account: the limit of your tier. Not limited when left out, until a refusal teaches it.",
  ),
  openBatchesMax: integer({
    min: 1,
    max: 10_000,
    default: 20,
    why: "Most unfinished batches of the account at once: bounds what is polled, and what one bad hour at the provider holds up.",
  }),
  flushAfterMs: limit(
    FLUSH_AFTER.min,
    FLUSH_AFTER.max,
    "The oldest line waits at most so long for others, in milliseconds; batching.flushAfterMs when left out.",
  ),
})
  .optional()
  .describe(
    "Its presence lets jobs that can wait go into batches of this account; without it each is a call of its own. Where the provider has no batch API, a batch is a group whose lines are called in the background, behind all other jobs.",
  );
