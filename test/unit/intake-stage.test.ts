import { expect, test } from "@jest/globals";
import { createRoutePlanner } from "../../src/domain/route/plan-routes.js";
import { sessionNo } from "../../src/domain/ids.js";
import { NumberSource } from "../../src/pipeline/dispatch/number-source.js";
import { Slots } from "../../src/pipeline/dispatch/slots.js";
import { IntakePlanner } from "../../src/pipeline/intake/intake-planner.js";
import { IntakeStage, type IntakeParts } from "../../src/pipeline/intake/intake-stage.js";
import type { IntakeGroup } from "../../src/ports/ledger.js";
import {
  CATALOG,
  createSimulatedAdmission,
  jobValue,
  JOBS_TOPIC,
  recordAt,
  RENDER,
  RENDER_SETTINGS,
} from "../support/simulation/fixture.js";
import { settled } from "./relay-fixture.js";

const NOW_MS = 1_000_000_000;
const quiet = (): undefined => undefined;

/** Accepts everything and keeps what it was asked. */
function stageOver(planner: IntakeParts["planner"], more: Partial<IntakeParts> = {}) {
  const groups: IntakeGroup[] = [];
  const errors: string[] = [];
  const stage = new IntakeStage({
    ledger: {
      accept: (group) => {
        groups.push(group);
        return Promise.resolve({
          kind: "accepted",
          day: 1,
          acceptedAtMs: NOW_MS,
          jobs: group.jobs.map(() => ({ kind: "queued" })),
          outbox: [],
        });
      },
    },
    session: sessionNo(1),
    render: RENDER,
    renderSettings: RENDER_SETTINGS,
    planner,
    numbers: new NumberSource(() => Promise.resolve({ from: 1, count: 1000 })),
    slots: new Slots(new Map()),
    clock: { nowMs: () => NOW_MS, monotonicMs: () => 0, sleep: () => Promise.resolve() },
    random: { next: () => 0.5 },
    log: { debug: quiet, info: quiet, warn: quiet, error: (event) => errors.push(event) },
    metrics: { count: quiet, set: quiet, observe: quiet },
    inbox: { rewind: () => Promise.resolve(), accepted: quiet },
    groupSizeMax: 10,
    groupWaitMs: 0,
    queuedGroupsMax: 2,
    queuedBytesMax: 1_000_000,
    slotWaitMs: 0,
    mendable: () => false,
    doubt: () => ({ policy: "retry", retryMaxNanoUsd: 0n }),
    mayStart: () => true,
    backlog: { here: () => true, began: quiet },
    start: quiet,
    publish: quiet,
    fenced: quiet,
    ...more,
  });
  return { stage, groups, errors };
}

const PLANNER = new IntakePlanner(createSimulatedAdmission(), createRoutePlanner(CATALOG));
const runOf = (count: number) => {
  const valueOf = (no: number) => jobValue({ jobId: `job-${String(no)}`, tenant: "catalogue", prompt: "why" });
  const records = Array.from({ length: count }, (_unused, offset) => recordAt(0, offset, NOW_MS, valueOf(offset)));
  return { topic: JOBS_TOPIC, partition: 0, since: 0, upto: count, records };
};

test.each([
  ["two groups' records", 20, 21, {}],
  // A value of this test has more than 100 bytes and fewer than 200.
  ["the bytes that may wait", 1, 2, { queuedBytesMax: 200 }],
])("the next fetch waits while more than %s are queued", async (_bound, fits, tooMany, more) => {
  await stageOver(PLANNER, more).stage.offer(runOf(fits));

  const { stage, groups } = stageOver(PLANNER, more);
  let offered = false;
  const offer = stage.offer(runOf(tooMany)).then(() => {
    offered = true;
  });
  await settled();
  expect(offered).toBe(false);
  const running = stage.run();
  await offer;
  await settled();
  stage.stop();
  await running;
  expect(groups.flatMap(({ jobs }) => jobs)).toHaveLength(tooMany);
});

test("a record that the gateway fails to read becomes a dead letter INTERNAL; its neighbours are accepted and the session goes on", async () => {
  const { stage, groups, errors } = stageOver({
    plan: (record, decoded, nowMs) => {
      if (record.offset === 1) throw new RangeError("a bug of ours");
      return PLANNER.plan(record, decoded, nowMs);
    },
  });
  const wish = (jobId: string) => jobValue({ jobId, tenant: "catalogue", prompt: jobId });
  const records = ["a", "b", "c"].map((jobId, offset) => recordAt(0, offset, NOW_MS, wish(jobId)));
  const running = stage.run();
  await stage.offer({ topic: JOBS_TOPIC, partition: 0, since: 0, upto: 3, records });
  await settled();
  stage.stop();
  await running;
  expect(groups).toHaveLength(1);
  const [group] = groups;
  expect(group?.jobs.map(({ job }) => job.jobId)).toEqual(["a", "c"]);
  expect(group?.moves).toMatchObject([{ partition: 0, since: 0, upto: 3 }]);
  expect(group?.refused.map(({ code, offset }) => [code, offset])).toEqual([["INTERNAL", 1]]);
  expect(errors).toEqual(["intake.record_unreadable"]);
});
