import { describe, expect, test } from "@jest/globals";
import type { OperatorAction } from "../../src/domain/event/operator-event.js";
import type { WaitingExecution } from "../../src/domain/execution/execution.js";
import type { SessionNo } from "../../src/domain/ids.js";
import type { Renderer } from "../../src/domain/result/outgoing.js";
import { FinishStage } from "../../src/pipeline/finish/finish-stage.js";
import { NO_JOURNAL } from "../../src/ports/journal.js";
import type { ClaimVerdict, OutboxGroup } from "../../src/ports/ledger.js";
import { digestOf, EVENTS_TOPIC, RENDER, type JobWish } from "../support/simulation/fixture.js";
import { logInto, metricsInto } from "../support/work.js";
import { promptOf } from "./batch-bench.js";
import {
  ANSWER_NANO_USD,
  answerTo,
  codesIn,
  costsIn,
  eventsIn,
  failureOf,
  recordsOf,
  resultsIn,
  type LedgerBench,
  type Held,
} from "./ledger-bench.js";

const WISH = { jobId: "a", tenant: "catalogue", prompt: "why" } as const;

/** A renderer that can't write the end of one job. */
function breaksOn(jobId: string): Renderer {
  return {
    ...RENDER,
    end: (job, end) => {
      if (job.jobId === jobId) throw new Error("this end can't be rendered");
      return RENDER.end(job, end);
    },
  };
}

/** The stage that writes ended calls, on a bench's ledger and session. */
export function finishStage(bench: LedgerBench, published: OutboxGroup[], render: Renderer = RENDER): FinishStage {
  return new FinishStage({
    ledger: bench.ledger,
    session: bench.session,
    render,
    numbers: { close: () => undefined },
    journal: NO_JOURNAL,
    clock: { nowMs: bench.nowMs, monotonicMs: bench.nowMs, sleep: () => Promise.resolve() },
    random: { next: () => 0 },
    log: logInto([]),
    metrics: metricsInto(new Map()),
    groupSizeMax: 100,
    groupWaitMs: 0,
    writesAtOnce: 2,
    mendable: () => false,
    publish: (groups) => published.push(...groups),
    woken: () => undefined,
    givenUp: () => false,
    graceMs: () => 0,
    endSession: (reason) => {
      throw new Error(`the session would end: ${reason}`);
    },
  });
}
const recover = ({ ledger, session }: LedgerBench, deadAfterMs: number): Promise<number> =>
  ledger.recoverDeadSessions(session, deadAfterMs, () => 0, RENDER);
const action = ({ nowMs }: LedgerBench): OperatorAction => ({ byWhom: "ann@desk", atMs: nowMs() });

