import { fraction, HOUR_MS, integer, MINUTE_MS, optionalSection, SECOND_MS } from "./fields.js";

/** Config of when a provider is left alone. */
export const HEALTH = optionalSection(
  {
    degradedAfter: integer({
      min: 1,
      max: 1000,
      default: 2,
      why: "Failed calls in a row after which a model at an account is called behind the others. Failures are what the provider is to blame for: never a refused request, a prompt that is too long or a rate limit.",
    }),
    openAfter: integer({
      min: 1,
      max: 1000,
      default: 5,
      why: "Failed calls in a row after which it is not called at all, but for a trial when its cool-down is over.",
    }),
    failureRate: fraction({
      min: 0.01,
      max: 1,
      default: 0.5,
      why: "It is not called either when this share of its calls within rateWindowMs failed.",
    }),
    rateCallsMin: integer({
      min: 1,
      max: 100,
      default: 20,
      why: "Fewer calls within rateWindowMs make no share; a router remembers the last 100 of each model.",
    }),
    rateWindowMs: integer({
      min: SECOND_MS,
      max: HOUR_MS,
      default: MINUTE_MS,
      why: "How far failureRate looks back.",
    }),
    cooldownMs: integer({
      min: 100,
      max: HOUR_MS,
      default: 5 * SECOND_MS,
      why: "First wait before a trial, of all routers together; each failed trial doubles it, with jitter. Most troubles of providers are over in seconds.",
    }),
    accountCooldownMs: integer({
      min: 100,
      max: HOUR_MS,
      default: MINUTE_MS,
      why: "The same for a whole account whose key is refused or whose credit is used up: a person has to do something.",
    }),
    cooldownMaxMs: integer({
      min: 100,
      max: HOUR_MS,
      default: 5 * MINUTE_MS,
      why: "Longest such wait; an hour's outage then costs some 20 trials, and its end is noticed within 5 min.",
    }),
    rampMs: integer({
      min: 100,
      max: HOUR_MS,
      default: 30 * SECOND_MS,
      why: "How long calls begin slowly after that, at no more than twice the rate before the outage.",
    }),
    lookEveryMs: integer({
      min: 100,
      max: MINUTE_MS,
      default: 2 * SECOND_MS,
      why: "How often a router reads what the others found, by one small query; what it finds itself counts at once.",
    }),
  },
  "When a provider that fails is left alone, and how calls begin again.",
);
