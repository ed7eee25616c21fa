import { z } from "zod";
import {
  integer,
  named,
  optionalSection,
  section,
  text,
  timeZone,
  usd,
  word,
  DAY_MS,
  HOUR_MS,
  KIB,
  MIB,
  MINUTE_MS,
  NAME,
  NAME_EXPECTED,
  SECOND_MS,
  TOPIC_EXPECTED,
  TOPIC_NAME,
} from "./fields.js";
import { ACCOUNT_BATCH } from "./schema-batching.js";
import { routeNames } from "./schema-routing.js";

/** Config of who sends jobs and who serves them: tenants, provider accounts, prices, model aliases. */

export const AUTH = optionalSection(
  {
    tenantFrom: word(
      ["topic", "body"],
      "What proves a job's tenant: the topic it came from, or its own word (for trials; refused in production).",
    ).default("topic"),
    topicTenants: named(
      text(NAME, NAME_EXPECTED, "A tenant."),
      TOPIC_NAME,
      TOPIC_EXPECTED,
      "With tenantFrom topic: the tenant of each jobs topic.",
    ).prefault({}),
  },
  "How a job's tenant is proven.",
);

export const TENANTS = named(
  section({
    tier: word(
      ["free", "standard", "premium"],
      "Highest tier of the tenant's jobs; a job can only ask for a lower one.",
    ).default("standard"),
    weight: integer({
      min: 1,
      max: 1000,
      default: 1,
      why: "How often the tenant has its turn where jobs of several wait: one with 2 is served twice as often as one with 1.",
    }),
    replyTopics: z
      .array(text(TOPIC_NAME, TOPIC_EXPECTED, "A topic."), { error: "expected a list of topics" })
      .max(1000, { error: "expected at most 1000 topics" })
      .prefault([])
      .describe("Topics the tenant's results may go to, besides the common one."),
    providers: routeNames("Accounts, or account/model, that the tenant's jobs may use; all when left out."),
  }),
  NAME,
  NAME_EXPECTED,
  "Who may send jobs.",
);

const amounts = {
  input: usd("Prompt tokens, US dollars per million."),
  output: usd("Answer tokens, US dollars per million."),
  cachedInput: usd("Prompt tokens read from the provider's cache; unknown when left out.").optional(),
  cacheWrite: usd("Prompt tokens written to the provider's cache; unknown when left out.").optional(),
  cacheWrite1h: usd("The same for an hour's cache; unknown when left out.").optional(),
};

const statedPrice = section({
  ...amounts,
  batch: section(amounts)
    .optional()
    .describe("What a line of a batch costs there; unknown when left out, and then no batch is made."),
});

const apiKey = z
  .string({ error: "expected ${NAME} or ${file:/run/secrets/name}" })
  .min(1, { error: "expected a key that is not empty" })
  .max(4096, { error: "expected at most 4096 characters" });

const rateLimit = (why: string) => {
  const error = "expected a whole number from 1 to 1000000000000";
  return z.int({ error }).min(1, { error }).max(1_000_000_000_000, { error }).optional().describe(why);
};

const rateLimits = {
  requestsPerMinute: rateLimit("Calls in any minute, over all routers; not limited when left out."),
  tokensPerMinute: rateLimit(
    "Tokens in any minute, over all routers: of the prompt and of the longest answer; not limited when left out.",
  ),
  requestsPerDay: rateLimit("The same as requestsPerMinute, in any 24 hours."),
  tokensPerDay: rateLimit("The same as tokensPerMinute, in any 24 hours."),
};

