import { expect, test } from "@jest/globals";
import type { WaitingExecution } from "../../src/domain/execution/execution.js";
import type { AttemptOutcome } from "../../src/domain/failure.js";
import { sessionNo } from "../../src/domain/ids.js";
import { DIRECT_ONLY } from "../../src/pipeline/batch/line-planner.js";
import { inDoubtOf } from "../../src/app/session/in-doubt-of.js";
import { DispatchStage, type DispatchParts } from "../../src/pipeline/dispatch/dispatch-stage.js";
import { NumberSource } from "../../src/pipeline/dispatch/number-source.js";
import { Slots } from "../../src/pipeline/dispatch/slots.js";
import type { ClaimVerdict, Ledger } from "../../src/ports/ledger.js";
import { placesOf, POLICY, workOf } from "../support/work.js";
import { NO_RESCUE, quietParts } from "./dispatch-fixture.js";

const NOW_MS = 1_800_000_000_000;
const RETRY_MAX_NANO_USD = 2_000_000n;

/** What dispatch says about an execution in doubt: its job's word, its account's, and what the doubtful call may have cost. */
async function verdictOn(
  job: "retry" | "fail" | null,
  doubt: DispatchParts["doubt"],
  maxNanoUsd: bigint,
  { betaPlaces = 4, outcome }: { readonly betaPlaces?: number; readonly outcome?: AttemptOutcome } = {},
): Promise<ClaimVerdict> {
  const { intent, format, bodyText, latestDeadlineMs } = workOf(7, NOW_MS);
  const waiting: WaitingExecution = {
    key: { day: 20_000, no: 7 },
    tenant: "catalogue",
    state: "in_doubt",
    format,
    policy: { ...POLICY, onDoubt: job },
    bodyText,
    history: [],
    nextRouteIndex: 0,
    dueAtMs: NOW_MS,
    waitedFor: "doubt",
    doubtful: { ...intent, maxNanoUsd },
    ...(outcome === undefined ? {} : { doubtfulOutcome: outcome }),
    latestDeadlineMs,
    nearestDeadlineMs: latestDeadlineMs,
    maxCostNanoUsd: null,
    mode: "auto",
  };
  const stop = { now: (): void => undefined };
  const verdicts: ClaimVerdict[] = [];
  const claim: Ledger["claim"] = (request, decide) => {
    if (request.pick === "run") {
      verdicts.push(decide(waiting));
      stop.now();
    }
    return Promise.resolve({ fenced: false, taken: 0, started: [], ended: [], outbox: [] });
  };
  const stage = new DispatchStage({
    ...quietParts(),
    ledger: { ...NO_RESCUE, claim, setAside: () => Promise.resolve(null) },
    session: sessionNo(1),
    lines: DIRECT_ONLY,
    numbers: new NumberSource(() => Promise.resolve({ from: 1000, count: 5000 })),
    ...placesOf(
      new Slots(
        new Map([
          ["alpha", 4],
          ["beta", betaPlaces],
        ]),
        () => 0,
      ),
    ),
    clock: { nowMs: () => NOW_MS, monotonicMs: () => 0, sleep: () => Promise.resolve() },
    claimSizeMax: 10,
    idlePollMs: 1,
    doubt,
  });
  stop.now = () => {
    stage.stop();
  };
  await stage.run();
  return verdicts[0]!;
}

test.each<["retry" | "fail" | null, "retry" | "fail", bigint, string]>([
  [null, "retry", 2_000_000n, "start"],
  [null, "fail", 2_000_000n, "IN_DOUBT"],
  ["retry", "retry", 2_000_000n, "start"],
  ["retry", "fail", 2_000_000n, "IN_DOUBT"],
  ["retry", "retry", 2_000_001n, "IN_DOUBT"],
  ["fail", "retry", 2_000_000n, "IN_DOUBT"],
  ["fail", "fail", 2_000_000n, "IN_DOUBT"],
])(
  "a doubt where the job says %s, the account %s and the call may have cost %s ends with %s",
  async (job, account, maxNanoUsd, then) => {
    const policy = () => ({ policy: account, retryMaxNanoUsd: RETRY_MAX_NANO_USD });
    const verdict = await verdictOn(job, policy, maxNanoUsd);
    if (then === "start") expect(verdict).toMatchObject({ kind: "start", intent: { number: 2, account: "beta" } });
    else expect(verdict).toMatchObject({ kind: "fail", failure: { code: then } });
  },
);

test("a doubt at an account that left the config ends by itself, without a second call", async () => {
  const inDoubt = { policy: "retry", retryMaxNanoUsd: RETRY_MAX_NANO_USD, graceMs: 1000 } as const;
  const verdict = await verdictOn(null, (account) => inDoubtOf(new Map([["beta", { inDoubt }]]), account), 1n);
  expect(verdict).toMatchObject({ kind: "fail", failure: { code: "IN_DOUBT" } });
});

test("a doubt that the policy pays again for is over, though the account of the next call has no place", async () => {
  const policy = () => ({ policy: "retry", retryMaxNanoUsd: RETRY_MAX_NANO_USD }) as const;
  const verdict = await verdictOn(null, policy, 1n, { betaPlaces: 0 });
  expect(verdict).toMatchObject({ kind: "wait", waitsFor: "concurrency", afterDoubt: 1 });
});

test.each<[AttemptOutcome, string, string]>([
  ["bad_response", "PROVIDER_BAD_RESPONSE", "can't be read"],
  ["timed_out", "IN_DOUBT", "was cut off"],
])("a doubt about a call that came to %s fails with %s", async (outcome, code, words) => {
  const policy = () => ({ policy: "fail", retryMaxNanoUsd: RETRY_MAX_NANO_USD }) as const;
  const verdict = await verdictOn(null, policy, 1n, { outcome });
  expect(verdict).toMatchObject({ kind: "fail", failure: { code, message: expect.stringContaining(words) } });
});
