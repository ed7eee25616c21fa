import { describe, expect, test } from "@jest/globals";
import type { Batch } from "../../src/domain/batch/batch.js";
import type { AttemptIntent, WaitingExecution } from "../../src/domain/execution/execution.js";
import type { BatchLine } from "../../src/ports/batch-ledger.js";
import type { ClaimOutcome, ClaimVerdict, FinishedCall, RescueLook } from "../../src/ports/ledger.js";
import type { ProviderAnswer, ProviderFailure } from "../../src/ports/provider.js";
import { digestOf, RENDER, type JobWish } from "../support/simulation/fixture.js";
import { HOUR_MS, promptOf, type BatchBench } from "./batch-bench.js";
import {
  ANSWER_NANO_USD,
  answerTo,
  costsIn,
  eventsIn,
  failureOf,
  recordsOf,
  resultsIn,
  type Held,
} from "./ledger-bench.js";

const MINUTE_MS = 60_000;
const A = { jobId: "a", tenant: "catalogue", prompt: "why", ttlMs: 100_000 } as const;
const B = { jobId: "b", tenant: "catalogue", prompt: "how", ttlMs: 100_000 } as const;
const C = { jobId: "c", tenant: "shop", prompt: "who", ttlMs: HOUR_MS } as const;
const CHARGED = { kind: "charge", billing: "charged", nanoUsd: ANSWER_NANO_USD.toString() } as const;
const WASTE = { ...CHARGED, billing: "waste" } as const;

/** A line that is out and the call beside it. */
interface Pair {
  readonly batch: Batch;
  readonly line: BatchLine;
  readonly call: Held;
}

/** Cases about calls that are made beside lines. `at.batches` is new for each case. */
export function rescueCases(at: { readonly batches: BatchBench }): void {
  describe("a look for lines to rescue", () => {
    lookCases(at);
  });
  describe("a rescue", () => {
    answerCases(at);
    failureCases(at);
    doubtCases(at);
    goneCases(at);
  });
}

function lookOf(at: { readonly batches: BatchBench }, changes: Partial<RescueLook> = {}): RescueLook {
  const { bench, session } = at.batches;
  const nowMs = bench.nowMs();
  return { session, nowMs, limit: 10, models: ["sim"], deadlineMs: nowMs + 2 * MINUTE_MS, after: 0, ...changes };
}

/** The lines that a look finds, by their prompts. */
async function found(at: { readonly batches: BatchBench }, changes: Partial<RescueLook> = {}): Promise<string[]> {
  const seen: string[] = [];
  const decide = (waiting: WaitingExecution): ClaimVerdict => {
    seen.push(promptOf(waiting));
    return { kind: "line" };
  };
  await at.batches.ledger.rescue(lookOf(at, changes), decide, RENDER);
  return seen.sort();
}

/** Rescues all lines that a look finds. */
async function rescued(
  at: { readonly batches: BatchBench },
  changes: Partial<RescueLook> = {},
): Promise<{ readonly outcome: ClaimOutcome; readonly calls: readonly Held[] }> {
  const { bench } = at.batches;
  const intents = [await bench.intent(0), await bench.intent(0), await bench.intent(0)];
  const calls: Held[] = [];
  const decide = (waiting: WaitingExecution): ClaimVerdict => {
    const { line } = waiting;
    const fresh = intents[calls.length];
    if (line === undefined || fresh === undefined) throw new Error("expected a line that is out");
    const intent: AttemptIntent = { ...fresh, number: line.number + 1, supersedes: line.attemptNo };
    calls.push({ execution: waiting.key, intent, wish: { jobId: "", tenant: "", prompt: promptOf(waiting) } });
    return { kind: "start", intent };
  };
  return { outcome: await at.batches.ledger.rescue(lookOf(at, changes), decide, RENDER), calls };
}

/** These jobs' lines are out in a batch that its provider has. */
async function submitted(
  at: { readonly batches: BatchBench },
  ...wishes: readonly JobWish[]
): Promise<{ readonly batch: Batch; readonly lines: readonly BatchLine[] }> {
  const { batch, lines } = await at.batches.batchOf(...wishes);
  const expectedAtMs = at.batches.bench.nowMs() + HOUR_MS;
  return {
    batch: await at.batches.bring(batch, "submitted", { providerBatchId: `batch_${String(batch.no)}`, expectedAtMs }),
    lines,
  };
}

