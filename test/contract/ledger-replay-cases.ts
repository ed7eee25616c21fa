import { describe, expect, test } from "@jest/globals";
import type { ReplayRefusal } from "../../src/domain/dead-letter/replay.js";
import { NO_SETTINGS, type ReplaySettings } from "../../src/domain/dead-letter/replay-settings.js";
import type { SessionNo } from "../../src/domain/ids.js";
import type { AdmittedJob } from "../../src/domain/job/job.js";
import type { Renderer } from "../../src/domain/result/outgoing.js";
import type { ClaimVerdict, OutboxGroup } from "../../src/ports/ledger.js";
import { digestOf, RENDER, RESULTS_TOPIC } from "../support/simulation/fixture.js";
import {
  answerTo,
  costsIn,
  eventsIn,
  failureOf,
  recordsOf,
  resultsIn,
  type Held,
  type LedgerBench,
} from "./ledger-bench.js";

/** What an operator's command does in a ledger. */
export interface OperatorSide {
  openSession(): Promise<SessionNo>;
  replay(request: AskedReplay, render: Renderer): Promise<Replayed>;
  /** Sets the position of partition 0 of the jobs topic to the beginning of its log. */
  adopt(from: number): Promise<boolean>;
}

export interface AskedReplay {
  readonly letterNo: number;
  readonly byWhom: string;
  readonly session: SessionNo;
  readonly settings: ReplaySettings;
  readonly parked: boolean;
  readonly readmitted: AdmittedJob | null;
}

export type Replayed =
  | { readonly kind: "replayed"; readonly how: "queued" | "joined" | "cached" | "redelivered" }
  | { readonly kind: "refused"; readonly why: ReplayRefusal };

const WISH = { jobId: "a", tenant: "catalogue", prompt: "why" } as const;
const QUEUED = { kind: "replayed", how: "queued" };
const IN_DOUBT: ClaimVerdict = {
  kind: "fail",
  failure: { code: "IN_DOUBT", message: "unknown", provider: null, retryAtMs: null },
};
const PUT_BACK: ClaimVerdict = { kind: "wait", runAtMs: 0, waitsFor: "doubt" };

