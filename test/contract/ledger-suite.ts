import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { digestOf, JOBS_TOPIC, RENDER } from "../support/simulation/fixture.js";
import {
  ANSWER_NANO_USD,
  answerTo,
  codesIn,
  costsIn,
  eventsIn,
  failureOf,
  LedgerBench,
  recordsOf,
  resultsIn,
  stagesIn,
  type OpenLedger,
} from "./ledger-bench.js";
import type { AlertLedger } from "../../src/ports/alert-ledger.js";
import { alertCases } from "./ledger-alert-cases.js";
import { deliveryCases } from "./ledger-delivery-cases.js";
import { dispatchCases } from "./ledger-dispatch-cases.js";
import { endingCases } from "./ledger-ending-cases.js";
import { healthCases } from "./ledger-health-cases.js";
import { joiningCases } from "./ledger-joining-cases.js";
import { replayCases, type OperatorSide } from "./ledger-replay-cases.js";
import { turnCases } from "./ledger-turn-cases.js";
import type { Renderer } from "../../src/domain/result/outgoing.js";
import type { HealthStore } from "../../src/ports/health-store.js";
import type { Ledger } from "../../src/ports/ledger.js";

const WISH = { jobId: "a", tenant: "catalogue", prompt: "why" } as const;
const BROKEN: Renderer = {
  ...RENDER,
  end: () => {
    throw new Error("the process dies here");
  },
};

/** A ledger under test, and what operators' commands do in it. */
export interface SuiteLedger extends OpenLedger {
  readonly ledger: Ledger & HealthStore;
  readonly operator: OperatorSide;
  readonly alerts: AlertLedger;
}