async function pairOf(at: { readonly batches: BatchBench }, ...wishes: readonly JobWish[]): Promise<Pair> {
  const { batch, lines } = await submitted(at, ...(wishes.length === 0 ? [A] : wishes));
  const { calls } = await rescued(at);
  const [line, call] = [lines[0], calls[0]];
  if (line === undefined || call === undefined) throw new Error("expected a line and its rescue");
  return { batch, line, call };
}

function lookCases(at: { readonly batches: BatchBench }): void {
  test("finds those whose jobs' deadlines are near, of the models that are named", async () => {
    await submitted(at, A, B, C);
    expect(await found(at)).toEqual(["how", "why"]);
    expect(await found(at, { deadlineMs: at.batches.bench.nowMs() + 2 * HOUR_MS })).toEqual(["how", "who", "why"]);
    expect(await found(at, { deadlineMs: at.batches.bench.nowMs() + 1000 })).toEqual([]);
    expect(await found(at, { models: ["other"] })).toEqual([]);
    expect(await found(at, { models: [] })).toEqual([]);
  });

  test("tells what is known of the line, and changes nothing when it stays one", async () => {
    const { batch, lines } = await submitted(at, A);
    const seen: unknown[] = [];
    const decide = (waiting: WaitingExecution): ClaimVerdict => {
      seen.push(waiting.state, waiting.line, waiting.history, waiting.doubtful);
      return { kind: "line" };
    };
    const outcome = await at.batches.ledger.rescue(lookOf(at), decide, RENDER);
    expect(outcome).toMatchObject({ taken: 1, started: [], ended: [], outbox: [] });
    const { no: attemptNo, number } = lines[0]?.attempt ?? { no: 0, number: 0 };
    const line = { attemptNo, number, batchNo: batch.no, account: "alpha", provider: "openai" };
    expect(seen).toEqual(["running", { ...line, expectedAtMs: batch.expectedAtMs }, [], null]);
    expect(await at.batches.lines(batch)).toEqual(lines);
  });

  test("goes on behind the last one", async () => {
    const { lines } = await submitted(at, A, B);
    const [first, second] = lines;
    expect(await found(at, { limit: 1 })).toEqual([promptOf(first ?? { bodyText: "" })]);
    expect(await found(at, { after: first?.attempt.no ?? 0 })).toEqual([promptOf(second ?? { bodyText: "" })]);
    expect(await found(at, { after: second?.attempt.no ?? 0 })).toEqual([]);
  });

  test("passes by lines that no provider has yet, and those whose batch was given up", async () => {
    const { batch } = await at.batches.batchOf(A);
    expect(await found(at)).toEqual([]);
    const creating = await at.batches.bring(batch, "creating");
    expect(await found(at)).toEqual([]);
    const ready = await at.batches.save(creating, { state: "submitted" });
    expect(await found(at)).toEqual(["why"]);
    await at.batches.save(ready ?? creating, { state: "failed" });
    expect(await found(at)).toEqual([]);
  });

  test("passes by jobs that insist on a batch", async () => {
    const job = await at.batches.job(A, { mode: "batch" });
    await at.batches.bench.accept([job]);
    const batch = await at.batches.open();
    await at.batches.bind(batch);
    await at.batches.bring(batch, "submitted");
    expect(await found(at)).toEqual([]);
  });

  test("passes by lines that nobody waits for, and those with an outcome", async () => {
    const { batch, lines } = await submitted(at, A, B);
    await at.batches.bench.accept([], { cancels: [{ tenant: "catalogue", jobId: "a", behind: 0 }], moves: [] });
    expect(await found(at)).toEqual(["how"]);
    const line = lines.find((one) => promptOf(one) === "how");
    if (line === undefined) throw new Error("expected a line");
    await at.batches.bench.finish([at.batches.ended(batch, line, answerTo("how"))]);
    expect(await found(at)).toEqual([]);
  });

  test("is not for a session that has ended", async () => {
    await submitted(at, A);
    await at.batches.ledger.endSession(at.batches.session);
    const { outcome, calls } = await rescued(at);
    expect([outcome.fenced, calls]).toEqual([true, []]);
  });

  test("finds a line once, whoever looks at the same moment", async () => {
    await submitted(at, A, B);
    const both = await Promise.all([rescued(at), rescued(at)]);
    const executions = both.flatMap(({ outcome }) => outcome.started.map(({ execution }) => execution.key.no));
    expect(executions).toHaveLength(2);
    expect(new Set(executions).size).toBe(2);
    expect(await found(at)).toEqual([]);
  });
}