/** @param kinds every word that `kind` may be, at least one. */
export const providersSection = (kinds: readonly [string, ...string[]]) =>
  named(
    section({
      kind: word(kinds, "Which API the account speaks."),
      baseUrl: text(
        /https?:\/\/[^\s/]+(?:\/\S*)?/,
        "an http(s) URL",
        "Where the API is; the provider's own address when left out (openai-compatible has none).",
      ).optional(),
      apiKey: z
        .union([
          apiKey,
          z.array(apiKey).min(1, { error: "expected at least one key" }).max(8, { error: "expected at most 8 keys" }),
        ])
        .optional()
        .describe("Only as ${NAME} or ${file:/run/secrets/name}; of a list new work uses the first."),
      limits: optionalSection(
        {
          ...rateLimits,
          models: named(
            section(rateLimits),
            /\S{1,200}/,
            "a model's name without spaces",
            "Limits of single models, by the model's name there; they hold besides those of the account.",
          ).prefault({}),
          endpoints: optionalSection(
            {
              chat: section(rateLimits).optional().describe("Of all requests of chat formats together."),
              embeddings: section(rateLimits).optional().describe("Of all requests for embeddings together."),
            },
            "Limits of what a provider counts by endpoint, whatever the model; they hold besides the others.",
          ),
          tiers: optionalSection(
            {
              premium: section(rateLimits).optional().describe("Of all calls for premium jobs together."),
              standard: section(rateLimits).optional().describe("The same for standard jobs."),
              free: section(rateLimits).optional().describe("The same for free jobs."),
            },
            "Limits of the calls for jobs of a tier, so that one tier can't use up the account; they hold besides the others. With any, jobs of different tiers share no call.",
          ),
          concurrency: integer({
            min: 1,
            max: 10_000,
            default: 32,
            why: "Calls in the air at once, from this router. The default keeps a new account below common starting limits.",
          }),
        },
        "What the account can bear.",
      ),
      dailySpendUsd: usd(
        "What its calls may cost at most in a day (UTC), over all tenants and routers. At 95 % of it the account is routed around, and jobs without another route wait.",
      ).optional(),
      committed: section({
        usdPerMonth: usd("How much, at the account's prices; what calls cost counts against it until it is used up."),
        timeZone: timeZone("Whose calendar months go by. UTC is the same on every machine."),
      })
        .optional()
        .describe(
          "What is paid for the account each month whether it is used or not, or is free there. Where routes are chosen by score, a call costs nothing there while enough of it is left. Cost records have the account's prices all the same.",
        ),
      callTimeoutMs: integer({
        min: 50,
        max: 24 * HOUR_MS,
        default: 2 * MINUTE_MS,
        why: "Longest time of one call, connect and body included; a call beyond it is in doubt. Long answers of large models take about a minute.",
      }),
      idleTimeoutMs: integer({
        min: 50,
        max: 24 * HOUR_MS,
        default: MINUTE_MS,
        why: "Longest silence before the first byte of the answer and between two of its bytes.",
      }),
      connectTimeoutMs: integer({
        min: 50,
        max: 5 * MINUTE_MS,
        default: 10 * SECOND_MS,
        why: "Longest wait for a connection; nothing was sent yet, so the next try is safe.",
      }),
      responseBytesMax: integer({
        min: KIB,
        max: 512 * MIB,
        default: 32 * MIB,
        why: "A longer answer is cut off, and its job ends with RESULT_TOO_LARGE; far above any real text answer.",
      }),
      maxOutputTokensDefault: integer({
        min: 1,
        max: 1_000_000,
        default: 1024,
        why: "Output cap sent when neither the job nor a model alias sets one; bounds what one call can cost.",
      }),
      regions: z
        .array(text(NAME, NAME_EXPECTED, "A region."), { error: "expected a list of regions" })
        .max(64, { error: "expected at most 64 regions" })
        .optional()
        .describe(
          "Where the account computes, in the words that jobs use; unknown when left out, so that jobs which ask for a region pass by.",
        ),
      capabilities: z
        .array(text(NAME, NAME_EXPECTED, "A capability."), { error: "expected a list of capabilities" })
        .max(64, { error: "expected at most 64 capabilities" })
        .optional()
        .describe("What models outside the price table can do, such as vision; unknown when left out."),
      inDoubt: optionalSection(
        {
          policy: word(
            ["retry", "fail"],
            "A call whose outcome is unknown is made again (and may be paid twice) or ends the job.",
          ).default("retry"),
          retryMaxUsd: usd(
            "With retry: calls that may have cost more than this fail instead. Five cents is above most single answers and hurts nobody.",
          ).default("0.05"),
          graceMs: integer({
            min: 0,
            max: HOUR_MS,
            default: 30 * SECOND_MS,
            why: "How long a late outcome is waited for before the policy acts.",
          }),
          createGraceMs: integer({
            min: 0,
            max: DAY_MS,
            default: 10 * MINUTE_MS,
            why: "How long a batch whose creation was not answered is looked for before it is created again, where nothing at the provider makes a second creation harmless. A late one would be paid twice.",
          }),
        },
        "What happens to a call whose outcome is unknown.",
      ),
      batch: ACCOUNT_BATCH,
      prices: section({
        zero: z
          .literal(true, { error: "expected true" })
          .optional()
          .describe("Calls cost nothing: a server of one's own."),
        factor: text(
          /\d{1,3}(?:\.\d{1,6})?/,
          'a factor as quoted decimal text, such as "0.8"',
          "The price table times this: a discount of the account's own.",
        ).optional(),
        file: z
          .string()
          .min(1, { error: "expected a file's name" })
          .max(4096, { error: "expected at most 4096 characters" })
          .optional()
          .describe("A price table of the account's own, in the form of the common one; relative to this file."),
        perMillion: named(
          statedPrice,
          /\S{1,200}/,
          "a model's name without spaces",
          "Prices of this account, by the model's name there.",
        ).optional(),
      })
        .refine((prices) => Object.keys(prices).length === 1, {
          error: "expected exactly one of zero, factor, perMillion, file",
        })
        .optional()
        .describe(
          "One of zero, factor, perMillion, file; the price table when left out. openai-compatible must say zero, perMillion or file.",
        ),
    }),
    NAME,
    NAME_EXPECTED,
    "Provider accounts. An account's name is used in models, results and cost records.",
  );

export const MODELS = named(
  section({
    maxOutputTokensDefault: integer({
      min: 1,
      max: 1_000_000,
      default: 1024,
      why: "Output cap sent when the job sets none; bounds what one call can cost.",
    }),
    order: word(
      ["listed", "score"],
      "listed: candidates are tried as they are written, and one that can't be called now is passed over. score: the best one by the weights of the job's chain.",
    ).default("listed"),
    rescue: word(
      ["never", "whenDue"],
      "whenDue: a line that is still out in a batch when a job's deadline is so near that only a call of its own is counted on gets that call too, once. The first answer serves; both are paid.",
    ).default("never"),
    rescueMaxUsd: usd(
      "With rescue: no such call that may cost more. Five cents is above most single answers, as with calls in doubt.",
    ).default("0.05"),
    candidates: z
      .array(
        section({
          provider: text(NAME, NAME_EXPECTED, "An entry of providers."),
          model: text(/\S{1,200}/, "a model's name without spaces", "The model's name there."),
        }),
        {
          error: "expected a list of { provider, model }",
        },
      )
      .min(1, { error: "expected at least one candidate" })
      .max(64, { error: "expected at most 64 candidates" })
      .describe(
        "In the order they are tried, unless `order` says otherwise; those that can't serve a job are left out.",
      ),
  }),
  NAME,
  NAME_EXPECTED,
  "Model aliases that jobs may name.",
);

export const PRICES = optionalSection(
  {
    file: z
      .string()
      .min(1)
      .max(4096)
      .optional()
      .describe("Price table; relative to this file. The one that comes with Sluice when left out."),
  },
  "Where prices come from.",
);