/** One suite of cases for every ledger: what the simulation's says is worth as much as these cases. */
export function ledgerSuite(name: string, open: () => Promise<SuiteLedger>): void {
  describe(name, () => {
    let opened: SuiteLedger;
    let bench: LedgerBench;
    // The bench of the case that runs, for cases in other files.
    const at = {
      get bench(): LedgerBench {
        return bench;
      },
      get health(): HealthStore {
        return opened.ledger;
      },
      get operator(): OperatorSide {
        return opened.operator;
      },
      get alerts(): AlertLedger {
        return opened.alerts;
      },
    };

    beforeEach(async () => {
      opened = await open();
      bench = await LedgerBench.start(opened);
    });
    afterEach(async () => {
      await opened.close();
    });

    const nextNumber = async (): Promise<number> => (await bench.ledger.position(JOBS_TOPIC, 0))?.next ?? -1;

    describe("accept", () => {
      test("starts a job with an intent, lets one without wait, and moves the position past both", async () => {
        const jobs = [await bench.job(WISH, true), await bench.job({ ...WISH, jobId: "b", prompt: "how" }, false)];
        expect((await bench.accept(jobs)).kinds).toEqual(["started", "queued"]);
        expect(await nextNumber()).toBe(2);
        expect((await bench.ledger.load({ readyRows: 10, outboxRows: 10 }, [])).readyRows).toBe(1);
      });

      test("refuses a group that was accepted, as moved, and keeps nothing of it", async () => {
        const group = await bench.group([await bench.job(WISH, true, 0)]);
        expect(await bench.ledger.accept(group, RENDER)).toMatchObject({ kind: "accepted" });
        expect(await bench.ledger.accept(group, RENDER)).toEqual({ kind: "moved", partitions: group.moves });
        expect(await nextNumber()).toBe(1);
      });

      test("takes a record again to which an operator has set the position back, without a second job", async () => {
        await bench.accept([await bench.job(WISH, true, 0)]);
        await opened.operator.adopt(0);
        bench.adoptions = 1;
        expect((await bench.accept([await bench.job(WISH, true, 0)])).kinds).toEqual(["redelivered"]);
        expect(await nextNumber()).toBe(1);
      });

      test("refuses a group that was read before the log was adopted, though it begins where the new log's position is", async () => {
        await bench.accept([await bench.job(WISH, true, 0)]);
        const late = await bench.group([await bench.job({ ...WISH, jobId: "old" }, true, 1)]);
        await opened.operator.adopt(0);
        bench.adoptions = 1;
        await bench.accept([await bench.job({ ...WISH, jobId: "new" }, true, 0)]);
        expect(await bench.ledger.accept(late, RENDER)).toEqual({ kind: "moved", partitions: late.moves });
        expect(await bench.ledger.position(JOBS_TOPIC, 0)).toMatchObject({ next: 1, adoptions: 1 });
      });

      test("joins identical requests of one tenant to one execution, in a group and across groups", async () => {
        const jobs = [
          await bench.job(WISH, true),
          await bench.job({ ...WISH, jobId: "b" }, true),
          await bench.job({ ...WISH, jobId: "c", tenant: "shop" }, true),
        ];
        expect((await bench.accept(jobs)).kinds).toEqual(["started", "joined", "started"]);
        expect((await bench.accept([await bench.job({ ...WISH, jobId: "d" }, true)])).kinds).toEqual(["joined"]);
      });

      test("opens an execution for each job that wants one of its own", async () => {
        const jobs = [
          await bench.job({ ...WISH, dedupe: false }, true),
          await bench.job({ ...WISH, jobId: "b", dedupe: false }, true),
        ];
        expect((await bench.accept(jobs)).kinds).toEqual(["started", "started"]);
      });

      test("ends a job at once whose deadline has passed", async () => {
        const { kinds, outbox } = await bench.accept([await bench.job({ ...WISH, ttlMs: 0 }, true)]);
        expect(kinds).toEqual(["expired"]);
        expect(resultsIn(outbox)).toMatchObject([{ status: "expired", code: "DEADLINE_EXCEEDED" }]);
        expect(codesIn(outbox)).toEqual(["DEADLINE_EXCEEDED"]);
        expect(stagesIn(outbox)).toEqual(["intake"]);
      });

      test("dead-letters a known id with another body, and leaves the first job alone", async () => {
        await bench.start(WISH);
        const { kinds, outbox } = await bench.accept([await bench.job({ ...WISH, prompt: "another" }, true)]);
        expect(kinds).toEqual(["conflict"]);
        expect(codesIn(outbox)).toEqual(["ID_CONFLICT"]);
        expect(eventsIn(outbox)).toMatchObject([{ kind: "job.id_conflict", tenant: "catalogue", jobId: "a" }]);
      });

      test("dead-letters another body under a known id at the same place too: the topic was made anew", async () => {
        await bench.accept([await bench.job(WISH, true, 0)]);
        await opened.operator.adopt(0);
        bench.adoptions = 1;
        const { kinds, outbox } = await bench.accept([await bench.job({ ...WISH, prompt: "another" }, true, 0)]);
        expect(kinds).toEqual(["conflict"]);
        expect(codesIn(outbox)).toEqual(["ID_CONFLICT"]);
      });

      test("publishes what became no job", async () => {
        const refused = await bench.refused(0);
        const { outbox } = await bench.accept([], {
          refused: [refused],
          moves: [{ topic: JOBS_TOPIC, partition: 0, since: 0, upto: 1, witness: Buffer.alloc(8) }],
        });
        expect(codesIn(outbox)).toEqual(["BAD_JSON"]);
        expect(await nextNumber()).toBe(1);
      });

      /** What became no job, at offsets 0 to `upto - 1`. */
      const unreadable = async (upto: number) =>
        bench.group([], {
          refused: await Promise.all(Array.from({ length: upto }, (_unused, offset) => bench.refused(offset))),
          moves: [{ topic: JOBS_TOPIC, partition: 0, since: 0, upto, witness: Buffer.alloc(8) }],
        });

      test("refuses a group that begins below the position, though it brings more: what lies below may be another log's", async () => {
        await bench.ledger.accept(await unreadable(1), RENDER);
        expect(await bench.ledger.accept(await unreadable(3), RENDER)).toMatchObject({ kind: "moved" });
        expect(await nextNumber()).toBe(1);
        const jobs = [await bench.job(WISH, true, 1)];
        expect((await bench.accept(jobs)).kinds).toEqual(["started"]);
      });

      test("takes one of several groups that begin at the same place at once", async () => {
        const groups = await Promise.all([2, 3, 4].map(unreadable));
        const outcomes = await Promise.all(groups.map((group) => bench.ledger.accept(group, RENDER)));
        expect(outcomes.map(({ kind }) => kind).sort()).toEqual(["accepted", "moved", "moved"]);
        const [letters] = outcomes.flatMap((outcome) => (outcome.kind === "accepted" ? [codesIn(outcome.outbox)] : []));
        expect(letters).toHaveLength(await nextNumber());
      });

      test("refuses a group of several partitions when one of them has moved, and keeps nothing of the others", async () => {
        await bench.ledger.openPosition(JOBS_TOPIC, 1, 0);
        await bench.ledger.accept(await unreadable(1), RENDER);
        const move = { topic: JOBS_TOPIC, partition: 1, since: 0, upto: 5, witness: Buffer.alloc(8) };
        const both = await bench.group([await bench.job(WISH, true, 0)], { moves: [move, { ...move, partition: 0 }] });
        expect(await bench.ledger.accept(both, RENDER)).toEqual({ kind: "moved", partitions: both.moves });
        expect((await bench.ledger.position(JOBS_TOPIC, 1))?.next).toBe(0);
        expect((await bench.accept([await bench.job(WISH, true, 1)])).kinds).toEqual(["started"]);
      });

      test("refuses a group that begins beyond the position, and keeps nothing of it", async () => {
        const group = await bench.group([await bench.job(WISH, true, 3)]);
        expect(await bench.ledger.accept(group, RENDER)).toMatchObject({
          kind: "moved",
          partitions: [{ topic: JOBS_TOPIC, partition: 0 }],
        });
        expect(await nextNumber()).toBe(0);
        expect((await bench.accept([await bench.job(WISH, true, 0)])).kinds).toEqual(["started"]);
      });

      test("refuses a session that has ended", async () => {
        const group = await bench.group([await bench.job(WISH, true)]);
        await bench.ledger.endSession(bench.session);
        expect(await bench.ledger.accept(group, RENDER)).toEqual({ kind: "fenced" });
        expect(await nextNumber()).toBe(0);
      });

      test("keeps nothing of a group that breaks off between two statements", async () => {
        const group = await bench.group([
          await bench.job(WISH, true, 0),
          await bench.job({ ...WISH, jobId: "b", ttlMs: 0 }, true, 1),
        ]);
        await expect(bench.ledger.accept(group, BROKEN)).rejects.toThrow("the process dies here");
        expect(await nextNumber()).toBe(0);
        expect(await bench.ledger.accept(group, RENDER)).toMatchObject({
          kind: "accepted",
          jobs: [{ kind: "started" }, { kind: "expired" }],
        });
      });
    });

    describe("finish", () => {
      test("answers all jobs of an execution, charges one and shares with the others", async () => {
        const held = await bench.start(WISH);
        await bench.accept([await bench.job({ ...WISH, jobId: "b" }, true)]);
        const { outbox, waste } = await bench.finish([bench.ended(held, answerTo("why"))]);
        expect(resultsIn(outbox)).toEqual([
          { jobId: "a", status: "succeeded", served: "call", digest: digestOf("why"), code: null },
          { jobId: "b", status: "succeeded", served: "coalesced", digest: digestOf("why"), code: null },
        ]);
        expect(costsIn(outbox)).toEqual([
          { kind: "charge", billing: "charged", nanoUsd: ANSWER_NANO_USD.toString() },
          { kind: "charge", billing: "shared", nanoUsd: "0" },
        ]);
        expect(waste).toBe(0);
      });

      test("changes nothing when it is repeated", async () => {
        const held = await bench.start(WISH);
        const call = bench.ended(held, answerTo("why"));
        await bench.finish([call]);
        expect(await bench.finish([call])).toEqual({ ended: [], outbox: [], waste: 0 });
      });

      test("keeps nothing when it breaks off between two statements, and can be repeated", async () => {
        const held = await bench.start(WISH);
        const group = { session: bench.session, nowMs: bench.nowMs(), calls: [bench.ended(held, answerTo("why"))] };
        await expect(bench.ledger.finish(group, BROKEN)).rejects.toThrow("the process dies here");
        expect(resultsIn((await bench.ledger.finish(group, RENDER)).outbox)).toHaveLength(1);
      });

      test("answers a later identical job from the stored answer, without a call", async () => {
        await bench.finish([bench.ended(await bench.start(WISH), answerTo("why"))]);
        const { kinds, outbox } = await bench.accept([await bench.job({ ...WISH, jobId: "b" }, true)]);
        expect(kinds).toEqual(["cached"]);
        expect(resultsIn(outbox)).toMatchObject([{ served: "exact_cache", digest: digestOf("why") }]);
        expect(costsIn(outbox)).toEqual([{ kind: "charge", billing: "cached", nanoUsd: "0" }]);
      });

      test("opens a new execution for a job that takes no stored answer", async () => {
        await bench.finish([bench.ended(await bench.start(WISH), answerTo("why"))]);
        expect((await bench.accept([await bench.job({ ...WISH, jobId: "b", cacheRead: false }, true)])).kinds).toEqual([
          "started",
        ]);
      });

      test("never joins an ended execution: a job that takes no stored answer is not carried along by one that does", async () => {
        await bench.finish([bench.ended(await bench.start(WISH), answerTo("why"))]);
        const jobs = [
          await bench.job({ ...WISH, jobId: "b" }, true),
          await bench.job({ ...WISH, jobId: "c", cacheRead: false }, true),
        ];
        expect((await bench.accept(jobs)).kinds).toEqual(["cached", "started"]);
      });

      test("puts a failed call back as a row for the next attempt", async () => {
        const held = await bench.start(WISH);
        await bench.finish([bench.ended(held, failureOf("overloaded", "answered", 500))]);
        const intent = await bench.intent(2);
        const claimed = await bench.claim(() => ({ kind: "start", intent }));
        expect(claimed.started).toMatchObject([
          {
            execution: { key: held.execution, state: "ready", history: [{ number: 1, outcome: "overloaded" }] },
            intent: { no: intent.no },
          },
        ]);
      });

      test("ends the jobs and dead-letters them when the request itself is refused", async () => {
        const { outbox } = await bench.finish([
          bench.ended(await bench.start(WISH), failureOf("refused", "answered", 400)),
        ]);
        expect(resultsIn(outbox)).toMatchObject([{ status: "failed", code: "PROVIDER_REFUSED", digest: null }]);
        expect(codesIn(outbox)).toEqual(["PROVIDER_REFUSED"]);
        expect(stagesIn(outbox)).toEqual(["dispatch"]);
        expect(costsIn(outbox)).toEqual([]);
      });

      test("answers every job that joined at the same moment", async () => {
        for (let round = 0; round < 10; round += 1) {
          const wish = { ...WISH, jobId: `first-${String(round)}`, prompt: `why ${String(round)}` };
          const held = await bench.start(wish);
          const joiner = await bench.group([await bench.job({ ...wish, jobId: `second-${String(round)}` }, false)]);
          const [accepted, finished] = await Promise.all([
            bench.ledger.accept(joiner, RENDER),
            bench.finish([bench.ended(held, answerTo(wish.prompt))]),
          ]);
          const outbox = [...(accepted.kind === "accepted" ? accepted.outbox : []), ...finished.outbox];
          expect(resultsIn(outbox).map(({ digest }) => digest)).toEqual([digestOf(wish.prompt), digestOf(wish.prompt)]);
        }
      });
    });

    describe("repeats of a known job", () => {
      test("get its result again at once when it has ended, byte for byte", async () => {
        const { outbox } = await bench.finish([bench.ended(await bench.start(WISH), answerTo("why"))]);
        const again = await bench.accept([await bench.job(WISH, true)]);
        expect(again.kinds).toEqual(["repeated"]);
        expect(recordsOf(again.outbox, "repeat").map(({ value }) => value)).toEqual(
          recordsOf(outbox, "result").map(({ value }) => value),
        );
      });

      test("get its result when it ends", async () => {
        const held = await bench.start(WISH);
        expect((await bench.accept([await bench.job(WISH, true)])).kinds).toEqual(["repeated"]);
        const { outbox } = await bench.finish([bench.ended(held, answerTo("why"))]);
        expect(recordsOf(outbox, "repeat").map(({ value }) => value)).toEqual(
          recordsOf(outbox, "result").map(({ value }) => value),
        );
      });
    });

    dispatchCases(at);
    deliveryCases(at);
    endingCases(at);
    joiningCases(at);
    turnCases(at);
    replayCases(at);
    alertCases(at);
    healthCases(at);

    test("numbers are never given out twice", async () => {
      const blocks = await Promise.all(Array.from({ length: 5 }, () => bench.ledger.takeNumbers()));
      const ranges = blocks.map(({ from, count }) => ({ from, to: from + count })).sort((a, b) => a.from - b.from);
      ranges.slice(1).forEach(({ from }, index) => {
        expect(from).toBeGreaterThanOrEqual(ranges[index]?.to ?? 0);
      });
    });
  });
}