function answerCases(at: { readonly batches: BatchBench }): void {
  const ended = (call: Held, outcome: ProviderAnswer | ProviderFailure): FinishedCall =>
    at.batches.bench.ended(call, outcome);

  test("is started with its intent stored, told of once a batch, and leaves the line as it is", async () => {
    const { batch, lines } = await submitted(at, A, B);
    const { outcome } = await rescued(at);
    expect(outcome.started.map(({ intent }) => [intent.number, intent.supersedes])).toEqual(
      lines.map(({ attempt }) => [2, attempt.no]),
    );
    expect(eventsIn(outcome.outbox)).toMatchObject([{ kind: "batch.rescued", account: "alpha" }]);
    expect(await at.batches.lines(batch)).toHaveLength(2);
    const open = await at.batches.ledger.openAttempts(
      outcome.started.map(({ execution, intent }) => ({ execution: execution.key, attempt: intent })),
    );
    expect(open.size).toBe(2);
  });

  test("that answers first serves its jobs; the line's answer is waste", async () => {
    const { batch, line, call } = await pairOf(at);
    const first = await at.batches.bench.finish([ended(call, answerTo("why"))]);
    expect(resultsIn(first.outbox)).toEqual([
      { jobId: "a", status: "succeeded", served: "call", digest: digestOf("why"), code: null },
    ]);
    expect([costsIn(first.outbox), first.waste]).toEqual([[CHARGED], 0]);
    const second = await at.batches.bench.finish([at.batches.ended(batch, line, answerTo("why"))]);
    expect([resultsIn(second.outbox), costsIn(second.outbox), second.waste]).toEqual([[], [WASTE], 1]);
    expect(await at.batches.lines(batch)).toEqual([]);
  });

  test("that answers second is waste; the line's answer serves", async () => {
    const { batch, line, call } = await pairOf(at);
    const first = await at.batches.bench.finish([at.batches.ended(batch, line, answerTo("why"))]);
    expect(resultsIn(first.outbox)).toMatchObject([{ jobId: "a", status: "succeeded", served: "call" }]);
    expect([costsIn(first.outbox), first.waste]).toEqual([[CHARGED], 0]);
    const second = await at.batches.bench.finish([ended(call, answerTo("why"))]);
    expect([resultsIn(second.outbox), costsIn(second.outbox), second.waste]).toEqual([[], [WASTE], 1]);
  });

  test("and its line that answer at the same moment make one result, one cost and one waste", async () => {
    const { batch, line, call } = await pairOf(at);
    const both = await Promise.all([
      at.batches.bench.finish([ended(call, answerTo("why"))]),
      at.batches.bench.finish([at.batches.ended(batch, line, answerTo("why"))]),
    ]);
    const outbox = both.flatMap((finished) => finished.outbox);
    expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "succeeded" }]);
    expect(
      costsIn(outbox)
        .map(({ billing }) => billing)
        .sort(),
    ).toEqual(["charged", "waste"]);
  });

  test("serves a job that joined while it was out", async () => {
    const { call } = await pairOf(at);
    const { kinds } = await at.batches.bench.accept([await at.batches.bench.job({ ...A, jobId: "late" }, false)]);
    expect(kinds).toEqual(["joined"]);
    const { outbox } = await at.batches.bench.finish([ended(call, answerTo("why"))]);
    expect(resultsIn(outbox)).toMatchObject([
      { jobId: "a", served: "call" },
      { jobId: "late", served: "coalesced" },
    ]);
  });
}

