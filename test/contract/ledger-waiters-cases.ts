import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import type { Failure } from "../../src/domain/failure.js";
import type { LedgerKey } from "../../src/domain/ids.js";
import type { ClaimVerdict } from "../../src/ports/ledger.js";
import { RENDER, type JobWish } from "../support/simulation/fixture.js";
import { answerTo, codesIn, LedgerBench, resultsIn, type OpenLedger } from "./ledger-bench.js";

const WAITERS_MAX = 2;
/** What one transaction ends of one execution's jobs. */
const AT_ONCE = WAITERS_MAX + 1;
const WISH = { tenant: "catalogue", prompt: "why" } as const;
const SOON = { ttlMs: 10_000 } as const;
const LATE = { ttlMs: 600_000 } as const;
/** After the deadline of `SOON`, before that of `LATE`. */
const LATER_MS = 11_000;
const JOB_IDS = ["a", "b", "c", "d", "e", "f", "g"];
const FAIL: ClaimVerdict = {
  kind: "fail",
  failure: { code: "NO_ROUTE", message: "nobody can", provider: null, retryAtMs: null },
};

export interface WaitersLedger extends OpenLedger {
  /** What no transaction does: ends an execution, and none of its jobs. `dropped` has neither answer nor failure. */
  readonly endAlone: (execution: LedgerKey, state: "failed" | "dropped", endedMs: number) => Promise<void>;
}

/** Why an execution failed that was ended alone. */
export const ENDED_ALONE: Failure = {
  code: "PROVIDER_LOST",
  message: "it is gone",
  provider: null,
  retryAtMs: null,
};

const EVERY_MS = 2000;
const GRACE_MS = 60_000;

