/**
 * Random catalogs, jobs and states of the providers: the choice is feasible and equals the best by brute force, each candidate is either
 * compared or rejected with a reason that is true of it.
 */
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { kindFacts } from "../../src/adapters/providers/registry.js";
import { planRoutes } from "../../src/domain/route/plan-routes.js";
import type { RouteConditions } from "../../src/domain/route/route-condition.js";
import { ChainWeights, DEFAULT_WEIGHT_FACTORS } from "../../src/domain/route/score-weights.js";
import {
  RouteChooser,
  type ChooserParts,
  type RouteChoice,
  type RouteWish,
} from "../../src/pipeline/dispatch/route-chooser.js";
import {
  isCommitted,
  isExcluded,
  isTrue,
  oracleAnswer,
  weightsOf,
  type OracleSettings,
} from "../support/route-oracle.js";
import {
  accountOf,
  bodyOf,
  catalogOf,
  conditionsOf,
  LATENCY_BUDGET_MS,
  NOW_MS,
  OUTPUT_TOKENS_DEFAULT,
  OWN_CHAIN,
  routeWorlds,
  wishOf,
  type RouteWorld,
} from "../support/route-world.js";

const RUNS = Number(process.env["SLUICE_ROUTE_WORLDS"] ?? 3_000);
/** A mistake that no world shows by then would not be seen at all. */
const PLANTED_RUNS = 1_500;
const SEED = 20_261_127;
const TRIAL_MS = 15_000;

/** A place in the choice where a mistake may be planted. */
interface Ways {
  readonly conditions?: (own: RouteConditions) => RouteConditions;
  readonly parts?: (own: ChooserParts) => ChooserParts;
  readonly wish?: (own: RouteWish) => RouteWish;
  readonly choice?: (own: RouteChoice, wish: RouteWish) => RouteChoice;
}

function settingsOf(world: RouteWorld): OracleSettings {
  return {
    nowMs: NOW_MS,
    latencyBudgetMs: LATENCY_BUDGET_MS,
    trialMs: TRIAL_MS,
    bodyBytes: Buffer.byteLength(bodyOf(world)),
    overheadTokens: kindFacts("openai").unseen.overheadTokens,
    outputTokensDefault: OUTPUT_TOKENS_DEFAULT,
    weights: weightsOf(world),
  };
}

const placeOf = (account: string): number => Number(account.split("-")[1]);

/** What is wrong with the choice in this world; null: nothing. */
function faultOf(world: RouteWorld, ways: Ways = {}): string | null {
  const base = wishOf(world);
  const plan = planRoutes(base.policy, base.facts, catalogOf(world));
  const found = plan.routes.findIndex(({ account }) => placeOf(account) === world.turn);
  const turn = found === -1 ? placeOf(plan.first?.account ?? accountOf(0)) : world.turn;
  const own: RouteWish = { ...base, plan, routeIndex: Math.max(0, found) };
  const wish = ways.wish?.(own) ?? own;
  const conditions = ways.conditions?.(conditionsOf(world)) ?? conditionsOf(world);
  const parts: ChooserParts = {
    routing: {
      scored: new Set(world.order === "score" ? ["any"] : []),
      weights: new ChainWeights({ own: OWN_CHAIN }, DEFAULT_WEIGHT_FACTORS),
      latencyBudgetMs: LATENCY_BUDGET_MS,
    },
    conditions,
    trialMs: () => TRIAL_MS,
    likelyBatch: ({ batchPrice }, mode) => mode === "batch" && batchPrice !== null,
  };
  const chosen = new RouteChooser(ways.parts?.(parts) ?? parts).choose(wish);
  const choice = ways.choice?.(chosen, wish) ?? chosen;
  // With one candidate left there is nothing to score.
  const asked = plan.routes.length < 2 ? { ...world, order: "listed" as const } : world;
  return faultOfChoice(asked, turn, choice, plan.rejected.length);
}

function faultOfChoice(world: RouteWorld, turn: number, choice: RouteChoice, ruledOut: number): string | null {
  const settings = settingsOf(world);
  const right = oracleAnswer(world, turn, settings);
  if (choice.kind !== right.kind) return `${choice.kind} instead of ${right.kind}`;
  if (choice.kind === "wait") return choice.runAtMs === right.runAtMs ? null : "waits until another time";
  if (choice.kind === "none") {
    const all = world.candidates.every((_, place) => choice.failure.message.includes(`${accountOf(place)}/`));
    return all || ruledOut === world.candidates.length ? null : "a failure that does not name each candidate";
  }
  const place = placeOf(choice.route.account);
  if (isExcluded(world, place)) return "an excluded route";
  if (!right.places.includes(place)) return `${String(place)} instead of ${right.places.join(" or ")}`;
  return faultOfReasons(world, place, choice, settings, right.scores);
}