function failureCases(at: { readonly batches: BatchBench }): void {
  const claimed = async (decide: (waiting: WaitingExecution) => ClaimVerdict) =>
    (await at.batches.bench.claim(decide, "run", 0)).taken;
  const toLine = (waiting: WaitingExecution): ClaimVerdict => {
    expect(waiting).toMatchObject({ state: "ready", line: { number: 1 } });
    return { kind: "line" };
  };

  test.each([
    ["for now", failureOf("overloaded", "answered", 500)],
    ["for good", failureOf("refused", "answered", 400)],
  ])("that fails %s ends nothing while its line is out: that serves when it answers", async (_when, failure) => {
    const { batch, line, call } = await pairOf(at);
    const failed = await at.batches.bench.finish([at.batches.bench.ended(call, failure)]);
    expect([resultsIn(failed.outbox), costsIn(failed.outbox)]).toEqual([[], []]);
    expect(await claimed(toLine)).toBe(1);
    const [out] = await at.batches.lines(batch);
    expect(out).toMatchObject({ attempt: { no: line.attempt.no }, history: [{ number: 2, mode: "direct" }] });
    expect(await found(at)).toEqual([]); // it was rescued before
    const answered = await at.batches.bench.finish([at.batches.ended(batch, line, answerTo("why"))]);
    expect(resultsIn(answered.outbox)).toMatchObject([{ jobId: "a", status: "succeeded" }]);
    expect([costsIn(answered.outbox), answered.waste]).toEqual([[CHARGED], 0]);
  });

  test("that fails, and then its line: the execution goes on as usual, and remembers both", async () => {
    const { batch, line, call } = await pairOf(at);
    await at.batches.bench.finish([at.batches.bench.ended(call, failureOf("overloaded", "answered", 500))]);
    await claimed(toLine);
    await at.batches.bench.finish([at.batches.ended(batch, line, failureOf("overloaded", "answered", 500))]);
    const seen: unknown[] = [];
    await at.batches.bench.claim((waiting) => {
      seen.push(waiting.line, waiting.history.map(({ number }) => number).sort());
      return { kind: "wait", runAtMs: at.batches.bench.nowMs() + HOUR_MS, waitsFor: "backoff" };
    });
    expect(seen).toEqual([undefined, [1, 2]]);
  });

  test("goes on when its line fails: then it decides", async () => {
    const { batch, line, call } = await pairOf(at);
    const lost = await at.batches.bench.finish([at.batches.ended(batch, line, failureOf("refused", "answered", 400))]);
    expect([resultsIn(lost.outbox), await at.batches.lines(batch)]).toEqual([[], []]);
    const { outbox } = await at.batches.bench.finish([at.batches.bench.ended(call, answerTo("why"))]);
    expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "succeeded" }]);
    expect(costsIn(outbox)).toEqual([CHARGED]);
  });

  test("that fails for good after its line ends the jobs", async () => {
    const { batch, line, call } = await pairOf(at);
    await at.batches.bench.finish([at.batches.ended(batch, line, failureOf("overloaded", "answered", 500))]);
    const { outbox } = await at.batches.bench.finish([
      at.batches.bench.ended(call, failureOf("refused", "answered", 400)),
    ]);
    expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "failed", code: "PROVIDER_REFUSED" }]);
    const next = await at.batches.batchOf(C); // nothing is left of it that could disturb
    expect(next.lines).toHaveLength(1);
  });

  test("and its line that fail at the same moment leave one row for what follows", async () => {
    for (let round = 0; round < 6; round += 1) {
      const wish = { ...A, jobId: `a-${String(round)}`, prompt: `why ${String(round)}` };
      const { batch, line, call } = await pairOf(at, wish);
      await Promise.all([
        at.batches.bench.finish([at.batches.bench.ended(call, failureOf("overloaded", "answered", 500))]),
        at.batches.bench.finish([at.batches.ended(batch, line, failureOf("overloaded", "answered", 500))]),
      ]);
      const seen: unknown[] = [];
      await at.batches.bench.claim((waiting) => {
        seen.push(waiting.line, waiting.history.map(({ number }) => number).sort());
        return { kind: "wait", runAtMs: at.batches.bench.nowMs() + HOUR_MS, waitsFor: "backoff" };
      });
      expect(seen).toEqual([undefined, [1, 2]]);
    }
  });

  test("that is given back while its line fails is not left to it", async () => {
    for (let round = 0; round < 6; round += 1) {
      const wish = { ...A, jobId: `a-${String(round)}`, prompt: `why ${String(round)}` };
      const { batch, line, call } = await pairOf(at, wish);
      const { bench } = at.batches;
      const unsent = [{ execution: call.execution, attempt: call.intent }];
      await bench.ledger.giveBack(bench.session, unsent, bench.nowMs());
      const failed = at.batches.ended(batch, line, failureOf("overloaded", "answered", 500));
      await Promise.all([
        bench.finish([failed]),
        bench.claim(({ line: out }) =>
          out === undefined ? { kind: "wait", runAtMs: bench.nowMs() - 1, waitsFor: "backoff" } : { kind: "line" },
        ),
      ]);
      const again: unknown[] = [];
      await bench.claim((waiting) => {
        again.push(
          waiting.line,
          waiting.history.map(({ number }) => number),
        );
        return { kind: "wait", runAtMs: bench.nowMs() + HOUR_MS, waitsFor: "backoff" };
      });
      expect(again).toEqual([undefined, [1]]);
    }
  });

  test("that was never sent was none: its line is out as before, and may be rescued", async () => {
    const { batch, line, call } = await pairOf(at);
    const { bench } = at.batches;
    await bench.ledger.giveBack(bench.session, [{ execution: call.execution, attempt: call.intent }], bench.nowMs());
    expect(await found(at)).toEqual([]);
    expect(await claimed(toLine)).toBe(1);
    expect(await at.batches.lines(batch)).toEqual([line]);
    const again = await rescued(at);
    expect(again.outcome.started).toMatchObject([{ intent: { number: 2, supersedes: line.attempt.no } }]);
  });

  test("leaves to the line also those who joined it: their deadlines count in the batch", async () => {
    const { call } = await pairOf(at, { ...A, ttlMs: 2 * MINUTE_MS - 1000 });
    const { bench } = at.batches;
    await bench.accept([await bench.job({ ...A, jobId: "late", ttlMs: 30_000 }, false)]);
    await bench.finish([bench.ended(call, failureOf("overloaded", "answered", 500))]);
    await claimed(toLine);
    const atMs = bench.nowMs() + 40_000;
    const { outbox } = await at.batches.ledger.expireBatched(bench.session, atMs, 10, RENDER);
    expect(resultsIn(outbox)).toMatchObject([{ jobId: "late", status: "expired" }]);
  });
}