/** More jobs wait for one execution than one transaction ends. @param open a ledger with this `waitersMax`. */
export function waitersLedgerSuite(name: string, open: (waitersMax: number) => Promise<WaitersLedger>): void {
  describe(name, () => {
    let opened: WaitersLedger;
    let bench: LedgerBench;
    beforeEach(async () => {
      opened = await open(WAITERS_MAX);
      bench = await LedgerBench.start(opened);
    });
    afterEach(() => opened.close());

    /** The first of them opens an execution that waits as a row, the others join it. */
    async function queue(wishes: readonly Partial<JobWish>[]): Promise<void> {
      const jobs = [];
      // Serial: each takes the next offset.
      for (const wish of wishes) jobs.push(await bench.job({ jobId: "a", ...WISH, ...wish }, false));
      const { kinds } = await bench.accept(jobs);
      expect(kinds).toEqual(["queued", ...wishes.slice(1).map(() => "joined")]);
    }
    const notAsked = (): never => {
      throw new Error("nothing is decided while jobs wait that have no time left");
    };

    test("an execution that fails while it waits ends so many; the sweep ends the rest in the same way", async () => {
      await queue(JOB_IDS.map((jobId) => ({ jobId })));
      const { outbox } = await bench.claim(() => FAIL);
      expect(resultsIn(outbox)).toHaveLength(AT_ONCE);
      const swept = await bench.ledger.answerStragglers(bench.session, bench.nowMs(), RENDER);
      const results = resultsIn([...outbox, ...swept.outbox]);
      expect(results).toMatchObject(JOB_IDS.map((jobId) => ({ jobId, status: "failed", code: "NO_ROUTE" })));
      expect(codesIn([...outbox, ...swept.outbox])).toEqual(JOB_IDS.map(() => "NO_ROUTE"));
      expect(swept.unanswered).toBe(JOB_IDS.length - AT_ONCE);
      expect(await bench.ledger.answerStragglers(bench.session, bench.nowMs(), RENDER)).toMatchObject({
        ended: [],
        unanswered: 0,
      });
    });

    describe("jobs that wait for an execution which has ended, and of which nobody has noted it", () => {
      const sweep = (aheadMs = 0) => bench.ledger.answerStragglers(bench.session, bench.nowMs() + aheadMs, RENDER);

      /** The execution that waits. */
      async function theWaiting(): Promise<LedgerKey> {
        const seen: LedgerKey[] = [];
        const later = { kind: "wait", runAtMs: bench.nowMs() + 600_000, waitsFor: "backoff" } as const;
        await bench.claim(
          ({ key }) => {
            seen.push(key);
            return later;
          },
          "run",
          0,
        );
        const [key] = seen;
        if (key === undefined) throw new Error("expected an execution that waits");
        return key;
      }

      /** As many looks as a round of the days takes that an empty ledger has, each when it is due. */
      async function round(fromMs: number): Promise<number> {
        let found = 0;
        for (let look = 0; look < 5; look += 1) {
          // Serial: each goes on where the one before ended.
          const nowMs = bench.nowMs() + fromMs + look * EVERY_MS;
          found += await bench.ledger.noteStragglers({ nowMs, everyMs: EVERY_MS, graceMs: GRACE_MS });
        }
        return found;
      }

      test.each([
        ["failed", "PROVIDER_LOST"],
        ["dropped", "INTERNAL"],
      ] as const)("are found once the grace is over, and answered by its stored end: %s", async (state, code) => {
        await queue(JOB_IDS.slice(0, 3).map((jobId) => ({ jobId })));
        await opened.endAlone(await theWaiting(), state, bench.nowMs());
        expect([await round(0), (await sweep()).unanswered]).toEqual([0, 0]);
        // Once: what is noted is the sweep's.
        expect([await round(GRACE_MS + 1000), await round(2 * GRACE_MS)]).toEqual([3, 0]);
        const swept = await sweep();
        expect(swept.unanswered).toBe(3);
        expect(resultsIn(swept.outbox)).toMatchObject(
          JOB_IDS.slice(0, 3).map((jobId) => ({ jobId, status: "failed", code })),
        );
        expect(codesIn(swept.outbox)).toEqual([code, code, code]);
        expect([await round(3 * GRACE_MS), (await sweep()).ended]).toEqual([0, []]);
      });

      test("are ended as expired when their deadline has passed", async () => {
        await queue([{ jobId: "a", ...SOON }]);
        await opened.endAlone(await theWaiting(), "failed", bench.nowMs());
        await round(GRACE_MS + 1000);
        expect(resultsIn((await sweep(LATER_MS)).outbox)).toMatchObject([
          { status: "expired", code: "DEADLINE_EXCEEDED" },
        ]);
      });

      test("are found once by routers that look at the same time, and where there are none nothing is", async () => {
        const nowMs = bench.nowMs() + 2 * GRACE_MS;
        const looks = async (): Promise<number> => {
          const look = { nowMs, everyMs: 0, graceMs: GRACE_MS };
          const found = await Promise.all([1, 2, 3, 4].map(() => bench.ledger.noteStragglers(look)));
          return found.reduce((sum, one) => sum + one, 0);
        };
        const rounds = async (): Promise<number> =>
          (await looks()) + (await looks()) + (await looks()) + (await looks());
        await queue([{ jobId: "a" }, { jobId: "b" }]);
        const held = await bench.start({ jobId: "c", ...WISH, prompt: "how" });
        await bench.finish([bench.ended(held, answerTo("how"))]);
        expect(await rounds()).toBe(0);
        await opened.endAlone(await theWaiting(), "failed", bench.nowMs());
        expect(await rounds()).toBe(2);
      });
    });

    test.each(["expire", "run"] as const)(
      "a claim to %s expires so many; the next ones take the rest",
      async (pick) => {
        await queue(JOB_IDS.map((jobId) => ({ jobId, ...SOON })));
        const ended: ReturnType<typeof resultsIn>[] = [];
        for (let look = 0; look < 3; look += 1) {
          // Serial: each finds what the one before has left.
          ended.push(resultsIn((await bench.claim(notAsked, pick, LATER_MS)).outbox));
        }
        expect(ended.map(({ length }) => length)).toEqual([AT_ONCE, AT_ONCE, 1]);
        const results = ended.flat().sort((one, other) => (one.jobId < other.jobId ? -1 : 1));
        expect(results).toMatchObject(
          JOB_IDS.map((jobId) => ({ jobId, status: "expired", code: "DEADLINE_EXCEEDED" })),
        );
        expect((await bench.claim(notAsked, pick, LATER_MS)).taken).toBe(0);
      },
    );

    test("a job with more time gets its call once those are ended that have none", async () => {
      await queue([...JOB_IDS.slice(1).map((jobId) => ({ jobId, ...SOON })), { jobId: "a", ...LATE }]);
      for (let look = 1; look <= 2; look += 1) {
        // Serial: the second finds what the first has left.
        const { ended, started } = await bench.claim(
          look === 1 ? notAsked : startOne(await bench.intent(1)),
          "run",
          LATER_MS,
        );
        expect(ended).toHaveLength(AT_ONCE);
        expect(started).toHaveLength(look - 1);
      }
    });

    test("a call in the air: so many of its jobs expire at once, and it says that more are left", async () => {
      const held = await bench.start({ jobId: "a", ...WISH, ...SOON });
      const joining = [];
      // Serial: each takes the next offset.
      for (const jobId of JOB_IDS.slice(1)) joining.push(await bench.job({ jobId, ...WISH, ...SOON }, true));
      await bench.accept(joining);
      const looks = [];
      for (let look = 0; look < 3; look += 1) {
        // Serial: each finds what the one before has left.
        const nowMs = bench.nowMs() + LATER_MS;
        looks.push(await bench.ledger.expire(bench.session, [held.execution], nowMs, RENDER));
      }
      expect(looks.map(({ ended, more }) => [ended.length, more])).toEqual([
        [AT_ONCE, true],
        [AT_ONCE, true],
        [1, false],
      ]);
    });
  });
}

function startOne(intent: Extract<ClaimVerdict, { readonly kind: "start" }>["intent"]): () => ClaimVerdict {
  return () => ({ kind: "start", intent });
}