function faultOfReasons(
  world: RouteWorld,
  chosen: number,
  { routes }: Extract<RouteChoice, { kind: "route" }>,
  settings: OracleSettings,
  scores: ReadonlyMap<number, number>,
): string | null {
  if (routes === undefined) return world.candidates.length === 1 ? null : "no word about the choice";
  const rejected = routes.rejected.map(({ account }) => placeOf(account));
  if (new Set(rejected).size !== rejected.length) return "a route rejected twice";
  if (rejected.includes(chosen)) return "the chosen route rejected";
  const lie = routes.rejected.find(({ account, because }) => !isTrue(world, placeOf(account), because, settings));
  if (lie !== undefined) return `not true of ${lie.account}: ${lie.because}`;
  const excluded = world.candidates.findIndex((_, place) => isExcluded(world, place) && !rejected.includes(place));
  if (excluded !== -1) return `${String(excluded)} is excluded without a reason`;
  if (routes.scored === undefined) return null;
  const compared = routes.scored.map(({ account }) => placeOf(account));
  if (compared.length + rejected.length !== world.candidates.length)
    return "a candidate is neither compared nor rejected";
  const off = routes.scored.find(
    ({ account, score }) => Math.abs(score - (scores.get(placeOf(account)) ?? -1)) > 0.0006,
  );
  if (off !== undefined) return `${off.account} has another score`;
  const paid = routes.scored.find(
    ({ account, committedLeftNanoUsd }) =>
      (committedLeftNanoUsd !== undefined) !== isCommitted(world, placeOf(account), settings),
  );
  if (paid !== undefined) return `not true of the commitment of ${paid.account}`;
  const words = /; covered by the account's commitment, \d+\.\d\d USD left$/.test(routes.because);
  const isSaid = routes.because.startsWith("the best score") && isCommitted(world, chosen, settings);
  return words === isSaid ? null : `not true of the choice: ${routes.because}`;
}

const params = { numRuns: RUNS, seed: SEED };

describe(`the choice between routes in ${String(RUNS)} random worlds`, () => {
  test("is feasible, the best there is, and true in every reason", () => {
    fc.assert(
      fc.property(routeWorlds, (world) => {
        expect(faultOf(world)).toBeNull();
      }),
      params,
    );
  });

  test("is the same when it is asked again, by the same chooser after another question", () => {
    fc.assert(
      fc.property(routeWorlds, routeWorlds, (world, other) => {
        const chooser = (of: RouteWorld): readonly [RouteChooser, RouteWish] => {
          const base = wishOf(of);
          const plan = planRoutes(base.policy, base.facts, catalogOf(of));
          const routing = {
            scored: new Set(["any"]),
            weights: new ChainWeights({}, DEFAULT_WEIGHT_FACTORS),
            latencyBudgetMs: LATENCY_BUDGET_MS,
          };
          return [
            new RouteChooser({ routing, conditions: conditionsOf(world), likelyBatch: () => false }),
            { ...base, plan },
          ];
        };
        const [asked, wish] = chooser(world);
        const once = asked.choose(wish);
        const [, between] = chooser({
          ...other,
          candidates: world.candidates,
          tried: [],
          allowed: [],
          forbidden: [],
          halved: [],
        });
        asked.choose(between);
        expect(asked.choose(wish)).toEqual(once);
      }),
      { ...params, numRuns: Math.ceil(RUNS / 4) },
    );
  });

  test("and the worlds hold enough of everything", () => {
    const seen = new Map<string, number>();
    const count = (what: string): void => void seen.set(what, (seen.get(what) ?? 0) + 1);
    for (const world of fc.sample(routeWorlds, { ...params, numRuns: 1_000 })) {
      const answer = oracleAnswer(world, world.turn, settingsOf(world));
      count(`${world.order} ${answer.kind}`);
      if (answer.scores.size >= 4) count("four to compare");
      const paid = [...answer.scores.keys()].filter((place) => isCommitted(world, place, settingsOf(world)));
      if (world.order === "score" && paid.length > 0) {
        if (paid.length < answer.scores.size) count("a commitment against a price");
        if (paid.some((place) => !answer.places.includes(place))) count("a commitment that is not enough");
      }
      if (world.candidates.filter((_, place) => !answer.scores.has(place)).length >= 3) count("three rejected");
    }
    const least = {
      "listed route": 150,
      "score route": 300,
      "score wait": 20,
      "score none": 20,
      "listed wait": 10,
      "four to compare": 80,
      "three rejected": 150,
      "a commitment against a price": 60,
      "a commitment that is not enough": 30,
    };
    for (const [what, atLeast] of Object.entries(least))
      expect([what, (seen.get(what) ?? 0) >= atLeast]).toEqual([what, true]);
  });
});

