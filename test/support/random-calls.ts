import type { RequestFormat } from "../../src/domain/job/job.js";
import { parsePriceTable } from "../../src/domain/cost/price-table.js";
import { answeredBy, type Account, type Catalog } from "../../src/domain/route/catalog.js";
import { createRoutePlanner, routeMaxCostNanoUsd } from "../../src/domain/route/plan-routes.js";
import { readRequestFacts } from "../../src/domain/route/request-facts.js";
import { judgeCall } from "../../src/pipeline/dispatch/call-judge.js";
import type { Work } from "../../src/pipeline/dispatch/work.js";
import type { FinishedCall } from "../../src/ports/ledger.js";
import type { Provider } from "../../src/ports/provider.js";
import { JUDGED_BY, POLICY } from "./work.js";

/** Numbers from 0 up to 1, fixed by the seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), bits | 61)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

const WORDS = "film poster harbour ledger winter violin copper orchard signal meadow cipher lantern".split(" ");

function sentence(random: () => number): string {
  const count = 3 + Math.floor(random() * 40);
  return Array.from({ length: count }, () => WORDS[Math.floor(random() * WORDS.length)]).join(" ");
}

/** A body of this format with a few turns and a cap now and then. The model is named by the route. */
const BODIES: Readonly<Partial<Record<RequestFormat, (random: () => number, model: string) => unknown>>> = {
  "openai.chat": (random, model) => ({
    model,
    messages: [
      ...(random() < 0.5 ? [{ role: "system", content: sentence(random) }] : []),
      { role: "user", content: sentence(random) },
      ...(random() < 0.3
        ? [
            { role: "assistant", content: sentence(random) },
            { role: "user", content: sentence(random) },
          ]
        : []),
    ],
    ...(random() < 0.3 ? { max_completion_tokens: 5 + Math.floor(random() * 60) } : {}),
    ...(random() < 0.3 ? { stop: ["never said"] } : {}),
  }),
  "anthropic.messages": (random, model) => ({
    model,
    max_tokens: 5 + Math.floor(random() * 60),
    ...(random() < 0.5 ? { system: sentence(random) } : {}),
    messages: [{ role: "user", content: sentence(random) }],
  }),
  "gemini.generate": (random, model) => ({
    model,
    ...(random() < 0.5 ? { systemInstruction: { parts: [{ text: sentence(random) }] } } : {}),
    contents: [{ role: "user", parts: [{ text: sentence(random) }] }],
    ...(random() < 0.5 ? { generationConfig: { maxOutputTokens: 5 + Math.floor(random() * 60) } } : {}),
  }),
};

export interface Target {
  readonly account: string;
  readonly model: string;
  readonly formats: readonly RequestFormat[];
}

export interface RandomCallParts {
  readonly accounts: readonly Account[];
  readonly providers: ReadonlyMap<string, Provider>;
  readonly targets: readonly Target[];
  readonly pricing: unknown;
  readonly timeoutMs: number;
}

/** One call as the ledger would have it: what it came to, and the most it can have cost. */
export interface MadeCall {
  readonly attemptId: string;
  readonly finished: FinishedCall;
  readonly maxNanoUsd: bigint;
}

/** Makes calls one by one from a seed; each is judged by the product's own judge. */
export function randomCaller(parts: RandomCallParts, random: () => number): (no: number) => Promise<MadeCall> {
  const catalog: Catalog = { accounts: parts.accounts, aliases: [], prices: parsePriceTable(parts.pricing) };
  const plan = createRoutePlanner(catalog);
  return async (no) => {
    const work = workOf(no, parts.targets, plan, random);
    const attemptId = `random-${String(no)}`;
    const provider = parts.providers.get(work.route.account)!;
    const reply = await provider.call(
      {
        attemptId,
        format: work.format,
        model: work.route.model,
        bodyText: work.bodyText,
        maxOutputTokensDefault: work.route.maxOutputTokens,
        timeoutMs: parts.timeoutMs,
        sendWithinMs: parts.timeoutMs,
        maySend: () => true,
      },
      new AbortController().signal,
    );
    if (reply.kind === "not_sent") throw new Error(`call ${attemptId} was not sent: ${reply.message}`);
    const account = parts.accounts.find(({ name }) => name === work.route.account)!;
    const settings = {
      retry: { attemptsMax: 8, backoffBaseMs: 100, backoffMaxMs: 1_000, retryAfterMaxMs: 60_000 },
      graceMs: () => 30_000,
      resultBytesMax: 1_000_000,
      answeredBy: ({ route }: Work, version: string | null) => answeredBy(account, route, version, catalog.prices),
      billing: () => account.facts.billing,
      checkSchema: JUDGED_BY.checkSchema,
    };
    const finished = judgeCall(settings, work, reply, 1_790_000_000_000, 0.5);
    return { attemptId, finished, maxNanoUsd: work.intent.maxNanoUsd };
  };
}

function workOf(
  no: number,
  targets: readonly Target[],
  plan: ReturnType<typeof createRoutePlanner>,
  random: () => number,
): Work {
  const target = targets[Math.floor(random() * targets.length)]!;
  const format = target.formats[Math.floor(random() * target.formats.length)]!;
  const bodyText = JSON.stringify(BODIES[format]!(random, target.model));
  const facts = readRequestFacts(format, bodyText, Buffer.byteLength(bodyText), null);
  const { routes, rejected } = plan({ ...POLICY, model: `${target.account}/${target.model}` }, facts);
  const route = routes[0];
  if (route === undefined) throw new Error(`no route for ${format} on ${target.account}: ${JSON.stringify(rejected)}`);
  return {
    execution: { day: 20_000, no },
    intent: {
      no,
      number: 1,
      account: route.account,
      provider: route.kind,
      model: route.model,
      routeIndex: 0,
      maxNanoUsd: routeMaxCostNanoUsd(route, facts),
      startedAtMs: 1_790_000_000_000,
    },
    format,
    policy: POLICY,
    bodyText,
    route,
    routes,
    firstPrice: route.price,
    history: [],
    latestDeadlineMs: 1_790_003_600_000,
  };
}
