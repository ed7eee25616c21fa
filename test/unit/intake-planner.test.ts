import { describe, expect, test } from "@jest/globals";
import { createRoutePlanner } from "../../src/domain/route/plan-routes.js";
import { DIRECT_ONLY, type LinePlanner, type ServiceWish } from "../../src/pipeline/batch/line-planner.js";
import { RouteChooser } from "../../src/pipeline/dispatch/route-chooser.js";
import { IntakePlanner } from "../../src/pipeline/intake/intake-planner.js";
import { CATALOG, createSimulatedAdmission, recordAt } from "../support/simulation/fixture.js";

const NOW_MS = 1_796_126_400_000;

function planned(fields: object, lines: Pick<LinePlanner, "plan"> = DIRECT_ONLY) {
  const planner = new IntakePlanner(createSimulatedAdmission(), createRoutePlanner(CATALOG), new RouteChooser(), lines);
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