/** Cases of the ledger's suite about what an operator's replay does with a dead letter. */
export function replayCases(at: { readonly bench: LedgerBench; readonly operator: OperatorSide }): void {
  const replay = async (letterNo: number, more: Partial<AskedReplay> = {}, render = RENDER): Promise<Replayed> => {
    const session = await at.operator.openSession();
    const asked = { letterNo, byWhom: "ann@desk", session, settings: NO_SETTINGS, parked: false, readmitted: null };
    return at.operator.replay({ ...asked, ...more }, render);
  };
  const letterIn = (outbox: readonly OutboxGroup[]): number => {
    const [letter, more] = recordsOf(outbox, "dead_letter");
    if (letter === undefined || more !== undefined) throw new Error("expected one dead letter");
    return letter.no;
  };
  const fail = async (held: Held): Promise<number> =>
    letterIn((await at.bench.finish([at.bench.ended(held, failureOf("refused", "answered", 400))])).outbox);
  const letterOf = async (wish: object = {}): Promise<number> => fail(await at.bench.start({ ...WISH, ...wish }));
  const startNext = async (number = 1): Promise<Held> => {
    const intent = await at.bench.intent(number);
    const { started } = await at.bench.claim(() => ({ kind: "start", intent }));
    expect(started).toHaveLength(1);
    return { execution: started[0]!.execution.key, intent, wish: WISH };
  };
  const answer = async (held: Held) => (await at.bench.finish([at.bench.ended(held, answerTo("why"))])).outbox;
  /** What a router finds to publish that a command has left. */
  const left = (): Promise<readonly OutboxGroup[]> => at.bench.ledger.takeOutbox(at.bench.session, 10, -1000, []);
  const generationsIn = (outbox: readonly OutboxGroup[]): unknown[] =>
    recordsOf(outbox, "result").map(
      ({ value }) => (JSON.parse(value?.toString("utf8") ?? "") as { generation: number }).generation,
    ); // our own
  const readyRows = async (): Promise<number> =>
    (await at.bench.ledger.load({ readyRows: 10, outboxRows: 10 }, [])).readyRows;

  describe("a replay", () => {
    test("makes the next generation of a failed job, whose call is tried from the beginning", async () => {
      expect(await replay(await letterOf())).toEqual(QUEUED);
      const outbox = await answer(await startNext());
      expect(resultsIn(outbox)).toEqual([
        { jobId: "a", status: "succeeded", served: "call", digest: digestOf("why"), code: null },
      ]);
      expect(generationsIn(outbox)).toEqual([1]);
    });

    test("says who did it, in an event that a router publishes though the command is over", async () => {
      const letter = await letterOf();
      await at.bench.ledger.dropOutbox((await left()).map(({ seq }) => seq));
      await replay(letter);
      const outbox = await left();
      expect(eventsIn(outbox)).toMatchObject([
        { kind: "operator.replayed", tenant: "catalogue", jobId: "a", generation: 1 },
      ]);
      expect(recordsOf(outbox, "event")[0]?.value?.toString()).toContain("ann@desk");
    });

    test("is made once when two ask at the same moment, and when one asks again", async () => {
      const letter = await letterOf();
      const told = await Promise.all([replay(letter), replay(letter)]);
      expect(told.filter(({ kind }) => kind === "replayed")).toEqual([QUEUED]);
      expect(told).toContainEqual({ kind: "refused", why: "replayed_already" });
      expect(await replay(letter)).toEqual({ kind: "refused", why: "replayed_already" });
      expect(await readyRows()).toBe(1);
    });

    test("leaves nothing when it breaks off between two statements, and can be asked for again", async () => {
      const letter = await letterOf();
      const broken: Renderer = {
        ...RENDER,
        event: () => {
          throw new Error("the process dies here");
        },
      };
      await expect(replay(letter, {}, broken)).rejects.toThrow("the process dies here");
      expect(await readyRows()).toBe(0);
      expect(await replay(letter)).toEqual(QUEUED);
    });

    test("is what the id names from then on: a record with that id gets the new generation's result", async () => {
      await replay(await letterOf());
      expect((await at.bench.accept([await at.bench.job(WISH, true)])).kinds).toEqual(["repeated"]);
      const outbox = await answer(await startNext());
      expect(recordsOf(outbox, "repeat").map(({ value }) => value)).toEqual(
        recordsOf(outbox, "result").map(({ value }) => value),
      );
    });

    test("fails into a letter of its own, and after the third failure asks for a word more", async () => {
      let letter = await letterOf();
      for (const generation of [1, 2]) {
        expect(await replay(letter)).toEqual(QUEUED);
        const failed = await at.bench.finish([
          at.bench.ended(await startNext(), failureOf("refused", "answered", 400)),
        ]);
        expect(generationsIn(failed.outbox)).toEqual([generation]);
        letter = letterIn(failed.outbox);
      }
      expect(await replay(letter)).toEqual({ kind: "refused", why: "parked" });
      expect(await replay(letter, { parked: true })).toEqual(QUEUED);
    });
  });

  describe("a replay whose request is known", () => {
    test("joins the identical call that is out, and shares its cost", async () => {
      const letter = await letterOf();
      const other = await at.bench.start({ ...WISH, jobId: "b" });
      expect(await replay(letter)).toEqual({ kind: "replayed", how: "joined" });
      const outbox = await answer(other);
      expect(resultsIn(outbox)).toMatchObject([
        { jobId: "a", served: "coalesced" },
        { jobId: "b", served: "call" },
      ]);
      expect(costsIn(outbox).map(({ billing }) => billing)).toEqual(["charged", "shared"]);
    });

    test("joins its own call when that is still out", async () => {
      const held = await at.bench.start({ ...WISH, ttlMs: 10_000 });
      const late = at.bench.nowMs() + 11_000;
      const { outbox } = await at.bench.ledger.expire(at.bench.session, [held.execution], late, RENDER);
      expect(await replay(letterIn(outbox))).toEqual({ kind: "replayed", how: "joined" });
      const answered = await answer(held);
      expect([resultsIn(answered), generationsIn(answered)]).toMatchObject([
        [{ jobId: "a", status: "succeeded", served: "call" }],
        [1],
      ]);
    });

    test("pulls its own call forward when that waits", async () => {
      const held = await at.bench.start({ ...WISH, ttlMs: 10_000, priority: 9 });
      await at.bench.accept([await at.bench.job({ ...WISH, jobId: "b", priority: 1 }, true)]);
      const runAtMs = at.bench.nowMs() + 600_000;
      const failed = at.bench.ended(held, failureOf("rate_limited", "answered", 429));
      const verdict = { kind: "again", runAtMs, routeIndex: 0, waitsFor: "retry_after" } as const;
      await at.bench.finish([{ ...failed, verdict }]);
      const wait = () => ({ kind: "wait", runAtMs, waitsFor: "retry_after" }) as const;
      const { outbox } = await at.bench.claim(wait, "expire", 11_000);
      const settings = { ...NO_SETTINGS, deadline: { afterMs: 20_000 } };
      expect(await replay(letterIn(outbox), { settings })).toEqual({ kind: "replayed", how: "joined" });
      // Found by the new deadline, long before the other job's.
      expect(resultsIn((await at.bench.claim(wait, "expire", 30_000)).outbox)).toMatchObject([
        { jobId: "a", status: "expired" },
      ]);
    });

    test("gets a call of its own beside an identical one that waits beyond its deadline", async () => {
      const letter = await letterOf();
      const other = await at.bench.start({ ...WISH, jobId: "b" });
      const failed = at.bench.ended(other, failureOf("rate_limited", "answered", 429));
      const runAtMs = at.bench.nowMs() + 600_000;
      const verdict = { kind: "again", runAtMs, routeIndex: 0, waitsFor: "retry_after" } as const;
      await at.bench.finish([{ ...failed, verdict }]);
      const settings = { ...NO_SETTINGS, deadline: { afterMs: 120_000 } };
      expect(await replay(letter, { settings })).toEqual(QUEUED);
      expect(await readyRows()).toBe(2);
    });

    test("takes the late answer of its own call without another", async () => {
      const held = await at.bench.start({ ...WISH, ttlMs: 10_000, dedupe: false });
      const nowMs = at.bench.nowMs() + 11_000;
      const group = { session: at.bench.session, nowMs, calls: [at.bench.ended(held, answerTo("why"))] };
      const { outbox } = await at.bench.ledger.finish(group, RENDER);
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "expired" }]);
      await at.bench.ledger.dropOutbox((await left()).map(({ seq }) => seq));
      expect(await replay(letterIn(outbox))).toEqual({ kind: "replayed", how: "cached" });
      const published = await left();
      expect(resultsIn(published)).toMatchObject([{ status: "succeeded", served: "exact_cache", code: null }]);
      expect(generationsIn(published)).toEqual([1]);
      expect(costsIn(published)).toEqual([{ kind: "charge", billing: "cached", nanoUsd: "0" }]);
      expect(await readyRows()).toBe(0);
    });

    test.each<[string, object, ClaimVerdict, "run" | "expire"]>([
      ["failed by policy", {}, IN_DOUBT, "run"],
      ["was dropped when its job had expired", { ttlMs: 10_000 }, PUT_BACK, "expire"],
    ])("takes the answer that came when its own call in doubt %s", async (_what, wish, verdict, pick) => {
      const held = await at.bench.start({ ...WISH, ...wish });
      const dead = at.bench.session;
      await at.bench.ledger.recoverDeadSessions(dead, -1000, () => 0, RENDER);
      at.bench.session = await at.bench.ledger.openSession("next");
      const letter = letterIn((await at.bench.claim(() => verdict, pick)).outbox);
      const late = await at.bench.finish([at.bench.ended(held, answerTo("why"))], dead);
      expect(resultsIn(late.outbox)).toEqual([]);
      expect(costsIn(late.outbox)).toMatchObject([{ kind: "adjustment", billing: "waste" }]);
      const other = await at.bench.start({ ...WISH, jobId: "b" });
      expect(await replay(letter)).toEqual({ kind: "replayed", how: "cached" });
      expect(resultsIn(await left())).toMatchObject([
        { code: expect.any(String) },
        { served: "exact_cache", code: null },
      ]);
      expect(resultsIn(await answer(other))).toMatchObject([{ jobId: "b", served: "call" }]);
    });

    test.each([
      ["takes the answer of an identical one that came meanwhile", {}, "cached"],
      ["makes a call beside that answer when its job takes none of others", { cacheRead: false }, "queued"],
    ])("%s", async (_what, wish, how) => {
      const letter = await letterOf(wish);
      await answer(await at.bench.start({ ...WISH, jobId: "b" }));
      expect(await replay(letter)).toEqual({ kind: "replayed", how });
    });
  });

  describe("a replay that changes nothing", () => {
    test("is refused for bytes that became no job", async () => {
      const { outbox } = await at.bench.accept([], { refused: [await at.bench.refused(0)], moves: [] });
      expect(await replay(letterIn(outbox))).toEqual({ kind: "refused", why: "no_job" });
    });

    test("is refused for a job that had expired when it was accepted, until it gets a deadline and its request again", async () => {
      const late = await at.bench.job({ ...WISH, ttlMs: 0 }, true);
      const letter = letterIn((await at.bench.accept([late])).outbox);
      expect(await replay(letter)).toEqual({ kind: "refused", why: "no_lifetime" });
      const settings = { ...NO_SETTINGS, deadline: { afterMs: 7_200_000 } };
      expect(await replay(letter, { settings })).toEqual({ kind: "refused", why: "no_request" });
      expect(await readyRows()).toBe(0);
      expect(await replay(letter, { settings, readmitted: late.job })).toEqual(QUEUED);
      expect(resultsIn(await answer(await startNext()))).toMatchObject([{ jobId: "a", status: "succeeded" }]);
    });
  });

  describe("a replay of a record that its topic did not take", () => {
    test("sends the same bytes again, once, and leaves the job as it is", async () => {
      const outbox = await answer(await at.bench.start(WISH));
      const group = outbox.find(({ records }) => records.some(({ kind }) => kind === "result"));
      const [record] = recordsOf(outbox, "result");
      if (group === undefined || record === undefined) throw new Error("expected a result");
      const refusal = { seq: group.seq, record, reason: "MESSAGE_TOO_LARGE" };
      const given = await at.bench.ledger.giveUpOutgoing(at.bench.session, [refusal], RENDER);
      const letter = letterIn(given.outbox);
      await at.bench.ledger.dropOutbox((await left()).map(({ seq }) => seq));
      expect(await replay(letter)).toEqual({ kind: "replayed", how: "redelivered" });
      const published = await left();
      expect(published.filter(({ topic }) => topic === group.topic).flatMap(({ records }) => records)).toEqual([
        record,
      ]);
      expect(eventsIn(published)).toMatchObject([
        { kind: "operator.replayed", tenant: "catalogue", jobId: "a", generation: 0 },
      ]);
      expect(recordsOf(published, "event")[0]?.value?.toString()).toContain("ann@desk");
      expect(await replay(letter)).toEqual({ kind: "refused", why: "replayed_already" });
      expect((await at.bench.accept([await at.bench.job(WISH, true)])).kinds).toEqual(["repeated"]);
    });

    test("is counted, and after the third refusal asks for a word more", async () => {
      const outbox = await answer(await at.bench.start(WISH));
      const counts = [];
      let [seq] = outbox.filter(({ topic }) => topic === RESULTS_TOPIC).map((group) => group.seq);
      let letter = -1;
      for (const isLast of [false, false, true]) {
        const [record] = recordsOf(outbox, "result");
        if (seq === undefined || record === undefined) throw new Error("expected a result");
        const refused = [{ seq, record, reason: "MESSAGE_TOO_LARGE" }];
        const given = await at.bench.ledger.giveUpOutgoing(at.bench.session, refused, RENDER);
        counts.push(
          recordsOf(given.outbox, "dead_letter")[0]?.headers.find(([name]) => name === "llm-replay-count")?.[1],
        );
        letter = letterIn(given.outbox);
        if (isLast) break;
        await at.bench.ledger.dropOutbox((await left()).map((group) => group.seq));
        expect(await replay(letter)).toEqual({ kind: "replayed", how: "redelivered" });
        [seq] = (await left()).filter(({ topic }) => topic === RESULTS_TOPIC).map((group) => group.seq);
      }
      expect(counts).toEqual(["0", "1", "2"]);
      expect(await replay(letter)).toEqual({ kind: "refused", why: "parked" });
      expect(await replay(letter, { parked: true })).toEqual({ kind: "replayed", how: "redelivered" });
    });
  });
}
