import { describe, expect, test } from "@jest/globals";
import type { Alert } from "../../src/domain/alert/alert.js";
import type { AlertChange, AlertMemory, AlertSight, AlertVerdict } from "../../src/domain/alert/judge.js";
import { EMPTY_TALLY, type Tally } from "../../src/domain/alert/tally.js";
import type { AlertLedger, AlertLook } from "../../src/ports/alert-ledger.js";
import type { HealthStore } from "../../src/ports/health-store.js";
import { RENDER } from "../support/simulation/fixture.js";
import { answerTo, eventsIn, recordsOf, type LedgerBench } from "./ledger-bench.js";

interface At {
  readonly bench: LedgerBench;
  readonly alerts: AlertLedger;
  readonly health: HealthStore;
}

const WISH = { jobId: "a", tenant: "catalogue", prompt: "why" } as const;
const HOUR_MS = 3_600_000;
const TALLY: Tally = {
  accounts: { alpha: { calls: 3, failed: 1, ms: { 4: 2 } } },
  ended: 2,
  deadLetters: 1,
  jobMs: { 9: 1 },
  nanoUsd: "70",
};

function memoryAt(nowMs: number, slots: AlertMemory["slots"] = []): AlertMemory {
  return { slots, lastEndedAtMs: null, watchingSinceMs: nowMs, lookedAtMs: nowMs };
}

function raised(nowMs: number, subject = "alpha"): Alert {
  return {
    rule: "provider_down",
    subject,
    version: 1,
    state: "raised",
    sinceMs: nowMs,
    turningSinceMs: null,
    wasRaised: true,
    text: { message: "all calls failed", account: subject, details: { calls: "5" } },
  };
}

const NOTHING = ({ nowMs }: AlertSight): AlertVerdict => ({ memory: memoryAt(nowMs), changes: [] });
const RAISE = ({ nowMs, alerts }: AlertSight): AlertVerdict => {
  const change: AlertChange = { before: null, after: raised(nowMs), turn: "raised" };
  return { memory: memoryAt(nowMs), changes: alerts.length === 0 ? [change] : [] };
};
const RECOVER = ({ nowMs, alerts: [before] }: AlertSight): AlertVerdict => {
  if (before === undefined) throw new Error("expected an alert");
  const after: Alert = { ...before, version: before.version + 1, state: "clear", sinceMs: nowMs };
  return { memory: memoryAt(nowMs), changes: [{ before, after, turn: "recovered" }] };
};

