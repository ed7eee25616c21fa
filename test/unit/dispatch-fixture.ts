import { DIRECT_ONLY } from "../../src/pipeline/batch/line-planner.js";
import { CallTimes } from "../../src/pipeline/dispatch/call-times.js";
import { NumberSource } from "../../src/pipeline/dispatch/number-source.js";
import { Slots } from "../../src/pipeline/dispatch/slots.js";
import type { DispatchParts } from "../../src/pipeline/dispatch/dispatch-stage.js";
import type { Ledger } from "../../src/ports/ledger.js";
import type { LedgerBench } from "../contract/ledger-bench.js";
import { PLAN_ROUTES, RENDER } from "../support/simulation/fixture.js";
import { logInto, metricsInto, placesOf } from "../support/work.js";

/** No alias allows one. */
const NO_RESCUES = {
  rescue: { maxNanoUsd: new Map<string, bigint>(), lookEveryMs: 1000 },
  callTimes: new CallTimes(1000),
} as const;

/** A ledger that is never asked for one. */
export const NO_RESCUE: Pick<Ledger, "rescue"> = {
  rescue: () => Promise.reject(new Error("a rescue was looked for, and no alias allows one")),
};

/** What tests of dispatch have no word about. */
export function quietParts() {
  return {
    render: RENDER,
    planRoutes: PLAN_ROUTES,
    ...NO_RESCUES,
    random: { next: () => 0 },
    log: logInto([]),
    metrics: metricsInto(new Map()),
    retry: { attemptsMax: 5, backoffBaseMs: 1, backoffMaxMs: 1, retryAfterMaxMs: 1000 },
    doubt: () => ({ policy: "retry", retryMaxNanoUsd: 2_000_000n }),
    mendable: () => false,
    mayStart: () => true,
    start: () => undefined,
    publish: () => undefined,
    fenced: () => undefined,
  } as const satisfies Partial<DispatchParts>;
}

/** A dispatch stage over a bench's ledger and session; the test adds its clock, and what it wants otherwise. */
export function dispatchParts({ ledger, session }: LedgerBench): Omit<DispatchParts, "clock"> {
  return {
    ...quietParts(),
    ledger,
    session,
    lines: DIRECT_ONLY,
    numbers: new NumberSource(() => ledger.takeNumbers()),
    ...placesOf(new Slots(new Map([["alpha", 8]]), () => 0)),
    claimSizeMax: 5,
    idlePollMs: 250,
  };
}
