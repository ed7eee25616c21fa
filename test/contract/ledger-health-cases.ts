import { describe, expect, test } from "@jest/globals";
import { breakerClosed, breakerOpened } from "../../src/domain/event/breaker-event.js";
import type { BreakerSave, HealthStore, StoredBreaker } from "../../src/ports/health-store.js";
import { RENDER } from "../support/simulation/fixture.js";
import { eventsIn, type LedgerBench } from "./ledger-bench.js";

const OPEN: BreakerSave = {
  account: "alpha",
  model: "m",
  version: 0,
  state: "open",
  openings: 1,
  because: "its last call ended as overloaded",
  openMs: 0,
  leftMs: 5000,
};

/** Cases of the ledger's suite about breakers: what routers share of providers' health. */
export function healthCases(at: { readonly bench: LedgerBench; readonly health: HealthStore }): void {
  const save = (change: BreakerSave, session = at.bench.session) => {
    const { account, model, because, leftMs } = change;
    const nowMs = at.bench.nowMs();
    const event =
      change.state === "open"
        ? breakerOpened({ account, model }, because, nowMs + leftMs, nowMs)
        : change.state === "closed"
          ? breakerClosed({ account, model }, change.openMs, nowMs)
          : null;
    return at.health.saveBreaker(session, change, event, RENDER);
  };
  const only = async (): Promise<StoredBreaker | undefined> => {
    const found = await at.health.breakers();
    expect(found.length).toBeLessThanOrEqual(1);
    return found[0];
  };

  describe("breakers", () => {
    test("are none as long as nothing opened", async () => {
      expect(await at.health.breakers()).toEqual([]);
    });

    test("are read as they were saved, their times as lengths, and tell of it once", async () => {
      const { saved, outbox } = await save(OPEN);
      expect(saved).toBe(true);
      expect(eventsIn(outbox)).toMatchObject([{ kind: "breaker.opened", severity: "warning", account: "alpha" }]);
      const found = await only();
      expect(found).toMatchObject({ account: "alpha", model: "m", version: 1, state: "open", openings: 1 });
      expect(found).toMatchObject({ because: OPEN.because, session: at.bench.session });
      expect(found?.leftMs).toBeLessThanOrEqual(5000);
      expect(found?.leftMs).toBeGreaterThan(-60_000);
      expect(found?.openMs).toBeGreaterThanOrEqual(0);
      expect(found?.changedAgoMs).toBeGreaterThanOrEqual(0);
    });

    test("are saved by whoever is first; who decided on an older version changes nothing and publishes nothing", async () => {
      await save(OPEN);
      const other = await at.bench.ledger.openSession("other");
      expect(await save({ ...OPEN, leftMs: 99 }, other)).toEqual({ saved: false, outbox: [] });
      expect(await save({ ...OPEN, version: 5, state: "closed" }, other)).toEqual({ saved: false, outbox: [] });
      expect(await only()).toMatchObject({ version: 1, state: "open", session: at.bench.session });
    });

    test("give the lease of a trial to one of many that ask at once", async () => {
      await save(OPEN);
      const routers = await Promise.all(Array.from({ length: 5 }, () => at.bench.ledger.openSession("other")));
      const lease = { ...OPEN, version: 1, state: "half_open", leftMs: 60_000 } as const;
      const answers = await Promise.all(routers.map((session) => save(lease, session)));
      expect(answers.filter(({ saved }) => saved)).toHaveLength(1);
      const winner = routers[answers.findIndex(({ saved }) => saved)];
      expect(await only()).toMatchObject({ version: 2, state: "half_open", session: winner });
    });

    test("give the lease of a trial back when the session that has it ends", async () => {
      await save(OPEN);
      const router = await at.bench.ledger.openSession("other");
      await save({ ...OPEN, version: 1, state: "half_open", leftMs: 60_000 }, router);
      expect((await only())?.leftMs).toBeGreaterThan(50_000);
      await at.bench.ledger.endSession(router);
      expect((await only())?.leftMs).toBeLessThanOrEqual(0);
    });

    test("close with an event, and open again from the next version on", async () => {
      await save(OPEN);
      await save({ ...OPEN, version: 1, state: "half_open" });
      const { outbox } = await save({ ...OPEN, version: 2, state: "closed", openMs: 61_000 });
      expect(eventsIn(outbox)).toMatchObject([{ kind: "breaker.closed", severity: "info", account: "alpha" }]);
      expect(await only()).toMatchObject({ version: 3, state: "closed" });
      expect((await save({ ...OPEN, version: 3 })).saved).toBe(true);
      expect(await only()).toMatchObject({ version: 4, state: "open" });
    });

    test("of a whole account stand beside those of its models", async () => {
      await save(OPEN);
      await save({ ...OPEN, model: null });
      const found = await at.health.breakers();
      expect(found.map(({ model, version }) => ({ model, version }))).toHaveLength(2);
      expect(new Set(found.map(({ model }) => model))).toEqual(new Set(["m", null]));
    });

    test("keep nothing when the transaction breaks off", async () => {
      const broken = {
        ...RENDER,
        event: () => {
          throw new Error("the process dies here");
        },
      };
      const event = breakerOpened(OPEN, "broken", 0, 0);
      const saving = async () => at.health.saveBreaker(at.bench.session, OPEN, event, broken);
      await expect(saving()).rejects.toThrow("the process dies here");
      expect(await at.health.breakers()).toEqual([]);
    });
  });
}