function doubtCases(at: { readonly batches: BatchBench }): void {
  const inDoubt = async (): Promise<Pair> => {
    const pair = await pairOf(at);
    await at.batches.bench.finish([at.batches.bench.ended(pair.call, failureOf("connection_failed", "perhaps", null))]);
    return pair;
  };
  const putBack = (waiting: WaitingExecution): ClaimVerdict => {
    expect(waiting).toMatchObject({ state: "in_doubt", line: { number: 1 }, doubtful: { number: 2 } });
    return { kind: "wait", runAtMs: at.batches.bench.nowMs() - 1, waitsFor: "doubt" };
  };

  test("in doubt is a doubt as any, and its line still serves", async () => {
    const { batch, line } = await inDoubt();
    expect((await at.batches.bench.claim(putBack)).taken).toBe(1);
    const { outbox } = await at.batches.bench.finish([at.batches.ended(batch, line, answerTo("why"))]);
    expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "succeeded" }]);
    expect(costsIn(outbox)).toEqual([CHARGED]);
    const settled = await at.batches.bench.claim(() => {
      throw new Error("asked about an execution that has ended");
    });
    expect(costsIn(settled.outbox)).toEqual([{ kind: "charge", billing: "in_doubt", nanoUsd: null }]);
  });

  test("in doubt that answers late serves if it is first", async () => {
    const { batch, line, call } = await inDoubt();
    const { outbox } = await at.batches.bench.finish([at.batches.bench.ended(call, answerTo("why"))]);
    expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "succeeded" }]);
    const second = await at.batches.bench.finish([at.batches.ended(batch, line, answerTo("why"))]);
    expect([resultsIn(second.outbox), costsIn(second.outbox)]).toEqual([[], [WASTE]]);
  });

  test("in doubt whose line fails is settled by policy", async () => {
    const { batch, line, call } = await inDoubt();
    await at.batches.bench.finish([at.batches.ended(batch, line, failureOf("overloaded", "answered", 500))]);
    const intent = await at.batches.bench.intent(3);
    const claimed = await at.batches.bench.claim((waiting) => {
      expect(waiting.line).toBeUndefined();
      expect([waiting.doubtful?.no, waiting.history.map(({ number }) => number)]).toEqual([call.intent.no, [1]]);
      return { kind: "start", intent };
    });
    expect(claimed.started).toHaveLength(1);
    expect(costsIn(claimed.outbox)).toEqual([{ kind: "charge", billing: "in_doubt", nanoUsd: null }]);
    expect(await found(at)).toEqual([]);
  });

  test("of a router that died is in doubt, and its line still serves", async () => {
    const { batch, line, call } = await pairOf(at);
    const { bench } = at.batches;
    const living = await at.batches.other();
    await bench.ledger.endSession(bench.session);
    expect(await bench.ledger.recoverDeadSessions(living, 3_600_000, () => 0, RENDER)).toBe(1);
    bench.session = living;
    expect((await bench.claim(putBack)).taken).toBe(1);
    const { outbox } = await bench.finish([at.batches.ended(batch, line, answerTo("why"))], living);
    expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "succeeded" }]);
    const late = await bench.finish([bench.ended(call, answerTo("why"))], living);
    expect([resultsIn(late.outbox), costsIn(late.outbox)]).toEqual([[], [WASTE]]);
  });

  test("of a router that died before it was sent leaves its line to be rescued by others", async () => {
    const { batch, line } = await pairOf(at);
    const { bench } = at.batches;
    const ended = {
      session: bench.session,
      stamp: await bench.ledger.sessionStamp(bench.session),
      mayHaveSent: new Set<number>(),
    };
    bench.session = await at.batches.other();
    expect(await bench.ledger.takeBackUnsent(ended, bench.nowMs())).toBe(1);
    await bench.claim(() => ({ kind: "line" }), "run", 0);
    expect(await at.batches.lines(batch)).toEqual([line]);
    const { outcome } = await rescued(at);
    expect(outcome.started).toHaveLength(1);
  });
}

