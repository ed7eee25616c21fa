import { describe, expect, test } from "@jest/globals";
import type { JobEnd } from "../../src/domain/result/outgoing.js";
import { digestOf, RENDER } from "../support/simulation/fixture.js";
import { HOUR_MS, POOL, promptOf, UNLIMITED, type BatchBench } from "./batch-bench.js";
import { ANSWER_NANO_USD, answerTo, costsIn, failureOf, resultsIn, stagesIn } from "./ledger-bench.js";
import { DECIDED_AGAIN } from "../support/batch-rows.js";

const A = { jobId: "a", tenant: "catalogue", prompt: "why" } as const;
const B = { jobId: "b", tenant: "catalogue", prompt: "how" } as const;
const C = { jobId: "c", tenant: "shop", prompt: "who" } as const;
const CHARGED = { kind: "charge", billing: "charged", nanoUsd: ANSWER_NANO_USD.toString() } as const;

/** Cases about lines of batches, from their binding to their outcome. `at.batches` is new for each case. */
export function batchLineCases(at: { readonly batches: BatchBench }): void {
  bindingCases(at);
  returningCases(at);
  outcomeCases(at);
}

function bindingCases(at: { readonly batches: BatchBench }): void {
  describe("binding", () => {
    test("makes waiting executions the lines of a batch, in its order, with all that sending them needs", async () => {
      const jobs = await at.batches.pool(A, { ...B, priority: 7 }, C);
      const batch = await at.batches.open();
      const waiting = await at.batches.waiting();
      const bindings = await at.batches.bindings([...waiting].reverse());
      const { attempts } = await at.batches.ledger.bindLines(
        at.batches.session,
        batch.no,
        bindings,
        at.batches.bench.nowMs(),
      );
      expect(attempts).toEqual(bindings.map(({ intent }) => intent.no));
      const lines = await at.batches.lines(batch);
      expect(lines.map(({ execution, attempt }) => ({ execution, attempt }))).toEqual(
        bindings.map(({ execution, intent }) => ({ execution, attempt: { ...intent, batchNo: batch.no } })),
      );
      const ofA = lines.find((line) => promptOf(line) === "why");
      expect(ofA).toMatchObject({
        format: "openai.chat",
        policy: jobs[0]?.job.policy,
        bodyText: jobs[0]?.job.bodyText,
        history: [],
        maxCostNanoUsd: null,
        latestDeadlineMs: jobs[0]?.job.deadlineMs,
        state: "batched",
      });
      expect(await at.batches.ledger.pools()).toEqual([]);
      expect((await at.batches.ledger.load({ readyRows: 10, outboxRows: 10 }, [])).readyRows).toBe(0);
    });

    test("gives lines out in pages", async () => {
      const { batch, lines } = await at.batches.batchOf(A, B, C);
      const [first, second] = lines;
      expect(await at.batches.ledger.openLines(batch.no, 0, 2)).toEqual(lines.slice(0, 2));
      expect(await at.batches.ledger.openLines(batch.no, second?.attempt.no ?? 0, 2)).toEqual(lines.slice(2));
      expect(await at.batches.ledger.openLines(batch.no, first?.attempt.no ?? 0, 1)).toEqual(lines.slice(1, 2));
    });

    test("goes on in later steps, and a step that comes again binds nothing twice", async () => {
      await at.batches.pool(A, B);
      const batch = await at.batches.open();
      const bindings = await at.batches.bindings(await at.batches.waiting());
      const bind = (from: number, to: number) =>
        at.batches.ledger.bindLines(at.batches.session, batch.no, bindings.slice(from, to), at.batches.bench.nowMs());
      expect((await bind(0, 1)).attempts).toHaveLength(1);
      expect((await bind(0, 1)).attempts).toEqual([]);
      expect((await bind(0, 2)).attempts).toEqual([bindings[1]?.intent.no]);
      expect(await at.batches.lines(batch)).toHaveLength(2);
    });

    test("happens once for each line when two routers bind the same ones", async () => {
      const wishes = Array.from({ length: 20 }, (_, index) => ({
        ...{ jobId: `j${String(index)}`, tenant: "catalogue", prompt: `p${String(index)}` },
      }));
      await at.batches.pool(...wishes);
      const other = await at.batches.other();
      const waiting = await at.batches.waiting();
      const own = { batch: await at.batches.open(), lines: await at.batches.bindings(waiting) };
      const others = { batch: await at.batches.open({}, other), lines: await at.batches.bindings(waiting) };
      const nowMs = at.batches.bench.nowMs();
      const bound = await Promise.all([
        at.batches.ledger.bindLines(at.batches.session, own.batch.no, own.lines, nowMs),
        at.batches.ledger.bindLines(other, others.batch.no, others.lines, nowMs),
      ]);
      const [ours, theirs] = [await at.batches.lines(own.batch), await at.batches.lines(others.batch)];
      expect([ours.length, theirs.length]).toEqual(bound.map(({ attempts }) => attempts.length));
      const executions = [...ours, ...theirs].map(({ execution }) => execution.no);
      expect(executions.sort()).toEqual(waiting.map(({ execution }) => execution.no).sort());
    });

    test("leaves out a line that was taken meanwhile, also when it waits again after another try", async () => {
      const { bench } = at.batches;
      await at.batches.pool({ ...A, lookInMs: -1 }, B);
      const seen = await at.batches.waiting();
      await at.batches.ledger.sweepPools(at.batches.session, bench.nowMs(), 10);
      const intent = await bench.intent(1);
      const { started } = await bench.claim(() => ({ kind: "start", intent }));
      const batch = await at.batches.open();
      const bind = async () =>
        at.batches.ledger.bindLines(at.batches.session, batch.no, await at.batches.bindings(seen), bench.nowMs());
      const [first] = started;
      if (first === undefined) throw new Error("expected a started execution");
      expect((await bind()).attempts).toHaveLength(1);
      await bench.finish([
        bench.ended({ execution: first.execution.key, intent, wish: A }, failureOf("overloaded", "answered", 500)),
      ]);
      await bench.claim(() => ({
        kind: "pool",
        pooled: { pool: POOL, line: at.batches.line(bench.nowMs() + HOUR_MS) },
        decision: { ...DECIDED_AGAIN },
      }));
      expect((await bind()).attempts).toEqual([]);
      expect((await at.batches.lines(batch)).map(promptOf)).toEqual(["how"]);
      expect((await at.batches.waiting()).map(({ attempts }) => attempts)).toEqual([1]);
    });

    test("leaves out a line that no job waits for; the next sweep lets it go, and its request is free again", async () => {
      const { bench } = at.batches;
      await at.batches.pool(A, B);
      const cancelled = [{ tenant: "catalogue", jobId: "a", behind: 0 }];
      await bench.accept([], { cancels: cancelled, moves: [] });
      const batch = await at.batches.open();
      expect((await at.batches.bind(batch)).map(promptOf)).toEqual(["how"]);
      expect(await at.batches.ledger.sweepPools(at.batches.session, bench.nowMs(), 10)).toBe(1);
      const claimed = await bench.claim(() => {
        throw new Error("asked about an execution that nobody waits for");
      });
      expect([claimed.taken, claimed.started]).toEqual([1, []]);
      expect(await at.batches.pool({ ...A, jobId: "again" })).toHaveLength(1);
    });

    test("adds nothing to a batch that is sealed", async () => {
      await at.batches.pool(A);
      const batch = await at.batches.open();
      await at.batches.save(batch, { state: "sealed" });
      expect(await at.batches.bind(batch)).toEqual([]);
      expect(await at.batches.waiting()).toHaveLength(1);
    });

    test("adds nothing to a batch that another router holds", async () => {
      await at.batches.pool(A);
      const batch = await at.batches.open();
      expect(await at.batches.bind(batch, await at.batches.other())).toEqual([]);
      expect(await at.batches.waiting()).toHaveLength(1);
    });

    test("adds nothing for a session that has ended", async () => {
      await at.batches.pool(A);
      const dead = await at.batches.other();
      const batch = await at.batches.open({}, dead);
      await at.batches.ledger.endSession(dead);
      expect(await at.batches.bind(batch, dead)).toEqual([]);
      expect(await at.batches.waiting()).toHaveLength(1);
    });
  });
}

