import { describe, expect, test } from "@jest/globals";
import { createRoutePlanner } from "../../src/domain/route/plan-routes.js";
import { DIRECT_ONLY, type LinePlanner, type ServiceWish } from "../../src/pipeline/batch/line-planner.js";
import { RouteChooser } from "../../src/pipeline/dispatch/route-chooser.js";
import { IntakePlanner } from "../../src/pipeline/intake/intake-planner.js";
import { CATALOG, createSimulatedAdmission, recordAt } from "../support/simulation/fixture.js";

const NOW_MS = 1_796_126_400_000;

function planned(
  fields: object,
  lines: Pick<LinePlanner, "plan"> = DIRECT_ONLY,
  chooser: Pick<RouteChooser, "choose"> = new RouteChooser(),
) {
  const planner = new IntakePlanner(createSimulatedAdmission(), createRoutePlanner(CATALOG), chooser, lines);
  const job = { jobId: "a", tenant: "catalogue", body: { model: "sim", messages: [] }, ...fields };
  return planner.plan(recordAt(0, 0, NOW_MS, Buffer.from(JSON.stringify(job))), undefined, NOW_MS);
}

describe("what no route of this config can promise", () => {
  test.each<[string, object, string]>([
    ["a batch", { mode: "batch" }, "no batch can be made: no account of this job has batches (alpha, beta)"],
    [
      "a latency",
      { require: { maxLatencyMs: 2000 } },
      "alpha/sim-alpha: how long it takes is not known yet, the job allows 2000 ms; beta",
    ],
    ["a region", { require: { regions: ["eu"] } }, "the region of alpha is unknown"],
  ])("%s is refused with its reason, to the job's own reply topic", (_what, fields, reason) => {
    const plan = planned(fields);
    expect(plan).toMatchObject({ kind: "refused", refusal: { code: "NO_ROUTE", identity: { jobId: "a" } } });
    expect(plan.kind === "refused" ? plan.refusal.message : "").toContain(reason);
  });

  test.each([[{}], [{ require: { maxLatencyMs: null } }], [{ mode: "direct" }]])("%j asks for none of it", (fields) => {
    expect(planned(fields)).toMatchObject({ kind: "job", planned: { route: { account: "alpha" } } });
  });
});

test("what could not be decoded is refused under the tenant and id that its headers say, where they may", () => {
  const planner = new IntakePlanner(
    createSimulatedAdmission(),
    createRoutePlanner(CATALOG),
    new RouteChooser(),
    DIRECT_ONLY,
  );
  const headers = Object.entries({ "llm-tenant": "shop", "llm-job-id": "a" }).map(([name, value]) => ({
    ...{ name, value: Buffer.from(value) },
  }));
  const record = { ...recordAt(0, 0, NOW_MS, Buffer.from([0, 0, 0, 0, 9])), headers };
  const refused = { kind: "refused", code: "UNKNOWN_SCHEMA", message: "there is none" } as const;
  expect(planner.plan(record, refused, NOW_MS)).toEqual({
    kind: "refused",
    refusal: { code: "UNKNOWN_SCHEMA", message: "there is none", tenant: "shop", jobId: "a", identity: null },
  });
});

describe("a batch or a call of its own", () => {
  test("is asked of the line planner, with what the job says and its plan", () => {
    const wishes: ServiceWish[] = [];
    const decision = { mode: "direct", account: "alpha", model: "m", because: "b", numbers: {} } as any;
    const plan = planned(
      { mode: "auto", ttlMs: 60_000 },
      {
        plan: (wish) => {
          wishes.push(wish);
          return { kind: "direct", decision };
        },
      },
    );
    expect(wishes).toMatchObject([
      {
        mode: "auto",
        nowMs: NOW_MS,
        deadlineMs: NOW_MS + 60_000,
        facts: { format: "openai.chat" },
        plan: { first: { account: "alpha" } },
        routeIndex: 0,
        again: false,
      },
    ]);
    expect(plan).toMatchObject({ kind: "job", planned: { line: { kind: "direct", decision } } });
  });

  test("and what it refuses is refused to the job's own reply topic, in its words", () => {
    const plan = planned(
      { mode: "batch" },
      { plan: () => ({ kind: "refused", code: "NO_ROUTE_IN_TIME", message: "no batch can be made: too late" }) },
    );
    expect(plan).toMatchObject({
      kind: "refused",
      refusal: { code: "NO_ROUTE_IN_TIME", message: "no batch can be made: too late", identity: { jobId: "a" } },
    });
  });
});

describe("what the choice between routes says", () => {
  const waits: Pick<RouteChooser, "choose"> = {
    choose: ({ plan, nowMs }) => ({
      kind: "wait",
      runAtMs: nowMs + 9000,
      waitsFor: "breaker",
      route: plan.routes[1]!,
      index: 1,
    }),
  };
  const POOLED = {
    kind: "pool",
    pooled: { line: { routeIndex: 0 } },
    decision: { mode: "batch", because: "b" },
  } as any;

  test("a job that no route can be called for is accepted all the same, to wait as a row; no batch is asked about", () => {
    const lines = {
      plan: (): never => {
        throw new Error("a batch was asked about");
      },
    };
    expect(planned({}, lines, waits)).toMatchObject({
      kind: "job",
      planned: { waits: true, routeIndex: 1, line: { kind: "direct" } },
    });
  });

  test("one that insists on a batch waits for that", () => {
    expect(planned({ mode: "batch" }, { plan: () => POOLED }, waits)).toMatchObject({
      kind: "job",
      planned: { line: { kind: "pool" } },
    });
  });

  test("is told with the decision about a batch when both are of one route, and alone when there is none", () => {
    const routes = { because: "the best score of 2, 0.7", rejected: [] };
    const chooser = (index: number): Pick<RouteChooser, "choose"> => ({
      choose: ({ plan }) => ({ kind: "route", route: plan.routes[index]!, index, routes }),
    });
    const line = (index: number, plan: any) => {
      const found = planned({}, { plan: () => plan }, chooser(index));
      return found.kind === "job" ? found.planned.line : null;
    };
    expect(line(0, POOLED)).toMatchObject({ decision: { mode: "batch", because: "b", routes } });
    expect(line(1, POOLED)).toEqual(POOLED);
    expect(line(1, { kind: "direct" })).toMatchObject({
      decision: { mode: "direct", account: "beta", because: routes.because },
    });
  });

  test("a job that wants to know is told of its only candidate's rivals", () => {
    const found = planned({ explain: true, require: { providers: ["beta"] } });
    expect(found).toMatchObject({
      planned: {
        line: {
          decision: { routes: { rejected: [{ account: "alpha", because: "the job allows only the providers beta" }] } },
        },
      },
    });
  });
});
