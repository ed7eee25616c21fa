import { describe, expect, test } from "@jest/globals";
import { digestOf, RENDER } from "../support/simulation/fixture.js";
import type { ResultDocument } from "../../src/domain/result/result-document.js";
import type { CancelRequest, FinishedCall, OutboxGroup } from "../../src/ports/ledger.js";
import {
  ANSWER_NANO_USD,
  answerTo,
  costsIn,
  failureOf,
  recordsOf,
  resultsIn,
  type Held,
  type LedgerBench,
} from "./ledger-bench.js";

const WISH = { jobId: "a", tenant: "catalogue", prompt: "why" } as const;
/** How long the executions of these cases wait, and a deadline before and one after that. */
const WAIT_MS = 60_000;
const SOON = { ttlMs: 10_000 } as const;
const LATE = { ttlMs: 600_000 } as const;

/** Cases of the ledger's suite about who joins what. `at.bench` is new for each case. */
export function joiningCases(at: { readonly bench: LedgerBench }): void {
  /** Its call failed and is tried again after `WAIT_MS`. */
  const letWait = async (held: Held): Promise<void> => {
    const call: FinishedCall = {
      ...at.bench.ended(held, failureOf("rate_limited", "answered", 429)),
      verdict: { kind: "again", runAtMs: at.bench.nowMs() + WAIT_MS, routeIndex: 0, waitsFor: "retry_after" },
    };
    await at.bench.finish([call]);
  };
  const putInDoubt = async (held: Held): Promise<void> => {
    const call: FinishedCall = {
      ...at.bench.ended(held, failureOf("connection_failed", "perhaps", null)),
      verdict: { kind: "doubt", settleAtMs: at.bench.nowMs() + WAIT_MS },
    };
    await at.bench.finish([call]);
  };
  const accept = async (...wishes: readonly object[]): Promise<readonly string[]> => {
    const jobs = [];
    // Serial: each takes the next offset.
    for (const wish of wishes) jobs.push(await at.bench.job({ ...WISH, ...wish }, true));
    return (await at.bench.accept(jobs)).kinds;
  };
  const answer = async (held: Held) =>
    resultsIn((await at.bench.finish([at.bench.ended(held, answerTo("why"))])).outbox);

  describe("a job in a hurry", () => {
    test("gets a call of its own beside one that waits longer than its deadline; each answers its own jobs", async () => {
      const ordinary = await at.bench.start({ ...WISH, ...LATE });
      await letWait(ordinary);
      const express = await at.bench.start({ ...WISH, ...SOON, jobId: "b" });
      expect(await accept({ ...SOON, jobId: "c" }, { ...LATE, jobId: "d" })).toEqual(["joined", "joined"]);
      expect(await answer(express)).toEqual([
        { jobId: "b", status: "succeeded", served: "call", digest: digestOf("why"), code: null },
        { jobId: "c", status: "succeeded", served: "coalesced", digest: digestOf("why"), code: null },
      ]);
      const intent = await at.bench.intent(2);
      const { started } = await at.bench.claim(() => ({ kind: "start", intent }), "run", WAIT_MS);
      expect(started).toHaveLength(1);
      expect(await answer({ ...ordinary, intent })).toMatchObject([
        { jobId: "a", served: "call" },
        { jobId: "d", served: "coalesced" },
      ]);
    });

    test("leaves its answer to all later jobs, also while the ordinary one waits", async () => {
      await letWait(await at.bench.start({ ...WISH, ...LATE }));
      await answer(await at.bench.start({ ...WISH, ...SOON, jobId: "b" }));
      expect(await accept({ ...SOON, jobId: "c" }, { ...LATE, jobId: "d" })).toEqual(["cached", "cached"]);
      expect(await accept({ ...SOON, jobId: "e", cacheRead: false })).toEqual(["started"]);
      expect(await accept({ ...LATE, jobId: "f", cacheRead: false })).toEqual(["joined"]);
    });

    test("is told apart from the others of its group", async () => {
      await letWait(await at.bench.start({ ...WISH, ...LATE }));
      expect(await accept({ ...LATE, jobId: "b" }, { ...SOON, jobId: "c" }, { ...SOON, jobId: "d" })).toEqual([
        "joined",
        "started",
        "joined",
      ]);
    });

    test("joins the express call even when that waits, too: there is no third", async () => {
      await letWait(await at.bench.start({ ...WISH, ...LATE }));
      await letWait(await at.bench.start({ ...WISH, ...SOON, jobId: "b" }));
      expect(await accept({ ...SOON, jobId: "c" })).toEqual(["joined"]);
    });

    test("opens the express lane anew when its last call failed for good", async () => {
      await letWait(await at.bench.start({ ...WISH, ...LATE }));
      const express = await at.bench.start({ ...WISH, ...SOON, jobId: "b" });
      await at.bench.finish([at.bench.ended(express, failureOf("refused", "answered", 400))]);
      expect(await accept({ ...SOON, jobId: "c" })).toEqual(["started"]);
      expect(await accept({ ...LATE, jobId: "d" })).toEqual(["joined"]);
    });

    test("opens one express call with another that comes at the same moment", async () => {
      await letWait(await at.bench.start({ ...WISH, ...LATE }));
      const jobs = [
        await at.bench.job({ ...WISH, ...SOON, jobId: "b" }, true),
        await at.bench.job({ ...WISH, ...SOON, jobId: "c" }, true),
      ];
      // Without moves, since two groups of one partition go one after the other.
      const groups = await Promise.all(jobs.map((job) => at.bench.accept([job], { moves: [] })));
      expect(groups.flatMap(({ kinds }) => kinds).sort()).toEqual(["joined", "started"]);
    });
  });

  describe("a call in doubt", () => {
    test("gets an express one beside it for a job that can't wait for its grace, when it may be paid twice", async () => {
      await putInDoubt(await at.bench.start({ ...WISH, ...LATE }));
      expect(await accept({ ...SOON, jobId: "b" }, { ...LATE, jobId: "c" })).toEqual(["started", "joined"]);
      expect(await accept({ ...LATE, jobId: "d" })).toEqual(["joined"]);
    });

    test.each([
      ["nothing is risked beside it", null],
      ["it may have cost more than is risked", 1_999_999n],
    ])("is joined when %s, and the job expires at its own deadline", async (_name, riskNanoUsd) => {
      await putInDoubt(await at.bench.start({ ...WISH, ...LATE }));
      const job = { ...(await at.bench.job({ ...WISH, ...SOON, jobId: "b" }, true)), riskNanoUsd };
      expect((await at.bench.accept([job])).kinds).toEqual(["joined"]);
      const runAtMs = at.bench.nowMs() + WAIT_MS;
      const { outbox } = await at.bench.claim(() => ({ kind: "wait", runAtMs, waitsFor: "doubt" }), "expire", 11_000);
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "b", status: "expired", code: "DEADLINE_EXCEEDED" }]);
    });
  });

  describe("a job that joined a call with more time than the one that began it", () => {
    /** After the deadline of `SOON`, before that of `LATE`. */
    const LATER_MS = 11_000;
    /** The call failed when no time was left for the job that began it; after that time another try would come. */
    const failAtDeadline = (held: Held, waitMs = 0) => {
      const call = at.bench.ended(held, failureOf("overloaded", "answered", 500), 0);
      const { verdict } = call;
      if (verdict.kind !== "fail" || verdict.givenTime === null) throw new Error("time would have changed nothing");
      const nowMs = at.bench.nowMs() + LATER_MS;
      const givenTime = { ...verdict.givenTime, runAtMs: nowMs + waitMs };
      const group = { session: at.bench.session, nowMs, calls: [{ ...call, verdict: { ...verdict, givenTime } }] };
      return at.bench.ledger.finish(group, RENDER);
    };
    const noneIsTaken = (): never => {
      throw new Error("asked about an execution that is over");
    };

    test("gets the next try when that call fails; the other expires alone", async () => {
      const held = await at.bench.start({ ...WISH, ...SOON });
      expect(await accept({ ...LATE, jobId: "b" })).toEqual(["joined"]);
      expect(await failAtDeadline(held)).toEqual({ ended: [], outbox: [], waste: 0 });
      const intent = await at.bench.intent(2);
      const { outbox, started } = await at.bench.claim(() => ({ kind: "start", intent }), "run", LATER_MS);
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "expired", code: "DEADLINE_EXCEEDED" }]);
      expect(started).toMatchObject([{ execution: { history: [{ outcome: "overloaded" }], nextRouteIndex: 1 } }]);
      expect(await answer({ ...held, intent })).toEqual([
        { jobId: "b", status: "succeeded", served: "call", digest: digestOf("why"), code: null },
      ]);
    });

    test("is joined by later ones meanwhile: the execution waits as any other", async () => {
      const held = await at.bench.start({ ...WISH, ...SOON });
      await accept({ ...LATE, jobId: "b" });
      await failAtDeadline(held);
      expect(await accept({ ...LATE, jobId: "c" })).toEqual(["joined"]);
    });

    test("fails with it when the next try would come at its own deadline or later", async () => {
      const held = await at.bench.start({ ...WISH, ...SOON });
      await accept({ ttlMs: 20_000, jobId: "b" });
      expect(resultsIn((await failAtDeadline(held, 20_000)).outbox)).toMatchObject([
        { jobId: "a", status: "expired" },
        { jobId: "b", status: "failed", code: "PROVIDER_UNAVAILABLE" },
      ]);
      expect((await at.bench.claim(noneIsTaken)).taken).toBe(0);
    });

    test("fails with it when that was the last try, or the request itself was refused", async () => {
      const held = await at.bench.start({ ...WISH, ...SOON });
      await accept({ ...LATE, jobId: "b" });
      const { outbox } = await at.bench.finish([at.bench.ended(held, failureOf("refused", "answered", 400), 0)]);
      expect(resultsIn(outbox)).toMatchObject([
        { jobId: "a", code: "PROVIDER_REFUSED" },
        { jobId: "b", code: "PROVIDER_REFUSED" },
      ]);
    });

    test("is not failed by it either when it joins at the very moment", async () => {
      for (let round = 0; round < 10; round += 1) {
        const wish = { ...WISH, jobId: `first-${String(round)}`, prompt: `why ${String(round)}` };
        const held = await at.bench.start({ ...wish, ...SOON });
        const joiner = await at.bench.job({ ...wish, ...LATE, jobId: `second-${String(round)}` }, false);
        const [accepted, finished] = await Promise.all([at.bench.accept([joiner]), failAtDeadline(held)]);
        const outbox = [...accepted.outbox, ...finished.outbox];
        expect(resultsIn(outbox).filter(({ jobId }) => jobId.startsWith("second"))).toEqual([]);
        const intent = await at.bench.intent(2);
        const { started } = await at.bench.claim(() => ({ kind: "start", intent }), "run", LATER_MS);
        const no = accepted.kinds[0] === "joined" ? held.execution.no : joiner.no;
        expect(started.map(({ execution }) => execution.key.no)).toEqual([no]);
        await at.bench.finish([
          at.bench.ended({ ...held, execution: { ...held.execution, no }, intent }, answerTo("why")),
        ]);
      }
    });

    test("still gets the answer of the call when the other has expired in the middle of it, and pays", async () => {
      const held = await at.bench.start({ ...WISH, ...SOON });
      await accept({ ...LATE, jobId: "b" });
      const expire = () =>
        at.bench.ledger.expire(at.bench.session, [held.execution], at.bench.nowMs() + LATER_MS, RENDER);
      const { ended, outbox } = await expire();
      expect(ended).toMatchObject([{ status: "expired", code: "DEADLINE_EXCEEDED" }]);
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "expired", code: "DEADLINE_EXCEEDED" }]);
      expect(await expire()).toEqual({ ended: [], outbox: [], waste: 0, more: false });
      const finished = await at.bench.finish([at.bench.ended(held, answerTo("why"))]);
      expect(resultsIn(finished.outbox)).toMatchObject([{ jobId: "b", status: "succeeded", served: "call" }]);
      expect(costsIn(finished.outbox)).toEqual([
        { kind: "charge", billing: "charged", nanoUsd: ANSWER_NANO_USD.toString() },
      ]);
    });
  });

  test("a call whose jobs have all expired in the middle of it is booked as what it cost, and its answer serves later jobs", async () => {
    const held = await at.bench.start({ ...WISH, ...SOON });
    await at.bench.ledger.expire(at.bench.session, [held.execution], at.bench.nowMs() + 11_000, RENDER);
    const { outbox } = await at.bench.finish([at.bench.ended(held, answerTo("why"))]);
    expect([resultsIn(outbox), costsIn(outbox)]).toEqual([
      [],
      [{ kind: "charge", billing: "charged", nanoUsd: ANSWER_NANO_USD.toString() }],
    ]);
    expect(await accept({ jobId: "b" })).toEqual(["cached"]);
  });

  describe("a job that ends without its execution tells what was tried for it", () => {
    const triedIn = (outbox: readonly OutboxGroup[]) =>
      recordsOf(outbox, "result").map((record) => {
        const { attempts, times } = JSON.parse(record.value?.toString("utf8") ?? "") as ResultDocument; // our own
        return { outcomes: attempts.map(({ outcome }) => outcome), startedAt: times.startedAt };
      });
    const startedAt = ({ intent }: Held) => new Date(intent.startedAtMs).toISOString();

    test("when its deadline passes while it waits for another try, and its dead letter counts the tries", async () => {
      const held = await at.bench.start({ ...WISH, ...SOON });
      await letWait(held);
      const { outbox } = await at.bench.claim(() => ({ kind: "line" }), "expire", 11_000);
      expect(triedIn(outbox)).toEqual([{ outcomes: ["rate_limited"], startedAt: startedAt(held) }]);
      expect(recordsOf(outbox, "dead_letter").map(({ headers }) => new Map(headers).get("llm-attempt"))).toEqual(["1"]);
    });

    test("when it is cancelled, by an operator or a record", async () => {
      const held = await at.bench.start({ ...WISH, ...LATE });
      await letWait(held);
      await accept({ ...LATE, jobId: "b" });
      const [first, second] = ["a", "b"].map((jobId) => ({ tenant: WISH.tenant, jobId })) as [
        CancelRequest,
        CancelRequest,
      ];
      const action = { byWhom: "ann@desk", atMs: at.bench.nowMs() };
      const byOperator = await at.bench.ledger.cancel(at.bench.session, [first], action, RENDER);
      const byRecord = await at.bench.accept([], { cancels: [{ ...second, behind: 0 }], moves: [] });
      const tried = [{ outcomes: ["rate_limited"], startedAt: startedAt(held) }];
      expect([triedIn(byOperator.outbox), triedIn(byRecord.outbox)]).toEqual([tried, tried]);
    });

    test("which is nothing while its first call is out", async () => {
      const held = await at.bench.start({ ...WISH, ...SOON });
      const nowMs = at.bench.nowMs() + 11_000;
      const { outbox } = await at.bench.ledger.expire(at.bench.session, [held.execution], nowMs, RENDER);
      expect(triedIn(outbox)).toEqual([{ outcomes: [], startedAt: null }]);
    });
  });

  test("an execution that waits as a row takes on the nearest deadline of its group", async () => {
    const jobs = [
      await at.bench.job({ ...WISH, ...LATE }, false),
      await at.bench.job({ ...WISH, ...SOON, jobId: "b" }, false),
    ];
    expect((await at.bench.accept(jobs)).kinds).toEqual(["queued", "joined"]);
    const runAtMs = at.bench.nowMs() + WAIT_MS;
    const { outbox } = await at.bench.claim(
      () => ({ kind: "wait", runAtMs, waitsFor: "concurrency" }),
      "expire",
      11_000,
    );
    expect(resultsIn(outbox)).toMatchObject([{ jobId: "b", status: "expired" }]);
  });
}
