import { describe, expect, test } from "@jest/globals";
import { createRoutePlanner } from "../../src/domain/route/plan-routes.js";
import { IntakePlanner } from "../../src/pipeline/intake/intake-planner.js";
import { CATALOG, createSimulatedAdmission, recordAt } from "../support/simulation/fixture.js";

const NOW_MS = 1_796_126_400_000;

function planned(fields: object) {
  const planner = new IntakePlanner(createSimulatedAdmission(), createRoutePlanner(CATALOG));
  const job = { jobId: "a", tenant: "catalogue", body: { model: "sim", messages: [] }, ...fields };
  return planner.plan(recordAt(0, 0, NOW_MS, Buffer.from(JSON.stringify(job))), undefined, NOW_MS);
}

describe("what the contract names and no route can promise yet", () => {
  test.each<[string, object, string]>([
    ["a batch", { mode: "batch" }, "mode batch is not served yet"],
    ["a latency", { require: { maxLatencyMs: 2000 } }, "the latency of every candidate is unknown"],
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