const WELL = { state: "closed", untilMs: null, because: null } as const;

/** Each alone must be noticed. */
const PLANTED: Readonly<Record<string, Ways>> = {
  "an open circuit is called": { conditions: (own) => ({ ...own, health: () => WELL }) },
  "a spent account is called": { conditions: (own) => ({ ...own, spent: () => null }) },
  "a call that never fits is made": {
    conditions: (own) => ({
      ...own,
      headroom: (...args) => {
        const room = own.headroom(...args);
        return room.kind === "never" ? { kind: "go" } : room;
      },
    }),
  },
  "a route without room is taken": {
    conditions: (own) => ({
      ...own,
      headroom: (...args) => {
        const room = own.headroom(...args);
        return room.kind === "wait" ? { kind: "go" } : room;
      },
    }),
  },
  "the retries of failures cost nothing": {
    conditions: (own) => ({
      ...own,
      statistics: (...args) => {
        const known = own.statistics(...args);
        return known === null ? null : { ...known, failureRate: 0 };
      },
    }),
  },
  "what is unknown counts as the worst": {
    conditions: (own) => ({
      ...own,
      statistics: (...args) => own.statistics(...args) ?? { failureRate: 1, p50Ms: 1, p95Ms: 60_000, calls: 1 },
    }),
  },
  "cached prices are forgotten": {
    conditions: (own) => ({
      ...own,
      statistics: (...args) => {
        const known = own.statistics(...args);
        return known === null ? null : { ...known, cachedInputShare: 0 };
      },
    }),
  },
  "a commitment is forgotten": { conditions: (own) => ({ ...own, committedLeft: () => null }) },
  "a commitment that is nearly used up covers all that comes": {
    conditions: (own) => ({
      ...own,
      committedLeft: (...args) => {
        const left = own.committedLeft(...args);
        return left === null || left === 0n ? left : left + 1_000_000_000n;
      },
    }),
  },
  "a line of a batch is priced as a call": { parts: (own) => ({ ...own, likelyBatch: () => false }) },
  "the latency that a job allows is forgotten": {
    wish: (own) => {
      const { maxLatencyMs: _forgotten, ...policy } = own.policy;
      return { ...own, policy };
    },
  },
  "the tier changes nothing": {
    wish: (own) => {
      const { tier: _forgotten, ...policy } = own.policy;
      return { ...own, policy };
    },
  },
  "what was tried is forgotten": { wish: (own) => ({ ...own, tried: [] }) },
  "the weight of a rule is forgotten": {
    wish: (own) => {
      const { rules: _forgotten, ...policy } = own.policy;
      return { ...own, policy };
    },
  },
  "the second best is taken": {
    choice: (own, { plan }) => {
      const scored = own.kind === "route" ? (own.routes?.scored ?? []) : [];
      const second = [...scored].sort((one, other) => other.score - one.score)[1];
      const index = plan.routes.findIndex(({ account }) => account === second?.account);
      const route = plan.routes[index];
      return own.kind === "route" && route !== undefined ? { ...own, route, index } : own;
    },
  },
  "a reason is another route's": {
    choice: (own) => {
      if (own.kind !== "route" || own.routes === undefined || own.routes.rejected.length < 2) return own;
      const { rejected } = own.routes;
      const turned = rejected.map((one, place) => ({
        ...one,
        because: rejected[(place + 1) % rejected.length]!.because,
      }));
      return { ...own, routes: { ...own.routes, rejected: turned } };
    },
  },
  "a rejected route is not told of": {
    choice: (own) =>
      own.kind === "route" && own.routes !== undefined
        ? { ...own, routes: { ...own.routes, rejected: own.routes.rejected.slice(1) } }
        : own,
  },
};

describe("a planted mistake is noticed", () => {
  test.each(Object.entries(PLANTED))("%s", (_what, ways) => {
    const worlds = fc.sample(routeWorlds, { numRuns: PLANTED_RUNS, seed: SEED });
    expect(worlds.some((world) => faultOf(world, ways) !== null)).toBe(true);
  });
});
