import { z } from "zod";
import {
  fraction,
  integer,
  optionalSection,
  section,
  text,
  toggle,
  usd,
  DAY_MS,
  HOUR_MS,
  MINUTE_MS,
  SECOND_MS,
} from "./fields.js";

/** Config of alerts: when they are raised, and who is told. */

const WEBHOOK = section({
  url: text(
    /https?:\/\/[^\s/]+(?:\/\S*)?/,
    "an http(s) URL",
    "Where each alert that is raised or recovers is POSTed, as JSON.",
  ),
  secret: text(
    /\S{16,4096}/,
    "16 characters at least, without spaces",
    "Signs each request (HMAC-SHA256). Only as ${NAME} or ${file:/run/secrets/name}.",
  ),
  timeoutMs: integer({
    min: 100,
    max: MINUTE_MS,
    default: 10 * SECOND_MS,
    why: "Longest wait for one try; a receiver should only note what it got.",
  }),
  triesMax: integer({
    min: 1,
    max: 1000,
    default: 30,
    why: "After as many tries that failed the notice is given up, counted and logged; with the default waits that is some two hours.",
  }),
  giveUpAfterMs: integer({
    min: SECOND_MS,
    max: 7 * DAY_MS,
    default: 6 * HOUR_MS,
    why: "A notice that is older when a try fails is given up: it would come as news and be none.",
  }),
  backoffBaseMs: integer({
    min: 10,
    max: HOUR_MS,
    default: 2 * SECOND_MS,
    why: "Wait after the first try that failed, doubled with each; half of it is random.",
  }),
  backoffMaxMs: integer({ min: 10, max: HOUR_MS, default: 5 * MINUTE_MS, why: "No wait between two tries is longer." }),
});

export const ALERTS = optionalSection(
  {
    enabled: toggle(true, "Whether routers look for what somebody must notice."),
    everyMs: integer({
      min: 100,
      max: 10 * MINUTE_MS,
      default: 15 * SECOND_MS,
      why: "One router looks for all in this time, in a handful of small statements.",
    }),
    windowMs: integer({
      min: SECOND_MS,
      max: 6 * HOUR_MS,
      default: 5 * MINUTE_MS,
      why: "Rates and quantiles are taken over so long.",
    }),
    raiseAfterMs: integer({
      min: 0,
      max: HOUR_MS,
      default: 30 * SECOND_MS,
      why: "Readings must be bad for so long before an alert is raised: three looks, so that one bad moment is none.",
    }),
    clearAfterMs: integer({
      min: 0,
      max: 6 * HOUR_MS,
      default: MINUTE_MS,
      why: "Readings must be good for so long before an alert recovers.",
    }),
    againAfterMs: integer({
      min: 0,
      max: DAY_MS,
      default: 5 * MINUTE_MS,
      why: "An alert that recovered is not raised again before this, however its readings swing.",
    }),
    errorRate: fraction({
      min: 0.001,
      max: 1,
      default: 0.2,
      why: "Share of an account's calls that fail by no fault of the job.",
    }),
    errorCallsMin: integer({
      min: 1,
      max: 1_000_000,
      default: 20,
      why: "With fewer calls in the window the error rate says nothing.",
    }),
    downCallsMin: integer({
      min: 1,
      max: 1_000_000,
      default: 5,
      why: "An account is down when as many of its calls failed in the window and none went well.",
    }),
    latencyP95Ms: z
      .int({ error: "expected a whole number from 1 to 86400000" })
      .min(1, { error: "expected a whole number from 1 to 86400000" })
      .max(DAY_MS, { error: "expected a whole number from 1 to 86400000" })
      .optional()
      .describe(
        "Target of 95 of 100 direct jobs, from acceptance to their end, in milliseconds; without one nothing is said of it.",
      ),
    standstillMs: integer({
      min: SECOND_MS,
      max: DAY_MS,
      default: 2 * MINUTE_MS,
      why: "Nothing has ended for so long although jobs wait that could run.",
    }),
    deadlinesMax: integer({
      min: 0,
      max: 999,
      default: 10,
      why: "More waiting jobs and batches than this have a deadline nearer than what a call, or their batch, takes at the p95.",
    }),
    inDoubtMax: integer({
      min: 0,
      max: 9999,
      default: 50,
      why: "More attempts than this are in doubt, or settled with a cost that nobody knows.",
    }),
    deadLettersPerMinute: integer({
      min: 1,
      max: 1_000_000,
      default: 20,
      why: "As many dead letters a minute, over the window.",
    }),
    batchMedians: fraction({
      min: 1,
      max: 100,
      default: 2,
      why: "A batch is slow when it is out for so many times what half of the batches of its account and model take.",
    }),
    spendFactor: fraction({
      min: 1,
      max: 1000,
      default: 3,
      why: "An hour is unusual when it costs so many times what the same hour costs usually.",
    }),
    spendMinUsd: usd("An hour that costs less is never unusual.").default("1.00"),
    rateLimitUse: fraction({
      min: 0.1,
      max: 1,
      default: 0.95,
      why: "Share of a provider's limit that is in use.",
    }),
    webhook: WEBHOOK.optional().describe("Who is told over HTTP; nobody when left out."),
  },
  "What somebody must notice: events alert.raised and alert.recovered, the metric sluice_alerts, and a webhook.",
);
