import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import type { ClaimVerdict } from "../../src/ports/ledger.js";
import { RENDER, type JobWish } from "../support/simulation/fixture.js";
import { codesIn, LedgerBench, resultsIn, type OpenLedger } from "./ledger-bench.js";

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

/** More jobs wait for one execution than one transaction ends. @param open a ledger with this `waitersMax`. */
export function waitersLedgerSuite(name: string, open: (waitersMax: number) => Promise<OpenLedger>): void {
  describe(name, () => {
    let opened: OpenLedger;
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
      expect((await bench.ledger.answerStragglers(bench.session, bench.nowMs(), RENDER)).ended).toEqual([]);
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