/** Cases of the ledger's suite about alerts. */
export function alertCases(at: At): void {
  const look = (judge: (sight: AlertSight) => AlertVerdict, everyMs = 0, notify = true): Promise<AlertLook | null> =>
    at.alerts.look({ session: at.bench.session, everyMs, notify, readings: {} }, judge, RENDER);
  /** What a look sees. */
  const seen = async (): Promise<AlertSight> => {
    const sights: AlertSight[] = [];
    await look((its) => {
      sights.push(its);
      return { memory: its.memory ?? memoryAt(its.nowMs), changes: [] };
    });
    const [sight] = sights;
    if (sight === undefined) throw new Error("expected to look");
    return sight;
  };

  describe("a look for alerts", () => {
    test("adds up what routers counted, once, and remembers what the last one left", async () => {
      const other = await at.bench.ledger.openSession("other");
      await at.alerts.addTally(at.bench.session, TALLY);
      await at.alerts.addTally(other, TALLY);
      const first = await seen();
      expect(first).toMatchObject({
        memory: null,
        alerts: [],
        counted: {
          accounts: { alpha: { calls: 6, failed: 2, ms: { 4: 4 } } },
          ended: 4,
          deadLetters: 2,
          jobMs: { 9: 2 },
          nanoUsd: "140",
        },
      });
      const second = await seen();
      expect(second).toMatchObject({ memory: memoryAt(first.nowMs), counted: EMPTY_TALLY });
    });

    test("is made once in an interval, whoever wants to", async () => {
      const looks = await Promise.all(Array.from({ length: 5 }, () => look(NOTHING, HOUR_MS)));
      expect(looks.filter((one) => one !== null)).toHaveLength(1);
      expect(await look(NOTHING, HOUR_MS)).toBeNull();
      expect(await look(NOTHING, 0)).not.toBeNull();
    });

    test("by two routers at once raises an alert once, with one event", async () => {
      const looks = await Promise.all([look(RAISE), look(RAISE), look(RAISE)]);
      await look(RAISE);
      const events = looks.flatMap((one) => eventsIn(one?.outbox ?? []));
      expect(events).toMatchObject([{ kind: "alert.raised", severity: "critical", account: "alpha", jobId: null }]);
      expect(await at.alerts.alerts()).toMatchObject([
        { rule: "provider_down", subject: "alpha", version: 1, state: "raised" },
      ]);
    });

    test("tells of a recovery, and keeps the alert until it is forgotten", async () => {
      await look(RAISE);
      const over = await look(RECOVER);
      expect(eventsIn(over?.outbox ?? [])).toMatchObject([
        { kind: "alert.recovered", severity: "info", account: "alpha" },
      ]);
      expect(await at.alerts.alerts()).toMatchObject([{ subject: "alpha", version: 2, state: "clear" }]);
      const forget = await look(({ nowMs, alerts: [before] }) => ({
        memory: memoryAt(nowMs),
        changes: [{ before: before ?? null, after: null, turn: null }],
      }));
      expect(forget?.outbox).toEqual([]);
      expect(await at.alerts.alerts()).toEqual([]);
    });

    test("stores nothing when an alert is not as it was read", async () => {
      await look(RAISE);
      await at.alerts.addTally(at.bench.session, TALLY);
      const stale = look(({ nowMs }) => {
        const before = raised(nowMs);
        const after: Alert = { ...before, version: 8, state: "clear" };
        const fresh: AlertChange = { before: null, after: raised(nowMs, "beta"), turn: "raised" };
        return {
          memory: memoryAt(1),
          changes: [fresh, { before: { ...before, version: 7 }, after, turn: "recovered" }],
        };
      });
      await expect(stale).rejects.toThrow();
      expect(await at.alerts.alerts()).toMatchObject([{ subject: "alpha", version: 1 }]);
      const sight = await seen();
      expect(sight.counted).toMatchObject({ ended: 2 });
      expect(sight.memory?.lookedAtMs).not.toBe(1);
    });

    test("that breaks counts as none", async () => {
      await at.alerts.addTally(at.bench.session, TALLY);
      const broken = look(() => {
        throw new Error("the process dies here");
      }, HOUR_MS);
      await expect(broken).rejects.toThrow("the process dies here");
      expect((await look(NOTHING, HOUR_MS))?.alerts).toEqual([]);
    });

    test("keeps what time cost by quarters of an hour", async () => {
      await at.alerts.addTally(at.bench.session, TALLY);
      await seen();
      await at.alerts.addTally(at.bench.session, TALLY);
      const { readings, nowMs } = await seen();
      const total = [...(readings.spend?.nanoUsd.values() ?? [])].reduce((sum, one) => sum + one, 0n);
      expect(total).toBe(140n);
      // A quarter may have begun in between.
      expect(Math.floor(nowMs / 900_000) - (readings.spend?.firstQuarter ?? 0)).toBeLessThanOrEqual(1);
    });
  });

  describe("what a look reads", () => {
    test("is nothing in an empty ledger", async () => {
      const { readings } = await seen();
      expect(readings).toMatchObject({
        runnable: { oldestAtMs: null },
        nearestDeadlinesMs: [],
        doubts: 0,
        batches: [],
        budgets: [],
        limits: null,
        breakers: [],
      });
    });

    test("are executions that wait, and the nearest of their deadlines", async () => {
      const [late, soon] = [
        await at.bench.job({ ...WISH, ttlMs: 2 * HOUR_MS }, false),
        await at.bench.job({ ...WISH, jobId: "b", prompt: "how", ttlMs: HOUR_MS }, false),
      ];
      await at.bench.accept([late, soon]);
      await at.bench.start({ ...WISH, jobId: "c", prompt: "who" });
      const { readings, nowMs } = await seen();
      expect(readings.nearestDeadlinesMs).toEqual([soon.job.deadlineMs, late.job.deadlineMs]);
      expect(nowMs - (readings.runnable?.oldestAtMs ?? 0)).toBeLessThan(60_000);
    });

    test("are doubts, in their grace and settled with an open cost, until somebody knows", async () => {
      const held = await at.bench.start(WISH);
      const keeper = await at.bench.ledger.openSession("keeper");
      await at.bench.ledger.recoverDeadSessions(keeper, -1000, () => 0, RENDER);
      at.bench.session = keeper;
      expect((await seen()).readings.doubts).toBe(1);
      await at.bench.claim(() => ({
        kind: "fail",
        failure: { code: "IN_DOUBT", message: "unknown", provider: null, retryAtMs: null },
      }));
      expect((await seen()).readings.doubts).toBe(1);
      await at.bench.finish([at.bench.ended(held, answerTo("why"))]);
      expect((await seen()).readings.doubts).toBe(0);
    });

    test("are breakers, as they stand", async () => {
      const save = {
        account: "alpha",
        version: 0,
        openings: 1,
        because: "its key was refused",
        openMs: 0,
        leftMs: 5000,
      };
      await at.health.saveBreaker(at.bench.session, { ...save, model: null, state: "open" }, null, RENDER);
      await at.health.saveBreaker(at.bench.session, { ...save, model: "m", state: "half_open" }, null, RENDER);
      await at.health.saveBreaker(at.bench.session, { ...save, model: "n", state: "closed" }, null, RENDER);
      const { breakers } = (await seen()).readings;
      expect(breakers).toHaveLength(3);
      const read = { account: "alpha", reason: "its key was refused" };
      expect(breakers).toContainEqual({ ...read, model: null, open: true });
      expect(breakers).toContainEqual({ ...read, model: "m", open: true });
      expect(breakers).toContainEqual({ ...read, model: "n", open: false });
    });

    test("leaves to the router what the ledger has not", async () => {
      const limits = [{ account: "alpha", limit: "requests/min", used: 0.5 }];
      let sight: AlertSight | null = null;
      await at.alerts.look(
        { session: at.bench.session, everyMs: 0, notify: false, readings: { limits } },
        (its) => {
          sight = its;
          return NOTHING(its);
        },
        RENDER,
      );
      expect(sight).toMatchObject({ readings: { limits, doubts: 0 } });
    });
  });

  describe("a notice for the webhook", () => {
    test("is the event as it is published, with its id, and goes to one router at a time", async () => {
      const told = await look(RAISE);
      const [record] = recordsOf(told?.outbox ?? [], "event");
      const document = JSON.parse(record?.value?.toString("utf8") ?? "{}") as { readonly eventId: string }; // our own
      const taken = (await Promise.all([at.alerts.takeNotices(5, HOUR_MS), at.alerts.takeNotices(5, HOUR_MS)])).flat();
      expect(taken).toMatchObject([{ no: record?.no, eventId: document.eventId, tries: 1 }]);
      expect(JSON.parse(taken[0]?.body ?? "{}")).toEqual(document);
    });

    test("is there only for those who have one", async () => {
      await look(RAISE, 0, false);
      expect(await at.alerts.takeNotices(5, 0)).toEqual([]);
    });

    test("comes again after the hold, after a retry's wait, and not once it has ended", async () => {
      await look(RAISE);
      const [first] = await at.alerts.takeNotices(5, 0);
      const [second] = await at.alerts.takeNotices(5, HOUR_MS);
      if (first === undefined || second === undefined) throw new Error("expected the notice twice");
      expect([first.tries, second.tries, second.body]).toEqual([1, 2, first.body]);
      // The one that held it first comes too late to say anything.
      await at.alerts.retryNotice(first, 0, "status 500");
      expect(await at.alerts.takeNotices(5, HOUR_MS)).toEqual([]);
      await at.alerts.retryNotice(second, 0, "status 500");
      expect(await at.alerts.takeNotices(5, 0)).toMatchObject([{ no: first.no, tries: 3 }]);
      await at.alerts.endNotice(first.no);
      expect(await at.alerts.takeNotices(5, 0)).toEqual([]);
    });
  });
}