function returningCases(at: { readonly batches: BatchBench }): void {
  const claimed = async (): Promise<readonly string[]> => {
    const seen: string[] = [];
    await at.batches.bench.claim((waiting) => {
      seen.push(promptOf(waiting));
      return { kind: "wait", runAtMs: at.batches.bench.nowMs() + HOUR_MS, waitsFor: "concurrency" };
    });
    return seen.sort();
  };
  const giveBack = (no: number, attempts: Parameters<BatchBench["ledger"]["returnLines"]>[2], limit = 10) =>
    at.batches.ledger.returnLines(at.batches.session, no, attempts, limit, at.batches.bench.nowMs());

  describe("lines that are given back", () => {
    test("of a refused batch are due at once, in steps, as if they had never been tried", async () => {
      const { batch } = await at.batches.batchOf(A, B, C);
      await at.batches.bring(batch, "failed");
      expect([
        await giveBack(batch.no, null, 2),
        await giveBack(batch.no, null),
        await giveBack(batch.no, null),
      ]).toEqual([2, 1, 0]);
      expect(await at.batches.lines(batch)).toEqual([]);
      expect(await claimed()).toEqual(["how", "who", "why"]);
    });

    test("are decided anew and bound again under the same number of a try", async () => {
      const { bench } = at.batches;
      const { batch, lines } = await at.batches.batchOf(A);
      await giveBack(batch.no, null);
      await bench.claim((waiting) => {
        expect(waiting.history).toEqual([]);
        const pooled = { pool: POOL, line: at.batches.line(bench.nowMs() + HOUR_MS) };
        return { kind: "pool", pooled, decision: DECIDED_AGAIN };
      });
      const [again] = await at.batches.bind(await at.batches.open());
      expect([again?.attempt.number, again?.execution]).toEqual([1, lines[0]?.execution]);
      expect(again?.attempt.no).not.toBe(lines[0]?.attempt.no);
    });

    test("are those that are named, of this batch, without an outcome", async () => {
      const { batch, lines } = await at.batches.batchOf(A, B);
      const other = await at.batches.batchOf(C);
      const keyOf = ({ attempt, execution }: (typeof lines)[number]) => ({ no: attempt.no, day: execution.day });
      const [first, second] = lines;
      if (first === undefined || second === undefined) throw new Error("expected two lines");
      await at.batches.bench.finish([at.batches.ended(batch, second, answerTo(promptOf(second)))]);
      const all = [...lines, ...other.lines].map(keyOf);
      expect([await giveBack(batch.no, all), await giveBack(batch.no, all)]).toEqual([1, 0]);
      expect(await at.batches.lines(other.batch)).toHaveLength(1);
      expect(await claimed()).toEqual([promptOf(first)]);
    });

    test("are not given back by a router that does not hold the batch, or has ended", async () => {
      const { batch } = await at.batches.batchOf(A);
      const other = await at.batches.other();
      expect(await at.batches.ledger.returnLines(other, batch.no, null, 10, at.batches.bench.nowMs())).toBe(0);
      await at.batches.ledger.endSession(at.batches.session);
      expect(await giveBack(batch.no, null)).toBe(0);
      expect(await at.batches.lines(batch)).toHaveLength(1);
    });

    test("end with a later outcome for nobody: nothing ran", async () => {
      const { batch, lines } = await at.batches.batchOf(A);
      await giveBack(batch.no, null);
      const [line] = lines;
      if (line === undefined) throw new Error("expected a line");
      const finished = await at.batches.bench.finish([at.batches.ended(batch, line, answerTo("why"))]);
      expect(finished).toEqual({ ended: [], outbox: [], waste: 0 });
      expect(await claimed()).toEqual(["why"]);
    });
  });
}