/** Cases of the ledger's suite from the row on: claims, doubt, cancelling, the outbox. `at.bench` is new for each case. */
export function dispatchCases(at: { readonly bench: LedgerBench }): void {
  describe("claim", () => {
    test("gives a row to one router only", async () => {
      await at.bench.accept([await at.bench.job(WISH, false)]);
      const [one, two] = [await at.bench.intent(1), await at.bench.intent(1)];
      const outcomes = await Promise.all([
        at.bench.claim(() => ({ kind: "start", intent: one })),
        at.bench.claim(() => ({ kind: "start", intent: two })),
      ]);
      expect(outcomes.flatMap(({ started }) => started)).toHaveLength(1);
    });

    test("tells that a job which waits for it asks for all that decided, whether it opened it or joined", async () => {
      const wishes: readonly JobWish[] = [
        { ...WISH, prompt: "nobody asks", labels: { explain: "true", 'x"explain"': '"explain":true' } },
        { ...WISH, jobId: "b", prompt: "the first asks", explain: true },
        { ...WISH, jobId: "c", prompt: "the second asks" },
        { ...WISH, jobId: "d", prompt: "the second asks", explain: true },
        { ...WISH, jobId: "e", prompt: "both say no", explain: false },
      ];
      const jobs = [];
      for (const wish of wishes) jobs.push(await at.bench.job(wish, false)); // serial: in the order of their numbers
      await at.bench.accept(jobs);
      const asked: [string, true | undefined][] = [];
      await at.bench.claim((waiting) => {
        asked.push([promptOf(waiting), waiting.explain]);
        return { kind: "wait", runAtMs: at.bench.nowMs(), waitsFor: "concurrency" };
      });
      expect(asked).toEqual([
        ["nobody asks", undefined],
        ["the first asks", true],
        ["the second asks", true],
        ["both say no", undefined],
      ]);
    });

    test("keeps a row that it was told to let wait", async () => {
      await at.bench.accept([await at.bench.job(WISH, false)]);
      const runAtMs = at.bench.nowMs() + 120_000;
      expect(await at.bench.claim(() => ({ kind: "wait", runAtMs, waitsFor: "concurrency" }))).toMatchObject({
        taken: 1,
        started: [],
      });
      expect((await at.bench.claim(() => ({ kind: "wait", runAtMs, waitsFor: "concurrency" }))).taken).toBe(0);
      expect((await at.bench.ledger.load({ readyRows: 10, outboxRows: 10 }, [])).readyRows).toBe(1);
    });

    test("is told what a row waited for", async () => {
      await at.bench.accept([await at.bench.job(WISH, false)]);
      const runAtMs = at.bench.nowMs();
      const told: string[] = [];
      for (const waitsFor of ["backoff", "retry_after", "concurrency"] as const) {
        // Serial: each takes the row that the one before put back.
        await at.bench.claim((waiting) => {
          told.push(waiting.waitedFor);
          return { kind: "wait", runAtMs, waitsFor };
        });
      }
      expect(told).toEqual(["concurrency", "backoff", "retry_after"]);
    });

    test("ends jobs whose deadline passed and drops an execution that nobody waits for", async () => {
      await at.bench.accept([await at.bench.job({ ...WISH, ttlMs: 30_000 }, false)]);
      const { outbox, started } = await at.bench.claim(() => {
        throw new Error("asked about an execution that nobody waits for");
      }, "expire");
      expect(resultsIn(outbox)).toMatchObject([{ status: "expired", code: "DEADLINE_EXCEEDED" }]);
      expect(started).toEqual([]);
      expect((await at.bench.accept([await at.bench.job({ ...WISH, jobId: "b" }, true)])).kinds).toEqual(["started"]);
    });

    test("leaves the row where it was when it breaks off between two statements", async () => {
      await at.bench.accept([await at.bench.job(WISH, false)]);
      await expect(
        at.bench.claim(() => {
          throw new Error("the process dies here");
        }),
      ).rejects.toThrow("the process dies here");
      expect((await at.bench.ledger.load({ readyRows: 10, outboxRows: 10 }, [])).readyRows).toBe(1);
    });

    test("is refused to a session that has ended", async () => {
      await at.bench.accept([await at.bench.job(WISH, false)]);
      await at.bench.ledger.endSession(at.bench.session);
      expect(
        await at.bench.claim(() => {
          throw new Error("asked by a dead session");
        }),
      ).toMatchObject({ fenced: true, taken: 0 });
    });

    test("takes an intent back whose bytes never left", async () => {
      const held = await at.bench.start(WISH);
      await at.bench.ledger.giveBack(
        at.bench.session,
        [{ execution: held.execution, attempt: held.intent }],
        at.bench.nowMs(),
      );
      const intent = await at.bench.intent(2);
      expect((await at.bench.claim(() => ({ kind: "start", intent }))).started).toMatchObject([
        { execution: { state: "ready", doubtful: null } },
      ]);
    });
  });

  describe("an attempt is open", () => {
    const openOf = async (...held: readonly Held[]) =>
      at.bench.ledger.openAttempts(held.map(({ execution, intent }) => ({ execution, attempt: intent })));

    test("until its outcome is known, in doubt or settled too", async () => {
      const held = await at.bench.start(WISH);
      const other = await at.bench.start({ ...WISH, jobId: "b", prompt: "and why" });
      expect(await openOf(held, other)).toEqual(new Set([held.intent.no, other.intent.no]));
      await at.bench.finish([at.bench.ended(held, answerTo("why"))]);
      expect(await openOf(held, other)).toEqual(new Set([other.intent.no]));
      await recover(at.bench, -1000);
      expect(await openOf(held, other)).toEqual(new Set([other.intent.no]));
    });

    test("only as the one that it is: not by its number alone", async () => {
      const held = await at.bench.start(WISH);
      const { execution, intent } = held;
      expect(await openOf({ ...held, intent: { ...intent, startedAtMs: intent.startedAtMs + 1 } })).toEqual(new Set());
      expect(await openOf({ ...held, intent: { ...intent, account: "another" } })).toEqual(new Set());
      expect(await openOf({ ...held, execution: { ...execution, no: execution.no + 1 } })).toEqual(new Set());
      expect(await openOf({ ...held, intent: { ...intent, no: intent.no + 1000 } })).toEqual(new Set());
      expect(await openOf()).toEqual(new Set());
    });
  });

  describe("a session whose process is proved to be over", () => {
    /** A second session, which is over, with three calls of which the first may have been sent. */
    async function ended() {
      const { ledger, session } = at.bench;
      const held = [
        await at.bench.start(WISH),
        await at.bench.start({ ...WISH, jobId: "b", prompt: "and why" }),
        await at.bench.start({ ...WISH, jobId: "c", prompt: "why not" }),
      ] as const;
      const over = { session, stamp: await ledger.sessionStamp(session), mayHaveSent: new Set([held[0].intent.no]) };
      const next = await ledger.openSession("the next");
      return { ledger, held, over, next };
    }

    test("gives back what it never sent, and the rest ends in doubt", async () => {
      const { ledger, held, over, next } = await ended();
      expect(await ledger.takeBackUnsent(over, at.bench.nowMs())).toBe(2);
      expect(await ledger.openAttempts(held.map(({ execution, intent }) => ({ execution, attempt: intent })))).toEqual(
        new Set([held[0].intent.no]),
      );
      expect(await ledger.beat(over.session, 0)).toBe(false);
      expect(await ledger.recoverDeadSessions(next, 60_000, () => 0, RENDER)).toBe(1);
      // Both are called again, by whoever is alive, and as if for the first time.
      const intents = [await at.bench.intent(2), await at.bench.intent(2)];
      const claimed = await ledger.claim(
        { session: next, nowMs: at.bench.nowMs(), pick: "run", limit: 10 },
        (waiting) =>
          waiting.doubtful === null
            ? { kind: "start", intent: intents.pop()! }
            : { kind: "wait", runAtMs: waiting.dueAtMs, waitsFor: "doubt" },
        RENDER,
      );
      expect(claimed.started.map(({ execution }) => execution.key.no).sort()).toEqual(
        [held[1].execution.no, held[2].execution.no].sort(),
      );
    });

    test("does so once, and changes nothing that is told of another session", async () => {
      const { ledger, over } = await ended();
      expect(await ledger.takeBackUnsent({ ...over, stamp: "another ledger's" }, at.bench.nowMs())).toBe(0);
      expect(await ledger.beat(over.session, 0)).toBe(true);
      expect(await ledger.takeBackUnsent(over, at.bench.nowMs())).toBe(2);
      expect(await ledger.takeBackUnsent(over, at.bench.nowMs())).toBe(0);
    });

    test("counts as dead, so that what it read last is suspected", async () => {
      const { ledger, over, next } = await ended();
      await ledger.openPosition("llm.jobs.v1", 5, 0);
      await ledger.beginTurn(over.session, "llm.jobs.v1", 5);
      await ledger.takeBackUnsent(over, at.bench.nowMs());
      expect(await ledger.beginTurn(next, "llm.jobs.v1", 5)).toMatchObject({ turns: 2 });
    });

    test("has a stamp that stays, and that no other session has", async () => {
      const { ledger, over, next } = await ended();
      expect(await ledger.sessionStamp(over.session)).toBe(over.stamp);
      expect(await ledger.sessionStamp(next)).not.toBe(over.stamp);
    });
  });

  describe("the bytes of waiting requests", () => {
    const bytes = async (readyRows = 10) => (await at.bench.ledger.load({ readyRows, outboxRows: 10 }, [])).readyBytes;
    const BODY_BYTES = '{"model":"sim","messages":[{"role":"user","content":"why"}]}'.length;

    test("are counted however an execution came to wait, and not while it is called", async () => {
      await at.bench.accept([await at.bench.job(WISH, false)]);
      expect(await bytes()).toBe(BODY_BYTES);
      const runAtMs = at.bench.nowMs();
      await at.bench.claim(() => ({ kind: "wait", runAtMs, waitsFor: "concurrency" }));
      expect(await bytes()).toBe(BODY_BYTES);

      const [first, second, third] = [await at.bench.intent(1), await at.bench.intent(2), await at.bench.intent(3)];
      const { started } = await at.bench.claim(() => ({ kind: "start", intent: first }));
      expect(await bytes()).toBe(0);
      const execution = started[0]!.execution.key;
      await at.bench.ledger.giveBack(at.bench.session, [{ execution, attempt: first }], at.bench.nowMs());
      expect(await bytes()).toBe(BODY_BYTES);

      await at.bench.claim(() => ({ kind: "start", intent: second }));
      const failure = failureOf("overloaded", "answered", 500);
      await at.bench.finish([at.bench.ended({ execution, intent: second, wish: WISH }, failure)]);
      expect(await bytes()).toBe(BODY_BYTES);

      await at.bench.claim(() => ({ kind: "start", intent: third }));
      expect(await bytes()).toBe(0);
      await recover(at.bench, -1000);
      expect(await bytes()).toBe(BODY_BYTES);
    });

    test("are those of the rows that are counted", async () => {
      await at.bench.accept([
        await at.bench.job(WISH, false),
        await at.bench.job({ ...WISH, jobId: "b", prompt: "how" }, false),
        await at.bench.job({ ...WISH, jobId: "c" }, false),
      ]);
      expect(await bytes()).toBe(2 * BODY_BYTES);
      expect(await bytes(1)).toBe(BODY_BYTES);
    });
  });

  test("an execution goes on when its session ends while a finish or a claim of it is under way", async () => {
    const { bench } = at;
    for (let round = 0; round < 10; round += 1) {
      const wish = { ...WISH, jobId: `called-${String(round)}`, prompt: `why ${String(round)}` };
      const called = await bench.start(wish);
      const row = await bench.job({ ...wish, jobId: `row-${String(round)}`, prompt: `how ${String(round)}` }, false);
      await bench.accept([row]);
      const intent = await bench.intent(1);
      await Promise.all([
        bench.finish([bench.ended(called, failureOf("overloaded", "answered", 500))]),
        bench.claim(({ key, dueAtMs }) =>
          key.no === row.no ? { kind: "start", intent } : { kind: "wait", runAtMs: dueAtMs, waitsFor: "concurrency" },
        ),
        bench.ledger.endSession(bench.session),
      ]);
      bench.session = await bench.ledger.openSession("bench");
      await recover(bench, 60_000);
      const intents = [await bench.intent(2), await bench.intent(2)];
      const { started } = await bench.claim(() => ({ kind: "start", intent: intents.pop()! }));
      const nos = started.map(({ execution }) => execution.key.no);
      expect([...nos].sort((a, b) => a - b)).toEqual([called.execution.no, row.no]);
      await bench.finish(
        started.map((own) => bench.ended({ execution: own.execution.key, intent: own.intent, wish }, answerTo("why"))),
      );
    }
  });

  test("a row that is set aside is the next claim's first; it waits until then, the others do not", async () => {
    const { ledger } = at.bench;
    const first = await at.bench.job({ ...WISH, priority: 9 }, false);
    await at.bench.accept([await at.bench.job({ ...WISH, jobId: "b", prompt: "how" }, false), first]);
    const nowMs = at.bench.nowMs() + 60_000;
    expect(await ledger.setAside({ pick: "expire", nowMs }, nowMs + 600_000)).toBeNull();
    expect((await ledger.setAside({ pick: "run", nowMs }, nowMs + 600_000))?.no).toBe(first.no);
    const intents = [await at.bench.intent(1), await at.bench.intent(1)];
    const claimed: number[] = [];
    const start = (waiting: WaitingExecution): ClaimVerdict => {
      claimed.push(waiting.key.no);
      return { kind: "start", intent: intents[claimed.length - 1]! };
    };
    await at.bench.claim(start);
    expect(claimed).toHaveLength(1);
    expect(claimed).not.toContain(first.no);
    await at.bench.claim(start, "run", 700_000);
    expect(claimed[1]).toBe(first.no);
  });

  describe("doubt", () => {
    const die = async (): Promise<number> => {
      const doubts = await recover(at.bench, -1000);
      at.bench.session = await at.bench.ledger.openSession("next");
      return doubts;
    };

    test("follows the death of a session, with the attempt that was in the air", async () => {
      const held = await at.bench.start(WISH);
      const dead = at.bench.session;
      expect(await die()).toBe(1);
      expect(await at.bench.ledger.beat(dead, 0)).toBe(false);
      expect(await recover(at.bench, 60_000)).toBe(0);
      const seen: unknown[] = [];
      await at.bench.claim((waiting) => {
        seen.push({ state: waiting.state, doubtful: waiting.doubtful?.no });
        return { kind: "wait", runAtMs: at.bench.nowMs() + 120_000, waitsFor: "doubt" };
      });
      expect(seen).toEqual([{ state: "in_doubt", doubtful: held.intent.no }]);
    });

    test("is told in an event that the next sweep publishes, once", async () => {
      const held = await at.bench.start(WISH);
      await die();
      const taken = await at.bench.ledger.takeOutbox(at.bench.session, 10, -1000, []);
      expect(taken.map(({ topic }) => topic)).toEqual([EVENTS_TOPIC]);
      expect(eventsIn(taken)).toEqual([
        {
          kind: "attempt.in_doubt",
          severity: "warning",
          tenant: "catalogue",
          jobId: "a",
          generation: 0,
          account: "alpha",
        },
      ]);
      expect(recordsOf(taken, "event").map(({ key, no }) => [key?.toString(), no])).toEqual([["a", held.intent.no]]);
      await recover(at.bench, 60_000);
      await at.bench.ledger.dropOutbox(taken.map(({ seq }) => seq));
      expect(await at.bench.ledger.takeOutbox(at.bench.session, 10, -1000, [])).toEqual([]);
    });

    test("after a call that broke off is told in the transaction that records it, and so is its settlement", async () => {
      const held = await at.bench.start(WISH);
      const cut = at.bench.ended(held, failureOf("connection_failed", "perhaps", null));
      const begun = { tenant: "catalogue", jobId: "a", generation: 0, account: "alpha", severity: "warning" };
      expect(eventsIn((await at.bench.finish([cut])).outbox)).toEqual([{ kind: "attempt.in_doubt", ...begun }]);
      expect((await at.bench.finish([cut])).outbox).toEqual([]);
      const intent = await at.bench.intent(2);
      const { outbox } = await at.bench.claim(() => ({ kind: "start", intent }));
      expect(eventsIn(outbox)).toEqual([{ kind: "attempt.settled", ...begun }]);
    });

    test("ends with a second attempt, the first one staying in the books as unknown", async () => {
      const held = await at.bench.start(WISH);
      await die();
      const intent = await at.bench.intent(2);
      const claimed = await at.bench.claim(() => ({ kind: "start", intent }));
      expect(costsIn(claimed.outbox)).toEqual([{ kind: "charge", billing: "in_doubt", nanoUsd: null }]);
      const { outbox } = await at.bench.finish([at.bench.ended({ ...held, intent }, answerTo("why"))]);
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "succeeded" }]);
      expect(costsIn(outbox)).toEqual([{ kind: "charge", billing: "charged", nanoUsd: ANSWER_NANO_USD.toString() }]);
    });

    test("ends though the next call has to wait: that follows later, by its own route, with the doubt in its history", async () => {
      const held = await at.bench.start(WISH);
      await die();
      const runAtMs = at.bench.nowMs() + 1;
      const wait = { kind: "wait", runAtMs, waitsFor: "breaker", afterDoubt: 1 } as const;
      const { outbox } = await at.bench.claim(() => wait);
      expect(costsIn(outbox)).toEqual([{ kind: "charge", billing: "in_doubt", nanoUsd: null }]);
      expect(eventsIn(outbox)).toMatchObject([{ kind: "attempt.settled" }]);
      const seen: unknown[] = [];
      const again = await at.bench.claim(({ state, doubtful, waitedFor, nextRouteIndex, history }) => {
        const tries = history.map(({ no, outcome }) => [no, outcome]);
        seen.push({ state, doubtful, waitedFor, nextRouteIndex, tries });
        return { kind: "wait", runAtMs, waitsFor: "breaker" };
      });
      expect(again.outbox).toEqual([]);
      const tries = [[held.intent.no, "in_doubt"]];
      expect(seen).toEqual([{ state: "ready", doubtful: null, waitedFor: "breaker", nextRouteIndex: 1, tries }]);
    });

    test("says what its call came to, when it is settled", async () => {
      const held = await at.bench.start(WISH);
      await at.bench.finish([at.bench.ended(held, failureOf("bad_response", "answered", 200))]);
      const seen: unknown[] = [];
      await at.bench.claim((waiting) => {
        seen.push(waiting.doubtfulOutcome);
        return { kind: "wait", runAtMs: at.bench.nowMs() + 120_000, waitsFor: "doubt" };
      });
      expect(seen).toEqual(["bad_response"]);
    });

    test("ends with IN_DOUBT where the policy does not pay twice", async () => {
      await at.bench.start(WISH);
      await die();
      const { outbox } = await at.bench.claim(() => ({
        kind: "fail",
        failure: { code: "IN_DOUBT", message: "unknown", provider: null, retryAtMs: null },
      }));
      expect(resultsIn(outbox)).toMatchObject([{ status: "failed", code: "IN_DOUBT" }]);
      expect(codesIn(outbox)).toEqual(["IN_DOUBT"]);
      expect(costsIn(outbox)).toEqual([{ kind: "charge", billing: "in_doubt", nanoUsd: null }]);
    });

    test("ends with the late answer of the dead session, when that is first", async () => {
      const held = await at.bench.start(WISH);
      const dead = at.bench.session;
      await die();
      const { outbox, waste } = await at.bench.finish([at.bench.ended(held, answerTo("why"))], dead);
      expect(resultsIn(outbox)).toMatchObject([{ status: "succeeded", digest: digestOf("why") }]);
      expect(costsIn(outbox)).toEqual([{ kind: "charge", billing: "charged", nanoUsd: ANSWER_NANO_USD.toString() }]);
      expect(waste).toBe(0);
      expect(
        (
          await at.bench.claim(() => {
            throw new Error("asked about an ended execution");
          })
        ).taken,
      ).toBe(0);
    });

    test("books the late answer of a settled attempt as an adjustment", async () => {
      const held = await at.bench.start(WISH);
      const dead = at.bench.session;
      await die();
      const intent = await at.bench.intent(2);
      await at.bench.claim(() => ({ kind: "start", intent }));
      await at.bench.finish([at.bench.ended({ ...held, intent }, answerTo("why"))]);
      const { outbox, waste } = await at.bench.finish([at.bench.ended(held, answerTo("why"))], dead);
      expect(resultsIn(outbox)).toEqual([]);
      expect(costsIn(outbox)).toEqual([{ kind: "adjustment", billing: "waste", nanoUsd: ANSWER_NANO_USD.toString() }]);
      expect(waste).toBe(1);
    });

    test("does not let a dead session decide about the attempt of another", async () => {
      const held = await at.bench.start(WISH);
      const dead = at.bench.session;
      await die();
      const intent = await at.bench.intent(2);
      await at.bench.claim(() => ({ kind: "start", intent }));
      await at.bench.finish([at.bench.ended(held, failureOf("overloaded", "answered", 500))], dead);
      expect((await at.bench.ledger.load({ readyRows: 10, outboxRows: 10 }, [])).readyRows).toBe(0);
      expect(
        resultsIn((await at.bench.finish([at.bench.ended({ ...held, intent }, answerTo("why"))])).outbox),
      ).toHaveLength(1);
    });

    test.each([
      ["a failure", failureOf("overloaded", "answered", 500)],
      ["a cut connection", failureOf("connection_failed", "perhaps", null)],
    ])("comes to an execution whose session ended before it could write %s", async (_what, failure) => {
      const held = await at.bench.start(WISH);
      const dead = at.bench.session;
      await at.bench.ledger.endSession(dead);
      await at.bench.finish([at.bench.ended(held, failure)], dead);
      at.bench.session = await at.bench.ledger.openSession("next");
      await recover(at.bench, 60_000);
      const intent = await at.bench.intent(2);
      expect((await at.bench.claim(() => ({ kind: "start", intent }))).started).toHaveLength(1);
    });
  });

  describe("a doubt that nothing follows any more", () => {
    const OPEN = [{ kind: "charge", billing: "in_doubt", nanoUsd: null }];
    const die = async (): Promise<SessionNo> => {
      const dead = at.bench.session;
      await recover(at.bench, -1000);
      at.bench.session = await at.bench.ledger.openSession("next");
      return dead;
    };
    const settle = () =>
      at.bench.claim(() => {
        throw new Error("asked about an execution that nobody waits for");
      });
    /** An execution whose first attempt belonged to a dead session, with a second one under way. */
    const twice = async () => {
      const held = await at.bench.start(WISH);
      const dead = await die();
      const intent = await at.bench.intent(2);
      await at.bench.claim(() => ({ kind: "start", intent }));
      return { held, dead, second: { ...held, intent } };
    };

    test("is settled when all of its jobs were cancelled", async () => {
      await at.bench.start(WISH);
      await die();
      await at.bench.ledger.cancel(at.bench.session, [{ tenant: "catalogue", jobId: "a" }], action(at.bench), RENDER);
      expect(costsIn((await settle()).outbox)).toEqual(OPEN);
      expect((await at.bench.ledger.load({ readyRows: 10, outboxRows: 10 }, [])).readyRows).toBe(0);
      expect((await settle()).outbox).toEqual([]);
    });

    test("is settled when the late answer of the attempt before ended the execution", async () => {
      const { held, dead } = await twice();
      await die();
      const { outbox } = await at.bench.finish([at.bench.ended(held, answerTo("why"))], dead);
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "succeeded" }]);
      const settled = await settle();
      expect([costsIn(settled.outbox), resultsIn(settled.outbox)]).toEqual([OPEN, []]);
    });

    test("is settled when it comes after that late answer", async () => {
      const { held, dead, second } = await twice();
      await at.bench.finish([at.bench.ended(held, answerTo("why"))], dead);
      await at.bench.finish([at.bench.ended(second, failureOf("connection_failed", "perhaps", null))]);
      expect(costsIn((await settle()).outbox)).toEqual(OPEN);
    });

    test("is settled when its session dies after that late answer", async () => {
      const { held, dead } = await twice();
      await at.bench.finish([at.bench.ended(held, answerTo("why"))], dead);
      await die();
      expect(costsIn((await settle()).outbox)).toEqual(OPEN);
    });

    test("is corrected by its own late answer, as every doubt", async () => {
      const held = await at.bench.start(WISH);
      const dead = await die();
      await at.bench.ledger.cancel(at.bench.session, [{ tenant: "catalogue", jobId: "a" }], action(at.bench), RENDER);
      await settle();
      const { outbox } = await at.bench.finish([at.bench.ended(held, answerTo("why"))], dead);
      expect(costsIn(outbox)).toEqual([{ kind: "adjustment", billing: "waste", nanoUsd: ANSWER_NANO_USD.toString() }]);
    });
  });

  describe("a call whose end the ledger can't store", () => {
    test("leaves a doubt at its maximum instead, which the policy ends, and its neighbours their answers", async () => {
      const held = await at.bench.start(WISH);
      const other = await at.bench.start({ ...WISH, jobId: "b", prompt: "how" });
      const published: OutboxGroup[] = [];
      const stage = finishStage(at.bench, published, breaksOn("a"));
      stage.add(at.bench.ended(held, answerTo("why")));
      stage.add(at.bench.ended(other, answerTo("how")));
      stage.close();
      await stage.run();
      expect(resultsIn(published)).toMatchObject([{ jobId: "b", status: "succeeded" }]);
      const seen: unknown[] = [];
      const { outbox } = await at.bench.claim((waiting) => {
        seen.push({ state: waiting.state, doubtful: waiting.doubtful?.no });
        return { kind: "fail", failure: { code: "IN_DOUBT", message: "unknown", provider: null, retryAtMs: null } };
      });
      expect(seen).toEqual([{ state: "in_doubt", doubtful: held.intent.no }]);
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "failed", code: "IN_DOUBT" }]);
      expect(codesIn(outbox)).toEqual(["IN_DOUBT"]);
      expect(recordsOf(outbox, "cost").map((record) => JSON.parse(record.value?.toString("utf8") ?? ""))).toMatchObject(
        [{ billing: "in_doubt", nanoUsd: null, maxNanoUsd: held.intent.maxNanoUsd.toString() }],
      );
    });
  });

  describe("cancel", () => {
    test("ends a waiting job once, and leaves others of its execution", async () => {
      const held = await at.bench.start(WISH);
      await at.bench.accept([await at.bench.job({ ...WISH, jobId: "b" }, true)]);
      const request = { tenant: "catalogue", jobId: "b" };
      const { outbox } = await at.bench.ledger.cancel(at.bench.session, [request], action(at.bench), RENDER);
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "b", status: "cancelled" }]);
      expect(eventsIn(outbox)).toMatchObject([{ kind: "operator.cancelled", severity: "info", jobId: "b" }]);
      expect(recordsOf(outbox, "event")[0]?.value?.toString()).toContain("ann@desk");
      expect(await at.bench.ledger.cancel(at.bench.session, [request], action(at.bench), RENDER)).toEqual({
        ended: [],
        outbox: [],
        waste: 0,
      });
      expect(
        resultsIn((await at.bench.finish([at.bench.ended(held, answerTo("why"))])).outbox).map(({ jobId }) => jobId),
      ).toEqual(["a"]);
    });

    test("ends each job once, whether it is asked for once or twice, with an event each", async () => {
      await at.bench.accept([
        await at.bench.job(WISH, true),
        await at.bench.job({ ...WISH, jobId: "b" }, true),
        await at.bench.job({ ...WISH, jobId: "c" }, true),
      ]);
      const requests = ["b", "unknown", "a", "b"].map((jobId) => ({ tenant: "catalogue", jobId }));
      const { ended, outbox } = await at.bench.ledger.cancel(at.bench.session, requests, action(at.bench), RENDER);
      expect(ended).toHaveLength(2);
      expect(resultsIn(outbox).map(({ jobId, status }) => [jobId, status])).toEqual([
        ["a", "cancelled"],
        ["b", "cancelled"],
      ]);
      expect(eventsIn(outbox).map(({ jobId }) => jobId)).toEqual(["b", "a"]);
    });

    test("leaves the cost of a call that was out", async () => {
      const held = await at.bench.start(WISH);
      await at.bench.ledger.cancel(at.bench.session, [{ tenant: "catalogue", jobId: "a" }], action(at.bench), RENDER);
      const { outbox } = await at.bench.finish([at.bench.ended(held, answerTo("why"))]);
      expect(resultsIn(outbox)).toEqual([]);
      expect(costsIn(outbox)).toMatchObject([{ nanoUsd: ANSWER_NANO_USD.toString() }]);
    });

    test("comes with a record too, and does not reach another tenant's job of that id", async () => {
      await at.bench.accept([await at.bench.job({ ...WISH, tenant: "shop" }, false), await at.bench.job(WISH, false)]);
      const { outbox } = await at.bench.accept([], { cancels: [{ tenant: "shop", jobId: "a", behind: 0 }] });
      expect(resultsIn(outbox)).toHaveLength(1);
      expect(recordsOf(outbox, "result")[0]?.value?.toString()).toContain('"tenant":"shop"');
    });

    test("behind its job in one group: the job ends, nothing is begun for it, and one that asks the same opens a call of its own", async () => {
      const jobs = [
        await at.bench.job(WISH, true),
        await at.bench.job({ ...WISH, jobId: "b" }, true),
        await at.bench.job({ ...WISH, jobId: "c" }, true),
      ];
      const cancels = [{ tenant: "catalogue", jobId: "a", behind: 2 }];
      const { kinds, outbox, day } = await at.bench.accept(jobs, { cancels });
      expect(kinds).toEqual(["cancelled", "started", "joined"]);
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "cancelled" }]);
      expect(costsIn(outbox)).toEqual([]);
      const [, opener] = jobs;
      const held = { execution: { no: opener!.no, day }, intent: opener!.intent!, wish: { ...WISH, jobId: "b" } };
      const { outbox: answered } = await at.bench.finish([at.bench.ended(held, answerTo("why"))]);
      expect(resultsIn(answered).map(({ jobId }) => jobId)).toEqual(["b", "c"]);
    });

    test("before its job in one group it says nothing, nor to another tenant's of that id", async () => {
      const jobs = [await at.bench.job({ ...WISH, tenant: "shop" }, true), await at.bench.job(WISH, true)];
      const cancels = [
        { tenant: "shop", jobId: "a", behind: 0 },
        { tenant: "catalogue", jobId: "a", behind: 1 },
      ];
      const { kinds, outbox } = await at.bench.accept(jobs, { cancels });
      expect([kinds, outbox]).toEqual([["started", "started"], []]);
    });
  });

  describe("a note", () => {
    test("is an event of its own that is published like any other", async () => {
      const event = {
        kind: "position.gap",
        message: "records are gone",
        tenant: null,
        jobId: null,
        generation: null,
        provider: null,
        account: null,
        details: { lostAtMost: "7" },
        atMs: at.bench.nowMs(),
      } as const;
      const groups = await at.bench.ledger.note(at.bench.session, event, RENDER);
      expect(eventsIn(groups)).toMatchObject([{ kind: "position.gap", severity: "critical", jobId: null }]);
      await at.bench.ledger.endSession(at.bench.session);
      const next = await at.bench.ledger.openSession("next");
      expect(await at.bench.ledger.takeOutbox(next, 10, -1000, [])).toEqual(groups);
    });
  });

  describe("the outbox", () => {
    test("keeps a group until it is dropped, byte for byte, and gives a dead router's to another", async () => {
      const { outbox } = await at.bench.finish([at.bench.ended(await at.bench.start(WISH), answerTo("why"))]);
      const written = [...outbox].sort((a, b) => a.seq - b.seq);
      expect(await at.bench.ledger.takeOutbox(at.bench.session, 10, 60_000, [])).toEqual([]);
      await at.bench.ledger.endSession(at.bench.session);
      const next = await at.bench.ledger.openSession("next");
      const taken = [...(await at.bench.ledger.takeOutbox(next, 10, -1000, []))].sort((a, b) => a.seq - b.seq);
      expect(taken).toEqual(written);
      await at.bench.ledger.dropOutbox(taken.map(({ seq }) => seq));
      expect(await at.bench.ledger.takeOutbox(next, 10, -1000, [])).toEqual([]);
    });

    test("of a dead router whose clock was half an hour ahead goes to another at once", async () => {
      const { ledger, session } = at.bench;
      const call = at.bench.ended(await at.bench.start(WISH), answerTo("why"));
      await ledger.finish({ session, nowMs: at.bench.nowMs() + 1_800_000, calls: [call] }, RENDER);
      await ledger.endSession(session);
      const taken = await ledger.takeOutbox(await ledger.openSession("next"), 10, -1000, []);
      expect(resultsIn(taken)).toMatchObject([{ jobId: "a", status: "succeeded" }]);
    });

    test("of a living router is not given to another", async () => {
      await at.bench.finish([at.bench.ended(await at.bench.start(WISH), answerTo("why"))]);
      const other = await at.bench.ledger.openSession("other");
      expect(await at.bench.ledger.takeOutbox(other, 10, -1000, [])).toEqual([]);
    });
  });
}