function goneCases(at: { readonly batches: BatchBench }): void {
  const cancelled = [{ tenant: "catalogue", jobId: "a", behind: 0 }] as const;

  test("whose jobs are all cancelled is booked when it answers, and the line as waste", async () => {
    const { batch, line, call } = await pairOf(at);
    await at.batches.bench.accept([], { cancels: cancelled, moves: [] });
    const first = await at.batches.bench.finish([at.batches.bench.ended(call, answerTo("why"))]);
    expect([resultsIn(first.outbox), costsIn(first.outbox)]).toEqual([[], [CHARGED]]);
    const second = await at.batches.bench.finish([at.batches.ended(batch, line, answerTo("why"))]);
    expect([resultsIn(second.outbox), costsIn(second.outbox)]).toEqual([[], [WASTE]]);
  });

  test("that fails when all jobs are cancelled is dropped, and the line's answer is waste", async () => {
    const { batch, line, call } = await pairOf(at);
    await at.batches.bench.accept([], { cancels: cancelled, moves: [] });
    await at.batches.bench.finish([at.batches.bench.ended(call, failureOf("overloaded", "answered", 500))]);
    const claimed = await at.batches.bench.claim(() => {
      throw new Error("asked about an execution that nobody waits for");
    });
    expect([claimed.taken, claimed.started]).toEqual([1, []]);
    const late = await at.batches.bench.finish([at.batches.ended(batch, line, answerTo("why"))]);
    expect([resultsIn(late.outbox), costsIn(late.outbox)]).toEqual([[], [WASTE]]);
  });

  test("does not keep a job beyond its deadline; what answers then is booked once as paid for it", async () => {
    const { batch, line, call } = await pairOf(at);
    const { bench } = at.batches;
    const atMs = bench.nowMs() + 2 * MINUTE_MS;
    const { outbox } = await at.batches.ledger.expireBatched(bench.session, atMs, 10, RENDER);
    expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "expired" }]);
    const late = await bench.finish([bench.ended(call, answerTo("why"))]);
    const later = await bench.finish([at.batches.ended(batch, line, answerTo("why"))]);
    expect([...costsIn(late.outbox), ...costsIn(later.outbox)]).toEqual([CHARGED, WASTE]);
  });

  test("stays alone when its batch is refused after all: it decides", async () => {
    const { batch, call } = await pairOf(at);
    const failed = await at.batches.save(batch, { state: "failed" });
    const { bench } = at.batches;
    expect(await at.batches.ledger.returnLines(bench.session, failed?.no ?? 0, null, 10, bench.nowMs())).toBe(1);
    expect((await bench.claim(() => ({ kind: "line" }))).taken).toBe(0);
    const { outbox } = await bench.finish([bench.ended(call, answerTo("why"))]);
    expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "succeeded" }]);
    // The line was never tried, and has no place in the history.
    const [result] = recordsOf(outbox, "result");
    expect(JSON.parse(result?.value?.toString("utf8") ?? "{}")).toMatchObject({
      attempts: [{ number: 2, mode: "direct", outcome: "succeeded" }],
    });
  });
}