function outcomeCases(at: { readonly batches: BatchBench }): void {
  const oneLine = async () => {
    const { batch, lines } = await at.batches.batchOf(A);
    const [line] = lines;
    if (line === undefined) throw new Error("expected a line");
    return { batch: await at.batches.bring(batch, "ended", { providerBatchId: "batch_1" }), line };
  };

  describe("a line's outcome", () => {
    test("is its job's result, and says that it came from a batch", async () => {
      const { batch, line } = await oneLine();
      const ends: JobEnd[] = [];
      const spying: typeof RENDER = {
        ...RENDER,
        end: (job, end) => {
          ends.push(end);
          return RENDER.end(job, end);
        },
      };
      const { bench } = at.batches;
      const calls = [at.batches.ended(batch, line, answerTo("why"))];
      const { outbox, waste } = await bench.ledger.finish(
        { session: bench.session, nowMs: bench.nowMs(), calls },
        spying,
      );
      expect(resultsIn(outbox)).toEqual([
        { jobId: "a", status: "succeeded", served: "call", digest: digestOf("why"), code: null },
      ]);
      expect([costsIn(outbox), waste]).toEqual([[CHARGED], 0]);
      expect(ends).toMatchObject([
        {
          answer: { facts: { attempt: { mode: "batch", batch: { no: batch.no, providerBatchId: "batch_1" } } } },
          history: [{ mode: "batch" }],
        },
      ]);
      const key = { no: line.attempt.no, day: line.execution.day };
      expect(await at.batches.lines(batch)).toEqual([]);
      expect(await at.batches.ledger.linesByAttempt(batch.no, [key])).toMatchObject([
        { attempt: line.attempt, state: "ended", latestDeadlineMs: null },
      ]);
    });

    test("that ends its job is told with the stage of batches", async () => {
      const { batch, line } = await oneLine();
      const { bench } = at.batches;
      const { outbox } = await bench.finish([at.batches.ended(batch, line, failureOf("refused", "answered", 400))]);
      expect(resultsIn(outbox)).toMatchObject([{ status: "failed", code: "PROVIDER_REFUSED" }]);
      expect(stagesIn(outbox)).toEqual(["batch"]);
    });

    test("is recorded once, however often it comes", async () => {
      const { batch, line } = await oneLine();
      const call = at.batches.ended(batch, line, answerTo("why"));
      const finished = await Promise.all([at.batches.bench.finish([call]), at.batches.bench.finish([call])]);
      expect(finished.flatMap(({ outbox }) => resultsIn(outbox))).toHaveLength(1);
      expect(await at.batches.bench.finish([call])).toEqual({ ended: [], outbox: [], waste: 0 });
    });

    test("keeps nothing when it breaks off between two statements", async () => {
      const { batch, line } = await oneLine();
      const { bench } = at.batches;
      const group = {
        session: bench.session,
        nowMs: bench.nowMs(),
        calls: [at.batches.ended(batch, line, answerTo("why"))],
      };
      const broken: typeof RENDER = {
        ...RENDER,
        end: () => {
          throw new Error("the process dies here");
        },
      };
      await expect(bench.ledger.finish(group, broken)).rejects.toThrow("the process dies here");
      expect(await at.batches.lines(batch)).toHaveLength(1);
      expect(resultsIn((await bench.ledger.finish(group, RENDER)).outbox)).toHaveLength(1);
    });

    test("is written by whichever router works on the batch; what follows a failure, too", async () => {
      const { batch, lines } = await at.batches.batchOf(A, B);
      const other = await at.batches.other();
      await at.batches.ledger.endSession(at.batches.session);
      at.batches.bench.session = other;
      const calls = lines.map((line) =>
        at.batches.ended(
          batch,
          line,
          promptOf(line) === "why" ? answerTo("why") : failureOf("overloaded", "answered", 500),
        ),
      );
      const { outbox } = await at.batches.bench.finish(calls, other);
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "succeeded" }]);
      const seen: unknown[] = [];
      await at.batches.bench.claim((waiting) => {
        seen.push(promptOf(waiting), waiting.history);
        return { kind: "wait", runAtMs: at.batches.bench.nowMs() + HOUR_MS, waitsFor: "backoff" };
      });
      expect(seen).toMatchObject(["how", [{ number: 1, mode: "batch", outcome: "overloaded" }]]);
    });

    test("that is a failure is not written by a session that has ended: nobody would decide what follows", async () => {
      const { batch, line } = await oneLine();
      const { bench } = at.batches;
      const [dead, living] = [await at.batches.other(), bench.session];
      await at.batches.ledger.endSession(dead);
      const call = at.batches.ended(batch, line, failureOf("refused", "answered", 400));
      expect(await bench.finish([call], dead)).toEqual({ ended: [], outbox: [], waste: 0 });
      expect(await at.batches.lines(batch)).toHaveLength(1);
      const { outbox } = await bench.finish([call], living);
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "failed", code: "PROVIDER_REFUSED" }]);
    });

    test("does not touch the other lines", async () => {
      const { batch, lines } = await at.batches.batchOf(A, B, C);
      const bad = lines.find((line) => promptOf(line) === "how");
      if (bad === undefined) throw new Error("expected a line");
      await at.batches.bench.finish([at.batches.ended(batch, bad, failureOf("refused", "answered", 400))]);
      expect(await at.batches.lines(batch)).toEqual(lines.filter((line) => line !== bad));
    });
  });

  describe("lines by their attempts", () => {
    test("leave out unknown ones and those of other batches", async () => {
      const { batch, lines } = await at.batches.batchOf(A, B);
      const other = await at.batches.batchOf(C);
      const keys = [...other.lines, ...lines].map(({ attempt, execution }) => ({ no: attempt.no, day: execution.day }));
      const unknown = { no: await at.batches.bench.number(), day: keys[0]?.day ?? 0 };
      const found = await at.batches.ledger.linesByAttempt(batch.no, [unknown, ...keys]);
      expect([...found].sort((a, b) => a.attempt.no - b.attempt.no)).toEqual(lines);
    });
  });

  describe("a late answer", () => {
    /** Its call is in doubt, which a claim settles: it waits for a batch instead. */
    const doubtThenPool = async () => {
      const { bench } = at.batches;
      const held = await bench.start({ ...A, ttlMs: 24 * HOUR_MS });
      await bench.finish([bench.ended(held, failureOf("connection_failed", "perhaps", null))]);
      const pooled = { pool: POOL, line: at.batches.line(bench.nowMs() + HOUR_MS) };
      await bench.claim(() => ({ kind: "pool", pooled, decision: DECIDED_AGAIN }));
      return held;
    };

    test("serves the jobs of an execution that waits for a batch, and takes it out of its pool", async () => {
      const held = await doubtThenPool();
      const { outbox } = await at.batches.bench.finish([at.batches.bench.ended(held, answerTo("why"))]);
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "succeeded" }]);
      expect([await at.batches.waiting(), await at.batches.ledger.pools()]).toEqual([[], []]);
    });

    test("serves the jobs of a line; what that costs all the same is waste", async () => {
      const held = await doubtThenPool();
      const batch = await at.batches.open();
      const [line] = await at.batches.bind(batch);
      if (line === undefined) throw new Error("expected a line");
      const { outbox } = await at.batches.bench.finish([at.batches.bench.ended(held, answerTo("why"))]);
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "succeeded" }]);
      const late = await at.batches.bench.finish([at.batches.ended(batch, line, answerTo("why"))]);
      expect([resultsIn(late.outbox), late.waste]).toEqual([[], 1]);
      expect(costsIn(late.outbox)).toEqual([{ ...CHARGED, billing: "waste" }]);
    });
  });

  test("a limit of nobody's is none", async () => {
    const wanted = await at.batches.wanted({ lines: 50_000, tokens: 2 ** 45 });
    expect(await at.batches.ledger.openBatch(at.batches.session, wanted, UNLIMITED)).toMatchObject({ kind: "opened" });
  });
}
